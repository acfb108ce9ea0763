//! `dipeo history` and `dipeo restore`: the saved versions of a diagram.

use clap::Args;

use super::Context;
use super::page::{Page, Table};
use crate::error::Error;
use crate::handlers::diagram_revisions::{ListRequest, ListResponse, RestoreRequest};
use crate::shown;

/// Example: dipeo history review
#[derive(Debug, Args)]
#[command(after_help = "What changed between two of them: dipeo diff review@1 review@2\nExample: dipeo history review")]
pub struct HistoryArgs {
    /// A diagram of the workspace
    pub name: String,
    /// At most so many, the newest
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

/// Example: dipeo restore review@2
#[derive(Debug, Args)]
#[command(after_help = "The present text stays as a revision.\nExample: dipeo restore review@2")]
pub struct RestoreArgs {
    /// A diagram and the number of its revision
    #[arg(value_name = "NAME@N")]
    pub revision: String,
    /// What to say of the new revision
    #[arg(long, value_name = "TEXT")]
    pub message: Option<String>,
}

/// Shows the revisions of a diagram, the newest first.
pub async fn history(context: &Context<'_>, args: HistoryArgs) -> Result<u8, Error> {
    let request = ListRequest { name: args.name.clone(), limit: args.limit, offset: None };
    let found = context.diagram_revisions(request).await?;
    context.output.show(&found, |it| page(&args.name, it))?;
    Ok(0)
}

fn page(name: &str, found: &ListResponse) -> Page {
    let mut page = Page::new(name);
    let mut table = Table::new(&["revision", "saved", "by", "message", "sha256"]).right(0);
    for it in &found.revisions {
        let by = it.author.clone().unwrap_or_else(|| "hand".to_owned());
        let by = if it.submitted { format!("{by} (a client's text)") } else { by };
        let sha256 = shown::beginning(&it.sha256, 12).0.to_owned();
        table.row([it.n.to_string(), it.created_at.clone(), by, it.message.clone(), sha256]);
    }
    page.table(table);
    page.line(&format!("{} of {} revisions", found.revisions.len(), found.total));
    page
}

/// Makes an earlier text the present one, as a new revision.
pub async fn restore(context: &Context<'_>, args: RestoreArgs) -> Result<u8, Error> {
    let (name, revision) = parts(&args.revision)?;
    let request = RestoreRequest { name: name.to_owned(), revision, message: args.message };
    let restored = context.restore_diagram(request).await?;
    context.output.plain(&restored, "restore", |it| {
        format!("{name} is as revision {revision} again, which is revision {} now\n", it.revision)
    })?;
    Ok(0)
}

fn parts(text: &str) -> Result<(&str, u64), Error> {
    let found = text.rsplit_once('@').and_then(|(name, n)| Some((name, n.parse().ok()?)));
    found.filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
        Error::invalid("INVALID_INPUT", format!("`{text}` names no revision"))
            .hint("write NAME@N; `dipeo history NAME` shows the numbers")
    })
}
