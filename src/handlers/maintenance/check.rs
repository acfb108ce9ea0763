//! Looks the database through: the file, the logs, and whether the columns of each execution say what its log says.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{existing, require_terminal, stamp};
use crate::engine::Projection;
use crate::engine::state::ExecutionState;
use crate::error::Error;
use crate::handlers::launch::fold;
use crate::handlers::{App, Caller};
use crate::ids::ExecutionId;
use crate::store::{self, ListFilter, Store};

/// Executions looked at between two looks at the list.
const PAGE: usize = 500;
/// Most differing executions told; one is enough to act.
const DIFFERENCES_MAX: usize = 20;

/// What to look through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// A backup; absent means the database itself.
    pub backup: Option<PathBuf>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    pub path: String,
    /// Ended executions whose columns were compared with their log.
    pub compared: u64,
    /// A sentence for each problem; none means that all is well.
    pub problems: Vec<String>,
}

/// Checks the database while it is in use, or a backup as it would be after a restore.
///
/// # Errors
///
/// `PERMISSION_REQUIRED` for a client; `FILE_NOT_FOUND`, `DATABASE_NEWER`; failures of the database.
pub async fn check(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    require_terminal(caller)?;
    let Some(backup) = request.backup else {
        let path = app.config.database.display().to_string();
        let Some(store) = existing(app)? else { return Ok(Response { path, ..Response::default() }) };
        return Ok(Response { path, ..look_through(store).await? });
    };
    let backup = match caller {
        Caller::Terminal { working_dir } => working_dir.join(backup),
        Caller::Client(_) => backup,
    };
    let beside = app.config.database.parent().unwrap_or(&app.config.workspace);
    let scratch = beside.join(format!("check-{}-{}", stamp(app.clock.now()), std::process::id()));
    let found = check_copy(app, &backup, scratch.join("state.db")).await;
    // Nothing but the copy was in it.
    drop(std::fs::remove_dir_all(&scratch));
    found
}

async fn check_copy(app: &App, backup: &std::path::Path, copy: PathBuf) -> Result<Response, Error> {
    let settings = store::Settings { path: copy.clone(), durability: store::Durability::Normal };
    let folder = copy.parent().map(std::path::Path::to_path_buf).unwrap_or_default();
    std::fs::create_dir_all(&folder).map_err(|e| {
        Error::external("FILE_FAILED", format!("cannot make the folder `{}`", folder.display()))
            .hint("a copy of the backup is made there; check the rights")
            .source(e)
    })?;
    let from = backup.to_path_buf();
    let copied = tokio::task::spawn_blocking(move || store::copy(&from, &copy)).await;
    copied.map_err(|e| Error::internal("copying the backup was given up").source(e))??;
    let store = Store::open(&settings, Arc::clone(&app.clock))?;
    let found = look_through(&store).await;
    store.close().await;
    Ok(Response { path: backup.display().to_string(), ..found? })
}

/// Returns what is wrong with an open database.
pub(super) async fn look_through(store: &Arc<Store>) -> Result<Response, Error> {
    let mut response = Response { problems: store.problems().await?, ..Response::default() };
    let store = Arc::clone(store);
    let compared = tokio::task::spawn_blocking(move || compare_all(&store)).await;
    let (n_compared, differences) =
        compared.map_err(|e| Error::internal("comparing executions was given up").source(e))??;
    response.compared = n_compared;
    response.problems.extend(differences);
    Ok(response)
}

fn compare_all(store: &Store) -> Result<(u64, Vec<String>), Error> {
    let (mut n_compared, mut differences, mut offset) = (0, Vec::new(), 0);
    loop {
        let filter = ListFilter { with_children: true, limit: Some(PAGE), offset, ..ListFilter::default() };
        let (heads, _) = store.list_executions(&filter)?;
        offset += heads.len();
        for head in heads.iter().filter(|it| it.status.has_ended()) {
            let Ok(id) = ExecutionId::parse(&head.execution_id) else { continue };
            match compare(store, &id) {
                Ok(None) => continue,
                Ok(Some(columns)) if columns.is_empty() => {}
                Ok(Some(columns)) => {
                    differences.push(format!("`{id}`: its log says something else than {}", columns.join(", ")));
                }
                Err(e) => differences.push(format!("`{id}` cannot be read: {}", e.message())),
            }
            n_compared += 1;
            if differences.len() >= DIFFERENCES_MAX {
                return Ok((n_compared, differences));
            }
        }
        if heads.len() < PAGE {
            return Ok((n_compared, differences));
        }
    }
}

/// Returns the columns that differ from what the log says; `None` for what cannot be compared: executions of the
/// original program and such as were pruned meanwhile.
fn compare(store: &Store, id: &ExecutionId) -> Result<Option<Vec<&'static str>>, Error> {
    let Some(stored) = store.projection(id)? else { return Ok(None) };
    let log = store.transitions(id, 0, None)?;
    if log.first().is_none_or(|it| it.phase != "execution_started") {
        return Ok(None);
    }
    let mut state = ExecutionState::new();
    fold(&mut state, log)?;
    Ok(Some(differing(&stored, &state.projection())))
}

fn differing(stored: &Projection, rebuilt: &Projection) -> Vec<&'static str> {
    let is_same = |a: &str, b: &str| {
        a == b
            || matches!((serde_json::from_str::<Value>(a), serde_json::from_str::<Value>(b)), (Ok(a), Ok(b)) if a == b)
    };
    let error = |it: &Projection| it.error.clone().unwrap_or_else(|| "null".to_owned());
    [
        ("node_states", is_same(&stored.node_states, &rebuilt.node_states)),
        ("node_outputs", is_same(&stored.node_outputs, &rebuilt.node_outputs)),
        ("llm_usage", is_same(&stored.llm_usage, &rebuilt.llm_usage)),
        ("error", is_same(&error(stored), &error(rebuilt))),
        ("variables", is_same(&stored.variables, &rebuilt.variables)),
        ("exec_counts", is_same(&stored.exec_counts, &rebuilt.exec_counts)),
        ("executed_nodes", is_same(&stored.executed_nodes, &rebuilt.executed_nodes)),
    ]
    .into_iter()
    .filter_map(|(column, is_same)| (!is_same).then_some(column))
    .collect()
}
