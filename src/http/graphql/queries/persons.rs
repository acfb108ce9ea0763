//! Persons of the workspace and of diagrams.

use async_graphql::{Context, Object};

use crate::error::Error;
use crate::handlers::persons::get::get_person;
use crate::handlers::persons::list::{Request, list_persons};
use crate::http::graphql::caller::desk;
use crate::http::graphql::types::paging;
use crate::http::graphql::types::person::DomainPersonType;

#[derive(Default)]
pub struct PersonQueries;

#[Object(rename_args = "snake_case")]
impl PersonQueries {
    /// A person of the workspace by id or name, or of a diagram as `DIAGRAM#NAME`.
    async fn get_person(&self, context: &Context<'_>, person_id: String) -> Result<DomainPersonType, Error> {
        let (app, caller) = desk(context);
        Ok(get_person(app, caller, &person_id).await?.into())
    }

    /// The persons of the workspace, then those of diagrams.
    async fn list_persons(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "At most so many (100, up to 1000).")] limit: Option<f64>,
    ) -> Result<Vec<DomainPersonType>, Error> {
        let (app, caller) = desk(context);
        let request = Request { limit: Some(paging::limit(limit)?), ..Request::default() };
        let listed = list_persons(app, caller, request).await?;
        Ok(listed.persons.into_iter().map(DomainPersonType::from).collect())
    }
}
