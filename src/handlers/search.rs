//! Finds diagrams, guide pages and executions by words. Keeps ChatGPT's contract: one string in,
//! `{"results":[{id,title,url}]}` out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::caller::Scope;
use super::fetch::DESCRIPTION_CHARS_MAX;
use super::list_diagrams::{ListedDiagram, list_diagrams};
use super::list_executions::ListedExecution;
use super::{App, Caller, guide, list_executions};
use crate::error::Error;
use crate::shown;

/// What to look for.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Words to look for.
    pub query: String,
}

/// What was found, best first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub results: Vec<Hit>,
}

/// One thing found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hit {
    /// A `dipeo://` URI for `fetch`.
    pub id: String,
    pub title: String,
    pub url: String,
}

/// Most hits of one search.
const HITS_MAX: usize = 20;

/// Searches; an empty list when nothing fits.
///
/// # Errors
///
/// `INVALID_INPUT` for a blank query.
pub async fn search(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    let words: Vec<String> = request.query.to_lowercase().split_whitespace().map(str::to_owned).collect();
    if words.is_empty() {
        return Err(Error::invalid("INVALID_INPUT", "`query` is blank").hint("write words to look for"));
    }
    let mut hits = Vec::new();
    for diagram in diagrams(app, caller).await? {
        if shown::hides(&diagram.name) {
            continue;
        }
        let description = shown::line(diagram.description.as_deref().unwrap_or_default(), DESCRIPTION_CHARS_MAX);
        let title = format!(
            "{} {}{}",
            if diagram.tool.is_some() { "tool (call dipeo_run with this diagram)" } else { "diagram" },
            diagram.name,
            if description.is_empty() { String::new() } else { format!(": {description}") }
        );
        add(&mut hits, &words, &title, &diagram.path, diagram.uri);
    }
    for page in guide::PAGES {
        add(&mut hits, &words, &format!("guide: {}", page.title()), page.text, format!("dipeo://guide/{}", page.name));
    }
    for execution in executions(app, caller).await? {
        let diagram = shown::line(&execution.diagram_id.unwrap_or_default(), DESCRIPTION_CHARS_MAX);
        let title = format!("execution of {diagram}, {}, {}", execution.status.name(), execution.started_at);
        let uri = format!("dipeo://executions/{}", execution.execution_id);
        add(&mut hits, &words, &title, &execution.execution_id, uri);
    }
    hits.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    Ok(Response { results: hits.into_iter().take(HITS_MAX).map(|(_, hit)| hit).collect() })
}

/// The diagrams that the caller may read: none without the scope, the guide is found by everybody.
async fn diagrams(app: &App, caller: &Caller) -> Result<Vec<ListedDiagram>, Error> {
    if !caller.scopes().has(Scope::DiagramRead) {
        return Ok(Vec::new());
    }
    Ok(list_diagrams(app, caller, Default::default()).await?.diagrams)
}

async fn executions(app: &App, caller: &Caller) -> Result<Vec<ListedExecution>, Error> {
    if !caller.scopes().has(Scope::ExecutionRead) {
        return Ok(Vec::new());
    }
    let request = list_executions::Request { limit: Some(100), ..Default::default() };
    Ok(list_executions::list_executions(app, caller, request).await?.executions)
}

/// Adds a hit when every word occurs; words in the title count more.
fn add(hits: &mut Vec<(usize, Hit)>, words: &[String], title: &str, text: &str, uri: String) {
    let (title_folded, text_folded) = (title.to_lowercase(), text.to_lowercase());
    let mut score = 0;
    for word in words {
        match (title_folded.contains(word), text_folded.contains(word)) {
            (true, _) => score += 3,
            (false, true) => score += 1,
            (false, false) => return,
        }
    }
    hits.push((score, Hit { id: uri.clone(), title: title.to_owned(), url: uri }));
}
