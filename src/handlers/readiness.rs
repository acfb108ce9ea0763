//! Whether this server can do its work: asked by whoever decides if requests are sent to it (platform.md 15).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::App;
use crate::error::Error;

/// How long the writer may take to get its turn: as long as a supervisor waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an answer holds: however many ask, the database is asked no more often.
const HOLDS: Duration = Duration::from_secs(1);
/// From how little free room on the disk on a server says that it runs out of it, in bytes: some hours of work.
const DISK_BYTES_MIN: u64 = 256 * 1024 * 1024;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub status: Readiness,
    pub checks: Checks,
}

/// Whether requests are welcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    Ready,
    /// They are, but somebody should have a look.
    Degraded,
    NotReady,
}

/// One word for each part: `ok`, or what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Checks {
    /// It can be read.
    pub database: String,
    /// It can be written.
    pub writer: String,
    /// There is room where it lies.
    pub disk_space: String,
    /// Its schema is the one of this program.
    pub migrations: String,
    /// Somebody takes up what is open and keeps the lease.
    pub scheduler: String,
    /// Clients are offered tools.
    pub tools: String,
}

/// Counts the tools that clients are offered.
pub type CountTools = Arc<dyn Fn() -> Result<usize, Error> + Send + Sync>;

const OK: &str = "ok";

impl Response {
    fn of(checks: Checks) -> Self {
        let needed = [&checks.database, &checks.writer, &checks.migrations, &checks.scheduler];
        let is_down = needed.iter().any(|it| *it != OK);
        let status = match (is_down, checks.disk_space == OK && checks.tools == OK) {
            (true, _) => Readiness::NotReady,
            (false, false) => Readiness::Degraded,
            (false, true) => Readiness::Ready,
        };
        Self { status, checks }
    }
}

/// Looks now and then, however often it is asked.
pub struct Probe {
    app: Arc<App>,
    count_tools: CountTools,
    last: Mutex<Option<(Instant, Response)>>,
}

impl Probe {
    /// Has not looked yet.
    pub fn new(app: Arc<App>, count_tools: CountTools) -> Arc<Self> {
        Arc::new(Self { app, count_tools, last: Mutex::new(None) })
    }

    /// What was found less than a second ago, or what is found now. Who asks meanwhile waits for the same look.
    pub async fn look(&self) -> Response {
        let mut last = self.last.lock().await;
        if let Some((_, found)) = last.as_ref().filter(|(at, _)| at.elapsed() < HOLDS) {
            return found.clone();
        }
        let found = Response::of(check(&self.app, &self.count_tools).await);
        *last = Some((Instant::now(), found.clone()));
        found
    }
}

async fn check(app: &App, count_tools: &CountTools) -> Checks {
    let database = word("database", read(app));
    let writer = match tokio::time::timeout(PATIENCE, write(app)).await {
        Ok(outcome) => word("writer", outcome),
        Err(_) => "busy".to_owned(),
    };
    let migrations = match app.store().and_then(|it| it.has_own_schema()) {
        Ok(false) => "newer".to_owned(),
        outcome => word("migrations", outcome.map(drop)),
    };
    let tools = match count_tools() {
        Ok(0) => "none".to_owned(),
        outcome => word("tools", outcome.map(drop)),
    };
    let disk_space = disk_space(&app.config.database).to_owned();
    Checks { database, writer, disk_space, migrations, scheduler: scheduler(app).to_owned(), tools }
}

/// One word, and the reason in the log: who asks need not be known, so they hear no more.
fn word(what: &str, outcome: Result<(), Error>) -> String {
    match outcome {
        Ok(()) => OK.to_owned(),
        Err(error) => {
            tracing::warn!(code = error.code(), "not ready, {what}: {}", error.chain());
            "failed".to_owned()
        }
    }
}

fn scheduler(app: &App) -> &'static str {
    if app.started_supervisor().is_some_and(|it| it.keeps_house()) {
        return OK;
    }
    tracing::warn!("not ready, scheduler: nobody takes up executions");
    "stopped"
}

fn read(app: &App) -> Result<(), Error> {
    app.store()?.log_end().map(drop)
}

async fn write(app: &App) -> Result<(), Error> {
    app.store()?.take_turn().await
}

fn disk_space(database: &Path) -> &'static str {
    let folder = database.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match rustix::fs::statvfs(folder) {
        Ok(found) if found.f_bavail.saturating_mul(found.f_frsize) < DISK_BYTES_MIN => "low",
        Ok(_) => OK,
        Err(error) => {
            tracing::warn!(%error, "not ready, disk_space: the file system cannot be asked");
            "unknown"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_or_run_is_not_ready_and_a_full_disk_is_a_warning() {
        for (words, expected) in [
            (["ok", "ok", "ok", "ok", "ok", "ok"], Readiness::Ready),
            (["ok", "ok", "low", "ok", "ok", "ok"], Readiness::Degraded),
            (["ok", "ok", "ok", "ok", "ok", "none"], Readiness::Degraded),
            (["failed", "ok", "ok", "ok", "ok", "ok"], Readiness::NotReady),
            (["ok", "busy", "low", "ok", "ok", "ok"], Readiness::NotReady),
            (["ok", "ok", "ok", "newer", "ok", "ok"], Readiness::NotReady),
            (["ok", "ok", "ok", "ok", "stopped", "none"], Readiness::NotReady),
        ] {
            let [database, writer, disk_space, migrations, scheduler, tools] = words.map(str::to_owned);
            let checks = Checks { database, writer, disk_space, migrations, scheduler, tools };
            assert_eq!(Response::of(checks.clone()).status, expected, "{checks:?}");
        }
    }
}
