//! Diagrams as the original has them: nodes, handles, arrows and persons apart. All of it comes from the native
//! form that a handler gives.

use std::collections::BTreeSet;

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};
use serde_json::{Map, Value};
use tokio::sync::OnceCell;

use super::person::DomainPersonType;
use super::scalars::{DateTime, Json};
use super::words::{self, ContentType, DataType, HandleDirection, HandleLabel, NodeType};
use crate::error::Error;
use crate::handlers::edit_nodes::ShownNode;
use crate::handlers::list_diagrams::ListedDiagram;
use crate::handlers::read_diagram;
use crate::http::graphql::caller::desk;

/// A diagram. What a list knows is there at once; its parts are read when a field asks for one of them.
pub struct DomainDiagramType {
    name: String,
    metadata: DiagramMetadataType,
    parts: OnceCell<Parts>,
}

/// What a diagram consists of.
#[derive(Default)]
struct Parts {
    nodes: Vec<DomainNodeType>,
    handles: Vec<DomainHandleType>,
    arrows: Vec<DomainArrowType>,
    persons: Vec<DomainPersonType>,
}

/// A diagram in its canonical form.
#[Object(rename_fields = "snake_case")]
impl DomainDiagramType {
    async fn nodes(&self, context: &Context<'_>) -> Result<&[DomainNodeType]> {
        Ok(&self.parts(context).await?.nodes)
    }

    /// The places on nodes where connections begin or end.
    async fn handles(&self, context: &Context<'_>) -> Result<&[DomainHandleType]> {
        Ok(&self.parts(context).await?.handles)
    }

    /// The connections.
    async fn arrows(&self, context: &Context<'_>) -> Result<&[DomainArrowType]> {
        Ok(&self.parts(context).await?.arrows)
    }

    async fn persons(&self, context: &Context<'_>) -> Result<&[DomainPersonType]> {
        Ok(&self.parts(context).await?.persons)
    }

    async fn metadata(&self) -> Option<&DiagramMetadataType> {
        Some(&self.metadata)
    }
}

/// A node.
#[derive(SimpleObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub struct DomainNodeType {
    pub id: ID,
    #[graphql(name = "type")]
    pub kind: NodeType,
    pub position: Vec2Type,
    /// Label and fields.
    pub data: Json,
}

/// A place on a page.
#[derive(SimpleObject, Clone, Copy, Debug, Default, PartialEq)]
pub struct Vec2Type {
    pub x: f64,
    pub y: f64,
}

/// A place on a node where connections begin or end.
#[derive(SimpleObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub struct DomainHandleType {
    pub id: ID,
    pub node_id: ID,
    pub label: HandleLabel,
    pub direction: HandleDirection,
    pub data_type: DataType,
    pub position: Option<String>,
}

/// A connection.
#[derive(SimpleObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub struct DomainArrowType {
    pub id: ID,
    /// The handle it begins at.
    pub source: ID,
    /// The handle it ends at.
    pub target: ID,
    pub content_type: Option<ContentType>,
    pub label: Option<String>,
    pub execution_priority: Option<f64>,
    pub data: Option<Json>,
}

/// What a diagram says about itself.
#[derive(SimpleObject, Clone, Debug, Default)]
#[graphql(rename_fields = "snake_case")]
pub struct DiagramMetadataType {
    /// The name that runs it.
    pub id: Option<String>,
    pub name: Option<String>,
    /// What it is for; of a file that cannot be read, why.
    pub description: Option<String>,
    pub version: String,
    pub created: String,
    pub modified: String,
    pub author: Option<String>,
    pub tags: Option<Vec<String>>,
    pub format: Option<String>,
}

/// Which diagrams.
#[derive(InputObject, Clone, Debug, Default)]
#[graphql(rename_fields = "snake_case")]
pub struct DiagramFilterInput {
    /// Part of the name.
    pub name: Option<String>,
    pub author: Option<String>,
    /// Any of these, with commas between them.
    pub tags: Option<String>,
    pub created_after: Option<DateTime>,
    pub created_before: Option<DateTime>,
}

/// A new diagram.
#[derive(InputObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub struct CreateDiagramInput {
    pub name: String,
    pub description: Option<String>,
    pub author: Option<String>,
    pub tags: Option<Vec<String>>,
}

