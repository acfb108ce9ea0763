//! The type of a node that names none, from its fields and its label (diagrams.md 1.7).

use super::kinds::{NodeKind, fold};

/// First match wins; any one of the fields is enough.
const BY_FIELD: [(&[&str], NodeKind); 12] = [
    (&["condition_type", "expression", "judge_by", "judge_by_file"], NodeKind::Condition),
    (&["person", "default_prompt", "first_only_prompt", "prompt_file", "first_prompt_file"], NodeKind::PersonJob),
    (&["code", "language", "code_type", "function_name"], NodeKind::CodeJob),
    (&["diagram_name", "diagram_data"], NodeKind::SubDiagram),
    (&["template_content", "template_path"], NodeKind::TemplateJob),
    (&["json_schema", "schema_path"], NodeKind::JsonSchemaValidator),
    (&["hook_type"], NodeKind::Hook),
    (&["provider"], NodeKind::IntegratedApi),
    (&["url"], NodeKind::ApiJob),
    (&["save_to_file", "file_format"], NodeKind::Endpoint),
    (&["trigger_mode", "custom_data"], NodeKind::Start),
    (&["prompt"], NodeKind::UserResponse),
];

/// How many entries of [`BY_FIELD`] stand before `db`, which needs two fields.
const N_BEFORE_DB: usize = 3;

/// Returns the type that the names of the fields, else the label, show.
pub(super) fn kind_of(has: impl Fn(&str) -> bool, label: &str) -> Option<NodeKind> {
    let find = |rows: &[(&[&str], NodeKind)]| {
        rows.iter().find(|(fields, _)| fields.iter().any(|it| has(it))).map(|(_, kind)| *kind)
    };
    let is_db = || has("operation") && ["file", "source_details", "sub_type"].into_iter().any(&has);
    find(&BY_FIELD[..N_BEFORE_DB])
        .or_else(|| is_db().then_some(NodeKind::Db))
        .or_else(|| find(&BY_FIELD[N_BEFORE_DB..]))
        .or_else(|| match fold(label).as_str() {
            "start" => Some(NodeKind::Start),
            "end" | "endpoint" => Some(NodeKind::Endpoint),
            _ => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_show_the_type_before_the_label_does() {
        for (fields, label, expected) in [
            (&["expression", "person"][..], "x", Some(NodeKind::Condition)),
            (&["first_prompt_file"], "start", Some(NodeKind::PersonJob)),
            (&["code_type"], "x", Some(NodeKind::CodeJob)),
            (&["operation", "sub_type"], "x", Some(NodeKind::Db)),
            (&["operation", "url"], "x", Some(NodeKind::ApiJob)),
            (&["operation"], "x", None),
            (&["url", "provider"], "x", Some(NodeKind::IntegratedApi)),
            (&["prompt"], "end", Some(NodeKind::UserResponse)),
            (&[], "Start", Some(NodeKind::Start)),
            (&[], "END", Some(NodeKind::Endpoint)),
            (&["file_path"], "mystery", None),
        ] {
            assert_eq!(kind_of(|it| fields.contains(&it), label), expected, "{fields:?} {label}");
        }
    }
}
