//! One mapping of a manifest, being read: every problem is recorded with its place, and what nobody asked
//! for is an error (E801).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::pointer::Pointer;
use super::schema::Schema;
use super::template::Template;
use crate::diagram::{Diagnostic, Span, Spanned, Tree, TreeKind};
use crate::nearest::nearest;

/// A mapping and where in the manifest it stands.
pub(super) struct Section<'a, 'r> {
    tree: &'a Tree,
    /// `operations.create.request`; empty for the manifest itself.
    path: String,
    asked: BTreeSet<&'static str>,
    schemas: Schemas,
    problems: &'r mut Vec<Diagnostic>,
}

/// When schemas are made ready, which takes most of the time of a large manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Schemas {
    /// While reading: one that is none is a problem.
    Now,
    /// When they are first needed.
    WhenNeeded,
}

impl<'a, 'r> Section<'a, 'r> {
    /// Starts reading `tree`, which must be a mapping; anything else is E402 and reads as an empty one.
    pub fn new(tree: &'a Tree, path: String, schemas: Schemas, problems: &'r mut Vec<Diagnostic>) -> Self {
        let section = Self { tree, path, asked: BTreeSet::new(), schemas, problems };
        if !tree.is_map() {
            let (path, kind) = (&section.path, tree.kind_name());
            let diagnostic = Diagnostic::new("E402", tree.span, format!("`{path}` must be a mapping, not {kind}"))
                .field(path)
                .hint("write `key: value` lines below it");
            section.problems.push(diagnostic);
        }
        section
    }

