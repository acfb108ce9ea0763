//! Compares two diagrams: what they say, node by node, and their texts line by line. Pure.

use std::time::Duration;

use serde_json::{Map, Value};
use similar::TextDiff;

use super::excerpt::excerpts;
use super::{Changed, Changes, Definition, FieldChange};
use crate::diagram::parse;
use crate::diagram::write::meaning;
use crate::nodes::known_fields;

/// Most entries of one list.
const ENTRIES_MAX: usize = 50;
/// Most lines and characters of the unified diff.
const LINES_MAX: usize = 120;
const UNIFIED_CHARS_MAX: usize = 6_000;
/// How long the comparison line by line may look for the shortest one.
const SEARCH: Duration = Duration::from_millis(500);

/// Compares the diagrams of two sides, each with its name. Nothing is said of a side without a text.
pub(super) fn compare((name_a, a): (&str, Option<&str>), (name_b, b): (&str, Option<&str>)) -> Definition {
    let (Some(a), Some(b)) = (a, b) else {
        return Definition { equal: a.is_none() && b.is_none(), ..Definition::default() };
    };
    if a == b {
        return Definition { equal: true, ..Definition::default() };
    }
    let mut definition = match (said(a), said(b)) {
        (Some(a), Some(b)) => by_meaning(&a, &b),
        _ => Definition::default(),
    };
    (definition.unified, definition.lines_left_out) = unified((name_a, a), (name_b, b));
    definition
}

fn said(text: &str) -> Option<Value> {
    parse(text, None).diagram.map(|it| meaning(&it, &known_fields))
}

