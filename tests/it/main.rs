//! The one integration test binary: every file of this folder is a module here.

mod code;
mod corpus_compile;
mod corpus_parse;
mod corpus_run;
mod crash;
mod diff_patch;
mod examples;
mod export;
mod formats;
mod formats_random;
mod handoff;
mod harness;
mod hostile;
mod integrations;
mod llm;
mod mcp_client;
mod mcp_http;
mod mcp_stdio;
mod mistakes;
mod readme;
mod same_answers;
mod schedule_model;
mod schedule_random;
mod structured;
mod tidy;
mod typescript_ast;
