//! Runs the executions of this process: starts them, takes over those whose owner is gone, renews the
//! lease, and carries control requests to the loop they are for. There is one per process.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, broadcast, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::broken_off::BrokenOff;
use super::children::ChildRuns;
use super::parsed::ParsedTexts;
use super::speaking::{Speaker, Speaking};
use super::{caller, launch};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::engine::run::{Command, Control, Launch, OnToken, Stopped, run};
use crate::error::Error;
use crate::ids::{ExecutionId, owner_id};
use crate::limits;
use crate::nodes::budget::{Above, Purse, Slot};
use crate::nodes::ports::{Languages, Ports};
use crate::spans;
use crate::store::{ControlRow, NewOwner, OwnerRow, Store};

/// Control requests that may wait for one execution's loop.
const COMMANDS_MAX: usize = 16;
/// Executions taken over in one go; the next go follows at once when there were as many.
const CLAIM_MAX: usize = 100;

/// Pieces of replies that a slow watcher may be behind; older ones are lost to it.
const TOKENS_KEPT: usize = 1_024;

/// The executions of this process.
pub struct Supervisor {
    store: Arc<Store>,
    ports: Arc<Ports>,
    languages: Arc<dyn Languages>,
    /// What the texts of diagrams were read as.
    pub(super) parsed: Arc<ParsedTexts>,
    config: Config,
    role: &'static str,
    owner: Arc<str>,
    registered: OnceCell<()>,
    /// When the last round of housekeeping began; absent while nobody keeps house.
    last_round: Mutex<Option<Instant>>,
    /// Where this process can be reached.
    url: OnceLock<String>,
    running: Mutex<HashMap<ExecutionId, mpsc::Sender<Command>>>,
    broken_off: BrokenOff,
    /// Requests on their way to a loop.
    carrying: Mutex<HashSet<i64>>,
    /// Where parents put what their children pay from.
    purses: Mutex<HashMap<ExecutionId, Slot>>,
    tracker: TaskTracker,
    /// Where executions run, whoever started them; absent outside of a runtime.
    runtime: Option<Handle>,
    stop: CancellationToken,
    /// What models say just now, for whoever watches; nobody has to keep up.
    tokens: broadcast::Sender<TokenNote>,
    /// The same as a text that grows, for those who come late.
    speaking: Arc<Speaking>,
}

/// A piece of a model's reply while it comes. It is never stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenNote {
    pub execution_id: ExecutionId,
    /// Label of the node that asked.
    pub label: Arc<str>,
    pub text: Arc<str>,
}

