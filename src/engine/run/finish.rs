//! What happens when an attempt is over: its value goes out, it is repeated, it fails, or it waits; and how
//! an execution pauses and ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::{Map, Value};

use super::attempt::{Finished, Work};
use super::{End, Run, Stopped, Token, scrub};
use crate::compile::NodeIdx;
use crate::engine::ending;
use crate::engine::event::{
    Closing, Event, ExecutionLog, ExecutionPaused, InteractivePrompt, InteractiveResponse, LastMessage, NodeCompleted,
    NodeError, NodeRetry, NodeSkipped, StoredOutput, ToolCallFinished, ToolCallStarted, Warning,
};
use crate::engine::schedule::Input;
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::limits;
use crate::nodes::budget::question_of;
use crate::nodes::context::Note;
use crate::nodes::memory::{Message, message_id};
use crate::nodes::policy::repeat;
use crate::nodes::{Effect, NewMessage, OnError, Outcome, Output, Published, Question};
use crate::spans;

impl Run {
    /// Takes up what came out of an attempt.
    pub(super) fn take_up(&mut self, finished: Finished) -> Result<(), Error> {
        let node = finished.node;
        // What it said while it ran comes before its end.
        while let Ok((node, report)) = self.reports.listen.try_recv() {
            self.note_report(node, report);
        }
        if !self.live.contains_key(&node) {
            return Ok(());
        }
        self.keep_calls(node, None);
        match scrub::result(finished.result, self.ports.secrets.scrubber()) {
            Ok(Outcome::Done(output)) => self.complete(node, output),
            Ok(Outcome::Wait(question)) => {
                self.ask(node, *question);
                Ok(())
            }
            Err(error) => self.failed(node, error),
        }
    }

    /// Records the value of a node and puts it on its connections.
    pub(super) fn complete(&mut self, node: NodeIdx, output: Output) -> Result<(), Error> {
        let warnings = self.take_notes(node);
        let live = self.live.remove(&node).expect("only live nodes complete");
        let started_at = self.state.nodes[node].started_at;
        let duration_ms = started_at.map_or(0, |it| self.ports.clock.now().since_ms(it));
        self.store_messages(node, live.iteration, output.messages);
        Arc::make_mut(&mut self.messages).extend(output.adopted);
        if !output.variables.is_empty() {
            Arc::make_mut(&mut self.variables).extend(output.variables.clone());
        }
        if !output.exposed.is_empty() {
            Arc::make_mut(&mut self.exposed).extend(output.exposed.clone());
        }
        Arc::make_mut(&mut self.history).completed[node] += 1;
        self.note_tool_calls(node, &output.meta);
        let stored = StoredOutput { body: output.body, forms: output.forms };
        let completed = NodeCompleted {
            iteration: live.iteration,
            attempt: live.attempt,
            output: stored.clone(),
            handles: output.published,
            duration_ms,
            store_ms: live.store_ms.map_or(0, |it| it.load(Ordering::Relaxed)),
            meta: output.meta,
            variables: output.variables,
            exposed: output.exposed,
            warnings,
        };
        self.note_event(Event::NodeCompleted(completed), Some(node));
        self.publish(node, live.iteration, &stored, output.published);
        self.step(Input::NodeDone { node, published: output.published })
    }

    /// Records the tools that a model used on its way.
    fn note_tool_calls(&mut self, node: NodeIdx, meta: &Map<String, Value>) {
        let calls = meta.get("tool_calls").and_then(Value::as_array).cloned().unwrap_or_default();
        for call in calls {
            let text = |key: &str| call.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let value = |key: &str| call.get(key).cloned().unwrap_or_default();
            let call_id = text("call_id");
            let started =
                ToolCallStarted { call_id: call_id.clone(), tool: text("tool"), arguments: value("arguments") };
            self.note_event(Event::ToolCallStarted(started), Some(node));
            let is_error = call.get("is_error").and_then(Value::as_bool).unwrap_or(false);
            let finished = ToolCallFinished { call_id, is_error, output: value("output") };
            self.note_event(Event::ToolCallFinished(finished), Some(node));
        }
    }

    /// Puts a value on the connections of the handles it is published on.
    pub(super) fn publish(&mut self, node: NodeIdx, iteration: u32, output: &StoredOutput, published: Published) {
        let source = format!("{}:{iteration}", self.plan.nodes[node].id);
        for edge in self.plan.graph.outgoing(node) {
            if published.is_on(self.plan.edges[*edge].output) {
                let token =
                    Token { value: Arc::clone(&output.body), forms: output.forms.clone(), source: source.clone() };
                self.tokens[*edge] = Some(token);
            }
        }
    }

