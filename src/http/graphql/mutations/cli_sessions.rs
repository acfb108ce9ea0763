//! Registering runs of a terminal, and of other runners.

use async_graphql::{Context, Object};

use crate::handlers::external::register::{self, register_cli_session};
use crate::handlers::external::unregister::{self, unregister_cli_session};
use crate::http::graphql::caller::desk;
use crate::http::graphql::types::execution::{RegisterCliSessionInput, UnregisterCliSessionInput};
use crate::http::graphql::types::results::CliSessionResult;

#[derive(Default)]
pub struct CliSessionMutations;

#[Object(rename_args = "snake_case")]
impl CliSessionMutations {
    /// Shows an execution as the run of the terminal. One that nobody knows is made: another runner reports it.
    async fn register_cli_session(&self, context: &Context<'_>, input: RegisterCliSessionInput) -> CliSessionResult {
        let (app, caller) = desk(context);
        let request = register::Request {
            execution_id: input.execution_id.0,
            diagram_name: input.diagram_name,
            diagram_format: input.diagram_format.name(),
            diagram_data: input.diagram_data.map(|it| it.0).filter(|it| !it.is_null()),
        };
        match register_cli_session(app, caller, request).await {
            Ok(session) => {
                let message = format!("`{}` is shown", session.execution_id);
                let (id, execution) = (session.session_id.clone(), session.execution_id.clone());
                CliSessionResult::done(message, &session, id, execution)
            }
            Err(error) => CliSessionResult::refused(error, app.scrubber()),
        }
    }

    /// Ends the registration; what another runner has not ended by then is aborted.
    async fn unregister_cli_session(
        &self,
        context: &Context<'_>,
        input: UnregisterCliSessionInput,
    ) -> CliSessionResult {
        let (app, caller) = desk(context);
        let request = unregister::Request { execution_id: input.execution_id.0 };
        match unregister_cli_session(app, caller, request).await {
            Ok(session) => {
                let message = format!("`{}` is no longer shown", session.execution_id);
                let (id, execution) = (session.session_id.clone(), session.execution_id.clone());
                CliSessionResult::done(message, &session, id, execution)
            }
            Err(error) => CliSessionResult::refused(error, app.scrubber()),
        }
    }
}
