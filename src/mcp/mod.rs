//! MCP on stdio and streamable HTTP: translates, calls a handler, translates back. It must not know the
//! store, the engine or another adapter: [`router`] is a value that `main` hands to the HTTP server.
//!
//! | file | what it holds |
//! |---|---|
//! | `server` | the protocol's methods, for clients of both eras |
//! | `tools` `schema` `arguments` `calls` `answer` `progress` | the six tools, from their list to their results |
//! | `diagram_tools` | diagrams that are tools of their own |
//! | `resources` `prompts` `paging` | what can be read |
//! | `questions` | questions of an execution, asked of the client's user |
//! | `subscriptions` | what clients are told when it changes |
//! | `tasks` | runs that take longer, for clients that can have tasks |
//! | `stdio` `lines` `message`, `mount` `json_errors` `misread` `scopes` `info` | the two transports |
//! | `inventory` | `mcp-manifest.json` |
//! | `by_name` `client` | the two ends of `dipeo --server URL` |
//! | `app_page` | the page that hosts show beside a result |
//!
//! *Modern* is revision 2026-07-28: no handshake, everything in each request's `_meta`. *Legacy* is what
//! came before it, with `initialize` and sessions. Both are served on the same endpoint.

mod answer;
mod app_page;
mod arguments;
mod by_name;
mod calls;
pub mod client;
mod diagram_tools;
mod info;
mod inventory;
mod json_errors;
mod lines;
mod message;
mod misread;
mod mount;
mod paging;
mod progress;
mod prompts;
mod questions;
mod resources;
mod schema;
mod scopes;
pub mod server;
pub mod stdio;
mod subscriptions;
mod tasks;
mod time_travel;
mod tools;

pub use diagram_tools::{count_tools, offers_tools, tools_of};
pub use inventory::manifest;
pub use mount::{McpConfig, ROUTES, mount, router};
pub use server::McpServer;

/// What a log filter should say about the protocol library: on its own it logs every message at `info`
/// and calls a client that went away an error.
pub const LOG_DIRECTIVE: &str = "rmcp=off";

#[cfg(test)]
mod tests {
    //! What several tests of this module share.

    use std::path::Path;
    use std::sync::Arc;

    use serde_json::Value;
    use tempfile::TempDir;

    use crate::clock::SystemClock;
    use crate::code::{self, Code};
    use crate::config::{Config, Environment, Overrides};
    use crate::handlers::App;
    use crate::llm::{self, Llm};
    use crate::nodes::ports::Ports;
    use crate::outside::WorkspaceFiles;

    /// An application on an empty workspace, which lives as long as its folder.
    pub fn app() -> (TempDir, Arc<App>) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let home = folder.path().join("home").display().to_string();
        let overrides = Overrides { workspace: Some(folder.path().join("work")), ..Overrides::default() };
        let environment = Environment::of(&[("DIPEO_HOME", &home)]);
        let config = Config::load(&overrides, &environment, folder.path()).expect("valid settings");
        // No test of the protocol runs code, so the worker's program need not exist.
        let code = Code::new(code::Settings::new(vec!["no-such-program".into()], config.workspace.clone()));
        let ports = Ports::closed(
            Arc::clone(&code) as _,
            Llm::new(llm::Settings::from_config(&config.models)),
            WorkspaceFiles::new(config.workspace.clone()),
            Arc::new(SystemClock),
        );
        (folder, Arc::new(App::new(config, "mcp", ports, code)))
    }

    /// Compares `value` with a committed file; with `UPDATE=1` in the environment the file is rewritten.
    pub fn assert_same_as_file(path: &str, value: &Value) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let text = serde_json::to_string_pretty(value).expect("a value is always JSON") + "\n";
        if Environment::of_process().get("UPDATE") == Some("1") {
            std::fs::create_dir_all(file.parent().expect("a file has a folder")).expect("folder can be made");
            std::fs::write(&file, &text).expect("file can be written");
        }
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(committed == text, "`{path}` differs from the code; run with UPDATE=1 and look at the change");
    }
}
