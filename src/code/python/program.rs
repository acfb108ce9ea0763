//! A code node's Python, compiled. A few lines are added behind the text that give the value of the
//! node: `result`, else what its function returns, else null. Nothing is added before it, so the
//! interpreter's line numbers are those of the diagram.

use std::time::Duration;

use monty::{MontyRun, RunProgress};
use monty_types::{
    CompileOptions, ExcType, ExtFunctionResult, MontyException, MontyObject, NameLookupResult, PrintWriter,
    ResourceLimits, ResourceTracker,
};
use ruff_python_ast::Stmt;

use super::call::{self, Call};
use super::facts::{self, Facts, ResultName, Signature};
use super::values;
use super::{exception, outside, place};
use crate::code::failure::Failure;
use crate::code::job::{Done, Job, Reply};
use crate::limits;

/// How often a program may ask the outside for something, so that asking does not become a way
/// around its time limit.
const REQUESTS_MAX: usize = 10_000;

/// A compiled text with the names it binds.
#[derive(Debug)]
pub(in crate::code) struct Program {
    run: MontyRun,
    slots: Vec<Slot>,
    n_lines: u32,
}

/// What a name of the program is filled with.
#[derive(Clone, Debug)]
enum Slot {
    Name(String),
    Inputs,
    Globals,
    NodeId,
    /// The map of inputs once more, so that code may change its own.
    InputsArgument,
    PositionalArguments(Vec<String>),
    NamedArguments {
        positional: Vec<String>,
        named: Vec<String>,
        takes_all: bool,
    },
}

/// What a compiled text depends on besides itself: the function and the names at hand.
pub(in crate::code) fn key(job: &Job) -> String {
    let mut key = format!("{}\0{}", job.source, job.function_name);
    for name in job.names.keys().chain(std::iter::once(&String::new())).chain(job.inputs.keys()) {
        key.push('\0');
        key.push_str(name);
    }
    key
}

impl Program {
    /// Compiles the text of `job`. Needs a deep stack.
    ///
    /// # Errors
    ///
    /// `Raised` for a syntax error, `NeedsHost` for what the interpreter does not know.
    pub(in crate::code) fn compile(job: &Job) -> Result<Self, Failure> {
        let parsed = ruff_python_parser::parse_module(&job.source).map_err(|error| {
            let problem = place::syntax_problem(&job.source, &error);
            Failure::Raised { exception: "SyntaxError".into(), message: problem.message, line: Some(problem.line) }
        })?;
        Self::compile_parsed(job, parsed.suite())
    }

    /// As [`Program::compile`], with the syntax tree at hand.
    ///
    /// # Errors
    ///
    /// As [`Program::compile`].
    pub(in crate::code) fn compile_parsed(job: &Job, body: &[Stmt]) -> Result<Self, Failure> {
        let facts = facts::read(body, &job.function_name);
        let mut names = vec!["inputs".to_owned(), "globals".to_owned(), "node_id".to_owned()];
        let mut slots = vec![Slot::Inputs, Slot::Globals, Slot::NodeId];
        for name in job.names.keys().filter(|it| is_identifier(it)) {
            names.push(name.clone());
            slots.push(Slot::Name(name.clone()));
        }
        let mut text = job.source.to_string();
        text.push('\n');
        text.push_str(&ending(job, &facts, &mut names, &mut slots));
        let run = MontyRun::new(text, "code", names, CompileOptions::default())
            .map_err(|error| exception::compile_failure(&error))?;
        Ok(Self { run, slots, n_lines: u32::try_from(job.source.lines().count()).unwrap_or(u32::MAX) })
    }

    /// Runs it over the values of `job`, which must have the names it was compiled for.
    pub(in crate::code) fn run(&self, job: &Job) -> Reply {
        let mut printed = String::new();
        let outcome = self.fill(job).and_then(|values| {
            let tracker = tracker(Duration::from_millis(job.time_ms), limits::CODE_MEMORY_BYTES_MAX);
            let ended = drive(&self.run, values, tracker, &mut printed, job.now_ms);
            self.conclude(ended)
        });
        Reply { outcome, printed, retire: false }
    }

    /// Runs a straight-line program, which cannot ask the outside for anything, in little time and memory.
    pub(in crate::code) fn run_inline(&self, job: &Job, time_max: Duration, memory_bytes_max: usize) -> Reply {
        let mut printed = String::new();
        let outcome = self.fill(job).and_then(|values| {
            let writer = PrintWriter::CollectString(&mut printed, Some(limits::CODE_OUTPUT_BYTES_MAX));
            self.conclude(self.run.run(values, tracker(time_max, memory_bytes_max), writer))
        });
        Reply { outcome, printed, retire: false }
    }

    fn conclude(&self, ended: Result<MontyObject, MontyException>) -> Result<Done, Failure> {
        let object = ended.map_err(|error| exception::to_failure(&error, self.n_lines))?;
        Ok(Done { value: values::to_json(&object)?, truth: object.is_truthy() })
    }

    fn fill(&self, job: &Job) -> Result<Vec<MontyObject>, Failure> {
        self.slots.iter().map(|it| fill(it, job)).collect()
    }
}

/// Limits of one run. Memory is only checked before single large allocations; growth in small steps
/// is the business of the worker process.
pub(in crate::code) fn tracker(time_max: Duration, memory_bytes_max: usize) -> ResourceTracker {
    ResourceTracker::new(ResourceLimits::default().max_duration(time_max).max_memory(memory_bytes_max))
}

