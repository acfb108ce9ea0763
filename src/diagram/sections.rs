//! The top level of a diagram: which keys there are, and everything that is the same in all formats
//! but persons (diagrams.md 1.1). Must not read nodes or connections.

use serde_json::{Map, Value};

use super::diagnostic::Diagnostic;
use super::draft::{Draft, key_span};
use super::kinds::Format;
use super::model::Diagram;
use super::tree::{Span, Spanned, Tree, TreeKind};
use super::{persons, settings};
use crate::limits::{DIAGRAM_CONNECTIONS_MAX, DIAGRAM_NODES_MAX};
use crate::nearest::meant;

/// Keys that every format accepts.
const COMMON: [&str; 15] = [
    "version",
    "format",
    "nodes",
    "persons",
    "settings",
    "inputs",
    "tool",
    "name",
    "description",
    "author",
    "tags",
    "metadata",
    "handles",
    "api_keys",
    "$schema",
];

/// Top-level keys that become metadata.
const METADATA: [&str; 5] = ["name", "description", "author", "tags", "$schema"];

/// The keys of other formats and tools, and what each means here.
const FOREIGN: [(&str, Meaning); 6] = [
    ("connections", Meaning::Connections),
    ("flow", Meaning::Connections),
    ("arrows", Meaning::Connections),
    ("edges", Meaning::Connections),
    ("steps", Meaning::Nodes),
    ("agents", Meaning::Persons),
];

#[derive(Clone, Copy)]
enum Meaning {
    Connections,
    Nodes,
    Persons,
}

impl Meaning {
    fn key(self, format: Format) -> &'static str {
        match self {
            Self::Connections => connections_key(format),
            Self::Nodes => "nodes",
            Self::Persons => "persons",
        }
    }
}

/// What a format calls its connections.
pub(super) fn connections_key(format: Format) -> &'static str {
    match format {
        Format::Light => "connections",
        Format::Readable => "flow",
        Format::Native => "arrows",
    }
}

/// Reads everything but nodes and connections.
pub(super) fn read(tree: &Tree, draft: &mut Draft<'_>) -> Diagram {
    check_keys(tree, draft);
    let metadata = tree.get("metadata").filter(|it| !it.is_null());
    if let Some(metadata) = metadata.filter(|it| !it.is_map()) {
        let message = format!("`metadata` is {}, not a mapping", metadata.kind_name());
        draft.wrong_shape("metadata", metadata.span, message, "write `metadata: {name: …}`");
    }
    // Native keeps these three under `metadata`, unless they stand at the top.
    let nested = metadata.filter(|_| draft.format == Format::Native);
    let section = |key: &str| tree.get(key).or_else(|| nested.and_then(|it| it.get(key))).filter(|it| !it.is_null());
    Diagram {
        format: draft.format,
        nodes: Vec::new(),
        connections: Vec::new(),
        connection_count: 0,
        persons: persons::read(tree.get("persons"), draft),
        settings: section("settings").map(|it| settings::read(it, draft)).unwrap_or_default(),
        inputs: section("inputs").map(|it| settings::inputs(it, draft)).unwrap_or_default(),
        tool: section("tool").and_then(|it| settings::tool(it, draft)),
        metadata: merged_metadata(tree, metadata, draft.format),
    }
}

/// Returns the `nodes` section, unless there are none (E201) or too many (E104).
pub(super) fn nodes<'t>(tree: &'t Tree, draft: &mut Draft<'_>) -> Option<&'t Tree> {
    let section = tree.get("nodes").filter(|it| !it.is_null());
    let n_nodes = section.map_or(0, |it| match it.kind {
        TreeKind::List(_) | TreeKind::Map(_) => it.items().len() + it.entries().len(),
        _ => 1,
    });
    let has_steps = tree.get("steps").is_some();
    if n_nodes == 0 && !has_steps {
        let diagnostic = Diagnostic::new("E201", key_span(tree, "nodes"), "the diagram has no nodes").at("nodes");
        draft.report(diagnostic.hint("add `nodes:` with at least a start and an endpoint"));
    }
    if n_nodes > DIAGRAM_NODES_MAX {
        let message = format!("the diagram has {n_nodes} nodes, more than {DIAGRAM_NODES_MAX}");
        let diagnostic = Diagnostic::new("E104", key_span(tree, "nodes"), message).at("nodes");
        draft.report(diagnostic.hint("move parts into sub-diagrams"));
        return None;
    }
    section
}

