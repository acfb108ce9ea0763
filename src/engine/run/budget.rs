//! Budgets in a run: the books are kept where calls are made, and what changes them goes into the log here. A
//! node whose call does not fit asks and waits; raising the budget lets all that fit by then try again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::attempt::Work;
use super::{End, Run, Stage};
use crate::compile::NodeIdx;
use crate::engine::event::{BudgetReserved, BudgetSettled, ControlApplied, Event, InteractivePrompt, Status};
use crate::error::Error;
use crate::nodes::budget::{Account, Exceeded, Purse, Raise, Scope, question_of};
use crate::nodes::report::{Promise, Reports};
use crate::nodes::{BudgetQuestion, PauseReason};

impl Run {
    /// Opens the account with what the log says was spent. Of calls whose process died nobody knows what they
    /// cost: what was promised to them counts as spent.
    pub(super) fn open_account(&mut self) {
        let mut books = self.state.budgets.clone();
        for (id, spent) in books.open() {
            books.settle(id, spent);
        }
        self.account = Arc::new(Account::new(self.record.execution_id.clone(), books));
        self.set_account_clock();
    }

    /// Records that calls whose process died count as spent.
    pub(super) fn note_lost_calls(&mut self) {
        for (id, spent) in self.state.budgets.open() {
            self.note_event(Event::BudgetSettled(BudgetSettled { id, spent }), None);
        }
    }

    /// What the model calls of `node` are paid from.
    pub(super) fn purse(&self, node: NodeIdx) -> Option<Purse> {
        if self.above.is_none() && self.state.budgets.is_empty() {
            return None;
        }
        let reports = Reports::new(node, self.reports.speak.clone());
        let of = (Arc::clone(&self.plan.nodes[node].id), reports);
        Purse::new(&self.account, of, &self.ports.clock, self.above.clone())
    }

    /// Records that a part of the budgets was taken; the call waits until that is durable.
    pub(super) fn note_reserved(&mut self, node: NodeIdx, promise: Promise) {
        let Promise { id, person, amount, durable } = promise;
        self.note_event(Event::BudgetReserved(BudgetReserved { id, person, amount }), Some(node));
        self.must_flush = true;
        // Nobody waits any more when the attempt was given up.
        let _ = durable.send(Box::pin(self.record.gate()));
    }

    /// The account counts running time as the state does.
    pub(super) fn set_account_clock(&self) {
        if !self.state.budgets.is_empty() {
            let since = (self.state.status == Status::Running).then(|| self.state.last_at());
            self.account.set_clock(u64::try_from(self.state.running_ms).unwrap_or(0), since);
        }
    }

    /// Says why nothing more may start: the time of the run is up.
    pub(super) fn time_is_up(&self) -> Option<Exceeded> {
        if self.state.budgets.is_empty() {
            return None;
        }
        self.account.look(self.ports.clock.now(), |ledger, run_ms| ledger.out_of_time(run_ms))
    }

    /// Time left of a budget of seconds that ends the run.
    pub(super) fn time_left(&self) -> Option<Duration> {
        let limit = self.state.budgets.entry(&Scope::Run)?.limit;
        let used = self.state.running_ms_at(self.ports.clock.now());
        let left = limit.seconds.filter(|_| limit.fails)?.saturating_sub(u64::try_from(used).unwrap_or(0));
        Some(Duration::from_millis(left))
    }

    /// The end of a run whose time is up.
    pub(super) fn end_of_time(&self) -> Option<End> {
        let exceeded = self.time_is_up().filter(|it| it.fails)?;
        Some(End::OverBudget(exceeded.to_error("the run", &self.record.execution_id, None)))
    }

    /// Holds a node that took its tokens and may start, because the time of the run is up.
    pub(super) fn hold_for_time(&mut self, node: NodeIdx, exceeded: &Exceeded) {
        let label = Arc::clone(&self.plan.nodes[node].label);
        let error = exceeded.to_error(&label, &self.record.execution_id, Some((&self.plan.nodes[node].id, None, None)));
        match question_of(&error) {
            Some(question) => {
                let live = self.live.get_mut(&node).expect("only live nodes are held");
                live.stage = Stage::Held;
                let iteration = live.iteration;
                self.note_event(Event::InteractivePrompt(InteractivePrompt { iteration, question }), Some(node));
            }
            None => self.ending = Some(End::OverBudget(error)),
        }
    }

    /// Whether the present round of `node` has begun, so that it is not held before its start.
    pub(super) fn has_begun(&self, node: NodeIdx) -> bool {
        self.live.get(&node).is_some_and(|it| it.iteration <= self.state.nodes[node].started)
    }

    /// The waiting nodes that a `resume` lets go by a higher budget; `None` when it is about something else.
    pub(super) fn budget_meant(
        &self,
        node: Option<&str>,
        value: Option<&Value>,
    ) -> Option<Result<Vec<NodeIdx>, Error>> {
        let open = self.state.open_questions();
        if let Some(reference) = node {
            let named = self.state.find_named(reference)?;
            let is_meant = open.iter().any(|(it, waiting)| *it == named.node && waiting.question.budget.is_some());
            if !is_meant {
                return value.map(|_| Err(nobody_waits()));
            }
            return Some(self.waiting_node(node, |question| question.budget.is_some()).map(|it| vec![it]));
        }
        let meant: Vec<NodeIdx> =
            open.iter().filter(|(_, it)| it.question.budget.is_some()).map(|(idx, _)| *idx).collect();
        let is_other = |it: &PauseReason| matches!(it, PauseReason::Operator | PauseReason::Breakpoint);
        let others = open.iter().any(|(_, it)| is_other(&it.question.reason));
        match (meant.is_empty(), value) {
            (true, Some(_)) => Some(Err(nobody_waits())),
            (true, None) => None,
            (false, None) if self.state.is_held || others => None,
            (false, _) => Some(Ok(meant)),
        }
    }

