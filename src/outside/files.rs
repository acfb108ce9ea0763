//! Files of the workspace: read whole, replaced whole, found by pattern. Everything is confined first;
//! the disk is only touched on tokio's threads for blocking work.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use glob::{MatchOptions, Pattern};

use super::confine::{self, confine};
use crate::error::Error;
use crate::limits;
use crate::nodes::Rights;
use crate::nodes::ports::{Change, Files};

/// Most entries of folders one glob looks at: a pattern over a huge tree must end.
const GLOB_ENTRIES_MAX: usize = 100_000;

/// `*` stays within a folder and does not match hidden names, as in a shell.
const GLOB_OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// The files below one folder.
pub struct WorkspaceFiles(Arc<Folder>);

/// What the threads for blocking work share.
struct Folder {
    root: PathBuf,
    /// Held while a file is read, changed and replaced, so two such changes never overlap.
    changing: Mutex<()>,
}

impl WorkspaceFiles {
    /// Gives access to the files below `root`; it is made when something is written.
    pub fn new(root: PathBuf) -> Arc<Self> {
        let root = std::path::absolute(&root).unwrap_or(root);
        Arc::new(Self(Arc::new(Folder { root, changing: Mutex::new(()) })))
    }

    /// Runs `work` where it may block.
    fn blocking<T: Send + 'static>(
        &self,
        path: &str,
        rights: &Rights,
        work: impl FnOnce(&Folder, &str, &Rights) -> Result<T, Error> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Error>> {
        let (folder, path, rights) = (Arc::clone(&self.0), path.to_owned(), rights.clone());
        Box::pin(async move {
            tokio::task::spawn_blocking(move || work(&folder, &path, &rights))
                .await
                .unwrap_or_else(|error| Err(Error::internal("file work did not end").source(error)))
        })
    }
}

impl Files for WorkspaceFiles {
    fn read<'a>(&'a self, path: &'a str, rights: &'a Rights) -> BoxFuture<'a, Result<Vec<u8>, Error>> {
        self.blocking(path, rights, |folder, path, rights| read(&confine(&folder.root, path, rights)?, path))
    }

    fn write<'a>(&'a self, path: &'a str, bytes: &'a [u8], rights: &'a Rights) -> BoxFuture<'a, Result<(), Error>> {
        let bytes = bytes.to_owned();
        self.blocking(path, rights, move |folder, path, rights| {
            replace(&confine(&folder.root, path, rights)?, path, &bytes)
        })
    }

    fn change<'a>(&'a self, path: &'a str, change: Change, rights: &'a Rights) -> BoxFuture<'a, Result<u64, Error>> {
        self.blocking(path, rights, move |folder, path, rights| {
            let _one_at_a_time = folder.changing.lock().unwrap_or_else(PoisonError::into_inner);
            let place = confine(&folder.root, path, rights)?;
            let before = match read(&place, path) {
                Ok(bytes) => Some(bytes),
                Err(error) if error.code() == "FILE_NOT_FOUND" => None,
                Err(error) => return Err(error),
            };
            let after = change(before)?;
            replace(&place, path, &after)?;
            Ok(after.len() as u64)
        })
    }

    fn remove<'a>(&'a self, path: &'a str, rights: &'a Rights) -> BoxFuture<'a, Result<(), Error>> {
        self.blocking(path, rights, |folder, path, rights| {
            let place = confine(&folder.root, path, rights)?;
            let described = fs::metadata(&place).map_err(|error| failed("remove", path, error))?;
            check_regular(&described, path)?;
            fs::remove_file(&place).map_err(|error| failed("remove", path, error))
        })
    }

    fn glob<'a>(&'a self, pattern: &'a str, rights: &'a Rights) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        self.blocking(pattern, rights, |folder, pattern, rights| find(&folder.root, pattern, rights))
    }

    fn exists<'a>(&'a self, path: &'a str, rights: &'a Rights) -> BoxFuture<'a, bool> {
        let found =
            self.blocking(path, rights, |folder, path, rights| Ok(confine(&folder.root, path, rights)?.is_file()));
        Box::pin(async { found.await.unwrap_or(false) })
    }

    fn root(&self) -> PathBuf {
        self.0.root.clone()
    }
}

fn read(place: &Path, path: &str) -> Result<Vec<u8>, Error> {
    let described = fs::metadata(place).map_err(|error| failed("read", path, error))?;
    check_regular(&described, path)?;
    let file = File::open(place).map_err(|error| failed("read", path, error))?;
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that grew meanwhile.
    file.take(limits::FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| failed("read", path, error))?;
    check_size(bytes.len() as u64, path)?;
    Ok(bytes)
}

/// Writes a new file beside `place` and renames it over it, so that readers see the old bytes or the new.
fn replace(place: &Path, path: &str, bytes: &[u8]) -> Result<(), Error> {
    check_size(bytes.len() as u64, path)?;
    let folder = place.parent().ok_or_else(|| failed("write", path, io::ErrorKind::IsADirectory.into()))?;
    let before = fs::metadata(place).ok();
    if let Some(described) = &before {
        check_regular(described, path)?;
    }
    fs::create_dir_all(folder).map_err(|error| failed("write", path, error))?;
    let beside = folder.join(format!(".{}.tmp", uuid::Uuid::new_v4().simple()));
    let written = write_new(&beside, bytes, before.as_ref()).and_then(|()| fs::rename(&beside, place));
    written.map_err(|error| {
        // The error that matters is the first one; what is left over is only a hidden file.
        let _ = fs::remove_file(&beside);
        failed("write", path, error)
    })
}

