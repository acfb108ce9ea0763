//! The diagrams of the workspace with their history. Whatever a file holds when it is looked at is a revision, so
//! nothing that is replaced or removed here is lost. A file is written after its text is in the database: what a
//! client sent is known as submitted before anybody can run it.

use super::list_diagrams::is_diagram;
use super::workspace::{Source, fits};
use super::{App, Caller};
use crate::diagram::{Format, Parsed, parse};
use crate::error::{Error, ErrorKind};
use crate::nodes::{Origin, Rights};
use crate::store::{self, NewRevision, RevisionRow};

/// Where new diagrams are written, below the workspace.
const FOLDER: &str = "projects/mcp-diagrams";
/// How often a save is tried again when other processes save the same diagram meanwhile.
const ATTEMPTS: usize = 5;

/// A diagram of the workspace as it is now.
pub(super) struct Kept {
    pub source: Source,
    /// Its file, below the workspace.
    pub relative: String,
    pub parsed: Parsed,
    /// The revision that its text is.
    pub row: RevisionRow,
}

impl Kept {
    pub fn format(&self) -> Format {
        format_of_file(&self.relative, &self.parsed)
    }
}

/// A text to save under a name.
pub(super) struct NewText<'a> {
    pub name: &'a str,
    pub text: &'a str,
    pub sha256: String,
    pub format: Format,
    pub message: Option<String>,
}

/// What a change counts on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expected {
    /// Nothing: a diagram is made, or replaced whatever it is.
    #[default]
    Anything,
    /// There is no diagram of this name.
    Nothing,
    /// It is at this revision.
    Revision(u64),
}

/// Finds a diagram of the workspace and the revision that its text is; a text that was changed by hand becomes one
/// now.
///
/// # Errors
///
/// `DIAGRAM_NOT_FOUND`, `INVALID_NAME`, `TOO_LARGE`, what files and the database say.
pub(super) async fn kept(app: &App, name: &str) -> Result<Kept, Error> {
    let found = find(app, name)?;
    if let Some(row) = row_of(app, &found)? {
        return Ok(found.kept(row));
    }
    let _one_change = app.saving.lock().await;
    recorded(app, name).await
}

/// As [`kept`], for whoever holds `app.saving`.
async fn recorded(app: &App, name: &str) -> Result<Kept, Error> {
    for _ in 0..ATTEMPTS {
        let found = find(app, name)?;
        let newest = newest(app, &found.source.diagram_id)?;
        if let Some(row) = newest.clone().filter(|it| it.sha256 == found.source.sha256) {
            return Ok(found.kept(row));
        }
        let new = NewRevision {
            diagram_id: found.source.diagram_id.clone(),
            source: store::Source {
                sha256: found.source.sha256.clone(),
                format: format_of_file(&found.relative, &found.parsed).name().to_owned(),
                content: found.source.text.clone(),
            },
            message: None,
            author: None,
            submitted: false,
        };
        app.store()?.save_revision_after(newest.map(|it| it.n), new).await?;
    }
    Err(changes_all_the_time(name))
}

struct Found {
    source: Source,
    relative: String,
    parsed: Parsed,
}

impl Found {
    fn kept(self, row: RevisionRow) -> Kept {
        Kept { source: self.source, relative: self.relative, parsed: self.parsed, row }
    }
}

fn find(app: &App, name: &str) -> Result<Found, Error> {
    let source = app.workspace.open_named(name, None)?;
    let root = app.workspace.root();
    let below = source.path.as_deref().and_then(|it| it.strip_prefix(root).ok());
    let relative = below.map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
    let parsed = parse(&source.text, None);
    if is_diagram(&relative, &parsed) {
        return Ok(Found { source, relative, parsed });
    }
    let message = format!("there is no diagram `{}`", source.diagram_id);
    Err(Error::not_found("DIAGRAM_NOT_FOUND", message).hint(format!("`{relative}` is a file, but no diagram")))
}

fn newest(app: &App, diagram_id: &str) -> Result<Option<RevisionRow>, Error> {
    match app.existing_store()? {
        Some(store) => store.revision(diagram_id, None),
        None => Ok(None),
    }
}

fn row_of(app: &App, found: &Found) -> Result<Option<RevisionRow>, Error> {
    Ok(newest(app, &found.source.diagram_id)?.filter(|it| it.sha256 == found.source.sha256))
}

fn format_of_file(relative: &str, parsed: &Parsed) -> Format {
    let by_name = || [Format::Readable, Format::Native].into_iter().find(|it| relative.ends_with(it.suffix()));
    parsed.diagram.as_ref().map(|it| it.format).or_else(by_name).unwrap_or(Format::Light)
}

