//! What a trace is made of: spans for requests, executions, nodes and model calls. Without the feature `otel` nobody
//! listens to them and each costs a look at a flag. They say what was done and how long it took, by names and
//! numbers; no prompt, reply, input or output of anybody stands in one.

#[cfg(feature = "otel")]
mod otel;
#[cfg(not(feature = "otel"))]
mod silent;

use tracing::field::Empty;
use tracing::{Span, trace_span};
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::Registry;

#[cfg(feature = "otel")]
pub use self::otel::{Traces, start};
#[cfg(not(feature = "otel"))]
pub use self::silent::{Traces, start};

/// What listens to spans.
pub type Listener = Box<dyn Layer<Registry> + Send + Sync>;

/// Who listens to spans listens to this target; the log does not.
pub const TARGET: &str = "dipeo_spans";

/// Where a request comes from, as its sender wrote it (W3C trace context): `traceparent` and `tracestate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parent<'a> {
    pub traceparent: Option<&'a str>,
    pub tracestate: Option<&'a str>,
}

/// A request over HTTP, up to its answer.
pub fn http_request(method: &str, path: &str, parent: Parent<'_>) -> Span {
    let span = trace_span!(
        target: TARGET, "http_request", otel.name = method, otel.kind = "server",
        otel.status_code = Empty, http.request.method = method, url.path = path, http.response.status_code = Empty,
    );
    set_parent(&span, parent);
    span
}

/// A tool call over MCP; `parent` is what the call itself says, which is nearer than what its connection says.
pub fn tool_call(tool: &str, parent: Parent<'_>) -> Span {
    let span = trace_span!(
        target: TARGET, "tool_call", otel.name = %format_args!("tools/call {tool}"), otel.kind = "server",
        otel.status_code = Empty, mcp.method.name = "tools/call", gen_ai.tool.name = tool, "error.type" = Empty,
    );
    set_parent(&span, parent);
    span
}

/// The time that a process runs an execution, below the request that started it, if one did here.
pub fn execution(execution_id: &str) -> Span {
    trace_span!(
        target: TARGET, "execution", otel.status_code = Empty, execution.id = execution_id, execution.status = Empty,
        "error.type" = Empty,
    )
}

/// One attempt of a node, below its execution.
pub fn node(label: &str, kind: &str, iteration: u32, attempt: u32) -> Span {
    trace_span!(
        target: TARGET, "node", otel.name = %format_args!("{kind} {label}"), otel.status_code = Empty,
        node.label = label, "node.type" = kind, node.iteration = iteration, node.attempt = attempt,
        "error.type" = Empty,
    )
}

/// One call of a model, below the node that makes it.
pub fn model_call(service: &str, model: Option<&str>) -> Span {
    trace_span!(
        target: TARGET, "model_call", otel.name = %format_args!("chat {service}"), otel.kind = "client",
        otel.status_code = Empty, gen_ai.operation.name = "chat", gen_ai.provider.name = service,
        gen_ai.request.model = model, gen_ai.response.model = Empty, gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty, "error.type" = Empty,
    )
}

/// Adds to a request how it was answered; what is the server's fault is a failure.
pub fn answered(span: &Span, status: u16) {
    span.record("http.response.status_code", status);
    if status >= 500 {
        span.record("otel.status_code", "ERROR");
    }
}

/// Adds to a model call what came back: the model that answered, tokens of input and output.
pub fn replied(span: &Span, model: Option<&str>, (input, output): (u64, u64)) {
    span.record("gen_ai.response.model", model);
    span.record("gen_ai.usage.input_tokens", input);
    span.record("gen_ai.usage.output_tokens", output);
}

/// Marks a span as failed with a stable code.
pub fn fail(span: &Span, code: &str) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", code);
}

#[cfg(feature = "otel")]
use otel::set_parent;

#[cfg(not(feature = "otel"))]
fn set_parent(_: &Span, _: Parent<'_>) {}
