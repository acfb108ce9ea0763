//! One attempt of one node as a future: waits until its start is durable, runs under the time limit, and
//! turns a panic into a failure.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::Value;
use tracing::Instrument;

use super::record::Gate;
use crate::clock::{Clock, Timestamp};
use crate::compile::{NodeIdx, Plan};
use crate::error::Error;
use crate::nodes::policy::timed_out;
use crate::nodes::{NodeContext, Outcome, Question, budget};
use crate::spans;

/// What came out of an attempt.
pub(super) struct Finished {
    pub(super) node: NodeIdx,
    pub(super) result: Result<Outcome, Error>,
}

/// What an attempt does.
pub(super) enum Work {
    Run,
    /// Goes on with the answer to a question.
    Resume(Box<Question>, Value),
}

/// An attempt, ready to be polled.
pub(super) struct Attempt {
    pub(super) plan: Arc<Plan>,
    pub(super) node: NodeIdx,
    pub(super) cx: NodeContext,
    pub(super) work: Work,
    /// What must be durable first.
    pub(super) gate: Option<TimedGate>,
    /// The pause before a repetition.
    pub(super) delay: Option<Duration>,
}

/// A gate, and how long it was waited for.
pub(super) struct TimedGate {
    pub(super) gate: Gate,
    pub(super) clock: Arc<dyn Clock>,
    /// When the attempt was decided on.
    pub(super) since: Timestamp,
    pub(super) waited_ms: Arc<AtomicI64>,
}

impl TimedGate {
    /// Waits for the gate. The time is read once, behind a wait for the disk: nodes without effects never come here.
    async fn opened(self, delay: Option<Duration>) {
        self.gate.await;
        let delay_ms = delay.map_or(0, |it| i64::try_from(it.as_millis()).unwrap_or(i64::MAX));
        let waited_ms = self.clock.now().since_ms(self.since.plus_ms(delay_ms));
        self.waited_ms.fetch_add(waited_ms, Ordering::Relaxed);
    }
}

impl Attempt {
    pub(super) async fn finish(self) -> Finished {
        if let Some(delay) = self.delay {
            tokio::time::sleep(delay).await;
        }
        if let Some(gate) = self.gate {
            gate.opened(self.delay).await;
        }
        let node = &self.plan.nodes[self.node].node;
        let work = match &self.work {
            Work::Run => node.run(&self.cx),
            Work::Resume(question, answer) => node.resume(&self.cx, question, answer.clone()),
        };
        let span =
            spans::node(&self.cx.label, self.plan.nodes[self.node].kind.name(), self.cx.iteration, self.cx.attempt);
        let guarded = AssertUnwindSafe(work).catch_unwind().instrument(span.clone());
        // The items of a batch have their time limits one by one.
        let outcome = match self.cx.timeout.filter(|_| !node.is_batch()) {
            Some(limit) => budget::within(limit, self.cx.purse.as_ref(), guarded)
                .await
                .unwrap_or_else(|| Ok(Err(timed_out(limit)))),
            None => guarded.await,
        };
        let result = outcome.unwrap_or_else(|_| {
            tracing::error!(node.label = %self.cx.label, execution.id = %self.cx.execution_id, "node panicked");
            Err(Error::internal(format!("node `{}` panicked", self.cx.label)))
        });
        if let Err(error) = &result {
            spans::fail(&span, error.code());
        }
        Finished { node: self.node, result }
    }
}
