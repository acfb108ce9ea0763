//! The JSON Schema of the light format, made from what the node types say of their fields. Editors complete
//! and check with it; what only compiling can know is not in it. Draft 7, because that is what editors have.

use serde_json::{Map, Value, json};

use super::{ALL, COMMON, FieldSpec, NodeType, Shape};
use crate::diagram::{ContentType, NodeKind, Service, other_names, other_types, other_values};

/// What a node has besides the fields of its type.
const OWN_KEYS: [&str; 5] = ["label", "type", "id", "position", "props"];

/// Returns the schema.
pub fn light_schema() -> Value {
    let definitions: Map<String, Value> =
        ALL.iter().map(|it| (it.kind.name().to_owned(), node_type(it))).chain([("node".to_owned(), node())]).collect();
    let any_map = json!({"type": ["object", "null"]});
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A dipeo diagram in the light format",
        "type": "object",
        "required": ["nodes"],
        "properties": {
            "$schema": {"type": "string"},
            "version": {"description": "`light`", "enum": ["light"]},
            "format": {"description": "Names the format where `version` is the diagram's own.", "enum": ["light"]},
            "name": {"description": "What the diagram is called."},
            "description": {"description": "What it is for."},
            "author": {},
            "tags": {},
            "metadata": any_map,
            "settings": settings(),
            "inputs": inputs(),
            "tool": tool(),
            "persons": persons(),
            "nodes": {
                "description": "What the diagram consists of.",
                "type": "array", "minItems": 1, "items": {"$ref": "#/definitions/node"}
            },
            "connections": {
                "description": "What leads from where to where.",
                "type": ["array", "null"], "items": connection()
            },
            "handles": {},
            "api_keys": {},
        },
        "patternProperties": {"^__": {}},
        "additionalProperties": false,
        "definitions": definitions,
    })
}

fn node() -> Value {
    let kinds: Vec<&str> = ALL.iter().map(|it| it.kind.name()).collect();
    let old_kinds: Vec<&str> = ALL.iter().flat_map(|it| other_types(it.kind)).collect();
    let by_type = |it: &&NodeType| {
        let name = it.kind.name();
        let names: Vec<&str> = std::iter::once(name).chain(other_types(it.kind)).collect();
        json!({
            "if": {"properties": {"type": {"type": "string", "pattern": spellings(&names)}}, "required": ["type"]},
            "then": {"$ref": format!("#/definitions/{name}")},
        })
    };
    json!({
        "type": "object",
        "required": ["label"],
        "properties": {
            "label": {
                "description": "Its name in connections: unique, without `[` and `]`.",
                "type": "string", "minLength": 1, "pattern": r"^[^\[\]\r\n]+$"
            },
            "type": described(choice(&kinds, &old_kinds), "What it does."),
            "id": {"type": ["string", "number", "null"]},
            "position": {
                "description": "Where an editor draws it.",
                "type": ["object", "null"],
                "required": ["x", "y"],
                "properties": {"x": {"type": "number"}, "y": {"type": "number"}}
            },
            "props": {"description": "More fields; those beside it win.", "type": ["object", "null"]}
        },
        "allOf": ALL.iter().map(by_type).collect::<Vec<_>>(),
    })
}

