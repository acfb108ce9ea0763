//! Runs JavaScript in the sandbox: an interpreter per job, so that nothing one piece of code does to
//! its globals is seen by the next. Runs in the worker process.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use rquickjs::context::EvalOptions;
use rquickjs::{
    CatchResultExt, CaughtError, Context, Ctx, Error, Exception, Function, Object, Promise, Runtime, Value as JsValue,
};
use tokio::time::Instant;

use super::strip;
use crate::code::failure::Failure;
use crate::code::job::{Dialect, Done, Job, Reply};
use crate::limits;

const SHARED: &str = include_str!("shared.js");
/// Name of the node's text in stack traces.
const FILE: &str = "code";
/// Stack of the interpreter, in bytes; its thread has more.
const STACK_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Runs a JavaScript or TypeScript job to its end.
pub(in crate::code) fn run(job: &Job) -> Reply {
    let printed = Rc::new(RefCell::new(String::new()));
    let outcome = match job.dialect {
        Dialect::TypeScript => strip::strip(&job.source)
            .and_then(|it| evaluate(job, &it.code, &printed).map_err(|failure| it.translate(failure))),
        _ => evaluate(job, &job.source, &printed),
    };
    let printed = printed.borrow().clone();
    Reply { outcome, printed, retire: false }
}

/// The state of a run that our callbacks note and its end reads.
#[derive(Clone, Default)]
struct Marks {
    is_late: Rc<Cell<bool>>,
    has_printed_too_much: Rc<Cell<bool>>,
}

fn evaluate(job: &Job, code: &str, printed: &Rc<RefCell<String>>) -> Result<Done, Failure> {
    let marks = Marks::default();
    let runtime = Runtime::new().map_err(|error| bug(&error))?;
    runtime.set_memory_limit(limits::CODE_MEMORY_BYTES_MAX);
    runtime.set_max_stack_size(STACK_BYTES_MAX);
    let deadline = Instant::now() + Duration::from_millis(job.time_ms);
    let is_late = Rc::clone(&marks.is_late);
    runtime.set_interrupt_handler(Some(Box::new(move || {
        if Instant::now() >= deadline {
            is_late.set(true);
        }
        is_late.get()
    })));
    let context = Context::full(&runtime).map_err(|error| bug(&error))?;
    context.with(|ctx| {
        let value = evaluate_in(&ctx, job, code, printed, &marks).catch(&ctx);
        if marks.has_printed_too_much.get() {
            return Err(Failure::TooLarge { what: "what the code printed".into() });
        }
        value.map_err(|error| to_failure(&error, &marks)).and_then(|text| read_value(text.as_deref()))
    })
}

fn evaluate_in(
    ctx: &Ctx<'_>,
    job: &Job,
    code: &str,
    printed: &Rc<RefCell<String>>,
    marks: &Marks,
) -> rquickjs::Result<Option<String>> {
    let shared: Object<'_> = ctx.eval(SHARED)?;
    bind_console(ctx, &shared, printed, marks)?;
    let globals = ctx.globals();
    for (name, value) in &job.names {
        globals.set(name.as_str(), ctx.json_parse(value.to_string())?)?;
    }
    for (name, map) in [("inputs", &job.inputs), ("globals", &job.globals)] {
        globals.set(name, ctx.json_parse(serde_json::Value::Object(map.clone()).to_string())?)?;
    }
    globals.set("node_id", job.node_id.as_str())?;
    let mut options = EvalOptions::default();
    options.strict = false;
    options.filename = Some(FILE.to_owned());
    let function: Function<'_> = ctx.eval_with_options(wrap(code, &job.function_name), options)?;
    let inputs = ctx.json_parse(serde_json::Value::Object(job.inputs.clone()).to_string())?;
    let promise: Promise<'_> = function.call((inputs,))?;
    let value: JsValue<'_> = promise.finish()?;
    let to_json: Function<'_> = shared.get("toJson")?;
    to_json.call((value,))
}

