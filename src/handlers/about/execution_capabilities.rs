//! What executions can do here, and who is there to be asked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::caller::Scope;
use super::super::persons::{self, Person};
use super::super::{App, Caller};
use super::system_info::{llm_services, node_types};
use crate::error::Error;

/// What an execution may use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub supported_node_types: Vec<String>,
    pub supported_llm_services: Vec<String>,
    /// Those of the workspace, then those of diagrams.
    pub available_persons: Vec<AvailablePerson>,
    pub execution_features: Features,
}

/// A person in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AvailablePerson {
    pub id: String,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub model: Option<String>,
    /// The name of a key, never a key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub api_key_id: Option<String>,
}

/// What the engine can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Features {
    pub interactive_prompts: bool,
    pub pause_resume: bool,
    pub node_skip: bool,
    pub real_time_updates: bool,
    pub token_tracking: bool,
}

/// Describes what executions can do here.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`; what the database says.
pub async fn execution_capabilities(app: &App, caller: &Caller) -> Result<Response, Error> {
    caller.require(&[Scope::DiagramRead])?;
    let persons = persons::list::list_persons(app, caller, persons::list::Request::default()).await?;
    Ok(Response {
        supported_node_types: node_types(),
        supported_llm_services: llm_services(),
        available_persons: persons.persons.into_iter().map(available).collect(),
        execution_features: Features {
            interactive_prompts: true,
            pause_resume: true,
            node_skip: true,
            real_time_updates: true,
            token_tracking: true,
        },
    })
}

fn available(person: Person) -> AvailablePerson {
    AvailablePerson { id: person.id, name: person.label, model: person.model, api_key_id: person.api_key_id }
}
