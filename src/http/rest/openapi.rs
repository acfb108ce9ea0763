//! The description of the interface, OpenAPI 3.1, made from the same list as the routes. Schemas are JSON Schema
//! 2020-12 as the handlers' types give it.

use schemars::SchemaGenerator;
use schemars::generate::Contract;
use serde_json::{Map, Value, json};

use super::conditions::IDEMPOTENCY_KEY;
use super::operation::{Listens, Operation, Success};
use super::schemas::{self, Parameter, Place};
use crate::handlers::caller::Scope;

/// What every operation can say besides what it is for: `(status, meaning)`.
const OF_EVERY_OPERATION: [(u16, &str); 6] = [
    (400, "Something in the request is wrong; every problem is told at once."),
    (401, "The server asks for a token, and none that it knows was shown."),
    (403, "The token does not allow this, or the server does not answer to this name, page or proxy."),
    (429, "There is too much under way, or a limit was reached."),
    (500, "A bug of dipeo."),
    (502, "Something outside failed: a model, the network, the disk."),
];
/// What operations with a body can say.
const OF_A_BODY: [(u16, &str); 3] =
    [(408, "The body did not come in time."), (413, "The body is too large."), (415, "The body is no JSON.")];
const OTHERS: [(u16, &str); 2] =
    [(404, "There is no such thing, or it belongs to somebody else."), (409, "It clashes with what is there now.")];

/// What the groups are about.
const GROUPS: [(&str, &str); 7] = [
    ("diagrams", "Diagrams of the workspace."),
    ("revisions", "Their history: whatever a file held is a revision."),
    ("runs", "Starting executions."),
    ("executions", "Finding, reading and steering executions."),
    ("models", "Models and keys, by name."),
    ("search", "Finding things by words, and reading them."),
    ("aliases", "Paths of Tool Hub, for its clients: the same use cases in its words."),
];

/// Below these paths every value of a path is the id of an execution.
const EXECUTIONS: [&str; 2] = ["/api/v1/executions/", "/api/executions/"];
const EXECUTION_ID: &str = "^exec_[0-9a-f]{32}$";

/// Describes these operations.
pub fn document(operations: &[&Operation]) -> Value {
    let mut asked = schemas::generator("/components/schemas", Contract::Deserialize);
    let mut answered = schemas::generator("/components/schemas", Contract::Serialize);
    let (mut components, mut paths) = (Map::new(), Map::new());
    components.insert("Error".to_owned(), error_schema());
    for operation in operations {
        let item = paths.entry(operation.path).or_insert_with(|| json!({}));
        let described = described(operation, &mut asked, &mut answered, &mut components);
        item[operation.verb.name().to_lowercase()] = described;
    }
    for (name, schema) in asked.take_definitions(false).into_iter().chain(answered.take_definitions(false)) {
        components.entry(name).or_insert(schema);
    }
    components.sort_keys();
    components.values_mut().for_each(without_empty_defaults);
    paths.values_mut().for_each(without_empty_defaults);
    let groups: Vec<Value> = GROUPS.iter().map(|(name, about)| json!({"name": name, "description": about})).collect();
    json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "DiPeO",
            "version": env!("CARGO_PKG_VERSION"),
            "description": env!("CARGO_PKG_DESCRIPTION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": groups,
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": refusal_responses(),
            "headers": headers(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
        // A server that asks nobody takes requests without a token.
        "security": [{"bearer": []}, {"apiKey": []}, {}],
    })
}

/// A default of null says nothing but that a value may be left out, which is said already.
fn without_empty_defaults(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if map.get("default") == Some(&Value::Null) {
                map.shift_remove("default");
            }
            map.values_mut().for_each(without_empty_defaults);
        }
        Value::Array(items) => items.iter_mut().for_each(without_empty_defaults),
        _ => {}
    }
}

fn described(
    operation: &Operation,
    asked: &mut SchemaGenerator,
    answered: &mut SchemaGenerator,
    components: &mut Map<String, Value>,
) -> Value {
    let all = schemas::parameters(operation, asked);
    let mut described = json!({
        "operationId": operation.id,
        "tags": [operation.group],
        "summary": operation.summary,
        "parameters": parameters(operation, &all),
        "responses": responses(operation, answered, components),
        "x-handler": operation.handler,
        "x-scopes": operation.scopes.iter().map(|it| Scope::name(*it)).collect::<Vec<_>>(),
    });
    if operation.verb.has_body() {
        described["requestBody"] = body(&all);
    }
    described
}

