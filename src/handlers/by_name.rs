//! Use cases by their names, each with its request and response as JSON: what a command line on another machine
//! asks a server. It says what the typed handlers say, byte for byte, to a program and not to a model. What only
//! makes sense beside the files of this machine is not among them.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::run_diagram::Waiting;
use super::{
    App, Caller, compile_diagram, control_execution, diagram_revisions, diagram_stats, diff_executions, execution_logs,
    execution_messages, execution_metrics, fetch, follow_page, fork_execution, list_diagrams, list_executions,
    metrics_history, replay_execution, run_diagram, see_result,
};
use crate::error::Error;
use crate::nearest::nearest;

/// Every name, in the order of the command line.
pub const NAMES: [&str; 20] = [
    RUN_DIAGRAM,
    SEE_RESULT,
    LIST_EXECUTIONS,
    NEWEST_EXECUTION,
    FOLLOW_PAGE,
    EXECUTION_TRANSITIONS,
    EXECUTION_MESSAGES,
    EXECUTION_METRICS,
    METRICS_HISTORY,
    CONTROL_EXECUTION,
    REPLAY_EXECUTION,
    REPLAYED,
    FORK_EXECUTION,
    DIFF_EXECUTIONS,
    COMPILE_DIAGRAM,
    DIAGRAM_STATS,
    LIST_DIAGRAMS,
    DIAGRAM_REVISIONS,
    RESTORE_DIAGRAM,
    FETCH,
];
/// Takes [`Run`].
pub const RUN_DIAGRAM: &str = "run_diagram";
pub const SEE_RESULT: &str = "see_result";
pub const LIST_EXECUTIONS: &str = "list_executions";
pub const NEWEST_EXECUTION: &str = "newest_execution";
pub const FOLLOW_PAGE: &str = "follow_page";
pub const EXECUTION_TRANSITIONS: &str = "execution_transitions";
pub const EXECUTION_MESSAGES: &str = "execution_messages";
pub const EXECUTION_METRICS: &str = "execution_metrics";
pub const METRICS_HISTORY: &str = "metrics_history";
pub const CONTROL_EXECUTION: &str = "control_execution";
/// Takes [`Start`].
pub const REPLAY_EXECUTION: &str = "replay_execution";
pub const REPLAYED: &str = "replayed";
/// Takes [`Start`].
pub const FORK_EXECUTION: &str = "fork_execution";
pub const DIFF_EXECUTIONS: &str = "diff_executions";
/// Takes [`Compile`], answers [`Compiled`].
pub const COMPILE_DIAGRAM: &str = "compile_diagram";
pub const DIAGRAM_STATS: &str = "diagram_stats";
pub const LIST_DIAGRAMS: &str = "list_diagrams";
pub const DIAGRAM_REVISIONS: &str = "diagram_revisions";
pub const RESTORE_DIAGRAM: &str = "restore_diagram";
pub const FETCH: &str = "fetch";

/// A run with what a command line may ask besides.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    pub request: run_diagram::Request,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub execution_id: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub strict: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub background: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mode: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub breakpoints: Vec<String>,
}

/// The start of an execution from another one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start<T> {
    pub request: T,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub background: bool,
}

/// A check with what a command line may ask besides.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compile {
    pub request: compile_diagram::Request,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub check_only: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub create_only: bool,
    /// Also render the result for a terminal, under this name of the text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shown_as: Option<String>,
}

/// What comes of a check.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Compiled {
    pub response: compile_diagram::Response,
    /// The report for a terminal, which is no part of the response elsewhere.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rendered: Option<String>,
}

