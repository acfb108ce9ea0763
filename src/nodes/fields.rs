//! Reads the fields of one node into typed values and records every problem with its place.
//! Whoever reads a field names it once; what nobody asked for is reported as unknown (W401).

mod code;
mod expression;
mod policy;
mod prompts;
pub(crate) mod references;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

pub(in crate::nodes) use self::code::line_and_column;
use super::integrated_api::ProviderProblem;
use super::ports::Languages;
use super::rights::Rights;
use crate::diagram::render::{source, spelled_like};
use crate::diagram::{Connection, Diagnostic, Diagram, DiagramNode, Field, Format, Handle, NodeKind, Tree, TreeKind};
use crate::integrations::Manifest;
use crate::nearest::meant;

/// What compiling needs to know of the world; the handler that compiles provides it, so that compiling
/// itself stays pure. `structure_only` leaves out what needs other files or keys.
pub trait Surroundings: Send + Sync {
    /// `--check-only`: E504, E505, W502-W505 are left out.
    fn structure_only(&self) -> bool;

    /// The rights the diagram would run with (E701, E702).
    fn rights(&self) -> &Rights;

    /// Parsers of the code languages.
    fn languages(&self) -> &dyn Languages;

    /// Returns the content of a prompt file.
    ///
    /// # Errors
    ///
    /// The places searched; none for a name that leaves the workspace.
    fn prompt_file(&self, name: &str) -> Result<String, Vec<String>>;

    /// Returns the content of a workspace file if it is there now.
    fn file(&self, path: &str) -> Option<String>;

    /// Looks for the diagram that a sub_diagram names (E505, W503).
    fn child_diagram(&self, name: &str, format: Option<Format>) -> ChildFile;

    /// Whether a key for `service` is at hand (W504).
    fn has_key(&self, service: crate::diagram::Service, api_key_id: Option<&str>) -> bool;

    /// Whether there is a secret of this name (E508).
    fn has_secret(&self, _name: &str) -> bool {
        false
    }

    /// The person of the workspace that `name` means; a diagram's own person of that name wins.
    fn person(&self, _name: &str) -> Option<crate::diagram::Person> {
        None
    }

    /// The names of the workspace's persons.
    fn person_names(&self) -> Vec<String> {
        Vec::new()
    }

    /// The model a person of `service` gets when it names none (W505).
    fn default_model(&self, service: crate::diagram::Service) -> Option<String>;

    /// Whether it is known what a call of this person costs (W507).
    fn is_priced(&self, _person: &crate::diagram::Person) -> bool {
        true
    }

    /// The manifest of a provider of `integrated_api` (E403).
    ///
    /// # Errors
    ///
    /// That nobody knows it, or what is wrong with it.
    fn provider(&self, _name: &str) -> Result<Arc<Manifest>, ProviderProblem> {
        Err(ProviderProblem::Unknown)
    }

    /// The names of all providers.
    fn provider_names(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether a key for a provider is at hand (W504).
    fn has_provider_key(&self, _manifest: &Manifest, _api_key_id: Option<&str>) -> bool {
        false
    }
}

/// What became of looking for a sub-diagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChildFile {
    Found,
    /// It is the diagram that names it.
    Itself,
    /// Where it was looked for (nowhere for a name that leaves the workspace), and the nearest name there is.
    NotFound {
        places: Vec<String>,
        near: Option<String>,
    },
}

/// Reads `30s`, `5 min`, `500ms` as seconds.
fn seconds(text: &str) -> Option<f64> {
    let text = text.trim();
    let at = text.find(|it: char| it.is_ascii_alphabetic())?;
    let number: f64 = text[..at].trim().parse().ok()?;
    let factor = match &text[at..] {
        "ms" => 0.001,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hour" | "hours" => 3600.0,
        _ => return None,
    };
    Some(number * factor).filter(|it| it.is_finite())
}

/// What to do about a prompt file that was searched in `places` and is not there.
pub fn prompt_file_hint(places: &[String]) -> String {
    if places.is_empty() {
        return "write a path inside the workspace, relative and without `..`".to_owned();
    }
    format!("looked for {}", places.join(", "))
}

/// Fields of persons that are often written at the node.
const OF_A_PERSON: [&str; 5] = ["model", "service", "system_prompt", "api_key_id", "base_url"];

/// What other tools write at a node to say what comes next.
const LEADS_ON: [&str; 6] = ["next", "goto", "depends_on", "needs", "inputs_from", "then"];

