//! One Python expression with the additions of diagrams.md 3.10: an unknown name is null, an attribute
//! of a map is its key, an attribute of null is null.
//!
//! The interpreter knows none of these. Every name the expression reads is therefore bound, to null
//! when there is no value; and attributes are rewritten in the text, `a.b` to `__dipeo_get(a, "b")`,
//! except where they are called: `xs.count(1)` stays the method it is.

use std::collections::BTreeSet;
use std::time::Duration;

use monty::MontyRun;
use monty_types::{CompileOptions, MontyException, MontyObject, PrintWriter};
use ruff_python_ast::visitor::{Visitor, walk_expr};
use ruff_python_ast::{Expr, ExprContext, Parameter};
use ruff_text_size::Ranged;
use serde_json::Value;

use super::{exception, place, program, straight, values};
use crate::code::failure::Failure;
use crate::code::job::{Done, Job, Reply};
use crate::limits;
use crate::nodes::ports::SyntaxProblem;

/// Functions an expression may call (diagrams.md 3.10). Everything else is a name like any other.
pub(in crate::code) const BUILTINS: [&str; 22] = [
    "len",
    "abs",
    "min",
    "max",
    "sum",
    "all",
    "any",
    "bool",
    "int",
    "float",
    "str",
    "list",
    "dict",
    "tuple",
    "set",
    "round",
    "sorted",
    "range",
    "enumerate",
    "zip",
    "isinstance",
    "print",
];

/// What the rewritten text needs besides the user's names.
const PRELUDE: &str = "def __dipeo_get(value, key):\n    if value is None:\n        return None\n    \
    if __dipeo_isinstance(value, __dipeo_dict):\n        return value.get(key)\n    \
    return __dipeo_getattr(value, key)\n";

/// A compiled expression.
#[derive(Debug)]
pub(in crate::code) struct Condition {
    run: MontyRun,
    /// Names it reads, in the order of the interpreter's inputs.
    names: Vec<String>,
    uses_get: bool,
    is_straight: bool,
}

/// What the syntax tree says of an expression.
struct Reading {
    names: BTreeSet<String>,
    /// Byte ranges of the text and what replaces them, in the order of the text.
    edits: Vec<(usize, usize, String)>,
    uses_get: bool,
    is_straight: bool,
}

/// Checks that `expression` parses. Needs a deep stack.
///
/// # Errors
///
/// The first problem with its place.
pub(in crate::code) fn check(expression: &str) -> Result<(), SyntaxProblem> {
    read(expression)?;
    Ok(())
}

impl Condition {
    /// Compiles `expression`. `is_taken` says which built-in functions a name of the caller hides.
    /// Needs a deep stack.
    ///
    /// # Errors
    ///
    /// `Raised` when it is no expression, `NeedsHost` for what the interpreter does not know.
    pub(in crate::code) fn compile(expression: &str, is_taken: impl Fn(&str) -> bool) -> Result<Self, Failure> {
        let reading = read(expression).map_err(|problem| Failure::Raised {
            exception: "SyntaxError".into(),
            message: problem.message,
            line: None,
        })?;
        let is_bound = |name: &str| !BUILTINS.contains(&name) || is_taken(name);
        let names: Vec<String> = reading.names.iter().filter(|it| is_bound(it)).cloned().collect();
        let mut inputs = names.clone();
        let mut text = String::new();
        if reading.uses_get {
            inputs.extend(["__dipeo_isinstance", "__dipeo_dict", "__dipeo_getattr"].map(str::to_owned));
            text.push_str(PRELUDE);
        }
        text.push_str("__dipeo_value = (\n");
        text.push_str(&rewrite(expression, &reading.edits));
        text.push_str("\n)\n(not not __dipeo_value, __dipeo_value)");
        let run = MontyRun::new(text, "expression", inputs, CompileOptions::default())
            .map_err(|error| exception::compile_failure(&error))?;
        // A function of ours runs no loop, so its calls do not make an expression less straight.
        Ok(Self { run, names, uses_get: reading.uses_get, is_straight: reading.is_straight })
    }

