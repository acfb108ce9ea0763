//! The diagrams of the workspace.

use async_graphql::{Context, Object};

use crate::error::Error;
use crate::handlers::about::supported_formats::supported_formats;
use crate::handlers::list_diagrams::{self, list_diagrams};
use crate::handlers::read_diagram::{self, read_diagram};
use crate::http::graphql::caller::desk;
use crate::http::graphql::types::diagram::{DiagramFilterInput, DomainDiagramType};
use crate::http::graphql::types::paging;
use crate::http::graphql::types::results::envelope;
use crate::http::graphql::types::scalars::Json;

#[derive(Default)]
pub struct DiagramQueries;

#[Object(rename_args = "snake_case")]
impl DiagramQueries {
    /// A diagram in its canonical form.
    async fn get_diagram(&self, context: &Context<'_>, diagram_id: String) -> Result<DomainDiagramType, Error> {
        let (app, caller) = desk(context);
        let request = read_diagram::Request { name: diagram_id, ..read_diagram::Request::default() };
        Ok(DomainDiagramType::of(&read_diagram(app, caller, request).await?))
    }

    /// The diagrams of the workspace, by path. One that cannot be read has no nodes, and says why in the
    /// description of its metadata.
    async fn list_diagrams(
        &self,
        context: &Context<'_>,
        filter: Option<DiagramFilterInput>,
        #[graphql(desc = "At most so many (100, up to 1000).")] limit: Option<f64>,
        #[graphql(desc = "How many of the first to leave out.")] offset: Option<f64>,
    ) -> Result<Vec<DomainDiagramType>, Error> {
        let (app, caller) = desk(context);
        let filter = filter.unwrap_or_default();
        let request = list_diagrams::Request {
            name: filter.name,
            author: filter.author,
            tags: filter.tags,
            created_after: filter.created_after.map(|it| it.0),
            created_before: filter.created_before.map(|it| it.0),
            limit: Some(paging::limit(limit)?),
            offset: paging::offset(offset)?,
            ..list_diagrams::Request::default()
        };
        let listed = list_diagrams(app, caller, request).await?;
        Ok(listed.diagrams.into_iter().map(DomainDiagramType::listed).collect())
    }

    /// The text forms that diagrams are read and written in.
    async fn get_supported_formats(&self, context: &Context<'_>) -> Result<Json, Error> {
        let (app, caller) = desk(context);
        Ok(envelope(&supported_formats(app, caller).await?).into())
    }
}
