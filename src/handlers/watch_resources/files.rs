//! Which diagram files changed. Looks only when the file system says that something did, or now and then where
//! it says nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::handlers::workspace::Workspace;

/// Least time between two looks: a program that writes many files causes few.
const PAUSE: Duration = Duration::from_millis(200);
/// Time between two looks where the file system cannot be watched.
const INTERVAL: Duration = Duration::from_secs(5);
/// Folders watched with all below them; the root itself is listed flat, so it is watched flat.
const DEEP: [&str; 3] = ["examples", "projects", "files"];

/// Size and time of the last change of each diagram file, by its path below the root.
type Marks = BTreeMap<String, (String, u64, Option<SystemTime>)>;

/// The diagram files of one workspace, followed.
pub(super) struct DiagramFiles {
    workspace: Workspace,
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    events: mpsc::Receiver<()>,
    /// When to look, once something happened. It stands here because a wait may be given up half-way.
    due: Option<Instant>,
    marks: Marks,
}

/// What changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FileChanges {
    /// Names of diagrams that appeared, disappeared or have another text.
    pub names: BTreeSet<String>,
}

impl DiagramFiles {
    /// Follows the files from how they are now.
    pub fn new(workspace: Workspace) -> Self {
        // One waiting event says as much as many.
        let (sender, events) = mpsc::channel(1);
        let tell = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|it| !matches!(it.kind, notify::EventKind::Access(_))) {
                // A full channel has told already.
                let _ = sender.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(tell)
            .inspect_err(|error| tracing::warn!("diagram files are looked at every {INTERVAL:?}: {error}"))
            .ok();
        let mut files = Self { workspace, watcher, watched: BTreeSet::new(), events, due: None, marks: Marks::new() };
        files.watch_folders();
        files.marks = marks(&files.workspace);
        files
    }

    /// Waits until it is worth a look.
    pub async fn changed(&mut self) {
        let due = match self.due {
            Some(due) => due,
            None if self.watched.is_empty() => Instant::now() + INTERVAL,
            None => {
                if self.events.recv().await.is_none() {
                    std::future::pending::<()>().await;
                }
                Instant::now() + PAUSE
            }
        };
        self.due = Some(due);
        tokio::time::sleep_until(due).await;
    }

    /// Compares with the last look.
    pub fn look(&mut self) -> FileChanges {
        self.due = None;
        // First the folders: what is written into a new one from here on is told.
        self.watch_folders();
        let now = marks(&self.workspace);
        let before = std::mem::replace(&mut self.marks, now);
        let differs = |path: &String| before.get(path) != self.marks.get(path);
        let paths: BTreeSet<&String> = before.keys().chain(self.marks.keys()).collect();
        let names = paths.into_iter().filter(|it| differs(it)).filter_map(|path| {
            let mark = self.marks.get(path).or_else(|| before.get(path))?;
            Some(mark.0.clone())
        });
        FileChanges { names: names.collect() }
    }

    /// Watches what is there and not watched yet.
    fn watch_folders(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let root = self.workspace.root().to_path_buf();
        // A folder that was removed and made again is another one.
        self.watched.retain(|it| it.is_dir());
        let deep = DEEP.iter().map(|it| (root.join(it), RecursiveMode::Recursive));
        for (folder, mode) in std::iter::once((root.clone(), RecursiveMode::NonRecursive)).chain(deep) {
            if folder.is_dir() && !self.watched.contains(&folder) && watcher.watch(&folder, mode).is_ok() {
                self.watched.insert(folder);
            }
        }
    }
}

fn marks(workspace: &Workspace) -> Marks {
    let mark = |it: crate::handlers::workspace::Found| {
        let about = std::fs::metadata(&it.path).ok()?;
        Some((it.relative, (it.name, about.len(), about.modified().ok())))
    };
    workspace.list().into_iter().filter_map(mark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_that_is_given_up_half_way_loses_nothing() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut files = DiagramFiles::new(Workspace::new(folder.path().to_path_buf()));
        std::fs::write(folder.path().join("a.light.yaml"), "nodes: []").expect("written");
        while files.due.is_none() {
            let given_up = tokio::time::timeout(PAUSE / 4, files.changed()).await;
            assert!(given_up.is_err(), "it pauses longer than that");
        }
        tokio::time::timeout(INTERVAL, files.changed()).await.expect("the event is not lost");
        assert_eq!(files.look().names.len(), 1);
    }

    #[tokio::test]
    async fn what_appears_changes_and_goes_is_named_also_in_new_folders() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut files = DiagramFiles::new(Workspace::new(folder.path().to_path_buf()));
        let names = |it: &[&str]| it.iter().map(|it| (*it).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(files.look(), FileChanges::default());
        std::fs::write(folder.path().join("a.light.yaml"), "nodes: []").expect("written");
        files.changed().await;
        assert_eq!(files.look().names, names(&["a"]));
        std::fs::create_dir_all(folder.path().join("files/new")).expect("made");
        std::fs::write(folder.path().join("files/new/b.light.yaml"), "nodes: []").expect("written");
        std::fs::write(folder.path().join("a.light.yaml"), "nodes: [x]").expect("written");
        let mut seen = BTreeSet::new();
        while seen.len() < 2 {
            files.changed().await;
            seen.extend(files.look().names);
        }
        assert_eq!(seen, names(&["a", "new/b"]));
        std::fs::remove_file(folder.path().join("files/new/b.light.yaml")).expect("removed");
        files.changed().await;
        assert_eq!(files.look().names, names(&["new/b"]));
    }
}
