//! Where sessions lie: one folder for each project, one file for each session.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::handlers::App;

/// Suffix of the file of a session.
const SUFFIX: &str = "jsonl";

/// The file of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SessionFile {
    pub(super) id: String,
    pub(super) path: PathBuf,
    pub(super) size_bytes: u64,
    /// When it was last written, in milliseconds since 1970; only to sort by.
    pub(super) modified_ms: u128,
}

/// Returns the folder of a project: a folder of `projects`, the path of the project it belongs to, or any
/// folder; without a name the one that changed last.
///
/// # Errors
///
/// `SESSION_NOT_FOUND`.
pub(super) fn project(app: &App, name: Option<&str>) -> Result<PathBuf, Error> {
    let all = app.config.claude_dir.join("projects");
    let Some(name) = name else {
        return folders(&all).into_iter().max_by_key(|it| it.1).map(|it| it.0).ok_or_else(|| {
            Error::not_found("SESSION_NOT_FOUND", format!("there is no project in `{}`", all.display()))
                .hint("name the folder with the sessions: `dipeo dipeocc --project DIR …`")
        });
    };
    // The program names the folder of a project by its path, with a dash for everything unusual.
    let dashed: String = name.chars().map(|it| if it.is_ascii_alphanumeric() { it } else { '-' }).collect();
    let places = [all.join(name), all.join(dashed), PathBuf::from(name)];
    places.into_iter().find(|it| it.is_dir()).ok_or_else(|| {
        let known: Vec<String> =
            folders(&all).iter().filter_map(|it| Some(it.0.file_name()?.to_string_lossy().into_owned())).collect();
        let hint = match crate::nearest::nearest(name, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are: {}", known.join(", ")),
        };
        Error::not_found("SESSION_NOT_FOUND", format!("there is no project `{name}` in `{}`", all.display())).hint(hint)
    })
}

/// The folders of all projects, each with the time of its newest session.
fn folders(all: &Path) -> Vec<(PathBuf, u128)> {
    let entries = fs::read_dir(all).into_iter().flatten().flatten();
    entries
        .map(|it| it.path())
        .filter(|it| it.is_dir())
        .filter_map(|it| {
            let newest = sessions(&it).first()?.modified_ms;
            Some((it, newest))
        })
        .collect()
}

/// Returns the sessions of a folder, the newest first.
pub(super) fn sessions(folder: &Path) -> Vec<SessionFile> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<SessionFile> = entries.filter_map(|it| file(&it.path())).collect();
    found.sort_by(|a, b| b.modified_ms.cmp(&a.modified_ms).then_with(|| a.id.cmp(&b.id)));
    found
}

fn file(path: &Path) -> Option<SessionFile> {
    let id = path.file_stem()?.to_str().filter(|it| is_id(it))?.to_owned();
    let described = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    if path.extension().is_none_or(|it| it != SUFFIX) {
        return None;
    }
    let modified = described.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(SessionFile { id, path: path.to_owned(), size_bytes: described.len(), modified_ms: modified.as_millis() })
}

/// Whether a text may be the id of a session.
fn is_id(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|it| it.is_ascii_alphanumeric() || it == '_' || it == '-')
}

/// Returns the file of session `id`.
///
/// # Errors
///
/// `INVALID_INPUT` for what is no id, `SESSION_NOT_FOUND` with a near one.
pub(super) fn session(folder: &Path, id: &str) -> Result<SessionFile, Error> {
    if !is_id(id) {
        let shown: String = id.chars().filter(|it| !it.is_control()).take(80).collect();
        return Err(Error::invalid("INVALID_INPUT", format!("`{shown}` is no id of a session"))
            .hint("an id has letters, digits, `_` and `-`; `dipeo dipeocc list` shows them"));
    }
    file(&folder.join(format!("{id}.{SUFFIX}"))).ok_or_else(|| {
        let all = sessions(folder);
        let hint = match crate::nearest::nearest(id, all.iter().map(|it| it.id.as_str())) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                "`dipeo dipeocc list` shows the sessions; another project is chosen with `--project DIR`".to_owned()
            }
        };
        Error::not_found("SESSION_NOT_FOUND", format!("there is no session `{id}` in `{}`", folder.display()))
            .hint(hint)
    })
}

/// Reads a session; bytes that are no UTF-8 are replaced.
///
/// # Errors
///
/// `FILE_FAILED`.
pub(super) fn read(file: &SessionFile) -> Result<String, Error> {
    let bytes = fs::read(&file.path).map_err(|error| {
        Error::external("FILE_FAILED", format!("cannot read `{}`: {}", file.path.display(), error.kind()))
            .hint("check the rights of the file")
            .source(error)
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_are_sessions_are_found() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["a-1.jsonl", "b_2.jsonl", "c.json", "d e.jsonl", ".jsonl"] {
            fs::write(folder.path().join(name), "").expect("written");
        }
        fs::create_dir(folder.path().join("e.jsonl")).expect("made");
        let mut ids: Vec<String> = sessions(folder.path()).into_iter().map(|it| it.id).collect();
        ids.sort();
        assert_eq!(ids, ["a-1", "b_2"]);
        assert_eq!(session(folder.path(), "a-1").expect("there").id, "a-1");
        for (id, code) in [("../a-1", "INVALID_INPUT"), ("", "INVALID_INPUT"), ("a-2", "SESSION_NOT_FOUND")] {
            let error = session(folder.path(), id).expect_err(id);
            assert_eq!(error.code(), code, "{id}");
            assert!(error.hint_text().is_some());
        }
    }
}