impl Supervisor {
    /// A supervisor that owns nothing yet.
    pub fn new(
        store: Arc<Store>,
        ports: Arc<Ports>,
        languages: Arc<dyn Languages>,
        parsed: Arc<ParsedTexts>,
        config: Config,
        role: &'static str,
        runtime: Option<Handle>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            ports: Arc::new(Ports {
                children: Arc::new(ChildRuns::new(me.clone())),
                blobs: Arc::clone(&store) as _,
                ..Ports::clone(&ports)
            }),
            store,
            languages,
            parsed,
            config,
            role,
            owner: owner_id().into(),
            registered: OnceCell::new(),
            last_round: Mutex::default(),
            url: OnceLock::new(),
            running: Mutex::default(),
            broken_off: BrokenOff::default(),
            carrying: Mutex::default(),
            purses: Mutex::default(),
            tracker: TaskTracker::new(),
            runtime,
            stop: CancellationToken::new(),
            tokens: broadcast::channel(TOKENS_KEPT).0,
            speaking: Speaking::new(),
        })
    }

    /// The name under which this process owns executions.
    pub fn owner(&self) -> &Arc<str> {
        &self.owner
    }

    /// The database.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// Whether this process is ending.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Runs something small that this process waits for before it ends.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        match &self.runtime {
            Some(runtime) => drop(self.tracker.spawn_on(work, runtime)),
            None => drop(self.tracker.spawn(work)),
        }
    }

    /// The parsers of code.
    pub fn languages(&self) -> &Arc<dyn Languages> {
        &self.languages
    }

    /// The ports of this process.
    pub fn ports(&self) -> &Arc<Ports> {
        &self.ports
    }

    /// The settings of this process.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Makes this process known as an owner and starts its housekeeping, once.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn register(self: &Arc<Self>) -> Result<(), Error> {
        self.registered
            .get_or_try_init(|| async {
                self.store.register_owner(self.as_owner()).await?;
                let me = Arc::clone(self);
                self.spawn(async move { me.keep_house().await });
                Ok(())
            })
            .await
            .copied()
    }

    /// Tells others on this database where this process can be reached.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn reachable_at(&self, url: String) -> Result<(), Error> {
        // A process listens in one place, so the first address stands.
        let _ = self.url.set(url);
        self.store.register_owner(self.as_owner()).await
    }

    fn as_owner(&self) -> NewOwner {
        NewOwner {
            owner: self.owner.to_string(),
            pid: std::process::id(),
            host: host_name(),
            kind: self.role.to_owned(),
            url: self.url.get().cloned(),
        }
    }

    /// Runs an execution that this process owns already, unless it does.
    pub fn start(self: &Arc<Self>, execution_id: ExecutionId, launch: Launch) {
        if let Some(commands) = self.reserve(&execution_id) {
            self.start_reserved(execution_id, launch, commands);
        }
    }

    /// Makes the way to an execution's loop; `None` when there is one: an execution never runs twice at once.
    fn reserve(&self, execution_id: &ExecutionId) -> Option<mpsc::Receiver<Command>> {
        match self.running().entry(execution_id.clone()) {
            Entry::Occupied(_) => None,
            Entry::Vacant(place) => {
                let (sender, receiver) = mpsc::channel(COMMANDS_MAX);
                place.insert(sender);
                Some(receiver)
            }
        }
    }

    fn start_reserved(
        self: &Arc<Self>,
        execution_id: ExecutionId,
        mut launch: Launch,
        commands: mpsc::Receiver<Command>,
    ) {
        launch.on_token = Some(self.on_token(execution_id.clone()));
        let me = Arc::clone(self);
        // Made here: below the request that starts it.
        let span = spans::execution(execution_id.as_str());
        self.spawn(async move {
            let run = run(launch, Arc::clone(&me.store) as _, Arc::clone(&me.ports), commands, me.stop.clone());
            let outcome = run.instrument(span).await;
            me.running().remove(&execution_id);
            match outcome {
                Ok(Stopped::Ended) => {
                    me.purses().remove(&execution_id);
                    me.log(me.go_on_if_open(&execution_id).await);
                    me.log(me.wake_parent(&execution_id).await);
                }
                Ok(Stopped::Released) => {}
                Err(e) if e.code() == "LEASE_LOST" => {
                    tracing::warn!(execution.id = %execution_id, "another process took the execution over");
                }
                Err(e) => {
                    tracing::error!(execution.id = %execution_id, "the execution stopped here: {}", e.chain());
                    me.broken_off.note(execution_id, e);
                }
            }
        });
    }

    /// An execution that was opened again while its loop ended here runs on.
    async fn go_on_if_open(self: &Arc<Self>, execution_id: &ExecutionId) -> Result<(), Error> {
        let Some(head) = self.store.head(execution_id)? else { return Ok(()) };
        if !head.status.has_ended() && head.owner.as_deref() == Some(&*self.owner) {
            self.take_over_boxed(execution_id.clone()).await;
        }
        Ok(())
    }

    /// [`Supervisor::take_over`] behind a box: an execution that ended may be one that was opened again …
    fn take_over_boxed(self: &Arc<Self>, execution_id: ExecutionId) -> BoxFuture<'static, ()> {
        let me = Arc::clone(self);
        Box::pin(async move { me.take_over(&execution_id).await })
    }

    /// Waits until the loop of this execution breaks off for good here, and returns why. Never returns in a
    /// process that takes it up again.
    pub async fn breaks_off(&self, execution_id: &ExecutionId) -> Error {
        if self.takes_open_executions() {
            return std::future::pending().await;
        }
        self.broken_off.wait(execution_id).await
    }

    /// Takes up what the database broke off: it may take writes again.
    async fn take_up_broken_off(self: &Arc<Self>) {
        for execution_id in self.broken_off.take() {
            self.take_over(&execution_id).await;
        }
    }

    /// Where the child `execution_id` finds what its parent pays it from.
    pub fn above(&self, execution_id: &ExecutionId) -> Above {
        self.purses().entry(execution_id.clone()).or_default().above()
    }

    /// Gives the child `execution_id` what its model calls are paid from besides its own budget.
    pub fn pay(&self, execution_id: &ExecutionId, purse: Purse) {
        self.purses().entry(execution_id.clone()).or_default().fill(purse);
    }

    /// Subscribes to what models say in the executions of this process.
    pub fn tokens(&self) -> broadcast::Receiver<TokenNote> {
        self.tokens.subscribe()
    }

    /// What models are saying in the executions of this process.
    pub fn speaking(&self) -> &Arc<Speaking> {
        &self.speaking
    }

    fn on_token(&self, execution_id: ExecutionId) -> OnToken {
        let (tokens, speaking) = (self.tokens.clone(), Arc::clone(&self.speaking));
        Arc::new(move |node, person| {
            let speaker = Speaker {
                execution_id: execution_id.clone(),
                node_id: Arc::clone(&node.id),
                label: Arc::clone(&node.label),
                person_id: person.id.clone(),
            };
            let (tokens, execution_id, label) = (tokens.clone(), execution_id.clone(), Arc::clone(&node.label));
            speaking.sink(speaker, move |text| {
                if tokens.receiver_count() > 0 {
                    let (execution_id, label) = (execution_id.clone(), Arc::clone(&label));
                    // The last watcher may have gone just now.
                    let _ = tokens.send(TokenNote { execution_id, label, text: text.into() });
                }
            })
        })
    }

    /// A parent that waited for this child, and that nobody runs just now, goes on here.
    async fn wake_parent(self: &Arc<Self>, child: &ExecutionId) -> Result<(), Error> {
        let Some(head) = self.store.head(child)? else { return Ok(()) };
        if head.parent_relation.as_deref() != Some("child") || self.is_stopping() {
            return Ok(());
        }
        let Some(parent) = head.parent_execution_id else { return Ok(()) };
        let parent = ExecutionId::parse(&parent)?;
        match self.store.status(&parent)? {
            Some(status) if !status.has_ended() => self.adopt_boxed(parent).await,
            _ => Ok(()),
        }
    }

    /// [`Supervisor::adopt`] behind a box: an execution that ends may adopt one that ends …
    fn adopt_boxed(self: &Arc<Self>, execution_id: ExecutionId) -> BoxFuture<'static, Result<(), Error>> {
        let me = Arc::clone(self);
        Box::pin(async move { me.adopt(&execution_id).await })
    }

    /// Whether this process runs the execution.
    pub fn runs(&self, execution_id: &ExecutionId) -> bool {
        self.running().contains_key(execution_id)
    }

    /// How many executions this process runs.
    pub fn running_count(&self) -> usize {
        self.running().len()
    }

    /// Takes the execution over if nobody alive owns it, and runs it here.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn adopt(self: &Arc<Self>, execution_id: &ExecutionId) -> Result<(), Error> {
        if self.runs(execution_id) {
            return Ok(());
        }
        self.register().await?;
        release_dead(&self.store).await?;
        let claimed = self.store.claim(&self.owner, Some(execution_id), 1).await?;
        for execution in claimed {
            self.take_over(&execution.execution_id).await;
        }
        Ok(())
    }

    /// Takes over every open execution without a living owner.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn claim_open(self: &Arc<Self>) -> Result<(), Error> {
        release_dead(&self.store).await?;
        if self.stop.is_cancelled() || self.store.unowned_open()? == 0 {
            return Ok(());
        }
        self.register().await?;
        self.claim_all().await
    }

    /// Looks whether something is open that nobody runs, until this process runs something itself and its
    /// housekeeping looks. Until then it writes nothing: an idle server costs two small reads a second.
    pub async fn look_out(self: &Arc<Self>) {
        while !self.registered.initialized() {
            self.log(self.claim_open().await);
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(limits::DEAD_OWNER_LOOK) => {}
            }
        }
    }

    async fn claim_all(self: &Arc<Self>) -> Result<(), Error> {
        if self.stop.is_cancelled() || self.store.unowned_open()? == 0 {
            return Ok(());
        }
        loop {
            let claimed = self.store.claim(&self.owner, None, CLAIM_MAX).await?;
            let n_claimed = claimed.len();
            for execution in claimed {
                self.go_on_with(&execution.execution_id).await;
            }
            // Once for all of them: each look goes through everything that is open.
            self.look_at_controls()?;
            if n_claimed < CLAIM_MAX {
                return Ok(());
            }
        }
    }

    /// Runs an execution from its log that this process owns; one that cannot go on is ended, visibly.
    pub(super) async fn take_over(self: &Arc<Self>, execution_id: &ExecutionId) {
        self.go_on_with(execution_id).await;
        // What was asked of it before may be what it waits for.
        self.log(self.look_at_controls());
    }

    async fn go_on_with(self: &Arc<Self>, execution_id: &ExecutionId) {
        let Some(commands) = self.reserve(execution_id) else { return };
        match launch::from_store(&self.store, self, execution_id) {
            Ok(launch) => {
                let is_paid_above = launch.above.is_some();
                self.start_reserved(execution_id.clone(), launch, commands);
                if is_paid_above {
                    // Whoever pays for it has to be here as well.
                    let (me, child) = (Arc::clone(self), execution_id.clone());
                    self.spawn(async move { me.log(me.wake_parent(&child).await) });
                }
            }
            Err(e) if matches!(e.code(), "DATABASE_FAILED" | "DATABASE_BUSY") => {
                self.running().remove(execution_id);
                tracing::error!(execution.id = %execution_id, "the execution cannot go on yet: {}", e.chain());
                self.broken_off.note(execution_id.clone(), e);
            }
            Err(e) => {
                self.running().remove(execution_id);
                tracing::error!(execution.id = %execution_id, "the execution cannot go on: {}", e.chain());
                if let Err(e) = launch::give_up(&self.store, self, &*self.ports.clock, execution_id, &e).await {
                    tracing::error!(execution.id = %execution_id, "and that could not be recorded: {}", e.chain());
                }
            }
        }
    }

    /// Renews the lease, takes over what is open and carries control requests, until the process stops.
    async fn keep_house(self: Arc<Self>) {
        let mut changes = self.store.turns();
        let mut renewal = tokio::time::interval(limits::LEASE_RENEWAL);
        renewal.tick().await;
        let mut look = tokio::time::interval(limits::DEAD_OWNER_LOOK);
        let round = Rounds(&self);
        loop {
            round.begins();
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = renewal.tick() => self.log(self.renew_lease().await),
                _ = look.tick(), if self.takes_open_executions() => {
                    self.take_up_broken_off().await;
                    self.log(release_dead(&self.store).await);
                    self.log(self.claim_all().await);
                }
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.log(self.look_at_controls());
                    if self.takes_open_executions() {
                        self.log(self.claim_all().await);
                    }
                }
            }
        }
    }

    /// Whether somebody renews the lease and takes over what is open: rounds are as short as the pause between two
    /// renewals, so one that lasts as long as the lease has come to a standstill.
    pub fn keeps_house(&self) -> bool {
        self.last_round().is_some_and(|it| it.elapsed() < limits::LEASE)
    }

    fn last_round(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.last_round.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Renews the lease; a process that was suspended too long makes itself known again.
    async fn renew_lease(&self) -> Result<(), Error> {
        match self.store.renew_lease(&self.owner).await {
            Err(e) if e.code() == "LEASE_LOST" => self.store.register_owner(self.as_owner()).await,
            outcome => outcome,
        }
    }

    /// A foreground command looks after its own execution only.
    fn takes_open_executions(&self) -> bool {
        self.role != "cli"
    }

    fn log(&self, outcome: Result<(), Error>) {
        if let Err(e) = outcome {
            tracing::warn!("housekeeping failed and is tried again: {}", e.chain());
        }
    }

    /// Hands waiting control requests to the loops they are for, in the order in which they were made.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub fn look_at_controls(self: &Arc<Self>) -> Result<(), Error> {
        if self.running_count() == 0 {
            return Ok(());
        }
        for execution_id in self.store.executions_with_pending_controls(&self.owner)? {
            // Whoever looks at the same time waits: two may not hand over the same request, nor out of order.
            let mut carrying = self.carrying();
            let pending = self.store.pending_controls(&execution_id)?;
            let Some(sender) = self.running().get(&execution_id).cloned() else { continue };
            for control in pending {
                if carrying.contains(&control.id) {
                    continue;
                }
                let (id, (reply, answer)) = (control.id, oneshot::channel());
                match command_of(&control, reply) {
                    Ok(command) => {
                        if sender.try_send(command).is_err() {
                            // Too many at once, or the loop is over: looked at again with the next commit.
                            break;
                        }
                        carrying.insert(id);
                        self.spawn(Arc::clone(self).carry(control, async move { answer.await.ok() }));
                    }
                    Err(e) => {
                        carrying.insert(id);
                        self.spawn(Arc::clone(self).carry(control, std::future::ready(Some(Err(e)))));
                    }
                }
            }
        }
        Ok(())
    }

    /// Stores what comes of a request. Without an answer the loop ended before it heard of it: that is an answer if
    /// the execution has ended, else the request waits for whoever runs it next.
    async fn carry(
        self: Arc<Self>,
        control: ControlRow,
        answer: impl Future<Output = Option<Result<(), Error>>> + Send,
    ) {
        let outcome = match answer.await {
            Some(outcome) => Some(outcome),
            None => self.has_ended(&control).then(|| Err(ended())),
        };
        if let Some(outcome) = outcome {
            self.log(self.store.finish_control(control.id, &self.owner, outcome).await);
        }
        self.carrying().remove(&control.id);
    }

    fn has_ended(&self, control: &ControlRow) -> bool {
        let id = ExecutionId::parse(&control.execution_id);
        let status = id.and_then(|it| self.store.status(&it)).unwrap_or_default();
        status.is_none_or(|it| it.has_ended())
    }

    /// Stops every loop after a short grace and gives the executions free.
    pub async fn shut_down(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
        if self.registered.initialized() {
            self.log(self.store.release_owner(&self.owner).await);
        }
    }

    /// Returns when nothing has kept this process busy and nothing was open for `idle`. Executions that only
    /// wait for an answer do not count: whoever answers takes them over.
    pub async fn drained(self: &Arc<Self>, idle: Duration) {
        let mut idle_since = None;
        loop {
            let mut changes = self.store.turns();
            let is_busy = self.store.busy(&self.owner).unwrap_or(0) > 0;
            if is_busy || self.store.unowned_open().unwrap_or(0) > 0 {
                idle_since = None;
                // Something ends or starts only with a commit.
                if changes.changed().await.is_err() {
                    return;
                }
                continue;
            }
            // Not every commit is work: this owner's own lease is renewed with one.
            let end = *idle_since.get_or_insert_with(tokio::time::Instant::now) + idle;
            if tokio::time::timeout_at(end, changes.changed()).await.is_err() {
                return;
            }
        }
    }

    fn carrying(&self) -> std::sync::MutexGuard<'_, HashSet<i64>> {
        self.carrying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn purses(&self) -> std::sync::MutexGuard<'_, HashMap<ExecutionId, Slot>> {
        self.purses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<ExecutionId, mpsc::Sender<Command>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes the rounds of the housekeeping, and that it is over, however it came to its end.