    /// Names it reads; those without a value are null.
    pub(in crate::code) fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether it may be evaluated inside the server.
    pub(in crate::code) fn is_straight(&self) -> bool {
        self.is_straight
    }

    /// Evaluates in the worker, where everything may take its time.
    pub(in crate::code) fn run(&self, job: &Job) -> Reply {
        let mut printed = String::new();
        let given = self.names.iter().map(|it| job.names.get(it));
        let outcome = self.fill(given).and_then(|values| {
            let tracker = program::tracker(Duration::from_millis(job.time_ms), limits::CODE_MEMORY_BYTES_MAX);
            conclude(program::drive(&self.run, values, tracker, &mut printed, job.now_ms))
        });
        Reply { outcome, printed, retire: false }
    }

    /// Evaluates a straight expression in little time and memory. `given` are the values of
    /// [`Condition::names`], in their order.
    ///
    /// # Errors
    ///
    /// `TimedOut` and `OutOfMemory` when it needs more than a straight expression should.
    pub(in crate::code) fn run_inline<'v>(
        &self,
        given: impl Iterator<Item = Option<&'v Value>>,
        time_max: Duration,
    ) -> Result<Done, Failure> {
        let values = self.fill(given)?;
        let tracker = program::tracker(time_max, straight::MEMORY_BYTES_MAX);
        conclude(self.run.run(values, tracker, PrintWriter::Disabled))
    }

    fn fill<'v>(&self, given: impl Iterator<Item = Option<&'v Value>>) -> Result<Vec<MontyObject>, Failure> {
        let mut filled =
            given.map(|it| it.map_or(Ok(MontyObject::None), values::from_json)).collect::<Result<Vec<_>, Failure>>()?;
        if self.uses_get {
            filled.extend(helpers()?);
        }
        Ok(filled)
    }
}

/// The functions behind `__dipeo_get`, under names that no name of a caller can hide.
fn helpers() -> Result<[MontyObject; 3], Failure> {
    let function = |name: &str| {
        MontyObject::builtin_function_from_name(name)
            .ok_or_else(|| Failure::Bug { message: format!("the interpreter has no `{name}`") })
    };
    Ok([function("isinstance")?, MontyObject::Type(monty_types::MontyType::Dict), function("getattr")?])
}

fn conclude(ended: Result<MontyObject, MontyException>) -> Result<Done, Failure> {
    let object = ended.map_err(|error| exception::to_failure(&error, u32::MAX))?;
    let MontyObject::Tuple(pair) = object else {
        return Err(Failure::Bug { message: "an expression gave no pair".into() });
    };
    let [MontyObject::Bool(truth), value] = pair.as_slice() else {
        return Err(Failure::Bug { message: "an expression gave no truth".into() });
    };
    // The truth is what counts; a value that is no JSON is shown as Python would print it.
    let value = match values::to_json(value) {
        Ok(value) => value,
        Err(Failure::Raised { .. }) => Value::String(match value {
            MontyObject::Repr(text) => text.clone(),
            other => other.py_repr(),
        }),
        Err(failure) => return Err(failure),
    };
    Ok(Done { value, truth: *truth })
}

/// Puts the edits into the text.
fn rewrite(expression: &str, edits: &[(usize, usize, String)]) -> String {
    let mut text = String::with_capacity(expression.len() + 32 * edits.len());
    let mut done = 0;
    for (start, end, replacement) in edits {
        text.push_str(expression.get(done..*start).unwrap_or_default());
        text.push_str(replacement);
        done = *end;
    }
    text.push_str(expression.get(done..).unwrap_or_default());
    text
}

