//! One attempt of one node as a future: waits until its start is durable, runs under the time limit, and
//! turns a panic into a failure.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::Value;

use super::record::Gate;
use crate::compile::{NodeIdx, Plan};
use crate::error::Error;
use crate::nodes::policy::timed_out;
use crate::nodes::{NodeContext, Outcome, Question, budget};

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
    pub(super) gate: Option<Gate>,
    /// The pause before a repetition.
    pub(super) delay: Option<Duration>,
}

impl Attempt {
    pub(super) async fn finish(self) -> Finished {
        if let Some(delay) = self.delay {
            tokio::time::sleep(delay).await;
        }
        if let Some(gate) = self.gate {
            gate.await;
        }
        let node = &self.plan.nodes[self.node].node;
        let work = match &self.work {
            Work::Run => node.run(&self.cx),
            Work::Resume(question, answer) => node.resume(&self.cx, question, answer.clone()),
        };
        let guarded = AssertUnwindSafe(work).catch_unwind();
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
        Finished { node: self.node, result }
    }
}
