//! Renders parsed templates over names. Every step is counted, so no template can keep the program
//! busy or fill its memory.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;

use serde_json::{Map, Value};

use super::parse::{Block, BlockKind, Part};
use super::path::{Path, Step, near_field, step};
use super::{Insert, Rendered, Unresolved};
use crate::error::Error;
use crate::limits;
use crate::nearest::nearest;
use crate::nodes::content::{as_text, is_conversation, last_message};
use crate::nodes::lookup::{Names, look_into};

/// Most steps of one rendering: nested `#each` over long lists multiply quickly. A million steps take
/// well under a second.
const STEPS_MAX: usize = 1_000_000;

/// How many unresolved names get a "did you mean"; looking for one costs a walk over all names.
const NEAR_NAMES_MAX: usize = 20;

/// Renders `parts`; `extra` holds names below all others.
pub fn render(parts: &[Part], names: &Names, extra: &Map<String, Value>) -> Result<Rendered, Error> {
    render_with(parts, names, extra, None).map(|(rendered, _)| rendered)
}

/// As [`render`], and says where values were put in and where secrets belong.
pub fn render_marked(
    parts: &[Part],
    names: &Names,
    extra: &Map<String, Value>,
) -> Result<(Rendered, Vec<Insert>), Error> {
    render_with(parts, names, extra, Some(Vec::new()))
}

fn render_with(
    parts: &[Part],
    names: &Names,
    extra: &Map<String, Value>,
    inserts: Option<Vec<Insert>>,
) -> Result<(Rendered, Vec<Insert>), Error> {
    let mut roots = HashMap::new();
    for_each_path(parts, &mut |path| path.for_each_root(&mut |it| add_root(&mut roots, it, names, extra)));
    let budget = Budget::default();
    let scope = Scope { names, extra, roots: &roots, budget: &budget, frame: None };
    let mut renderer = Renderer { text: String::new(), unresolved: Vec::new(), inserts };
    renderer.parts(parts, &scope)?;
    let rendered = Rendered { text: renderer.text, unresolved: renderer.unresolved };
    Ok((rendered, renderer.inserts.unwrap_or_default()))
}

/// Returns the value of one path.
///
/// # Errors
///
/// Why it has none.
pub fn value_of(path: &Path, names: &Names, extra: &Map<String, Value>) -> Result<Value, Unresolved> {
    let mut roots = HashMap::new();
    path.for_each_root(&mut |it| add_root(&mut roots, it, names, extra));
    let budget = Budget::default();
    let scope = Scope { names, extra, roots: &roots, budget: &budget, frame: None };
    match scope.find(path) {
        Some(value) => Ok(value.into_owned()),
        None => Err(Unresolved::nothing(path, scope.near(path))),
    }
}

struct Renderer {
    text: String,
    unresolved: Vec<Unresolved>,
    /// Kept only for who asks.
    inserts: Option<Vec<Insert>>,
}

impl Renderer {
    fn parts(&mut self, parts: &[Part], scope: &Scope<'_>) -> Result<(), Error> {
        for part in parts {
            match part {
                Part::Text(text) => self.text.push_str(text),
                Part::Value { path, source } => match scope.find(path) {
                    Some(value) => {
                        let start = self.text.len();
                        self.push(&value, scope);
                        self.mark(start, None);
                    }
                    None => {
                        self.note(path, scope);
                        self.text.push_str(source);
                    }
                },
                Part::Block(block) => self.block(block, scope)?,
                Part::Secret(name) => self.mark(self.text.len(), Some(name)),
            }
            scope.budget.spend(1);
            scope.budget.check()?;
            if self.text.len() > limits::TEMPLATE_BYTES_MAX {
                return Err(too_large());
            }
        }
        Ok(())
    }

    fn mark(&mut self, start: usize, secret: Option<&String>) {
        let end = self.text.len();
        if let Some(inserts) = &mut self.inserts {
            inserts.push(match secret {
                Some(name) => Insert::Secret { at: start, name: name.clone() },
                None => Insert::Value(start..end),
            });
        }
    }

    fn push(&mut self, value: &Value, scope: &Scope<'_>) {
        match value {
            Value::String(text) => self.text.push_str(text),
            other => {
                scope.budget.spend(weight(other));
                self.text.push_str(&as_text(other));
            }
        }
    }

