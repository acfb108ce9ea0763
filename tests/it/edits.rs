//! Random edits of random diagrams with comments in block, brace and mixed layouts: the text says afterwards
//! what the same edits of the model say, and every line that an edit had no reason to touch is still there.

use dipeo::diagram::edit::{Edit, edit};
use dipeo::diagram::write::{meaning, write};
use dipeo::diagram::{Diagram, DiagramNode, Field, Format, Span, parse};
use dipeo::nodes::known_fields;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::formats_random::{diagrams, text, tree};

/// Diagrams that the property is tried on.
const DIAGRAMS: u32 = 400;

/// A random edit, before it is known which nodes there are.
#[derive(Clone, Debug)]
enum Wish {
    Set(Index, &'static str, Value),
    SetBelow(Index, Value),
    Remove(Index, Index),
    AddNode(String),
    RemoveNode(Index),
    Rename(Index, String),
    Disconnect(Index),
    Person(Index, String),
}

fn wish() -> impl Strategy<Value = Wish> {
    let value = prop_oneof![
        text().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        select(vec![json!(true), json!(1.5), json!([]), json!({"a b": [1, {"c": "x, y"}]}), json!(["a\nb", {}])]),
    ];
    let label = || text().prop_map(|it| format!("new {}", it.replace(['\n', '\r', '[', ']'], "")).trim().to_owned());
    let name = select(vec!["code", "note", "timeout", "prompt", "zz"]);
    prop_oneof![
        4 => (any::<Index>(), name, value.clone()).prop_map(|(node, name, value)| Wish::Set(node, name, value)),
        2 => (any::<Index>(), value).prop_map(|(node, value)| Wish::SetBelow(node, value)),
        2 => any::<(Index, Index)>().prop_map(|(node, field)| Wish::Remove(node, field)),
        1 => label().prop_map(Wish::AddNode),
        1 => any::<Index>().prop_map(Wish::RemoveNode),
        2 => (any::<Index>(), label()).prop_map(|(node, label)| Wish::Rename(node, label)),
        1 => any::<Index>().prop_map(Wish::Disconnect),
        1 => (any::<Index>(), "[a-z]{1,4}").prop_map(|(person, value)| Wish::Person(person, value)),
    ]
}

/// Makes the edit on the model as well; `None` when there is nothing to edit.
fn granted(wish: Wish, diagram: &mut Diagram) -> Option<Edit> {
    let n_nodes = diagram.nodes.len();
    match wish {
        Wish::Set(node, name, value) => {
            let node = &mut diagram.nodes[node.index(n_nodes)];
            set(node, name, value.clone());
            Some(Edit::SetField { node: node.label.clone(), path: vec![name.to_owned()], value })
        }
        Wish::SetBelow(node, value) => {
            let node = &mut diagram.nodes[node.index(n_nodes)];
            let old = node.field("metadata").map(|it| it.to_json());
            let mut map = old.and_then(|it| it.as_object().cloned()).unwrap_or_default();
            map.insert("deep".to_owned(), value.clone());
            set(node, "metadata", Value::Object(map));
            let path = ["metadata", "deep"].map(str::to_owned).into();
            Some(Edit::SetField { node: node.label.clone(), path, value })
        }
        Wish::Remove(node, field) => {
            let node = &mut diagram.nodes[node.index(n_nodes)];
            let own: Vec<usize> = (0..node.fields.len()).filter(|&it| !is_awkward(&node.fields[it].key)).collect();
            let at = *own.get(field.index(own.len().max(1)))?;
            let field = node.fields.remove(at);
            Some(Edit::RemoveField { node: node.label.clone(), path: vec![field.key] })
        }
        Wish::AddNode(label) => {
            diagram.nodes.iter().all(|it| it.label != label).then_some(())?;
            let id = format!("node_{n_nodes}");
            diagram.nodes.iter().all(|it| it.id != id).then_some(())?;
            let kind = Some(dipeo::diagram::NodeKind::CodeJob);
            let mut node = DiagramNode {
                id,
                label: label.clone(),
                kind,
                position: None,
                fields: Vec::new(),
                span: Span::default(),
            };
            set(&mut node, "code", json!("a = 1\nresult = a\n"));
            diagram.nodes.push(node);
            let fields = serde_json::Map::from_iter([("code".to_owned(), json!("a = 1\nresult = a\n"))]);
            Some(Edit::AddNode { label, kind: "code_job".to_owned(), fields })
        }
        Wish::RemoveNode(node) => {
            let at = node.index(n_nodes);
            // Only the last one: others behind it would get the ids of other places.
            (n_nodes > 1 && at + 1 == n_nodes).then_some(())?;
            let label = diagram.nodes.remove(at).label;
            keep_connections(diagram, |from, to| from != at && to != at);
            Some(Edit::RemoveNode { node: label })
        }
        Wish::Rename(node, label) => {
            diagram.nodes.iter().all(|it| it.label != label && it.id != label).then_some(())?;
            let node = &mut diagram.nodes[node.index(n_nodes)];
            // References to a label that is also some id, and the fields that hold them, stay out of it.
            node.field("node_indices").is_none().then_some(())?;
            let old = std::mem::replace(&mut node.label, label.clone());
            Some(Edit::RenameNode { node: old, label })
        }
        Wish::Disconnect(connection) => {
            let at = connection.index(diagram.connections.len().max(1));
            let (from, to) = diagram.connections.get(at).map(|it| (it.from, it.to))?;
            let label = |it: usize| diagram.nodes[it].label.clone();
            let edit = Edit::RemoveConnection { from: label(from), to: label(to) };
            keep_connections(diagram, |f, t| (f, t) != (from, to));
            Some(edit)
        }
        Wish::Person(person, value) => {
            let n_persons = diagram.persons.len();
            let at = person.index(n_persons.max(1));
            let label = diagram.persons.get(at)?.label.clone();
            let is_first = diagram.persons.iter().position(|it| it.label == label || it.id == label) == Some(at);
            is_first.then_some(())?;
            diagram.persons[at].model = Some(value.clone());
            Some(Edit::SetPersonField { person: label, path: vec!["model".to_owned()], value: value.into() })
        }
    }
}

/// Written in a place of its own, which the tests of the writers cover, or not to be named in an edit.
fn is_awkward(key: &str) -> bool {
    ["props", "metadata", ""].contains(&key)
}

fn set(node: &mut DiagramNode, name: &str, value: Value) {
    match node.fields.iter_mut().find(|it| it.key == name) {
        Some(field) => field.value = tree(value),
        None => node.fields.push(Field { key: name.to_owned(), key_span: Span::default(), value: tree(value) }),
    }
}

/// Drops connections; those without an id of their own are counted anew.
fn keep_connections(diagram: &mut Diagram, keep: impl Fn(usize, usize) -> bool) {
    diagram.connections.retain(|it| keep(it.from, it.to));
    for (at, connection) in diagram.connections.iter_mut().enumerate() {
        if connection.id == format!("arrow_{}", connection.index) {
            connection.id = format!("arrow_{at}");
        }
        connection.index = at;
    }
    diagram.connection_count = diagram.connections.len();
}

/// What a diagram says, with the fields of a node in no order: an edit adds them last.
fn said(diagram: &Diagram) -> Value {
    meaning(diagram, &known_fields)
}

/// Puts a comment on its own line before some lines, and one behind others, where a comment can stand.
fn commented(text: &str) -> String {
    let mut out = String::from("# first\n");
    let mut in_block: Option<usize> = None;
    for (nth, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        if in_block.is_some_and(|it| line.trim().is_empty() || indent > it) {
            out.push_str(&format!("{line}\n"));
            continue;
        }
        in_block = None;
        if nth % 3 == 0 && nth > 0 {
            out.push_str(&format!("{}# line {nth}\n", " ".repeat(indent)));
        }
        let opens = [" |", " |-", " |+"].iter().any(|it| line.ends_with(it));
        if opens {
            // The text of a block is deeper than its key, which may stand behind dashes, or than its dash.
            let rest = line.trim_start().trim_start_matches("- ");
            let column = line.len() - rest.len();
            in_block = Some(if rest.starts_with('|') { column - 2 } else { column });
        }
        let is_key_of_two_lines = line.trim_start().starts_with("? ") || line.trim() == ":";
        let comment =
            if nth % 4 == 1 && !opens && !is_key_of_two_lines { format!(" # behind {nth}") } else { String::new() };
        out.push_str(&format!("{line}{comment}\n"));
    }
    out
}

#[test]
fn random_edits_say_what_was_meant_and_keep_the_comments() {
    let mut runner = TestRunner::new(Config {
        cases: DIAGRAMS,
        failure_persistence: None,
        max_shrink_iters: 300,
        ..Config::default()
    });
    let outcome = runner.run(&(diagrams(), vec(wish(), 1..4)), |(diagram, wishes)| {
        let original = commented(&write(&diagram, Format::Light, &known_fields));
        let before = parse(&original, None).diagram.expect("it reads");
        prop_assert_eq!(said(&before), said(&diagram), "comments change nothing\n{}", original);
        let mut model = before;
        let mut edited = original.clone();
        for wish in wishes {
            let Some(it) = granted(wish, &mut model) else { continue };
            let was = edited.clone();
            edited = match edit(&edited, std::slice::from_ref(&it)) {
                Ok(edited) => edited,
                Err(refused) => return Err(TestCaseError::fail(format!("{it:?} {refused:?}\n{was}"))),
            };
            let after = parse(&edited, None).diagram.expect("it reads");
            prop_assert_eq!(said(&after), said(&model), "{:?}\n{}\n---\n{}", it, was, edited);
            check_lines(&it, &was, &edited)?;
        }
        Ok(())
    });
    outcome.unwrap();
}

/// An edit touches one stretch of lines, or as many as nodes and connections that follow it; comments on
/// lines of their own stay, but within what is removed.
fn check_lines(edit: &Edit, was: &str, is: &str) -> Result<(), TestCaseError> {
    let is_removal = matches!(edit, Edit::RemoveField { .. } | Edit::RemoveNode { .. } | Edit::RemoveConnection { .. });
    let replaces = matches!(edit, Edit::SetField { .. });
    let comments =
        |text: &str| text.lines().filter(|it| it.trim_start().starts_with("# ")).map(str::to_owned).collect::<Vec<_>>();
    let (before, after) = (comments(was), comments(is));
    if !is_removal && !replaces {
        prop_assert_eq!(&before, &after, "{:?}", edit);
    }
    // What is left of the lines stands in its old order: the new text without its new lines is the old one
    // without its removed lines.
    let diff = similar::TextDiff::from_lines(was, is);
    let stretches = diff.ops().iter().filter(|it| it.tag() != similar::DiffTag::Equal).count();
    if matches!(
        edit,
        Edit::SetField { .. } | Edit::RemoveField { .. } | Edit::AddNode { .. } | Edit::SetPersonField { .. }
    ) {
        prop_assert!(stretches <= 2, "{:?} changes {} stretches", edit, stretches);
    }
    Ok(())
}