    /// The name of `key` from the top of the manifest.
    pub fn place(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Returns the value of `key`; null counts as absent.
    pub fn tree(&mut self, key: &'static str) -> Option<&'a Tree> {
        self.asked.insert(key);
        self.tree.get(key).filter(|it| !it.is_null())
    }

    /// The entries of the mapping under `key`.
    pub fn entries(&mut self, key: &'static str) -> &'a [(Spanned<String>, Tree)] {
        let Some(tree) = self.tree(key) else { return &[] };
        if !tree.is_map() {
            self.wrong_type(key, tree, "a mapping");
        }
        tree.entries()
    }

    /// Reads the section under `key`.
    pub fn section(&mut self, key: &'static str) -> Option<Section<'a, '_>> {
        let tree = self.tree(key)?;
        let path = self.place(key);
        Some(Section::new(tree, path, self.schemas, self.problems))
    }

    /// Reads a section below this one that is not under a fixed key.
    pub fn below(&mut self, tree: &'a Tree, path: String) -> Section<'a, '_> {
        Section::new(tree, path, self.schemas, self.problems)
    }

    pub fn text(&mut self, key: &'static str) -> Option<String> {
        let tree = self.tree(key)?;
        match &tree.kind {
            TreeKind::Text(text) => Some(text.clone()),
            _ => {
                self.wrong_type(key, tree, "a text");
                None
            }
        }
    }

    /// A text that must be there (E401); an absent or blank one reads as empty.
    pub fn required_text(&mut self, key: &'static str, example: &str) -> String {
        let text = self.text(key).filter(|it| !it.trim().is_empty());
        if text.is_none() && self.tree(key).is_none_or(|it| it.as_text().is_some()) {
            self.missing(key, example);
        }
        text.unwrap_or_default()
    }

    /// Records that `key` is required.
    pub fn missing(&mut self, key: &'static str, example: &str) {
        let place = self.place(key);
        let diagnostic = Diagnostic::new("E401", self.tree.span, format!("`{place}` is required"))
            .field(place)
            .hint(format!("add `{key}: {example}`"));
        self.problems.push(diagnostic);
    }

    /// A number of this range (E404 outside).
    pub fn number(&mut self, key: &'static str, least: f64, most: f64) -> Option<f64> {
        let tree = self.tree(key)?;
        let TreeKind::Number(number) = &tree.kind else {
            self.wrong_type(key, tree, "a number");
            return None;
        };
        let value = number.as_f64().filter(|it| (least..=most).contains(it));
        if value.is_none() {
            let message = format!("`{}` is {number}, which is out of range", self.place(key));
            self.problem("E404", key, message, format!("write a number from {least} to {most}"));
        }
        value
    }

    /// A whole number of this range (E404 outside).
    pub fn whole(&mut self, key: &'static str, least: u32, most: u32) -> Option<u32> {
        let tree = self.tree(key)?;
        let whole = match &tree.kind {
            TreeKind::Number(number) => number.as_i64(),
            _ => None,
        };
        let Some(whole) = whole else {
            self.wrong_type(key, tree, "a whole number");
            return None;
        };
        let value = u32::try_from(whole).ok().filter(|it| (least..=most).contains(it));
        if value.is_none() {
            let message = format!("`{}` is {whole}, which is out of range", self.place(key));
            self.problem("E404", key, message, format!("write {least} to {most}"));
        }
        value
    }

    /// One of `names` (E403 with the nearest otherwise).
    pub fn choice(&mut self, key: &'static str, names: &[&'static str]) -> Option<&'static str> {
        let text = self.text(key)?;
        if let Some(found) = names.iter().find(|it| it.eq_ignore_ascii_case(text.trim())) {
            return Some(found);
        }
        let hint = match nearest(&text, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write one of: {}", names.join(", ")),
        };
        let message = format!("`{text}` is not a value of `{}`", self.place(key));
        self.problem("E403", key, message, hint);
        None
    }

    /// A list of texts.
    pub fn texts(&mut self, key: &'static str) -> Vec<String> {
        let Some(tree) = self.tree(key) else { return Vec::new() };
        let texts: Vec<String> = tree.items().iter().filter_map(|it| it.as_text().map(str::to_owned)).collect();
        if !matches!(tree.kind, TreeKind::List(_)) || texts.len() != tree.items().len() {
            self.wrong_type(key, tree, "a list of texts");
        }
        texts
    }

    /// A list of HTTP statuses.
    pub fn statuses(&mut self, key: &'static str) -> Option<Vec<u16>> {
        let tree = self.tree(key)?;
        let status = |it: &Tree| match &it.kind {
            TreeKind::Number(number) => {
                number.as_u64().and_then(|it| u16::try_from(it).ok()).filter(|it| (100..=599).contains(it))
            }
            _ => None,
        };
        let found: Option<Vec<u16>> = tree.items().iter().map(status).collect();
        let found = found.filter(|it| !it.is_empty());
        if found.is_none() {
            self.wrong_type(key, tree, "a list of statuses such as `[200, 204]`");
        }
        found
    }

    /// A mapping, taken as it is.
    pub fn map(&mut self, key: &'static str) -> Map<String, Value> {
        match self.tree(key).map(|it| (it, it.to_json())) {
            Some((_, Value::Object(map))) => map,
            Some((tree, _)) => {
                self.wrong_type(key, tree, "a mapping");
                Map::new()
            }
            None => Map::new(),
        }
    }

    /// A JSON Schema (E604 for what is none).
    pub fn schema(&mut self, key: &'static str) -> Option<Schema> {
        let schema = Schema::new(self.tree(key)?.to_json());
        if self.schemas == Schemas::Now
            && let Some(problem) = schema.problem()
        {
            let message = format!("`{}` is no JSON Schema: {problem}", self.place(key));
            self.problem("E604", key, message, "write a JSON Schema; references must stay inside it");
        }
        Some(schema)
    }

    pub fn pointer(&mut self, key: &'static str) -> Option<Pointer> {
        let text = self.text(key)?;
        match Pointer::parse(&text) {
            Ok(pointer) => Some(pointer),
            Err(hint) => {
                let message = format!("`{}` is `{text}`, which names no place in a reply", self.place(key));
                self.problem("E403", key, message, hint);
                None
            }
        }
    }

    /// A template that renders plain text.
    pub fn template(&mut self, key: &'static str) -> Option<Template> {
        let tree = self.tree(key)?;
        let place = self.place(key);
        self.template_of(tree, &place)
    }

    /// A mapping of names to templates; numbers and booleans stand for their texts.
    pub fn templates(&mut self, key: &'static str) -> Vec<(String, Template)> {
        let entries = self.entries(key);
        let path = self.place(key);
        let mut found = Vec::with_capacity(entries.len());
        for (name, tree) in entries {
            if let Some(template) = self.template_of(tree, &format!("{path}.{}", name.value)) {
                found.push((name.value.clone(), template));
            }
        }
        found
    }

    /// Reads a template at `tree`.
    pub fn template_of(&mut self, tree: &Tree, place: &str) -> Option<Template> {
        let text = match &tree.kind {
            TreeKind::Text(text) => text.clone(),
            TreeKind::Number(number) => number.to_string(),
            TreeKind::Bool(it) => it.to_string(),
            TreeKind::Null | TreeKind::List(_) | TreeKind::Map(_) => {
                let message = format!("`{place}` must be a text, not {}", tree.kind_name());
                self.problem_at("E402", tree.span, place, message, "write a Jinja2 template".to_owned());
                return None;
            }
        };
        self.parsed(Template::text(&text, place), tree.span, place)
    }

    /// Takes a template, or records why it does not parse (E602).
    pub fn parsed(&mut self, parsed: Result<Template, String>, span: Span, place: &str) -> Option<Template> {
        match parsed {
            Ok(template) => Some(template),
            Err(problem) => {
                let message = format!("`{place}` is no template: {problem}");
                self.problem_at("E602", span, place, message, "templates are Jinja2: `{{ config.name }}`".to_owned());
                None
            }
        }
    }

    /// Records a problem with `key`.
    pub fn problem(&mut self, code: &'static str, key: &str, message: String, hint: impl Into<String>) {
        let span = self.tree.get(key).map_or(self.tree.span, |it| it.span);
        let place = self.place(key);
        self.problem_at(code, span, &place, message, hint.into());
    }

    /// Records a problem somewhere in the manifest.
    pub fn problem_at(&mut self, code: &'static str, span: Span, place: &str, message: String, hint: String) {
        self.problems.push(Diagnostic::new(code, span, message).field(place).hint(hint));
    }

    fn wrong_type(&mut self, key: &str, tree: &Tree, wanted: &str) {
        let message = format!("`{}` must be {wanted}, not {}", self.place(key), tree.kind_name());
        self.problem("E402", key, message, format!("write {wanted}"));
    }

    /// Ends reading: what nobody asked for is unknown.
    pub fn finish(self) {
        for (key, _) in self.tree.entries() {
            if self.asked.contains(key.value.as_str()) {
                continue;
            }
            let place = self.place(&key.value);
            let hint = match nearest(&key.value, self.asked.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    format!("known here: {}", self.asked.iter().copied().collect::<Vec<_>>().join(", "))
                }
            };
            let diagnostic =
                Diagnostic::new("E801", key.span, format!("a manifest has no `{place}`")).field(place).hint(hint);
            self.problems.push(diagnostic);
        }
    }
}
