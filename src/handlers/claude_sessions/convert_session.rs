//! Makes diagrams of sessions and writes each into a folder, beside a copy of its session.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::Serialize;
use serde_json::{Value, json};

use super::folder::{self, SessionFile};
use super::session::Session;
use super::translate::{Options, Translation, translate};
use crate::clock::Timestamp;
use crate::compile::compile;
use crate::compile::report::Report;
use crate::config::sha256;
use crate::diagram::write::write;
use crate::diagram::{Format, parse};
use crate::error::Error;
use crate::handlers::run_diagram::format_of;
use crate::handlers::surroundings::World;
use crate::handlers::{App, Caller};
use crate::nodes::{self, Origin, Rights};
use crate::store::{NewRevision, Source};

/// Where conversions go, below the workspace.
const FOLDER: &str = "projects/claude_code/sessions";
/// Most errors of a diagram that a failure lists.
const ERRORS_MAX: usize = 5;

/// Which sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    Session(String),
    /// The newest ones, so many.
    Latest(usize),
}

/// What to convert, and how.
#[derive(Clone, Debug)]
pub struct Request {
    pub project: Option<String>,
    pub which: Which,
    /// Folder for the files; with several sessions each has its own below it.
    pub output_dir: Option<String>,
    /// `light` (the default), `readable` or `native`.
    pub format: Option<String>,
    /// Persons answer what they answered in the session.
    pub offline: bool,
}

/// What was converted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Response {
    pub sessions: Vec<Converted>,
}

/// One converted session.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Converted {
    pub session_id: String,
    /// The diagram.
    pub path: String,
    pub turns: usize,
    pub nodes: usize,
    pub nodes_by_type: BTreeMap<String, usize>,
    /// `{tool, reason, lines}` of what has no node.
    pub skipped: Vec<Value>,
    pub warnings: Vec<String>,
}

/// Converts sessions. The diagrams count as submitted: what they may do is what a person has trusted.
///
/// # Errors
///
/// `INVALID_INPUT` for an id that is none and a session without text of a user, `SESSION_NOT_FOUND`,
/// `INVALID_FORMAT`, `INVALID_DIAGRAM` when the diagram would not compile, `FILE_FAILED`,
/// `PERMISSION_REQUIRED` for a client.
pub async fn convert_session(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    let Caller::Terminal { working_dir } = super::only_at_the_terminal(caller)? else {
        return Err(Error::internal("a client reached the sessions"));
    };
    let format = format_of(request.format.as_deref())?.unwrap_or(Format::Light);
    let folder = folder::project(app, request.project.as_deref())?;
    let files = match &request.which {
        Which::Session(id) => vec![folder::session(&folder, id)?],
        Which::Latest(n) => folder::sessions(&folder).into_iter().take(*n).collect(),
    };
    if files.is_empty() {
        return Err(Error::not_found("SESSION_NOT_FOUND", format!("there is no session in `{}`", folder.display()))
            .hint("another project is chosen with `--project DIR`"));
    }
    let is_only = files.len() == 1;
    let mut sessions = Vec::new();
    for file in files {
        let target = request.output_dir.as_ref().map(|it| {
            let folder = working_dir.join(it);
            if is_only { folder } else { folder.join(&file.id) }
        });
        sessions.push(convert(app, &file, target, format, request.offline).await?);
    }
    Ok(Response { sessions })
}

async fn convert(
    app: &App,
    file: &SessionFile,
    target: Option<PathBuf>,
    format: Format,
    offline: bool,
) -> Result<Converted, Error> {
    let text = folder::read(file)?;
    let session = Session::parse(&text);
    let root = app.config.workspace.display().to_string();
    let options = Options {
        session_id: &file.id,
        offline,
        root: root.trim_end_matches('/'),
        runs: &|kind| nodes::find(kind).is_some(),
    };
    let translation = translate(&session, &options).map_err(|message| {
        Error::invalid("INVALID_INPUT", message).hint("only a session in which somebody asked something is a diagram")
    })?;
    let diagram = written(app, &file.id, &translation.native, format)?;
    let target = match target {
        Some(target) => target,
        None => default_target(app, &file.id, &session),
    };
    let path = target.join(format!("diagram{}", format.suffix()));
    let converted = Converted {
        session_id: file.id.clone(),
        path: path.strip_prefix(&app.config.workspace).unwrap_or(&path).display().to_string(),
        turns: translation.n_turns,
        nodes: translation.n_nodes,
        nodes_by_type: translation.by_type.clone(),
        skipped: translation.skipped.clone(),
        warnings: translation.warnings.clone(),
    };
    submit(app, &file.id, &diagram, format).await?;
    write_folder(&target, &path, &diagram, &text, &metadata(app, &converted, &translation, format))?;
    Ok(converted)
}

