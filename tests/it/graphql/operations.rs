//! Every operation, by subject, each with a test that shows its effect: what was made is read back, what was taken
//! away is gone, what was refused changed nothing.

mod api_keys;
mod cli_sessions;
mod conversations;
mod diagrams;
mod executions;
mod integrations;
mod nodes;
mod persons;
mod prompts;
mod system;
mod uploads;
