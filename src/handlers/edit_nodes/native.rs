//! A change of a node in the JSON of a native diagram. Everything that was not meant stays as it was, in its order.

use serde_json::{Map, Value, json};

use super::text::Change;
use super::{Position, invalid};
use crate::diagram::{Diagram, NodeKind, parse};
use crate::error::Error;

/// Makes the change and returns the new text.
///
/// # Errors
///
/// `INVALID_INPUT`, `INVALID_DIAGRAM`.
pub(super) fn changed(text: &str, change: &Change) -> Result<String, Error> {
    let unclear = || {
        Error::invalid("INVALID_DIAGRAM", "the diagram cannot be read well enough to be changed")
            .hint("compile it to see why, or change it by hand")
    };
    let diagram = parse(text, None).diagram.ok_or_else(unclear)?;
    let mut root: Value = serde_json::from_str(text).map_err(|_| unclear())?;
    match change {
        Change::Add { label, kind, position, data } => {
            check_label(&diagram, None, label)?;
            add(&mut root, &diagram, node(label, *kind, *position, data)).ok_or_else(unclear)?;
        }
        Change::Set { node, position, data } => {
            if let Some(label) = data.get("label").and_then(Value::as_str) {
                check_label(&diagram, Some(node), label)?;
            }
            let id = id_of(&diagram, node).ok_or_else(unclear)?;
            let object = find(&mut root, "nodes", &id).and_then(Value::as_object_mut).ok_or_else(unclear)?;
            set(object, *position, data)?;
        }
        Change::Remove { node } => {
            if diagram.nodes.len() == 1 {
                return Err(invalid("a diagram keeps at least one node", "add another node first"));
            }
            let id = id_of(&diagram, node).ok_or_else(unclear)?;
            remove(&mut root, &diagram, &id).ok_or_else(unclear)?;
        }
    }
    let mut text = serde_json::to_string_pretty(&root)
        .map_err(|error| Error::internal("a diagram cannot be written as JSON").source(error))?;
    text.push('\n');
    Ok(text)
}

fn id_of(diagram: &Diagram, label: &str) -> Option<String> {
    diagram.nodes.iter().find(|it| it.label == label).map(|it| it.id.clone())
}

fn check_label(diagram: &Diagram, own: Option<&str>, label: &str) -> Result<(), Error> {
    if label.trim().is_empty() || label.trim() != label || label.chars().any(char::is_control) {
        let shown: String = label.chars().filter(|it| !it.is_control()).take(80).collect();
        return Err(invalid(format!("`{shown}` is no label"), "labels are one line of text"));
    }
    if own != Some(label) && diagram.nodes.iter().any(|it| it.label == label) {
        return Err(invalid(format!("a node is named `{label}` already"), "choose another label"));
    }
    Ok(())
}

fn node(label: &str, kind: NodeKind, position: Option<Position>, data: &Map<String, Value>) -> Map<String, Value> {
    let mut object = Map::from_iter([("type".to_owned(), Value::from(kind.name()))]);
    object.extend(position.map(|it| ("position".to_owned(), place(it))));
    let fields = data.iter().filter(|(key, _)| !matches!(key.as_str(), "id" | "type"));
    let own = std::iter::once(("label".to_owned(), Value::from(label)));
    let data: Map<String, Value> = own.chain(fields.map(|(key, it)| (key.clone(), it.clone()))).collect();
    object.insert("data".to_owned(), Value::Object(data));
    object
}

fn place(position: Position) -> Value {
    json!({"x": position.x, "y": position.y})
}

fn add(root: &mut Value, diagram: &Diagram, mut node: Map<String, Value>) -> Option<()> {
    let is_free = |it: &String| diagram.nodes.iter().all(|node| node.id != *it);
    let id = (0..).map(|n| format!("node_{n}")).find(is_free)?;
    match root.get_mut("nodes")? {
        Value::Object(map) => drop(map.insert(id, Value::Object(node))),
        Value::Array(items) => {
            node.shift_insert(0, "id".to_owned(), id.into());
            items.push(Value::Object(node));
        }
        _ => return None,
    }
    Some(())
}

/// Finds an object of a section by its id.
fn find<'v>(root: &'v mut Value, section: &str, id: &str) -> Option<&'v mut Value> {
    match root.get_mut(section)? {
        Value::Object(map) => map.iter_mut().find(|(key, _)| key.trim() == id).map(|(_, it)| it),
        Value::Array(items) => items.iter_mut().find(|it| it["id"].as_str().map(str::trim) == Some(id)),
        _ => None,
    }
}

fn set(node: &mut Map<String, Value>, position: Option<Position>, data: &Map<String, Value>) -> Result<(), Error> {
    if let Some(position) = position {
        node.insert("position".to_owned(), place(position));
    }
    for (key, value) in data {
        if matches!(key.as_str(), "id" | "type" | "position") {
            return Err(invalid(format!("`{key}` is no field of a node"), "change the text of the diagram instead"));
        }
        // A field stands below `data`, or beside it.
        let is_beside = node.contains_key(key) && node.get("data").and_then(|it| it.get(key)).is_none();
        let holder = if is_beside {
            &mut *node
        } else {
            let data = node.entry("data").or_insert_with(|| json!({}));
            data.as_object_mut().ok_or_else(|| invalid("`data` of the node is no object", "correct it by hand"))?
        };
        match value {
            Value::Null if holder.shift_remove(key).is_none() => {
                return Err(invalid(format!("the node has no field `{key}`"), "there is nothing to remove"));
            }
            Value::Null => {}
            value => drop(holder.insert(key.clone(), value.clone())),
        }
    }
    Ok(())
}