/// Carries out the use case of this name.
///
/// # Errors
///
/// `TOOL_NOT_FOUND` for another name, `INVALID_INPUT` for a request that cannot be read, and what the handler says.
pub async fn carry_out(app: &Arc<App>, caller: &Caller, name: &str, request: Value) -> Result<Value, Error> {
    match name {
        RUN_DIAGRAM => {
            let Run { request, execution_id, strict, background, mode, breakpoints } = read(name, request)?;
            let extras = run_diagram::Extras {
                execution_id,
                strict,
                background,
                mode,
                breakpoints,
                ..run_diagram::Extras::default()
            };
            shown(Box::pin(run_diagram::run_diagram(app, caller, request, extras, Waiting::default())).await?)
        }
        SEE_RESULT => shown(see_result::see_result(app, caller, read(name, request)?, Waiting::default()).await?),
        LIST_EXECUTIONS => shown(list_executions::list_executions(app, caller, read(name, request)?).await?),
        NEWEST_EXECUTION => shown(list_executions::newest_execution(app, caller, read(name, request)?).await?),
        FOLLOW_PAGE => shown(follow_page::follow_page(app, caller, read(name, request)?).await?),
        EXECUTION_TRANSITIONS => shown(execution_logs::execution_transitions(app, caller, read(name, request)?).await?),
        EXECUTION_MESSAGES => shown(execution_messages::execution_messages(app, caller, read(name, request)?).await?),
        EXECUTION_METRICS => shown(execution_metrics::execution_metrics(app, caller, read(name, request)?).await?),
        METRICS_HISTORY => shown(metrics_history::metrics_history(app, caller, read(name, request)?).await?),
        CONTROL_EXECUTION => {
            let request = read(name, request)?;
            shown(Box::pin(control_execution::control_execution(app, caller, request, Waiting::default())).await?)
        }
        REPLAY_EXECUTION => {
            let Start { request, background } = read(name, request)?;
            let extras = replay_execution::Extras { background, ..replay_execution::Extras::default() };
            shown(Box::pin(replay_execution::replay_execution(app, caller, request, extras, Waiting::default())).await?)
        }
        REPLAYED => shown(replay_execution::replayed(app, caller, read(name, request)?).await?),
        FORK_EXECUTION => {
            let Start { request, background } = read(name, request)?;
            let extras = fork_execution::Extras { background, ..fork_execution::Extras::default() };
            shown(Box::pin(fork_execution::fork_execution(app, caller, request, extras, Waiting::default())).await?)
        }
        DIFF_EXECUTIONS => shown(Box::pin(diff_executions::diff_executions(app, caller, read(name, request)?)).await?),
        COMPILE_DIAGRAM => {
            let Compile { request, check_only, create_only, shown_as } = read(name, request)?;
            let extras =
                compile_diagram::Extras { check_only, create_only, shown_as, ..compile_diagram::Extras::default() };
            let mut response = compile_diagram::compile_diagram(app, caller, request, extras).await?;
            let rendered = response.rendered.take();
            shown(Compiled { response, rendered })
        }
        DIAGRAM_STATS => shown(diagram_stats::diagram_stats(app, caller, read(name, request)?).await?),
        LIST_DIAGRAMS => shown(list_diagrams::list_diagrams(app, caller, read(name, request)?).await?),
        DIAGRAM_REVISIONS => shown(diagram_revisions::list(app, caller, read(name, request)?).await?),
        RESTORE_DIAGRAM => {
            let request = read(name, request)?;
            shown(diagram_revisions::restore(app, caller, request, Default::default()).await?)
        }
        FETCH => shown(fetch::fetch(app, caller, read(name, request)?).await?),
        other => Err(unknown(other)),
    }
}

fn unknown(name: &str) -> Error {
    let name: String = name.chars().take(60).collect();
    let near = nearest(&name, NAMES).map(|it| format!(", did you mean `{it}`?")).unwrap_or_default();
    Error::not_found("TOOL_NOT_FOUND", format!("this server knows no use case `{name}`{near}"))
        .hint("the server may be older than the program that asks it: use the same version on both sides")
}

fn read<T: DeserializeOwned>(name: &str, request: Value) -> Result<T, Error> {
    serde_json::from_value(request).map_err(|error| {
        Error::invalid("INVALID_INPUT", format!("the request for `{name}` cannot be read: {error}"))
            .hint("use the same version of dipeo on both sides")
    })
}

fn shown(response: impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(response).map_err(|error| Error::internal("the response has no JSON form").source(error))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_asked_reads_back_and_what_is_unknown_is_refused() {
        let run = Run { strict: true, mode: Some("mock".into()), ..Run::default() };
        let json = serde_json::to_value(&run).expect("JSON");
        assert_eq!(json, json!({"request": {}, "strict": true, "mode": "mock"}));
        let back: Run = read(RUN_DIAGRAM, json).expect("reads");
        assert_eq!((back.strict, back.mode.as_deref()), (true, Some("mock")));
        for request in [json!({}), json!({"request": {}, "listed_as": "x"}), json!({"request": {"x": 1}}), json!([])] {
            let error = read::<Run>(RUN_DIAGRAM, request).expect_err("refused");
            assert_eq!(error.code(), "INVALID_INPUT");
        }
        let error = unknown("see_reslut");
        assert_eq!((error.code(), error.message().contains("did you mean `see_result`?")), ("TOOL_NOT_FOUND", true));
    }
}
