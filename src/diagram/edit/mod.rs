//! Changes the text of a light diagram and leaves the rest of it alone, byte for byte: comments, layout, the
//! order and the spelling of everything that was not meant (diagrams.md 1.5 says what writing anew loses).

mod extent;
mod splice;

use serde_json::{Map, Value, json};

use super::ends::{Direction, End, Names};
use super::kinds::{Format, Handle};
use super::legacy::other_names;
use super::model::Diagram;
use super::parse::parse;
use crate::nearest::nearest;
use splice::{Change, Step, make, value_of};

/// One change of a diagram.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// Gives a field of a node a value; `path` is its name, and below it names within mappings.
    SetField { node: String, path: Vec<String>, value: Value },
    /// Takes a field away.
    RemoveField { node: String, path: Vec<String> },
    /// Adds a node behind the others.
    AddNode { label: String, kind: String, fields: Map<String, Value> },
    /// Removes a node and its connections. Nodes without an `id` behind it get the id of the place before.
    RemoveNode { node: String },
    /// Gives a node another label; connections and `node_indices` follow.
    RenameNode { node: String, label: String },
    /// Adds a connection behind the others; ends are `Label` or `Label[handle]`.
    AddConnection { from: String, to: String, label: Option<String>, content_type: Option<String> },
    /// Removes every connection between these ends; without a handle from and to any.
    RemoveConnection { from: String, to: String },
    /// Gives a field of a person a value.
    SetPersonField { person: String, path: Vec<String>, value: Value },
}

/// Why an edit cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub message: String,
    pub hint: String,
}

impl Refused {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }

    /// The text is laid out in a way that cannot be changed in place with certainty.
    fn unclear() -> Self {
        Self::new(
            "the text is written in a way that this edit cannot change in place",
            "change it by hand, or convert the diagram to light, which lays it out anew",
        )
    }
}

/// Makes `edits` one after the other and returns the new text.
///
/// # Errors
///
/// The position of the first edit that cannot be made, and why; none is made then.
pub fn edit(text: &str, edits: &[Edit]) -> Result<String, (usize, Refused)> {
    let mut text = text.to_owned();
    for (nth, it) in edits.iter().enumerate() {
        text = edit_once(&text, it).map_err(|refused| (nth, refused))?;
    }
    Ok(text)
}

fn edit_once(text: &str, edit: &Edit) -> Result<String, Refused> {
    let draft = Draft::read(text)?;
    let changes = match edit {
        Edit::SetField { node, path, value } => draft.set_field(node, path, value)?,
        Edit::RemoveField { node, path } => draft.remove_field(node, path)?,
        Edit::AddNode { label, kind, fields } => draft.add_node(label, kind, fields)?,
        Edit::RemoveNode { node } => draft.remove_node(node)?,
        Edit::RenameNode { node, label } => return draft.rename(text, node, label),
        Edit::AddConnection { from, to, label, content_type } => {
            let label = label.as_ref().map(|it| ("label", it));
            let more = label.into_iter().chain(content_type.as_ref().map(|it| ("content_type", it)));
            draft.add_connection(from, to, more)?
        }
        Edit::RemoveConnection { from, to } => draft.remove_connection(from, to)?,
        Edit::SetPersonField { person, path, value } => draft.set_person_field(person, path, value)?,
    };
    make_all(text, &changes)
}

fn make_all(text: &str, changes: &[Change]) -> Result<String, Refused> {
    changes.iter().try_fold(text.to_owned(), |text, it| make(&text, it))
}

/// The diagram that is being edited: as data, and as it is understood.
struct Draft {
    root: Value,
    diagram: Diagram,
}

fn key(name: &str) -> Step {
    Step::Key(name.to_owned())
}

fn list<'v>(root: &'v Value, name: &str) -> &'v [Value] {
    root.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

