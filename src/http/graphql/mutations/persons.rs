//! Persons of the workspace.

use async_graphql::{Context, Object};

use crate::error::Error;
use crate::handlers::App;
use crate::handlers::persons::Person;
use crate::handlers::persons::change::{CreateRequest, UpdateRequest, create_person, delete_person, update_person};
use crate::http::graphql::caller::desk;
use crate::http::graphql::types::person::{CreatePersonInput, DomainPersonType, UpdatePersonInput};
use crate::http::graphql::types::results::{DeleteResult, Outcome};

type PersonResult = Outcome<DomainPersonType>;

#[derive(Default)]
pub struct PersonMutations;

#[Object(rename_args = "snake_case")]
impl PersonMutations {
    /// Makes a person that any diagram may name.
    async fn create_person(&self, context: &Context<'_>, input: CreatePersonInput) -> PersonResult {
        let (app, caller) = desk(context);
        let request = CreateRequest { label: input.label, config: input.llm_config.to_json() };
        answered(app, "created", create_person(app, caller, request).await)
    }

    /// Changes a person; what is left out stays.
    async fn update_person(&self, context: &Context<'_>, person_id: String, input: UpdatePersonInput) -> PersonResult {
        let (app, caller) = desk(context);
        let config = input.llm_config.map(|it| it.to_json()).unwrap_or_default();
        let request = UpdateRequest { person_id, label: input.label, config };
        answered(app, "changed", update_person(app, caller, request).await)
    }

    /// Removes a person of the workspace.
    async fn delete_person(&self, context: &Context<'_>, person_id: String) -> DeleteResult {
        let (app, caller) = desk(context);
        match delete_person(app, caller, &person_id).await {
            Ok(response) => {
                DeleteResult::done(format!("removed `{}`", response.deleted_id), &response, response.deleted_id.clone())
            }
            Err(error) => DeleteResult::refused(error, app.scrubber()),
        }
    }
}

fn answered(app: &App, done: &str, outcome: Result<Person, Error>) -> PersonResult {
    match outcome {
        Ok(person) => {
            let message = format!("{done} `{}`", person.label);
            Outcome::done(message, &person, DomainPersonType::from(person.clone()))
        }
        Err(error) => Outcome::refused(error, app.scrubber()),
    }
}
