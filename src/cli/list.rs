//! `dipeo list`.

use clap::Args;

use super::Context;
use super::page::{Page, Table};
use crate::error::Error;
use crate::handlers::list_diagrams::{Request, Response};

/// Example: dipeo list --search review
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo list --search review")]
pub struct ListArgs {
    /// Only light, readable or native diagrams
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Only diagrams whose name, path or description contains this
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,
}

/// Shows the diagrams of the workspace.
pub async fn list(context: &Context<'_>, args: ListArgs) -> Result<u8, Error> {
    let request = Request { format: args.format, search: args.search, ..Request::default() };
    let response = context.list_diagrams(request).await?;
    context.output.show(&response, shown)?;
    Ok(0)
}

fn shown(response: &Response) -> Page {
    let mut page = Page::new("diagrams");
    let mut table = Table::new(&["name", "format", "nodes", "path", "tool", "about"]).right(2);
    for it in &response.diagrams {
        let about = match (&it.error, &it.description) {
            (Some(error), _) => format!("does not parse: {error}"),
            (None, Some(description)) => description.clone(),
            (None, None) => String::new(),
        };
        let tool = match (&it.tool, &it.tool_problem) {
            (Some(name), _) => name.clone(),
            (None, Some(problem)) => format!("no tool: {problem}"),
            (None, None) => String::new(),
        };
        table.row([it.name.clone(), it.format.clone(), it.nodes.to_string(), it.path.clone(), tool, about]);
    }
    page.table(table);
    page.line(&format!("{} diagrams", response.total));
    page
}
