//! `dipeo monitor`: leads to what the server of this database shows in a browser.

use clap::Args;
use serde_json::json;

use super::Output;
use crate::config::Config;
use crate::error::Error;

/// Example: dipeo monitor --no-open
#[derive(Clone, Debug, Args)]
#[command(after_help = "Where no server of this database lives, one is started here and runs until Ctrl-C.\n\
                        There is no page yet that draws executions: today the address leads to /docs, the pages\n\
                        of the HTTP interface (in production to /, for there they are not served), and with\n\
                        --execution or --diagram to the data, as JSON.\n\
                        Example: dipeo monitor --no-open")]
pub struct MonitorArgs {
    /// Lead to the executions of this diagram
    pub diagram: Option<String>,
    /// The same, as the guide has it
    #[arg(long = "diagram", id = "diagram_flag", value_name = "NAME", conflicts_with = "diagram")]
    pub diagram_flag: Option<String>,
    /// Lead to this execution
    #[arg(long, value_name = "ID", conflicts_with_all = ["diagram", "diagram_flag"])]
    pub execution: Option<String>,
    /// Port for a server that is started here (8000; 0 takes a free one)
    #[arg(long)]
    pub port: Option<u16>,
    /// Only print the address
    #[arg(long)]
    pub no_open: bool,
}

/// Whether the server shows the pages of its HTTP interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    Served,
    /// As in production.
    Hidden,
}

impl Pages {
    /// What a server with these settings does.
    pub fn of(config: &Config) -> Self {
        if config.is_production { Self::Hidden } else { Self::Served }
    }
}

impl MonitorArgs {
    /// Prints the address below `server`, which serves pages or does not, and hands it to `open`, which says whether there was a browser.
    ///
    /// # Errors
    ///
    /// `INTERNAL` when it cannot be written.
    pub fn lead(
        &self,
        output: Output,
        (server, pages): (&str, Pages),
        open: impl FnOnce(&str) -> bool,
    ) -> Result<(), Error> {
        let url = format!("{server}{}", self.path(pages));
        let opened = !self.no_open && open(&url);
        if output.is_json() {
            return output.json(&json!({"url": url, "opened": opened}));
        }
        output.text(&url);
        if !opened && !self.no_open {
            output.note("there is no browser here: open the address yourself");
        }
        Ok(())
    }

    fn path(&self, pages: Pages) -> String {
        match (&self.execution, self.diagram.as_ref().or(self.diagram_flag.as_ref())) {
            (Some(id), _) => format!("/api/v1/executions/{}", encoded(id)),
            (None, Some(name)) => format!("/api/v1/executions?diagram={}", encoded(name)),
            (None, None) => match pages {
                Pages::Served => "/docs".to_owned(),
                Pages::Hidden => "/".to_owned(),
            },
        }
    }
}

/// A text as a part of an address.
fn encoded(text: &str) -> String {
    let plain = |it: u8| it.is_ascii_alphanumeric() || b"-._~".contains(&it);
    text.bytes().map(|it| if plain(it) { char::from(it).to_string() } else { format!("%{it:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_names_what_was_asked_for() {
        let none = MonitorArgs { diagram: None, diagram_flag: None, execution: None, port: None, no_open: false };
        for (args, expected) in [
            (none.clone(), "/docs"),
            (
                MonitorArgs { diagram: Some("team/a b".into()), ..none.clone() },
                "/api/v1/executions?diagram=team%2Fa%20b",
            ),
            (MonitorArgs { diagram_flag: Some("é".into()), ..none.clone() }, "/api/v1/executions?diagram=%C3%A9"),
            (MonitorArgs { execution: Some("exec_1".into()), ..none }, "/api/v1/executions/exec_1"),
        ] {
            assert_eq!(args.path(Pages::Served), expected);
            let in_production = if expected == "/docs" { "/" } else { expected };
            assert_eq!(args.path(Pages::Hidden), in_production);
        }
    }
}