    fn block(&mut self, block: &Block, scope: &Scope<'_>) -> Result<(), Error> {
        let value = scope.find(&block.path);
        let is_true = value.as_deref().is_some_and(is_true);
        match (block.kind, value) {
            (BlockKind::Each, Some(value)) => self.each(block, &value, scope),
            (BlockKind::Each, None) => {
                self.note(&block.path, scope);
                self.parts(&block.otherwise, scope)
            }
            (BlockKind::If, _) => self.parts(if is_true { &block.body } else { &block.otherwise }, scope),
            (BlockKind::Unless, _) => self.parts(if is_true { &block.otherwise } else { &block.body }, scope),
        }
    }

    fn each(&mut self, block: &Block, value: &Value, scope: &Scope<'_>) -> Result<(), Error> {
        let elements: Vec<(Option<&str>, &Value)>;
        let inside = look_into(value);
        match &*inside {
            Value::Array(items) => elements = items.iter().map(|it| (None, it)).collect(),
            Value::Object(map) => elements = map.iter().map(|(key, it)| (Some(key.as_str()), it)).collect(),
            other => {
                elements = Vec::new();
                // Nothing counts as an empty list; anything else is a mistake somebody should hear of.
                if is_true(other) {
                    self.remember(Unresolved::not_iterable(&block.path));
                }
            }
        }
        if elements.is_empty() {
            return self.parts(&block.otherwise, scope);
        }
        scope.budget.spend(elements.len());
        for (index, (key, this)) in elements.iter().enumerate() {
            let is_last = index + 1 == elements.len();
            let frame = Frame { this, inside: look_into(this), key: *key, index, is_last, outer: scope.frame };
            self.parts(&block.body, &Scope { frame: Some(&frame), ..*scope })?;
        }
        Ok(())
    }

    fn note(&mut self, path: &Path, scope: &Scope<'_>) {
        if self.unresolved.iter().any(|it| it.path == path.text) {
            return;
        }
        let near = if self.unresolved.len() < NEAR_NAMES_MAX { scope.near(path) } else { None };
        self.remember(Unresolved::nothing(path, near));
    }

    fn remember(&mut self, unresolved: Unresolved) {
        if !self.unresolved.iter().any(|it| it.path == unresolved.path) {
            self.unresolved.push(unresolved);
        }
    }
}

/// Names as they are at one place of the template.
#[derive(Clone, Copy)]
struct Scope<'a> {
    names: &'a Names,
    extra: &'a Map<String, Value>,
    roots: &'a Roots<'a>,
    budget: &'a Budget,
    frame: Option<&'a Frame<'a>>,
}

/// Every name that some path begins with, looked up once: inside an `#each` it would otherwise be
/// looked up, and its JSON text parsed, for each element.
type Roots<'a> = HashMap<&'a str, Option<Root<'a>>>;

struct Root<'a> {
    value: Cow<'a, Value>,
    /// The object or list that a JSON text holds.
    inside: Option<Value>,
}

/// The element an `#each` is at.
struct Frame<'a> {
    this: &'a Value,
    /// `this`, looked into.
    inside: Cow<'a, Value>,
    key: Option<&'a str>,
    index: usize,
    is_last: bool,
    outer: Option<&'a Frame<'a>>,
}

impl<'a> Scope<'a> {
    fn find(&self, path: &Path) -> Option<Cow<'a, Value>> {
        let is_sliced = matches!(path.steps.first(), Some(Step::Slice(..)));
        let mut value = self.root(&path.root, !path.steps.is_empty() && !is_sliced)?;
        for it in &path.steps {
            let taken = self.fixed(it)?;
            if let Value::String(text) = &*value {
                self.budget.spend(text.len() / 64);
            }
            value = step(value, &taken)?;
            if let Cow::Owned(copy) = &value {
                self.budget.spend(weight(copy));
            }
        }
        self.budget.spend(path.steps.len());
        Some(value)
    }

    /// Turns `[path]` into the key or position that the path's value names.
    fn fixed<'s>(&self, step: &'s Step) -> Option<Cow<'s, Step>> {
        let Step::Path(path) = step else { return Some(Cow::Borrowed(step)) };
        match &*self.find(path)? {
            Value::String(key) => Some(Cow::Owned(Step::Name(key.clone()))),
            Value::Number(number) => number.as_i64().map(|it| Cow::Owned(Step::Index(it))),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    fn root(&self, name: &str, inside: bool) -> Option<Cow<'a, Value>> {
        let mut frame = self.frame;
        while let Some(at) = frame {
            if let Some(value) = at.get(name) {
                return Some(value);
            }
            frame = at.outer;
        }
        let root = self.roots.get(name)?.as_ref()?;
        match &root.inside {
            Some(value) if inside => Some(Cow::Borrowed(value)),
            _ => Some(Cow::Borrowed(&root.value)),
        }
    }

    /// Returns the name that `path` may have meant.
    fn near(&self, path: &Path) -> Option<String> {
        let Some(mut value) = self.root(&path.root, false) else {
            let mut known = self.names.known();
            known.extend(self.extra.keys().cloned());
            known.extend(["inputs", "globals", "node_id"].map(str::to_owned));
            return nearest(&path.root, known.iter().map(String::as_str)).map(str::to_owned);
        };
        for (n, it) in path.steps.iter().enumerate() {
            let taken = self.fixed(it)?;
            match step(value.clone(), &taken) {
                Some(next) => value = next,
                None => return near_field(&value, &taken).map(|field| format!("{}.{field}", path.prefix(n))),
            }
        }
        None
    }
}