struct Rounds<'a>(&'a Supervisor);

impl Rounds<'_> {
    fn begins(&self) {
        *self.0.last_round() = Some(Instant::now());
    }
}

impl Drop for Rounds<'_> {
    fn drop(&mut self) {
        *self.0.last_round() = None;
    }
}

/// Releases what owners of this machine hold that died without a word: no need to wait for their lease.
/// Should a process number have been given out again, the lease still ends it.
///
/// # Errors
///
/// What the database says.
pub async fn release_dead(store: &Store) -> Result<(), Error> {
    for owner in store.live_owners()? {
        if !is_alive(&owner) {
            tracing::info!(owner = %owner.owner, pid = owner.pid, "an owner died; its executions are free");
            store.release_owner(&owner.owner).await?;
        }
    }
    Ok(())
}

/// Whether the process of an owner lives; one of another machine is taken to.
pub fn is_alive(owner: &OwnerRow) -> bool {
    if owner.host != host_name() {
        return true;
    }
    // One that was killed keeps its number until its parent looks, and some parents never do.
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", owner.pid)).unwrap_or_default();
    let is_shadow = stat.rsplit(") ").next().is_some_and(|it| it.starts_with(['Z', 'X']));
    let pid = i32::try_from(owner.pid).ok().and_then(rustix::process::Pid::from_raw);
    !is_shadow && pid.is_some_and(|it| rustix::process::test_kill_process(it) != Err(rustix::io::Errno::SRCH))
}