/// Reports more connections than a diagram may have (E104) and says whether that is so.
pub(super) fn too_many_connections(tree: &Tree, n_connections: usize, draft: &mut Draft<'_>) -> bool {
    if n_connections <= DIAGRAM_CONNECTIONS_MAX {
        return false;
    }
    let key = connections_key(draft.format);
    let message = format!("the diagram has {n_connections} connections, more than {DIAGRAM_CONNECTIONS_MAX}");
    let diagnostic = Diagnostic::new("E104", key_span(tree, key), message).at(key);
    draft.report(diagnostic.hint("move parts into sub-diagrams"));
    true
}

/// Returns the items of the list of connections; anything but a list is E106.
pub(super) fn items<'t>(tree: &'t Tree, key: &str, example: &str, draft: &mut Draft<'_>) -> &'t [Tree] {
    let Some(section) = tree.get(key).filter(|it| !it.is_null()) else { return &[] };
    let is_empty_map = section.is_map() && section.entries().is_empty();
    if !matches!(section.kind, TreeKind::List(_)) && !is_empty_map {
        let message = format!("`{key}` is {}, not a list", section.kind_name());
        draft.wrong_shape(key, key_span(tree, key), message, format!("write a list: `{example}`"));
    }
    if too_many_connections(tree, section.items().len(), draft) { &[] } else { section.items() }
}

fn check_keys(tree: &Tree, draft: &mut Draft<'_>) {
    let own = connections_key(draft.format);
    for (key, value) in tree.entries() {
        let name = key.value.as_str();
        if name == own || COMMON.contains(&name) {
            if name == "api_keys" && !value.is_null() {
                let diagnostic = Diagnostic::new("W506", key.span, "`api_keys` has no effect").at(name);
                draft.report(diagnostic.hint("remove it: keys are read from the environment and from secrets"));
            }
            continue;
        }
        match FOREIGN.iter().find(|it| it.0 == name) {
            Some((_, meaning)) => foreign_key(tree, key, meaning.key(draft.format), draft),
            None => unknown_key(tree, key, own, draft),
        }
    }
}

fn foreign_key(tree: &Tree, key: &Spanned<String>, meant: &str, draft: &mut Draft<'_>) {
    let format = draft.format.name();
    let message = format!("`{}` is not a key of the {format} format", key.value);
    let mut diagnostic = Diagnostic::new("E107", key.span, message).at(&key.value).hint(format!("write `{meant}:`"));
    let is_list_of_pairs = || tree.get(&key.value).is_some_and(|it| it.items().iter().all(is_pair));
    let shares_its_form = meant == "connections" && (key.value == "edges" || is_list_of_pairs())
        || matches!(key.value.as_str(), "steps" | "agents");
    if shares_its_form && tree.get(meant).is_none() {
        diagnostic = draft.repair(diagnostic, key.span, meant);
    }
    if is_light_as_json(tree, key, draft) {
        diagnostic = untagged_light(diagnostic, draft);
    }
    draft.report(diagnostic);
}

/// Whether an item of a list of connections names its two ends as light does, or nearly.
fn is_pair(item: &Tree) -> bool {
    ["from", "source"].iter().any(|it| item.get(it).is_some())
        && ["to", "target"].iter().any(|it| item.get(it).is_some())
}

/// A text in JSON is native by its first character; this one has the sections and nodes of light.
fn is_light_as_json(tree: &Tree, key: &Spanned<String>, draft: &Draft<'_>) -> bool {
    let labels = || tree.get("nodes").map(Tree::items).unwrap_or_default().iter().all(|it| it.get("label").is_some());
    let is_untagged = tree.get("version").is_none() && tree.get("format").is_none();
    draft.format == Format::Native && key.value == "connections" && is_untagged && labels()
}

fn untagged_light(diagnostic: Diagnostic, draft: &Draft<'_>) -> Diagnostic {
    let diagnostic = diagnostic.hint("begin with `\"version\": \"light\"`: this is the light format written as JSON");
    match draft.text.find('{') {
        Some(at) => {
            let after = Span { offset: at + 1, len: 0, ..Span::default() };
            diagnostic.patch(after, "\"version\": \"light\", ")
        }
        None => diagnostic,
    }
}