impl<'a> Frame<'a> {
    fn get(&'a self, name: &str) -> Option<Cow<'a, Value>> {
        match name {
            "this" => Some(Cow::Borrowed(self.this)),
            "@index" => Some(Cow::Owned(self.index.into())),
            "@first" => Some(Cow::Owned((self.index == 0).into())),
            "@last" => Some(Cow::Owned(self.is_last.into())),
            "@key" => self.key.map(|it| Cow::Owned(it.into())),
            _ => self.inside.as_object()?.get(name).map(Cow::Borrowed),
        }
    }
}

/// The work one rendering may still do.
#[derive(Default)]
struct Budget(Cell<usize>);

impl Budget {
    fn spend(&self, steps: usize) {
        self.0.set(self.0.get().saturating_add(steps));
    }

    fn check(&self) -> Result<(), Error> {
        if self.0.get() <= STEPS_MAX {
            return Ok(());
        }
        Err(Error::limit("TEMPLATE_FAILED", format!("the template takes more than {STEPS_MAX} steps"))
            .hint("loop over shorter lists or nest fewer #each blocks"))
    }
}

/// Returns roughly what copying or printing `value` costs, in steps.
fn weight(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Object(map) => 1 + map.values().map(weight).sum::<usize>(),
        Value::String(text) => 1 + text.len() / 64,
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
    }
}

fn add_root<'a>(roots: &mut Roots<'a>, name: &'a str, names: &'a Names, extra: &'a Map<String, Value>) {
    roots.entry(name).or_insert_with(|| {
        let value = root_value(name, names, extra)?;
        let inside = match look_into(&value) {
            Cow::Owned(inside) => Some(inside),
            Cow::Borrowed(_) => None,
        };
        Some(Root { value, inside })
    });
}

/// Looks a name up outside of all `#each` blocks: the common lookup, then what a conversation input
/// offers, then `extra`.
fn root_value<'v>(name: &str, names: &'v Names, extra: &'v Map<String, Value>) -> Option<Cow<'v, Value>> {
    if let Some(value) = names.get(name) {
        return Some(value);
    }
    let conversation = |suffix: &str| {
        let key = name.strip_suffix(suffix)?;
        names.inputs.get(key).map(AsRef::as_ref).filter(|it| is_conversation(it))
    };
    if let Some(value) = conversation("_last_message") {
        return Some(Cow::Owned(Value::String(last_message(value))));
    }
    if let Some(value) = conversation("_messages") {
        return value.get("messages").map(Cow::Borrowed);
    }
    extra.get(name).map(Cow::Borrowed)
}

pub fn for_each_path<'a>(parts: &'a [Part], visit: &mut impl FnMut(&'a Path)) {
    for part in parts {
        match part {
            Part::Text(_) | Part::Secret(_) => {}
            Part::Value { path, .. } => visit(path),
            Part::Block(block) => {
                visit(&block.path);
                for_each_path(&block.body, visit);
                for_each_path(&block.otherwise, visit);
            }
        }
    }
}

/// Truth by the rules of templates: texts that say no are false too.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(it) => *it,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => {
            let text = text.trim();
            let said_no = ["false", "0", "no", "none", "null"].iter().any(|it| text.eq_ignore_ascii_case(it));
            !text.is_empty() && !said_no
        }
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

fn too_large() -> Error {
    let message = format!("the rendered template is larger than {} bytes", limits::TEMPLATE_BYTES_MAX);
    Error::limit("TEMPLATE_FAILED", message)
        .hint("put less into the prompt, for example a slice like `{{text[:5000]}}`")
}
