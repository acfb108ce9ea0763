//! What a node pays from while it runs: the account of its execution, and the purse of the node that runs this
//! execution as a child. What is taken is durable before the call is made, so that a process that takes over
//! knows of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{oneshot, watch};

use super::amount::{Amount, Dimension};
use super::estimate::Estimate;
use super::ledger::{Ledger, Reservation};
use super::patience::Patience;
use crate::clock::{Clock, Timestamp};
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::nodes::report::{Promise, Report, Reports};

/// How long a child waits for its parent to run in this process before it asks.
const PARENT_WAIT: Duration = Duration::from_secs(10);

/// The books of one execution while it runs, shared by its calls and those of its children.
pub struct Account {
    execution_id: ExecutionId,
    books: Mutex<Books>,
    /// Something was settled or raised: whoever waits looks again.
    changed: watch::Sender<()>,
    /// A limit was raised, here or above.
    raised: watch::Sender<()>,
}

#[derive(Default)]
struct Books {
    ledger: Ledger,
    /// Running time before the execution last went on.
    ran_ms: u64,
    runs_since: Option<Timestamp>,
}

impl Books {
    fn run_ms(&self, now: Timestamp) -> u64 {
        let since = self.runs_since.map_or(0, |it| now.since_ms(it));
        self.ran_ms + u64::try_from(since).unwrap_or(0)
    }
}

impl Account {
    /// The account of an execution with these books.
    pub fn new(execution_id: ExecutionId, ledger: Ledger) -> Self {
        let books = Mutex::new(Books { ledger, ..Books::default() });
        Self { execution_id, books, changed: watch::Sender::new(()), raised: watch::Sender::new(()) }
    }

    /// Says how long the execution has run, and since when it goes on running.
    pub fn set_clock(&self, ran_ms: u64, runs_since: Option<Timestamp>) {
        let mut books = self.books();
        (books.ran_ms, books.runs_since) = (ran_ms, runs_since);
    }

    /// Looks something up in the books; `run_ms` is how long the execution has run by `now`.
    pub fn look<T>(&self, now: Timestamp, read: impl FnOnce(&Ledger, u64) -> T) -> T {
        let books = self.books();
        read(&books.ledger, books.run_ms(now))
    }

    /// Changes the limits, and lets everybody who waits try again.
    pub fn raise(&self, change: impl FnOnce(&mut Ledger)) {
        change(&mut self.books().ledger);
        self.changed.send_replace(());
        self.pass_on();
    }

    /// Says to the children that a limit above them was raised.
    pub fn pass_on(&self) {
        self.raised.send_replace(());
    }

    fn settle(&self, id: u64, spent: Amount) {
        self.books().ledger.settle(id, spent);
        self.changed.send_replace(());
    }

    fn books(&self) -> std::sync::MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one attempt of a node, or one item of it, pays from.
#[derive(Clone)]
pub struct Purse {
    pub account: Arc<Account>,
    pub node: Arc<str>,
    pub reports: Reports,
    pub clock: Arc<dyn Clock>,
    /// Who pays as well: set for a child whose parent has a budget.
    pub above: Option<Above>,
    patience: Arc<Patience>,
}

impl Purse {
    /// The purse of `node`; `None` when nobody limits anything.
    pub fn new(
        account: &Arc<Account>,
        (node, reports): (Arc<str>, Reports),
        clock: &Arc<dyn Clock>,
        above: Option<Above>,
    ) -> Option<Self> {
        let is_needed = above.is_some() || !account.books().ledger.is_empty();
        is_needed.then(|| Self {
            account: Arc::clone(account),
            node,
            reports,
            clock: Arc::clone(clock),
            above,
            patience: Arc::default(),
        })
    }

    /// The same purse for one item of a batch, which has a time limit of its own.
    #[must_use]
    pub fn of_item(&self) -> Self {
        Self { patience: Arc::default(), ..self.clone() }
    }

    /// Whether calls of `person`, or with `None` those of a child, need a bound on their tokens.
    pub fn limits_tokens(&self, person: Option<&str>) -> bool {
        let limits = |ledger: &Ledger, it| ledger.limits(&self.node, person, it);
        let is_limited = |ledger: &Ledger, _| limits(ledger, Dimension::Tokens) || limits(ledger, Dimension::Usd);
        // As long as nobody knows who pays above, it may be so.
        let above =
            || self.above.as_ref().is_some_and(|it| it.slot.borrow().as_ref().is_none_or(|it| it.limits_tokens(None)));
        self.account.look(self.clock.now(), is_limited) || above()
    }

    /// Takes what a call of `person` can cost at most, here and above, and waits until that is durable. While it
    /// does not fit beside what others took it waits for them.
    ///
    /// # Errors
    ///
    /// `BUDGET_EXCEEDED` when it cannot fit.
    pub async fn reserve(&self, person: &str, label: &str, estimate: &Estimate) -> Result<Grant, Error> {
        let _waiting = self.patience.begin();
        let mut grant = Grant { held: Vec::new(), begun: self.clock.now(), clock: Arc::clone(&self.clock) };
        let (mut purse, mut person) = (self.clone(), Some(person));
        loop {
            grant.held.extend(purse.hold(person, label, estimate).await?);
            let Some(above) = purse.above.clone() else { break };
            purse = above.purse().await?;
            person = None;
        }
        grant.begun = self.clock.now();
        Ok(grant)
    }

