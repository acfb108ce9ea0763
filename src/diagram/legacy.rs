//! Field names and fields of older diagrams, brought to today's (diagrams.md 1.6). Must not check
//! what a field holds beyond what the translation needs.

use serde_json::Number;

use super::diagnostic::Diagnostic;
use super::kinds::{NodeKind, fold};
use super::model::Field;
use super::tree::{Spanned, Tree, TreeKind};

/// Other names of fields. Where two old names mean the same field the first one here wins.
const RENAMES: [(NodeKind, &str, &str); 16] = [
    (NodeKind::Endpoint, "file_path", "file_name"),
    (NodeKind::Endpoint, "filePath", "file_name"),
    (NodeKind::CodeJob, "code_type", "language"),
    (NodeKind::CodeJob, "filePath", "file_path"),
    (NodeKind::CodeJob, "functionName", "function_name"),
    (NodeKind::Db, "source_details", "file"),
    (NodeKind::Db, "file_path", "file"),
    (NodeKind::JsonSchemaValidator, "strict", "strict_mode"),
    (NodeKind::JsonSchemaValidator, "schema", "json_schema"),
    (NodeKind::Condition, "condition", "expression"),
    (NodeKind::SubDiagram, "passInputData", "pass_input_data"),
    (NodeKind::SubDiagram, "ignoreIfSub", "ignore_if_sub"),
    (NodeKind::TypescriptAst, "source_file", "source"),
    (NodeKind::TypescriptAst, "extract", "extract_patterns"),
    (NodeKind::PersonJob, "resolved_prompt", "default_prompt"),
    (NodeKind::PersonJob, "resolved_first_prompt", "first_only_prompt"),
];

/// Old values of fields.
const VALUES: [(NodeKind, &str, &str, &str); 2] = [
    (NodeKind::Condition, "condition_type", "nodes_executed", "check_nodes_executed"),
    (NodeKind::Hook, "hook_type", "webhook", "http"),
];

const MEMORY_PROFILES: [(&str, &str); 6] = [
    ("FULL", "ALL_MESSAGES"),
    ("FOCUSED", "CONVERSATION_PAIRS"),
    ("MINIMAL", "SYSTEM_AND_ME"),
    ("GOLDFISH", "GOLDFISH"),
    ("ONLY_ME", "SENT_TO_ME"),
    ("ONLY_I_SENT", "SENT_BY_ME"),
];

/// Returns the old values that field `key` of a node of type `kind` still takes.
pub fn other_values(kind: NodeKind, key: &str) -> impl Iterator<Item = &'static str> {
    VALUES.iter().filter(move |it| it.0 == kind && it.1 == key).map(|it| it.2)
}

/// Returns the old names of type `kind`.
pub fn other_types(kind: NodeKind) -> impl Iterator<Item = &'static str> {
    ["end", "person_batch_job", "personbatchjob"]
        .into_iter()
        .filter(move |it| old_type(it).is_some_and(|(old, _)| old == kind))
}

/// Returns the type an old name stands for, and whether its nodes are batches.
pub(super) fn old_type(name: &str) -> Option<(NodeKind, bool)> {
    match fold(name).as_str() {
        "end" => Some((NodeKind::Endpoint, false)),
        "person_batch_job" | "personbatchjob" => Some((NodeKind::PersonJob, true)),
        _ => None,
    }
}

/// Returns the other names under which field `key` of a node of type `kind` is read.
pub fn other_names(kind: NodeKind, key: &str) -> impl Iterator<Item = &'static str> {
    RENAMES.iter().filter(move |it| it.0 == kind && it.2 == key).map(|it| it.1)
}

/// Translates the fields of one node of type `kind`. What it reports has no node yet.
pub(super) fn translate(kind: NodeKind, fields: &mut Vec<Field>, report: &mut Vec<Diagnostic>) {
    if kind == NodeKind::Hook {
        lift_hook_config(fields, report);
        retries_of_hook(fields, report);
    }
    if kind == NodeKind::PersonJob {
        memory_profile(fields, report);
        drop_without_effect(fields, report);
    }
    for (_, old, new) in RENAMES.iter().filter(|it| it.0 == kind) {
        rename(fields, old, new, report);
    }
    for (_, field, old, new) in VALUES.iter().filter(|it| it.0 == kind) {
        for it in fields.iter_mut().filter(|it| it.key == *field) {
            if it.value.as_text().is_some_and(|text| fold(text) == *old) {
                it.value.kind = TreeKind::Text((*new).to_owned());
            }
        }
    }
}

fn position(fields: &[Field], key: &str) -> Option<usize> {
    fields.iter().position(|it| it.key == key)
}

