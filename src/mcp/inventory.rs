//! `mcp-manifest.json`: what this server is and offers, in the registry's format, made from the code that
//! answers clients so that it cannot say anything else.

use rmcp::model::ProtocolVersion;
use serde_json::{Value, json};

use super::{prompts, resources, server, tools};
use crate::config::Tasks;

/// The registry's schema that [`manifest`] follows.
const SCHEMA: &str = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json";
/// Where the registry lets publishers put what it has no field for.
const OWN_DATA: &str = "io.modelcontextprotocol.registry/publisher-provided";

/// Returns the manifest.
pub fn manifest() -> Value {
    json!({
        "$schema": SCHEMA,
        "name": "io.github.dipeo/dipeo",
        "title": "DiPeO",
        "description": "Runs diagrams of models, code, files and decisions, durably, for AI assistants",
        "version": env!("CARGO_PKG_VERSION"),
        "repository": {"url": env!("CARGO_PKG_REPOSITORY"), "source": "github"},
        "_meta": {OWN_DATA: inventory()},
    })
}

/// No package is published, so how to start the server stands here and not under `packages`.
fn inventory() -> Value {
    let versions: Vec<&str> = ProtocolVersion::KNOWN_VERSIONS.iter().map(ProtocolVersion::as_str).collect();
    let capabilities = json!(server::capabilities(Tasks::default()));
    let extensions: Vec<&String> =
        capabilities["extensions"].as_object().into_iter().flatten().map(|it| it.0).collect();
    json!({
        "protocol_versions": versions,
        "transports": {
            "stdio": {"command": "dipeo", "args": ["mcp"]},
            "streamable-http": {"command": "dipeo", "args": ["serve"], "url": "http://127.0.0.1:8000/mcp"},
        },
        "environment": [
            {"name": "DIPEO_BASE_DIR", "description": "The workspace folder"},
            {"name": "DIPEO_TOKEN", "description": "Bearer token of the HTTP server", "isSecret": true},
        ],
        "tools": tools::all(),
        "resources": resources::fixed(),
        "resource_templates": resources::templates(),
        "prompts": prompts::all(),
        "extensions": extensions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::tests::assert_same_as_file;

    #[test]
    fn the_committed_manifest_is_what_the_code_makes() {
        assert_same_as_file("mcp-manifest.json", &manifest());
    }
}