fn parameters(operation: &Operation, all: &[Parameter]) -> Vec<Value> {
    let in_address = all.iter().filter(|it| it.place != Place::Body).map(|it| {
        let mut schema = it.schema.clone();
        let about = schema.as_object_mut().and_then(|it| it.remove("description"));
        if it.place == Place::Path && EXECUTIONS.iter().any(|path| operation.path.starts_with(path)) {
            // Said, not checked here: the handler's own refusal says more.
            schema["pattern"] = EXECUTION_ID.into();
        }
        let place = if it.place == Place::Path { "path" } else { "query" };
        let mut parameter = json!({"name": it.name, "in": place, "required": it.is_required, "schema": schema});
        if let Some(about) = about {
            parameter["description"] = about;
        }
        parameter
    });
    let header = |name: &str, about: &str| json!({"name": name, "in": "header", "required": false, "description": about, "schema": {"type": "string"}});
    let listened = match operation.listens {
        Listens::Nothing => None,
        Listens::IfNoneMatch => Some(header("If-None-Match", "The `ETag` of the answer that the client has.")),
        Listens::IfMatch => Some(header("If-Match", "The `ETag` of what is to be changed; `*` for whatever it is.")),
        Listens::IdempotencyKey => {
            let key = header(IDEMPOTENCY_KEY, "The same key within 24 h returns what was started first.");
            Some(with(key, "schema", json!({"type": "string", "minLength": 1, "maxLength": 255})))
        }
    };
    in_address.chain(listened).collect()
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

fn body(all: &[Parameter]) -> Value {
    let of_body: Vec<&Parameter> = all.iter().filter(|it| it.place == Place::Body).collect();
    let required: Vec<&str> = of_body.iter().filter(|it| it.is_required).map(|it| it.name.as_str()).collect();
    let properties: Map<String, Value> = of_body.iter().map(|it| (it.name.clone(), it.schema.clone())).collect();
    let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    json!({"required": !required.is_empty(), "content": {"application/json": {"schema": schema}}})
}

fn responses(operation: &Operation, answered: &mut SchemaGenerator, components: &mut Map<String, Value>) -> Value {
    let mut responses = Map::new();
    for success in operation.successes {
        responses.insert(success.status.to_string(), response(operation, success, answered, components));
    }
    if operation.listens == Listens::IfNoneMatch {
        responses.insert("304".to_owned(), json!({"description": "It is as the client has it."}));
    }
    for status in statuses(operation) {
        responses.insert(status.to_string(), json!({"$ref": format!("#/components/responses/{status}")}));
    }
    Value::Object(responses)
}

/// The refusals that an operation can answer with.
pub fn statuses(operation: &Operation) -> Vec<u16> {
    let of_body = OF_A_BODY.iter().filter(|_| operation.verb.has_body());
    let mut all: Vec<u16> = OF_EVERY_OPERATION.iter().chain(of_body).map(|it| it.0).collect();
    all.extend(operation.refusals);
    all.sort_unstable();
    all
}

fn response(
    operation: &Operation,
    success: &Success,
    answered: &mut SchemaGenerator,
    components: &mut Map<String, Value>,
) -> Value {
    let mut response = json!({"description": success.about});
    if let Some(shape) = success.body {
        let schema = schemas::reference(shape, answered, components);
        response["content"] = json!({"application/json": {"schema": schema}});
    }
    if operation.listens == Listens::IfNoneMatch {
        response["headers"] = json!({"ETag": {"$ref": "#/components/headers/ETag"}});
    }
    response
}

fn headers() -> Value {
    json!({"ETag": {"description": "The state of the thing, for `If-None-Match` and `If-Match`.", "schema": {"type": "string"}}})
}

fn refusal_responses() -> Value {
    let all = OF_EVERY_OPERATION.iter().chain(&OF_A_BODY).chain(&OTHERS);
    let schema = json!({"$ref": "#/components/schemas/Error"});
    let response = |about: &str| json!({"description": about, "content": {"application/json": {"schema": schema}}});
    Value::Object(all.map(|(status, about)| (status.to_string(), response(about))).collect())
}

/// The error object of surface.md 1.3.
fn error_schema() -> Value {
    json!({
        "type": "object",
        "description": "What went wrong, and what to do.",
        "properties": {
            "error": {
                "type": "object",
                "properties": {
                    "code": {"type": "string", "description": "Stable; each has a page in the guide."},
                    "message": {"type": "string"},
                    "hint": {"type": "string", "description": "What to do."},
                    "type": {"type": "string", "description": "The exception of user code."},
                    "details": {"description": "Particulars: every problem, the scopes that are needed."},
                    "cause": {"description": "The error of what was called."},
                    "request_id": {"type": "string", "description": "As in the log of the server."},
                },
                "required": ["code", "message"],
            },
        },
        "required": ["error"],
    })
}