/// A place on a page.
#[derive(InputObject, Clone, Copy, Debug, Default, PartialEq)]
pub struct Vec2Input {
    pub x: f64,
    pub y: f64,
}

/// A new node.
#[derive(InputObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub struct CreateNodeInput {
    #[graphql(name = "type")]
    pub kind: NodeType,
    pub position: Vec2Input,
    /// Label and fields.
    pub data: Json,
}

/// What changes of a node.
#[derive(InputObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub struct UpdateNodeInput {
    /// Fields and their new values; null takes a field away.
    pub data: Option<Json>,
    pub position: Option<Vec2Input>,
}

impl DomainDiagramType {
    /// A diagram that was read.
    pub fn of(read: &read_diagram::Response) -> Self {
        let metadata = DiagramMetadataType::of(read);
        Self { name: read.name.clone(), metadata, parts: OnceCell::new_with(Some(Parts::of(read))) }
    }

    /// A diagram of a list. One that cannot be read has no nodes, and so no other parts.
    pub fn listed(listed: ListedDiagram) -> Self {
        let parts = (listed.nodes == 0).then(Parts::default);
        let name = listed.name.clone();
        Self { name, metadata: DiagramMetadataType::listed(listed), parts: OnceCell::new_with(parts) }
    }

    async fn parts(&self, context: &Context<'_>) -> Result<&Parts, Error> {
        let read = || async {
            let (app, caller) = desk(context);
            let request = read_diagram::Request { name: self.name.clone(), ..read_diagram::Request::default() };
            Ok(Parts::of(&read_diagram::read_diagram(app, caller, request).await?))
        };
        self.parts.get_or_try_init(read).await
    }
}

impl Parts {
    fn of(read: &read_diagram::Response) -> Self {
        let empty = Value::Null;
        let native = read.diagram.as_ref().unwrap_or(&empty);
        let arrows = arrows(native);
        Self {
            nodes: entries(native, "nodes").map(|(id, it)| DomainNodeType::of(id, it)).collect(),
            handles: handles(native, &arrows),
            arrows,
            persons: entries(native, "persons").map(|(id, it)| DomainPersonType::of(id, it)).collect(),
        }
    }
}

/// The entries of a mapping of the native form, by id.
fn entries<'v>(native: &'v Value, key: &str) -> impl Iterator<Item = (&'v String, &'v Value)> {
    native.get(key).and_then(Value::as_object).into_iter().flatten()
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned)
}

impl DomainNodeType {
    /// A node of the native form.
    pub fn of(id: &str, node: &Value) -> Self {
        let kind = text(node, "type").and_then(|it| words::read(&it));
        let at = |axis: &str| node.pointer(&format!("/position/{axis}")).and_then(Value::as_f64).unwrap_or_default();
        Self {
            id: ID::from(id),
            // Diagrams have no other types; see the test of `words`.
            kind: kind.unwrap_or(NodeType::Start),
            position: Vec2Type { x: at("x"), y: at("y") },
            data: node.get("data").cloned().unwrap_or_else(|| Value::Object(Map::new())).into(),
        }
    }

    /// A node that was made or changed; none when nobody knows its type, which the enum has no value for.
    pub fn shown(node: ShownNode) -> Option<Self> {
        let position = node.position.unwrap_or_default();
        Some(Self {
            id: ID::from(node.id),
            kind: words::read(&node.kind?)?,
            position: Vec2Type { x: position.x, y: position.y },
            data: Value::Object(node.data).into(),
        })
    }
}

fn arrows(native: &Value) -> Vec<DomainArrowType> {
    let all = native.get("arrows").and_then(Value::as_array).into_iter().flatten();
    all.map(|it| DomainArrowType {
        id: ID::from(text(it, "id").unwrap_or_default()),
        source: ID::from(text(it, "source").unwrap_or_default()),
        target: ID::from(text(it, "target").unwrap_or_default()),
        content_type: text(it, "content_type").and_then(|it| words::read(&it)),
        label: text(it, "label"),
        execution_priority: it.get("execution_priority").and_then(Value::as_f64),
        data: it.get("data").cloned().map(Json::from),
    })
    .collect()
}