    /// Repeats a failed attempt or lets the failure stand.
    fn failed(&mut self, node: NodeIdx, error: Error) -> Result<(), Error> {
        if let Some(question) = question_of(&error) {
            self.ask(node, question);
            return Ok(());
        }
        let policy = &self.plan.nodes[node].policy;
        let (retry, retry_given) = (policy.retry, policy.retry_given);
        let live = self.live.get_mut(&node).expect("only live nodes fail");
        let attempts_max = retry.max_attempts.min(limits::ATTEMPTS_MAX);
        live.failures += 1;
        let n_tries = live.failures;
        if n_tries < attempts_max && repeat::may_repeat(&error, retry_given) {
            live.attempt += 1;
            let (iteration, attempt) = (live.iteration, live.attempt);
            let delay = repeat::wished_delay(&error)
                .unwrap_or_else(|| retry.delay(n_tries + 1, repeat::spread(node, n_tries + 1)));
            let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            let object = self.error_object(node, &error, attempt - 1);
            self.note_event(Event::NodeRetry(NodeRetry { iteration, attempt, error: object, delay_ms }), Some(node));
            let delay = if self.replay.is_some() { Duration::ZERO } else { delay };
            self.attempt_after(node, delay);
            return Ok(());
        }
        self.fail(node, &error)
    }

    /// Lets a failure stand: the run fails, or the error object flows on `error`.
    pub(super) fn fail(&mut self, node: NodeIdx, error: &Error) -> Result<(), Error> {
        let chain = error.chain();
        let chain = self.ports.secrets.scrubber().text(&chain);
        let (id, label) = (&self.record.execution_id, &self.plan.nodes[node].label);
        tracing::debug!(execution.id = %id, node.label = %label, code = error.code(), "the node failed: {chain}");
        let warnings = self.take_notes(node);
        let live = self.live.remove(&node).expect("only live nodes fail");
        let object = self.error_object_of(node, error, live.iteration, live.attempt);
        // Without what was recorded the run is not the one that is repeated.
        let is_miss = error.code() == "REPLAY_MISS";
        let handled = self.plan.nodes[node].policy.on_error == OnError::Continue && !is_miss;
        let event = NodeError { iteration: live.iteration, error: object.clone(), handled, warnings };
        self.note_event(Event::NodeError(event), Some(node));
        if !handled {
            return self.step(Input::NodeFailed { node });
        }
        let stored = StoredOutput { body: Arc::new(object), forms: None };
        self.publish(node, live.iteration, &stored, Published::Error);
        self.step(Input::NodeDone { node, published: Published::Error })
    }

    /// Opens a question; the node counts as running until it is answered.
    fn ask(&mut self, node: NodeIdx, question: Question) {
        let iteration = self.live[&node].iteration;
        self.watch_child_of(node, &question);
        let was_raised = question.child.is_none() && question.budget.as_ref().is_some_and(|it| self.fits(it));
        self.note_event(Event::InteractivePrompt(InteractivePrompt { iteration, question }), Some(node));
        if was_raised {
            // Somebody raised the budget while the refusal was on its way here.
            self.try_again("budget");
        }
    }

    /// Children that this run waits with have nobody to wait for them any more.
    fn abandon_children(&self) {
        for (_, waiting) in self.state.open_questions() {
            let child = waiting.question.child.as_ref().and_then(|it| ExecutionId::parse(&it.execution_id).ok());
            if let Some(child) = child {
                self.ports.children.abandon(child, "the execution that started it has ended");
            }
        }
    }

    /// Looks out for the end of a question that a child execution asks.
    pub(super) fn watch_child_of(&mut self, node: NodeIdx, question: &Question) {
        if let Some(asked) = &question.child {
            if let (Some(purse), Ok(child)) = (self.purse(node), ExecutionId::parse(&asked.execution_id)) {
                self.ports.children.pay(&child, purse);
            }
            let moved = self.ports.children.moved(asked.clone());
            self.watched.push(Box::pin(moved.map(move |by| (node, by))));
        }
    }

    /// The child that a node waited with goes on, or has ended: the node takes it up again. `by` answered the child.
    pub(super) fn child_moved(&mut self, node: NodeIdx, by: Option<String>) {
        let Some(waiting) = self.state.nodes[node].waiting.clone() else { return };
        if waiting.answer.is_some() || waiting.question.child.is_none() || !self.live.contains_key(&node) {
            return;
        }
        let by = by.unwrap_or_else(|| "child".to_owned());
        let response = InteractiveResponse { iteration: waiting.iteration, value: Value::Null, by: by.clone() };
        self.note_event(Event::InteractiveResponse(response), Some(node));
        self.wake(&by);
        self.attempt(node, Work::Resume(Box::new(waiting.question), Value::Null), None);
    }

