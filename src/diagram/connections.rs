//! Builds the connections of a diagram and reports what is wrong with them (diagrams.md 1.1 rules 3-7,
//! E208, E209, E301-E305, W301, W302). Must not know how a format writes a list of connections.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::diagnostic::Diagnostic;
use super::draft::Draft;
use super::ends::{Direction, End, Names, Unresolved};
use super::kinds::{ContentType, Handle, NodeKind};
use super::model::{Connection, DiagramNode};
use super::render::within;
use super::tree::{Span, Spanned, Tree, TreeKind};
use crate::nearest::nearest;

/// How many labels may be compared with unknown ends for a "did you mean"; after that the ends are
/// reported without one. Enough for 20 mistakes in the largest diagram.
const COMPARISONS_MAX: usize = 20_000;

/// What a connection's mapping calls its parts in one format.
pub(super) struct Keys {
    pub ends: &'static [&'static str],
    pub label: &'static str,
    /// The first one present counts.
    pub content_type: &'static [&'static str],
}

impl Keys {
    fn is_known(&self, key: &str) -> bool {
        let always = ["id", "data", "execution_priority"];
        self.ends.contains(&key) || self.label == key || self.content_type.contains(&key) || always.contains(&key)
    }
}

/// Everything about a connection but its ends.
#[derive(Default)]
pub(super) struct Cable {
    pub id: Option<String>,
    pub label: Option<Spanned<String>>,
    pub content_type: Option<ContentType>,
    pub data: Option<Value>,
    pub execution_priority: Option<Value>,
    /// The branch that a key of another tool names; the handle at `from` says it here.
    pub branch: Option<Handle>,
    pub span: Span,
}

/// What other tools call the branch that a connection leaves by.
const BRANCH_KEYS: [&str; 7] = ["branch", "condition", "handle", "if", "output", "source_handle", "when"];

/// Collects the connections of one diagram.
pub(super) struct Connections<'n, 'd, 'a> {
    pub names: Names<'n>,
    pub draft: &'d mut Draft<'a>,
    found: Vec<Connection>,
    n_written: usize,
    n_comparisons: usize,
    /// Starts and endpoints already reported as E208 or E209.
    reported: HashSet<usize>,
}

impl<'n, 'd, 'a> Connections<'n, 'd, 'a> {
    pub(super) fn new(nodes: &'n [DiagramNode], draft: &'d mut Draft<'a>) -> Self {
        let names = Names::new(nodes);
        Self { names, draft, found: Vec::new(), n_written: 0, n_comparisons: 0, reported: HashSet::new() }
    }

    /// Returns the connections whose ends are known, and how many were written.
    pub(super) fn finish(self) -> (Vec<Connection>, usize) {
        (self.found, self.n_written)
    }

