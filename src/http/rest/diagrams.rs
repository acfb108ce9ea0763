//! Diagrams of the workspace: made, read, changed, removed, checked.

use axum::http::StatusCode;

use super::lists::{LIMIT, Page, Window};
use super::operation::{Answer, Asked, Listens, Operation, Shape, Success, Verb, shape};
use crate::compile::report::Report;
use crate::error::Error;
use crate::handlers::caller::Scope;
use crate::handlers::compile_diagram::{self, compile_diagram};
use crate::handlers::convert_diagram::{self, convert_diagram};
use crate::handlers::delete_diagram::{self, delete_diagram};
use crate::handlers::diagram_stats::{self, diagram_stats};
use crate::handlers::list_diagrams::{self, ListedDiagram, list_diagrams};
use crate::handlers::read_diagram::{self, read_diagram};
use crate::handlers::save_diagram::{self, Expected, Extras, save_diagram};
use crate::handlers::validate_diagram::{self, validate_diagram};

/// A diagram with its text.
pub const DIAGRAM: Shape = shape::<read_diagram::Response>("Diagram");
const SAVED: Shape = shape::<save_diagram::Response>("SavedDiagram");

const WRITES: &[Scope] = &[Scope::DiagramRead, Scope::DiagramWrite];
const READS: &[Scope] = &[Scope::DiagramRead];

/// The operations on diagrams.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        id: "listDiagrams",
        verb: Verb::Get,
        path: "/api/v1/diagrams",
        group: "diagrams",
        summary: "List the diagrams of the workspace, by path",
        handler: "list_diagrams",
        scopes: READS,
        request: Some(shape::<list_diagrams::Request>("ListDiagrams")),
        names: &[],
        hidden: &[],
        listens: Listens::IfNoneMatch,
        successes: &[Success {
            status: 200,
            about: "Those that fit.",
            body: Some(shape::<Page<ListedDiagram>>("DiagramList")),
        }],
        refusals: &[],
        call: |asked| Box::pin(list(asked)),
    },
    Operation {
        id: "createDiagram",
        verb: Verb::Post,
        path: "/api/v1/diagrams",
        group: "diagrams",
        summary: "Make a diagram; it counts as submitted until a person trusts it",
        handler: "save_diagram",
        scopes: WRITES,
        request: Some(shape::<save_diagram::Request>("SaveDiagram")),
        names: &[],
        hidden: &[],
        listens: Listens::Nothing,
        successes: &[Success { status: 201, about: "It was made.", body: Some(SAVED) }],
        refusals: &[409],
        call: |asked| Box::pin(create(asked)),
    },
    Operation {
        id: "readDiagram",
        verb: Verb::Get,
        path: "/api/v1/diagrams/{name}",
        group: "diagrams",
        summary: "Read a diagram, or one of its revisions",
        handler: "read_diagram",
        scopes: READS,
        request: Some(shape::<read_diagram::Request>("ReadDiagram")),
        names: &[],
        hidden: &[],
        listens: Listens::IfNoneMatch,
        successes: &[Success { status: 200, about: "The diagram; its `ETag` is its revision.", body: Some(DIAGRAM) }],
        refusals: &[404],
        call: |asked| Box::pin(read(asked)),
    },
    Operation {
        id: "replaceDiagram",
        verb: Verb::Put,
        path: "/api/v1/diagrams/{name}",
        group: "diagrams",
        summary: "Save a new revision of a diagram, or make it",
        handler: "save_diagram",
        scopes: WRITES,
        request: Some(shape::<save_diagram::Request>("SaveDiagram")),
        names: &[],
        hidden: &[],
        listens: Listens::IfMatch,
        successes: &[
            Success { status: 200, about: "It was saved.", body: Some(SAVED) },
            Success { status: 201, about: "There was none of this name; it was made.", body: Some(SAVED) },
        ],
        refusals: &[404, 409],
        call: |asked| Box::pin(replace(asked)),
    },
    Operation {
        id: "deleteDiagram",
        verb: Verb::Delete,
        path: "/api/v1/diagrams/{name}",
        group: "diagrams",
        summary: "Remove a diagram; its revisions and executions stay",
        handler: "delete_diagram",
        scopes: &[Scope::DiagramWrite],
        request: Some(shape::<delete_diagram::Request>("DeleteDiagram")),
        names: &[],
        hidden: &[],
        listens: Listens::IfMatch,
        successes: &[Success { status: 204, about: "It is gone.", body: None }],
        refusals: &[404, 409],
        call: |asked| Box::pin(delete(asked)),
    },
    Operation {
        id: "validateDiagram",
        verb: Verb::Post,
        path: "/api/v1/diagrams/{name}/validate",
        group: "diagrams",
        summary: "Check a diagram of the workspace",
        handler: "validate_diagram",
        scopes: READS,
        request: Some(shape::<validate_diagram::Request>("ValidateDiagram")),
        names: &[("name", "diagram")],
        hidden: &[],
        listens: Listens::Nothing,
        successes: &[Success {
            status: 200,
            about: "Every problem at once; an invalid diagram is a result too.",
            body: Some(shape::<Report>("CompileReport")),
        }],
        refusals: &[404],
        call: |asked| Box::pin(validate(asked)),
    },
    Operation {
        id: "diagramStats",
        verb: Verb::Get,
        path: "/api/v1/diagrams/{name}/stats",
        group: "diagrams",
        summary: "Count what a diagram consists of",
        handler: "diagram_stats",
        scopes: READS,
        request: Some(shape::<diagram_stats::Request>("DiagramStats")),
        names: &[("name", "diagram"), ("format", "format_type")],
        hidden: &[],
        listens: Listens::IfNoneMatch,
        successes: &[Success {
            status: 200,
            about: "The figures.",
            body: Some(shape::<diagram_stats::Response>("DiagramFigures")),
        }],
        refusals: &[404],
        call: |asked| Box::pin(stats(asked)),
    },
    Operation {
        id: "compileText",
        verb: Verb::Post,
        path: "/api/v1/compile",
        group: "diagrams",
        summary: "Check a diagram that is sent along, or repair it",
        handler: "compile_diagram",
        scopes: READS,
        request: Some(shape::<compile_diagram::Request>("CompileText")),
        names: &[("format", "format_type")],
        // Saving is another operation.
        hidden: &["push_as"],
        listens: Listens::Nothing,
        successes: &[Success {
            status: 200,
            about: "Every problem at once; an invalid diagram is a result too.",
            body: Some(shape::<compile_diagram::Response>("Compiled")),
        }],
        refusals: &[],
        call: |asked| Box::pin(compile(asked)),
    },
    Operation {
        id: "convertText",
        verb: Verb::Post,
        path: "/api/v1/convert",
        group: "diagrams",
        summary: "Write a diagram in another format, or as a picture in text",
        handler: "convert_diagram",
        scopes: READS,
        request: Some(shape::<convert_diagram::Request>("ConvertText")),
        names: &[],
        // Files are the terminal's.
        hidden: &["output", "force"],
        listens: Listens::Nothing,
        successes: &[Success {
            status: 200,
            about: "The new text, and what it does not have.",
            body: Some(shape::<convert_diagram::Response>("Converted")),
        }],
        refusals: &[],
        call: |asked| Box::pin(convert(asked)),
    },
];

