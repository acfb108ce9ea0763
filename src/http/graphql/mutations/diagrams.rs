//! Making, removing, checking and converting diagrams.

use async_graphql::{Context, Object};

use crate::handlers::compile_diagram::{self, compile_diagram};
use crate::handlers::convert_diagram::{self, convert_diagram};
use crate::handlers::create_diagram::{self, create_diagram};
use crate::handlers::delete_diagram::{self, delete_diagram};
use crate::handlers::save_diagram::Expected;
use crate::http::graphql::caller::desk;
use crate::http::graphql::types::diagram::{CreateDiagramInput, DomainDiagramType};
use crate::http::graphql::types::results::{DeleteResult, FormatConversionResult, Outcome, envelope, refused_json};
use crate::http::graphql::types::scalars::Json;
use crate::http::graphql::types::words::DiagramFormat;

#[derive(Default)]
pub struct DiagramMutations;

#[Object(rename_args = "snake_case")]
impl DiagramMutations {
    /// Makes a diagram with nothing but a start.
    async fn create_diagram(&self, context: &Context<'_>, input: CreateDiagramInput) -> Outcome<DomainDiagramType> {
        let (app, caller) = desk(context);
        let CreateDiagramInput { name, description, author, tags } = input;
        let request = create_diagram::Request { name, description, author, tags: tags.unwrap_or_default() };
        match create_diagram(app, caller, request).await {
            Ok(response) => {
                let data = DomainDiagramType::of(&response.saved);
                Outcome::done(format!("created `{}`", response.saved.name), &response, data)
            }
            Err(error) => Outcome::refused(error, app.scrubber()),
        }
    }

    /// Removes a diagram; its revisions and its executions stay.
    async fn delete_diagram(&self, context: &Context<'_>, diagram_id: String) -> DeleteResult {
        let (app, caller) = desk(context);
        match delete_diagram(app, caller, delete_diagram::Request { name: diagram_id }, Expected::Anything).await {
            Ok(response) => {
                DeleteResult::done(format!("removed `{}`", response.name), &response, response.name.clone())
            }
            Err(error) => DeleteResult::refused(error, app.scrubber()),
        }
    }

    /// Every problem of a diagram, with its place and what to do.
    async fn validate_diagram(&self, context: &Context<'_>, content: String, format: DiagramFormat) -> Json {
        let (app, caller) = desk(context);
        let request = compile_diagram::Request { content, format_type: format.name(), ..Default::default() };
        let extras = compile_diagram::Extras::default();
        match compile_diagram(app, caller, request, extras).await {
            Ok(response) => envelope(&response).into(),
            Err(error) => refused_json(error, app.scrubber()).into(),
        }
    }

    /// Writes a diagram in another format; what that leaves out is in the envelope.
    async fn convert_diagram_format(
        &self,
        context: &Context<'_>,
        content: String,
        from_format: DiagramFormat,
        to_format: DiagramFormat,
    ) -> FormatConversionResult {
        let (app, _) = desk(context);
        let request = convert_diagram::Request {
            content,
            from_format: from_format.name(),
            to_format: Some(to_format.target()),
            ..convert_diagram::Request::default()
        };
        match convert_diagram(&request) {
            Ok(response) => {
                let text = response.content.clone();
                FormatConversionResult::done(&response, text, response.to_format, response.from_format)
            }
            Err(error) => FormatConversionResult::refused(error, app.scrubber()),
        }
    }
}
