//! Decides whether a path stays inside the workspace. Looks at the disk (symbolic links are resolved) and
//! never opens a file.

use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::error::Error;
use crate::nodes::{FileScope, Rights};

/// The folder of our own state; nodes never see it.
const STATE_FOLDER: &str = ".dipeo";
/// The only folder of diagrams that may not touch the whole workspace.
const FILES_FOLDER: &str = "files";
/// Symbolic links are followed by the system; this only bounds our walk up to the deepest existing folder.
const PARTS_MAX: usize = 256;

/// Returns where `path` really is: below `root`, symbolic links resolved, within what `rights` allow.
/// What does not exist yet is named below its deepest existing folder.
///
/// # Errors
///
/// `PATH_NOT_ALLOWED`, or `FILE_FAILED` when the disk does not answer.
pub fn confine(root: &Path, path: &str, rights: &Rights) -> Result<PathBuf, Error> {
    let parts = parts(root, path, rights)?;
    let real_root = real_root(root)?;
    let mut real = real_root.clone();
    let mut missing: Option<PathBuf> = None;
    for part in parts {
        if let Some(missing) = &mut missing {
            missing.push(part);
            continue;
        }
        let next = real.join(&part);
        match next.canonicalize() {
            Ok(found) => real = found,
            // A link to nowhere must not be written through.
            Err(_) if next.symlink_metadata().is_ok() => return Err(refused(path, rights)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing = Some(PathBuf::from(part)),
            Err(error) => return Err(unreadable(path, error)),
        }
        check_inside(&real_root, &real, missing.as_deref(), path, rights)?;
    }
    let real = missing.map_or(real.clone(), |it| real.join(it));
    check_scope(&real_root, &real, path, rights)?;
    Ok(real)
}

/// Returns the real path of the workspace root; one that does not exist yet stands for itself.
///
/// # Errors
///
/// `FILE_FAILED` when the disk does not answer.
pub fn real_root(root: &Path) -> Result<PathBuf, Error> {
    match root.canonicalize() {
        Ok(real) => Ok(real),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(root.to_owned()),
        Err(error) => Err(unreadable(".", error)),
    }
}

/// Returns the parts of `path` below the root as written, without looking at the disk.
///
/// # Errors
///
/// `PATH_NOT_ALLOWED`.
pub fn parts(root: &Path, path: &str, rights: &Rights) -> Result<Vec<OsString>, Error> {
    if path.contains('\0') || path.trim().is_empty() {
        return Err(refused(path, rights));
    }
    let written = Path::new(path);
    let below = if written.is_absolute() {
        let real = real_root(root)?;
        let below = written.strip_prefix(root).or_else(|_| written.strip_prefix(&real));
        below.map_err(|_| refused(path, rights))?
    } else {
        written
    };
    let mut parts = Vec::new();
    for component in below.components() {
        match component {
            Component::Normal(part) => parts.push(part.to_owned()),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(refused(path, rights)),
        }
    }
    if parts.len() > PARTS_MAX || parts.first().is_some_and(|it| is_state_folder(it)) {
        return Err(refused(path, rights));
    }
    Ok(parts)
}

/// Whether `real`, a path with all links resolved, is one that `rights` allow.
pub fn is_allowed(real_root: &Path, real: &Path, rights: &Rights) -> bool {
    let Ok(below) = real.strip_prefix(real_root) else { return false };
    let first = below.components().next().map(|it| it.as_os_str().to_owned());
    let in_scope = match rights.files {
        FileScope::Workspace => true,
        FileScope::FilesFolder => first.as_deref().is_some_and(|it| it == FILES_FOLDER),
    };
    in_scope && !first.is_some_and(|it| is_state_folder(&it))
}

/// The refusal of `path`, naming the rule.
pub fn refused(path: &str, rights: &Rights) -> Error {
    let shown: String = path.chars().take(200).collect();
    let hint = match rights.files {
        FileScope::Workspace => {
            "write a path relative to the workspace; it must stay inside it, symbolic links resolved, and outside of `.dipeo/`"
        }
        FileScope::FilesFolder => {
            "this diagram may only touch files below `files/` of the workspace; a person can allow more with `dipeo trust NAME`"
        }
    };
    Error::refused("PATH_NOT_ALLOWED", format!("`{}` is not a path this diagram may use", shown.escape_debug()))
        .hint(hint)
}

fn unreadable(path: &str, error: io::Error) -> Error {
    Error::external("FILE_FAILED", format!("cannot look at `{path}`: {}", error.kind())).retryable(true).source(error)
}

// On disks that fold case `.DIPEO` is the same folder.
fn is_state_folder(part: &std::ffi::OsStr) -> bool {
    part.eq_ignore_ascii_case(STATE_FOLDER)
}

/// Stops at the first step that leaves the workspace, so nothing outside is looked at further.
fn check_inside(root: &Path, real: &Path, missing: Option<&Path>, path: &str, rights: &Rights) -> Result<(), Error> {
    let whole = missing.map_or(real.to_owned(), |it| real.join(it));
    let everything = Rights { files: FileScope::Workspace, ..rights.clone() };
    if is_allowed(root, &whole, &everything) { Ok(()) } else { Err(refused(path, rights)) }
}

fn check_scope(root: &Path, real: &Path, path: &str, rights: &Rights) -> Result<(), Error> {
    if is_allowed(root, real, rights) { Ok(()) } else { Err(refused(path, rights)) }
}