fn is_absent(tree: &Tree) -> bool {
    tree.is_null() || tree.as_text().is_some_and(|it| it.trim().is_empty())
}

fn rename(fields: &mut Vec<Field>, old: &str, new: &str, report: &mut Vec<Diagnostic>) {
    let Some(at) = position(fields, old) else { return };
    let Some(newer) = position(fields, new) else {
        fields[at].key = new.to_owned();
        return;
    };
    // A blank prompt beside a resolved one is what the original's editor wrote.
    if old.starts_with("resolved_") && is_absent(&fields[newer].value) {
        fields[newer].value = fields[at].value.clone();
    } else if !is_absent(&fields[at].value) {
        let message = format!("`{old}` has no effect beside `{new}`");
        report.push(Diagnostic::new("W402", fields[at].key_span, message).field(old).hint(format!("remove `{old}`")));
    }
    fields.remove(at);
}

fn lift_hook_config(fields: &mut Vec<Field>, report: &mut Vec<Diagnostic>) {
    let Some(at) = position(fields, "config").filter(|it| fields[*it].value.is_map()) else { return };
    let config = fields.remove(at);
    let mut lifted = Vec::new();
    for (key, value) in config.value.entries() {
        if position(fields, &key.value).is_some() {
            let message = format!("`config.{0}` has no effect beside `{0}`", key.value);
            report.push(Diagnostic::new("W402", key.span, message).field("config").hint("remove one of the two"));
        } else {
            lifted.push(Field { key: key.value.clone(), key_span: key.span, value: value.clone() });
        }
    }
    fields.splice(at..at, lifted);
}

fn retries_of_hook(fields: &mut Vec<Field>, report: &mut Vec<Diagnostic>) {
    let Some(at) = position(fields, "retry_count") else { return };
    let n_retries = match &fields[at].value.kind {
        TreeKind::Number(number) => number.as_u64(),
        TreeKind::Text(text) => text.trim().parse().ok(),
        _ => None,
    };
    let Some(n_retries) = n_retries else {
        // Left in place: whoever reads the node reports it as unknown.
        return;
    };
    let old = fields.remove(at);
    if position(fields, "retry").is_some() {
        let message = "`retry_count` has no effect beside `retry`";
        report.push(Diagnostic::new("W402", old.key_span, message).field("retry_count").hint("remove `retry_count`"));
        return;
    }
    let count = Tree { span: old.value.span, kind: TreeKind::Number(Number::from(n_retries.saturating_add(1))) };
    let key = Spanned { value: "max_attempts".to_owned(), span: old.key_span };
    let value = Tree { span: old.value.span, kind: TreeKind::Map(vec![(key, count)]) };
    fields.insert(at, Field { key: "retry".to_owned(), key_span: old.key_span, value });
}

fn memory_profile(fields: &mut Vec<Field>, report: &mut Vec<Diagnostic>) {
    let Some(at) = position(fields, "memory_profile") else { return };
    let old = fields.remove(at);
    let name = old.value.as_text().unwrap_or_default().trim().to_ascii_uppercase();
    let preset = MEMORY_PROFILES.iter().find(|it| it.0 == name).map(|it| it.1);
    let warning = |message: String, hint: String| {
        Diagnostic::new("W403", old.key_span, message).field("memory_profile").hint(hint)
    };
    let has_newer = fields.iter().any(|it| it.key == "memorize_to" && !is_absent(&it.value));
    report.push(match preset {
        _ if has_newer => warning(
            "`memory_profile` has no effect beside `memorize_to`".to_owned(),
            "remove `memory_profile`".to_owned(),
        ),
        Some(preset) => {
            fields.retain(|it| it.key != "memorize_to");
            let value = Tree { span: old.value.span, kind: TreeKind::Text(preset.to_owned()) };
            let at = at.min(fields.len());
            fields.insert(at, Field { key: "memorize_to".to_owned(), key_span: old.key_span, value });
            warning(
                format!("`memory_profile: {name}` is read as `memorize_to: {preset}`"),
                format!("write `memorize_to: {preset}`"),
            )
        }
        None => {
            let names = MEMORY_PROFILES.map(|it| it.1).join(", ");
            warning(
                "`memory_profile` has an unknown value and is ignored".to_owned(),
                format!("write `memorize_to:` with one of: {names}"),
            )
        }
    });
}

