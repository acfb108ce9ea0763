//! What this program is, can do, and whether it is well.

use async_graphql::{Context, ID, Object, SimpleObject};

use crate::error::Error;
use crate::handlers::about::execution_capabilities::execution_capabilities;
use crate::handlers::about::health_check::{Health, health_check};
use crate::handlers::about::system_info::system_info;
use crate::http::graphql::caller::desk;
use crate::http::graphql::types::results::envelope;
use crate::http::graphql::types::scalars::Json;

#[derive(Default)]
pub struct SystemQueries;

#[Object(rename_args = "snake_case")]
impl SystemQueries {
    /// The version, and what diagrams may consist of.
    async fn get_system_info(&self, context: &Context<'_>) -> Result<Json, Error> {
        let (app, caller) = desk(context);
        Ok(envelope(&system_info(app, caller).await?).into())
    }

    /// What executions can do here, and which persons there are.
    async fn get_execution_capabilities(&self, context: &Context<'_>) -> Result<Json, Error> {
        let (app, caller) = desk(context);
        Ok(envelope(&execution_capabilities(app, caller).await?).into())
    }

    /// Whether the database takes writes, the workspace can be written and the disk has room.
    async fn health_check(&self, context: &Context<'_>) -> Result<Json, Error> {
        let (app, caller) = desk(context);
        Ok(envelope(&health_check(app, caller).await?).into())
    }

    /// Whether this program and the services that it calls are well.
    #[graphql(name = "system_health")]
    async fn system_health(&self, context: &Context<'_>) -> Result<SystemHealthType, Error> {
        health(context).await
    }

    /// As `system_health`, under a name like the others.
    #[graphql(name = "systemHealth")]
    async fn system_health_too(&self, context: &Context<'_>) -> Result<SystemHealthType, Error> {
        health(context).await
    }
}

/// How this program is, and each service that it calls by itself; there is none of them yet.
#[derive(SimpleObject)]
#[graphql(rename_fields = "snake_case")]
struct SystemHealthType {
    /// `healthy` or `degraded`.
    status: String,
    timestamp: String,
    services: Vec<ServiceHealthType>,
}

/// A service that is called.
#[derive(SimpleObject)]
#[graphql(rename_fields = "snake_case")]
struct ServiceHealthType {
    id: ID,
    name: String,
    /// `online`, `degraded` or `offline`.
    status: String,
    url: Option<String>,
}

async fn health(context: &Context<'_>) -> Result<SystemHealthType, Error> {
    let (app, caller) = desk(context);
    let found = health_check(app, caller).await?;
    let status = match found.status {
        Health::Healthy => "healthy",
        Health::Degraded => "degraded",
    };
    Ok(SystemHealthType { status: status.to_owned(), timestamp: found.timestamp, services: Vec::new() })
}