    /// Records a problem with the connection being read.
    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        let at = format!("connection {}", self.n_written);
        self.draft.report(diagnostic.at(at));
    }

    /// Ends one connection: adds it when both ends are known.
    pub(super) fn add(&mut self, from: Option<Spanned<End>>, to: Option<Spanned<End>>, cable: Cable) {
        let from = from.and_then(|it| self.leaves(&it, &cable));
        let to = to.and_then(|it| self.enters(it.value));
        let index = self.n_written;
        self.n_written += 1;
        let (Some((from, output)), Some((to, mut input))) = (from, to) else { return };
        let mut data = cable.data;
        if self.names.nodes[to].kind == Some(NodeKind::PersonJob) && input == Handle::Default {
            input = input_wanted(&mut data);
        }
        self.found.push(Connection {
            index,
            id: cable.id.unwrap_or_else(|| format!("arrow_{index}")),
            from,
            output,
            to,
            input,
            label: cable.label,
            content_type: cable.content_type,
            data: data.filter(|it| it.as_object().is_none_or(|map| !map.is_empty())),
            execution_priority: cable.execution_priority,
            span: cable.span,
        });
    }

    /// Reads one end as light and readable write it, and reports what is wrong.
    pub(super) fn end(&mut self, text: &Spanned<String>, direction: Direction) -> Option<Spanned<End>> {
        let resolved = self.names.resolve(&text.value, direction);
        let end = resolved.map_err(|it| self.unresolved(it, text, direction)).ok()?;
        Some(Spanned { value: end, span: text.span })
    }

    /// Reports why `text` names no end.
    pub(super) fn unresolved(&mut self, problem: Unresolved, text: &Spanned<String>, direction: Direction) {
        match problem {
            Unresolved::Node { name } => self.unknown_node(&name, text, direction),
            Unresolved::Handle { node, name } => self.unknown_handle(node, &name, text, direction),
            Unresolved::Malformed { meant } => {
                let word = direction.name();
                let message = format!("`{}` is not a handle id of the form `<node_id>_<handle>_{word}`", text.value);
                let mut diagnostic = Diagnostic::new("E305", text.span, message);
                diagnostic = match meant {
                    Some(meant) => {
                        self.draft.repair(diagnostic.hint(format!("did you mean `{meant}`?")), text.span, &meant)
                    }
                    None => diagnostic.hint(format!("write the node's id, a handle and `{word}`, joined by `_`")),
                };
                self.report(diagnostic);
            }
        }
    }

    fn unknown_node(&mut self, name: &str, text: &Spanned<String>, direction: Direction) {
        let verb = if direction == Direction::Output { "starts" } else { "ends" };
        let is_native = self.draft.format == super::kinds::Format::Native;
        let what = if is_native { "id" } else { "label" };
        let message = format!("the connection {verb} at `{name}`, and no node has this {what}");
        let diagnostic = Diagnostic::new("E301", text.span, message);
        let nodes = self.names.nodes;
        if let Some(meant) = self.other_spelling(name, direction) {
            let diagnostic = diagnostic.hint(format!("did you mean `\"{meant}\"`?"));
            let diagnostic = self.draft.repair(diagnostic, text.span, &meant);
            return self.report(diagnostic);
        }
        self.n_comparisons += nodes.len();
        let near = match self.names.by_id(name) {
            // The id of a node where its label is wanted.
            Some(node) if !is_native => Some(nodes[node].label.as_str()),
            _ if self.n_comparisons > COMPARISONS_MAX => None,
            _ => nearest(name, nodes.iter().map(|it| if is_native { it.id.as_str() } else { it.label.as_str() })),
        };
        let diagnostic = match near {
            Some(near) => {
                let part = text.value.find(name).map_or("", |at| &text.value[at..at + name.len()]);
                self.repair_part(diagnostic.hint(format!("did you mean `{near}`?")), text, part, near)
            }
            None => diagnostic.hint(names_there_are(nodes, is_native)),
        };
        self.report(diagnostic);
    }

    /// `gate.true`, `gate:true`, `gate/true`: a label and a handle, as other tools join them.
    fn other_spelling(&self, name: &str, direction: Direction) -> Option<String> {
        let (label, handle) = name.rsplit_once(['.', ':', '/'])?;
        let end = self.names.resolve(label, direction).ok().filter(|it| it.handle.is_none())?;
        let handle = self.names.handle(end.node, handle, direction).ok()?;
        Some(format!("{}[{}]", self.names.nodes[end.node].label, handle.name()))
    }

    fn unknown_handle(&mut self, node: usize, name: &str, text: &Spanned<String>, direction: Direction) {
        let node = &self.names.nodes[node];
        let handles: Vec<_> = direction.handles(node.kind).iter().map(|it| it.name()).collect();
        let kind = node.kind.map_or("node", NodeKind::name);
        let message = format!("{kind} `{}` has no {} `{name}`", node.label, direction.name());
        let diagnostic = Diagnostic::new("E302", text.span, message);
        let known = format!("it has: {}", handles.join(", "));
        let diagnostic = match nearest(name, handles.iter().copied()) {
            Some(near) => {
                let hint = format!("did you mean `{near}`? {known}");
                // The handle stands behind the label.
                let part = text.value.rfind(name).map_or("", |at| &text.value[at..at + name.len()]);
                self.repair_part(diagnostic.hint(hint), text, part, near)
            }
            None => diagnostic.hint(known),
        };
        self.report(diagnostic);
    }

    /// Adds the repair that replaces `part`, a slice of the text of an end.
    fn repair_part(&self, diagnostic: Diagnostic, text: &Spanned<String>, part: &str, near: &str) -> Diagnostic {
        if text.value.trim() == part {
            return self.draft.repair(diagnostic, text.span, near);
        }
        let place = within(self.draft.text, text.span, &text.value, part);
        let fits_unquoted = |it: char| it.is_alphanumeric() || matches!(it, '_' | ' ' | '~' | '.' | '-');
        if place == text.span || !near.chars().all(fits_unquoted) {
            return diagnostic;
        }
        diagnostic.patch(place, near)
    }

    /// Where a connection leaves: a condition must say which branch, an endpoint has no way out.
    fn leaves(&mut self, from: &Spanned<End>, cable: &Cable) -> Option<(usize, Handle)> {
        let end = from.value;
        let node = &self.names.nodes[end.node];
        if node.kind == Some(NodeKind::Endpoint) {
            let message = format!("endpoint `{}` has an outgoing connection", node.label);
            let hint = "connect from the node before it: an endpoint ends the run";
            self.misplaced("E209", end.node, message, hint);
            return None;
        }
        if end.handle.is_none() && node.kind == Some(NodeKind::Condition) {
            let label = &node.label;
            let message = format!("a connection from condition `{label}` must name a branch");
            let diagnostic = Diagnostic::new("E302", from.span, message);
            let branch_of = |it: &str| Handle::parse(it, Some(NodeKind::Condition)).filter(|it| *it != Handle::Error);
            let said_by_label = cable.label.as_ref().and_then(|it| branch_of(&it.value));
            let diagnostic = match (cable.branch, said_by_label) {
                (Some(branch), _) => {
                    let meant = format!("{label}[{}]", branch.name());
                    let diagnostic = diagnostic.hint(format!("write `from: \"{meant}\"`"));
                    self.draft.repair(diagnostic, from.span, &meant)
                }
                (None, Some(branch)) => {
                    diagnostic.hint(format!("write `from: \"{label}[{}]\"`: a label names the input", branch.name()))
                }
                (None, None) => diagnostic.hint(format!("write `\"{label}[condtrue]\"` or `\"{label}[condfalse]\"`")),
            };
            self.report(diagnostic);
            return None;
        }
        Some((end.node, end.handle.unwrap_or(Handle::Default)))
    }

    fn enters(&mut self, end: End) -> Option<(usize, Handle)> {
        let node = &self.names.nodes[end.node];
        if node.kind == Some(NodeKind::Start) {
            let message = format!("start `{}` has an incoming connection", node.label);
            self.misplaced("E208", end.node, message, "connect to the node after it: a start begins the run");
            return None;
        }
        Some((end.node, end.handle.unwrap_or(Handle::Default)))
    }

    /// One diagnostic per node, however many connections are misplaced there.
    fn misplaced(&mut self, code: &'static str, node_idx: usize, message: String, hint: &str) {
        if self.reported.insert(node_idx) {
            let node = &self.names.nodes[node_idx];
            let message = format!("{message} (connection {})", self.n_written);
            self.draft.report(Diagnostic::new(code, node.span, message).node(&node.id, &node.label).hint(hint));
        }
    }

    /// Reads the parts of a connection's mapping that are not its ends.
    pub(super) fn cable(&mut self, map: &Tree, keys: &Keys) -> Cable {
        self.check_keys(map, keys);
        let given = |key: &str| map.get(key).filter(|it| !it.is_null());
        let content_type = keys.content_type.iter().find_map(|it| given(it));
        let label = given(keys.label).and_then(|it| self.text(keys.label, it));
        let cable = Cable {
            id: given("id").and_then(|it| self.draft.scalar_text(it)),
            label,
            content_type: content_type.and_then(|it| self.content_type(it)),
            data: given("data").map(Tree::to_json).map(without_derived),
            execution_priority: given("execution_priority").map(Tree::to_json),
            branch: BRANCH_KEYS
                .iter()
                .find_map(|it| Handle::parse(&self.draft.scalar_text(given(it)?)?, Some(NodeKind::Condition))),
            span: map.span,
        };
        self.check_without_effect(map);
        cable
    }

    /// Returns a scalar as text; anything else is E303.
    pub(super) fn text(&mut self, key: &str, tree: &Tree) -> Option<Spanned<String>> {
        if matches!(tree.kind, TreeKind::List(_) | TreeKind::Map(_)) {
            let message = format!("`{key}` of a connection must be a text, not {}", tree.kind_name());
            let hint = "write one connection per source and destination";
            self.report(Diagnostic::new("E303", tree.span, message).field(key).hint(hint));
            return None;
        }
        Some(Spanned { value: self.draft.scalar_text(tree)?, span: tree.span })
    }

    /// Reads a content type; an unknown one is E304.
    pub(super) fn content_type(&mut self, tree: &Tree) -> Option<ContentType> {
        let text = self.text("content_type", tree)?;
        let found = ContentType::parse(&text.value);
        if found.is_none() {
            let names = ContentType::ALL.map(ContentType::name);
            let diagnostic = Diagnostic::new("E304", text.span, format!("`{}` is not a content type", text.value));
            let name = Spanned { value: text.value.as_str(), span: text.span };
            let otherwise = format!("write one of: {}", names.join(", "));
            let candidates = names.into_iter().chain(["text", "json", "conversation"]);
            let diagnostic = self.draft.near(diagnostic, &name, candidates, &otherwise);
            self.report(diagnostic.field("content_type"));
        }
        found
    }

    fn check_keys(&mut self, map: &Tree, keys: &Keys) {
        // These are reported as the `from` or `to` that is missing.
        let ends: Vec<_> = missing_ends(map, keys).filter_map(|(_, found)| found).collect();
        for (key, _) in map.entries().iter().filter(|(key, _)| !keys.is_known(&key.value)) {
            if ends.contains(&key) {
                continue;
            }
            let message = format!("a connection has no key `{}`", key.value);
            let known = keys.ends.iter().chain(keys.content_type).chain([&keys.label, &"id", &"data"]).copied();
            let name = Spanned { value: key.value.as_str(), span: key.span };
            let warning = Diagnostic::new("W301", key.span, message).field(&key.value);
            let warning = if BRANCH_KEYS.contains(&key.value.as_str()) {
                warning.hint("remove it: the branch stands at `from`, as in `\"gate[condtrue]\"`")
            } else {
                self.draft.near(warning, &name, known, "remove it: it has no effect")
            };
            self.report(warning);
        }
    }

    /// Reports ends that are not there (E303), with the key that was probably meant to be one.
    pub(super) fn check_ends(&mut self, map: &Tree, keys: &Keys) {
        let missing: Vec<_> = missing_ends(map, keys).collect();
        for (end, found) in &missing {
            let Some(found) = found else { continue };
            let message = format!("the connection has `{}` where `{end}` belongs", found.value);
            let diagnostic = Diagnostic::new("E303", found.span, message).field(*end).hint(format!("write `{end}`"));
            let diagnostic = self.draft.repair(diagnostic, found.span, end);
            self.report(diagnostic);
        }
        let absent: Vec<_> = missing.iter().filter(|it| it.1.is_none()).map(|it| format!("`{}`", it.0)).collect();
        if !absent.is_empty() {
            let message = format!("the connection has no {}", absent.join(" and no "));
            let hint = format!(
                "write `{}`",
                keys.ends.iter().map(|it| format!("{it}: <node>")).collect::<Vec<_>>().join(", ")
            );
            self.report(Diagnostic::new("E303", map.span, message).hint(hint));
        }
    }

    fn check_without_effect(&mut self, map: &Tree) {
        let priority = map.entries().iter().find(|(key, _)| key.value == "execution_priority");
        let data = map.get("data").map(Tree::entries).unwrap_or_default();
        let never_worked = ["extractVariable", "format", "transform"];
        let dead = data.iter().filter(|(key, _)| never_worked.contains(&key.value.as_str()));
        for (key, value) in priority.into_iter().chain(dead) {
            if value.is_null() {
                continue;
            }
            let message = format!("`{}` of a connection is kept and has no effect", key.value);
            let warning = Diagnostic::new("W302", key.span, message).field(&key.value);
            self.report(warning.hint("remove it; a code_job in between can change a value"));
        }
    }
}

