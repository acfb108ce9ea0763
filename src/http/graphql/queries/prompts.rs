//! Prompt files of the workspace.

use async_graphql::{Context, Object};

use crate::error::Error;
use crate::handlers::files::prompts::{list_prompt_files, read_prompt_file};
use crate::http::graphql::caller::desk;
use crate::http::graphql::types::results::envelope;
use crate::http::graphql::types::scalars::Json;

#[derive(Default)]
pub struct PromptQueries;

#[Object(rename_args = "snake_case")]
impl PromptQueries {
    /// The files below files/prompts that a `prompt_file` may name.
    async fn list_prompt_files(&self, context: &Context<'_>) -> Result<Vec<Json>, Error> {
        let (app, caller) = desk(context);
        Ok(list_prompt_files(app, caller).await?.iter().map(|it| envelope(it).into()).collect())
    }

    /// One of them, with what is in it.
    async fn get_prompt_file(&self, context: &Context<'_>, filename: String) -> Result<Json, Error> {
        let (app, caller) = desk(context);
        Ok(envelope(&read_prompt_file(app, caller, &filename).await?).into())
    }
}
