//! Finds diagrams: by path for a person at the terminal, by name inside the workspace for everybody
//! (surface.md 3.2). No name ever reaches a file outside the root.

use std::path::{Component, Path, PathBuf};

use crate::config::sha256;
use crate::diagram::Format;
use crate::error::Error;
use crate::limits;
use crate::nearest::nearest;
use crate::nodes::ChildFile;

/// Where names are looked up, below the root; the first hit wins.
pub const FOLDERS: [&str; 6] =
    ["", "examples", "examples/simple_diagrams", "projects", "projects/mcp-diagrams", "files"];
/// Suffixes of diagram files, in the order they are tried.
pub const SUFFIXES: [&str; 7] =
    [".light.yaml", ".light.yml", ".yaml", ".yml", ".readable.yaml", ".native.json", ".json"];
/// Deepest folder that is listed below each of [`FOLDERS`].
const LIST_DEPTH_MAX: usize = 6;
/// Most files that are looked at for one list.
const LIST_FILES_MAX: usize = 5_000;

/// The text of a diagram and where it came from.
#[derive(Clone, Debug)]
pub struct Source {
    pub text: String,
    pub sha256: String,
    /// The name in the workspace, the path as typed, or `inline`.
    pub diagram_id: String,
    pub path: Option<PathBuf>,
    /// The file lies in the workspace.
    pub is_in_workspace: bool,
}

impl Source {
    /// The folder its file lies in.
    pub fn folder(&self) -> Option<PathBuf> {
        let folder = self.path.as_deref()?.parent()?;
        Some(folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf()))
    }

    /// A text a client sent.
    pub fn inline(text: String) -> Self {
        Self { sha256: sha256(&text), text, diagram_id: "inline".into(), path: None, is_in_workspace: false }
    }
}

/// A diagram file of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Path below its folder, without suffix.
    pub name: String,
    pub path: PathBuf,
    /// Relative to the root, with `/`.
    pub relative: String,
}

