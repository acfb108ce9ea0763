//! MCP on stdio and streamable HTTP: translates, calls a handler, translates back. It must not know the
//! store, the engine or another adapter: [`router`] is a value that `main` hands to the HTTP server.
//!
//! | file | what it holds |
//! |---|---|
//! | `server` | the protocol's methods, for clients of both eras |
//! | `tools` `schema` `arguments` `calls` `answer` `progress` | the six tools, from their list to their results |
//! | `resources` `prompts` `paging` | what can be read |
//! | `stdio` `mount` `json_errors` `info` | the two transports |
//! | `inventory` | `mcp-manifest.json` |
//!
//! *Modern* is revision 2026-07-28: no handshake, everything in each request's `_meta`. *Legacy* is what
//! came before it, with `initialize` and sessions. Both are served on the same endpoint.

mod answer;
mod arguments;
mod calls;
mod info;
mod inventory;
mod json_errors;
mod mount;
mod paging;
mod progress;
mod prompts;
mod resources;
mod schema;
pub mod server;
pub mod stdio;
mod tools;

#[cfg(test)]
mod testing;

pub use inventory::manifest;
pub use mount::{McpConfig, ROUTES, mount, router};
pub use server::McpServer;

/// What a log filter should say about the protocol library: on its own it logs every message at `info`
/// and calls a client that went away an error.
pub const LOG_DIRECTIVE: &str = "rmcp=off";
