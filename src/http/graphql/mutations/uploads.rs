//! Files that clients bring.

use async_graphql::{Context, Object};

use crate::error::Error;
use crate::handlers::files::upload_diagram::{self, upload_diagram};
use crate::handlers::files::upload_file::{self, upload_file};
use crate::http::graphql::caller::desk;
use crate::http::graphql::types::results::{envelope, refused_json};
use crate::http::graphql::types::scalars::{Json, Upload};
use crate::http::graphql::types::words::DiagramFormat;

#[derive(Default)]
pub struct UploadMutations;

#[Object(rename_args = "snake_case")]
impl UploadMutations {
    /// Keeps a file below files/; what was there is kept beside it.
    async fn upload_file(
        &self,
        context: &Context<'_>,
        file: Upload,
        #[graphql(desc = "Below files/; uploads/ and the name of the file when absent.")] path: Option<String>,
    ) -> Json {
        let (app, _) = desk(context);
        kept(context, file, path).await.map_or_else(|it| refused_json(it, app.scrubber()), |it| envelope(&it)).into()
    }

    /// Compiles a diagram and keeps it when it is valid, as submitted.
    async fn upload_diagram(&self, context: &Context<'_>, file: Upload, format: DiagramFormat) -> Json {
        let (app, _) = desk(context);
        compiled(context, file, format)
            .await
            .map_or_else(|it| refused_json(it, app.scrubber()), |it| envelope(&it))
            .into()
    }
}

async fn kept(context: &Context<'_>, file: Upload, path: Option<String>) -> Result<upload_file::Response, Error> {
    let (app, caller) = desk(context);
    let file = file.take(context)?;
    let request = upload_file::Request { name: file.filename, path, content_type: file.content_type };
    upload_file(app, caller, request, file.body).await
}

async fn compiled(
    context: &Context<'_>,
    file: Upload,
    format: DiagramFormat,
) -> Result<upload_diagram::Response, Error> {
    let (app, caller) = desk(context);
    let file = file.take(context)?;
    let request = upload_diagram::Request { name: file.filename, format: format.name() };
    upload_diagram(app, caller, request, file.body).await
}