async fn list(asked: Asked) -> Result<Answer, Error> {
    let mut request: list_diagrams::Request = asked.request()?;
    let window = Window { limit: request.limit, offset: request.offset };
    request.limit.get_or_insert(LIMIT);
    let found = list_diagrams(&asked.app, &asked.caller, request).await?;
    Answer::ok(window.page(found.diagrams, found.total as u64))
}

/// Where a diagram is found.
fn place(name: &str) -> String {
    let encoded = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    format!("/api/v1/diagrams/{encoded}")
}

async fn create(asked: Asked) -> Result<Answer, Error> {
    let extras = Extras { expected: Expected::Nothing, keep_invalid: false };
    let saved = save_diagram(&asked.app, &asked.caller, asked.request()?, extras).await?;
    let (place, tag) = (place(&saved.saved.name), saved.saved.revision.to_string());
    Ok(Answer::with(StatusCode::CREATED, saved)?.at(&place).tagged(&tag))
}

async fn read(asked: Asked) -> Result<Answer, Error> {
    let request: read_diagram::Request = asked.request()?;
    let format = request.format.clone();
    let read = read_diagram(&asked.app, &asked.caller, request).await?;
    let tag = match format {
        // What was converted is another text of the same revision.
        Some(_) => format!("{}-{}", read.revision, read.format),
        None => read.revision.to_string(),
    };
    Ok(Answer::ok(read)?.tagged(&tag))
}

async fn replace(asked: Asked) -> Result<Answer, Error> {
    let extras = Extras { expected: asked.conditions.expected()?, keep_invalid: false };
    let saved = save_diagram(&asked.app, &asked.caller, asked.request()?, extras).await?;
    let (place, tag) = (place(&saved.saved.name), saved.saved.revision.to_string());
    let status = if saved.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(Answer::with(status, saved)?.at(&place).tagged(&tag))
}

async fn delete(asked: Asked) -> Result<Answer, Error> {
    let expected = asked.conditions.expected()?;
    delete_diagram(&asked.app, &asked.caller, asked.request()?, expected).await?;
    Ok(Answer::nothing())
}

async fn validate(asked: Asked) -> Result<Answer, Error> {
    Answer::ok(validate_diagram(&asked.app, &asked.caller, asked.request()?).await?)
}

async fn stats(asked: Asked) -> Result<Answer, Error> {
    Answer::ok(diagram_stats(&asked.app, &asked.caller, asked.request()?).await?)
}

async fn compile(asked: Asked) -> Result<Answer, Error> {
    let extras = compile_diagram::Extras::default();
    Answer::ok(compile_diagram(&asked.app, &asked.caller, asked.request()?, extras).await?)
}

async fn convert(asked: Asked) -> Result<Answer, Error> {
    Answer::ok(convert_diagram(&asked.request()?)?)
}