/// Names what a connection may join, where these are few enough to be read.
fn names_there_are(nodes: &[DiagramNode], is_native: bool) -> String {
    const NODES_MAX: usize = 12;
    let what = if is_native { "id" } else { "label" };
    if nodes.is_empty() || nodes.len() > NODES_MAX {
        return format!("write the {what} of a node under `nodes`");
    }
    let names: Vec<&str> = nodes.iter().map(|it| if is_native { it.id.as_str() } else { it.label.as_str() }).collect();
    format!("write the {what} of a node under `nodes`: {}", names.join(", "))
}

/// Returns the ends that `map` does not give, each with an unknown key that looks like it.
fn missing_ends<'t>(
    map: &'t Tree,
    keys: &'t Keys,
) -> impl Iterator<Item = (&'static str, Option<&'t Spanned<String>>)> {
    keys.ends.iter().copied().filter(|it| map.get(it).is_none_or(Tree::is_null)).map(move |end| {
        let others: &[&str] = match end {
            "from" | "source" => &["source", "from", "src"],
            "to" | "target" => &["target", "to", "destination", "dest"],
            _ => &[],
        };
        let unknown = map.entries().iter().map(|(key, _)| key).filter(|it| !keys.is_known(&it.value));
        let looks_like = |it: &&Spanned<String>| {
            let name = it.value.as_str();
            others.contains(&name) || name.len() <= 10 && nearest(name, [end]).is_some()
        };
        (end, unknown.into_iter().find(looks_like))
    })
}

/// `branch` and `is_conditional` say again what the handle says.
fn without_derived(data: Value) -> Value {
    match data {
        Value::Object(mut map) => {
            map.retain(|key, _| key != "branch" && key != "is_conditional");
            Value::Object(map)
        }
        other => other,
    }
}

/// `requires_first_execution: true` is the older way to write the handle `first`.
fn input_wanted(data: &mut Option<Value>) -> Handle {
    let is_wanted = |map: &Map<String, Value>| map.get("requires_first_execution") == Some(&Value::Bool(true));
    match data {
        Some(Value::Object(map)) if is_wanted(map) => {
            map.shift_remove("requires_first_execution");
            Handle::First
        }
        _ => Handle::Default,
    }
}