/// The handles that connections use, in the order of their nodes. The native form names a handle by its node, its
/// label and its direction.
fn handles(native: &Value, arrows: &[DomainArrowType]) -> Vec<DomainHandleType> {
    let used: BTreeSet<&str> = arrows.iter().flat_map(|it| [it.source.as_str(), it.target.as_str()]).collect();
    let mut handles = Vec::new();
    for (node_id, _) in entries(native, "nodes") {
        let own = used.iter().filter_map(|id| Some((*id, id.strip_prefix(node_id.as_str())?.strip_prefix('_')?)));
        for (id, rest) in own {
            let Some((label, direction)) = rest.rsplit_once('_') else { continue };
            let (Some(label), Some(direction)) = (words::read(label), words::read(direction)) else { continue };
            handles.push(DomainHandleType {
                id: ID::from(id),
                node_id: ID::from(node_id),
                label,
                direction,
                data_type: DataType::Any,
                position: Some(if direction == HandleDirection::Input { "left" } else { "right" }.to_owned()),
            });
        }
    }
    handles
}

impl DiagramMetadataType {
    fn of(read: &read_diagram::Response) -> Self {
        let empty = Value::Null;
        let own = read.diagram.as_ref().and_then(|it| it.get("metadata")).unwrap_or(&empty);
        let tags = own.get("tags").and_then(Value::as_array);
        Self {
            id: Some(read.name.clone()),
            name: text(own, "name").or_else(|| Some(read.name.clone())),
            // Of a text that can be read there is more to say than what is wrong with it.
            description: text(own, "description").or_else(|| read.error.clone()),
            version: text(own, "version").unwrap_or_else(|| read.revision.to_string()),
            created: text(own, "created").unwrap_or_else(|| read.created_at.clone()),
            modified: text(own, "modified").unwrap_or_else(|| read.updated_at.clone()),
            author: text(own, "author"),
            tags: tags.map(|it| it.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
            format: Some(read.format.clone()),
        }
    }

    fn listed(listed: ListedDiagram) -> Self {
        Self {
            name: listed.title.or_else(|| Some(listed.name.clone())),
            id: Some(listed.name),
            description: listed.description.or(listed.error),
            version: listed.revision.map_or_else(|| "0".to_owned(), |it| it.to_string()),
            created: listed.created_at.or_else(|| listed.updated_at.clone()).unwrap_or_default(),
            modified: listed.updated_at.unwrap_or_default(),
            author: listed.author,
            tags: Some(listed.tags).filter(|it| !it.is_empty()),
            format: Some(listed.format),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_diagram_of_the_native_form_comes_apart() {
        let diagram = json!({
            "nodes": {
                "node_1": {"type": "start", "position": {"x": 1, "y": 2.5}, "data": {"label": "s"}},
                "node_10": {"type": "person_job", "data": {"label": "p", "person": "Ada"}},
            },
            "arrows": [
                {"id": "a", "source": "node_1_default_output", "target": "node_10_first_input", "content_type": "raw_text"},
            ],
            "persons": {"Ada": {"label": "Ada", "llm_config": {"service": "claude-code", "model": "m"}}},
            "metadata": {"description": "what for", "tags": ["x", "y"], "author": "me"},
        });
        let read = read_diagram::Response {
            name: "team/review".into(),
            diagram: Some(diagram),
            revision: 3,
            format: "light".into(),
            ..read_diagram::Response::default()
        };
        let shown = Parts::of(&read);
        assert_eq!(shown.nodes.iter().map(|it| it.position.y).collect::<Vec<_>>(), [2.5, 0.0]);
        let handles: Vec<_> = shown.handles.iter().map(|it| (it.node_id.as_str(), it.label, it.direction)).collect();
        let expected = [
            ("node_1", HandleLabel::Default, HandleDirection::Output),
            ("node_10", HandleLabel::First, HandleDirection::Input),
        ];
        assert_eq!(handles, expected);
        assert_eq!(shown.arrows[0].content_type, Some(ContentType::RawText));
        assert_eq!(shown.persons[0].llm_config.service, words::LlmService::ClaudeCode);
        let metadata = DiagramMetadataType::of(&read);
        assert_eq!((metadata.version.as_str(), metadata.tags), ("3", Some(vec!["x".to_owned(), "y".to_owned()])));
        assert_eq!(metadata.name.as_deref(), Some("team/review"));
    }
}