/// What reading a node may look at besides its own fields.
pub struct ReadContext<'a> {
    pub diagram: &'a Diagram,
    pub surroundings: &'a dyn Surroundings,
}

/// The fields of one node, being read.
pub struct Fields<'a> {
    node: &'a DiagramNode,
    node_idx: usize,
    cx: &'a ReadContext<'a>,
    /// The text of the diagram, for places inside of a field and for spelling a repair as its old value is.
    source: &'a str,
    asked: BTreeSet<&'static str>,
    diagnostics: Vec<Diagnostic>,
}

impl<'a> Fields<'a> {
    /// Starts reading node `node_idx`.
    pub fn new(node_idx: usize, cx: &'a ReadContext<'a>) -> Self {
        let node = &cx.diagram.nodes[node_idx];
        Self { node, node_idx, cx, source: "", asked: BTreeSet::new(), diagnostics: Vec::new() }
    }

    /// Says from which text the diagram was read, so that problems can point into a field.
    #[must_use]
    pub fn within(mut self, source: &'a str) -> Self {
        self.source = source;
        self
    }

    /// The node itself.
    pub fn node(&self) -> &'a DiagramNode {
        self.node
    }

    /// The node's position in the diagram.
    pub fn node_idx(&self) -> usize {
        self.node_idx
    }

    /// The diagram and its surroundings.
    pub fn context(&self) -> &'a ReadContext<'a> {
        self.cx
    }

    /// The connections that end at this node.
    pub fn incoming(&self) -> impl Iterator<Item = &'a Connection> {
        let idx = self.node_idx;
        self.cx.diagram.connections.iter().filter(move |it| it.to == idx)
    }

    /// The connections that begin at this node.
    pub fn outgoing(&self) -> impl Iterator<Item = &'a Connection> {
        let idx = self.node_idx;
        self.cx.diagram.connections.iter().filter(move |it| it.from == idx)
    }

    /// Whether some connection delivers an input of this name.
    pub fn has_input(&self, name: &str) -> bool {
        self.incoming().any(|it| match &it.label {
            Some(label) => label.value == name,
            None => it.input.name() == name,
        })
    }

    /// Whether a connection leaves from `handle`.
    pub fn has_output(&self, handle: Handle) -> bool {
        self.outgoing().any(|it| it.output == handle)
    }

    /// Records a problem about the node as a whole.
    pub fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic.node(&self.node.id, &self.node.label));
    }

    /// Records a problem with field `key`, pointing at its value, or at the node when it is not there.
    pub fn problem(&mut self, code: &'static str, key: &str, message: impl Into<String>, hint: impl Into<String>) {
        let span = self.node.field(key).map_or(self.node.span, |it| it.span);
        self.report(Diagnostic::new(code, span, message).field(key).hint(hint));
    }

    /// Returns the value of `key` as written; null counts as absent.
    pub fn tree(&mut self, key: &'static str) -> Option<&'a Tree> {
        self.asked.insert(key);
        self.node.field(key).filter(|it| !it.is_null())
    }

    /// Whether `key` is given, null included (a field such as `missing_value: null` means something).
    pub fn is_given(&mut self, key: &'static str) -> bool {
        self.asked.insert(key);
        self.node.field(key).is_some()
    }

    /// Reads any value.
    pub fn value(&mut self, key: &'static str) -> Option<Value> {
        self.asked.insert(key);
        self.node.field(key).map(Tree::to_json)
    }

    /// Reads a text; anything else is E402 (a number is not silently its text).
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

    /// Reads a text and treats a blank one as absent.
    pub fn text_not_blank(&mut self, key: &'static str) -> Option<String> {
        self.text(key).filter(|it| !it.trim().is_empty())
    }

    /// Reads a text that must be there (E401); an absent one reads as empty.
    pub fn required_text(&mut self, key: &'static str) -> String {
        if self.tree(key).is_none() {
            self.missing(key);
        }
        self.text(key).unwrap_or_default()
    }

    /// Records that `key` is required.
    pub fn missing(&mut self, key: &'static str) {
        let message = format!("{} `{}` needs `{key}`", self.kind_name(), self.node.label);
        self.report(
            Diagnostic::new("E401", self.node.span, message).field(key).hint(format!("add `{key}:` to the node")),
        );
    }

    /// Reads a boolean; the words yes, no, on, off are understood with W103.
    pub fn boolean(&mut self, key: &'static str, default: bool) -> bool {
        let Some(tree) = self.tree(key) else { return default };
        match &tree.kind {
            TreeKind::Bool(it) => *it,
            TreeKind::Text(text) => match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "y" | "true" => self.word_as_boolean(key, tree, text, true),
                "no" | "off" | "n" | "false" => self.word_as_boolean(key, tree, text, false),
                _ => {
                    self.wrong_type(key, tree, "true or false");
                    default
                }
            },
            _ => {
                self.wrong_type(key, tree, "true or false");
                default
            }
        }
    }

    fn word_as_boolean(&mut self, key: &'static str, tree: &Tree, text: &str, meant: bool) -> bool {
        let message = format!("`{key}: {text}` is read as {meant}");
        let diagnostic = Diagnostic::new("W103", tree.span, message)
            .field(key)
            .hint(format!("write `{meant}`"))
            .patch(tree.span, meant.to_string());
        self.report(diagnostic);
        meant
    }

    /// Reads a whole number of at least `least` (E404 below); a text that reads as one is taken with W104.
    pub fn integer(&mut self, key: &'static str, least: i64) -> Option<i64> {
        let number = self.number_tree(key, "a whole number")?;
        let Some(value) =
            number.as_i64().or_else(|| number.as_f64().filter(|it| it.fract() == 0.0).map(|it| it as i64))
        else {
            let tree = self.node.field(key)?;
            self.wrong_type(key, tree, "a whole number");
            return None;
        };
        if value < least {
            self.problem(
                "E404",
                key,
                format!("`{key}` is {value}, which is too small"),
                format!("write {least} or more"),
            );
            return None;
        }
        Some(value)
    }

    /// Reads a number greater than `above` (E404 otherwise).
    pub fn number(&mut self, key: &'static str, above: f64) -> Option<f64> {
        let value = self.number_tree(key, "a number")?.as_f64()?;
        if value > above {
            return Some(value);
        }
        self.problem(
            "E404",
            key,
            format!("`{key}` is {value}, which is out of range"),
            format!("write a number above {above}"),
        );
        None
    }

    fn number_tree(&mut self, key: &'static str, wanted: &str) -> Option<serde_json::Number> {
        let tree = self.tree(key)?;
        match &tree.kind {
            TreeKind::Number(number) => Some(number.clone()),
            TreeKind::Text(text) => match serde_json::from_str::<serde_json::Number>(text.trim()) {
                Ok(number) => {
                    let diagnostic =
                        Diagnostic::new("W104", tree.span, format!("`{key}` is the text `{text}`, read as a number"))
                            .field(key)
                            .hint(format!("write {number} without quotes"))
                            .patch(tree.span, number.to_string());
                    self.report(diagnostic);
                    Some(number)
                }
                Err(_) => {
                    match seconds(text).filter(|_| key == "timeout") {
                        Some(seconds) => self.duration_as_text(key, tree, text, seconds),
                        None => self.wrong_type(key, tree, wanted),
                    }
                    None
                }
            },
            _ => {
                self.wrong_type(key, tree, wanted);
                None
            }
        }
    }

    fn duration_as_text(&mut self, key: &str, tree: &Tree, text: &str, seconds: f64) {
        let message = format!("`{key}` must be a number of seconds, not the text `{text}`");
        let diagnostic = Diagnostic::new("E402", tree.span, message).field(key).hint(format!("write {seconds}"));
        self.report(diagnostic.patch(tree.span, seconds.to_string()));
    }

    /// Reads one of `choices`, matched without regard to case; E403 with the nearest one otherwise.
    pub fn choice(&mut self, key: &'static str, choices: &[&'static str]) -> Option<&'static str> {
        let tree = self.tree(key)?;
        let Some(text) = tree.as_text() else {
            self.wrong_type(key, tree, "a text");
            return None;
        };
        let folded = crate::diagram::kinds::fold(text);
        if let Some(found) = choices.iter().find(|it| crate::diagram::kinds::fold(it) == folded) {
            return Some(found);
        }
        let message = format!("`{text}` is not a value of `{key}`");
        let mut diagnostic = Diagnostic::new("E403", tree.span, message).field(key);
        diagnostic = match meant(text, choices.iter().copied()) {
            Some(near) => {
                diagnostic.hint(format!("did you mean `{near}`?")).patch(tree.span, self.respelled(tree, near))
            }
            None => diagnostic.hint(format!("write one of: {}", choices.join(", "))),
        };
        self.report(diagnostic);
        None
    }

    /// Reads a mapping; absent reads as empty.
    pub fn object_or_empty(&mut self, key: &'static str) -> Map<String, Value> {
        let Some(tree) = self.tree(key) else { return Map::new() };
        match tree.to_json() {
            Value::Object(map) => map,
            _ => {
                self.wrong_type(key, tree, "a mapping");
                Map::new()
            }
        }
    }

    /// Reads a list of texts; a single text is a list of one, split at commas when `split` is true.
    pub fn texts(&mut self, key: &'static str, split: bool) -> Vec<String> {
        let Some(tree) = self.tree(key) else { return Vec::new() };
        match &tree.kind {
            TreeKind::Text(text) if split => {
                text.split(',').map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect()
            }
            TreeKind::Text(text) => vec![text.clone()],
            TreeKind::List(items) => {
                let texts: Vec<String> = items.iter().filter_map(|it| it.as_text().map(str::to_owned)).collect();
                if texts.len() != items.len() {
                    self.wrong_type(key, tree, "a list of texts");
                }
                texts
            }
            _ => {
                self.wrong_type(key, tree, "a text or a list of texts");
                Vec::new()
            }
        }
    }

    fn kind_name(&self) -> &'static str {
        self.node.kind.map_or("node", |it| it.name())
    }

    /// `value` with the quotes that the text at `tree` has, or needs.
    fn respelled(&self, tree: &Tree, value: &str) -> String {
        spelled_like(source(self.source, tree.span), value)
    }

    fn renamed(&self, diagnostic: Diagnostic, field: &Field, near: &str) -> Diagnostic {
        let written = source(self.source, field.key_span);
        let diagnostic = diagnostic.hint(format!("did you mean `{near}`?"));
        // A dotted key names a field inside this one; replacing it whole would lose that.
        if written.trim_matches(['"', '\'']) != field.key {
            return diagnostic;
        }
        diagnostic.patch(field.key_span, spelled_like(written, near))
    }

    fn wrong_type(&mut self, key: &str, tree: &Tree, wanted: &str) {
        let shown = match &tree.kind {
            TreeKind::Text(text) => format!("the text `{}`", text.chars().take(60).collect::<String>()),
            _ => tree.kind_name().to_owned(),
        };
        let diagnostic = Diagnostic::new("E402", tree.span, format!("`{key}` must be {wanted}, not {shown}"))
            .field(key)
            .hint(format!("write {wanted}"));
        self.report(diagnostic);
    }

    /// The keys asked for so far.
    #[cfg(test)]
    pub(super) fn asked(&self) -> impl Iterator<Item = &'static str> {
        self.asked.iter().copied()
    }

    /// Ends reading: reports the fields nobody asked for and returns every problem found.
    pub fn finish(mut self) -> Vec<Diagnostic> {
        let unknown: Vec<_> = self.node.fields.iter().filter(|it| !self.asked.contains(it.key.as_str())).collect();
        for field in unknown {
            let message = format!("{} has no field `{}`", self.kind_name(), field.key);
            let diagnostic = Diagnostic::new("W401", field.key_span, message).field(&field.key);
            // The keys of every node are no fields, and misspelt all the same.
            let known: Vec<&str> = self.asked.iter().copied().chain(["type", "label", "position"]).collect();
            self.report(match meant(&field.key, known) {
                _ if self.node.kind == Some(NodeKind::PersonJob) && OF_A_PERSON.contains(&field.key.as_str()) => {
                    diagnostic
                        .hint(format!("write it under the person, in `persons:`: `{}` is not of one node", field.key))
                }
                Some(near) if self.node.field(near).is_none() => self.renamed(diagnostic, field, near),
                Some(near) => diagnostic.hint(format!("did you mean `{near}`? it is given as well; remove one")),
                None if LEADS_ON.contains(&field.key.as_str()) => {
                    diagnostic.hint("nodes are joined under `connections`: `- {from: …, to: …}`")
                }
                None => diagnostic.hint("it is kept and has no effect"),
            });
        }
        self.finish_without_unknown()
    }

    /// Ends reading a node whose fields are not all known here: returns the problems found so far.
    pub fn finish_without_unknown(self) -> Vec<Diagnostic> {
        let mut diagnostics: Vec<Diagnostic> = Vec::with_capacity(self.diagnostics.len());
        for diagnostic in self.diagnostics {
            // A field that two readers ask for, such as `timeout`, is one mistake all the same.
            if !diagnostics.contains(&diagnostic) {
                diagnostics.push(diagnostic);
            }
        }
        diagnostics
    }
}