/// Makes a function of the text: `return`, else `result`, else what its function returns, else null.
pub(in crate::code) fn wrap(code: &str, function_name: &str) -> String {
    let is_name = function_name.chars().all(|it| it == '_' || it == '$' || it.is_alphanumeric());
    let function = if is_name && !function_name.is_empty() { function_name } else { "main" };
    format!(
        "(async function () {{{code}\n;if (typeof result !== \"undefined\") return result;\n\
         if (typeof {function} === \"function\") return {function}(arguments[0]);\nreturn null;\n}})"
    )
}

fn bind_console<'js>(
    ctx: &Ctx<'js>,
    shared: &Object<'js>,
    printed: &Rc<RefCell<String>>,
    marks: &Marks,
) -> rquickjs::Result<()> {
    let (printed, marks) = (Rc::clone(printed), marks.clone());
    let write = Function::new(ctx.clone(), move |ctx: Ctx<'js>, line: String| {
        let mut printed = printed.borrow_mut();
        if printed.len() + line.len() > limits::CODE_OUTPUT_BYTES_MAX {
            // Code may catch what is thrown here, but its next check of the deadline ends it then.
            marks.has_printed_too_much.set(true);
            marks.is_late.set(true);
            return Err(Exception::throw_range(&ctx, "too much output"));
        }
        printed.push_str(&line);
        Ok(())
    })?;
    let bind: Function<'js> = ctx.eval(
        "((shared, write) => { const log = (...values) => write(shared.toLine(values)); \
         globalThis.console = { log, info: log, debug: log, warn: log, error: log }; })",
    )?;
    bind.call((shared.clone(), write))
}

fn read_value(text: Option<&str>) -> Result<Done, Failure> {
    let text = text.unwrap_or("null");
    if text.len() > limits::CODE_OUTPUT_BYTES_MAX {
        return Err(Failure::TooLarge { what: "the value".into() });
    }
    let value =
        serde_json::from_str(text).map_err(|error| Failure::Bug { message: format!("unreadable value: {error}") })?;
    Ok(Done { value, truth: false })
}

fn to_failure(error: &CaughtError<'_>, marks: &Marks) -> Failure {
    if marks.is_late.get() {
        return Failure::TimedOut;
    }
    match error {
        CaughtError::Exception(exception) => {
            let name = exception.as_object().get::<_, String>("name").unwrap_or_else(|_| "Error".into());
            let message = exception.message().unwrap_or_default();
            if message == "out of memory" {
                return Failure::OutOfMemory;
            }
            let line = exception.stack().as_deref().and_then(line_in_stack);
            Failure::Raised { message: if message.is_empty() { name.clone() } else { message }, exception: name, line }
        }
        // When memory is so short that not even an error can be made, null is thrown.
        CaughtError::Value(value) if value.is_null() => Failure::OutOfMemory,
        CaughtError::Value(value) => Failure::Raised { exception: "Error".into(), message: thrown(value), line: None },
        CaughtError::Error(Error::WouldBlock) => Failure::Raised {
            exception: "Error".into(),
            message: "the code awaits something that never happens".into(),
            line: None,
        },
        CaughtError::Error(Error::Allocation) => Failure::OutOfMemory,
        CaughtError::Error(error) => bug(error),
    }
}

fn thrown(value: &JsValue<'_>) -> String {
    let text = value.ctx().json_stringify(value.clone()).ok().flatten().and_then(|it| it.to_string().ok());
    match value.as_string().and_then(|it| it.to_string().ok()).or(text) {
        Some(text) => text.chars().take(1_000).collect(),
        None => "the code threw a value that is no error".into(),
    }
}

/// Finds the innermost line of the node's text in a stack trace.
fn line_in_stack(stack: &str) -> Option<u32> {
    let rest = stack.split_once(&format!("{FILE}:"))?.1;
    rest.split(|it: char| !it.is_ascii_digit()).next()?.parse().ok()
}

