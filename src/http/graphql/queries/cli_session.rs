//! The run of a terminal that is to be watched.

use async_graphql::{Context, Object};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::handlers::external::active::active_cli_session;
use crate::http::graphql::caller::desk;
use crate::http::graphql::types::results::envelope;
use crate::http::graphql::types::scalars::Json;

#[derive(Default)]
pub struct CliSessionQueries;

#[Object(rename_args = "snake_case")]
impl CliSessionQueries {
    /// The newest unfinished execution that was started from a terminal or registered; `{}` when there is none.
    async fn get_active_cli_session(&self, context: &Context<'_>) -> Result<Json, Error> {
        let (app, caller) = desk(context);
        let session = active_cli_session(app, caller).await?;
        Ok(session.map_or_else(|| Value::Object(Map::new()), |it| envelope(&it)).into())
    }
}
