//! Random diagrams, as reading a text could give them: odd names, texts that look like other things, values
//! of every shape.

use dipeo::diagram::budget::{Budget, OnLimit, Price};
use dipeo::diagram::model::Script;
use dipeo::diagram::model::WhenExhausted;
use dipeo::diagram::{
    Connection, ContentType, Diagram, DiagramNode, Field, Format, Handle, InputDeclaration, NodeKind, Person, Service,
    Settings, Span, Spanned, Tree, TreeKind,
};
use dipeo::nodes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// Texts that a careless writer gets wrong.
const NASTY: [&str; 62] = [
    "yes",
    "No",
    "on",
    "y",
    "true",
    "False",
    "null",
    "~",
    "",
    "5",
    "-7",
    "007",
    "0x1F",
    "0o17",
    "0b1",
    "1_000",
    "1.5",
    ".5",
    "1e3",
    "1:30",
    ".nan",
    "-.inf",
    "2024-01-02",
    "2024-01-02T10:00:00Z",
    "<<",
    "=",
    "a: b",
    "a:",
    ":a",
    "a #b",
    "#a",
    "- a",
    "-",
    "?",
    "? a",
    "[a",
    "a]",
    "{a",
    "a, b",
    "&a",
    "*a",
    "!a",
    "|",
    ">",
    "'a'",
    "\"a\"",
    "it's",
    "a\\b",
    "%a",
    "@a",
    "`a`",
    "a\nb",
    "a\n\n b\n",
    "a\n\n",
    "\na",
    " a\n b",
    "a\r\nb",
    "a\tb",
    "\ta\nb",
    "---",
    "...\n",
    "üñ ☂ 𝄞",
];

pub fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => select(NASTY.to_vec()).prop_map(str::to_owned),
        2 => "[a-z{} .:#,'\"-]{0,12}",
        1 => "\\PC{0,8}",
        1 => "[ab \n\t\u{1}\u{85}\u{2028}\u{feff}]{0,8}",
    ]
}

/// A name that stands alone: trimmed, not blank, on one line.
fn name() -> impl Strategy<Value = String> {
    (text(), select(vec!["", "__", "n", "person_1", "a_first", "a_default"])).prop_map(|(text, prefix)| {
        let name: String = format!("{prefix}{text}").chars().filter(|it| !matches!(it, '\n' | '\r')).collect();
        let name = name.trim();
        if name.is_empty() { "blank".to_owned() } else { name.to_owned() }
    })
}

fn label() -> impl Strategy<Value = String> {
    name().prop_map(|it| {
        let label = it.replace(['[', ']'], "(");
        let label = label.trim().to_owned();
        if label.is_empty() { "blank".to_owned() } else { label }
    })
}

/// Any value, as reading gives it: keys that begin with `__` are never there.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        select(vec![0.0, -0.5, 1.0, 1e300, 2.5e-9, 0.1]).prop_map(Value::from),
        Just(json!(u64::MAX)),
        text().prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((key(), inner), 0..4).prop_map(|it| Value::Object(Map::from_iter(it))),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => text(),
        2 => select(vec!["a.b", "id", "label", "props", "a"]).prop_map(str::to_owned),
        1 => Just("long".repeat(400)),
    ]
    .prop_map(|it| it.trim_start_matches('_').to_owned())
}

/// The key of a field, as reading leaves it: no name of a node's own, none that is renamed, no dots.
fn field(kind: NodeKind) -> BoxedStrategy<(String, Value)> {
    let known: Vec<&'static str> = nodes::known_fields(kind).iter().map(|it| it.key).collect();
    let presets: Vec<(String, Value)> =
        nodes::known_fields(kind).into_iter().filter_map(|it| Some((it.key.to_owned(), it.preset?))).collect();
    let odd = key().prop_map(|it| if is_own_or_old(&it) { "other".to_owned() } else { it });
    prop_oneof![
        6 => (select(known), value()).prop_map(|(key, value)| (key.to_owned(), value)),
        1 => (odd, value()),
        1 => (Just("props".to_owned()), value()),
        1 => select(presets),
    ]
    .boxed()
}

fn is_own_or_old(key: &str) -> bool {
    let old = ["memory_profile", "memory_config", "config", "retry_count"];
    ["id", "label", "type", "position"].contains(&key) || old.contains(&key) || key.contains('.')
}