fn drop_without_effect(fields: &mut Vec<Field>, report: &mut Vec<Diagnostic>) {
    fields.retain(|it| {
        let is_old = matches!(it.key.as_str(), "memory_config" | "memory_settings");
        if is_old {
            let message = format!("`{}` is ignored", it.key);
            let hint = "memory is set with `memorize_to` and `at_most`";
            report.push(Diagnostic::new("W403", it.key_span, message).field(&it.key).hint(hint));
        }
        !is_old
    });
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::diagram::load::load;

    /// Returns the fields as JSON and the codes reported.
    fn translated(kind: NodeKind, text: &str) -> (Value, Vec<&'static str>) {
        let tree = load(text).unwrap().tree;
        let mut fields: Vec<Field> = tree
            .entries()
            .iter()
            .map(|(key, value)| Field { key: key.value.clone(), key_span: key.span, value: value.clone() })
            .collect();
        let mut report = Vec::new();
        translate(kind, &mut fields, &mut report);
        let map = fields.iter().map(|it| (it.key.clone(), it.value.to_json())).collect();
        (Value::Object(map), report.iter().map(|it| it.code).collect())
    }

    #[test]
    fn old_names_are_read_as_the_new_ones() {
        for (kind, text, expected) in [
            (NodeKind::Endpoint, "file_path: a", json!({"file_name": "a"})),
            (NodeKind::Endpoint, "filePath: a", json!({"file_name": "a"})),
            (
                NodeKind::CodeJob,
                "{code_type: python, filePath: a, functionName: f}",
                json!({"language": "python", "file_path": "a", "function_name": "f"}),
            ),
            (NodeKind::Db, "source_details: a", json!({"file": "a"})),
            (
                NodeKind::JsonSchemaValidator,
                "{strict: true, schema: {}}",
                json!({"strict_mode": true, "json_schema": {}}),
            ),
            (
                NodeKind::Condition,
                "{condition: x, condition_type: nodes_executed}",
                json!({"expression": "x", "condition_type": "check_nodes_executed"}),
            ),
            (
                NodeKind::SubDiagram,
                "{passInputData: true, ignoreIfSub: false}",
                json!({"pass_input_data": true, "ignore_if_sub": false}),
            ),
            (
                NodeKind::TypescriptAst,
                "{source_file: a.ts, extract: [class]}",
                json!({"source": "a.ts", "extract_patterns": ["class"]}),
            ),
            (
                NodeKind::Hook,
                "{hook_type: webhook, config: {url: u}, retry_count: 2}",
                json!({"hook_type": "http", "url": "u", "retry": {"max_attempts": 3}}),
            ),
            (NodeKind::PersonJob, "{default_prompt: '', resolved_prompt: hi}", json!({"default_prompt": "hi"})),
            (NodeKind::CodeJob, "file_path: a", json!({"file_path": "a"})),
        ] {
            assert_eq!(translated(kind, text), (expected, vec![]), "{text}");
        }
    }

    #[test]
    fn the_new_name_wins_and_the_old_one_is_reported() {
        for (kind, text, expected, codes) in [
            (NodeKind::Endpoint, "{file_path: old, file_name: new}", json!({"file_name": "new"}), vec!["W402"]),
            (NodeKind::Db, "{source_details: a, file_path: b}", json!({"file": "a"}), vec!["W402"]),
            (NodeKind::Hook, "{url: a, config: {url: b}}", json!({"url": "a"}), vec!["W402"]),
            (
                NodeKind::Hook,
                "{retry: {max_attempts: 1}, retry_count: 5}",
                json!({"retry": {"max_attempts": 1}}),
                vec!["W402"],
            ),
            (
                NodeKind::PersonJob,
                "{default_prompt: new, resolved_prompt: old}",
                json!({"default_prompt": "new"}),
                vec!["W402"],
            ),
        ] {
            assert_eq!(translated(kind, text), (expected, codes), "{text}");
        }
    }

    #[test]
    fn old_memory_fields_are_translated_or_dropped_with_a_warning() {
        for (text, expected, codes) in [
            ("memory_profile: FULL", json!({"memorize_to": "ALL_MESSAGES"}), vec!["W403"]),
            ("memory_profile: only_me", json!({"memorize_to": "SENT_TO_ME"}), vec!["W403"]),
            ("{memory_profile: FULL, memorize_to: GOLDFISH}", json!({"memorize_to": "GOLDFISH"}), vec!["W403"]),
            ("memory_profile: CUSTOM", json!({}), vec!["W403"]),
            ("{memory_config: {}, memory_settings: {}}", json!({}), vec!["W403", "W403"]),
        ] {
            assert_eq!(translated(NodeKind::PersonJob, text), (expected, codes), "{text}");
        }
        assert_eq!(translated(NodeKind::CodeJob, "memory_profile: FULL").1, Vec::<&str>::new());
    }
}
