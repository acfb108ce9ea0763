//! One log file: appended to by several processes at once, renamed when it is large.
//!
//! No crate that rotates by size was found that allows for a second process on the same file: each counts the bytes
//! it wrote itself and goes on writing into a file that another has renamed. Here every line is one write at the
//! end of the file; before it, the name is looked up again, and whoever renames holds a lock.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Size from which a file is renamed, in bytes (surface.md 3.4).
const BYTES_MAX: u64 = 10 * 1024 * 1024;
/// How many renamed files are kept (surface.md 3.4).
const KEPT: u32 = 5;

/// A file that is made with its first line.
pub(super) struct LogFile {
    path: PathBuf,
    bytes_max: u64,
    file: Option<File>,
}

impl LogFile {
    /// Opens nothing yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, bytes_max: BYTES_MAX, file: None }
    }

    /// Whether a line was written.
    pub fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Appends a line, or gives it up.
    pub fn write(&mut self, line: &str) {
        // A failure has nowhere to go: this is the log.
        let _ = self.try_write(line);
    }

    fn try_write(&mut self, line: &str) -> std::io::Result<()> {
        let size = match self.size_if_current() {
            Some(size) => size,
            None => self.open()?,
        };
        if size > 0 && size + line.len() as u64 > self.bytes_max {
            self.rotate()?;
        }
        match &mut self.file {
            Some(file) => file.write_all(line.as_bytes()),
            None => Ok(()),
        }
    }

    /// The size of the open file while it still is the one of that name.
    fn size_if_current(&self) -> Option<u64> {
        let open = self.file.as_ref()?.metadata().ok()?;
        let named = std::fs::metadata(&self.path).ok()?;
        is_same(&open, &named).then_some(named.len())
    }

    /// Opens the file of the name and returns its size.
    fn open(&mut self) -> std::io::Result<u64> {
        self.file = None;
        if let Some(folder) = self.path.parent() {
            create_private(folder)?;
        }
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        owner_only(&mut options);
        let file = options.open(&self.path)?;
        let size = file.metadata()?.len();
        self.file = Some(file);
        Ok(size)
    }

    /// Renames the file and its predecessors, unless somebody else is about to: then this line still goes into
    /// the large one.
    fn rotate(&mut self) -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        owner_only(&mut options);
        let lock = options.open(self.path.with_extension("lock"))?;
        if lock.try_lock().is_err() {
            return Ok(());
        }
        // Somebody may have been here between the look and the lock.
        if self.size_if_current().is_some_and(|it| it > 0) {
            for n in (1..KEPT).rev() {
                let _ = std::fs::rename(self.numbered(n), self.numbered(n + 1));
            }
            std::fs::rename(&self.path, self.numbered(1))?;
        }
        self.open().map(drop)
    }

    fn numbered(&self, n: u32) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{n}"));
        name.into()
    }
}

#[cfg(unix)]
fn is_same(a: &std::fs::Metadata, b: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn is_same(a: &std::fs::Metadata, b: &std::fs::Metadata) -> bool {
    a.created().ok() == b.created().ok()
}

#[cfg(unix)]
fn owner_only(options: &mut OpenOptions) {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
}

#[cfg(not(unix))]
fn owner_only(_: &mut OpenOptions) {}

/// Makes the folder of the logs, for this user alone.
fn create_private(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(folder: &tempfile::TempDir, bytes_max: u64) -> LogFile {
        LogFile { bytes_max, ..LogFile::new(folder.path().join("a.log")) }
    }

    fn read(folder: &tempfile::TempDir, name: &str) -> String {
        std::fs::read_to_string(folder.path().join(name)).unwrap_or_default()
    }

    #[test]
    fn a_large_file_is_renamed_and_so_many_are_kept() {
        let folder = tempfile::tempdir().expect("temp folder");
        let mut log = small(&folder, 10);
        for n in 1..=17 {
            log.write(&format!("line{n}\n"));
        }
        // One line of six or seven bytes fits; with a second one it would be more than ten.
        for (name, expected) in
            [("a.log", "line17\n"), ("a.log.1", "line16\n"), ("a.log.5", "line12\n"), ("a.log.6", "")]
        {
            assert_eq!(read(&folder, name), expected, "{name}");
        }
    }

    #[test]
    fn what_is_there_is_appended_to_and_a_line_larger_than_the_limit_is_written() {
        let folder = tempfile::tempdir().expect("temp folder");
        small(&folder, 20).write("first\n");
        small(&folder, 20).write("second\n");
        assert_eq!(read(&folder, "a.log"), "first\nsecond\n");
        small(&folder, 20).write("a line that is longer than twenty bytes\n");
        assert_eq!(read(&folder, "a.log"), "a line that is longer than twenty bytes\n");
        assert_eq!(read(&folder, "a.log.1"), "first\nsecond\n");
    }

    #[test]
    fn a_file_that_was_taken_away_is_made_again() {
        let folder = tempfile::tempdir().expect("temp folder");
        let mut log = small(&folder, 100);
        log.write("one\n");
        std::fs::remove_file(folder.path().join("a.log")).expect("removed");
        log.write("two\n");
        assert_eq!(read(&folder, "a.log"), "two\n");
    }

    #[test]
    fn writers_that_know_nothing_of_each_other_lose_no_line_when_the_file_is_renamed() {
        const WRITERS: usize = 4;
        const LINES: usize = 300;
        let folder = tempfile::tempdir().expect("temp folder");
        // Five kept files and the open one hold all lines, however they fall.
        let bytes_max = (WRITERS * LINES * 12 / 4) as u64;
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let mut log = small(&folder, bytes_max);
                scope.spawn(move || (0..LINES).for_each(|n| log.write(&format!("{writer} {n:08}\n"))));
            }
        });
        let names = ["a.log.5", "a.log.4", "a.log.3", "a.log.2", "a.log.1", "a.log"];
        let whole: String = names.iter().map(|it| read(&folder, it)).collect();
        let mut lines: Vec<&str> = whole.lines().collect();
        lines.sort_unstable();
        let expected: Vec<String> =
            (0..WRITERS).flat_map(|writer| (0..LINES).map(move |n| format!("{writer} {n:08}"))).collect();
        assert_eq!(lines, expected);
        assert!(!read(&folder, "a.log.1").is_empty(), "the file was never renamed");
    }
}
