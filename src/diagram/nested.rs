//! Field names with dots, as nested mappings: `a.b: 1` is `{a: {b: 1}}` (diagrams.md 1.0).

use super::diagnostic::Diagnostic;
use super::model::Field;
use super::tree::{Span, Spanned, Tree, TreeKind};
use crate::limits::DIAGRAM_DEPTH_MAX;

/// Un-dots the names of `fields`. A value that is written out beside a dotted name wins; the loser is
/// reported (W402).
pub(super) fn nested(fields: Vec<Field>, report: &mut Vec<Diagnostic>) -> Vec<Field> {
    if !fields.iter().any(|it| it.key.contains('.')) {
        return fields;
    }
    let (dotted, mut plain): (Vec<Field>, Vec<Field>) = fields.into_iter().partition(|it| is_dotted(&it.key));
    for field in dotted {
        let Some((first, rest)) = field.key.split_once('.') else { continue };
        let target = match plain.iter_mut().position(|it| it.key == first) {
            Some(at) => &mut plain[at].value,
            None => {
                plain.push(Field { key: first.to_owned(), key_span: field.key_span, value: empty_map(field.key_span) });
                let last = plain.len() - 1;
                &mut plain[last].value
            }
        };
        if !insert(target, rest, field.key_span, &field.value) {
            let message = format!("`{}` has no effect: the same field is written out beside it", field.key);
            report
                .push(Diagnostic::new("W402", field.key_span, message).field(&field.key).hint("remove one of the two"));
        }
    }
    plain
}

/// A name with an empty part, such as `a.` or `.b`, is an ordinary name; so is one with more parts than
/// mappings may be nested.
pub(super) fn is_dotted(key: &str) -> bool {
    key.contains('.') && key.split('.').all(|it| !it.is_empty()) && key.split('.').count() <= DIAGRAM_DEPTH_MAX
}

fn empty_map(span: Span) -> Tree {
    Tree { span: Span { len: 0, ..span }, kind: TreeKind::Map(Vec::new()) }
}

/// Puts `value` at the dotted `path` below `target`; false when something else stands in the way.
fn insert(target: &mut Tree, path: &str, key_span: Span, value: &Tree) -> bool {
    let mut target = target;
    let mut path = path;
    loop {
        let TreeKind::Map(entries) = &mut target.kind else { return false };
        let (name, rest) = match path.split_once('.') {
            Some((name, rest)) => (name, Some(rest)),
            None => (path, None),
        };
        let at = entries.iter().position(|(key, _)| key.value == name);
        let Some(rest) = rest else {
            if at.is_none() {
                entries.push((Spanned { value: name.to_owned(), span: key_span }, value.clone()));
            }
            return at.is_none();
        };
        let at = at.unwrap_or_else(|| {
            entries.push((Spanned { value: name.to_owned(), span: key_span }, empty_map(key_span)));
            entries.len() - 1
        });
        target = &mut entries[at].1;
        path = rest;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::diagram::load::load;

    #[test]
    fn dotted_names_become_nested_mappings() {
        for (text, expected, n_reports) in [
            ("a.b: 1", json!({"a": {"b": 1}}), 0),
            ("{a.b: 1, a.c.d: 2}", json!({"a": {"b": 1, "c": {"d": 2}}}), 0),
            ("{a: {b: 1}, a.c: 2}", json!({"a": {"b": 1, "c": 2}}), 0),
            ("{a.c: 2, a: {b: 1}}", json!({"a": {"b": 1, "c": 2}}), 0),
            ("{a: {b: 1}, a.b: 2}", json!({"a": {"b": 1}}), 1),
            ("{a: 1, a.b: 2}", json!({"a": 1}), 1),
            ("{a.: 1, .b: 2, ..: 3}", json!({"a.": 1, ".b": 2, "..": 3}), 0),
        ] {
            let tree = load(text).unwrap().tree;
            let fields = tree.entries().iter();
            let fields = fields
                .map(|(key, value)| Field { key: key.value.clone(), key_span: key.span, value: value.clone() })
                .collect();
            let mut report = Vec::new();
            let map = nested(fields, &mut report).iter().map(|it| (it.key.clone(), it.value.to_json())).collect();
            assert_eq!((Value::Object(map), report.len()), (expected, n_reports), "{text}");
        }
    }
}
