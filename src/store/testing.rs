//! A store in a temporary folder and rows to put into it, for tests of this crate.

use std::sync::Arc;

use tempfile::TempDir;

use super::{Durability, ExecutionKind, NewExecution, NewOwner, Settings, Source, Store};
use crate::clock::{TestClock, Timestamp};
use crate::engine::{Batch, Status, Summary, Transition};
use crate::ids::ExecutionId;
use crate::nodes::rights::Origin;

/// 2026-01-02T03:04:05.000Z, when tests begin.
pub(crate) const NOON: Timestamp = Timestamp(1_767_323_045_000);

/// A store that goes away with its folder, and the clock it reads.
pub(crate) struct TestStore {
    pub store: Arc<Store>,
    pub clock: Arc<TestClock>,
    pub folder: TempDir,
}

impl TestStore {
    /// Makes a new database.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("temp folder");
        let clock = Arc::new(TestClock::new(NOON));
        let store = Store::open(&settings(&folder), clock.clone()).expect("a new database opens");
        Self { store, clock, folder }
    }

    /// Opens the same file once more, as another process would.
    pub fn another(&self) -> Arc<Store> {
        Store::open(&settings(&self.folder), self.clock.clone()).expect("an existing database opens")
    }
}

fn settings(folder: &TempDir) -> Settings {
    Settings { path: folder.path().join("state.db"), durability: Durability::Full }
}

/// An execution id that says which one it is.
pub(crate) fn id(n: u32) -> ExecutionId {
    ExecutionId::parse(&format!("exec_{n:032x}")).expect("32 digits")
}

/// An execution without an owner and with one transition.
pub(crate) fn execution(n: u32) -> NewExecution {
    NewExecution {
        execution_id: id(n),
        diagram_id: "review".to_owned(),
        source: Source { sha256: "ab".repeat(32), format: "light".to_owned(), content: "nodes: []".to_owned() },
        revision: None,
        origin: Origin::Local,
        kind: ExecutionKind::Run,
        parent: None,
        mode: None,
        rights: "{}".to_owned(),
        options: "{}".to_owned(),
        variables: "{}".to_owned(),
        principal: None,
        idempotency: None,
        started_at: NOON,
        owner: None,
        transitions: vec![transition(1)],
        messages: Vec::new(),
    }
}

/// A row of the log.
pub(crate) fn transition(seq: u64) -> Transition {
    Transition {
        seq,
        node_id: Some("n".into()),
        phase: "node_started",
        payload: format!("{{\"v\":1,\"n\":{seq}}}"),
        created_at: NOON,
    }
}

/// A batch of execution `n` by `owner` that appends `seqs` while it runs.
pub(crate) fn batch(n: u32, owner: &str, seqs: std::ops::RangeInclusive<u64>) -> Batch {
    Batch {
        execution_id: id(n),
        owner: owner.into(),
        transitions: seqs.clone().map(transition).collect(),
        messages: Vec::new(),
        recordings: Vec::new(),
        carried_out: Vec::new(),
        summary: Summary {
            status: Status::Running,
            pause_reason: None,
            error_code: None,
            ended_at: None,
            deadline_at: None,
            last_seq: *seqs.end(),
            last_activity_at: NOON,
        },
        projection: None,
    }
}

/// A process.
pub(crate) fn owner(name: &str) -> NewOwner {
    NewOwner { owner: name.to_owned(), pid: 7, host: "here".to_owned(), kind: "run".to_owned(), url: None }
}
