//! One file per use case: `Request`, `Response`, one async function. Every adapter calls these and
//! nothing else, so the same request has the same effect, error code and message everywhere.

pub mod app;
pub mod ask_diagram;
pub mod authenticate;
mod begin;
pub mod caller;
mod children;
pub mod claude_sessions;
pub mod compile_diagram;
pub mod control_execution;
pub mod convert_diagram;
pub mod diagram_stats;
pub mod diagram_tools;
pub mod edit_diagram;
pub mod execution_object;
pub mod export_diagram;
pub mod fetch;
pub mod finished;
pub mod guide;
mod inputs;
pub mod integrations;
mod launch;
pub mod list_diagrams;
pub mod list_executions;
mod log_pages;
pub mod mcp_bundle;
pub mod mcp_install;
pub mod mcp_manifest;
mod opened;
mod pictures;
mod present;
pub mod questions;
pub mod run_diagram;
pub mod search;
pub mod secrets;
pub mod see_result;
pub mod supervisor;
mod surroundings;
pub mod task;
pub mod tokens;
pub mod trust_diagram;
mod wait;
pub mod watch_resources;
pub mod workspace;

pub use app::App;
pub use caller::Caller;
