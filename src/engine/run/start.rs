//! Starts nodes: takes the tokens, converts them by content type, and runs what can run at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;

use super::attempt::{Attempt, Finished, TimedGate, Work};
use super::{Live, NodeOfCall, Run, Stage};
use crate::compile::{EdgeIdx, NodeIdx};
use crate::engine::event::{Event, NodeStarted};
use crate::error::Error;
use crate::nodes::ports::Ports;
use crate::nodes::ports::models::Speech;
use crate::nodes::report::Reports;
use crate::nodes::{Effect, Inputs, Names, NodeContext, content};

impl Run {
    /// Starts execution `iteration` of `node` with the tokens of `edges`.
    pub(super) fn start(&mut self, node: NodeIdx, iteration: u32, edges: &[EdgeIdx]) -> Result<(), Error> {
        let (inputs, sources) = self.take_inputs(edges);
        Arc::make_mut(&mut self.history).started[node] = iteration;
        let (inputs, problem) = match inputs {
            Ok(inputs) => (inputs, None),
            Err(problem) => (Inputs::default(), Some(problem)),
        };
        self.live.insert(node, Live::new(iteration, self.schedule.n_started(), Stage::Active, inputs, sources));
        let is_given = self.state.nodes[node].given.is_some();
        if problem.is_none() && !is_given && self.holds(node) {
            self.hold(node);
            return Ok(());
        }
        if problem.is_none()
            && let Some(exceeded) = self.time_is_up()
        {
            self.hold_for_time(node, &exceeded);
            return Ok(());
        }
        self.note_start(node);
        match problem {
            Some(problem) => self.finished.push_back(Finished { node, result: Err(problem) }),
            None => self.attempt(node, Work::Run, None),
        }
        Ok(())
    }

    /// Records that an attempt of `node` begins.
    pub(super) fn note_start(&mut self, node: NodeIdx) {
        let live = &self.live[&node];
        let plan_node = &self.plan.nodes[node];
        let started = NodeStarted {
            kind: plan_node.kind.name().to_owned(),
            iteration: live.iteration,
            attempt: live.attempt,
            inputs: live.sources.clone(),
            effect: plan_node.node.effect() == Effect::Outside,
        };
        self.note_event(Event::NodeStarted(started), Some(node));
    }

    /// Takes the tokens of `edges` as inputs by key, each in the form its connection asks for
    /// (diagrams.md 3.4), and says where each came from.
    pub(super) fn take_inputs(&mut self, edges: &[EdgeIdx]) -> (Result<Inputs, Error>, BTreeMap<String, String>) {
        let mut inputs = Inputs::default();
        let mut sources = BTreeMap::new();
        let mut problem = None;
        for edge in edges {
            let Some(token) = self.tokens[*edge].take() else { continue };
            let plan_edge = &self.plan.edges[*edge];
            match content::convert(&token.value, token.forms.as_deref(), plan_edge.content_type) {
                Ok(Some(value)) => {
                    sources.insert(plan_edge.key.clone(), token.source);
                    inputs.insert(plan_edge.key.clone(), value);
                }
                Ok(None) => {}
                Err(e) => problem = problem.or(Some(e)),
            }
        }
        (problem.map_or(Ok(inputs), Err), sources)
    }

    /// Runs an attempt of a live node: effect-free ones right here as far as they get.
    pub(super) fn attempt(&mut self, node: NodeIdx, work: Work, delay: Option<Duration>) {
        if let Some(live) = self.live.get_mut(&node) {
            live.stage = Stage::Active;
        }
        let instead = self.given_before(node, &work).or_else(|| self.mocked(node, &work));
        if let Some(finished) = instead.or_else(|| self.given_then(node, &work)) {
            self.finished.push_back(finished);
            return;
        }
        let has_effect = self.plan.nodes[node].node.effect() == Effect::Outside;
        let gate = has_effect.then(|| self.timed_gate(node));
        self.must_flush |= has_effect;
        let ports = self.ports_of(node);
        let cx = self.context(node, ports);
        let mut future = Attempt { plan: Arc::clone(&self.plan), node, cx, work, gate, delay }.finish().boxed();
        if !has_effect && delay.is_none() {
            let mut poll = Context::from_waker(Waker::noop());
            if let Poll::Ready(finished) = future.as_mut().poll(&mut poll) {
                self.finished.push_back(finished);
                return;
            }
        }
        self.in_flight.push(future);
    }