fn read(expression: &str) -> Result<Reading, SyntaxProblem> {
    let trimmed_at = expression.len() - expression.trim_start().len();
    let body = expression.trim();
    if body.is_empty() {
        return Err(SyntaxProblem { message: "the expression is empty".into(), line: 1, column: 1 });
    }
    // In brackets an expression may go over several lines, as it may in YAML.
    let wrapped = format!("({body}\n)");
    let parsed = ruff_python_parser::parse_expression(&wrapped).map_err(|error| {
        let at = error.location.start().to_usize().clamp(1, body.len() + 1) - 1;
        let (line, column) = place::line_column(expression, trimmed_at + at);
        SyntaxProblem { message: place::lower_first(&error.error.to_string()), line, column }
    })?;
    let tree = parsed.expr();
    // `1) + (2` fits between the brackets too, but then the tree begins at ours.
    let is_whole = tree.start().to_usize() == 1 || matches!(tree, Expr::Tuple(it) if it.parenthesized);
    if !is_whole && !wrapped.starts_with("((") {
        let (line, column) = place::line_column(expression, trimmed_at);
        return Err(SyntaxProblem { message: "this is not one expression".into(), line, column });
    }
    let is_straight = straight::is_straight_expression(tree);
    let mut reader =
        Reader { source: &wrapped, scopes: Vec::new(), names: BTreeSet::new(), edits: Vec::new(), uses_get: false };
    reader.bound_by_walrus(tree);
    reader.visit_expr(tree);
    let mut edits: Vec<_> = reader
        .edits
        .into_iter()
        .map(|(start, end, text)| (trimmed_at + start - 1, trimmed_at + end - 1, text))
        .collect();
    // Several calls may begin at one place; the outermost was found first and must come first.
    edits.sort_by_key(|(start, end, _)| (*start, *end));
    Ok(Reading { names: reader.names, edits, uses_get: reader.uses_get, is_straight })
}

/// Finds free names and attributes. A name bound by a comprehension, lambda or `:=` is not free.
struct Reader<'s> {
    source: &'s str,
    scopes: Vec<BTreeSet<String>>,
    names: BTreeSet<String>,
    edits: Vec<(usize, usize, String)>,
    uses_get: bool,
}

impl<'a> Visitor<'a> for Reader<'_> {
    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Name(name) if name.ctx == ExprContext::Load => self.name(name.id.as_str()),
            Expr::Attribute(it) => {
                self.attribute(expression, it.value.end().to_usize(), it.attr.as_str(), it.attr.start().to_usize());
                self.visit_expr(&it.value);
            }
            Expr::Call(call) => {
                // A called attribute is a method: only what it belongs to is rewritten.
                match &*call.func {
                    Expr::Attribute(method) => self.visit_expr(&method.value),
                    function => self.visit_expr(function),
                }
                self.visit_arguments(&call.arguments);
            }
            Expr::ListComp(_) | Expr::SetComp(_) | Expr::DictComp(_) | Expr::Generator(_) | Expr::Lambda(_) => {
                let mut bound = Bound::default();
                walk_expr(&mut bound, expression);
                self.scopes.push(bound.0);
                walk_expr(self, expression);
                self.scopes.pop();
            }
            _ => walk_expr(self, expression),
        }
    }
}

impl Reader<'_> {
    fn bound_by_walrus(&mut self, tree: &Expr) {
        let mut bound = Walrus::default();
        bound.visit_expr(tree);
        self.scopes.push(bound.0);
    }

    fn name(&mut self, name: &str) {
        if !self.scopes.iter().any(|it| it.contains(name)) {
            self.names.insert(name.to_owned());
        }
    }

    fn attribute(&mut self, expression: &Expr, value_end: usize, key: &str, key_start: usize) {
        // Between the value and the key stand closing brackets, blanks and one dot.
        let between = self.source.get(value_end..key_start).unwrap_or_default();
        let Some(dot) = between.trim_end().strip_suffix('.').map(|it| value_end + it.len()) else { return };
        let range = expression.range();
        let start = range.start().to_usize();
        self.edits.push((start, start, "__dipeo_get(".to_owned()));
        self.edits.push((dot, range.end().to_usize(), format!(",\"{key}\")")));
        self.uses_get = true;
    }
}

/// Collects what a comprehension or lambda binds, inner ones included.
#[derive(Default)]
struct Bound(BTreeSet<String>);

impl<'a> Visitor<'a> for Bound {
    fn visit_expr(&mut self, expression: &'a Expr) {
        if let Expr::Name(name) = expression
            && name.ctx == ExprContext::Store
        {
            self.0.insert(name.id.to_string());
        }
        walk_expr(self, expression);
    }

