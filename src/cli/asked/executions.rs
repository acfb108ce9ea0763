//! The use cases of executions, here or elsewhere.

use super::Context;
use crate::error::Error;
use crate::handlers::execution_object::ExecutionObject;
use crate::handlers::run_diagram::Waiting;
use crate::handlers::{
    by_name, control_execution, diff_executions, execution_logs, execution_messages, execution_metrics, fork_execution,
    list_executions, metrics_history, replay_execution, run_diagram, see_result,
};
use crate::limits::RUN_TIMEOUT_S;

/// What a server waits for before its first answer: nothing, so that the id is known when somebody interrupts.
const NOT_AT_ALL: Option<u32> = Some(0);

impl Context<'_> {
    /// Runs a diagram and waits for its end, or for a pause.
    pub(in crate::cli) async fn run_diagram(
        &self,
        request: run_diagram::Request,
        extras: run_diagram::Extras,
        waiting: Waiting,
    ) -> Result<ExecutionObject, Error> {
        let Some(remote) = &self.remote else {
            return run_diagram::run_diagram(self.app, &self.caller, request, extras, waiting).await;
        };
        if waiting.on_token.is_some() {
            return Err(Error::invalid("INVALID_INPUT", "replies of a run elsewhere cannot be shown while they come")
                .hint("leave `--stream` out, or leave `--server` out"));
        }
        let run_diagram::Extras { execution_id, strict, background, mode, breakpoints, .. } = extras;
        let request = self.with_its_text(remote, request)?;
        // As at this terminal: a server would let it run longer.
        let timeout = request.timeout.or(Some(RUN_TIMEOUT_S));
        let request = run_diagram::Request { wait_seconds: NOT_AT_ALL, timeout, ..request };
        let run = by_name::Run { request, execution_id, strict, background, mode, breakpoints };
        let started = remote.response(by_name::RUN_DIAGRAM, &run).await?;
        if background { Ok(started) } else { remote.settled(started, waiting).await }
    }

    pub(in crate::cli) async fn see_result(&self, request: see_result::Request) -> Result<ExecutionObject, Error> {
        let here = see_result::see_result(self.app, &self.caller, request.clone(), Waiting::default());
        self.asked(by_name::SEE_RESULT, &request, here).await
    }

    pub(in crate::cli) async fn control_execution(
        &self,
        request: control_execution::Request,
    ) -> Result<ExecutionObject, Error> {
        let waiting = Waiting::default();
        let here = control_execution::control_execution(self.app, &self.caller, request.clone(), waiting);
        self.asked(by_name::CONTROL_EXECUTION, &request, here).await
    }

    pub(in crate::cli) async fn list_executions(
        &self,
        request: list_executions::Request,
    ) -> Result<list_executions::Response, Error> {
        let here = list_executions::list_executions(self.app, &self.caller, request.clone());
        self.asked(by_name::LIST_EXECUTIONS, &request, here).await
    }

    pub(in crate::cli) async fn newest_execution(
        &self,
        request: list_executions::Request,
    ) -> Result<Option<list_executions::ListedExecution>, Error> {
        let here = list_executions::newest_execution(self.app, &self.caller, request.clone());
        self.asked(by_name::NEWEST_EXECUTION, &request, here).await
    }

    pub(in crate::cli) async fn execution_transitions(
        &self,
        request: execution_logs::Request,
    ) -> Result<execution_logs::TransitionsResponse, Error> {
        let here = execution_logs::execution_transitions(self.app, &self.caller, request.clone());
        self.asked(by_name::EXECUTION_TRANSITIONS, &request, here).await
    }

    pub(in crate::cli) async fn execution_messages(
        &self,
        request: execution_messages::Request,
    ) -> Result<execution_messages::Response, Error> {
        let here = execution_messages::execution_messages(self.app, &self.caller, request.clone());
        self.asked(by_name::EXECUTION_MESSAGES, &request, here).await
    }

    pub(in crate::cli) async fn execution_metrics(
        &self,
        request: execution_metrics::Request,
    ) -> Result<execution_metrics::Response, Error> {
        let here = execution_metrics::execution_metrics(self.app, &self.caller, request.clone());
        self.asked(by_name::EXECUTION_METRICS, &request, here).await
    }

    pub(in crate::cli) async fn metrics_history(
        &self,
        request: metrics_history::Request,
    ) -> Result<metrics_history::Response, Error> {
        let here = metrics_history::metrics_history(self.app, &self.caller, request.clone());
        self.asked(by_name::METRICS_HISTORY, &request, here).await
    }

    pub(in crate::cli) async fn replay_execution(
        &self,
        request: replay_execution::Request,
        extras: replay_execution::Extras,
    ) -> Result<ExecutionObject, Error> {
        let Some(remote) = &self.remote else {
            let waiting = Waiting::default();
            return replay_execution::replay_execution(self.app, &self.caller, request, extras, waiting).await;
        };
        let request = replay_execution::Request { wait_seconds: NOT_AT_ALL, ..request };
        let start = by_name::Start { request, background: extras.background };
        let started: ExecutionObject = remote.response(by_name::REPLAY_EXECUTION, &start).await?;
        if extras.background {
            return Ok(started);
        }
        let ended = remote.settled(started, Waiting::default()).await?;
        let request = replay_execution::Replayed { execution_id: ended.execution_id };
        remote.response(by_name::REPLAYED, &request).await
    }

    pub(in crate::cli) async fn fork_execution(
        &self,
        request: fork_execution::Request,
        extras: fork_execution::Extras,
        waiting: Waiting,
    ) -> Result<ExecutionObject, Error> {
        let Some(remote) = &self.remote else {
            return fork_execution::fork_execution(self.app, &self.caller, request, extras, waiting).await;
        };
        let request = fork_execution::Request { wait_seconds: NOT_AT_ALL, ..request };
        let start = by_name::Start { request, background: extras.background };
        let started = remote.response(by_name::FORK_EXECUTION, &start).await?;
        if extras.background { Ok(started) } else { remote.settled(started, waiting).await }
    }

    pub(in crate::cli) async fn diff_executions(
        &self,
        request: diff_executions::Request,
    ) -> Result<diff_executions::Response, Error> {
        let here = diff_executions::diff_executions(self.app, &self.caller, request.clone());
        self.asked(by_name::DIFF_EXECUTIONS, &request, here).await
    }
}