/// The diagrams below one root.
#[derive(Clone, Debug)]
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The workspace at `root`.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Opens what a person typed: a path, else a name.
    ///
    /// # Errors
    ///
    /// `DIAGRAM_NOT_FOUND` with the folders tried and near names, `TOO_LARGE`, `FILE_FAILED`.
    pub fn open_typed(&self, typed: &str, working_dir: &Path, format: Option<Format>) -> Result<Source, Error> {
        let path = working_dir.join(typed);
        if path.is_file() {
            let root = self.root.canonicalize().unwrap_or_else(|_| self.root.clone());
            let resolved = path.canonicalize().unwrap_or_else(|_| path.clone());
            let relative = resolved.strip_prefix(&root).ok().map(relative_text);
            let is_in_workspace = relative.is_some();
            let diagram_id = match relative {
                Some(relative) => name_of(&relative),
                None => typed.to_owned(),
            };
            return self.read(&path, diagram_id, is_in_workspace);
        }
        self.open_named(typed, format)
    }

    /// Opens a diagram of the workspace by name or `dipeo://diagrams/` URI.
    ///
    /// # Errors
    ///
    /// As [`Workspace::open_typed`], `INVALID_NAME` for a name that is no plain relative path.
    pub fn open_named(&self, name: &str, format: Option<Format>) -> Result<Source, Error> {
        let name = name.strip_prefix("dipeo://diagrams/").unwrap_or(name);
        check_relative(name)?;
        match self.locate(name, format) {
            Some(found) => self.read(&found.path, found.name, true),
            None => Err(self.not_found(name)),
        }
    }

    /// Finds the file of a name.
    pub fn locate(&self, name: &str, format: Option<Format>) -> Option<Found> {
        for folder in FOLDERS {
            for suffix in std::iter::once("").chain(SUFFIXES) {
                let relative =
                    if folder.is_empty() { format!("{name}{suffix}") } else { format!("{folder}/{name}{suffix}") };
                let path = self.root.join(&relative);
                if path.is_file() && self.confines(&path) && fits(&relative, format) && has_suffix(&relative) {
                    return Some(Found { name: name_of(&relative), path, relative });
                }
            }
        }
        None
    }

    /// Opens the diagram that another one names: beside it first (for a file a person runs at the terminal),
    /// then as any name of the workspace.
    ///
    /// # Errors
    ///
    /// As [`Workspace::open_named`].
    pub fn open_child(&self, name: &str, beside: Option<&Path>, format: Option<Format>) -> Result<Source, Error> {
        let name = name.strip_prefix("dipeo://diagrams/").unwrap_or(name);
        check_relative(name)?;
        match beside.and_then(|it| find_in(it, name, format)) {
            Some(path) => {
                let diagram_id = self.relative(&path).map_or_else(|| path.display().to_string(), |it| name_of(&it));
                let is_in_workspace = self.confines(&path);
                self.read(&path, diagram_id, is_in_workspace)
            }
            None => self.open_named(name, format),
        }
    }

    /// Finds the file that [`Workspace::open_child`] would open.
    ///
    /// # Errors
    ///
    /// Where it was looked for, and the nearest name.
    pub fn find_child(&self, name: &str, beside: Option<&Path>, format: Option<Format>) -> Result<PathBuf, ChildFile> {
        let name = name.strip_prefix("dipeo://diagrams/").unwrap_or(name);
        if check_relative(name).is_err() {
            return Err(ChildFile::NotFound { places: Vec::new(), near: None });
        }
        if let Some(path) = beside.and_then(|it| find_in(it, name, format)) {
            return Ok(path);
        }
        if let Some(found) = self.locate(name, format) {
            return Ok(found.path);
        }
        let all = self.list();
        let near = nearest(name, all.iter().map(|it| it.name.as_str())).map(str::to_owned);
        let folder = beside.map(|it| it.display().to_string());
        let folders = FOLDERS.iter().map(|it| if it.is_empty() { ".".to_owned() } else { (*it).to_owned() });
        Err(ChildFile::NotFound { places: folder.into_iter().chain(folders).collect(), near })
    }

    fn relative(&self, path: &Path) -> Option<String> {
        let (root, path) = (self.root.canonicalize().ok()?, path.canonicalize().ok()?);
        path.strip_prefix(&root).ok().map(relative_text)
    }

    /// Every diagram file once, by path.
    pub fn list(&self) -> Vec<Found> {
        let mut files = Vec::new();
        for folder in ["examples", "projects", "files"] {
            self.walk(&self.root.join(folder), LIST_DEPTH_MAX, &mut files);
        }
        // The root itself is listed flat: a workspace may be a whole source tree.
        self.walk(&self.root, 0, &mut files);
        files.sort();
        files.dedup();
        files
            .into_iter()
            .filter_map(|path| {
                let relative = relative_text(path.strip_prefix(&self.root).ok()?);
                Some(Found { name: name_of(&relative), path, relative })
            })
            .collect()
    }

    fn walk(&self, folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            if files.len() >= LIST_FILES_MAX {
                return;
            }
            let Ok(kind) = entry.file_type() else { continue };
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|it| !it.starts_with('.')) else { continue };
            if kind.is_dir() && depth > 0 {
                self.walk(&entry.path(), depth - 1, files);
            } else if kind.is_file() && has_suffix(name) {
                files.push(entry.path());
            }
        }
    }

    /// Whether a path lies below the root after links are resolved, and not in `.dipeo`.
    fn confines(&self, path: &Path) -> bool {
        let (Ok(root), Ok(resolved)) = (self.root.canonicalize(), path.canonicalize()) else { return false };
        resolved.strip_prefix(&root).is_ok_and(|it| !it.starts_with(".dipeo"))
    }

    fn read(&self, path: &Path, diagram_id: String, is_in_workspace: bool) -> Result<Source, Error> {
        let shown = diagram_id.clone();
        let failed = |e: std::io::Error| {
            Error::external("FILE_FAILED", format!("cannot read `{shown}`: {}", e.kind()))
                .hint("check the file's rights")
                .source(e)
        };
        let size = std::fs::metadata(path).map_err(failed)?.len();
        if size > limits::DIAGRAM_BYTES_MAX as u64 {
            return Err(Error::limit(
                "TOO_LARGE",
                format!("`{diagram_id}` has {size} bytes; a diagram may have {}", limits::DIAGRAM_BYTES_MAX),
            )
            .hint("keep data in files that nodes read"));
        }
        let bytes = std::fs::read(path).map_err(failed)?;
        let text = String::from_utf8(bytes).map_err(|_| {
            Error::invalid("INVALID_FORMAT", format!("`{diagram_id}` is no UTF-8 text")).hint("save it as UTF-8")
        })?;
        Ok(Source { sha256: sha256(&text), text, diagram_id, path: Some(path.to_path_buf()), is_in_workspace })
    }

    fn not_found(&self, name: &str) -> Error {
        let all = self.list();
        let mut near: Vec<&str> = Vec::new();
        let mut rest: Vec<&str> = all.iter().map(|it| it.name.as_str()).collect();
        while near.len() < 3
            && let Some(found) = nearest(name, rest.iter().copied())
        {
            near.push(found);
            rest.retain(|it| *it != found);
        }
        let folders = FOLDERS.map(|it| if it.is_empty() { "." } else { it }).join(", ");
        let hint = if near.is_empty() {
            format!("looked in {folders}; `dipeo list` shows what there is")
        } else {
            format!(
                "did you mean {}? looked in {folders}",
                near.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(" or ")
            )
        };
        let shown: String = name.chars().take(100).collect();
        Error::not_found("DIAGRAM_NOT_FOUND", format!("there is no diagram `{shown}`")).hint(hint)
    }
}

