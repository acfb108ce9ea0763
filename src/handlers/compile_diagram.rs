//! Checks a diagram and, on request, saves it.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::caller::Scope;
use super::diagram_history::record_present;
use super::run_diagram::{format_of, may_run};
use super::surroundings::World;
use super::workspace::check_relative;
use super::{App, Caller};
use crate::compile::report::{RepairReport, Report};
use crate::compile::{Compiled, compile, fix};
use crate::config::sha256;
use crate::diagram::Format;
use crate::error::Error;
use crate::nodes::{Origin, Rights};
use crate::store::{NewRevision, Source};

/// The text to check.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// A whole diagram as text.
    pub content: String,
    /// light, readable or native (detected).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub format_type: Option<String>,
    /// Save it under this name if valid.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub push_as: Option<String>,
    /// Repair it; `content` is the new text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fix: Option<bool>,
}

/// What only the terminal may ask besides.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// Leave out what needs other files or keys.
    pub check_only: bool,
    /// Folder to save in, below the workspace; `projects/mcp-diagrams` otherwise.
    pub target_dir: Option<String>,
    /// Saving over another content is a conflict.
    pub create_only: bool,
    /// The folder of the file the text came from, for prompt files beside it.
    pub base_dir: Option<std::path::PathBuf>,
    /// Also render the result for a terminal, under this name of the text.
    pub shown_as: Option<String>,
    /// With `fix`: replace this file by the new text.
    pub write_to: Option<std::path::PathBuf>,
}

/// The report, and where it was saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    /// About the new text, when there is one.
    #[serde(flatten)]
    pub report: Report,
    /// With `fix`: the text after the repairs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content: Option<String>,
    /// With `fix`: what was repaired, in the order it was done.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fixes: Option<Vec<RepairReport>>,
    /// The name it was saved as.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pushed_as: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revision: Option<u64>,
    /// Every diagnostic with its line and a caret, or one line that all is well.
    #[serde(skip)]
    #[schemars(skip)]
    pub rendered: Option<String>,
}

/// Compiles `content` with every problem at once, repaired first when `fix` asks for it; saves it when it is
/// valid and `push_as` is given.
/// An invalid diagram is a result, not an error.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `DIAGRAM_NOT_ALLOWED`, `INVALID_NAME`, `REVISION_CONFLICT` (create only), `INVALID_FORMAT`, `PATH_NOT_ALLOWED`, `FILE_FAILED`.
pub async fn compile_diagram(app: &App, caller: &Caller, request: Request, extras: Extras) -> Result<Response, Error> {
    caller.require(if request.push_as.is_some() {
        &[Scope::DiagramRead, Scope::DiagramWrite]
    } else {
        &[Scope::DiagramRead]
    })?;
    let format = format_of(request.format_type.as_deref())?;
    if extras.check_only && request.push_as.is_some() {
        return Err(Error::invalid("INVALID_INPUT", "`check_only` and `push_as` exclude each other")
            .hint("a diagram is saved only after everything was checked"));
    }
    if let Some(name) = &request.push_as {
        // Whatever is saved could be run, or be called by what may be run.
        may_run(app, caller, None)?;
        check_push_name(name)?;
    }
    let checked = check(app, caller, &request, format, &extras)?;
    let Checked { text, compiled, .. } = &checked;
    let is_fixed = request.fix == Some(true);
    let mut response = Response {
        report: Report::new(compiled, text),
        content: is_fixed.then(|| text.clone()),
        fixes: is_fixed.then(|| checked.fixes.clone()),
        pushed_as: None,
        uri: None,
        revision: None,
        rendered: extras.shown_as.as_deref().map(|name| Report::to_text(name, compiled, text)),
    };
    if let Some(path) = extras.write_to.as_deref().filter(|_| *text != request.content) {
        replace_file(path, text)?;
    }
    if let (Some(name), true) = (request.push_as, compiled.is_valid()) {
        let format = compiled.format.unwrap_or(Format::Light);
        push(app, caller, &name, text, &sha256(text), format, &extras, &mut response).await?;
    }
    Ok(response)
}

/// A text that was compiled, repaired or as it came.
struct Checked {
    text: String,
    compiled: Compiled,
    fixes: Vec<RepairReport>,
}

