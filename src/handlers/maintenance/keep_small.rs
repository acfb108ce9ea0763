//! Prunes by itself, now and then, as long as a server lives. Commands and servers on stdio never do.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::prune::{Response, chosen, prune_these, rules_of};
use crate::error::Error;
use crate::handlers::App;

/// How long after its start a server prunes first: clients come first.
const FIRST: Duration = Duration::from_secs(60);
/// How often it does so then (platform.md 16.2).
const APART: Duration = Duration::from_secs(6 * 60 * 60);

/// Prunes as the settings say until `stop`.
pub async fn keep_small(app: Arc<App>, stop: CancellationToken) {
    let mut pause = FIRST;
    let mut is_announced = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = APART;
        match prune_once(&app, &mut is_announced, &stop).await {
            Ok(pruned) if pruned.executions > 0 => tracing::info!(
                executions = pruned.executions,
                bytes_before = pruned.bytes_before,
                bytes_after = pruned.bytes_after,
                "pruned {} executions",
                pruned.executions
            ),
            Ok(_) => {}
            Err(e) => tracing::warn!("pruning failed and is tried again later: {}", e.chain()),
        }
    }
}

/// The first time that something is to go, the log says so before it does.
async fn prune_once(app: &App, is_announced: &mut bool, stop: &CancellationToken) -> Result<Response, Error> {
    let store = app.store()?;
    let rules = rules_of(&app.config.retention);
    let chosen = chosen(store, &rules).await?;
    let n_chosen = chosen.len();
    if n_chosen > 0 && !*is_announced {
        *is_announced = true;
        tracing::warn!(
            executions = n_chosen,
            "{n_chosen} executions go now and others later, as `[retention]` of dipeo.toml says ({}); `dipeo \
             maintenance hold ID` keeps one",
            app.config.retention
        );
    }
    prune_these(store, chosen, stop).await
}
