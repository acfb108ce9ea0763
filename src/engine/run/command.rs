//! What others may ask of a running execution, applied between two completions.

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::attempt::Work;
use super::operator::is_decided_by_operator;
use super::{End, Run};
use crate::compile::NodeIdx;
use crate::engine::event::{ControlApplied, Event, ExecutionResumed, InteractiveResponse, Status};
use crate::engine::state::Named;
use crate::error::Error;
use crate::nodes::Question;

/// A request with the way back.
pub struct Command {
    pub control: Control,
    /// Who asks, from where: `terminal`, `mcp`, `ada via http` …
    pub by: String,
    /// Whether a model asks: it may not answer for a person.
    pub is_by_model: bool,
    /// The number under which it is stored: it is done in the same commit as what it does.
    pub request: Option<i64>,
    /// Gets the outcome once it is durable.
    pub reply: oneshot::Sender<Result<(), Error>>,
}

/// What may be asked (surface.md 2.10).
#[derive(Clone, Debug, PartialEq)]
pub enum Control {
    Answer {
        node: Option<String>,
        value: Value,
    },
    Abort {
        reason: Option<String>,
    },
    /// Ends the execution well, with what there is.
    Complete {
        reason: Option<String>,
    },
    /// Nothing new starts until it is resumed.
    Pause,
    /// Goes on after a pause, runs an interrupted `at_most_once` effect again, or lets a node go that a
    /// breakpoint holds. `value` is for what raises a limit.
    Resume {
        node: Option<String>,
        value: Value,
    },
    /// Gives a node its value instead of running it.
    SetOutput {
        node: Option<String>,
        value: Value,
    },
    /// Runs what may run now, once.
    Step,
    /// Pauses before these nodes, by id or label, and no others.
    SetBreakpoints {
        nodes: Vec<String>,
    },
}

/// Who gives an answer.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) name: &'a str,
    is_model: bool,
}

impl Run {
    /// Applies a command, waits until that is durable, and answers.
    pub(super) async fn command(&mut self, command: Command) -> Result<(), Error> {
        let by = Asker { name: &command.by, is_model: command.is_by_model };
        let outcome = match command.control {
            Control::Answer { node, value } => self.answer(node.as_deref(), value, by),
            Control::Abort { reason } => self.abort(reason, &command.by),
            Control::Complete { reason } => self.complete_run(reason, &command.by),
            Control::Pause => self.pause(&command.by),
            Control::Resume { node, value } => {
                let value = Some(value).filter(|it| !it.is_null());
                match self.budget_meant(node.as_deref(), value.as_ref()) {
                    Some(meant) => {
                        meant.and_then(|it| self.raise_budget(it, value, (&command.by, command.is_by_model)))
                    }
                    None => self.resume(node.as_deref(), by),
                }
            }
            Control::SetOutput { node, value } => self.set_output(node.as_deref(), value, by),
            Control::Step => self.step_once(&command.by),
            Control::SetBreakpoints { nodes } => self.set_breakpoints(&nodes, &command.by),
        };
        if outcome.is_ok() {
            self.record.carries_out(command.request);
        }
        if self.ending.is_some() {
            // The end is not written yet, and nothing is acknowledged before it is.
            self.after_end.push((command.reply, outcome));
            return Ok(());
        }
        // A refusal, too, may tell of what is not written yet.
        self.flush_durably(false).await?;
        // Nobody listens any more when the caller went away; the action stands all the same.
        let _ = command.reply.send(outcome);
        Ok(())
    }

    fn abort(&mut self, reason: Option<String>, by: &str) -> Result<(), Error> {
        let applied = ControlApplied { reason: reason.clone(), ..ControlApplied::new("abort", by) };
        self.note_control(applied, None);
        self.ending = Some(End::Aborted { by: by.to_owned(), reason });
        Ok(())
    }

    fn answer(&mut self, node: Option<&str>, value: Value, by: Asker<'_>) -> Result<(), Error> {
        if node.is_none()
            && let Some(answers) = self.answers_by_node(&value)
        {
            let checked: Vec<(NodeIdx, Value)> = answers
                .into_iter()
                .map(|(node, value)| self.check(node, value, by).map(|it| (node, it)))
                .collect::<Result<_, _>>()?;
            for (node, value) in checked {
                self.take_answer(node, value, by.name)?;
            }
            return Ok(());
        }
        let node = self.waiting_node(node, |question| !is_decided_by_operator(question))?;
        let value = self.check(node, value, by)?;
        self.take_answer(node, value, by.name)
    }

    /// Several parked prompts answered at once: a map from waiting node to reply.
    fn answers_by_node(&self, value: &Value) -> Option<Vec<(NodeIdx, Value)>> {
        let open = self.state.open_questions();
        let map = value.as_object().filter(|it| !it.is_empty() && open.len() > 1)?;
        map.iter()
            .map(|(name, value)| {
                let named = self.state.find_named(name)?;
                let is_open = open.iter().any(|(idx, it)| *idx == named.node && named.means_waiting(it));
                is_open.then(|| (named.node, value.clone()))
            })
            .collect()
    }

    fn check(&self, node: NodeIdx, value: Value, by: Asker<'_>) -> Result<Value, Error> {
        self.check_asker(node, by)?;
        let question = self.question(node)?;
        if is_decided_by_operator(&question) {
            let named = Named { node, iteration: None, number: None };
            return Err(self.not_waiting(named, &self.plan.nodes[node].label));
        }
        self.plan.nodes[node].node.check_answer(&question, value)
    }

