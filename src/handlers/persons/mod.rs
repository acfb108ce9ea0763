//! Persons of the workspace, which any diagram may name, and those that stand in diagrams.
//!
//! A person that a client wrote may be named by a diagram that may do more than that client, so a client may not
//! say where its calls go, that a program of this machine answers, or whose key is used: these are for a person at
//! the terminal.

pub mod change;
pub mod get;
pub mod list;

mod config;
pub(super) mod of_workspace;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(super) use self::of_workspace::{WorkspacePersons, kept_with};
use super::{App, Caller};
use crate::diagram;
use crate::diagram::write::person_fields;
use crate::error::Error;
use crate::secret::looks_like_a_key;
use crate::store::PersonRow;

/// A person as shown. No key is ever part of it, only the name of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Person {
    /// `person_…` of the workspace, `DIAGRAM#NAME` of a diagram.
    pub id: String,
    /// The name by which diagrams know it.
    pub label: String,
    /// The diagram that it stands in; absent for one of the workspace.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub diagram_id: Option<String>,
    /// Absent when the diagram names a service that nobody knows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub api_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub system_prompt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub prompt_file: Option<String>,
    /// Everything else, with the keys of a diagram: `temperature`, `max_tokens`, `tools`, `budget` …
    #[serde(skip_serializing_if = "Map::is_empty", default)]
    pub config: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub updated_at: Option<String>,
}

/// Shows a person as it was read.
fn shown(id: String, person: &diagram::Person) -> Person {
    let mut config = person_fields(person);
    let mut take = |key: &str| match config.shift_remove(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    // Somebody may have put the key itself where its name belongs.
    let name_of_key = |it: String| if looks_like_a_key(&it) { "***".to_owned() } else { it };
    Person {
        id,
        label: person.label.clone(),
        diagram_id: None,
        service: take("service"),
        model: take("model"),
        api_key_id: take("api_key_id").map(name_of_key),
        system_prompt: take("system_prompt"),
        prompt_file: take("prompt_file"),
        config,
        created_at: None,
        updated_at: None,
    }
}

/// Shows a person of the workspace.
fn shown_row(row: &PersonRow) -> Result<Person, Error> {
    let config: Map<String, Value> = serde_json::from_str(&row.config)
        .map_err(|error| Error::internal(format!("the person `{}` is stored malformed", row.id)).source(error))?;
    let person = config::as_written(&row.label, &config)
        .ok_or_else(|| Error::internal(format!("the person `{}` does not read any more", row.id)))?;
    Ok(Person {
        created_at: Some(row.created_at.to_rfc3339()),
        updated_at: Some(row.updated_at.to_rfc3339()),
        ..shown(row.id.clone(), &person)
    })
}

/// Whose persons a caller's diagrams mean besides everybody's; the owner's are everybody's.
fn principal_of(caller: &Caller) -> Option<String> {
    (!caller.is_owner()).then(|| caller.principal().to_owned())
}

impl App {
    /// The persons that a diagram of this caller may name.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub(super) fn persons_for(&self, caller: &Caller) -> Result<WorkspacePersons, Error> {
        Ok(WorkspacePersons::new(self.existing_store()?.cloned(), principal_of(caller)))
    }
}

fn not_found(id: &str) -> Error {
    let shown: String = id.chars().filter(|it| !it.is_control()).take(80).collect();
    Error::not_found("PERSON_NOT_FOUND", format!("there is no person `{shown}`"))
        .hint("give the id or name of a person of the workspace, or `DIAGRAM#NAME`")
}