/// The fields of one type; a required one may also stand under its other names or below `props`.
fn node_type(node_type: &NodeType) -> Value {
    let mut properties: Map<String, Value> = OWN_KEYS.iter().map(|it| ((*it).to_owned(), json!({}))).collect();
    let mut required = Vec::new();
    for spec in node_type.fields.iter().chain(COMMON) {
        let others: Vec<&str> = other_names(node_type.kind, spec.key).collect();
        for name in std::iter::once(spec.key).chain(others.iter().copied()) {
            properties.insert(name.to_owned(), field(node_type.kind, spec));
        }
        if spec.is_required {
            let names = others.into_iter().chain([spec.key, "props"]);
            required.push(json!({"anyOf": names.map(|it| json!({"required": [it]})).collect::<Vec<_>>()}));
        }
    }
    let mut schema = json!({
        "description": node_type.summary,
        "properties": properties,
        // Names with dots are nested mappings.
        "patternProperties": {"^__": {}, r"\.": {}},
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["allOf"] = Value::Array(required);
    }
    schema
}

/// One field; null is the same as leaving it out.
fn field(kind: NodeKind, spec: &FieldSpec) -> Value {
    let mut schema = match spec.shape {
        Shape::Text | Shape::Template | Shape::Path | Shape::Person => json!({"type": ["string", "null"]}),
        Shape::Whole(least) => json!({"type": ["integer", "null"], "minimum": least}),
        Shape::Above(least) => json!({"type": ["number", "null"], "exclusiveMinimum": least}),
        Shape::Within(least, most) => json!({"type": ["number", "null"], "minimum": least, "maximum": most}),
        Shape::Bool => json!({"type": ["boolean", "null"]}),
        Shape::Choice(words) => choice(words, &other_values(kind, spec.key).collect::<Vec<_>>()),
        Shape::Texts => json!({"type": ["string", "array", "null"], "items": {"type": "string"}}),
        Shape::Map => json!({"type": ["object", "null"]}),
        Shape::List => json!({"type": ["array", "null"]}),
        Shape::Any => json!({}),
    };
    schema["description"] = spec.about.into();
    if let Some(preset) = spec.preset.value() {
        schema["default"] = preset;
    }
    schema
}

/// One of `words`, which editors offer, or of `others`; written in any case, or nothing.
fn choice(words: &[&str], others: &[&str]) -> Value {
    let offered: Vec<Value> = words.iter().map(|it| json!(it)).chain([Value::Null]).collect();
    let all: Vec<&str> = words.iter().chain(others).copied().collect();
    json!({"anyOf": [{"enum": offered}, {"type": "string", "pattern": spellings(&all)}]})
}

/// The words as they are matched: without regard to case, with `_`, `-` and blanks alike.
fn spellings(words: &[&str]) -> String {
    let spelled = |word: &&str| {
        let one = |it: char| match it {
            '_' | '-' | ' ' => "[-_ ]".to_owned(),
            it if it.is_ascii_alphabetic() => format!("[{}{}]", it.to_ascii_lowercase(), it.to_ascii_uppercase()),
            '.' => r"\.".to_owned(),
            other => other.to_string(),
        };
        word.chars().map(one).collect::<String>()
    };
    format!("^({})$", words.iter().map(spelled).collect::<Vec<_>>().join("|"))
}

fn described(mut schema: Value, about: &str) -> Value {
    schema["description"] = about.into();
    schema
}

fn connection() -> Value {
    let scalar = json!({"type": ["string", "number", "boolean", "null"]});
    let contents = choice(&ContentType::ALL.map(ContentType::name), &ContentType::ALIASES);
    json!({
        "type": "object",
        "required": ["from", "to"],
        "properties": {
            "from": {"description": "`Label`, or `Label[handle]`; a condition needs `[condtrue]` or `[condfalse]`.", "type": "string"},
            "to": {"description": "`Label`, or `Label[first]` for a first prompt.", "type": "string"},
            "label": {"description": "The name of the input it delivers.", "type": scalar["type"]},
            "content_type": described(contents.clone(), "How the value is converted; not at all, if absent."),
            "type": described(contents, "The same as `content_type`."),
            "id": scalar,
            "data": {},
            "execution_priority": {},
        },
        "patternProperties": {"^__": {}},
        "additionalProperties": false,
    })
}

fn persons() -> Value {
    let services = choice(&Service::ALL.map(Service::name), &Service::ALIASES);
    let text = json!({"type": ["string", "null"]});
    let person = json!({
        "type": ["object", "null"],
        "properties": {
            "id": {}, "label": {}, "name": {}, "type": {},
            "service": described(services, "Who answers for the person; openai, if absent."),
            "model": text,
            "api_key_id": text,
            "base_url": text,
            "system_prompt": {"description": "What the person is told first.", "type": text["type"]},
            "prompt_file": {"description": "A file that holds the system prompt.", "type": text["type"]},
            "temperature": {"type": ["number", "null"], "minimum": 0},
            "max_tokens": {"type": ["integer", "null"], "minimum": 1},
            "tools": {},
            "llm_config": {"type": ["object", "null"]},
            "budget": budget("What this person's calls may spend in one run."),
            "price": {
                "description": "What a scripted person pretends to cost, in US dollars per million tokens.",
                "type": ["object", "null"],
                "properties": {"input": {"type": "number", "minimum": 0}, "output": {"type": "number", "minimum": 0}},
                "additionalProperties": false
            },
            "replies": {"description": "What a scripted person answers.", "type": ["array", "null"]},
            "selections": {"type": ["array", "null"]},
            "when_exhausted": {"enum": ["fail", "repeat_last", "cycle", null], "default": "fail"},
        },
        "patternProperties": {"^__": {}},
        "additionalProperties": false,
    });
    json!({
        "description": "Who takes part: name and configuration.",
        "type": ["object", "array", "null"],
        "additionalProperties": person,
        "items": {"type": "object"},
    })
}

fn settings() -> Value {
    let count = json!({"type": ["integer", "null"], "minimum": 1});
    json!({
        "type": ["object", "null"],
        "properties": {
            "strict_templates": {"type": ["boolean", "null"], "default": false},
            "timeout": {"description": "Seconds of running time.", "type": ["number", "null"], "exclusiveMinimum": 0},
            "max_node_executions": count,
            "max_node_iterations": count,
            "max_parallel": count,
            "budget": budget("What all model calls of a run may spend."),
        },
        "patternProperties": {"^__": {}},
        "additionalProperties": false,
    })
}

fn budget(about: &str) -> Value {
    json!({
        "description": about,
        "type": ["object", "null"],
        "properties": {
            "usd": {"type": ["number", "null"], "exclusiveMinimum": 0},
            "tokens": {"type": ["integer", "null"], "minimum": 1},
            "calls": {"type": ["integer", "null"], "minimum": 1},
            "seconds": {"type": ["number", "null"], "exclusiveMinimum": 0},
            "on_limit": {"enum": ["pause", "fail", null], "default": "pause"},
            "human_only": {"description": "No model may raise it.", "type": ["boolean", "null"], "default": false},
        },
        "additionalProperties": false,
    })
}

fn inputs() -> Value {
    json!({
        "description": "What a run is given.",
        "type": ["object", "null"],
        "additionalProperties": {
            "type": ["object", "null"],
            "properties": {
                "type": {"enum": ["string", "number", "integer", "boolean", "object", "array", null]},
                "description": {"type": ["string", "null"]},
                "default": {},
                "required": {"type": ["boolean", "null"]},
                "enum": {"type": ["array", "null"]},
                "secret": {"type": ["boolean", "null"]},
            },
            "patternProperties": {"^__": {}},
            "additionalProperties": false,
        },
    })
}

fn tool() -> Value {
    json!({
        "description": "Offer the diagram as its own typed tool.",
        "type": ["boolean", "object", "null"],
        "properties": {
            "name": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
            "description": {"type": "string"}
        },
        "additionalProperties": false,
    })
}