/// Returns the diagram as text, checked as if it might do everything: its rights are another matter.
fn written(app: &App, session_id: &str, native: &Value, format: Format) -> Result<String, Error> {
    let refused = |errors: Vec<String>, details: Value| {
        let message = format!("the diagram of session `{session_id}` would not compile: {}", errors.join("; "));
        Error::invalid("INVALID_DIAGRAM", message)
            .hint("a session that is too long for one diagram cannot be converted; please report anything else")
            .details(details)
    };
    let parsed = parse(&native.to_string(), Some(Format::Native));
    let Some(diagram) = &parsed.diagram else {
        let errors = parsed.diagnostics.iter().map(|it| format!("{} {}", it.code, it.message));
        return Err(refused(errors.take(ERRORS_MAX).collect(), Value::Null));
    };
    let text = write(diagram, format, &nodes::known_fields);
    let world = World {
        root: app.config.workspace.clone(),
        base_dir: None,
        own_path: None,
        rights: Rights::of(Origin::Local, true, true),
        structure_only: true,
        languages: Arc::clone(&app.languages),
        ports: Arc::clone(&app.ports),
        models: app.config.models.clone(),
        needs_no_keys: true,
        began_before: false,
        persons: Default::default(),
        read: Mutex::default(),
    };
    let compiled = compile(&text, Some(format), &world);
    if compiled.is_valid() {
        return Ok(text);
    }
    let report = Report::new(&compiled, &text);
    let errors: Vec<String> =
        report.errors.iter().take(ERRORS_MAX).map(|it| format!("{} {}", it.code, it.message)).collect();
    Err(refused(errors, json!({"errors": report.errors})))
}

/// A folder named by the time the session began, so that converting it again replaces what was made before.
fn default_target(app: &App, session_id: &str, session: &Session) -> PathBuf {
    let began = session.lines.iter().find_map(|it| it.at).unwrap_or_else(|| app.clock.now());
    let folder = app.config.workspace.join(FOLDER);
    let name = stamp(began);
    let target = folder.join(&name);
    // Two sessions may begin in the same second.
    let owner = fs::read_to_string(target.join("conversion_metadata.json")).ok();
    let owner = owner.and_then(|it| serde_json::from_str::<Value>(&it).ok());
    match owner.as_ref().and_then(|it| it.get("session_id")).and_then(Value::as_str) {
        Some(other) if other != session_id => folder.join(format!("{name}_{session_id}")),
        _ => target,
    }
}

/// `2026-01-02_03-04-05`.
fn stamp(at: Timestamp) -> String {
    let text = at.to_rfc3339();
    text.get(..19).unwrap_or(&text).replace('T', "_").replace(':', "-")
}

/// Remembers the text as one that nobody has trusted.
async fn submit(app: &App, session_id: &str, text: &str, format: Format) -> Result<(), Error> {
    let sha256 = sha256(text);
    if app.store()?.is_submitted(&sha256)? {
        return Ok(());
    }
    let new = NewRevision {
        diagram_id: format!("claude_code/{session_id}"),
        source: Source { sha256, format: format.name().to_owned(), content: text.to_owned() },
        message: Some("made of a Claude Code session".to_owned()),
        author: Some("dipeocc".to_owned()),
        submitted: true,
    };
    app.store()?.save_revision(new).await.map(|_| ())
}

fn metadata(app: &App, converted: &Converted, translation: &Translation, format: Format) -> String {
    let metadata = json!({
        "session_id": converted.session_id,
        "converted_at": app.clock.now().to_rfc3339(),
        "format": format.name(),
        "turns": translation.n_turns,
        "nodes": translation.n_nodes,
        "nodes_by_type": translation.by_type,
        "skipped": translation.skipped,
        "warnings": translation.warnings,
    });
    format!("{metadata:#}\n")
}

/// Writes the three files of a conversion; each is there whole or not at all.
fn write_folder(target: &Path, diagram_path: &Path, diagram: &str, session: &str, metadata: &str) -> Result<(), Error> {
    let failed = |path: &Path, error: std::io::Error| {
        Error::external("FILE_FAILED", format!("cannot write `{}`: {}", path.display(), error.kind()))
            .hint("check the rights of the folder, or choose another with `--output-dir`")
            .source(error)
    };
    fs::create_dir_all(target).map_err(|error| failed(target, error))?;
    // The diagram comes last: where it is, the rest is.
    for (path, text) in [
        (target.join("session.jsonl"), session),
        (target.join("conversion_metadata.json"), metadata),
        (diagram_path.to_owned(), diagram),
    ] {
        let aside = target.join(format!(".{}.tmp", uuid::Uuid::new_v4().simple()));
        let done = fs::write(&aside, text).and_then(|()| fs::rename(&aside, &path));
        done.map_err(|error| {
            // The error that matters is the first one.
            let _ = fs::remove_file(&aside);
            failed(&path, error)
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_named_by_the_second() {
        assert_eq!(stamp(Timestamp(1_767_323_045_678)), "2026-01-02_03-04-05");
    }
}