impl Draft {
    fn read(text: &str) -> Result<Self, Refused> {
        let root = value_of(text)?;
        let parsed = parse(text, None);
        match (parsed.diagram, parsed.format) {
            (Some(diagram), Some(Format::Light)) => {
                // Positions in the text and in the diagram are the same only where every item is a node.
                let nodes = list(&root, "nodes");
                let has_list = nodes.len() == diagram.nodes.len() && nodes.iter().all(Value::is_object);
                if has_list { Ok(Self { root, diagram }) } else { Err(Refused::unclear()) }
            }
            (_, Some(format)) if format != Format::Light => {
                let message = format!("only light diagrams can be edited in place, and this one is {}", format.name());
                Err(Refused::new(message, "convert it to light first"))
            }
            _ => Err(Refused::new("the diagram cannot be read", "compile it to see why")),
        }
    }

    fn node(&self, name: &str) -> Result<usize, Refused> {
        let nodes = &self.diagram.nodes;
        let found = nodes.iter().position(|it| it.label == name).or_else(|| nodes.iter().position(|it| it.id == name));
        found.ok_or_else(|| {
            let hint = match nearest(name, nodes.iter().map(|it| it.label.as_str())) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "write the label or the id of a node".to_owned(),
            };
            Refused::new(format!("no node is named `{name}`"), hint)
        })
    }

    fn set_field(&self, node: &str, path: &[String], value: &Value) -> Result<Vec<Change>, Refused> {
        let at = self.node(node)?;
        let (first, rest) = field_path(path)?;
        let item = &list(&self.root, "nodes")[at];
        let place = vec![key("nodes"), Step::Item(at)];
        let (mut place, name) = match self.places_of(at, item, first, path).into_iter().next() {
            Some((below, name)) if name == path.join(".") && !rest.is_empty() => {
                return Ok(vec![Change::Set(extended(place, &below), name, value.clone())]);
            }
            Some((below, name)) => (extended(place, &below), name),
            None => (place, first.to_owned()),
        };
        let mut holder = at_path(&self.root, &place).ok_or_else(Refused::unclear)?;
        let mut names = std::iter::once(name.as_str()).chain(rest.iter().map(String::as_str)).peekable();
        while let Some(name) = names.next() {
            let is_map = holder.get(name).is_some_and(Value::is_object);
            if names.peek().is_none() || !is_map {
                let rest: Vec<&str> = names.collect();
                let value = rest.iter().rev().fold(value.clone(), |inner, name| json!({ *name: inner }));
                return Ok(vec![Change::Set(place, name.to_owned(), value)]);
            }
            holder = &holder[name];
            place.push(key(name));
        }
        Err(Refused::unclear())
    }

    fn remove_field(&self, node: &str, path: &[String]) -> Result<Vec<Change>, Refused> {
        let at = self.node(node)?;
        let (first, rest) = field_path(path)?;
        if rest.is_empty() && first == "type" {
            return Err(Refused::new("a node keeps its `type`", "set another type instead"));
        }
        let item = &list(&self.root, "nodes")[at];
        let start = vec![key("nodes"), Step::Item(at)];
        let mut changes = Vec::new();
        for (below, name) in self.places_of(at, item, first, path) {
            let place = extended(start.clone(), &below);
            if rest.is_empty() || name == path.join(".") {
                changes.push(Change::Remove(place, name));
                continue;
            }
            let middle = std::iter::once(name.as_str()).chain(rest[..rest.len() - 1].iter().map(String::as_str));
            let place: Vec<Step> = place.into_iter().chain(middle.map(key)).collect();
            let last = &rest[rest.len() - 1];
            if at_path(&self.root, &place).is_some_and(|it| it.get(last).is_some()) {
                changes.push(Change::Remove(place, last.clone()));
            }
        }
        if changes.is_empty() {
            let message = format!("`{node}` has no field `{}`", path.join("."));
            return Err(Refused::new(message, "there is nothing to remove"));
        }
        Ok(changes)
    }

    /// Where field `first` of node `at` is written, the place that counts first: beside the label or below
    /// `props`, under its name, another name of it, or the whole dotted path.
    fn places_of(&self, at: usize, item: &Value, first: &str, path: &[String]) -> Vec<(Vec<Step>, String)> {
        let others =
            self.diagram.nodes[at].kind.map(|it| other_names(it, first).collect::<Vec<_>>()).unwrap_or_default();
        let dotted = path.join(".");
        let names: Vec<&str> = std::iter::once(dotted.as_str()).chain([first]).chain(others).collect();
        let mut places: Vec<(Vec<Step>, String)> = Vec::new();
        for (below, holder) in [(Vec::new(), Some(item)), (vec![key("props")], item.get("props"))] {
            for name in &names {
                let place = (below.clone(), (*name).to_owned());
                if holder.is_some_and(|it| it.get(name).is_some()) && !places.contains(&place) {
                    places.push(place);
                }
            }
        }
        places
    }

    fn add_node(&self, label: &str, kind: &str, fields: &Map<String, Value>) -> Result<Vec<Change>, Refused> {
        self.check_new_label(label)?;
        let mut node = Map::from_iter([("label".to_owned(), label.into()), ("type".to_owned(), kind.into())]);
        node.extend(fields.iter().map(|(name, value)| (name.clone(), value.clone())));
        if node["label"] != label || node["type"] != kind {
            return Err(Refused::new("a field of the new node is its label or type", "leave it out of the fields"));
        }
        Ok(vec![self.push("nodes", Value::Object(node))])
    }

    fn check_new_label(&self, label: &str) -> Result<(), Refused> {
        let is_fine = !label.is_empty() && label.trim() == label && !label.contains(['[', ']', '\n', '\r']);
        if !is_fine {
            return Err(Refused::new(
                format!("`{label}` is no label"),
                "labels are one line of text without `[` and `]`",
            ));
        }
        if self.diagram.nodes.iter().any(|it| it.label == label) {
            return Err(Refused::new(format!("a node is named `{label}` already"), "choose another label"));
        }
        Ok(())
    }

    fn remove_node(&self, node: &str) -> Result<Vec<Change>, Refused> {
        let at = self.node(node)?;
        if self.diagram.nodes.len() == 1 {
            return Err(Refused::new("a diagram keeps at least one node", "add another node first"));
        }
        let touching = self.diagram.connections.iter().filter(|it| it.from == at || it.to == at).map(|it| it.index);
        let mut changes = self.removals(touching);
        changes.push(Change::RemoveItem(vec![key("nodes")], at));
        Ok(changes)
    }

    /// Removes connections by their positions, the last first.
    fn removals(&self, connections: impl Iterator<Item = usize>) -> Vec<Change> {
        let mut indices: Vec<usize> = connections.collect();
        indices.sort_unstable_by_key(|it| std::cmp::Reverse(*it));
        indices.into_iter().map(|it| Change::RemoveItem(vec![key("connections")], it)).collect()
    }

    fn rename(&self, text: &str, node: &str, label: &str) -> Result<String, Refused> {
        let at = self.node(node)?;
        let old = self.diagram.nodes[at].label.as_str();
        if old == label {
            return Ok(text.to_owned());
        }
        self.check_new_label(label)?;
        let mut changes = vec![Change::Set(vec![key("nodes"), Step::Item(at)], "label".to_owned(), label.into())];
        for it in &self.diagram.connections {
            for (name, end, handle) in [("from", it.from, it.output), ("to", it.to, it.input)] {
                // `requires_first_execution` is another way to say `first`, and stays.
                let written = list(&self.root, "connections")[it.index].get(name).and_then(Value::as_str);
                let says_default = written.is_some_and(|it| it.trim() == old);
                if end == at {
                    let is_plain = says_default || handle == Handle::Default;
                    let end = if is_plain { label.to_owned() } else { format!("{label}[{}]", handle.name()) };
                    let place = vec![key("connections"), Step::Item(it.index)];
                    changes.push(Change::Set(place, name.to_owned(), end.into()));
                }
            }
        }
        changes.extend(self.renamed_references(old, label));
        let edited = make_all(text, &changes)?;
        let wires = |diagram: &Diagram| -> Vec<(usize, Handle, usize, Handle)> {
            diagram.connections.iter().map(|it| (it.from, it.output, it.to, it.input)).collect()
        };
        let after = Self::read(&edited)?.diagram;
        if wires(&after) == wires(&self.diagram) {
            return Ok(edited);
        }
        Err(Refused::new(format!("with a node named `{label}` other connections would change"), "choose another label"))
    }

    /// The changes that let `node_indices` follow a new label.
    fn renamed_references<'s>(&'s self, old: &'s str, label: &'s str) -> impl Iterator<Item = Change> + 's {
        let is_id = self.diagram.nodes.iter().any(|it| it.id == old);
        let nodes = list(&self.root, "nodes").iter().enumerate().filter(move |_| !is_id);
        nodes.flat_map(move |(at, item)| {
            let holders = [(Vec::new(), Some(item)), (vec![key("props")], item.get("props"))];
            holders.into_iter().filter_map(move |(below, holder)| {
                let named = holder?.get("node_indices")?;
                let renamed = |it: &Value| if it == old { Value::from(label) } else { it.clone() };
                let new = match named {
                    Value::Array(items) => Value::Array(items.iter().map(renamed).collect()),
                    Value::String(text) if text == old => label.into(),
                    Value::String(text) => {
                        let parts = text.split(',').map(|it| if it.trim() == old { label } else { it.trim() });
                        let has_old = text.split(',').any(|it| it.trim() == old);
                        if has_old { parts.collect::<Vec<_>>().join(", ").into() } else { named.clone() }
                    }
                    other => other.clone(),
                };
                let place = extended(vec![key("nodes"), Step::Item(at)], &below);
                (new != *named).then(|| Change::Set(place, "node_indices".to_owned(), new))
            })
        })
    }

    fn end(&self, text: &str, direction: Direction) -> Result<End, Refused> {
        Names::new(&self.diagram.nodes).resolve(text, direction).map_err(|_| {
            let message = format!("`{text}` is no {} of a node", direction.name());
            Refused::new(message, "write `Label` or `Label[handle]` of a node of this diagram")
        })
    }

    fn add_connection<'s>(
        &self,
        from: &str,
        to: &str,
        more: impl Iterator<Item = (&'s str, &'s String)>,
    ) -> Result<Vec<Change>, Refused> {
        self.end(from, Direction::Output)?;
        self.end(to, Direction::Input)?;
        let mut connection = Map::from_iter([("from".to_owned(), from.into()), ("to".to_owned(), to.into())]);
        connection.extend(more.map(|(name, value)| (name.to_owned(), Value::from(value.as_str()))));
        Ok(vec![self.push("connections", Value::Object(connection))])
    }

    /// Adds an item to a section, which may be missing.
    fn push(&self, section: &str, item: Value) -> Change {
        match self.root.get(section) {
            Some(Value::Array(_)) => Change::Push(vec![key(section)], item),
            _ => Change::Set(Vec::new(), section.to_owned(), Value::Array(vec![item])),
        }
    }

    fn remove_connection(&self, from: &str, to: &str) -> Result<Vec<Change>, Refused> {
        let (output, input) = (self.end(from, Direction::Output)?, self.end(to, Direction::Input)?);
        let fits = |end: End, node: usize, handle: Handle| end.node == node && end.handle.is_none_or(|it| it == handle);
        let found = self.diagram.connections.iter();
        let found = found.filter(|it| fits(output, it.from, it.output) && fits(input, it.to, it.input));
        let changes = self.removals(found.map(|it| it.index));
        if changes.is_empty() {
            let message = format!("nothing connects `{from}` to `{to}`");
            return Err(Refused::new(message, "there is nothing to remove"));
        }
        Ok(changes)
    }

    fn set_person_field(&self, person: &str, path: &[String], value: &Value) -> Result<Vec<Change>, Refused> {
        let found = self.diagram.persons.iter().position(|it| it.label == person || it.id == person);
        let Some(at) = found else {
            let hint = match nearest(person, self.diagram.persons.iter().map(|it| it.label.as_str())) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "write the name of a person under `persons`".to_owned(),
            };
            return Err(Refused::new(format!("no person is named `{person}`"), hint));
        };
        let place = match self.root.get("persons") {
            Some(Value::Object(map)) => map.keys().nth(at).map(|name| vec![key("persons"), key(name)]),
            Some(Value::Array(items)) => {
                let item = items.get(at).and_then(Value::as_object).ok_or_else(Refused::unclear)?;
                let only =
                    item.iter().next().filter(|(_, it)| item.len() == 1 && it.is_object()).map(|(name, _)| key(name));
                Some([key("persons"), Step::Item(at)].into_iter().chain(only).collect())
            }
            _ => None,
        };
        let (mut place, (first, rest)) = (place.ok_or_else(Refused::unclear)?, field_path(path)?);
        let holder = at_path(&self.root, &place).filter(|it| it.is_object()).ok_or_else(Refused::unclear)?;
        let is_nested =
            holder.get(first).is_none() && holder.get("llm_config").is_some_and(|it| it.get(first).is_some());
        if is_nested {
            place.push(key("llm_config"));
        }
        let value = rest.iter().rev().fold(value.clone(), |inner, name| json!({ name.as_str(): inner }));
        Ok(vec![Change::Set(place, first.to_owned(), value)])
    }
}

