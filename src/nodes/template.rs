//! Prompt templates: the original's mini-handlebars, done right (diagrams.md 3.11). Templates are parsed
//! when a diagram is compiled and rendered over the names of a node execution.

mod json;
mod parse;
mod path;
mod render;

use serde_json::{Map, Value};

use super::context::NodeContext;
use super::lookup::Names;
use crate::error::Error;
use parse::{Also, Part};
use path::Path;

pub use json::JsonTemplate;
pub use parse::is_secret_name;

/// A parsed template.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

/// Why a template does not parse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateProblem {
    /// Lower case, no full stop, the offending tag in backticks.
    pub message: String,
    pub hint: String,
    /// Byte offset in the template.
    pub offset: usize,
}

/// A rendered template and the paths that had no value.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    pub text: String,
    /// Each path once, in the order they were met.
    pub unresolved: Vec<Unresolved>,
}

/// Something that was put into a rendered text, in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Insert {
    /// These bytes of the text are a value.
    Value(std::ops::Range<usize>),
    /// Here belongs a secret; the text has nothing of it.
    Secret { at: usize, name: String },
}

/// A path that did not resolve; it stands in the text as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresolved {
    pub path: String,
    /// What it may have meant.
    pub near: Option<String>,
    /// What is wrong with it: continues the sentence "`path` …".
    pub message: &'static str,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// The first syntax error.
    pub fn parse(text: &str) -> Result<Self, TemplateProblem> {
        Ok(Self { parts: parse::parse(text, Also::Nothing)? })
    }

    /// Reads the template of a file path, where `{name}` means `{{name}}`.
    ///
    /// # Errors
    ///
    /// The first syntax error.
    pub fn parse_path(text: &str) -> Result<Self, TemplateProblem> {
        Ok(Self { parts: parse::parse(text, Also::SingleBraces)? })
    }

    /// Reads a template in which `${secret:NAME}` is a place for a secret; [`super::secrets`] fills it.
    ///
    /// # Errors
    ///
    /// The first syntax error.
    pub(super) fn parse_with_secrets(text: &str) -> Result<Self, TemplateProblem> {
        Ok(Self { parts: parse::parse(text, Also::Secrets)? })
    }

    /// Renders over `names`; `extra` holds names below all of them.
    ///
    /// # Errors
    ///
    /// `TEMPLATE_FAILED` when the result is too large or takes too many steps.
    pub fn render(&self, names: &Names, extra: &Map<String, Value>) -> Result<Rendered, Error> {
        render::render(&self.parts, names, extra)
    }

    /// Returns the text of a template without any tag.
    pub fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Returns every name a path of this template begins with, each as often as it stands there.
    pub fn roots(&self) -> Vec<&str> {
        let mut roots = Vec::new();
        render::for_each_path(&self.parts, &mut |path| path.for_each_root(&mut |it| roots.push(it)));
        roots
    }

    /// Returns the names of the secrets it has places for.
    pub(super) fn secrets(&self) -> Vec<&str> {
        parse::secrets(&self.parts)
    }

    /// Returns the path of a template that is one tag and nothing else.
    fn only_path(&self) -> Option<&Path> {
        match self.parts.as_slice() {
            [Part::Value { path, .. }] => Some(path),
            _ => None,
        }
    }
}

impl Unresolved {
    fn nothing(path: &Path, near: Option<String>) -> Self {
        Self { path: path.text.clone(), near, message: "has no value here" }
    }

    fn not_iterable(path: &Path) -> Self {
        Self { path: path.text.clone(), near: None, message: "is neither a list nor a mapping" }
    }

    fn sentence(&self) -> String {
        format!("`{}` {}", self.path, self.message)
    }
}

/// Renders `template` for a running node: unresolved paths become warnings W601 of the run.
///
/// # Errors
///
/// `TEMPLATE_FAILED` when a path is unresolved and the node or diagram asks for `strict_templates`, and
/// as [`Template::render`].
pub fn render(cx: &NodeContext, template: &Template, extra: &Map<String, Value>) -> Result<String, Error> {
    let rendered = template.render(&cx.names, extra)?;
    report(cx, &rendered.unresolved)?;
    Ok(rendered.text)
}

/// As [`render`], and says where values were put in and where secrets belong.
///
/// # Errors
///
/// As [`render`].
pub fn render_marked(
    cx: &NodeContext,
    template: &Template,
    extra: &Map<String, Value>,
) -> Result<(String, Vec<Insert>), Error> {
    let (rendered, inserts) = render::render_marked(&template.parts, &cx.names, extra)?;
    report(cx, &rendered.unresolved)?;
    Ok((rendered.text, inserts))
}

/// Returns the value of a template that is one `{{path}}` and nothing else, with its type; `None` when the
/// template is something else. An unresolved one stays as it was written.
///
/// # Errors
///
/// As [`render`].
pub(super) fn only_value(
    cx: &NodeContext,
    template: &Template,
    extra: &Map<String, Value>,
) -> Result<Option<Value>, Error> {
    let Some(path) = template.only_path() else { return Ok(None) };
    match render::value_of(path, &cx.names, extra) {
        Ok(value) => Ok(Some(value)),
        Err(unresolved) => {
            report(cx, &[unresolved])?;
            Ok(Some(Value::String(format!("{{{{{}}}}}", path.text))))
        }
    }
}

/// Warns of unresolved paths, or fails when the node is strict.
fn report(cx: &NodeContext, unresolved: &[Unresolved]) -> Result<(), Error> {
    if unresolved.is_empty() {
        return Ok(());
    }
    if cx.strict_templates {
        let all: Vec<String> = unresolved.iter().map(Unresolved::sentence).collect();
        let near: Vec<&str> = unresolved.iter().filter_map(|it| it.near.as_deref()).collect();
        let hint = if near.is_empty() {
            "give the node an input of that name, or turn `strict_templates` off".to_owned()
        } else {
            format!("did you mean `{}`?", near.join("`, `"))
        };
        return Err(Error::invalid("TEMPLATE_FAILED", all.join("; ")).hint(hint));
    }
    for it in unresolved {
        cx.notes.warn("W601", &it.path, it.sentence(), it.near.clone());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