    /// Pauses, durably, when nothing but questions is left, or nothing that an operator's pause lets run.
    pub(super) async fn pause_if_only_waiting(&mut self) -> Result<(), Error> {
        if self.is_paused() || self.live.keys().any(|it| !self.state.is_asking(*it) && !self.is_lost(*it)) {
            return Ok(());
        }
        let Some(reason) = self.state.reason_to_wait() else { return Ok(()) };
        let open = self.state.open_questions();
        let waiting_for = open.iter().map(|(idx, _)| self.state.nodes[*idx].outline.id.clone()).collect();
        self.note_event(Event::ExecutionPaused(ExecutionPaused { reason, waiting_for }), None);
        self.flush_durably(true).await
    }

    /// Ends the execution: cancels what runs, records the end and waits until it is durable.
    pub(super) async fn close(&mut self, end: End) -> Result<(), Error> {
        self.in_flight.clear();
        while let Ok((node, report)) = self.reports.listen.try_recv() {
            self.note_report(node, report);
        }
        self.keep_broken_off_calls();
        self.abandon_children();
        let skipped = self.note_skipped(&end);
        let mut closing = self.closing(skipped);
        let event = match end {
            End::Schedule(ending) => match self.failure_of(&ending) {
                None => Event::ExecutionCompleted(closing),
                Some(error) => {
                    closing.error = Some(error);
                    Event::ExecutionError(closing)
                }
            },
            End::TimedOut => {
                let limit = self.options.timeout.unwrap_or_default().as_secs_f64();
                let error = Error::external("EXECUTION_TIMEOUT", format!("the run did not end within {limit} s"))
                    .hint("raise its `timeout`; time spent paused does not count");
                closing.error = Some(error.to_json());
                Event::ExecutionError(closing)
            }
            End::Completed { by, reason } => {
                (closing.by, closing.reason) = (Some(by), reason);
                Event::ExecutionCompleted(closing)
            }
            End::OverBudget(error) => {
                closing.error = Some(error.to_json());
                Event::ExecutionError(closing)
            }
            End::Aborted { by, reason } => {
                (closing.by, closing.reason) = (Some(by), reason);
                Event::ExecutionAborted(closing)
            }
        };
        self.note_event(event, None);
        self.flush_durably(true).await?;
        self.log_end();
        Ok(())
    }

    fn log_end(&self) {
        let duration_ms = self.ports.clock.now().since_ms(self.state.started_at);
        let (id, status) = (&self.record.execution_id, self.state.status.name());
        let span = tracing::Span::current();
        span.record("execution.status", status);
        if let Some(code) = self.error_code() {
            spans::fail(&span, &code);
        }
        match self.error_code() {
            // Executions that others start may be many.
            _ if self.options.depth > 0 => {
                tracing::debug!(execution.id = %id, duration_ms, "the child ended: {status}")
            }
            Some(code) => tracing::info!(execution.id = %id, code, duration_ms, "the execution ended: {status}"),
            None => tracing::info!(execution.id = %id, duration_ms, "the execution ended: {status}"),
        }
    }

    /// Lets running nodes finish for a moment, writes what there is and leaves the rest to the next owner.
    pub(super) async fn release(&mut self) -> Result<Stopped, Error> {
        use futures_util::StreamExt;
        let grace = tokio::time::sleep(super::STOP_GRACE);
        tokio::pin!(grace);
        // What completes now is recorded; the schedule is held, so nothing new starts.
        self.step(Input::Hold)?;
        self.flush(false).await?;
        loop {
            while let Some(finished) = self.next_finished()? {
                if !self.was_interrupted(&finished) {
                    self.take_up(finished)?;
                }
            }
            if let Some(end) = self.ending.take() {
                self.close(end).await?;
                self.acknowledge_end();
                return Ok(Stopped::Ended);
            }
            tokio::select! {
                biased;
                Some(commit) = self.record.commits.next() => self.record.committed(commit)?,
                () = &mut grace => break,
                Some(finished) = self.in_flight.next() => self.finished.push_back(finished),
                else => break,
            }
        }
        self.in_flight.clear();
        self.flush_durably(false).await?;
        Ok(Stopped::Released)
    }

    /// Whether what stops this process may have made an effect fail: service managers and Ctrl-C signal the programs
    /// that nodes started as well. It stays under way, and whoever goes on with the execution repeats it.
    fn was_interrupted(&self, finished: &Finished) -> bool {
        finished.result.is_err() && self.plan.nodes[finished.node].node.effect() == Effect::Outside
    }

    /// Moves what a node said into the log and returns its warnings.
    fn take_notes(&mut self, node: NodeIdx) -> Vec<Warning> {
        let label = self.plan.nodes[node].label.to_string();
        let notes = self.live.get(&node).map(|it| it.notes.take()).unwrap_or_default();
        let mut warnings = Vec::new();
        for note in notes {
            match note {
                Note::Log { level, message } => {
                    let event = ExecutionLog { level: level.to_owned(), message };
                    self.note_event(Event::ExecutionLog(event), Some(node));
                }
                Note::Warning { code, name, message, near } => {
                    let message = match near {
                        Some(near) => format!("{message}; did you mean `{near}`?"),
                        None => message,
                    };
                    warnings.push(Warning { code: code.to_owned(), node: label.clone(), name, message });
                }
            }
        }
        warnings
    }