fn check(
    app: &App,
    caller: &Caller,
    request: &Request,
    format: Option<Format>,
    extras: &Extras,
) -> Result<Checked, Error> {
    let origin = match caller {
        Caller::Terminal { .. } => Origin::Local,
        Caller::Client(_) => Origin::Submitted,
    };
    // What a text may do hangs on its exact content.
    let world_of = |text: &str| {
        let rights = app.rights_of(origin, &sha256(text))?;
        let world = World::of(&app.config, (&app.languages, &app.ports), extras.base_dir.clone(), rights);
        Ok::<_, Error>(World { structure_only: extras.check_only, persons: app.persons_for(caller)?, ..world })
    };
    let world = world_of(&request.content)?;
    if request.fix != Some(true) {
        let compiled = compile(&request.content, format, &world);
        return Ok(Checked { text: request.content.clone(), compiled, fixes: Vec::new() });
    }
    let fixed = fix(&request.content, format, &world);
    let fixes: Vec<_> = fixed.repairs.iter().map(RepairReport::new).collect();
    let compiled =
        if fixes.is_empty() { fixed.compiled } else { compile(&fixed.text, format, &world_of(&fixed.text)?) };
    Ok(Checked { text: fixed.text, compiled, fixes })
}

/// Replaces a file as a whole.
fn replace_file(path: &Path, text: &str) -> Result<(), Error> {
    let temporary = path.with_extension("fixed.tmp");
    std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, path)).map_err(|source| {
        Error::external("FILE_FAILED", format!("`{}` cannot be written", path.display()))
            .hint("look at the rights of the file and its folder")
            .source(source)
    })
}

/// Stores a valid text as given, as a file of the workspace and as a revision; it counts as submitted until a
/// person trusts it.
#[expect(clippy::too_many_arguments, reason = "one call site; a struct would only name the same things twice")]
async fn push(
    app: &App,
    caller: &Caller,
    name: &str,
    text: &str,
    sha256: &str,
    format: Format,
    extras: &Extras,
    response: &mut Response,
) -> Result<(), Error> {
    let folder = extras.target_dir.as_deref().unwrap_or("projects/mcp-diagrams");
    check_relative(folder)?;
    let relative = format!("{folder}/{name}{}", format.suffix());
    let path = app.config.workspace.join(&relative);
    let _one_change = app.saving.lock().await;
    let existing = std::fs::read_to_string(&path).ok();
    if extras.create_only && existing.as_deref().is_some_and(|it| it != text) {
        return Err(Error::conflict("REVISION_CONFLICT", format!("`{name}` exists with another content"))
            .hint("push without `create_only` to make a new revision, or choose another name"));
    }
    // What somebody wrote by hand is not lost.
    record_present(app, name).await?;
    let new = NewRevision {
        diagram_id: name.to_owned(),
        source: Source { sha256: sha256.to_owned(), format: format.name().to_owned(), content: text.to_owned() },
        message: None,
        author: Some(caller.by()),
        submitted: true,
    };
    let revision = app.store()?.save_revision(new).await?;
    let rights = Rights::of(Origin::Local, false, false);
    app.ports.files.write(&relative, text.as_bytes(), &rights).await?;
    response.pushed_as = Some(name.to_owned());
    response.uri = Some(format!("dipeo://diagrams/{name}"));
    response.revision = Some(revision);
    Ok(())
}

/// A name to save under: letters, digits, `.`, `_`, `-`, with `/` between segments (surface.md 2.6).
pub(super) fn check_push_name(name: &str) -> Result<(), Error> {
    let is_segment = |it: &str| {
        !it.is_empty() && !it.starts_with('.') && it.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    if name.len() <= 100 && name.split('/').all(is_segment) {
        return Ok(());
    }
    let shown: String = name.chars().filter(|it| !it.is_control()).take(80).collect();
    Err(Error::invalid("INVALID_NAME", format!("`{shown}` is no name to save under"))
        .hint("use letters, digits, `.`, `_`, `-`, with `/` between folders, at most 100 characters"))
}

#[cfg(test)]
mod tests {
    use super::check_push_name;

    #[test]
    fn names_that_could_leave_the_folder_are_refused() {
        for name in ["", "../x", "a/../b", "/x", ".hidden", "a//b", "a b", "x\\y", "a/.b", &"x".repeat(101), "ü"] {
            assert!(check_push_name(name).is_err(), "{name}");
        }
        for name in ["review", "team/review-2", "a.b_c"] {
            assert!(check_push_name(name).is_ok(), "{name}");
        }
    }
}