fn unknown_key(tree: &Tree, key: &Spanned<String>, own: &str, draft: &mut Draft<'_>) {
    let diagnostic = Diagnostic::new("W101", key.span, format!("unknown top-level key `{}`", key.value)).at(&key.value);
    // `title` is what other tools call the name of a diagram, and is misspelt too.
    let near =
        meant(&key.value, COMMON.into_iter().chain([own, "title"])).map(|it| if it == "title" { "name" } else { it });
    draft.report(match near {
        Some(near) if tree.get(near).is_some() => {
            diagnostic.hint(format!("did you mean `{near}`? it is given as well; remove one"))
        }
        Some(near) => draft.repair(diagnostic.hint(format!("did you mean `{near}`?")), key.span, near),
        None => diagnostic.hint("it has no effect; notes of your own belong under `metadata`"),
    });
}

fn merged_metadata(tree: &Tree, metadata: Option<&Tree>, format: Format) -> Map<String, Value> {
    let mut merged = Map::new();
    for (key, value) in metadata.map(Tree::entries).unwrap_or_default() {
        let is_section = format == Format::Native
            && ["settings", "inputs", "tool"].contains(&key.value.as_str())
            && tree.get(&key.value).is_none();
        if !is_section && !value.is_null() {
            merged.insert(key.value.clone(), value.to_json());
        }
    }
    for key in METADATA {
        if let Some(value) = tree.get(key).filter(|it| !it.is_null()) {
            merged.insert(key.to_owned(), value.to_json());
        }
    }
    // A `version` that names no format is the version of the diagram.
    let version = tree.get("version").filter(|it| !it.is_null());
    if let Some(version) = version.filter(|it| it.as_text().is_none_or(|text| Format::parse(text).is_none())) {
        merged.insert("version".to_owned(), version.to_json());
    }
    merged
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::diagram::parse;
    use crate::diagram::testing::{light_problems, repaired};

    const NODES: &str = "nodes: [{label: s, type: start}]\n";

    #[test]
    fn top_level_keys_are_known_foreign_or_unknown() {
        for (line, expected) in [
            ("name: x\ntags: [a]\n$schema: u\nhandles: []\n__x: 1", vec![]),
            ("titel: x", vec!["W101 titel 3:1"]),
            ("persns: {}", vec!["W101 persns 3:1"]),
            ("edges: []", vec!["E107 edges 3:1"]),
            ("arrows: []", vec!["E107 arrows 3:1"]),
            ("flow: []", vec!["E107 flow 3:1"]),
            ("agents: {}", vec!["E107 agents 3:1"]),
            ("api_keys: {k: v}", vec!["W506 api_keys 3:1"]),
            ("metadata: x", vec!["E106 metadata 3:11"]),
        ] {
            assert_eq!(light_problems(&format!("{NODES}{line}\n")), expected, "{line}");
        }
        assert_eq!(light_problems("steps: [{label: s}]\n"), ["E107 steps 2:1"]);
    }

    #[test]
    fn a_key_that_only_has_another_name_has_a_repair() {
        for (wrong, right) in [("edges: []", "connections: []"), ("agents: {}", "persons: {}"), ("titel: x", "name: x")]
        {
            let text = |line: &str| format!("version: light\n{NODES}{line}\n");
            assert_eq!(repaired(&text(wrong)), text(right));
        }
    }

    #[test]
    fn metadata_comes_from_its_section_and_from_the_top() {
        let text = format!("format: light\nversion: 1.2.0\nname: top\nmetadata: {{name: below, team: x}}\n{NODES}");
        let metadata = parse(&text, None).diagram.unwrap().metadata;
        assert_eq!(Value::Object(metadata), json!({"name": "top", "team": "x", "version": "1.2.0"}));
    }

    #[test]
    fn more_nodes_or_connections_than_allowed_are_refused() {
        let nodes = |n: usize| (0..n).map(|it| format!("- {{label: n{it}, type: code_job}}\n")).collect::<String>();
        let text = |n_nodes: usize, n_connections: usize, connection: &str| {
            format!("nodes:\n{}connections:\n{}", nodes(n_nodes), connection.repeat(n_connections))
        };
        assert_eq!(light_problems(&text(1_000, 0, "")), Vec::<String>::new());
        assert_eq!(light_problems(&text(1_001, 0, "")), ["E104 nodes 2:1"]);
        // 10,000 values allow no 5,000 mappings of two ends each.
        assert_eq!(light_problems(&text(1, 5_000, "- x\n")).len(), 5_000);
        assert_eq!(light_problems(&text(1, 5_001, "- x\n")), ["E104 connections 4:1"]);
        assert!(parse(&format!("version: light\n{}", text(1_001, 0, "")), None).diagram.is_none());
    }
}