    fn store_messages(&mut self, node: NodeIdx, iteration: u32, new: Vec<NewMessage>) {
        let node_id = self.plan.nodes[node].id.to_string();
        for (k, message) in new.into_iter().enumerate() {
            let stored = Message {
                id: message_id(&self.record.execution_id, (&node_id, iteration), k),
                seq: self.messages.len() as u64 + 1,
                from: message.from,
                to: message.to,
                person_id: message.person_id,
                role: message.role,
                content: message.content,
                node_id: node_id.clone(),
                iteration,
                kind: message.kind,
            };
            self.record.add_message(stored.clone());
            Arc::make_mut(&mut self.messages).push(stored);
        }
    }

    fn error_object(&self, node: NodeIdx, error: &Error, attempts: u32) -> Value {
        let iteration = self.live.get(&node).map_or(0, |it| it.iteration);
        self.error_object_of(node, error, iteration, attempts)
    }

    /// The error object of diagrams.md 3.8.
    fn error_object_of(&self, node: NodeIdx, error: &Error, iteration: u32, attempts: u32) -> Value {
        let plan_node = &self.plan.nodes[node];
        let mut object = match error.to_json() {
            Value::Object(object) => object,
            _ => Map::new(),
        };
        object.insert("node".into(), plan_node.label.to_string().into());
        object.insert("node_id".into(), plan_node.id.to_string().into());
        object.insert("iteration".into(), iteration.into());
        object.insert("attempts".into(), attempts.into());
        object.insert("retryable".into(), error.is_retryable().into());
        Value::Object(object)
    }

    /// The error object an ending stands for; `None` when the execution completed.
    fn failure_of(&self, ending: &crate::engine::schedule::Ending) -> Option<Value> {
        use crate::engine::schedule::Ending;
        match ending {
            Ending::Completed => None,
            Ending::Failed { node } => Some(self.state.nodes[*node].error.clone().unwrap_or(Value::Null)),
            other => Some(ending::to_error(other, &self.plan, &self.schedule)),
        }
    }

    /// Records every node that never ran, with the reason, and returns their labels.
    fn note_skipped(&mut self, end: &End) -> Vec<String> {
        let reason = match end {
            End::Schedule(crate::engine::schedule::Ending::Completed) => "nothing reached it",
            End::Completed { .. } => "the execution was completed before",
            End::Aborted { .. } => "the execution was aborted",
            End::Schedule(_) | End::TimedOut | End::OverBudget(_) => "the execution failed",
        };
        let never: Vec<NodeIdx> = (0..self.plan.nodes.len()).filter(|it| self.state.nodes[*it].started == 0).collect();
        for node in &never {
            self.note_event(Event::NodeSkipped(NodeSkipped { reason: reason.to_owned() }), Some(*node));
        }
        never.iter().map(|it| self.plan.nodes[*it].label.to_string()).collect()
    }

    fn closing(&self, skipped: Vec<String>) -> Closing {
        let now = self.ports.clock.now();
        let mut warnings = self.state.warnings.clone();
        warnings.extend(ending::token_warnings(&self.plan, &self.schedule, &self.replaced));
        Closing {
            outputs: Some(self.state.outputs()),
            total_duration_ms: now.since_ms(self.state.started_at),
            counts: self.state.counts(),
            llm_usage: self.state.usage,
            budgets: self.state.spent_budgets(now),
            messages_count: self.own_messages().count() as u64,
            last_message: self.own_messages().last().map(|it| self.shown(it)),
            handled_errors: self.state.handled_errors.clone(),
            warnings,
            skipped,
            exhausted: ending::exhausted(&self.plan, &self.schedule),
            recovered: (self.state.recovered > 0).then_some(self.state.recovered),
            ..Closing::default()
        }
    }

    /// The conversation of this execution alone, without what it inherited and what its children said.
    fn own_messages(&self) -> impl DoubleEndedIterator<Item = &Message> {
        let own = self.record.execution_id.as_str();
        self.messages.iter().filter(move |it| it.id.starts_with(own))
    }

    fn shown(&self, message: &Message) -> LastMessage {
        let at = self.state.node_idx(&message.node_id).and_then(|it| self.state.nodes[it].ended_at);
        LastMessage {
            role: message.role.clone(),
            content: message.content.clone(),
            node_id: message.node_id.clone(),
            timestamp: at.unwrap_or(self.state.started_at).to_rfc3339(),
        }
    }
}
