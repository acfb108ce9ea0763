//! The log of a process: `cli.log`, `server.log` or `mcp.log` in `.dipeo/logs`, beside each a file with warnings
//! and errors alone, and stderr for servers. Never stdout (surface.md 3.4). Every line passes redaction. What
//! cannot be written is given up: a log never fails anything.
//!
//! Nothing is opened before the first line, and no folder is made for a log alone: lines wait in memory until
//! something else has made `.dipeo`, so that a command which only looks leaves no trace.

mod file;
mod line;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use self::file::LogFile;
use self::line::Line;
use crate::clock::{Clock, SystemClock};
use crate::config::{LogFormat, LogSettings};
use crate::secret::Scrubber;
use crate::spans::Listener;

/// Lines that wait for the workspace to be made; what comes later is not kept.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// What blots out the secrets that the process came to know.
pub type Scrub = Arc<dyn Fn(&mut String) + Send + Sync>;

/// Where a process logs to, and how much.
pub struct Destination<'a> {
    /// `cli`, `server` or `mcp`.
    pub name: &'a str,
    /// The least that goes to stderr.
    pub stderr: LevelFilter,
    /// What is said about other packages, as `package=level,…`.
    pub others: &'a str,
}

/// Begins to log, for the rest of the process. `known` are the secrets of its settings, `scrub` blots out those
/// that it will come to know; `listener` hears of spans.
pub fn start(settings: &LogSettings, to: &Destination<'_>, known: Scrubber, scrub: Scrub, listener: Option<Listener>) {
    let level = settings.level;
    let filter: Targets = to.others.parse().unwrap_or_default();
    let log = Log {
        format: settings.format,
        stderr: to.stderr,
        known,
        scrub,
        files: Mutex::new(Files::new(settings, to.name)),
        level,
    };
    // Fails when a test has begun to log already.
    let _ = tracing_subscriber::registry()
        .with(listener)
        .with(log.with_filter(filter.with_default(level.max(to.stderr))))
        .try_init();
}

/// Takes events and writes them down.
struct Log {
    format: LogFormat,
    /// The least that goes into the file.
    level: LevelFilter,
    stderr: LevelFilter,
    known: Scrubber,
    scrub: Scrub,
    files: Mutex<Files>,
}

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = *event.metadata().level();
        let clean = |text: &mut String| {
            self.known.scrub(text);
            (self.scrub)(text);
            if let std::borrow::Cow::Owned(clean) = crate::redact::redact(text) {
                *text = clean;
            }
        };
        let line = Line::of(event, SystemClock.now(), clean);
        let text = match self.format {
            LogFormat::Text => line.to_text(),
            LogFormat::Json => line.to_json(),
        };
        if level <= self.stderr {
            // In one piece, so that lines of several threads do not mix; a closed stderr is nobody's fault.
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
        }
        if level <= self.level {
            self.files.lock().unwrap_or_else(PoisonError::into_inner).write(level, &text);
        }
    }
}

/// The two files, and what waits for them.
struct Files {
    /// The folder that has to be there; `None`: the logs' own folder was asked for, and is made.
    workspace: Option<PathBuf>,
    all: LogFile,
    errors: LogFile,
    waiting: Vec<(Level, String)>,
    waiting_bytes: usize,
}

impl Files {
    fn new(settings: &LogSettings, name: &str) -> Self {
        let file = |suffix: &str| LogFile::new(settings.folder.join(format!("{name}{suffix}")));
        let workspace = if settings.is_folder_named { None } else { settings.folder.parent().map(Path::to_path_buf) };
        Self { workspace, all: file(".log"), errors: file(".error.log"), waiting: Vec::new(), waiting_bytes: 0 }
    }

    fn write(&mut self, level: Level, line: &str) {
        if !self.all.is_open() && self.workspace.as_ref().is_some_and(|it| !it.is_dir()) {
            if self.waiting_bytes + line.len() <= WAITING_BYTES_MAX {
                self.waiting_bytes += line.len();
                self.waiting.push((level, line.to_owned()));
            }
            return;
        }
        for (level, line) in std::mem::take(&mut self.waiting) {
            self.write_now(level, &line);
        }
        self.write_now(level, line);
    }

    fn write_now(&mut self, level: Level, line: &str) {
        self.all.write(line);
        if level <= Level::WARN {
            self.errors.write(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(folder: &Path, is_folder_named: bool) -> LogSettings {
        LogSettings {
            level: LevelFilter::INFO,
            format: LogFormat::Text,
            folder: folder.join(".dipeo/logs"),
            is_folder_named,
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).map(|it| it.flatten().collect::<Vec<_>>()).unwrap_or_default();
        let mut names: Vec<String> = entries.iter().map(|it| it.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn lines_wait_for_the_workspace_and_no_folder_is_made_for_them() {
        let folder = tempfile::tempdir().expect("temp folder");
        let mut files = Files::new(&settings(folder.path(), false), "cli");
        files.write(Level::INFO, "one\n");
        files.write(Level::WARN, "two\n");
        files.write(Level::INFO, &"x".repeat(WAITING_BYTES_MAX));
        assert_eq!(names(folder.path()), [""; 0]);
        std::fs::create_dir(folder.path().join(".dipeo")).expect("made");
        files.write(Level::INFO, "three\n");
        let read = |name: &str| std::fs::read_to_string(folder.path().join(".dipeo/logs").join(name)).expect("there");
        assert_eq!(read("cli.log"), "one\ntwo\nthree\n");
        assert_eq!(read("cli.error.log"), "two\n");
    }

    #[test]
    fn a_folder_that_was_asked_for_is_made() {
        let folder = tempfile::tempdir().expect("temp folder");
        let mut files = Files::new(&settings(folder.path(), true), "server");
        files.write(Level::INFO, "one\n");
        assert_eq!(names(&folder.path().join(".dipeo/logs")), ["server.log"]);
    }

    #[test]
    fn what_cannot_be_written_is_given_up() {
        let folder = tempfile::tempdir().expect("temp folder");
        std::fs::write(folder.path().join(".dipeo"), "a file").expect("written");
        let mut files = Files::new(&settings(folder.path(), true), "mcp");
        files.write(Level::ERROR, "one\n");
        assert_eq!(names(folder.path()), [".dipeo"]);
    }
}
