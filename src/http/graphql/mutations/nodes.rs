//! Changing the nodes of a diagram of the workspace; each change is a revision.

use async_graphql::{Context, Object};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::handlers::App;
use crate::handlers::edit_nodes::{
    CreateRequest, DeleteRequest, Position, Response, UpdateRequest, create_node, delete_node, update_node,
};
use crate::http::graphql::caller::desk;
use crate::http::graphql::types::diagram::{CreateNodeInput, DomainNodeType, UpdateNodeInput, Vec2Input};
use crate::http::graphql::types::results::{DeleteResult, Outcome};
use crate::http::graphql::types::words;

type NodeResult = Outcome<DomainNodeType>;

#[derive(Default)]
pub struct NodeMutations;

#[Object(rename_args = "snake_case")]
impl NodeMutations {
    /// Adds a node. A diagram that does not compile is kept all the same, with what is wrong in the envelope; it
    /// cannot run.
    async fn create_node(&self, context: &Context<'_>, diagram_id: String, input: CreateNodeInput) -> NodeResult {
        let (app, caller) = desk(context);
        let outcome = async {
            let request = CreateRequest {
                diagram_id,
                kind: words::word(input.kind),
                position: Some(position(input.position)),
                data: fields(input.data.0)?,
            };
            create_node(app, caller, request).await
        };
        answered(app, "added", outcome.await)
    }

    /// Changes a node; what is left out stays.
    async fn update_node(
        &self,
        context: &Context<'_>,
        diagram_id: String,
        node_id: String,
        input: UpdateNodeInput,
    ) -> NodeResult {
        let (app, caller) = desk(context);
        let outcome = async {
            let request = UpdateRequest {
                diagram_id,
                node_id,
                position: input.position.map(position),
                data: input.data.map(|it| fields(it.0)).transpose()?.unwrap_or_default(),
            };
            update_node(app, caller, request).await
        };
        answered(app, "changed", outcome.await)
    }

    /// Removes a node and its connections.
    async fn delete_node(&self, context: &Context<'_>, diagram_id: String, node_id: String) -> DeleteResult {
        let (app, caller) = desk(context);
        match delete_node(app, caller, DeleteRequest { diagram_id, node_id }).await {
            Ok(response) => {
                let gone = response.deleted_id.clone().unwrap_or_default();
                DeleteResult::done(format!("removed `{gone}` from `{}`", response.diagram_id), &response, gone)
            }
            Err(error) => DeleteResult::refused(error, app.scrubber()),
        }
    }
}

fn position(at: Vec2Input) -> Position {
    Position { x: at.x, y: at.y }
}

fn fields(data: Value) -> Result<Map<String, Value>, Error> {
    match data {
        Value::Null => Ok(Map::new()),
        Value::Object(map) => Ok(map),
        _ => Err(Error::invalid("INVALID_INPUT", "`data` is no object").hint("write the fields of the node")),
    }
}

fn answered(app: &App, done: &str, outcome: Result<Response, Error>) -> NodeResult {
    match outcome {
        Ok(response) => {
            let node = response.node.clone().and_then(DomainNodeType::shown);
            Outcome::perhaps(format!("{done} in `{}`", response.diagram_id), &response, node)
        }
        Err(error) => Outcome::refused(error, app.scrubber()),
    }
}
