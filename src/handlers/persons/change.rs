//! Makes, changes and removes persons of the workspace.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::caller::Scope;
use super::super::{App, Caller};
use super::{Person, config, not_found, principal_of, shown_row};
use crate::diagram::write::person_fields;
use crate::error::Error;
use crate::store::{PersonRow, Store};

/// A person to be.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRequest {
    /// The name by which diagrams know it.
    pub label: String,
    /// With the keys of a diagram: `service`, `model`, `system_prompt` …
    #[serde(default)]
    pub config: Map<String, Value>,
}

/// What to change; what is left out stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateRequest {
    pub person_id: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub label: Option<String>,
    /// Goes over what is there; null takes a key away.
    #[serde(default)]
    pub config: Map<String, Value>,
}

/// What was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deleted {
    pub deleted_id: String,
}

/// Makes a person. What the owner makes is everybody's, what another principal makes is theirs.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `INVALID_NAME`, `INVALID_INPUT` with every problem, `PERMISSION_REQUIRED`,
/// `SECRET_NOT_FOUND`, `ALREADY_EXISTS`; what the database says.
pub async fn create_person(app: &App, caller: &Caller, request: CreateRequest) -> Result<Person, Error> {
    caller.require(&[Scope::DiagramWrite])?;
    let person = config::check(app, caller, &request.label, &request.config)?;
    let now = app.clock.now();
    let row = PersonRow {
        id: new_id(),
        label: request.label,
        config: Value::Object(person_fields(&person)).to_string(),
        principal: principal_of(caller),
        created_at: now,
        updated_at: now,
    };
    app.store()?.add_person(row.clone()).await?;
    shown_row(&row)
}

/// Changes a person.
///
/// # Errors
///
/// As [`create_person`], and `PERSON_NOT_FOUND`.
pub async fn update_person(app: &App, caller: &Caller, request: UpdateRequest) -> Result<Person, Error> {
    caller.require(&[Scope::DiagramWrite])?;
    let store = app.store()?;
    let before = own(store, caller, &request.person_id)?;
    let mut config: Map<String, Value> = serde_json::from_str(&before.config)
        .map_err(|error| Error::internal(format!("the person `{}` is stored malformed", before.id)).source(error))?;
    for (key, value) in request.config {
        if value.is_null() {
            config.shift_remove(&key);
        } else {
            config.insert(key, value);
        }
    }
    let label = request.label.unwrap_or(before.label);
    let person = config::check(app, caller, &label, &config)?;
    let config = Value::Object(person_fields(&person)).to_string();
    let row = PersonRow { label, config, updated_at: app.clock.now(), ..before };
    if !store.change_person(row.clone()).await? {
        return Err(not_found(&request.person_id));
    }
    shown_row(&row)
}

/// Removes a person. Executions that began with it go on with it.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `PERSON_NOT_FOUND`, `PERMISSION_REQUIRED`; what the database says.
pub async fn delete_person(app: &App, caller: &Caller, person_id: &str) -> Result<Deleted, Error> {
    caller.require(&[Scope::DiagramWrite])?;
    let Some(store) = app.existing_store()? else { return Err(not_found(person_id)) };
    let row = own(store, caller, person_id)?;
    if !store.remove_person(&row.id).await? {
        return Err(not_found(person_id));
    }
    Ok(Deleted { deleted_id: row.id })
}

/// The row of a person that `caller` may change.
fn own(store: &Store, caller: &Caller, person_id: &str) -> Result<PersonRow, Error> {
    let row = store.person(person_id)?.filter(|it| caller.may_see(it.principal.as_deref()));
    let row = row.ok_or_else(|| not_found(person_id))?;
    if row.principal.is_none() && !caller.is_owner() {
        return Err(Error::refused("PERMISSION_REQUIRED", format!("`{}` is everybody's person", row.label))
            .hint("only the owner of the server may change it; one of your own with this name comes first for you"));
    }
    Ok(row)
}

fn new_id() -> String {
    let digits = uuid::Uuid::new_v4().simple().to_string();
    format!("person_{}", &digits[..12])
}
