//! Where manifests are: `integrations/**/provider.{yaml,yml,json}` of the workspace, then those that come
//! with the program.

use std::path::{Path, PathBuf};

use crate::diagram::{Bounds, load_within};
use crate::integrations::shipped;
use crate::limits;

/// File names of manifests.
const FILE_NAMES: [&str; 3] = ["provider.yaml", "provider.yml", "provider.json"];
/// Deepest folder that is searched, counted from `integrations/`.
const DEPTH_MAX: usize = 6;

/// The text of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Path relative to the workspace, or `shipped with dipeo`.
    pub shown: String,
    /// `None` for a shipped one.
    pub path: Option<PathBuf>,
    pub text: String,
}

/// Returns the manifest of the provider `name`.
pub fn manifest(root: &Path, name: &str) -> Option<Found> {
    let own = files(&root.join("integrations"));
    // Usually the folder has the name of the provider; then no other file is read.
    let (likely, others): (Vec<_>, Vec<_>) =
        own.into_iter().partition(|it| it.parent().and_then(Path::file_name).is_some_and(|it| it == name));
    let texts = likely.into_iter().chain(others).filter_map(|path| Some((read_text(&path)?, path)));
    let own = texts.map(|(text, path)| Found { shown: shown(root, &path), path: Some(path), text });
    own.into_iter().find(|it| name_of(&it.text).is_some_and(|it| it == name)).or_else(|| shipped_one(name))
}

/// Returns every manifest: the workspace's by path, then the shipped ones that it does not replace.
pub fn all(root: &Path) -> Vec<Found> {
    let own = files(&root.join("integrations"));
    let mut found: Vec<Found> = own
        .into_iter()
        .filter_map(|path| Some(Found { shown: shown(root, &path), text: read_text(&path)?, path: Some(path) }))
        .collect();
    let names: Vec<String> = found.iter().filter_map(|it| name_of(&it.text)).collect();
    let others = shipped::ALL.iter().filter(|it| !names.iter().any(|name| name == it.name));
    found.extend(others.filter_map(|it| shipped_one(it.name)));
    found
}

/// The names of all providers, sorted.
pub fn names(root: &Path) -> Vec<String> {
    let mut names: Vec<String> = all(root).iter().filter_map(|it| name_of(&it.text)).collect();
    names.sort();
    names.dedup();
    names
}

/// Every manifest below `folder`, sorted. Links are not followed.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![(folder.to_path_buf(), 0)];
    while let Some((folder, depth)) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && depth < DEPTH_MAX {
                open.push((entry.path(), depth + 1));
            } else if kind.is_file() && FILE_NAMES.iter().any(|it| entry.file_name() == *it) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// Reads a manifest file that is not too large.
pub fn read_text(path: &Path) -> Option<String> {
    let metadata = std::fs::metadata(path).ok()?;
    if metadata.len() > limits::MANIFEST_BYTES_MAX as u64 {
        return None;
    }
    std::fs::read_to_string(path).ok()
}

fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

fn shipped_one(name: &str) -> Option<Found> {
    let shipped = shipped::find(name)?;
    Some(Found { shown: "shipped with dipeo".to_owned(), path: None, text: shipped.text.to_owned() })
}

/// The `name` a text gives itself, whatever else is wrong with it.
pub fn name_of(text: &str) -> Option<String> {
    let bounds =
        Bounds { what: "manifest", bytes_max: limits::MANIFEST_BYTES_MAX, values_max: limits::MANIFEST_VALUES_MAX };
    load_within(text, bounds).ok()?.tree.get("name")?.as_text().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    #[test]
    fn the_workspace_wins_over_what_is_shipped() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let root = folder.path();
        write(root, "integrations/github/provider.yaml", "name: github\n");
        write(root, "integrations/deep/er/provider.json", "{\"name\": \"mine\"}");
        write(root, "integrations/slack/provider.yml", "name: something_else\n");
        write(root, "integrations/readme.yaml", "name: none\n");
        let shown = |name: &str| manifest(root, name).map(|it| it.shown);
        assert_eq!(shown("github").as_deref(), Some("integrations/github/provider.yaml"));
        assert_eq!(shown("mine").as_deref(), Some("integrations/deep/er/provider.json"));
        assert_eq!(shown("slack").as_deref(), Some("shipped with dipeo"));
        assert_eq!(shown("none"), None);
        let names = names(root);
        assert_eq!(names.iter().filter(|it| *it == "github").count(), 1, "{names:?}");
        assert!(["mine", "something_else", "arxiv"].iter().all(|it| names.iter().any(|name| name == it)), "{names:?}");
    }
}
