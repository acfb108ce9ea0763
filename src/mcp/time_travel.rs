//! The actions `fork` and `diff` of `control_execution`: its arguments as requests of their own handlers. It must not
//! know what the handlers do with them.

use serde_json::{Map, Value};

use crate::error::Error;
use crate::handlers::{control_execution, diff_executions, fork_execution};
use crate::nearest::nearest;

/// What `value` of a fork may hold.
const CHANGES: [&str; 6] = ["set", "output", "inputs", "diagram", "prompts", "models"];

/// Reads a fork: `node` is where it goes on from, `value` what is different.
///
/// # Errors
///
/// `INVALID_INPUT` for a `value` that is none.
pub fn fork(request: control_execution::Request) -> Result<fork_execution::Request, Error> {
    let mut changes = match request.value {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(changes)) => changes,
        Some(_) => return Err(wrong("the `value` of a fork is no object".to_owned())),
    };
    if let Some(unknown) = changes.keys().find(|it| !CHANGES.contains(&it.as_str())) {
        let near = nearest(unknown, CHANGES).map(|it| format!(", did you mean `{it}`?")).unwrap_or_default();
        let shown: String = unknown.chars().take(60).collect();
        return Err(wrong(format!("a fork has no `{shown}`{near}")));
    }
    // An output may be null, and everything else may be left out instead.
    changes.retain(|name, value| name == "output" || !value.is_null());
    let output = changes.remove("output");
    changes.insert("execution_id".into(), request.execution_id.into());
    let read: Result<fork_execution::Request, _> = serde_json::from_value(Value::Object(changes));
    let read = read.map_err(|e| wrong(format!("the `value` of a fork cannot be read: {e}")))?;
    Ok(fork_execution::Request { node: request.node, output, wait_seconds: request.wait_seconds, ..read })
}

fn wrong(message: String) -> Error {
    Error::invalid("INVALID_INPUT", message)
        .hint("write {\"set\": {\"NODE.FIELD\": …}, \"output\": …, \"inputs\": {…}, \"diagram\": \"…\"}, each if it is wanted")
}

/// Reads a comparison: `value` is the other execution.
///
/// # Errors
///
/// `INVALID_INPUT` when it is missing.
pub fn diff(request: control_execution::Request) -> Result<diff_executions::Request, Error> {
    match request.value {
        Some(Value::String(b)) => Ok(diff_executions::Request { a: request.execution_id, b }),
        _ => Err(Error::invalid("INVALID_INPUT", "`diff` needs the id of another execution as `value`")
            .hint("`execution_id` is the one, `value` the other")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(value: Option<Value>) -> control_execution::Request {
        control_execution::Request {
            execution_id: "exec_1".into(),
            node: Some("write".into()),
            value,
            ..Default::default()
        }
    }

    #[test]
    fn a_fork_is_read_from_its_value() {
        let of = |value| fork(request(value));
        let plain = of(None).expect("nothing is different");
        assert_eq!((plain.execution_id.as_str(), plain.node.as_deref(), plain.output), ("exec_1", Some("write"), None));
        let value =
            json!({"set": {"write.default_prompt": "hi"}, "inputs": {"n": 1}, "models": {"Ann": "m"}, "output": null});
        let changed = of(Some(value)).expect("it is understood");
        assert_eq!((&changed.set["write.default_prompt"], &changed.inputs["n"]), (&json!("hi"), &json!(1)));
        assert_eq!((changed.models["Ann"].as_str(), changed.output), ("m", Some(Value::Null)));
        for (value, message) in [
            (json!("x"), "the `value` of a fork is no object"),
            (json!({"outptu": 1}), "a fork has no `outptu`, did you mean `output`?"),
            (json!({"execution_id": "exec_2"}), "a fork has no `execution_id`"),
        ] {
            let error = of(Some(value)).expect_err("refused");
            assert!(error.message().starts_with(message), "{}", error.message());
        }
        let error = of(Some(json!({"set": []}))).expect_err("refused");
        assert_eq!(error.code(), "INVALID_INPUT");
    }

    #[test]
    fn a_comparison_needs_the_other_execution() {
        let both = diff(request(Some(json!("exec_2")))).expect("both are named");
        assert_eq!((both.a.as_str(), both.b.as_str()), ("exec_1", "exec_2"));
        assert_eq!(diff(request(None)).expect_err("refused").code(), "INVALID_INPUT");
    }
}
