//! What runs, ran, and how it went.

use async_graphql::{Context, Object};

use crate::engine::Status;
use crate::error::Error;
use crate::handlers::execution_history::{self, execution_history};
use crate::handlers::execution_metrics::{self, execution_metrics};
use crate::handlers::execution_order::{self, execution_order};
use crate::handlers::list_executions::{self, list_executions};
use crate::handlers::run_diagram::Waiting;
use crate::handlers::see_result::see_result;
use crate::http::graphql::caller::desk;
use crate::http::graphql::types::execution::{ExecutionFilterInput, ExecutionStateType, everything};
use crate::http::graphql::types::results::envelope;
use crate::http::graphql::types::scalars::Json;
use crate::http::graphql::types::{paging, words};

#[derive(Default)]
pub struct ExecutionQueries;

#[Object(rename_args = "snake_case")]
impl ExecutionQueries {
    /// An execution; null when there is none of this id.
    async fn get_execution(
        &self,
        context: &Context<'_>,
        execution_id: String,
    ) -> Result<Option<ExecutionStateType>, Error> {
        let (app, caller) = desk(context);
        match see_result(app, caller, everything(execution_id), Waiting::default()).await {
            Ok(object) => Ok(Some(ExecutionStateType::whole(object))),
            Err(error) if error.code() == "EXECUTION_NOT_FOUND" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Executions, newest first.
    async fn list_executions(
        &self,
        context: &Context<'_>,
        filter: Option<ExecutionFilterInput>,
        #[graphql(desc = "At most so many (100, up to 1000).")] limit: Option<f64>,
        #[graphql(desc = "How many of the newest to leave out.")] offset: Option<f64>,
    ) -> Result<Vec<ExecutionStateType>, Error> {
        let (app, caller) = desk(context);
        let filter = filter.unwrap_or_default();
        let request = list_executions::Request {
            status: filter.status.and_then(|it| Status::parse(&words::word(it))),
            diagram: filter.diagram_id.map(|it| it.0),
            since: filter.started_after.map(|it| it.0),
            until: filter.started_before.map(|it| it.0),
            limit: Some(paging::limit(limit)?),
            offset: paging::offset(offset)?,
            ..list_executions::Request::default()
        };
        let listed = list_executions(app, caller, request).await?;
        Ok(listed.executions.into_iter().map(ExecutionStateType::listed).collect())
    }

    /// One entry for each run of a node, in the order in which they began.
    async fn get_execution_order(&self, context: &Context<'_>, execution_id: String) -> Result<Json, Error> {
        let (app, caller) = desk(context);
        Ok(envelope(&execution_order(app, caller, execution_order::Request { execution_id }).await?).into())
    }

    /// Where the time and the tokens went.
    async fn get_execution_metrics(&self, context: &Context<'_>, execution_id: String) -> Result<Json, Error> {
        let (app, caller) = desk(context);
        Ok(envelope(&execution_metrics(app, caller, execution_metrics::Request { execution_id }).await?).into())
    }

    /// Execution objects, newest first, with their metrics when they are asked for.
    async fn get_execution_history(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Only executions of this diagram.")] diagram_id: Option<String>,
        #[graphql(desc = "At most so many (20, up to 200).")] limit: Option<f64>,
        include_metrics: Option<bool>,
    ) -> Result<Json, Error> {
        let (app, caller) = desk(context);
        let limit = limit.map(|it| paging::limit(Some(it))).transpose()?;
        let include_metrics = include_metrics.unwrap_or(false);
        let request = execution_history::Request { diagram_id, limit, include_metrics };
        Ok(envelope(&execution_history(app, caller, request).await?.executions).into())
    }
}