/// Finds the file of a name in one folder, not following links out of it.
fn find_in(folder: &Path, name: &str, format: Option<Format>) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    let file = |suffix: &str| folder.join(format!("{name}{suffix}"));
    std::iter::once("").chain(SUFFIXES).map(|suffix| (suffix, file(suffix))).find_map(|(suffix, path)| {
        let full = format!("{name}{suffix}");
        let is_inside = path.canonicalize().is_ok_and(|it| it.starts_with(&folder));
        (path.is_file() && is_inside && has_suffix(&full) && fits(&full, format)).then_some(path)
    })
}

/// Refuses everything but a plain relative path.
///
/// # Errors
///
/// `INVALID_NAME`.
pub fn check_relative(name: &str) -> Result<(), Error> {
    let is_plain = !name.is_empty()
        && name.len() <= 200
        && !name.contains(['\0', '\\'])
        && Path::new(name)
            .components()
            .all(|it| matches!(it, Component::Normal(part) if !part.to_string_lossy().starts_with('.')));
    if is_plain {
        return Ok(());
    }
    let shown: String = name.chars().filter(|it| !it.is_control()).take(80).collect();
    Err(Error::invalid("INVALID_NAME", format!("`{shown}` is no diagram name"))
        .hint("a name is a path inside the workspace such as `review` or `team/review`; `search` lists them"))
}

/// The name of a diagram file: below its folder, without suffix.
pub(super) fn name_of(relative: &str) -> String {
    let folder = FOLDERS
        .iter()
        .filter(|it| !it.is_empty() && relative.strip_prefix(**it).is_some_and(|rest| rest.starts_with('/')))
        .max_by_key(|it| it.len());
    let below = folder.map_or(relative, |it| &relative[it.len() + 1..]);
    let suffix = SUFFIXES.iter().filter(|it| below.ends_with(**it)).max_by_key(|it| it.len());
    suffix.map_or(below, |it| &below[..below.len() - it.len()]).to_owned()
}

pub(super) fn has_suffix(name: &str) -> bool {
    SUFFIXES.iter().any(|it| name.ends_with(it))
}

/// Whether a file of this name may hold a diagram of this format.
pub(super) fn fits(relative: &str, format: Option<Format>) -> bool {
    match format {
        None => true,
        Some(Format::Native) => relative.ends_with(".json"),
        Some(Format::Readable) => relative.ends_with(".yaml") && !relative.ends_with(".light.yaml"),
        Some(Format::Light) => {
            relative.ends_with(".yml") || relative.ends_with(".yaml") && !relative.ends_with(".readable.yaml")
        }
    }
}

fn relative_text(path: &Path) -> String {
    path.components().map(|it| it.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_path_below_its_folder_without_suffix() {
        for (relative, name) in [
            ("examples/hello.light.yaml", "hello"),
            ("projects/mcp-diagrams/team/review.yaml", "team/review"),
            ("projects/x.native.json", "x"),
            ("top.yml", "top"),
            ("other/deep.light.yaml", "other/deep"),
        ] {
            assert_eq!(name_of(relative), name, "{relative}");
        }
    }

    #[test]
    fn hostile_names_are_refused_before_any_file_is_touched() {
        for name in
            ["", "../x", "a/../../x", "/etc/passwd", ".dipeo/data", "a\0b", "a\\b", "./../x", "..", &"x".repeat(300)]
        {
            assert_eq!(check_relative(name).expect_err(name).code(), "INVALID_NAME", "{name}");
        }
        assert!(check_relative("team/review").is_ok());
    }

    #[test]
    #[cfg(unix)]
    fn a_link_out_of_the_workspace_is_not_followed() {
        let outside = tempfile::tempdir().expect("folder");
        let inside = tempfile::tempdir().expect("folder");
        std::fs::write(outside.path().join("secret.light.yaml"), "nodes: []").expect("written");
        std::os::unix::fs::symlink(outside.path().join("secret.light.yaml"), inside.path().join("leak.light.yaml"))
            .expect("linked");
        let workspace = Workspace::new(inside.path().to_path_buf());
        assert_eq!(workspace.open_named("leak", None).expect_err("outside").code(), "DIAGRAM_NOT_FOUND");
    }
}
