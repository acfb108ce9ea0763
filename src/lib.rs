//! dipeo runs diagrams (YAML graphs of people, code, files and decisions) for AI assistants over MCP,
//! durably. This page is the map.
//!
//! ```text
//! error ids clock limits config <- logs, auth, diagram <- integrations <- nodes <- compile <- engine, export <- timeline <- handlers <- mcp, http, cli <- main
//! ```
//!
//! | room | what it holds | what it must not know |
//! |---|---|---|
//! | [`error`] [`ids`] [`clock`] [`limits`] [`nearest`] [`secret`] [`redact`] [`shown`] [`tls`] [`meter`] [`spans`] [`config`] | the words everybody uses | anything below |
//! | [`logs`] | the log files of a process | what is logged |
//! | [`auth`] | tokens: ours, and those of an authorization server | what anybody may do |
//! | [`diagram`] | text to [`diagram::Diagram`], with a place for everything | I/O, tokio |
//! | [`integrations`] | manifests of providers: requests and replies as data | I/O, clock |
//! | [`nodes`] | one file per node type; ports they ask through | how they are scheduled or stored |
//! | [`compile`] | a diagram to a plan, or every problem at once | I/O |
//! | [`engine`] | the pure schedule and the one loop of an execution | SQLite, adapters |
//! | [`timeline`] | an execution as a picture over time | the store, the clock |
//! | [`export`] | a plan to a script that runs without this program | I/O, the engine |
//! | [`code`] [`llm`] [`outside`] | implement the ports of `nodes` | each other |
//! | [`store`] | the only place that names a database driver; implements the engine's `Journal` | nodes' insides |
//! | [`handlers`] | one file per use case | adapters |
//! | [`mcp`] [`http`] [`cli`] | translate, call a handler, translate back | `store`, `engine`, each other |
//!
//! Invariants: a result is shown only after it is durable; a committed node never runs again; a failure is
//! never a value; `diagram`, `compile` and `engine::schedule` do no I/O, read no clock, draw no random number.
//! `tests/it/tidy.rs` enforces the table.

pub mod auth;
pub mod cli;
pub mod clock;
pub mod code;
pub mod compile;
pub mod config;
pub mod diagram;
pub mod engine;
pub mod error;
pub mod export;
pub mod handlers;
pub mod http;
pub mod ids;
pub mod integrations;
pub mod limits;
pub mod llm;
pub mod logs;
pub mod mcp;
pub mod meter;
pub mod nearest;
pub mod nodes;
pub mod outside;
pub mod redact;
pub mod secret;
pub mod shown;
pub mod spans;
pub mod store;
pub mod timeline;
pub mod tls;
