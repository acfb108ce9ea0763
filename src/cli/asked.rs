//! Where commands ask: the handlers of this process, or those of a server elsewhere (`--server URL`). A command calls
//! the same function either way and prints what comes back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::args::Command;
use super::{Context, mcp::McpArgs};
use crate::config::Config;
use crate::engine::Status;
use crate::error::Error;
use crate::handlers::execution_object::ExecutionObject;
use crate::handlers::run_diagram::{OnProgress, ProgressNote, Waiting};
use crate::handlers::{
    by_name, compile_diagram, control_execution, diagram_stats, diff_executions, fetch, fork_execution, list_diagrams,
    list_executions, replay_execution, run_diagram, see_result,
};
use crate::limits::{DIAGRAM_BYTES_MAX, RUN_TIMEOUT_S, WAIT_SECONDS_MAX};

/// Carries a use case out on a server: its name and request as JSON, the response as JSON.
pub type Ask = Arc<dyn Fn(&'static str, Value) -> BoxFuture<'static, Result<Value, Error>> + Send + Sync>;

/// A server elsewhere.
pub struct Remote {
    /// As the user gave it.
    pub address: String,
    pub ask: Ask,
}

/// Returns the address of the server that carries this command out; `None` when this process does. A command that
/// cannot be carried out elsewhere works here, unless `--server` asked for the other thing.
///
/// # Errors
///
/// `INVALID_INPUT` for such a command with `--server`.
pub fn remote_address<'a>(config: &'a Config, command: &Command) -> Result<Option<&'a str>, Error> {
    let Some(address) = config.server.as_deref() else { return Ok(None) };
    let hint = match command {
        Command::Run(_)
        | Command::Results(_)
        | Command::List(_)
        | Command::Compile(_)
        | Command::Control(_)
        | Command::Fork(_)
        | Command::Replay(_)
        | Command::Diff(_)
        | Command::Stats(_) => return Ok(Some(address)),
        Command::Serve(_) | Command::Mcp(McpArgs { command: None, .. }) | Command::Drain => {
            "this command is a server itself: leave `--server URL` out"
        }
        Command::Secrets(_) | Command::Tokens(_) | Command::Trust(_) | Command::Maintenance(_) => {
            "what only a person may do is done at the terminal of the server's machine"
        }
        _ => "it works with what is on this machine: leave `--server` out, or use it on the server's machine",
    };
    if config.named.server {
        return Err(Error::invalid("INVALID_INPUT", "this command cannot be carried out by another server").hint(hint));
    }
    Ok(None)
}

impl Remote {
    async fn response<T: DeserializeOwned>(&self, name: &'static str, request: &impl Serialize) -> Result<T, Error> {
        let request = serde_json::to_value(request)
            .map_err(|error| Error::internal("the request has no JSON form").source(error))?;
        let response = (self.ask)(name, request).await?;
        serde_json::from_value(response).map_err(|error| {
            Error::external("SERVER_UNREACHABLE", format!("the answer of `{}` cannot be read", self.address))
                .hint("use the same version of dipeo on both sides")
                .source(error)
        })
    }

    /// Asks until the execution has ended or somebody has to act, or until the person here has had enough.
    async fn settled(&self, mut object: ExecutionObject, waiting: Waiting) -> Result<ExecutionObject, Error> {
        let mut progress = waiting.on_progress.map(|it| Progress { on_progress: it, seq: 0, done: 0 });
        loop {
            let is_open = matches!(object.status, Status::Pending | Status::Running);
            if let Some(progress) = &mut progress {
                progress.report(self, &object.execution_id).await?;
            }
            if !is_open || waiting.cancel.is_cancelled() {
                return Ok(object);
            }
            let request = see_result::Request {
                execution_id: object.execution_id.clone(),
                // Whoever watches wants to see something now and then.
                wait_seconds: Some(if progress.is_some() { 1 } else { WAIT_SECONDS_MAX }),
                ..see_result::Request::default()
            };
            let asked = self.response(by_name::SEE_RESULT, &request);
            if let Some(seen) = waiting.cancel.run_until_cancelled(asked).await {
                object = seen?;
            }
        }
    }
}

/// Tells what happened since the last look.
struct Progress {
    on_progress: OnProgress,
    seq: u64,
    done: u64,
}

impl Progress {
    async fn report(&mut self, remote: &Remote, execution_id: &str) -> Result<(), Error> {
        let request = see_result::Request {
            execution_id: execution_id.to_owned(),
            since_seq: Some(self.seq),
            ..see_result::Request::default()
        };
        let seen: ExecutionObject = remote.response(by_name::SEE_RESULT, &request).await?;
        for event in seen.events.iter().flatten() {
            self.done += u64::from(matches!(event.phase.as_str(), "node_completed" | "node_error"));
            if let Some(note) = ProgressNote::of_event(event, self.done) {
                (self.on_progress)(&note);
            }
        }
        self.seq = seen.last_seq.unwrap_or(self.seq);
        Ok(())
    }
}

/// What a server waits for before its first answer: nothing, so that the id is known when somebody interrupts.
const NOT_AT_ALL: Option<u32> = Some(0);