/// The name of this machine.
pub(super) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What whoever asks too late is told.
fn ended() -> Error {
    Error::conflict("EXECUTION_ENDED", "the execution has ended").hint("look at its result with `see_result`")
}

fn command_of(row: &ControlRow, reply: oneshot::Sender<Result<(), Error>>) -> Result<Command, Error> {
    let by = row.actor.clone().unwrap_or_default();
    let is_by_model = caller::is_model(&by);
    Ok(Command { control: control_of(row)?, by, is_by_model, request: Some(row.id), reply })
}

/// Reads a stored request.
fn control_of(row: &ControlRow) -> Result<Control, Error> {
    let value = match &row.value {
        Some(text) => serde_json::from_str::<Value>(text)
            .map_err(|e| Error::internal("a stored control request is malformed").source(e))?,
        None => Value::Null,
    };
    let node = row.node.clone();
    Ok(match row.action.as_str() {
        "answer" => Control::Answer { node, value },
        "abort" => Control::Abort { reason: value.as_str().map(str::to_owned) },
        "complete" => Control::Complete { reason: value.as_str().map(str::to_owned) },
        "pause" => Control::Pause,
        "resume" => Control::Resume { node, value },
        "set_output" => Control::SetOutput { node, value },
        "step" => Control::Step,
        "set_breakpoints" => Control::SetBreakpoints { nodes: serde_json::from_value(value).unwrap_or_default() },
        other => return Err(Error::internal(format!("a stored control request has the unknown action `{other}`"))),
    })
}
