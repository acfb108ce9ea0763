//! `dipeo list`.

use clap::Args;

use super::Context;
use crate::error::Error;
use crate::handlers::list_diagrams::Request;

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
    let request = Request { format: args.format, search: args.search };
    let response = context.list_diagrams(request).await?;
    if context.output.is_json() {
        context.output.json(&response)?;
        return Ok(0);
    }
    let mut text = String::new();
    for it in &response.diagrams {
        let about = match (&it.error, &it.description) {
            (Some(error), _) => format!("does not parse: {error}"),
            (None, Some(description)) => description.clone(),
            (None, None) => String::new(),
        };
        let tool = match (&it.tool, &it.tool_problem) {
            (Some(name), _) => format!(", tool {name}"),
            (None, Some(problem)) => format!(", no tool: {problem}"),
            (None, None) => String::new(),
        };
        text.push_str(&format!("{}  ({}, {} nodes, {}{tool})  {about}\n", it.name, it.format, it.nodes, it.path));
    }
    text.push_str(&format!("{} diagrams\n", response.total));
    context.output.text(&text);
    Ok(0)
}