/// Takes a node out, with its connections and handles.
fn remove(root: &mut Value, diagram: &Diagram, id: &str) -> Option<()> {
    let at = diagram.nodes.iter().position(|it| it.id == id)?;
    let touching: Vec<usize> =
        diagram.connections.iter().filter(|it| it.from == at || it.to == at).map(|it| it.index).collect();
    retain(root, "nodes", |_, key, it| key.or_else(|| it["id"].as_str()).map(str::trim) != Some(id));
    retain(root, "arrows", |nth, _, _| !touching.contains(&nth));
    retain(root, "handles", |_, _, it| it["node_id"].as_str() != Some(id));
    Some(())
}

/// Keeps what `keep` says of the position, key and value of each object of a section; null ones have no position.
fn retain(root: &mut Value, section: &str, keep: impl Fn(usize, Option<&str>, &Value) -> bool) {
    let mut n_seen = 0;
    let mut stays = |key: Option<&str>, it: &Value| {
        let nth = n_seen;
        n_seen += usize::from(!it.is_null());
        it.is_null() || keep(nth, key, it)
    };
    match root.get_mut(section) {
        Some(Value::Object(map)) => map.retain(|key, it| stays(Some(key), it)),
        Some(Value::Array(items)) => items.retain(|it| stays(None, it)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = r#"{"nodes": {"a": {"type": "start", "data": {"label": "s"}},
        "b": {"type": "code_job", "position": {"x": 1, "y": 2}, "data": {"label": "work", "code": "1"}},
        "c": {"type": "endpoint", "data": {"label": "e"}}},
        "arrows": [{"id": "x", "source": "a_default_output", "target": "b_default_input"},
        {"id": "y", "source": "a_default_output", "target": "c_default_input"}], "extra": {"kept": true}}"#;
    const LIST: &str = r#"{"nodes": [{"id": "a", "type": "start", "data": {"label": "s"}},
        {"id": "b", "type": "code_job", "code": "1", "data": {"label": "work"}}],
        "arrows": {"x": {"source": "a_default_output", "target": "b_default_input"}},
        "handles": [{"id": "b_default_input", "node_id": "b", "label": "default", "direction": "input"}]}"#;

    fn make(text: &str, change: &Change) -> Value {
        serde_json::from_str(&changed(text, change).expect("changed")).expect("JSON")
    }

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().expect("a map")
    }

    #[test]
    fn a_node_is_added_changed_and_removed_in_both_shapes() {
        let position = Some(Position { x: 3.0, y: 4.0 });
        let add = Change::Add { label: "more".into(), kind: NodeKind::Db, position, data: map(json!({"file": "f"})) };
        let expected = json!({"type": "db", "position": {"x": 3.0, "y": 4.0}, "data": {"label": "more", "file": "f"}});
        assert_eq!(make(MAP, &add)["nodes"]["node_0"], expected);
        assert_eq!(make(MAP, &add)["extra"], json!({"kept": true}));
        assert_eq!(make(LIST, &add)["nodes"][2]["id"], "node_0");

        let data = map(json!({"code": "2", "label": "job"}));
        let set = Change::Set { node: "work".into(), position, data };
        assert_eq!(make(MAP, &set)["nodes"]["b"]["data"], json!({"label": "job", "code": "2"}));
        assert_eq!(make(MAP, &set)["nodes"]["b"]["position"], json!({"x": 3.0, "y": 4.0}));
        assert_eq!(make(LIST, &set)["nodes"][1]["code"], "2", "where it stood before");
        let take = Change::Set { node: "work".into(), position: None, data: map(json!({"code": null})) };
        assert_eq!(make(MAP, &take)["nodes"]["b"]["data"], json!({"label": "work"}));

        let remove = Change::Remove { node: "work".into() };
        let after = make(MAP, &remove);
        assert_eq!(
            (after["nodes"].as_object().expect("a map").len(), after["arrows"][0]["id"].as_str()),
            (2, Some("y"))
        );
        let after = make(LIST, &remove);
        assert_eq!((after["nodes"].as_array().expect("a list").len(), &after["arrows"]), (1, &json!({})));
        assert_eq!(after["handles"], json!([]));
    }

    #[test]
    fn what_cannot_be_changed_is_refused() {
        let set = |data: Value| Change::Set { node: "work".into(), position: None, data: map(data) };
        for (what, change) in [
            ("a label that is taken", set(json!({"label": "s"}))),
            ("a blank label", set(json!({"label": " "}))),
            ("another id", set(json!({"id": "z"}))),
            ("a field that is not there", set(json!({"timeout": null}))),
        ] {
            assert_eq!(changed(MAP, &change).expect_err(what).code(), "INVALID_INPUT", "{what}");
        }
        let one = r#"{"nodes": {"a": {"type": "start", "data": {"label": "s"}}}, "arrows": []}"#;
        let last = changed(one, &Change::Remove { node: "s".into() }).expect_err("the last one");
        assert_eq!(last.message(), "a diagram keeps at least one node");
    }
}
