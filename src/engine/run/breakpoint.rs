//! Debug mode: nodes are held before they start, nothing of them has happened yet; `resume` lets them go,
//! `step` lets go what is held and holds what comes next.

use super::attempt::Work;
use super::{Mode, Run};
use crate::compile::NodeIdx;
use crate::engine::event::{ControlApplied, Event, InteractivePrompt};
use crate::error::Error;
use crate::nodes::{PauseReason, Question};

impl Run {
    /// Whether `node` is held before it starts.
    pub(super) fn holds(&self, node: NodeIdx) -> bool {
        let names = |it: &String| *it == *self.plan.nodes[node].id || *it == *self.plan.nodes[node].label;
        self.options.mode == Mode::Debug && (self.is_stepping || self.options.breakpoints.iter().any(names))
    }

    /// Holds a node that took its tokens and may start.
    pub(super) fn hold(&mut self, node: NodeIdx) {
        let prompt = format!("before `{}`: `resume` or `step` lets it run", self.plan.nodes[node].label);
        let question = Question::new(PauseReason::Breakpoint, prompt);
        let iteration = self.live[&node].iteration;
        self.note_event(Event::InteractivePrompt(InteractivePrompt { iteration, question }), Some(node));
    }

    /// Starts a held node.
    pub(super) fn let_go(&mut self, node: NodeIdx) {
        self.note_start(node);
        self.attempt(node, Work::Run, None);
    }

    /// Whether everything that waits is held by a breakpoint.
    pub(super) fn only_held(&self) -> bool {
        let open = self.state.open_questions();
        !open.is_empty() && open.iter().all(|(_, it)| it.question.reason == PauseReason::Breakpoint)
    }

    /// Lets every held node go; when stepping, what may start next is held in turn.
    pub(super) fn release_held(&mut self, is_stepping: bool, by: &str) -> Result<(), Error> {
        let held: Vec<NodeIdx> = self
            .state
            .open_questions()
            .into_iter()
            .filter(|(_, it)| it.question.reason == PauseReason::Breakpoint)
            .map(|(idx, _)| idx)
            .collect();
        if held.is_empty() {
            return Err(Error::conflict("NOT_PAUSED", "no breakpoint holds a node")
                .hint("start the run with `--mode debug --break NODE`"));
        }
        self.is_stepping = is_stepping;
        let action = if is_stepping { "step" } else { "resume" };
        let applied = ControlApplied { action: action.into(), by: by.to_owned(), reason: None };
        self.note_event(Event::Control(applied), None);
        self.wake(by);
        for node in held {
            self.let_go(node);
        }
        Ok(())
    }
}
