//! Conditions: finds the values of the names an expression reads, evaluates it, and explains a failure.

use std::borrow::Cow;
use std::sync::PoisonError;
use std::time::Duration;

use serde_json::{Map, Value};

use super::failure::Failure;
use super::job::{Dialect, Done, Job};
use super::sandbox::Sandbox;
use crate::error::Error;
use crate::nearest::nearest;
use crate::nodes::lookup::look_into;
use crate::nodes::ports::Truth;

/// Longest time of one expression.
const TIME_MAX: Duration = Duration::from_secs(5);

/// Evaluates `expression` over `names`.
///
/// # Errors
///
/// `EXPRESSION_FAILED` with the expression, the exception and the unknown names, `INTERNAL`.
pub(super) async fn evaluate(
    sandbox: &Sandbox,
    expression: &str,
    names: &Map<String, Value>,
    now_ms: i64,
) -> Result<Truth, Error> {
    let mut unknown = Vec::new();
    let outcome = match prepare(sandbox, expression, names, &mut unknown) {
        Ok(Prepared::Done(outcome)) => outcome,
        Ok(Prepared::Needs(names)) => sandbox.run_in_worker(&job(expression, names, now_ms)).await,
        Err(failure) => Err(failure),
    };
    match outcome {
        Ok(done) => Ok(Truth { value: done.value, truth: done.truth }),
        Err(Failure::Bug { message }) => Err(Error::internal(message)),
        Err(failure) => Err(expression_failed(expression, &failure, &unknown, names)),
    }
}

/// An expression after everything that can be done without waiting.
enum Prepared {
    Done(Result<Done, Failure>),
    /// It goes to a worker with these values.
    Needs(Map<String, Value>),
}

fn prepare(
    sandbox: &Sandbox,
    expression: &str,
    names: &Map<String, Value>,
    unknown: &mut Vec<String>,
) -> Result<Prepared, Failure> {
    let condition = sandbox.condition(expression, |it| names.contains_key(it))?;
    let condition = condition.lock().unwrap_or_else(PoisonError::into_inner);
    let given: Vec<_> = condition.names().iter().map(|it| names.get(it).map(|value| look_at(it, value))).collect();
    let all = || condition.names().iter().zip(&given);
    unknown.extend(all().filter(|(_, value)| value.is_none()).map(|(name, _)| name.clone()));
    Ok(match sandbox.evaluate_inline(&condition, &given) {
        Some(outcome) => Prepared::Done(outcome),
        None => {
            let known = all().filter_map(|(name, value)| Some((name.clone(), value.as_deref()?.clone())));
            Prepared::Needs(known.collect())
        }
    })
}

fn job(expression: &str, names: Map<String, Value>, now_ms: i64) -> Job {
    Job {
        dialect: Dialect::Condition,
        source: expression.into(),
        function_name: String::new(),
        names,
        inputs: Map::new(),
        globals: Map::new(),
        node_id: String::new(),
        time_ms: u64::try_from(TIME_MAX.as_millis()).unwrap_or(u64::MAX),
        now_ms,
    }
}

/// Looks into texts; in the special maps into the texts they hold.
fn look_at<'v>(name: &str, value: &'v Value) -> Cow<'v, Value> {
    match value {
        Value::Object(map) if matches!(name, "inputs" | "globals") => {
            if map.values().all(|it| matches!(look_into(it), Cow::Borrowed(_))) {
                return Cow::Borrowed(value);
            }
            let map = map.iter().map(|(key, value)| (key.clone(), look_into(value).into_owned()));
            Cow::Owned(Value::Object(map.collect()))
        }
        other => look_into(other),
    }
}

fn expression_failed(expression: &str, failure: &Failure, unknown: &[String], names: &Map<String, Value>) -> Error {
    let mut message = format!("the expression `{}` failed: {}", expression.trim(), failure.describe());
    let unknown: Vec<String> = unknown
        .iter()
        .map(|name| match nearest(name, names.keys().map(String::as_str)) {
            Some(near) => format!("`{name}` (did you mean `{near}`?)"),
            None => format!("`{name}`"),
        })
        .collect();
    if !unknown.is_empty() {
        message.push_str("; unknown names, which count as null: ");
        message.push_str(&unknown.join(", "));
    }
    let error = Error::invalid("EXPRESSION_FAILED", message)
        .hint("compare only what is there: `name is not None and name > 3`, or `map.get(key, default)`");
    match failure {
        Failure::Raised { exception, .. } => error.exception(exception.clone()),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A sandbox without a worker: everything here must run inline.
    async fn check(expression: &str, names: Value) -> Result<Truth, Error> {
        let sandbox = Sandbox::without_workers();
        let names = names.as_object().cloned().unwrap_or_default();
        evaluate(&sandbox, expression, &names, 0).await
    }

    #[tokio::test]
    async fn texts_that_are_json_are_looked_into() {
        let names = json!({"reply": "{\"score\": 7}", "inputs": {"default": "[1, 2]"}, "word": "{x}", "n": "42"});
        for (expression, expected) in
            [("reply.score", json!(7)), ("inputs['default'][1]", json!(2)), ("word + n", json!("{x}42"))]
        {
            assert_eq!(check(expression, names.clone()).await.unwrap().value, expected, "{expression}");
        }
    }

    #[tokio::test]
    async fn a_failure_names_expression_exception_and_unknown_names() {
        let error = check("scoer > 3", json!({"score": 1})).await.unwrap_err();
        assert_eq!(error.code(), "EXPRESSION_FAILED");
        assert!(!error.is_retryable());
        assert_eq!(error.to_json()["type"], "TypeError");
        assert_eq!(
            error.message(),
            "the expression `scoer > 3` failed: TypeError: '>' not supported between instances of 'NoneType' and \
             'int'; unknown names, which count as null: `scoer` (did you mean `score`?)"
        );
    }
}