fn node() -> impl Strategy<Value = DiagramNode> {
    let kind = select(NodeKind::ALL.to_vec());
    let coordinate = || select(vec![0.0, -3.0, 120.0, 0.25, 1e17, -7.5]);
    let position = option::of((coordinate(), coordinate()));
    (kind, label(), option::of(name()), position).prop_flat_map(|(kind, label, id, position)| {
        vec(field(kind), 0..6).prop_map(move |fields| {
            let mut node = DiagramNode {
                id: id.clone().unwrap_or_default(),
                label: label.clone(),
                kind: Some(kind),
                position,
                fields: Vec::new(),
                span: Span::default(),
            };
            for (key, value) in fields {
                if node.field(&key).is_none() {
                    node.fields.push(Field { key, key_span: Span::default(), value: tree(value) });
                }
            }
            node
        })
    })
}

fn person() -> impl Strategy<Value = Person> {
    let fields = (
        select(Service::ALL.to_vec()),
        option::of(filled()),
        option::of(filled()),
        option::of(select(vec![0.0, 0.7, 2.0])),
        option::of(1..9_999_u64),
        option::of(value().prop_filter("absent", |it| !it.is_null() && it != "")),
    );
    let script = (
        option::of(vec(value(), 0..3)),
        option::of(vec(value(), 0..3)),
        select(vec![WhenExhausted::Fail, WhenExhausted::RepeatLast, WhenExhausted::Cycle]),
    );
    (name(), option::of(name()), fields, script).prop_map(|(label, id, fields, script)| {
        let (service, model, system_prompt, temperature, max_tokens, tools) = fields;
        Person {
            id: id.unwrap_or_else(|| label.clone()),
            label,
            service: Some(service),
            api_key_id: model.clone(),
            base_url: None,
            prompt_file: system_prompt.clone().map(|value| Spanned { value, span: Span::default() }),
            model,
            system_prompt,
            temperature,
            max_tokens,
            tools: tools.map(tree),
            budget: max_tokens.map(|it| Budget { calls: Some(it), seconds: Some(1.5), ..Budget::default() }),
            price: (service == Service::Scripted).then_some(Price { input: 1.0, output: 0.5 }),
            script: Script { replies: script.0, selections: script.1, when_exhausted: script.2 },
            span: Span::default(),
        }
    })
}

/// A text that is not blank: blank ones are absent.
fn filled() -> impl Strategy<Value = String> {
    text().prop_map(|it| if it.trim().is_empty() { "x".to_owned() } else { it })
}

type Ends = (prop::sample::Index, prop::sample::Index, prop::sample::Index, prop::sample::Index);

#[derive(Clone, Debug)]
struct Wire {
    ends: Ends,
    id: Option<String>,
    label: Option<String>,
    content_type: Option<ContentType>,
    data: Option<Value>,
    priority: Option<Value>,
}

fn wire() -> impl Strategy<Value = Wire> {
    let ends = any::<Ends>();
    let data = option::weighted(0.2, value().prop_map(without_meaning).prop_filter("absent", |it| !is_absent(it)));
    let priority = option::weighted(0.2, value().prop_filter("absent", |it| !it.is_null()));
    let label = option::of(text().prop_map(|it| it.trim().to_owned()).prop_filter("absent", |it| !it.is_empty()));
    let content_type = option::of(select(ContentType::ALL.to_vec()));
    (ends, option::weighted(0.2, name()), label, content_type, data, priority).prop_map(
        |(ends, id, label, content_type, data, priority)| Wire { ends, id, label, content_type, data, priority },
    )
}

fn is_absent(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(Map::is_empty)
}

/// Without the keys that say again what a handle says.
fn without_meaning(mut value: Value) -> Value {
    if let Value::Object(map) = &mut value {
        map.retain(|key, _| !["branch", "is_conditional", "requires_first_execution"].contains(&key.as_str()));
    }
    value
}

fn settings() -> impl Strategy<Value = Settings> {
    (any::<bool>(), option::of(select(vec![0.5, 60.0])), option::of(1..99_u32), option::of(1..99_u32)).prop_map(
        |(strict_templates, timeout, executions, parallel)| Settings {
            strict_templates,
            timeout,
            max_node_executions: executions,
            max_parallel: parallel,
            budget: parallel.map(|it| Budget {
                usd: Some(0.5),
                tokens: Some(it.into()),
                on_limit: strict_templates.then_some(OnLimit::Fail),
                ..Budget::default()
            }),
            ..Settings::default()
        },
    )
}

fn input() -> impl Strategy<Value = InputDeclaration> {
    let default = option::of(value().prop_filter("absent", |it| !it.is_null()));
    let kinds = select(vec!["string", "number", "integer", "boolean", "object", "array"]);
    (key(), option::of(kinds), option::of(filled()), default, any::<bool>(), option::of(vec(value(), 0..3))).prop_map(
        |(name, value_type, description, default, required, choices)| InputDeclaration {
            name,
            value_type: value_type.map(str::to_owned),
            description,
            default,
            required,
            choices,
            secret: !required,
            span: Span::default(),
        },
    )
}

