//! Counts what happens in a run while a server is asked for its metrics. What is replayed from the log is not
//! counted again.

use super::Run;
use crate::compile::NodeIdx;
use crate::engine::event::Event;
use crate::meter::{self, End, Outcome};

impl Run {
    /// Counts an event that has just been applied to the state.
    pub(super) fn count(&self, event: &Event, node: Option<NodeIdx>) {
        let Some(meters) = meter::on() else { return };
        let outcome = match event {
            Event::NodeCompleted(_) => Outcome::Completed,
            Event::NodeError(it) if it.handled => Outcome::Continued,
            Event::NodeError(_) => Outcome::Failed,
            Event::NodeRetry(_) => Outcome::Retried,
            Event::NodeSkipped(_) => Outcome::Skipped,
            Event::ExecutionCompleted(_) => return meters.execution_ended(End::Completed, self.state.running_ms),
            Event::ExecutionError(_) => return meters.execution_ended(End::Failed, self.state.running_ms),
            Event::ExecutionAborted(_) => return meters.execution_ended(End::Aborted, self.state.running_ms),
            _ => return,
        };
        let Some(node) = node else { return };
        let has_ended = matches!(outcome, Outcome::Completed | Outcome::Continued | Outcome::Failed);
        let duration_ms = self.state.nodes[node].duration_ms.filter(|_| has_ended);
        meters.node(self.plan.nodes[node].kind as usize, outcome, duration_ms);
    }
}
