//! Counts what is in a session.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::folder;
use super::session::{Part, Session, Usage};
use crate::error::Error;
use crate::handlers::{App, Caller};

/// Which session.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub project: Option<String>,
    pub session_id: String,
}

/// What is in it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Response {
    pub session_id: String,
    pub lines: usize,
    /// Lines by type.
    pub lines_by_type: BTreeMap<String, usize>,
    /// Texts of the user.
    pub turns: usize,
    /// Calls by tool.
    pub tools: BTreeMap<String, ToolCount>,
    pub tokens: Usage,
    /// From the first line to the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
    /// What Read, Write, Edit and the like named, sorted.
    pub files: Vec<String>,
    pub warnings: Vec<String>,
}

/// The calls of one tool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ToolCount {
    pub calls: usize,
    pub errors: usize,
}

/// Counts.
///
/// # Errors
///
/// `INVALID_INPUT`, `SESSION_NOT_FOUND`, `PERMISSION_REQUIRED` for a client, `FILE_FAILED`.
pub async fn session_stats(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    super::only_at_the_terminal(caller)?;
    let folder = folder::project(app, request.project.as_deref())?;
    let file = folder::session(&folder, &request.session_id)?;
    Ok(count(file.id.clone(), Session::parse(&folder::read(&file)?)))
}

fn count(session_id: String, session: Session) -> Response {
    let mut tools: BTreeMap<String, ToolCount> = BTreeMap::new();
    let mut files = BTreeSet::new();
    for line in &session.lines {
        for part in &line.parts {
            let Part::ToolUse { id, name, input } = part else { continue };
            let counted = tools.entry(name.clone()).or_default();
            counted.calls += 1;
            counted.errors += usize::from(session.outcome(line, id).is_some_and(|it| it.is_error));
            let named = ["file_path", "notebook_path"].iter().find_map(|it| input.get(it).and_then(Value::as_str));
            files.extend(named.map(str::to_owned));
        }
    }
    let times = || session.lines.iter().filter_map(|it| it.at);
    let duration_ms = times().min().zip(times().max()).map(|(first, last)| last.since_ms(first));
    Response {
        session_id,
        lines: session.n_lines,
        turns: session.lines.iter().filter(|it| Session::user_text(it).is_some()).count(),
        tools,
        tokens: session.usage(),
        duration_ms,
        files: files.into_iter().collect(),
        lines_by_type: session.by_type,
        warnings: session.warnings,
    }
}