/// Saves a text as the newest revision of a diagram and writes its file; what the file held stays in the history.
/// Says whether there was no such diagram before.
///
/// # Errors
///
/// `ALREADY_EXISTS`, `REVISION_CONFLICT`, `DIAGRAM_NOT_FOUND` (a revision is expected of what is not there),
/// `INVALID_NAME`, what files and the database say.
pub(super) async fn save(
    app: &App,
    caller: &Caller,
    new: NewText<'_>,
    expected: Expected,
) -> Result<(Kept, bool), Error> {
    let _one_change = app.saving.lock().await;
    for _ in 0..ATTEMPTS {
        let before = match recorded(app, new.name).await {
            Ok(kept) => Some(kept),
            Err(e) if e.kind() == ErrorKind::NotFound && expected == Expected::Anything => None,
            Err(e) if e.kind() == ErrorKind::NotFound && expected == Expected::Nothing => None,
            Err(e) => return Err(e),
        };
        check_expected(new.name, expected, before.as_ref())?;
        let diagram_id = before.as_ref().map_or(new.name, |it| &it.source.diagram_id).to_owned();
        let relative = place(app, &new, before.as_ref())?;
        let newest = newest(app, &diagram_id)?.map(|it| it.n);
        let revision = NewRevision {
            diagram_id,
            source: store::Source {
                sha256: new.sha256.clone(),
                format: new.format.name().to_owned(),
                content: new.text.to_owned(),
            },
            message: new.message.clone(),
            author: Some(caller.by()),
            submitted: matches!(caller, Caller::Client(_)),
        };
        if app.store()?.save_revision_after(newest, revision).await?.is_some() {
            write(app, &relative, new.text, before.as_ref()).await?;
            return Ok((recorded(app, new.name).await?, before.is_none()));
        }
    }
    Err(changes_all_the_time(new.name))
}

fn check_expected(name: &str, expected: Expected, before: Option<&Kept>) -> Result<(), Error> {
    match (expected, before) {
        (Expected::Nothing, Some(it)) => {
            Err(Error::conflict("ALREADY_EXISTS", format!("there is a diagram `{}` already", it.source.diagram_id))
                .hint("replace it, or choose another name"))
        }
        (Expected::Revision(n), Some(it)) if it.row.n != n => {
            Err(Error::conflict("REVISION_CONFLICT", format!("`{name}` is at revision {}, not {n}", it.row.n))
                .hint("read it again and make the change to what it is now")
                .details(serde_json::json!({ "revision": it.row.n })))
        }
        _ => Ok(()),
    }
}

/// The file that will hold the text: the present one, or one with the suffix of another format beside it.
fn place(app: &App, new: &NewText<'_>, before: Option<&Kept>) -> Result<String, Error> {
    let relative = match before {
        Some(it) if it.format() == new.format || fits(&it.relative, Some(new.format)) => {
            return Ok(it.relative.clone());
        }
        Some(it) => {
            let suffix = super::workspace::SUFFIXES.iter().filter(|suffix| it.relative.ends_with(**suffix));
            let n_suffix = suffix.map(|it| it.len()).max().unwrap_or_default();
            format!("{}{}", &it.relative[..it.relative.len() - n_suffix], new.format.suffix())
        }
        None => format!("{FOLDER}/{}{}", new.name, new.format.suffix()),
    };
    let shadows = app.workspace.locate(new.name, None).is_some() && before.is_none();
    if shadows || app.workspace.root().join(&relative).exists() {
        return Err(Error::conflict("ALREADY_EXISTS", format!("the name `{}` belongs to another file", new.name))
            .hint("choose another name"));
    }
    Ok(relative)
}

async fn write(app: &App, relative: &str, text: &str, before: Option<&Kept>) -> Result<(), Error> {
    let rights = Rights::of(Origin::Local, false, false);
    app.ports.files.write(relative, text.as_bytes(), &rights).await?;
    match before {
        Some(it) if it.relative != relative => app.ports.files.remove(&it.relative, &rights).await,
        _ => Ok(()),
    }
}

/// Removes the file of a diagram; its text stays in the history.
///
/// # Errors
///
/// As [`kept`], `REVISION_CONFLICT`.
pub(super) async fn remove(app: &App, name: &str, expected: Expected) -> Result<Kept, Error> {
    let _one_change = app.saving.lock().await;
    let kept = recorded(app, name).await?;
    check_expected(name, expected, Some(&kept))?;
    app.ports.files.remove(&kept.relative, &Rights::of(Origin::Local, false, false)).await?;
    Ok(kept)
}

/// Makes a revision of what a file holds that is about to be replaced, if it is none yet. For whoever holds
/// `app.saving`.
///
/// # Errors
///
/// What files and the database say.
pub(super) async fn record_present(app: &App, diagram_id: &str) -> Result<(), Error> {
    match recorded(app, diagram_id).await {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn changes_all_the_time(name: &str) -> Error {
    Error::conflict("REVISION_CONFLICT", format!("`{name}` is being changed all the time"))
        .hint("others save this diagram right now; try again")
}