    fn account_of(&self, execution_id: &str) -> Option<Arc<Account>> {
        if self.account.execution_id.as_str() == execution_id {
            return Some(Arc::clone(&self.account));
        }
        self.above.as_ref()?.account_of(execution_id)
    }

    pub(super) fn waited(&self) -> Duration {
        self.patience.waited()
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.patience.is_waiting()
    }

    async fn hold(&self, person: Option<&str>, label: &str, estimate: &Estimate) -> Result<Option<Held>, Error> {
        let mut changed = self.account.changed.subscribe();
        let id = loop {
            changed.mark_unchanged();
            let found = {
                let mut books = self.account.books();
                if !books.ledger.concerns(&self.node, person) {
                    return Ok(None);
                }
                let run_ms = books.run_ms(self.clock.now());
                books.ledger.reserve(&self.node, person, estimate, run_ms)
            };
            match found {
                Reservation::Granted(id) => break id,
                Reservation::Exceeded(exceeded) => {
                    return Err(exceeded.to_error(
                        label,
                        &self.account.execution_id,
                        Some((&self.node, person, Some(estimate))),
                    ));
                }
                // The account lives as long as this purse, so somebody can always say that it changed.
                Reservation::Later => drop(changed.changed().await),
            }
        };
        let amount = estimate.amount();
        let held =
            Held { account: Arc::clone(&self.account), reports: self.reports.clone(), id, amount, is_sent: false };
        let (durable, gate) = oneshot::channel();
        self.reports.say(Report::Reserved(Promise { id, person: person.map(str::to_owned), amount, durable }));
        match gate.await {
            Ok(gate) => gate.await,
            // Nobody keeps a log in tests of a single node.
            Err(_) if !self.reports.has_listener() => {}
            Err(_) => return Err(has_ended(&self.account.execution_id)),
        }
        Ok(Some(held))
    }
}

fn has_ended(execution_id: &ExecutionId) -> Error {
    Error::conflict("EXECUTION_ENDED", format!("the execution `{execution_id}`, which pays for this one, has ended"))
        .hint("start the diagram again")
}

/// What was taken for one call. Dropped before the call was sent it goes back; dropped after that it counts as
/// spent, because nobody knows what the call cost.
pub struct Grant {
    held: Vec<Held>,
    begun: Timestamp,
    clock: Arc<dyn Clock>,
}

impl Grant {
    /// From now on the call is under way.
    pub fn sent(&mut self) {
        self.held.iter_mut().for_each(|it| it.is_sent = true);
    }

    /// Replaces what was taken by what was spent; the time it took is added.
    pub fn settle(self, spent: Amount) {
        let ms = u64::try_from(self.clock.now().since_ms(self.begun)).unwrap_or(0);
        for held in self.held {
            held.settle(Amount { ms, ..spent });
        }
    }
}

struct Held {
    account: Arc<Account>,
    reports: Reports,
    id: u64,
    amount: Amount,
    is_sent: bool,
}

impl Held {
    fn settle(mut self, spent: Amount) {
        (self.amount, self.is_sent) = (spent, true);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let spent = if self.is_sent { self.amount } else { Amount::default() };
        // First the log, so that nothing that fits only now stands before it there.
        self.reports.say(Report::Settled { id: self.id, spent });
        self.account.settle(self.id, spent);
    }
}

/// Where the purse of a parent's node is put for its child, once the parent runs in this process.
pub struct Slot(watch::Sender<Option<Purse>>);

impl Default for Slot {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Slot {
    /// Puts the purse there.
    pub fn fill(&self, purse: Purse) {
        self.0.send_replace(Some(purse));
    }

    /// The child's end of it.
    pub fn above(&self) -> Above {
        Above { slot: self.0.subscribe(), raised: None }
    }
}

/// The purse above a child.
#[derive(Clone)]
pub struct Above {
    slot: watch::Receiver<Option<Purse>>,
    raised: Option<watch::Receiver<()>>,
}

impl Above {
    /// Returns the purse as soon as the parent runs here.
    fn purse(&self) -> BoxFuture<'static, Result<Purse, Error>> {
        let mut slot = self.slot.clone();
        Box::pin(async move {
            let there = tokio::time::timeout(PARENT_WAIT, slot.wait_for(Option::is_some)).await;
            let purse = there.ok().and_then(Result::ok).and_then(|it| it.clone());
            purse.ok_or_else(|| {
                Error::external("INTERRUPTED", "the execution that pays for this one runs in another process")
                    .hint("start the diagram again, or give this execution back by ending one of the processes")
            })
        })
    }

    /// The account of that execution above, as far as it runs in this process.
    pub fn account_of(&self, execution_id: &str) -> Option<Arc<Account>> {
        self.slot.borrow().as_ref()?.account_of(execution_id)
    }

    /// Returns when a budget above was raised, or when the parent came to run here: what did not fit may fit now.
    pub async fn moved(&mut self) {
        loop {
            let Some(raised) = &mut self.raised else {
                match self.slot.wait_for(Option::is_some).await.ok().and_then(|it| it.clone()) {
                    Some(purse) => self.raised = Some(purse.account.raised.subscribe()),
                    None => std::future::pending().await,
                }
                return;
            };
            tokio::select! {
                changed = raised.changed() => if changed.is_ok() { return },
                changed = self.slot.changed() => if changed.is_err() { std::future::pending::<()>().await },
            }
            self.raised = None;
        }
    }
}
