//! The mutations, by subject. Each calls one handler and answers, also when it is refused.

mod api_keys;
mod cli_sessions;
mod diagrams;
mod executions;
mod integrations;
mod nodes;
mod persons;
mod uploads;

use async_graphql::MergedObject;

/// Everything that can be changed.
#[derive(MergedObject, Default)]
pub struct Mutation(
    api_keys::ApiKeyMutations,
    cli_sessions::CliSessionMutations,
    diagrams::DiagramMutations,
    nodes::NodeMutations,
    executions::ExecutionMutations,
    uploads::UploadMutations,
    persons::PersonMutations,
    integrations::IntegrationMutations,
);