fn bug(error: &Error) -> Failure {
    Failure::Bug { message: format!("the JavaScript interpreter failed: {error}") }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;

    fn job(source: &str, time_ms: u64) -> Job {
        let map = |value: Value| value.as_object().cloned().unwrap_or_default();
        Job {
            dialect: Dialect::JavaScript,
            source: source.into(),
            function_name: "main".into(),
            names: map(json!({"a": 1, "list": [3, 1]})),
            inputs: map(json!({"a": 1, "two words": 2})),
            globals: Map::new(),
            node_id: "node_7".into(),
            time_ms,
            now_ms: 0,
        }
    }

    fn value(source: &str) -> Result<Value, Failure> {
        run(&job(source, 2_000)).outcome.map(|it| it.value)
    }

    #[test]
    fn the_value_is_returned_or_assigned_or_comes_from_the_function() {
        for (source, expected) in [
            ("return a + 1", json!(2)),
            ("result = a + 1 // note", json!(2)),
            ("const result = {x: list, y: undefined}; let a = 5", json!({"x": [3, 1]})),
            ("function main(inputs) { return inputs['two words'] }", json!(2)),
            ("const main = async (it) => it.a + 0.5", json!(1.5)),
            ("return await Promise.resolve([null, true])", json!([null, true])),
            ("let unused = 1", json!(null)),
            ("return node_id + inputs.a", json!("node_71")),
            ("return new Set([3, 1, 2])", json!([1, 2, 3])),
            ("return new Map([['k', new Date(0)]])", json!({"k": "1970-01-01T00:00:00.000Z"})),
            ("return list.map(x => x * 2)", json!([6, 2])),
        ] {
            assert_eq!(value(source), Ok(expected), "{source}");
        }
    }

    #[test]
    fn what_is_printed_is_kept_apart() {
        let reply = run(&job("console.log('a', {b: 1}); console.error(2); return 3", 1_000));
        assert_eq!((reply.outcome.map(|it| it.value), reply.printed.as_str()), (Ok(json!(3)), "a {\"b\":1}\n2\n"));
    }

    #[test]
    fn failures_name_exception_message_and_line() {
        for (source, exception, message, line) in [
            ("\nreturn nope", "ReferenceError", "nope is not defined", Some(2)),
            ("function f() {\n  throw new TypeError('x') }\nf()", "TypeError", "x", Some(2)),
            ("throw 'text'", "Error", "text", None),
            ("return {a: [NaN]}", "TypeError", "the value at `a[0]` is the number `NaN`, which is not JSON", None),
            ("return () => 1", "TypeError", "the value is a function, which is not JSON", None),
            (
                "const x = []; x.push(x); return x",
                "TypeError",
                "the value at `[0]` is a value that contains itself, which is not JSON",
                None,
            ),
            ("await new Promise(() => {})", "Error", "the code awaits something that never happens", None),
        ] {
            let expected = Failure::Raised { exception: exception.into(), message: message.into(), line };
            assert_eq!(value(source), Err(expected), "{source}");
        }
    }

    #[test]
    fn hostile_code_ends_cleanly() {
        let cases = [
            ("while (true) {}", Failure::TimedOut),
            ("for (;;) { try { for (;;) {} } catch {} }", Failure::TimedOut),
            ("const a = []; for (;;) a.push('x'.repeat(1000) + a.length)", Failure::OutOfMemory),
            ("for (;;) console.log('x'.repeat(1e6))", Failure::TooLarge { what: "what the code printed".into() }),
            ("return 'x'.repeat(5e6)", Failure::TooLarge { what: "the value".into() }),
        ];
        for (source, expected) in cases {
            // Only an endless loop needs its whole time; the rest must not lose the race on a busy machine.
            let time_ms = if expected == Failure::TimedOut { 300 } else { 20_000 };
            assert_eq!(run(&job(source, time_ms)).outcome.map(|it| it.value), Err(expected), "{source}");
        }
    }

    #[test]
    fn one_job_sees_nothing_of_another() {
        assert_eq!(value("globalThis.left = 1; Array.prototype.map = null; return 1"), Ok(json!(1)));
        assert_eq!(value("return [typeof left, [1].map(x => x)]"), Ok(json!(["undefined", [1]])));
    }
}