/// Runs a program and answers what it asks the outside for.
pub(in crate::code) fn drive(
    run: &MontyRun,
    values: Vec<MontyObject>,
    tracker: ResourceTracker,
    printed: &mut String,
    now_ms: i64,
) -> Result<MontyObject, MontyException> {
    let mut writer = PrintWriter::CollectString(printed, Some(limits::CODE_OUTPUT_BYTES_MAX));
    let mut progress = run.clone().start(values, tracker, writer.reborrow())?;
    for _ in 0..REQUESTS_MAX {
        progress = match progress {
            RunProgress::Complete(object) => return Ok(object),
            RunProgress::OsCall(call) => call.resume_with(writer.reborrow(), |it| outside::answer(&it, now_ms))?,
            RunProgress::NameLookup(lookup) => lookup.resume(NameLookupResult::Undefined, writer.reborrow())?,
            RunProgress::FunctionCall(call) => {
                let name = call.function_name.clone();
                call.resume(ExtFunctionResult::NotFound(name), writer.reborrow())?
            }
            RunProgress::ResolveFutures(futures) => {
                let error = MontyException::new(ExcType::RuntimeError, Some("awaits something that never ends".into()));
                futures.abort(error, writer.reborrow())?
            }
        };
    }
    let message = format!("the code asked for the time or a file more than {REQUESTS_MAX} times");
    Err(MontyException::new(ExcType::RuntimeError, Some(message)))
}

fn fill(slot: &Slot, job: &Job) -> Result<MontyObject, Failure> {
    match slot {
        Slot::Name(name) => match job.names.get(name) {
            Some(value) => values::from_json(value),
            None => Ok(MontyObject::None),
        },
        Slot::Inputs | Slot::InputsArgument => values::from_map(&job.inputs),
        Slot::Globals => values::from_map(&job.globals),
        Slot::NodeId => Ok(MontyObject::String(job.node_id.clone())),
        Slot::PositionalArguments(names) => {
            let values = names.iter().map(|it| values::from_json(&call::argument(job, it)));
            Ok(MontyObject::List(values.collect::<Result<_, _>>()?))
        }
        Slot::NamedArguments { positional, named, takes_all } => {
            values::from_map(&call::named_arguments(job, positional, named, *takes_all))
        }
    }
}

/// Writes the lines that give the node's value, adding the names they need.
fn ending(job: &Job, facts: &Facts, names: &mut Vec<String>, slots: &mut Vec<Slot>) -> String {
    if facts.result == ResultName::Always {
        return awaited(job, "result");
    }
    let value = match &facts.function {
        Some(signature) => call_text(job, signature, names, slots),
        None => Ok("None".to_owned()),
    };
    let last = match (facts.result, value) {
        (ResultName::Never, Ok(expression)) => return awaited(job, &expression),
        (ResultName::Never, Err(failing)) => return failing,
        (_, Ok(expression)) => format!("__dipeo_value = {expression}"),
        (_, Err(failing)) => failing,
    };
    // Only running the text tells whether `result` is there.
    format!(
        "try:\n    __dipeo_value = result\n    __dipeo_found = True\nexcept NameError:\n    __dipeo_found = False\n\
         if not __dipeo_found:\n    {last}\n{}",
        awaited(job, "__dipeo_value")
    )
}

/// Awaits the value when it turns out to be a coroutine; only texts with `async` in them can make one.
fn awaited(job: &Job, value: &str) -> String {
    if !job.source.contains("async") {
        return value.to_owned();
    }
    format!(
        "__dipeo_value = {value}\nif type(__dipeo_value).__name__ == 'coroutine':\n    \
         __dipeo_value = await __dipeo_value\n__dipeo_value"
    )
}

/// Returns the call as an expression, or a statement that says which argument is missing.
fn call_text(
    job: &Job,
    signature: &Signature,
    names: &mut Vec<String>,
    slots: &mut Vec<Slot>,
) -> Result<String, String> {
    let function = &job.function_name;
    let awaiting = if signature.is_async { "await " } else { "" };
    let mut bind = |name: &str, slot: Slot| {
        names.push(name.to_owned());
        slots.push(slot);
    };
    Ok(match call::plan(signature, |name| call::has(job, name)) {
        Call::Empty => format!("{awaiting}{function}()"),
        Call::WithInputs => {
            bind("__dipeo_inputs", Slot::InputsArgument);
            format!("{awaiting}{function}(__dipeo_inputs)")
        }
        Call::ByName { positional, named, takes_all } => {
            bind("__dipeo_positional", Slot::PositionalArguments(positional.clone()));
            bind("__dipeo_named", Slot::NamedArguments { positional, named, takes_all });
            format!("{awaiting}{function}(*__dipeo_positional, **__dipeo_named)")
        }
        Call::Missing { name } => {
            let message = serde_json::Value::String(call::missing_text(job, &name));
            // A JSON text is a valid text in Python too.
            return Err(format!("raise TypeError({message})"));
        }
    })
}

/// Whether Python accepts `name` as a name.
pub(in crate::code) fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    let starts_well = chars.next().is_some_and(|it| it == '_' || it.is_alphabetic());
    starts_well && chars.all(|it| it == '_' || it.is_alphabetic() || it.is_ascii_digit()) && !KEYWORDS.contains(&name)
}

const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
    "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
    "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];
