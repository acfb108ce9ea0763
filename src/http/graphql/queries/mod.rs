//! The queries, by subject. Each calls one handler.

mod api_keys;
mod cli_session;
mod conversations;
mod diagrams;
mod executions;
mod persons;
mod prompts;
mod providers;
mod system;

use async_graphql::MergedObject;

/// Everything that can be asked.
#[derive(MergedObject, Default)]
pub struct Query(
    api_keys::ApiKeyQueries,
    conversations::ConversationQueries,
    diagrams::DiagramQueries,
    executions::ExecutionQueries,
    persons::PersonQueries,
    prompts::PromptQueries,
    providers::ProviderQueries,
    system::SystemQueries,
    cli_session::CliSessionQueries,
);