    /// A model gives no answer, and no value, that is a person's to give.
    pub(super) fn check_asker(&self, node: NodeIdx, by: Asker<'_>) -> Result<(), Error> {
        if !by.is_model || !self.plan.nodes[node].node.is_for_people() {
            return Ok(());
        }
        let message = format!("only a person may answer `{}`", self.plan.nodes[node].label);
        Err(Error::refused("PERSON_REQUIRED", message)
            .hint("ask the user to answer in the form of their client, or with `dipeo control` at the terminal"))
    }

    fn question(&self, node: NodeIdx) -> Result<Question, Error> {
        match &self.state.nodes[node].waiting {
            Some(waiting) => Ok(waiting.question.clone()),
            None => Err(Error::internal("a question vanished while it was answered")),
        }
    }

    pub(super) fn take_answer(&mut self, node: NodeIdx, value: Value, by: &str) -> Result<(), Error> {
        let question = self.question(node)?;
        let iteration = self.live.get(&node).map_or(0, |it| it.iteration);
        let response = InteractiveResponse { iteration, value: value.clone(), by: by.to_owned() };
        self.note_event(Event::InteractiveResponse(response), Some(node));
        self.wake(by);
        self.attempt(node, Work::Resume(Box::new(question), value), None);
        Ok(())
    }

    /// Decides about an effect that had started when its process died, or about a held node.
    pub(super) fn decide(&mut self, node: Option<&str>, value: Option<Value>, by: Asker<'_>) -> Result<(), Error> {
        let node = self.waiting_node(node, is_decided_by_operator)?;
        if let Some(value) = &value {
            self.check_asker(node, by)?;
            self.check_value(node, value)?;
        }
        let by = by.name;
        let is_held = !self.has_begun(node);
        let action = if value.is_some() { "set_output" } else { "resume" };
        self.note_control(ControlApplied::new(action, by), Some(node));
        self.wake(by);
        match value {
            Some(value) => return self.complete_with(node, value),
            None if is_held => self.let_go(node),
            None => self.repeat(node),
        }
        Ok(())
    }

    /// Starts another attempt of a live node's execution.
    pub(super) fn repeat(&mut self, node: NodeIdx) {
        // Nothing of a replay has an effect: it is the same attempt, begun again.
        let is_replay = self.replay.is_some();
        if let Some(live) = self.live.get_mut(&node).filter(|_| !is_replay) {
            live.attempt += 1;
        }
        self.note_start(node);
        self.attempt(node, Work::Run, None);
    }

    pub(super) fn wake(&mut self, by: &str) {
        if self.state.status == Status::Paused {
            self.note_event(Event::ExecutionResumed(ExecutionResumed { by: by.to_owned() }), None);
        }
    }

    /// Finds the waiting node that is meant: the named one, or the only one.
    pub(super) fn waiting_node(
        &self,
        reference: Option<&str>,
        fits: impl Fn(&Question) -> bool,
    ) -> Result<NodeIdx, Error> {
        let open: Vec<_> =
            self.state.open_questions().into_iter().filter(|(_, it)| fits(&it.question)).map(|(idx, _)| idx).collect();
        let labels =
            || open.iter().map(|it| format!("`{}`", self.plan.nodes[*it].label)).collect::<Vec<_>>().join(", ");
        let Some(reference) = reference else {
            return match open.as_slice() {
                [only] => Ok(*only),
                [] => Err(Error::conflict("NOT_PAUSED", "nothing waits for this in the execution")
                    .hint("look at `waiting_for` in its result")),
                _ => Err(Error::invalid("INVALID_INPUT", format!("{} nodes wait: {}", open.len(), labels()))
                    .hint("name one with `node`")),
            };
        };
        let Some(named) = self.state.find_named(reference) else {
            return Err(Error::not_found("NODE_NOT_FOUND", format!("the diagram has no node `{reference}`"))
                .hint(if open.is_empty() { "nothing waits".to_owned() } else { format!("waiting: {}", labels()) }));
        };
        let waits_with = self.state.nodes[named.node].waiting.as_ref();
        if open.contains(&named.node) && waits_with.is_some_and(|it| named.means_waiting(it)) {
            return Ok(named.node);
        }
        Err(self.not_waiting(named, reference))
    }

    fn not_waiting(&self, named: Named, reference: &str) -> Error {
        let node = &self.state.nodes[named.node];
        match node.answer_to(Some(&named)) {
            Some(first) => Error::conflict("ALREADY_ANSWERED", format!("`{}` has been answered", node.outline.label))
                .hint("the first valid answer wins")
                .details(json!({"answer": first.value, "by": first.by})),
            None => Error::conflict("NOT_PAUSED", format!("`{reference}` does not wait for an answer"))
                .hint("look at `waiting_for` in its result"),
        }
    }

    /// Lets every question whose deadline has passed take its default or fail.
    pub(super) fn expire_questions(&mut self) -> Result<(), Error> {
        let now = self.ports.clock.now();
        let due: Vec<NodeIdx> = self
            .state
            .open_questions()
            .into_iter()
            .filter(|(_, it)| it.question.deadline.is_some_and(|deadline| deadline <= now))
            .map(|(idx, _)| idx)
            .collect();
        for node in due {
            let question = self.question(node)?;
            let outcome = self.plan.nodes[node].node.expire(&question);
            self.wake("timeout");
            self.finished.push_back(super::Finished { node, result: outcome });
        }
        Ok(())
    }
}
