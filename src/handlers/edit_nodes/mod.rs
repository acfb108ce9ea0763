//! Adds, changes and removes single nodes of a diagram of the workspace. Its text is changed where the node stands;
//! comments of a light diagram stay. What comes of it is saved as a revision even when it does not compile: then it
//! cannot be run, and the answer says why.

mod native;
mod text;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::text::Change;
use super::caller::Scope;
use super::diagram_history::kept;
use super::save_diagram::{self, Expected, save_diagram};
use super::{App, Caller};
use crate::compile::report::Report;
use crate::diagram::{DiagramNode, NodeKind, parse};
use crate::error::Error;
use crate::nearest::nearest;

/// Where a node is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Position {
    pub x: f64,
    pub y: f64,
}

/// A node to be.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRequest {
    /// Name or URI of the diagram.
    pub diagram_id: String,
    /// `person_job`, `code_job` …
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub position: Option<Position>,
    /// Its fields; `label` among them, or one is made up.
    #[serde(default)]
    pub data: Map<String, Value>,
}

/// What to change of a node; what is left out stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateRequest {
    pub diagram_id: String,
    /// Its id or label.
    pub node_id: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub position: Option<Position>,
    /// Goes over its fields; null takes one away, `label` renames it.
    #[serde(default)]
    pub data: Map<String, Value>,
}

/// Which node goes.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteRequest {
    pub diagram_id: String,
    /// Its id or label.
    pub node_id: String,
}

/// The diagram as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub diagram_id: String,
    pub revision: u64,
    /// The node; absent when it was removed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<ShownNode>,
    /// The node that was removed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub deleted_id: Option<String>,
    /// Connections that went with it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub deleted_connections: Option<usize>,
    /// What compiling the new text says; it cannot be run while there are errors.
    pub report: Report,
}

/// A node as it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShownNode {
    /// Nodes of light diagrams without an `id` are called by their place, so it changes when one before goes.
    pub id: String,
    pub label: String,
    /// Absent when nobody knows the type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none", default)]
    pub kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub position: Option<Position>,
    /// Its label and fields.
    pub data: Map<String, Value>,
}

/// Adds a node behind the others.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `DIAGRAM_NOT_FOUND`, `INVALID_NAME`, `INVALID_INPUT`, `DIAGRAM_NOT_ALLOWED`,
/// `REVISION_CONFLICT`; what files and the database say.
pub async fn create_node(app: &App, caller: &Caller, request: CreateRequest) -> Result<Response, Error> {
    let kind = kind(&request.kind)?;
    let CreateRequest { diagram_id, position, data, .. } = request;
    edit(app, caller, &diagram_id, |before| {
        let mut data = data.clone();
        let label = match data.shift_remove("label") {
            Some(Value::String(label)) => label,
            None => before.free_label(kind),
            Some(_) => return Err(invalid("`label` is no text", "write the label as one line of text")),
        };
        let change = Change::Add { label: label.clone(), kind, position, data };
        Ok((change, label))
    })
    .await
}

/// Changes a node.
///
/// # Errors
///
/// As [`create_node`], and `NODE_NOT_FOUND`.
pub async fn update_node(app: &App, caller: &Caller, request: UpdateRequest) -> Result<Response, Error> {
    let UpdateRequest { diagram_id, node_id, position, data } = request;
    edit(app, caller, &diagram_id, |before| {
        let node = before.find(&node_id)?;
        let label = match data.get("label") {
            Some(Value::String(label)) => label.clone(),
            None => node.label.clone(),
            Some(_) => return Err(invalid("`label` is no text", "write the label as one line of text")),
        };
        Ok((Change::Set { node: node.label.clone(), position, data: data.clone() }, label))
    })
    .await
}

/// Removes a node and its connections.
///
/// # Errors
///
/// As [`update_node`].
pub async fn delete_node(app: &App, caller: &Caller, request: DeleteRequest) -> Result<Response, Error> {
    edit(app, caller, &request.diagram_id, |before| {
        let node = before.find(&request.node_id)?;
        Ok((Change::Remove { node: node.label.clone() }, node.label.clone()))
    })
    .await
}

/// The diagram before a change.
struct Before {
    nodes: Vec<DiagramNode>,
    /// Labels of both ends of each connection.
    connections: Vec<(String, String)>,
}