    /// Raises the budget that `nodes` wait for, and lets all go that fit then.
    pub(super) fn raise_budget(
        &mut self,
        nodes: Vec<NodeIdx>,
        value: Option<Value>,
        (by, is_model): (&str, bool),
    ) -> Result<(), Error> {
        let asked = self.own_budget_questions(&nodes)?;
        let scope = asked[0].scope.clone();
        let now = self.ports.clock.now();
        let (mut books, run_ms) = self.account.look(now, |ledger, run_ms| (ledger.clone(), run_ms));
        let entry = books.entry(&scope).cloned().ok_or_else(|| Error::internal("a budget vanished"))?;
        if is_model && entry.limit.human_only {
            let message = format!("only a person may raise the budget of {}", scope.words());
            return Err(Error::refused("PERSON_REQUIRED", message)
                .hint("ask the user to raise it with `dipeo control` at the terminal"));
        }
        let raised = value.map(|it| Raise::read(&entry, &it)).transpose()?;
        if let Some(raised) = &raised {
            books.raise(&scope, &raised.limit);
        }
        let refused: Vec<Exceeded> = asked.iter().filter_map(|it| it.refusal(&books, run_ms)).collect();
        if refused.len() == asked.len() {
            return Err(refused[0].still());
        }
        let applied = ControlApplied { raised: raised.clone(), ..ControlApplied::new("raise_budget", by) };
        self.note_event(Event::Control(applied), None);
        self.account.raise(|ledger| {
            if let Some(raised) = &raised {
                ledger.raise(&raised.scope, &raised.limit);
            }
        });
        self.try_again(by);
        Ok(())
    }

    /// What `nodes` ask of one budget of this execution.
    fn own_budget_questions(&self, nodes: &[NodeIdx]) -> Result<Vec<BudgetQuestion>, Error> {
        let own = self.record.execution_id.as_str();
        let all: Vec<(NodeIdx, BudgetQuestion)> = nodes
            .iter()
            .filter_map(|it| Some((*it, self.state.nodes[*it].waiting.as_ref()?.question.budget.clone()?)))
            .collect();
        let ours: Vec<_> = all.iter().filter(|(_, it)| it.execution_id == own).collect();
        let Some((_, first)) = ours.first() else {
            let whose = all.first().map_or("another", |(_, it)| it.execution_id.as_str());
            return Err(Error::invalid("INVALID_INPUT", format!("the budget is that of the execution `{whose}`"))
                .hint("raise it there; this execution goes on by itself then"));
        };
        if ours.iter().any(|(_, it)| it.scope != first.scope) {
            let label = |idx: &NodeIdx| format!("`{}` for {}", self.plan.nodes[*idx].label, self.scope_of(*idx));
            let waiting = ours.iter().map(|(idx, _)| label(idx)).collect::<Vec<_>>().join(", ");
            return Err(Error::invalid("INVALID_INPUT", format!("they wait for several budgets: {waiting}"))
                .hint("name one with `node`"));
        }
        Ok(ours.into_iter().map(|(_, it)| it.clone()).collect())
    }

    fn scope_of(&self, node: NodeIdx) -> String {
        let waiting = self.state.nodes[node].waiting.as_ref();
        waiting.and_then(|it| it.question.budget.as_ref()).map_or_else(String::new, |it| it.scope.words())
    }

    /// Lets every node go that waits for a budget and fits by now.
    pub(super) fn try_again(&mut self, by: &str) {
        if self.state.is_held {
            return;
        }
        let open = self.state.open_questions();
        let is_ours = |it: &&(NodeIdx, &crate::engine::state::WaitingNode)| {
            it.1.question.reason == PauseReason::Budget && it.1.question.child.is_none()
        };
        let waiting = open.iter().filter(is_ours);
        let fitting: Vec<NodeIdx> = waiting
            .filter(|(_, it)| it.question.budget.as_ref().is_some_and(|it| self.fits(it)))
            .map(|(idx, _)| *idx)
            .collect();
        for node in fitting {
            self.wake(by);
            self.note_start(node);
            self.attempt(node, Work::Run, None);
        }
    }

    /// Whether what was asked for fits into its budget, as far as that is known in this process.
    pub(super) fn fits(&self, asked: &BudgetQuestion) -> bool {
        let above = || self.above.as_ref().and_then(|it| it.account_of(&asked.execution_id));
        let own = asked.execution_id == self.record.execution_id.as_str();
        let account = if own { Some(Arc::clone(&self.account)) } else { above() };
        let now = self.ports.clock.now();
        account.is_some_and(|it| it.look(now, |ledger, run_ms| asked.refusal(ledger, run_ms).is_none()))
    }

    /// A budget above this execution was raised: its nodes try again, and so do its children.
    pub(super) fn raised_above(&mut self) {
        self.account.pass_on();
        self.try_again("parent");
    }
}

/// The refusal of a budget that means nothing just now.
fn nobody_waits() -> Error {
    Error::conflict("NOT_PAUSED", "nothing waits for a higher budget").hint("look at `waiting_for` in its result")
}
