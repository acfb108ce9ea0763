//! `mcp-manifest.json`: what this server is and offers, in the registry's format, made from the code that
//! answers clients so that it cannot say anything else.

use rmcp::model::ProtocolVersion;
use serde_json::{Value, json};

use super::{prompts, resources, tools};

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
        "resource_templates": resources::templates(),
        "prompts": prompts::all(),
        "extensions": [],
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

    #[test]
    fn the_manifest_has_the_shape_the_registry_asks_for() {
        let shape = json!({
            "type": "object",
            "required": ["$schema", "name", "description", "version"],
            "properties": {
                "$schema": {"const": SCHEMA},
                "name": {"type": "string", "pattern": "^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$", "minLength": 3, "maxLength": 200},
                "title": {"type": "string", "minLength": 1, "maxLength": 100},
                "description": {"type": "string", "minLength": 1, "maxLength": 100},
                "version": {"type": "string", "pattern": "^[0-9]+\\.[0-9]+\\.[0-9]+", "maxLength": 255},
                "repository": {
                    "type": "object",
                    "required": ["url", "source"],
                    "properties": {"url": {"type": "string", "pattern": "^https://"}, "source": {"const": "github"}},
                },
                "_meta": {"type": "object", "properties": {OWN_DATA: {"type": "object"}}, "additionalProperties": false},
            },
            "additionalProperties": false,
        });
        let validator = jsonschema::validator_for(&shape).expect("a schema");
        let manifest = manifest();
        let problems: Vec<String> = validator.iter_errors(&manifest).map(|it| it.to_string()).collect();
        assert!(problems.is_empty(), "{problems:?}");
    }
}
