//! The history of diagrams.

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::diagrams::DIAGRAM;
use super::lists::{LIMIT, Page, Window};
use super::operation::{Answer, Asked, Listens, Operation, Success, Verb, shape};
use crate::error::Error;
use crate::handlers::caller::Scope;
use crate::handlers::diagram_revisions::{self, LabelRequest, ListRequest, RestoreRequest, Revision};
use crate::handlers::diff_executions::{self, diff_executions};
use crate::handlers::read_diagram::{self, read_diagram};

const READS: &[Scope] = &[Scope::DiagramRead];
const WRITES: &[Scope] = &[Scope::DiagramRead, Scope::DiagramWrite];

/// Two revisions of a diagram.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CompareRequest {
    /// Name of a diagram.
    pub name: String,
    /// The earlier revision.
    pub n: u64,
    /// The later revision.
    pub m: u64,
}

/// The operations on revisions.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        id: "listRevisions",
        verb: Verb::Get,
        path: "/api/v1/diagrams/{name}/revisions",
        group: "revisions",
        summary: "List the revisions of a diagram, newest first, also of one that is gone",
        handler: "diagram_revisions::list",
        scopes: READS,
        request: Some(shape::<ListRequest>("ListRevisions")),
        names: &[],
        hidden: &[],
        listens: Listens::IfNoneMatch,
        successes: &[Success {
            status: 200,
            about: "The revisions.",
            body: Some(shape::<Page<Revision>>("RevisionList")),
        }],
        refusals: &[404],
        call: |asked| Box::pin(list(asked)),
    },
    Operation {
        id: "labelRevision",
        verb: Verb::Post,
        path: "/api/v1/diagrams/{name}/revisions",
        group: "revisions",
        summary: "Say something of the present text; the same text makes no new number",
        handler: "diagram_revisions::label",
        scopes: WRITES,
        request: Some(shape::<LabelRequest>("LabelRevision")),
        names: &[],
        hidden: &[],
        listens: Listens::Nothing,
        successes: &[Success {
            status: 201,
            about: "The newest revision, with its message.",
            body: Some(shape::<Revision>("LabelledRevision")),
        }],
        refusals: &[404, 409],
        call: |asked| Box::pin(label(asked)),
    },
    Operation {
        id: "readRevision",
        verb: Verb::Get,
        path: "/api/v1/diagrams/{name}/revisions/{n}",
        group: "revisions",
        summary: "Read a revision",
        handler: "read_diagram",
        scopes: READS,
        request: Some(shape::<read_diagram::Request>("ReadRevision")),
        names: &[("n", "revision")],
        hidden: &[],
        listens: Listens::IfNoneMatch,
        successes: &[Success { status: 200, about: "The diagram as it was.", body: Some(DIAGRAM) }],
        refusals: &[404],
        call: |asked| Box::pin(read(asked)),
    },
    Operation {
        id: "compareRevisions",
        verb: Verb::Get,
        path: "/api/v1/diagrams/{name}/revisions/{n}/diff/{m}",
        group: "revisions",
        summary: "Say how two revisions differ",
        handler: "diff_executions",
        scopes: READS,
        request: Some(shape::<CompareRequest>("CompareRevisions")),
        names: &[],
        hidden: &[],
        listens: Listens::IfNoneMatch,
        successes: &[Success {
            status: 200,
            about: "What was added, removed and changed; formatting and order are no change.",
            body: Some(shape::<diff_executions::Response>("Difference")),
        }],
        refusals: &[404],
        call: |asked| Box::pin(compare(asked)),
    },
    Operation {
        id: "restoreRevision",
        verb: Verb::Post,
        path: "/api/v1/diagrams/{name}/revisions/{n}/restore",
        group: "revisions",
        summary: "Make an earlier text the present one, as a new revision",
        handler: "diagram_revisions::restore",
        scopes: WRITES,
        request: Some(shape::<RestoreRequest>("RestoreRevision")),
        names: &[("n", "revision")],
        hidden: &[],
        listens: Listens::IfMatch,
        successes: &[Success { status: 200, about: "The diagram as it is now.", body: Some(DIAGRAM) }],
        refusals: &[404, 409],
        call: |asked| Box::pin(restore(asked)),
    },
];

async fn list(asked: Asked) -> Result<Answer, Error> {
    let mut request: ListRequest = asked.request()?;
    let window = Window { limit: request.limit, offset: request.offset };
    request.limit.get_or_insert(LIMIT);
    let found = diagram_revisions::list(&asked.app, &asked.caller, request).await?;
    Answer::ok(window.page(found.revisions, found.total as u64))
}

async fn label(asked: Asked) -> Result<Answer, Error> {
    let labelled = diagram_revisions::label(&asked.app, &asked.caller, asked.request()?).await?;
    let tag = labelled.n.to_string();
    Ok(Answer::with(StatusCode::CREATED, labelled)?.tagged(&tag))
}

async fn read(asked: Asked) -> Result<Answer, Error> {
    Answer::ok(read_diagram(&asked.app, &asked.caller, asked.request()?).await?)
}

async fn compare(asked: Asked) -> Result<Answer, Error> {
    let CompareRequest { name, n, m } = asked.request()?;
    let request = diff_executions::Request { a: format!("{name}@{n}"), b: format!("{name}@{m}") };
    Answer::ok(diff_executions(&asked.app, &asked.caller, request).await?)
}

async fn restore(asked: Asked) -> Result<Answer, Error> {
    let expected = asked.conditions.expected()?;
    let restored = diagram_revisions::restore(&asked.app, &asked.caller, asked.request()?, expected).await?;
    let tag = restored.revision.to_string();
    Ok(Answer::ok(restored)?.tagged(&tag))
}
