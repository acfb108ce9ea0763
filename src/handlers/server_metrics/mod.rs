//! Tells what a server can be watched by: what it counted since it began to serve, what its database holds, and
//! what the system says of its process. Sums over everybody's executions; no name of any of them.

mod process;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::process::Process;
use super::caller::Scope;
use super::{App, Caller};
use crate::engine::Status;
use crate::error::Error;
use crate::meter;
pub use crate::meter::Families as Response;
use crate::store::Store;

/// There is nothing to choose.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {}

/// Statuses that an execution may have; each is shown, also when no execution has it.
const STATUSES: [Status; 6] =
    [Status::Pending, Status::Running, Status::Paused, Status::Completed, Status::Failed, Status::Aborted];

/// Returns every metric that has a value.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`; failures of the database.
pub async fn server_metrics(app: &App, caller: &Caller, _: Request) -> Result<Response, Error> {
    caller.require(&[Scope::ExecutionRead])?;
    let mut families = meter::on().map(meter::Meters::families).unwrap_or_default();
    families.add("dipeo_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    let n_running = app.started_supervisor().map_or(0, |it| it.running_count());
    families.add("dipeo_executions_running", &[], n_running as f64);
    if let Some(store) = app.existing_store()? {
        add_store(&mut families, store)?;
    }
    add_process(&mut families, &process::read());
    families.metrics.retain(|it| !it.samples.is_empty());
    Ok(families)
}

fn add_store(families: &mut Response, store: &Store) -> Result<(), Error> {
    let counted = store.count_by_status()?;
    for status in STATUSES {
        let n_found = counted.iter().find(|it| it.0 == status).map_or(0, |it| it.1);
        families.add("dipeo_executions", &[("status", status.name())], n_found as f64);
    }
    families.add("dipeo_store_queue_depth", &[], store.queue_depth() as f64);
    families.add("dipeo_store_commits_total", &[], store.commits() as f64);
    let space = store.space()?;
    families.add("dipeo_store_size_bytes", &[], space.file_bytes as f64);
    families.add("dipeo_store_free_bytes", &[], (space.free_pages * space.page_bytes) as f64);
    families.add("dipeo_store_wal_bytes", &[], space.log_bytes as f64);
    Ok(())
}

/// What the system does not tell is left out.
fn add_process(families: &mut Response, process: &Process) {
    for (name, value) in [
        ("dipeo_process_resident_memory_bytes", process.resident_bytes),
        ("dipeo_process_virtual_memory_bytes", process.virtual_bytes),
        ("dipeo_process_cpu_seconds_total", process.cpu_seconds),
        ("dipeo_process_threads", process.threads),
        ("dipeo_process_open_fds", process.open_fds),
        ("dipeo_process_max_fds", process.max_fds),
    ] {
        if let Some(value) = value {
            families.add(name, &[], value);
        }
    }
}
