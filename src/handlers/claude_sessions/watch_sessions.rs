//! Converts sessions as they are written: new ones, and grown ones again, once they have been quiet for a while.

use std::path::Path;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::changed::Watched;
use super::convert_session::{self, Converted, Which, convert_session};
use super::folder;
use crate::error::Error;
use crate::handlers::{App, Caller};

/// Shortest pause between two looks, whatever happens: a busy session changes many times a second.
const PAUSE_MIN: Duration = Duration::from_millis(500);

/// What to watch.
#[derive(Clone, Debug)]
pub struct Request {
    pub project: Option<String>,
    /// How often to look when no event of the file system comes, in seconds.
    pub interval_s: u64,
    pub format: Option<String>,
    pub output_dir: Option<String>,
    pub offline: bool,
}

/// Watches until its future is dropped; `report` is told of each conversion, be it a failure.
///
/// # Errors
///
/// As [`convert_session()`] for the project; a session that cannot be converted ends nothing.
pub async fn watch_sessions(
    app: &App,
    caller: &Caller,
    request: Request,
    mut report: impl FnMut(&str, Result<Converted, Error>),
) -> Result<(), Error> {
    super::only_at_the_terminal(caller)?;
    let folder = folder::project(app, request.project.as_deref())?;
    // One waiting event says as much as many.
    let (sender, mut events) = mpsc::channel(1);
    let _watcher = watcher(&folder, sender);
    let mut watched = Watched::default();
    let interval_ms = i64::try_from(request.interval_s.max(1).saturating_mul(1_000)).unwrap_or(i64::MAX);
    loop {
        let sizes: Vec<(String, u64)> =
            folder::sessions(&folder).into_iter().map(|it| (it.id, it.size_bytes)).collect();
        for id in watched.look(app.clock.now(), &sizes) {
            let conversion = convert_session::Request {
                project: Some(folder.display().to_string()),
                which: Which::Session(id.clone()),
                output_dir: request.output_dir.as_ref().map(|it| format!("{it}/{id}")),
                format: request.format.clone(),
                offline: request.offline,
            };
            let outcome = convert_session(app, caller, conversion).await;
            report(&id, outcome.and_then(|it| it.sessions.into_iter().next().ok_or_else(nothing_converted)));
        }
        let wait_ms = watched.wait_ms(app.clock.now()).unwrap_or(interval_ms).min(interval_ms);
        let pause = Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0)).max(PAUSE_MIN);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            Some(()) = events.recv() => tokio::time::sleep(PAUSE_MIN).await,
        }
    }
}

fn nothing_converted() -> Error {
    Error::internal("a conversion gave no session")
}

/// Says of every change in the folder that there was one. Where there are no such events the interval does.
fn watcher(folder: &Path, sender: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let tell = move |event: notify::Result<notify::Event>| {
        if event.is_ok() {
            // A full channel has told already.
            let _ = sender.try_send(());
        }
    };
    let watcher = notify::recommended_watcher(tell).and_then(|mut it| {
        it.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(it)
    });
    match watcher {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!("no events of `{}`, looking at intervals: {error}", folder.display());
            None
        }
    }
}