    /// What an effect of `node` waits for.
    fn timed_gate(&mut self, node: NodeIdx) -> TimedGate {
        let (gate, clock, since) = (self.record.gate(), Arc::clone(&self.ports.clock), self.state.last_at());
        let waited_ms = self.live.get_mut(&node).map(|it| Arc::clone(it.store_ms.get_or_insert_default()));
        TimedGate { gate, clock, since, waited_ms: waited_ms.unwrap_or_default() }
    }

    /// Runs the next attempt of a live node after a pause. Whoever took the execution over meanwhile waits for the
    /// end of the same pause: what must not be repeated begins only once the log has taken its start, and it takes
    /// that of one process.
    pub(super) fn attempt_after(&mut self, node: NodeIdx, delay: Duration) {
        if !self.must_not_repeat(node) {
            return self.attempt(node, Work::Run, Some(delay));
        }
        if let Some(live) = self.live.get_mut(&node) {
            live.stage = Stage::Active;
        }
        self.pausing.push(tokio::time::sleep(delay).map(move |()| node).boxed());
    }

    /// The pause of a node is over.
    pub(super) fn begin_repetition(&mut self, node: NodeIdx) {
        if self.live.contains_key(&node) {
            self.note_start(node);
            self.attempt(node, Work::Run, None);
        }
    }

    /// What the node may ask for in this attempt.
    fn context(&self, node: NodeIdx, ports: Arc<Ports>) -> NodeContext {
        let live = &self.live[&node];
        let plan_node = &self.plan.nodes[node];
        let started_at = self.replay.as_ref().and_then(|it| it.started_at(&plan_node.id, live.iteration));
        NodeContext {
            execution_id: self.record.execution_id.clone(),
            node_id: Arc::clone(&plan_node.id),
            label: Arc::clone(&plan_node.label),
            iteration: live.iteration,
            attempt: live.attempt,
            started_at: started_at.or(self.state.nodes[node].started_at).unwrap_or_default(),
            names: Names {
                exposed: Arc::clone(&self.exposed),
                inputs: live.inputs.clone(),
                variables: Arc::clone(&self.variables),
                node_id: Arc::clone(&plan_node.id),
            },
            strict_templates: self.options.strict || plan_node.policy.strict_templates,
            timeout: plan_node.policy.timeout,
            retry: plan_node.policy.retry,
            retry_given: plan_node.policy.retry_given,
            rights: Arc::clone(&self.rights),
            ports,
            persons: Arc::clone(&self.plan.persons),
            models_override: self.options.models,
            messages: Arc::clone(&self.messages),
            history: Arc::clone(&self.history),
            calls: Arc::clone(&self.calls),
            notes: live.notes.clone(),
            tokens: self.speech(node),
            reports: Reports::new(node, self.reports.speak.clone()),
            purse: self.purse(node),
            items_done: Arc::new(live.items.clone()),
            is_child: self.options.depth > 0,
            goes_on: live.earlier > 0 && live.attempt == live.earlier + 1,
            mode: self.options.mode,
        }
    }

    /// Passes on what a model says for `node` to whoever watches.
    fn speech(&self, node: NodeIdx) -> Option<Speech> {
        let on_token = self.on_token.clone()?;
        let plan_node = &self.plan.nodes[node];
        let node = NodeOfCall { id: Arc::clone(&plan_node.id), label: Arc::clone(&plan_node.label) };
        Some(Speech::new(move |person| on_token(&node, person)))
    }
}
