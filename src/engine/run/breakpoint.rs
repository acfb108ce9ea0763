//! Breakpoints: nodes are held before they start, nothing of them has happened yet; `resume` lets them go, `step`
//! lets go what is held and holds what comes next.

use super::attempt::Work;
use super::{Mode, Run, Stage};
use crate::compile::NodeIdx;
use crate::engine::event::{Event, InteractivePrompt};
use crate::nodes::{PauseReason, Question};

impl Run {
    /// Whether `node` is held before it starts.
    pub(super) fn holds(&self, node: NodeIdx) -> bool {
        !self.passes_breakpoints && (self.state.is_stepping || self.is_breakpoint(node))
    }

    /// Whether the run pauses before `node`: as was asked last, else as the run began.
    pub(super) fn is_breakpoint(&self, node: NodeIdx) -> bool {
        let names = |it: &String| *it == *self.plan.nodes[node].id || *it == *self.plan.nodes[node].label;
        match &self.state.breakpoints {
            Some(set) => set.iter().any(names),
            None => self.options.mode == Mode::Debug && self.options.breakpoints.iter().any(names),
        }
    }

    /// Holds a node that took its tokens and may start.
    pub(super) fn hold(&mut self, node: NodeIdx) {
        let prompt = format!("before `{}`: `resume` or `step` lets it run", self.plan.nodes[node].label);
        let question = Question::new(PauseReason::Breakpoint, prompt);
        let live = self.live.get_mut(&node).expect("only live nodes are held");
        live.stage = Stage::Held;
        let iteration = live.iteration;
        self.note_event(Event::InteractivePrompt(InteractivePrompt { iteration, question }), Some(node));
    }

    /// Starts a held node.
    pub(super) fn let_go(&mut self, node: NodeIdx) {
        self.note_start(node);
        self.attempt(node, Work::Run, None);
    }

    /// The nodes that breakpoints hold, the longest held first.
    pub(super) fn held_nodes(&self) -> Vec<NodeIdx> {
        let open = self.state.open_questions().into_iter();
        open.filter(|(_, it)| it.question.reason == PauseReason::Breakpoint).map(|(idx, _)| idx).collect()
    }
}
