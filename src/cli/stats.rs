//! `dipeo stats`.

use clap::Args;

use super::Context;
use super::args::FormatArgs;
use super::page::Page;
use crate::error::Error;
use crate::handlers::diagram_stats::{Request, Response};

/// Example: dipeo stats examples/debate.light.yaml
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo stats examples/debate.light.yaml")]
pub struct StatsArgs {
    /// A file or a name in the workspace
    pub diagram: String,
    #[command(flatten)]
    pub format: FormatArgs,
}

/// Counts what a diagram consists of.
pub async fn stats(context: &Context<'_>, args: StatsArgs) -> Result<u8, Error> {
    let request = Request { diagram: args.diagram, format_type: args.format.name() };
    let response = context.diagram_stats(request).await?;
    context.output.show(&response, shown)?;
    Ok(0)
}

fn shown(found: &Response) -> Page {
    let types: Vec<String> = found.types.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    let loops: Vec<String> = found.loops.iter().map(|it| it.join(", ")).collect();
    let may = &found.capabilities;
    let rows = [
        ("nodes", found.nodes.to_string()),
        ("connections", found.connections.to_string()),
        ("types", types.join(", ")),
        ("persons", found.persons.join(", ")),
        ("conditions", found.conditions.to_string()),
        ("loops", if loops.is_empty() { "0".to_owned() } else { format!("{}: {}", loops.len(), loops.join("; ")) }),
        ("depth", found.depth.to_string()),
        ("endpoints", found.endpoints.join(", ")),
        ("unreachable", found.unreachable.join(", ")),
        ("commands", may.commands.join(", ")),
        ("files", may.paths.join(", ")),
        ("models", may.models.join(", ")),
        ("budget", may.budget.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("asks", if may.asks { "yes".to_owned() } else { String::new() }),
    ];
    let mut page = Page::new(&found.diagram_id);
    page.facts(rows);
    page
}
