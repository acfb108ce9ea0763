//! Models that can be asked, keys by name, and what can be found.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::lists::{Page, Window};
use super::operation::{Answer, Asked, Listens, Operation, Success, Verb, shape};
use crate::error::Error;
use crate::handlers::caller::Scope;
use crate::handlers::fetch::{self, fetch};
use crate::handlers::list_models::{ListedKey, ListedModel, list_keys, list_models};
use crate::handlers::search::{self, search};

/// Nothing is asked.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// The other operations.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        id: "listModels",
        verb: Verb::Get,
        path: "/api/v1/models",
        group: "models",
        summary: "List the services that persons of diagrams may name",
        handler: "list_models",
        scopes: &[Scope::DiagramRead],
        request: Some(shape::<Nothing>("Nothing")),
        names: &[],
        hidden: &[],
        listens: Listens::IfNoneMatch,
        successes: &[Success {
            status: 200,
            about: "The services.",
            body: Some(shape::<Page<ListedModel>>("ModelList")),
        }],
        refusals: &[],
        call: |asked| Box::pin(models(asked)),
    },
    Operation {
        id: "listKeys",
        verb: Verb::Get,
        path: "/api/v1/keys",
        group: "models",
        summary: "List the keys of models by name, never by value; only the owner of the server may",
        handler: "list_keys",
        scopes: &[Scope::DiagramRead],
        request: Some(shape::<Nothing>("Nothing")),
        names: &[],
        hidden: &[],
        listens: Listens::IfNoneMatch,
        successes: &[Success { status: 200, about: "The names.", body: Some(shape::<Page<ListedKey>>("KeyList")) }],
        refusals: &[],
        call: |asked| Box::pin(keys(asked)),
    },
    Operation {
        id: "search",
        verb: Verb::Get,
        path: "/api/v1/search",
        group: "search",
        summary: "Find diagrams, executions and pages of the guide by words",
        handler: "search",
        scopes: &[],
        request: Some(shape::<search::Request>("Search")),
        names: &[],
        hidden: &[],
        listens: Listens::IfNoneMatch,
        successes: &[Success {
            status: 200,
            about: "What was found, best first.",
            body: Some(shape::<search::Response>("Found")),
        }],
        refusals: &[],
        call: |asked| Box::pin(found(asked)),
    },
    Operation {
        id: "readResource",
        verb: Verb::Get,
        path: "/api/v1/resource",
        group: "search",
        summary: "Read what a `dipeo://` URI names",
        handler: "fetch",
        scopes: &[],
        request: Some(shape::<fetch::Request>("ReadResource")),
        names: &[("uri", "id")],
        hidden: &[],
        listens: Listens::IfNoneMatch,
        successes: &[Success {
            status: 200,
            about: "The document; bytes stand in it as base64, and `metadata.encoding` says so.",
            body: Some(shape::<fetch::Response>("Resource")),
        }],
        refusals: &[404],
        call: |asked| Box::pin(resource(asked)),
    },
];

const WHOLE: Window = Window { limit: None, offset: None };

async fn models(asked: Asked) -> Result<Answer, Error> {
    let found = list_models(&asked.app, &asked.caller).await?;
    let page: Page<ListedModel> = WHOLE.page(found.models, found.total as u64);
    Answer::ok(page)
}

async fn keys(asked: Asked) -> Result<Answer, Error> {
    let found = list_keys(&asked.app, &asked.caller).await?;
    let page: Page<ListedKey> = WHOLE.page(found.keys, found.total as u64);
    Answer::ok(page)
}

async fn found(asked: Asked) -> Result<Answer, Error> {
    Answer::ok(search(&asked.app, &asked.caller, asked.request()?).await?)
}

async fn resource(asked: Asked) -> Result<Answer, Error> {
    Answer::ok(fetch(&asked.app, &asked.caller, asked.request()?).await?)
}