fn by_meaning(a: &Value, b: &Value) -> Definition {
    let sections = ["settings", "inputs", "tool", "metadata"].into_iter().filter(|it| a[*it] != b[*it]);
    let sections: Vec<String> = sections.map(str::to_owned).collect();
    let (nodes, connections, persons) =
        (changes(&nodes(a), &nodes(b)), changes(&connections(a), &connections(b)), changes(&persons(a), &persons(b)));
    let equal = sections.is_empty() && [&nodes, &connections, &persons].into_iter().all(Changes::is_none);
    Definition { equal, nodes, connections, persons, sections, ..Definition::default() }
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_none(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// Something with a name and fields.
type Entry = (String, Map<String, Value>);

fn list<'v>(value: &'v Value, section: &str) -> impl Iterator<Item = &'v Value> {
    value[section].as_array().into_iter().flatten()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

fn fields(value: &Value) -> Map<String, Value> {
    value["fields"].as_object().cloned().unwrap_or_default()
}

/// Nodes by label; where they stand in a picture is of no account.
fn nodes(diagram: &Value) -> Vec<Entry> {
    let entry = |it: &Value| {
        let mut all = Map::from_iter([("type".to_owned(), it["type"].clone())]);
        all.extend(fields(it));
        (text(it, "label").to_owned(), all)
    };
    list(diagram, "nodes").map(entry).collect()
}

fn persons(diagram: &Value) -> Vec<Entry> {
    list(diagram, "persons").map(|it| (text(it, "label").to_owned(), fields(it))).collect()
}

/// Connections by their ends.
fn connections(diagram: &Value) -> Vec<Entry> {
    let labels: Vec<&str> = list(diagram, "nodes").map(|it| text(it, "label")).collect();
    let end = |it: &Value| {
        let at = it[0].as_u64().and_then(|at| labels.get(usize::try_from(at).ok()?)).copied().unwrap_or_default();
        match it[1].as_str() {
            Some("default") | None => at.to_owned(),
            Some(handle) => format!("{at}[{handle}]"),
        }
    };
    let entry = |it: &Value| {
        let kept = ["label", "content_type"].into_iter().filter(|key| !it[*key].is_null());
        let all = kept.map(|key| (key.to_owned(), it[key].clone())).collect();
        (format!("{} -> {}", end(&it["from"]), end(&it["to"])), all)
    };
    list(diagram, "connections").map(entry).collect()
}

/// What B has and A has not, the other way round, and what differs. Of entries with the same name the first of
/// one side goes with the first of the other.
fn changes(a: &[Entry], b: &[Entry]) -> Changes {
    let mut changes = Changes::default();
    let mut left: Vec<&Entry> = b.iter().collect();
    for (name, fields) in a {
        let Some(at) = left.iter().position(|it| it.0 == *name) else {
            changes.removed.push(name.clone());
            continue;
        };
        let fields = field_changes(fields, &left.remove(at).1);
        if !fields.is_empty() {
            changes.changed.push(Changed { name: name.clone(), fields });
        }
    }
    changes.added.extend(left.into_iter().map(|it| it.0.clone()));
    let Changes { added, removed, changed, left_out } = &mut changes;
    let lengths = [added.len(), removed.len(), changed.len()];
    *left_out = lengths.into_iter().map(|it| it.saturating_sub(ENTRIES_MAX)).sum();
    added.truncate(ENTRIES_MAX);
    removed.truncate(ENTRIES_MAX);
    changed.truncate(ENTRIES_MAX);
    changes
}

fn field_changes(a: &Map<String, Value>, b: &Map<String, Value>) -> Vec<FieldChange> {
    let only_b = b.keys().filter(|it| !a.contains_key(*it));
    let differ = a.keys().chain(only_b).filter(|it| a.get(*it) != b.get(*it));
    let change = |field: &String| {
        let shown = |it: &Value| it.as_str().map_or_else(|| it.to_string(), str::to_owned);
        let (in_a, in_b) = (a.get(field).map(shown), b.get(field).map(shown));
        let (cut_a, cut_b) = excerpts(in_a.as_deref().unwrap_or_default(), in_b.as_deref().unwrap_or_default());
        FieldChange { field: field.clone(), a: in_a.map(|_| cut_a), b: in_b.map(|_| cut_b) }
    };
    differ.take(ENTRIES_MAX).map(change).collect()
}

/// The texts as a unified diff, and how many lines of it are left out.
fn unified((name_a, a): (&str, &str), (name_b, b): (&str, &str)) -> (String, usize) {
    let diff = TextDiff::configure().timeout(SEARCH).diff_lines(a, b);
    let whole = diff.unified_diff().context_radius(2).header(name_a, name_b).to_string();
    let (mut shown, mut n_shown) = (String::new(), 0);
    let n_lines = whole.lines().count();
    for line in whole.lines() {
        if n_shown == LINES_MAX || shown.len() + line.len() > UNIFIED_CHARS_MAX {
            break;
        }
        shown.push_str(line);
        shown.push('\n');
        n_shown += 1;
    }
    (shown, n_lines - n_shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# a comment
version: light
persons:
  Ann: {service: scripted, replies: [a]}
nodes:
- {label: s, type: start}
- {label: ask, type: person_job, person: Ann, default_prompt: hi}
- {label: e, type: endpoint}
connections:
- {from: s, to: ask}
- {from: ask, to: e}
";

    /// What differs, in short.
    fn said(definition: &Definition) -> String {
        let mut said = Vec::new();
        let kinds =
            [("", &definition.nodes), ("connection ", &definition.connections), ("person ", &definition.persons)];
        for (kind, it) in kinds {
            said.extend(it.added.iter().map(|it| format!("+{kind}{it}")));
            said.extend(it.removed.iter().map(|it| format!("-{kind}{it}")));
            for it in &it.changed {
                let fields: Vec<&str> = it.fields.iter().map(|it| it.field.as_str()).collect();
                said.push(format!("~{kind}{}: {}", it.name, fields.join(" ")));
            }
        }
        said.extend(definition.sections.iter().map(|it| format!("~{it}")));
        said.join(" | ")
    }

    #[test]
    fn what_two_diagrams_say_is_compared_by_name() {
        for (what, from, to, expected) in [
            ("nothing", "", "", ""),
            ("a comment", "# a comment", "# another", ""),
            ("a prompt", "default_prompt: hi", "default_prompt: ho", "~ask: default_prompt"),
            ("a field", "default_prompt: hi", "default_prompt: hi, max_iteration: 3", "~ask: max_iteration"),
            ("a type", "{label: e, type: endpoint}", "{label: e, type: code_job}", "~e: type"),
            ("a connection", "- {from: ask, to: e}\n", "", "-connection ask -> e"),
            ("its label", "{from: s, to: ask}", "{from: s, to: ask, label: x}", "~connection s -> ask: label"),
            ("a person", "replies: [a]", "replies: [b]", "~person Ann: replies"),
            (
                "a new node",
                "connections:\n- {from: s, to: ask}",
                "- {label: n, type: start}\nconnections:\n- {from: s, to: ask}\n- {from: n, to: ask}",
                "+n | +connection n -> ask",
            ),
            ("a setting", "version: light", "version: light\nsettings: {timeout: 3}", "~settings"),
        ] {
            let other = TEXT.replace(from, to);
            let found = compare(("a", Some(TEXT)), ("b", Some(&other)));
            assert_eq!((said(&found).as_str(), found.equal), (expected, expected.is_empty()), "{what}");
            assert_eq!(found.unified.is_empty(), other == TEXT, "{what}");
        }
    }

    #[test]
    fn the_texts_are_compared_line_by_line_and_cut() {
        let other = TEXT.replace("hi}", "ho}");
        let found = compare(("review@1", Some(TEXT)), ("review@2", Some(&other)));
        assert!(found.unified.starts_with("--- review@1\n+++ review@2\n@@ -5,5 +5,5 @@\n"), "{}", found.unified);
        let many = format!("{TEXT}{}", "# x\n".repeat(1_000));
        let found = compare(("a", Some(TEXT)), ("b", Some(&many)));
        assert_eq!((found.equal, found.unified.lines().count()), (true, LINES_MAX));
        assert!(found.lines_left_out > 800, "{}", found.lines_left_out);
    }

    #[test]
    fn what_cannot_be_read_is_compared_as_text() {
        let found = compare(("a", Some(": : :")), ("b", Some("nodes: [")));
        assert!(!found.equal && found.unified.contains("-: : :"), "{found:?}");
        assert!(compare(("a", None), ("b", None)).equal);
        assert!(!compare(("a", Some(TEXT)), ("b", None)).equal);
    }
}
