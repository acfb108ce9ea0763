//! A hook that waits for a webhook: a durable question whose answer is the payload.

use serde_json::{Map, Value, json};

use super::TIMEOUT_S;
use crate::error::Error;
use crate::nodes::content::{as_text, excerpt};
use crate::nodes::template::JsonTemplate;
use crate::nodes::{Fields, NodeContext, Output, PauseReason, Question};

/// What `subscribe_to` takes.
const KEYS: [&str; 4] = ["provider", "event_name", "timeout", "filters"];

pub(super) struct Subscribe {
    provider: String,
    event_name: String,
    timeout_ms: i64,
    filters: Option<JsonTemplate>,
}

pub(super) fn read(fields: &mut Fields<'_>) -> Subscribe {
    let written = fields.object_or_empty("subscribe_to");
    for key in written.keys().filter(|it| !KEYS.contains(&it.as_str())) {
        let hint = format!("it takes {}", KEYS.join(", "));
        fields.problem("W402", "subscribe_to", format!("`subscribe_to.{key}` has no effect"), hint);
    }
    for key in ["url", "method", "headers", "body"] {
        if fields.tree(key).is_some_and(|it| it.as_text().is_none_or(|it| !it.trim().is_empty())) {
            let message = format!("`{key}` has no effect beside `subscribe_to`");
            fields.problem("W402", key, message, "use two hooks: one to call, one to wait");
        }
    }
    let timeout = read_timeout(fields, &written);
    Subscribe {
        provider: required(fields, &written, "provider"),
        event_name: required(fields, &written, "event_name"),
        timeout_ms: (timeout * 1_000.0) as i64,
        filters: read_filters(fields, &written),
    }
}

fn required(fields: &mut Fields<'_>, written: &Map<String, Value>, key: &str) -> String {
    let text = written.get(key).and_then(Value::as_str).map(str::trim).unwrap_or_default();
    if text.is_empty() {
        let message = format!("`subscribe_to` needs a text as `{key}`");
        fields.problem("E401", "subscribe_to", message, "write `{provider: github, event_name: push}`");
    }
    text.to_owned()
}

fn read_timeout(fields: &mut Fields<'_>, written: &Map<String, Value>) -> f64 {
    let Some(value) = written.get("timeout").filter(|it| !it.is_null()) else { return TIMEOUT_S };
    let seconds = value.as_f64().filter(|it| *it > 0.0 && *it <= 1e9);
    if seconds.is_none() {
        let message = format!("`subscribe_to.timeout` is {}, which is no number of seconds", excerpt(value));
        fields.problem("E404", "subscribe_to", message, "write a number above 0");
    }
    seconds.unwrap_or(TIMEOUT_S)
}

fn read_filters(fields: &mut Fields<'_>, written: &Map<String, Value>) -> Option<JsonTemplate> {
    let filters = written.get("filters").filter(|it| !it.is_null())?;
    if !filters.is_object() {
        let hint = "write `filters: {action: opened}`";
        fields.problem("E402", "subscribe_to", "`subscribe_to.filters` must be a mapping", hint);
        return None;
    }
    JsonTemplate::parse(filters)
        .map_err(|problem| {
            let message = format!("template does not parse: {}", problem.message);
            fields.problem("E602", "subscribe_to", message, problem.hint);
        })
        .ok()
}

impl Subscribe {
    /// The question that the webhook answers.
    pub(super) fn ask(&self, cx: &NodeContext) -> Result<Question, Error> {
        let filters = match &self.filters {
            Some(filters) => filters.render(cx, &Map::new())?,
            None => Value::Object(Map::new()),
        };
        let prompt = format!("waits for `{}` from `{}`", self.event_name, self.provider);
        let mut question = Question::new(PauseReason::Input, prompt);
        question.deadline = Some(cx.ports.clock.now().plus_ms(self.timeout_ms));
        question.state = json!({"provider": self.provider, "event_name": self.event_name, "filters": filters});
        Ok(question)
    }
}

/// Returns a payload that fits the filters.
///
/// # Errors
///
/// `INVALID_ANSWER`; the question stays open.
pub(super) fn check(question: &Question, payload: Value) -> Result<Value, Error> {
    for (path, wanted) in question.state.get("filters").and_then(Value::as_object).into_iter().flatten() {
        let found = path.split('.').try_fold(&payload, |at, key| match at {
            Value::Array(items) => items.get(key.parse::<usize>().ok()?),
            other => other.get(key),
        });
        let fits = |wanted: &Value| found.is_some_and(|it| it == wanted || as_text(it) == as_text(wanted));
        let is_fine = match wanted {
            Value::Array(any) => any.iter().any(fits),
            one => fits(one),
        };
        if !is_fine {
            let found = found.map_or_else(|| "not there".to_owned(), |it| format!("`{}`", excerpt(it)));
            let message = format!("`{path}` of the payload is {found}; the filter wants `{}`", excerpt(wanted));
            return Err(Error::invalid("INVALID_ANSWER", message).hint("the node goes on waiting for one that fits"));
        }
    }
    Ok(payload)
}

/// The value of a node whose webhook came.
pub(super) fn payload(question: &Question, payload: Value) -> Output {
    let mut output = Output::value(payload);
    for key in ["provider", "event_name"] {
        output.meta.insert(key.to_owned(), question.state.get(key).cloned().unwrap_or_default());
    }
    output
}

/// Nothing came in time.
pub(super) fn expired(question: &Question) -> Error {
    Error::external("ANSWER_TIMEOUT", format!("it {}, and nothing came in time", question.prompt))
        .hint("raise `subscribe_to.timeout`, or let `on_error: continue` go on without it")
}