    fn visit_parameter(&mut self, parameter: &'a Parameter) {
        self.0.insert(parameter.name.to_string());
    }
}

/// Collects what `:=` binds.
#[derive(Default)]
struct Walrus(BTreeSet<String>);

impl<'a> Visitor<'a> for Walrus {
    fn visit_expr(&mut self, expression: &'a Expr) {
        if let Expr::Named(it) = expression
            && let Expr::Name(name) = &*it.target
        {
            self.0.insert(name.id.to_string());
        }
        walk_expr(self, expression);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn evaluate(expression: &str, names: Value) -> Result<(Value, bool), Failure> {
        let names = names.as_object().cloned().unwrap_or_default();
        let condition = Condition::compile(expression, |it| names.contains_key(it))?;
        let given = condition.names().iter().map(|it| names.get(it));
        condition.run_inline(given, Duration::from_secs(1)).map(|it| (it.value, it.truth))
    }

    #[test]
    fn attributes_are_keys_and_unknown_names_are_null() {
        let names =
            || json!({"n": 42, "obj": {"a": {"b": 1}, "items": [7]}, "xs": ["x", "y"], "dict": {"max": 3}, "s": "Bob"});
        for (expression, expected) in [
            ("n == 42 and n != '42'", json!(true)),
            ("obj.a.b", json!(1)),
            ("(obj).a . b", json!(1)),
            ("obj.items[0]", json!(7)),
            ("obj.get('q', 7)", json!(7)),
            ("obj.a.get('b')", json!(1)),
            ("obj.nope.deeper", json!(null)),
            ("missing.anything", json!(null)),
            ("missing is None and not missing and missing != 0", json!(true)),
            ("dict.max + 1", json!(4)),
            ("s.lower().startswith('b')", json!(true)),
            ("[it.b for it in [obj.a]]", json!([1])),
            ("any(v == 'y' for v in xs) and max(1, 2) == 2", json!(true)),
            ("f'{obj.a.b}!'", json!("1!")),
            ("n\n  > 3  # why", json!(true)),
            ("(m := n) + m", json!(84)),
            ("1, 2", json!([1, 2])),
            ("(1) + (2)", json!(3)),
            ("xs.count('x')", json!(1)),
            ("{'a': 1}.a", json!(1)),
            ("'big' if n > 10 else ''", json!("big")),
            ("range(3)", json!("range(0, 3)")),
        ] {
            assert_eq!(evaluate(expression, names()).map(|it| it.0), Ok(expected), "{expression}");
        }
    }

    #[test]
    fn the_truth_is_pythons() {
        for (expression, expected) in [
            ("''", false),
            ("'no'", true),
            ("[]", false),
            ("[0]", true),
            ("0.0", false),
            ("None", false),
            ("{}", false),
        ] {
            assert_eq!(evaluate(expression, json!({})).map(|it| it.1), Ok(expected), "{expression}");
        }
    }

    #[test]
    fn what_python_refuses_is_a_failure() {
        for (expression, exception) in [
            ("missing > 3", "TypeError"),
            ("{}['a']", "KeyError"),
            ("1 / 0", "ZeroDivisionError"),
            ("n(", "SyntaxError"),
        ] {
            let failure = evaluate(expression, json!({}));
            assert!(
                matches!(&failure, Err(Failure::Raised { exception: it, .. }) if it == exception),
                "{expression}: {failure:?}"
            );
        }
    }

    #[test]
    fn a_text_that_is_no_expression_is_a_problem_with_its_place() {
        for (expression, line, column) in [
            ("n >= and 3", 1, 6),
            ("a = 1", 1, 3),
            ("", 1, 1),
            ("1) + (2", 1, 1),
            ("a and\n b c", 2, 4),
            ("x for x in y", 1, 1),
        ] {
            let problem = check(expression).unwrap_err();
            assert_eq!((problem.line, problem.column), (line, column), "{expression}: {}", problem.message);
        }
    }
}
