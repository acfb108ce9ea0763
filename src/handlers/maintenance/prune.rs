//! Deletes executions that retention lets go, then what nobody refers to any more, then gives the room back to
//! the disk. Everything else goes on meanwhile.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::pace::Pace;
use super::{existing, other_owner, require_terminal};
use crate::config::RetentionSettings;
use crate::engine::Status;
use crate::error::Error;
use crate::handlers::{App, Caller};
use crate::store::{Rules, StatusRules, Store};

/// Executions deleted in one transaction: at least, at most (platform.md 16.2).
const EXECUTIONS_PER_STEP: (usize, usize) = (50, 500);
/// Values, blobs or texts deleted in one transaction; each may be megabytes.
const UNUSED_PER_STEP: usize = 8;
/// Pages given back in one transaction: at least, at most (platform.md 16.2).
const PAGES_PER_STEP: (usize, usize) = (200, 1_000);
/// Size of the write-ahead log, in bytes, from which it is moved into the file between two steps: a writer that
/// has to do it at four times that size would be held up.
const LOG_BYTES_MOVED: u64 = 4 * 1024 * 1024;
/// How often cutting the log is tried before it is left to the writer, and how long apart.
const CUT_ATTEMPTS: u32 = 50;
const CUT_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// What to prune; what is absent is as `[retention]` of `dipeo.toml` has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Executions that nothing happened to for so many days go.
    pub days: Option<u32>,
    /// At most so many stay.
    pub keep: Option<u64>,
    /// So many of each diagram stay however old they are.
    pub keep_per_diagram: Option<u64>,
    /// Only executions of this status.
    pub status: Option<Status>,
    /// Only says what would go.
    pub dry_run: bool,
}

/// What went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    pub dry_run: bool,
    /// Executions deleted, those that others started among them; with `dry_run` those that would go, without the
    /// ones that they started.
    pub executions: u64,
    /// Rows of all tables.
    pub rows: u64,
    /// Large values, blobs and diagram texts that nobody referred to any more.
    pub unused: u64,
    pub bytes_before: u64,
    pub bytes_after: u64,
    /// Size of the write-ahead log afterwards.
    pub log_bytes: u64,
}

/// Prunes the database.
///
/// # Errors
///
/// `PERMISSION_REQUIRED` for a client; `INVALID_INPUT` for a status that executions do not end with; failures of
/// the database.
pub async fn prune(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    require_terminal(caller)?;
    if let Some(status) = request.status.filter(|it| !it.has_ended()) {
        return Err(Error::invalid("INVALID_INPUT", format!("`{}` executions are never pruned", status.name()))
            .hint("write completed, failed or aborted"));
    }
    let Some(store) = existing(app)? else {
        return Ok(Response { dry_run: request.dry_run, ..Response::default() });
    };
    let settings = rules_of(&app.config.retention);
    let rules = Rules {
        days: request.days.or(settings.days),
        keep: request.keep.or(settings.keep),
        keep_per_diagram: request.keep_per_diagram.unwrap_or(settings.keep_per_diagram),
        only: request.status,
        ..settings
    };
    if request.dry_run {
        let n_chosen = chosen(store, &rules).await?.len() as u64;
        let n_bytes = store.space()?.file_bytes;
        let unchanged = Response { bytes_before: n_bytes, bytes_after: n_bytes, ..Response::default() };
        return Ok(Response { dry_run: true, executions: n_chosen, ..unchanged });
    }
    let chosen = chosen(store, &rules).await?;
    prune_these(store, chosen, &CancellationToken::new()).await
}

/// The rules that the settings stand for.
pub(super) fn rules_of(settings: &RetentionSettings) -> Rules {
    let of_status = |word: &String| Status::parse(word).map(Status::name);
    let rules = settings
        .by_status
        .iter()
        .filter_map(|(word, it)| Some((of_status(word)?, StatusRules { days: it.days, keep: it.keep })));
    Rules {
        days: settings.executions_days,
        keep: settings.max_executions,
        keep_per_diagram: settings.keep_per_diagram,
        by_status: rules.collect(),
        only: None,
    }
}

/// The executions that go by `rules`, oldest first.
pub(super) async fn chosen(store: &Arc<Store>, rules: &Rules) -> Result<Vec<String>, Error> {
    let (store, rules) = (Arc::clone(store), rules.clone());
    let chosen = tokio::task::spawn_blocking(move || store.prunable(&rules)).await;
    chosen.map_err(|e| Error::internal("choosing executions was given up").source(e))?
}

/// Deletes `chosen` and what nobody refers to then, until it is done or told to stop; what was done until then
/// stays done.
pub(super) async fn prune_these(
    store: &Arc<Store>,
    chosen: Vec<String>,
    stop: &CancellationToken,
) -> Result<Response, Error> {
    let mut response = Response { bytes_before: store.space()?.file_bytes, ..Response::default() };
    delete(store, chosen, stop, &mut response).await?;
    response.unused = sweep(store, stop).await?;
    shrink(store, stop).await?;
    let space = store.space()?;
    (response.bytes_after, response.log_bytes) = (space.file_bytes, space.log_bytes);
    Ok(response)
}

async fn delete(
    store: &Arc<Store>,
    mut chosen: Vec<String>,
    stop: &CancellationToken,
    response: &mut Response,
) -> Result<(), Error> {
    let mut pace = Pace::new(EXECUTIONS_PER_STEP.0, EXECUTIONS_PER_STEP.1, other_owner(store)?.is_some());
    while !chosen.is_empty() && !stop.is_cancelled() {
        let n_now = pace.begin().min(chosen.len());
        let now: Vec<String> = chosen.drain(..n_now).collect();
        let deleted = store.delete_executions(now).await?;
        response.executions += deleted.executions;
        response.rows += deleted.rows;
        pace.end().await;
        move_log(store).await?;
    }
    Ok(())
}

async fn sweep(store: &Arc<Store>, stop: &CancellationToken) -> Result<u64, Error> {
    let unused = {
        let store = Arc::clone(store);
        let unused = tokio::task::spawn_blocking(move || store.unused()).await;
        unused.map_err(|e| Error::internal("looking for what is unused was given up").source(e))??
    };
    let mut pace = Pace::new(1, 1, other_owner(store)?.is_some());
    let mut n_deleted = 0;
    for part in unused.in_parts(UNUSED_PER_STEP) {
        if stop.is_cancelled() {
            break;
        }
        pace.begin();
        n_deleted += store.delete_unused(part).await?;
        pace.end().await;
        move_log(store).await?;
    }
    Ok(n_deleted)
}

/// Gives free pages back to the disk and empties the log.
pub(super) async fn shrink(store: &Arc<Store>, stop: &CancellationToken) -> Result<(), Error> {
    let is_shared = other_owner(store)?.is_some();
    let space = store.space()?;
    let mut pace = Pace::new(PAGES_PER_STEP.0, PAGES_PER_STEP.1, is_shared);
    let mut n_left = if space.is_incremental { space.free_pages } else { 0 };
    while n_left > 0 && !stop.is_cancelled() {
        let n_pages = u32::try_from(pace.begin()).unwrap_or(u32::MAX);
        n_left = store.give_back(n_pages).await?;
        pace.end().await;
        move_log(store).await?;
    }
    for _ in 0..CUT_ATTEMPTS {
        if store.cut_log().await? {
            break;
        }
        tokio::time::sleep(CUT_PAUSE).await;
    }
    Ok(())
}

async fn move_log(store: &Store) -> Result<(), Error> {
    if store.space()?.log_bytes < LOG_BYTES_MOVED {
        return Ok(());
    }
    store.move_log().await
}