impl Context<'_> {
    /// Runs a diagram and waits for its end, or for a pause.
    pub(super) async fn run_diagram(
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

    /// A file of this machine is sent as a text; a name is one of the server's workspace.
    fn with_its_text(&self, remote: &Remote, request: run_diagram::Request) -> Result<run_diagram::Request, Error> {
        let Some(path) = request.diagram.as_deref().and_then(|it| self.local_file(it)) else { return Ok(request) };
        let content = text_of(&path)?;
        if !self.quiet {
            let (name, address) = (path.display(), &remote.address);
            self.output.note(&format!("note: `{name}` is sent to {address}; it runs there with a client's rights"));
        }
        Ok(run_diagram::Request { diagram: None, content: Some(content), ..request })
    }

    /// The file of this machine that `name` names, if there is one.
    fn local_file(&self, name: &str) -> Option<PathBuf> {
        Some(self.working_dir.join(name)).filter(|it| it.is_file())
    }

    pub(super) async fn see_result(&self, request: see_result::Request) -> Result<ExecutionObject, Error> {
        match &self.remote {
            None => see_result::see_result(self.app, &self.caller, request, Waiting::default()).await,
            Some(remote) => remote.response(by_name::SEE_RESULT, &request).await,
        }
    }

    pub(super) async fn control_execution(
        &self,
        request: control_execution::Request,
    ) -> Result<ExecutionObject, Error> {
        match &self.remote {
            None => control_execution::control_execution(self.app, &self.caller, request, Waiting::default()).await,
            Some(remote) => remote.response(by_name::CONTROL_EXECUTION, &request).await,
        }
    }

    pub(super) async fn list_executions(
        &self,
        request: list_executions::Request,
    ) -> Result<list_executions::Response, Error> {
        match &self.remote {
            None => list_executions::list_executions(self.app, &self.caller, request).await,
            Some(remote) => remote.response(by_name::LIST_EXECUTIONS, &request).await,
        }
    }

    pub(super) async fn newest_execution(
        &self,
        request: list_executions::Request,
    ) -> Result<Option<list_executions::ListedExecution>, Error> {
        match &self.remote {
            None => list_executions::newest_execution(self.app, &self.caller, request).await,
            Some(remote) => remote.response(by_name::NEWEST_EXECUTION, &request).await,
        }
    }

    pub(super) async fn replay_execution(
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

    pub(super) async fn fork_execution(
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

    pub(super) async fn diff_executions(
        &self,
        request: diff_executions::Request,
    ) -> Result<diff_executions::Response, Error> {
        match &self.remote {
            None => diff_executions::diff_executions(self.app, &self.caller, request).await,
            Some(remote) => remote.response(by_name::DIFF_EXECUTIONS, &request).await,
        }
    }

    pub(super) async fn list_diagrams(
        &self,
        request: list_diagrams::Request,
    ) -> Result<list_diagrams::Response, Error> {
        match &self.remote {
            None => list_diagrams::list_diagrams(self.app, &self.caller, request).await,
            Some(remote) => remote.response(by_name::LIST_DIAGRAMS, &request).await,
        }
    }

    pub(super) async fn diagram_stats(
        &self,
        request: diagram_stats::Request,
    ) -> Result<diagram_stats::Response, Error> {
        let Some(remote) = &self.remote else {
            return diagram_stats::diagram_stats(self.app, &self.caller, request).await;
        };
        if let Some(path) = self.local_file(&request.diagram) {
            let message =
                format!("`{}` is a file of this machine, and a server counts its own diagrams", path.display());
            return Err(
                Error::invalid("INVALID_INPUT", message).hint("leave `--server` out, or name a diagram of the server")
            );
        }
        remote.response(by_name::DIAGRAM_STATS, &request).await
    }

    pub(super) async fn compile_diagram(
        &self,
        request: compile_diagram::Request,
        extras: compile_diagram::Extras,
    ) -> Result<compile_diagram::Response, Error> {
        let Some(remote) = &self.remote else {
            return compile_diagram::compile_diagram(self.app, &self.caller, request, extras).await;
        };
        let compile_diagram::Extras { check_only, create_only, shown_as, target_dir, write_to, .. } = extras;
        let here = [("--target-dir", target_dir.is_some()), ("--write", write_to.is_some())];
        if let Some((flag, _)) = here.into_iter().find(|it| it.1) {
            return Err(Error::invalid("INVALID_INPUT", format!("`{flag}` names a place on this machine"))
                .hint("leave it out, or leave `--server` out"));
        }
        let compile = by_name::Compile { request, check_only, create_only, shown_as };
        let by_name::Compiled { response, rendered } = remote.response(by_name::COMPILE_DIAGRAM, &compile).await?;
        Ok(compile_diagram::Response { rendered, ..response })
    }

    /// The text of a diagram that is to be checked elsewhere, when this command asks a server: a file of this machine,
    /// else a diagram of the server.
    pub(super) async fn remote_text(&self, diagram: &str) -> Result<Option<String>, Error> {
        let Some(remote) = &self.remote else { return Ok(None) };
        if let Some(path) = self.local_file(diagram) {
            return text_of(&path).map(Some);
        }
        let id =
            if diagram.starts_with("dipeo://") { diagram.to_owned() } else { format!("dipeo://diagrams/{diagram}") };
        let found: fetch::Response = remote.response(by_name::FETCH, &fetch::Request { id }).await?;
        Ok(Some(found.text))
    }
}

/// Reads a diagram that is to be sent.
fn text_of(path: &Path) -> Result<String, Error> {
    let size = std::fs::metadata(path).map_or(0, |it| it.len());
    if size > DIAGRAM_BYTES_MAX as u64 {
        return Err(Error::limit("TOO_LARGE", format!("`{}` has more than {DIAGRAM_BYTES_MAX} bytes", path.display()))
            .hint("keep data in files that nodes read"));
    }
    std::fs::read_to_string(path).map_err(|error| {
        Error::not_found("FILE_NOT_FOUND", format!("cannot read `{}`: {}", path.display(), error.kind()))
            .hint("give a file with UTF-8 text")
    })
}
