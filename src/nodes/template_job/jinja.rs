//! Jinja2 over the names of a node: undefined names fail, nothing is escaped, blanks stay as they are.
//! Work and output are limited.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Enumerator, Object, ObjectRepr, Serde};
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value as Jinja};
use serde_json::{Map, Value};

use super::filters;
use crate::error::Error;
use crate::limits;
use crate::nearest::nearest;
use crate::nodes::lookup::look_into;

/// Instructions one rendering may take: some ten thousand rows of a table, a fraction of a second.
const FUEL: u64 = 2_000_000;
/// Deepest recursion of macros and values; the stack of a worker thread holds it.
const RECURSION_MAX: usize = 100;
/// The name under which the one template of an environment is kept.
const NAME: &str = "template";

/// A parsed Jinja2 template.
pub struct Jinja2(Environment<'static>);

/// Names with their values, made once for all templates of a node.
pub struct Context(BTreeMap<String, Jinja>);

impl Context {
    /// Takes `names` over; JSON texts of objects and lists print as they are and can be looked into.
    pub fn new(names: &Map<String, Value>) -> Self {
        Self(names.iter().map(|(name, value)| (name.clone(), jinja(value))).collect())
    }

    /// Adds `names`, which win over those there are.
    pub fn extend(&mut self, names: &Map<String, Value>) {
        self.0.extend(names.iter().map(|(name, value)| (name.clone(), jinja(value))));
    }
}

impl Jinja2 {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// What is wrong and in which line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut environment = environment();
        environment.add_template_owned(NAME, text.to_owned()).map_err(|error| sentence(&error))?;
        Ok(Self(environment))
    }

    /// Renders the template.
    ///
    /// # Errors
    ///
    /// `TEMPLATE_FAILED` naming the line and what is undefined.
    pub fn render(&self, context: &Context) -> Result<String, Error> {
        let template = self.0.get_template(NAME).map_err(|error| failed(&error))?;
        let mut out = Limited(Vec::new());
        let rendered = template.render_captured_to(Jinja::from(context.0.clone()), &mut out);
        if let Err(error) = rendered {
            let undefined = (error.kind() == ErrorKind::UndefinedError)
                .then(|| undefined_names(template.undeclared_variables(false), context));
            return Err(with_names(&error, undefined.unwrap_or_default(), context));
        }
        String::from_utf8(out.0).map_err(|error| Error::internal("a template rendered no text").source(error))
    }
}

/// Longest template that fits the stack it is parsed on, in bytes.
const CHECKED_BYTES_MAX: usize = limits::CODE_BYTES_MAX;
/// A text this short cannot overflow an ordinary stack, whatever stands in it, in bytes.
const SHORT_BYTES_MAX: usize = 512;
/// Stack for parsing longer ones, in bytes. The compiler recurses along chains such as `a.b.b`, `1+1+1`: two
/// bytes of text a link, and under 2 KiB of stack for each in a build without optimisation.
const DEEP_STACK_BYTES: usize = 128 * 1024 * 1024;

/// Checks that a template parses, in bounded stack and memory.
///
/// # Errors
///
/// As [`Jinja2::parse`], and for a template that is longer than 64 KiB.
pub fn check(text: &str) -> Result<(), String> {
    if text.len() <= SHORT_BYTES_MAX {
        return check_here(text);
    }
    if text.len() > CHECKED_BYTES_MAX {
        return Err(format!("the template has {} bytes, and {CHECKED_BYTES_MAX} are the most", text.len()));
    }
    let builder = std::thread::Builder::new().stack_size(DEEP_STACK_BYTES);
    let outcome = std::thread::scope(|scope| builder.spawn_scoped(scope, || check_here(text)).ok()?.join().ok());
    outcome.unwrap_or_else(|| Err("the template could not be checked".to_owned()))
}

/// The compiler multiplies texts that are constants, so one tag could take 100 MB. It is shown a minus
/// instead, which it does not carry out on texts.
fn check_here(text: &str) -> Result<(), String> {
    if !text.contains('*') {
        return Jinja2::parse(text).map(|_| ());
    }
    match environment().add_template_owned(NAME, text.replace('*', "-")) {
        // `f(a=1, **more)` has no minus in its place; running it tells.
        Err(_) if ["(*", ",*", ", *"].iter().any(|it| text.contains(it)) => Ok(()),
        Err(error) => Err(sentence_in(&error, Some(text))),
        Ok(()) => Ok(()),
    }
}

/// Renders the text of a variable; a text that is only `{{ x }}` keeps the type of x.
///
/// # Errors
///
/// As [`Jinja2::render`].
pub fn render_value(text: &str, context: &Context) -> Result<Value, Error> {
    let inside = text.trim().strip_prefix("{{").and_then(|it| it.strip_suffix("}}"));
    let Some(expression) = inside.filter(|it| !it.contains("}}") && !it.contains("{{")) else {
        return Jinja2::parse(text).map_err(unparsable)?.render(context).map(Value::String);
    };
    let environment = environment();
    let compiled = environment.compile_expression(expression.trim()).map_err(|error| failed(&error))?;
    let value = compiled
        .eval(Jinja::from(context.0.clone()))
        .map_err(|error| with_names(&error, undefined_names(compiled.undeclared_variables(false), context), context))?;
    if value.is_undefined() {
        let message = format!("`{}` is undefined", expression.trim());
        return Err(Error::invalid("TEMPLATE_FAILED", message).hint("give the node an input of that name"));
    }
    serde_json::to_value(&value).map_err(|error| {
        Error::invalid("TEMPLATE_FAILED", format!("`{}` is no JSON value", expression.trim())).source(error)
    })
}

