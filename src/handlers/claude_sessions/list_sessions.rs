//! Lists the sessions of a project, the newest first.

use serde::Serialize;

use super::folder;
use super::session::{Line, Session};
use crate::error::Error;
use crate::handlers::{App, Caller};

/// Characters of the first text that are shown.
const TEXT_CHARS_MAX: usize = 60;

/// Which sessions.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The folder of the project; the one that changed last otherwise.
    pub project: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// The sessions, and how many there are in all.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Response {
    pub sessions: Vec<ListedSession>,
    pub total: usize,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ListedSession {
    pub id: String,
    /// Time of its last line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_at: Option<String>,
    pub lines: usize,
    /// The beginning of what the user wrote first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_text: Option<String>,
}

/// Lists sessions.
///
/// # Errors
///
/// `SESSION_NOT_FOUND` for the project, `PERMISSION_REQUIRED` for a client, `FILE_FAILED`.
pub async fn list_sessions(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    super::only_at_the_terminal(caller)?;
    let files = folder::sessions(&folder::project(app, request.project.as_deref())?);
    let total = files.len();
    let mut sessions = Vec::new();
    for file in files.into_iter().take(request.limit) {
        let session = Session::parse(&folder::read(&file)?);
        let last_at = session.lines.iter().filter_map(|it: &Line| it.at).max();
        let first = session.lines.iter().find_map(Session::user_text);
        sessions.push(ListedSession {
            id: file.id,
            last_at: last_at.map(|it| it.to_rfc3339()),
            lines: session.n_lines,
            first_text: first.map(|it| shortened(&it)),
        });
    }
    // By what the sessions say themselves: a copied file is not a new session.
    sessions.sort_by(|a, b| b.last_at.cmp(&a.last_at));
    Ok(Response { sessions, total })
}

/// One line of at most so many characters.
fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(TEXT_CHARS_MAX).collect()
}