impl Before {
    fn of(text: &str) -> Result<Self, Error> {
        let diagram = parse(text, None).diagram.ok_or_else(|| {
            Error::invalid("INVALID_DIAGRAM", "the diagram cannot be read").hint("compile it to see why")
        })?;
        let label = |at: usize| diagram.nodes[at].label.clone();
        let connections = diagram.connections.iter().map(|it| (label(it.from), label(it.to))).collect();
        Ok(Self { connections, nodes: diagram.nodes })
    }

    fn find(&self, reference: &str) -> Result<&DiagramNode, Error> {
        let by_label = || self.nodes.iter().find(|it| it.label == reference);
        self.nodes.iter().find(|it| it.id == reference).or_else(by_label).ok_or_else(|| {
            let hint = match nearest(reference, self.nodes.iter().map(|it| it.label.as_str())) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "name a node by its id or label".to_owned(),
            };
            let shown: String = reference.chars().filter(|it| !it.is_control()).take(80).collect();
            Error::not_found("NODE_NOT_FOUND", format!("the diagram has no node `{shown}`")).hint(hint)
        })
    }

    /// `code_job`, `code_job 2` …
    fn free_label(&self, kind: NodeKind) -> String {
        let name = |n: usize| if n == 1 { kind.name().to_owned() } else { format!("{} {n}", kind.name()) };
        let is_free = |it: &String| self.nodes.iter().all(|node| node.label != *it);
        (1..).map(name).find(is_free).expect("there are more numbers than nodes")
    }

    fn n_connections(&self, label: &str) -> usize {
        self.connections.iter().filter(|(from, to)| from == label || to == label).count()
    }
}

/// Reads the diagram, changes it and saves it, unless somebody else did meanwhile.
async fn edit(
    app: &App,
    caller: &Caller,
    diagram_id: &str,
    plan: impl Fn(&Before) -> Result<(Change, String), Error>,
) -> Result<Response, Error> {
    caller.require(&[Scope::DiagramRead, Scope::DiagramWrite])?;
    let found = kept(app, diagram_id).await?;
    let before = Before::of(&found.source.text)?;
    let (change, label) = plan(&before)?;
    let content = text::changed(&found.source.text, &change)?;
    let removed = match &change {
        Change::Remove { node } => Some((before.find(node)?.id.clone(), before.n_connections(node))),
        Change::Add { .. } | Change::Set { .. } => None,
    };
    let request = save_diagram::Request {
        name: found.source.diagram_id.clone(),
        content: Some(content.clone()),
        message: Some(change.in_words()),
        ..save_diagram::Request::default()
    };
    let extras = save_diagram::Extras { expected: Expected::Revision(found.row.n), keep_invalid: true };
    let saved = save_diagram(app, caller, request, extras).await?;
    let node = match removed {
        Some(_) => None,
        None => Before::of(&content)?.nodes.iter().find(|it| it.label == label).map(shown),
    };
    let (deleted_id, deleted_connections) = removed.unzip();
    Ok(Response {
        diagram_id: saved.saved.name,
        revision: saved.saved.revision,
        node,
        deleted_id,
        deleted_connections,
        report: saved.report,
    })
}

fn shown(node: &DiagramNode) -> ShownNode {
    let mut data = Map::from_iter([("label".to_owned(), Value::from(node.label.as_str()))]);
    data.extend(node.fields.iter().map(|it| (it.key.clone(), it.value.to_json())));
    ShownNode {
        id: node.id.clone(),
        label: node.label.clone(),
        kind: node.kind.map(|it| it.name().to_owned()),
        position: node.position.map(|(x, y)| Position { x, y }),
        data,
    }
}

fn kind(name: &str) -> Result<NodeKind, Error> {
    NodeKind::parse(name).ok_or_else(|| {
        let shown: String = name.chars().filter(|it| !it.is_control()).take(60).collect();
        let names = NodeKind::ALL.map(NodeKind::name);
        let hint = match nearest(name, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write one of {}", names.join(", ")),
        };
        Error::invalid("INVALID_INPUT", format!("`{shown}` is no type of a node")).hint(hint)
    })
}

fn invalid(message: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::invalid("INVALID_INPUT", message).hint(hint)
}