/// A syntax error that is only met while running.
pub fn unparsable(problem: String) -> Error {
    Error::invalid("TEMPLATE_FAILED", format!("the template does not parse: {problem}")).hint("templates are Jinja2")
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        environment.set_syntax(syntax);
    }
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_recursion_limit(RECURSION_MAX);
    environment.set_fuel(Some(FUEL));
    filters::add(&mut environment);
    environment
}

fn jinja(value: &Value) -> Jinja {
    if let (Value::String(text), std::borrow::Cow::Owned(inside)) = (value, look_into(value)) {
        return Jinja::from_object(JsonText { text: text.clone(), inside: Jinja::from(Serde(&inside)) });
    }
    Jinja::from(Serde(value))
}

/// A text that holds a JSON object or list: prints as the text, has the fields of what it holds.
#[derive(Debug)]
struct JsonText {
    text: String,
    inside: Jinja,
}

impl Object for JsonText {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        self.inside.as_object().map_or(ObjectRepr::Plain, |it| it.repr())
    }

    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        self.inside.as_object()?.get_value(key)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.inside.as_object().map_or(Enumerator::NonEnumerable, |it| it.enumerate())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Takes output up to the limit.
struct Limited(Vec<u8>);

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > limits::TEMPLATE_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn undefined_names(mut used: std::collections::HashSet<String>, context: &Context) -> Vec<String> {
    // Functions of the engine count as undeclared; they are there all the same.
    for known in ["range", "dict", "namespace", "debug", "loop", "self", "lipsum", "cycler", "joiner"] {
        used.remove(known);
    }
    let mut missing: Vec<String> = used.into_iter().filter(|it| !context.0.contains_key(it)).collect();
    missing.sort();
    missing
}

fn with_names(error: &minijinja::Error, undefined: Vec<String>, context: &Context) -> Error {
    if undefined.is_empty() {
        return failed(error);
    }
    let line = error.line().map(|it| format!(" (line {it})")).unwrap_or_default();
    let message = format!("`{}` is undefined{line}", undefined.join("`, `"));
    let near: Vec<&str> = undefined.iter().filter_map(|it| nearest(it, context.0.keys().map(String::as_str))).collect();
    let hint = if near.is_empty() {
        "give the node an input or variable of that name, or write `name|default('')`".to_owned()
    } else {
        format!("did you mean `{}`?", near.join("`, `"))
    };
    Error::invalid("TEMPLATE_FAILED", message).hint(hint)
}

fn failed(error: &minijinja::Error) -> Error {
    let hint = match error.kind() {
        ErrorKind::OutOfFuel => "loop over shorter lists",
        ErrorKind::WriteFailure => "put less into one text",
        ErrorKind::UndefinedError => "give the value that field, or write `x.field|default('')`",
        _ => "templates are Jinja2; see the page of template_job for the filters",
    };
    let message = match error.kind() {
        ErrorKind::OutOfFuel => "the template takes too many steps".to_owned(),
        ErrorKind::WriteFailure => format!("the rendered text is larger than {} bytes", limits::TEMPLATE_BYTES_MAX),
        _ => sentence(error),
    };
    Error::invalid("TEMPLATE_FAILED", message).hint(hint)
}

fn sentence(error: &minijinja::Error) -> String {
    sentence_in(error, error.template_source())
}

fn sentence_in(error: &minijinja::Error, source: Option<&str>) -> String {
    let what = error.detail().map(str::to_owned).unwrap_or_else(|| error.kind().to_string());
    let line = error.line().map(|it| format!(" (line {it})")).unwrap_or_default();
    let piece = error.range().and_then(|range| source?.get(range));
    match piece.map(str::trim).filter(|it| !it.is_empty() && it.len() <= 60) {
        Some(piece) => format!("{what} at `{piece}`{line}"),
        None => format!("{what}{line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn long_chains_are_checked_without_overflowing_the_stack() {
        let links = 30_000;
        for text in [
            format!("{{{{ a{} }}}}", ".b".repeat(links)),
            format!("{{{{ 1{} }}}}", "+1".repeat(links)),
            format!("{{{{ '}}}}' ~ a{} }}}}", ".b".repeat(links)),
            format!("{{{{ {}a }}}}", "not ".repeat(links / 2)),
            format!("{{{{ a{} }}}}", "[0]".repeat(links / 2)),
            format!("{{{{ a{} }}}}", "|f".repeat(links)),
        ] {
            // Whether such a text is accepted or refused is the parser's business; that it ends is ours.
            let _ = check(&text);
        }
        assert!(check(&"x".repeat(70_000)).is_err(), "longer than fits the stack");
        assert!(check("{{ a.b }}").is_ok());
    }
}