fn extended(mut place: Vec<Step>, below: &[Step]) -> Vec<Step> {
    place.extend_from_slice(below);
    place
}

fn at_path<'v>(root: &'v Value, path: &[Step]) -> Option<&'v Value> {
    path.iter().try_fold(root, |at, step| match step {
        Step::Key(name) => at.get(name),
        Step::Item(nth) => at.get(nth),
    })
}

/// Splits a path into the field and what is below; a label is no field.
fn field_path(path: &[String]) -> Result<(&str, &[String]), Refused> {
    match path.split_first() {
        Some((first, _)) if first == "label" => Err(Refused::new("a label is not a field", "rename the node")),
        Some((first, rest)) if !path.iter().any(String::is_empty) => Ok((first, rest)),
        _ => Err(Refused::new("no field is named", "write `NODE.FIELD`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# a loop
version: light
persons: # who
  P: {service: scripted, replies: [a]} # the only one
  Q:
    service: caller
nodes:
- {label: s, type: start, custom_data: {n: 1}} # begins
# the middle
- label: work # hard
  type: code_job
  # in Python
  code: |
    a = 1 # one

    result = a
  retry: # again
    max_attempts: 2
    delay_ms: 5 # quick
  language: python

- label: gate
  type: condition
  props:
    expression: n > 1
    node_indices: [work, s]
- {label: e, type: endpoint, # ends
   file_path: x}
connections:
- {from: s, to: work}
- {from: work, to: gate, label: n} # checked
# out
- from: gate_condtrue
  to: e
- {from: \"gate[condfalse]\", to: work}
";

    fn field(node: &str, path: &str, value: Value) -> Edit {
        Edit::SetField { node: node.into(), path: path.split('.').map(str::to_owned).collect(), value }
    }

    fn without(node: &str, path: &str) -> Edit {
        Edit::RemoveField { node: node.into(), path: path.split('.').map(str::to_owned).collect() }
    }

    fn person(name: &str, path: &str, value: Value) -> Edit {
        Edit::SetPersonField { person: name.into(), path: vec![path.into()], value }
    }

    fn wire(from: &str, to: &str, label: Option<&str>) -> Edit {
        Edit::AddConnection { from: from.into(), to: to.into(), label: label.map(Into::into), content_type: None }
    }

    /// The lines that `edit` takes from [`TEXT`] and gives to it.
    #[track_caller]
    fn check(edit: Edit, gone: &[&str], new: &[&str]) {
        let edited = super::edit(TEXT, &[edit]).expect("it can be made");
        let diff = similar::TextDiff::from_lines(TEXT, &edited);
        let lines = |tag| {
            let changes = diff.iter_all_changes().filter(move |it| it.tag() == tag);
            changes.map(|it| it.value().trim_end_matches('\n').to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(lines(similar::ChangeTag::Delete), gone, "{edited}");
        assert_eq!(lines(similar::ChangeTag::Insert), new, "{edited}");
    }

    #[test]
    fn a_field_changes_on_its_own_lines_only() {
        check(
            field("s", "custom_data.n", json!(2)),
            &["- {label: s, type: start, custom_data: {n: 1}} # begins"],
            &["- {label: s, type: start, custom_data: {n: 2}} # begins"],
        );
        check(
            field("s", "custom_data.m", json!("x, y")),
            &["- {label: s, type: start, custom_data: {n: 1}} # begins"],
            &["- {label: s, type: start, custom_data: {n: 1, m: \"x, y\"}} # begins"],
        );
        check(field("work", "language", json!("bash")), &["  language: python"], &["  language: bash"]);
        check(field("work", "code", json!("x\ny\n")), &["    a = 1 # one", "", "    result = a"], &["    x", "    y"]);
        check(
            field("work", "code", json!("x")),
            &["  code: |", "    a = 1 # one", "", "    result = a"],
            &["  code: x"],
        );
        check(field("work", "language", json!("a\nb")), &["  language: python"], &["  language: |-", "    a", "    b"]);
        check(field("work", "retry.delay_ms", json!(9)), &["    delay_ms: 5 # quick"], &["    delay_ms: 9 # quick"]);
        check(field("work", "retry.backoff", json!("fixed")), &[], &["    backoff: fixed"]);
        check(field("work", "timeout", json!(3)), &[], &["  timeout: 3"]);
        check(
            field("work", "retry", json!({"max_attempts": 1})),
            &["  retry: # again", "    max_attempts: 2", "    delay_ms: 5 # quick"],
            &["  retry: {max_attempts: 1} # quick"],
        );
        check(field("gate", "expression", json!("n > 2")), &["    expression: n > 1"], &["    expression: n > 2"]);
        check(field("e", "file_name", json!("y")), &["   file_path: x}"], &["   file_path: y}"]);
        check(
            field("e", "save_to_file", json!(true)),
            &["   file_path: x}"],
            &["   file_path: x, save_to_file: true}"],
        );
        check(person("Q", "service", json!("openai")), &["    service: caller"], &["    service: openai"]);
        check(person("Q", "model", json!("m")), &[], &["    model: m"]);
        check(
            person("P", "temperature", json!(0)),
            &["  P: {service: scripted, replies: [a]} # the only one"],
            &["  P: {service: scripted, replies: [a], temperature: 0} # the only one"],
        );
    }

    #[test]
    fn a_field_goes_with_its_own_lines_only() {
        check(without("work", "language"), &["  language: python"], &[]);
        check(without("work", "code"), &["  code: |", "    a = 1 # one", "", "    result = a"], &[]);
        check(without("work", "retry.delay_ms"), &["    delay_ms: 5 # quick"], &[]);
        check(
            without("s", "custom_data"),
            &["- {label: s, type: start, custom_data: {n: 1}} # begins"],
            &["- {label: s, type: start} # begins"],
        );
        check(without("gate", "expression"), &["    expression: n > 1"], &[]);
    }

    #[test]
    fn nodes_and_connections_come_and_go() {
        let fields = Map::from_iter([("code".to_owned(), json!("x = 1\ny = 2\n"))]);
        check(
            Edit::AddNode { label: "more: x".into(), kind: "code_job".into(), fields },
            &[],
            &["- label: \"more: x\"", "  type: code_job", "  code: |", "    x = 1", "    y = 2"],
        );
        check(
            Edit::AddNode { label: "z".into(), kind: "endpoint".into(), fields: Map::new() },
            &[],
            &["- {label: z, type: endpoint}"],
        );
        check(
            Edit::RemoveNode { node: "e".into() },
            &["- {label: e, type: endpoint, # ends", "   file_path: x}", "- from: gate_condtrue", "  to: e"],
            &[],
        );
        check(wire("gate[error]", "e", Some("n")), &[], &["- {from: \"gate[error]\", to: e, label: n}"]);
        check(
            Edit::RemoveConnection { from: "gate[condtrue]".into(), to: "e".into() },
            &["- from: gate_condtrue", "  to: e"],
            &[],
        );
        check(
            Edit::RenameNode { node: "work".into(), label: "play, hard".into() },
            &[
                "- label: work # hard",
                "    node_indices: [work, s]",
                "- {from: s, to: work}",
                "- {from: work, to: gate, label: n} # checked",
                "- {from: \"gate[condfalse]\", to: work}",
            ],
            &[
                "- label: play, hard # hard",
                "    node_indices: [\"play, hard\", s]",
                "- {from: s, to: \"play, hard\"}",
                "- {from: \"play, hard\", to: gate, label: n} # checked",
                "- {from: \"gate[condfalse]\", to: \"play, hard\"}",
            ],
        );
    }

    #[test]
    fn sections_that_are_missing_or_empty_are_made() {
        for (text, expected) in [
            (
                "version: light\nnodes:\n- {label: s, type: start}\n- {label: e, type: endpoint}",
                "version: light\nnodes:\n- {label: s, type: start}\n- {label: e, type: endpoint}\nconnections:\n- {from: s, to: e}",
            ),
            (
                "version: light\nconnections: [] # none\nnodes:\n- {label: s, type: start}\n- {label: e, type: endpoint}\n",
                "version: light\nconnections: # none\n- {from: s, to: e}\nnodes:\n- {label: s, type: start}\n- {label: e, type: endpoint}\n",
            ),
            (
                "version: light\nconnections:\nnodes: [{label: s, type: start}, {label: e, type: endpoint}]\n",
                "version: light\nconnections:\n- {from: s, to: e}\nnodes: [{label: s, type: start}, {label: e, type: endpoint}]\n",
            ),
            (
                "{\"version\": \"light\", \"nodes\": [{\"label\": \"s\", \"type\": \"start\"}, {\"label\": \"e\", \"type\": \"endpoint\"}]}",
                "{\"version\": \"light\", \"nodes\": [{\"label\": \"s\", \"type\": \"start\"}, {\"label\": \"e\", \"type\": \"endpoint\"}], \
                 \"connections\": [{\"from\":\"s\",\"to\":\"e\"}]}",
            ),
        ] {
            assert_eq!(edit(text, &[wire("s", "e", None)]).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn what_cannot_be_edited_is_refused_with_a_reason() {
        let shared = "version: light\nnodes:\n- {label: s, type: start, custom_data: &d {n: 1}}\n- {label: t, type: start, custom_data: *d}\n";
        for (text, edit, expected) in [
            (TEXT, field("wrk", "code", json!("x")), "no node is named `wrk`"),
            (TEXT, field("work", "label", json!("x")), "a label is not a field"),
            (TEXT, without("work", "file_path"), "`work` has no field `file_path`"),
            (TEXT, without("work", "type"), "a node keeps its `type`"),
            (TEXT, wire("s", "nobody", None), "`nobody` is no input of a node"),
            (TEXT, Edit::RemoveConnection { from: "s".into(), to: "e".into() }, "nothing connects `s` to `e`"),
            (TEXT, Edit::RenameNode { node: "s".into(), label: "e".into() }, "a node is named `e` already"),
            (TEXT, person("R", "model", json!("m")), "no person is named `R`"),
            (shared, field("s", "custom_data.n", json!(2)), "the text is written in a way"),
            ("version: light\nnodes: {", field("s", "x", json!(2)), "the diagram cannot be read"),
            ("version: readable\nnodes:\n- s [start]\n", field("s", "x", json!(2)), "only light diagrams"),
        ] {
            let (at, refused) = super::edit(text, &[edit]).expect_err(expected);
            assert!(at == 0 && refused.message.starts_with(expected), "{refused:?}");
        }
    }
}