fn write_new(place: &Path, bytes: &[u8], before: Option<&Metadata>) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(place)?;
    file.write_all(bytes)?;
    match before {
        Some(before) => file.set_permissions(before.permissions()),
        None => Ok(()),
    }
}

/// Only regular files: a pipe or device could keep a reader waiting for ever.
fn check_regular(described: &Metadata, path: &str) -> Result<(), Error> {
    if described.is_file() {
        return check_size(described.len(), path);
    }
    let kind = if described.is_dir() { "a folder" } else { "no regular file" };
    Err(Error::external("FILE_FAILED", format!("`{path}` is {kind}")).hint("name a regular file").retryable(true))
}

fn check_size(size_bytes: u64, path: &str) -> Result<(), Error> {
    if size_bytes <= limits::FILE_BYTES_MAX {
        return Ok(());
    }
    let message = format!("`{path}` is larger than {} bytes", limits::FILE_BYTES_MAX);
    Err(Error::limit("FILE_FAILED", message).hint("split it into smaller files").retryable(true))
}

fn failed(verb: &str, path: &str, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::NotFound {
        return Error::not_found("FILE_NOT_FOUND", format!("file `{path}` does not exist"))
            .hint("paths are relative to the workspace")
            .retryable(true);
    }
    Error::external("FILE_FAILED", format!("cannot {verb} `{path}`: {}", error.kind())).retryable(true).source(error)
}

/// Walks from the deepest folder that `pattern` names outright. Folders behind links are not entered.
fn find(root: &Path, pattern: &str, rights: &Rights) -> Result<Vec<String>, Error> {
    let parts: Vec<String> =
        confine::parts(root, pattern, rights)?.into_iter().filter_map(|it| it.into_string().ok()).collect();
    let wanted = parts.join("/");
    let matcher = Pattern::new(&wanted).map_err(|error| {
        Error::external("FILE_FAILED", format!("`{pattern}` is no pattern: {}", error.msg))
            .hint("use `*`, `**` between slashes, `?` and `[abc]`")
            .retryable(true)
    })?;
    let n_plain =
        parts.iter().take_while(|it| !it.contains(['*', '?', '['])).count().min(parts.len().saturating_sub(1));
    let plain = if n_plain == 0 { ".".to_owned() } else { parts[..n_plain].join("/") };
    let depth_max = if parts.iter().any(|it| it == "**") { usize::MAX } else { parts.len() };
    let start = confine(root, &plain, rights)?;
    let mut walk = Walk { real_root: confine::real_root(root)?, rights, matcher, found: Vec::new(), n_seen: 0 };
    let mut folders = vec![(start, parts[..n_plain].to_vec())];
    while let Some((folder, below)) = folders.pop() {
        let deeper = walk.folder(&folder, &below, pattern)?;
        folders.extend(deeper.into_iter().filter(|(_, below)| below.len() < depth_max));
    }
    walk.found.sort();
    Ok(walk.found)
}

struct Walk<'a> {
    real_root: PathBuf,
    rights: &'a Rights,
    matcher: Pattern,
    found: Vec<String>,
    n_seen: usize,
}

impl Walk<'_> {
    /// Takes the files of one folder that match and returns the folders in it.
    fn folder(&mut self, folder: &Path, below: &[String], pattern: &str) -> Result<Vec<(PathBuf, Vec<String>)>, Error> {
        let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
        let mut deeper = Vec::new();
        for entry in entries.flatten() {
            self.n_seen += 1;
            if self.n_seen > GLOB_ENTRIES_MAX {
                return Err(too_many(pattern, "looks at", GLOB_ENTRIES_MAX));
            }
            let Ok(name) = entry.file_name().into_string() else { continue };
            let mut path = below.to_vec();
            path.push(name);
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                if confine::is_allowed(&self.real_root, &entry.path(), self.rights) {
                    deeper.push((entry.path(), path));
                }
            } else if self.matcher.matches_with(&path.join("/"), GLOB_OPTIONS) && self.is_readable(&entry.path()) {
                if self.found.len() == limits::GLOB_FILES_MAX {
                    return Err(too_many(pattern, "matches", limits::GLOB_FILES_MAX));
                }
                self.found.push(path.join("/"));
            }
        }
        Ok(deeper)
    }

    /// Whether `place` is a regular file, links resolved, that the diagram may read.
    fn is_readable(&self, place: &Path) -> bool {
        place
            .canonicalize()
            .is_ok_and(|real| real.is_file() && confine::is_allowed(&self.real_root, &real, self.rights))
    }
}

fn too_many(pattern: &str, verb: &str, most: usize) -> Error {
    Error::limit("FILE_FAILED", format!("pattern `{pattern}` {verb} more than {most} files"))
        .hint("write a narrower pattern")
        .retryable(true)
}

#[cfg(test)]
mod tests;