fn metadata() -> impl Strategy<Value = Map<String, Value>> {
    let known = vec!["name", "description", "author", "tags", "version", "created", "$schema", "settings", "tool"];
    let key = prop_oneof![2 => select(known).prop_map(str::to_owned), 1 => key()];
    vec((key, value().prop_filter("absent", |it| !it.is_null())), 0..4).prop_map(Map::from_iter)
}

/// A diagram without problems of reading.
pub fn diagrams() -> impl Strategy<Value = Diagram> {
    let tool = option::of(prop_oneof![
        Just(json!(true)),
        ("[A-Za-z0-9_-]{1,64}", filled()).prop_map(|it| json!({"name": it.0, "description": it.1}))
    ]);
    let rest = (vec(person(), 0..4), settings(), vec(input(), 0..3), tool, metadata());
    (vec(node(), 1..7), vec(wire(), 0..8), rest).prop_map(
        |(nodes, wires, (persons, settings, inputs, tool, metadata))| {
            let nodes = unique_nodes(nodes);
            let connections: Vec<Connection> = connections(&nodes, wires);
            Diagram {
                format: Format::Light,
                connection_count: connections.len(),
                nodes,
                connections,
                persons: unique_persons(persons),
                settings,
                inputs: unique(inputs, |it| it.name.clone()),
                tool: tool.map(tree),
                metadata,
            }
        },
    )
}

fn unique<T>(items: Vec<T>, key: impl Fn(&T) -> String) -> Vec<T> {
    let mut seen = std::collections::HashSet::new();
    items.into_iter().filter(|it| seen.insert(key(it))).collect()
}

/// Only ids must differ; labels may be shared.
fn unique_persons(persons: Vec<Person>) -> Vec<Person> {
    unique(persons, |it| it.id.clone())
}

fn unique_nodes(nodes: Vec<DiagramNode>) -> Vec<DiagramNode> {
    let mut nodes = unique(nodes, |it| it.label.clone());
    for (idx, node) in nodes.iter_mut().enumerate() {
        // An id that another node has by its place would be taken.
        if node.id.is_empty() || node.id.starts_with("node_") {
            node.id = format!("node_{idx}");
        }
    }
    let mut seen = std::collections::HashSet::new();
    for (idx, node) in nodes.iter_mut().enumerate() {
        if !seen.insert(node.id.clone()) {
            node.id = format!("node_{idx}");
            seen.insert(node.id.clone());
        }
    }
    nodes
}

fn connections(nodes: &[DiagramNode], wires: Vec<Wire>) -> Vec<Connection> {
    let handles = |node: usize, is_output: bool| -> &'static [Handle] {
        nodes[node].kind.map_or(&[], |it| if is_output { it.outputs() } else { it.inputs() })
    };
    let sources: Vec<usize> = (0..nodes.len()).filter(|&it| !handles(it, true).is_empty()).collect();
    let targets: Vec<usize> = (0..nodes.len()).filter(|&it| !handles(it, false).is_empty()).collect();
    if sources.is_empty() || targets.is_empty() {
        return Vec::new();
    }
    let connection = |(index, wire): (usize, Wire)| {
        let (from, to) = (*wire.ends.0.get(&sources), *wire.ends.1.get(&targets));
        Connection {
            index,
            id: wire.id.unwrap_or_else(|| format!("arrow_{index}")),
            from,
            output: *wire.ends.2.get(handles(from, true)),
            to,
            input: *wire.ends.3.get(handles(to, false)),
            label: wire.label.map(|value| Spanned { value, span: Span::default() }),
            content_type: wire.content_type,
            data: wire.data,
            execution_priority: wire.priority,
            span: Span::default(),
        }
    };
    wires.into_iter().enumerate().map(connection).collect()
}

/// JSON as a tree without places.
pub fn tree(value: Value) -> Tree {
    let spanned = |value: String| Spanned { value, span: Span::default() };
    let kind = match value {
        Value::Null => TreeKind::Null,
        Value::Bool(it) => TreeKind::Bool(it),
        Value::Number(it) => TreeKind::Number(it),
        Value::String(it) => TreeKind::Text(it),
        Value::Array(items) => TreeKind::List(items.into_iter().map(tree).collect()),
        Value::Object(map) => TreeKind::Map(map.into_iter().map(|(key, it)| (spanned(key), tree(it))).collect()),
    };
    Tree { span: Span::default(), kind }
}
