//! The page that hosts with the Apps extension show beside a result: one resource, named by the tools whose
//! results it shows. Every answer is complete without it.

use rmcp::model::{ExtensionCapabilities, JsonObject, MetaObject, ReadResourceResult, Resource, ResourceContents};
use serde_json::{Value, json};

use super::resources::FIXED;

/// The extension's name in capabilities.
pub const EXTENSION: &str = "io.modelcontextprotocol/ui";
/// The page.
pub const URI: &str = "ui://dipeo/execution";

const MIME_TYPE: &str = "text/html;profile=mcp-app";
const HTML: &str = include_str!("../../resources/ui/execution.html");

/// What the server declares: the extension has no settings of a server's.
pub fn extensions() -> ExtensionCapabilities {
    ExtensionCapabilities::from([(EXTENSION.to_owned(), JsonObject::new())])
}

/// What a tool says whose results the page shows.
pub fn tool_meta() -> MetaObject {
    meta(json!({"resourceUri": URI}))
}

/// The page as lists show it.
pub fn listed() -> Resource {
    Resource::new(URI, "execution_page")
        .with_description("Shows an execution live, in hosts that show pages")
        .with_mime_type(MIME_TYPE)
        .with_meta(resource_meta())
}

/// The page itself.
pub fn read() -> ReadResourceResult {
    let (ttl_ms, scope) = FIXED;
    let contents = ResourceContents::text(HTML, URI).with_mime_type(MIME_TYPE).with_meta(resource_meta());
    ReadResourceResult::new(vec![contents]).with_ttl_ms(ttl_ms).with_cache_scope(scope)
}

/// It loads nothing from anywhere, so no domain is declared.
fn resource_meta() -> MetaObject {
    meta(json!({"prefersBorder": true}))
}

fn meta(ui: Value) -> MetaObject {
    let mut meta = MetaObject::new();
    meta.insert("ui".to_owned(), ui);
    meta
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_needs_nothing_but_itself_and_sets_foreign_values_as_text() {
        for forbidden in [
            "http://",
            "https://cdn",
            "src=\"http",
            "<link",
            "@import",
            "url(#",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "fetch(",
            "XMLHttpRequest",
            "WebSocket",
            "localStorage",
            " onclick=",
            "alert(",
            "confirm(",
            "prompt(",
        ] {
            assert!(!HTML.contains(forbidden), "the page has `{forbidden}`");
        }
        assert!(HTML.starts_with("<!doctype html>"));
        assert_eq!(HTML.matches("<script").count(), 1);
    }

    #[test]
    fn the_page_is_small() {
        assert!(HTML.len() <= 32_768, "the page has {} bytes", HTML.len());
    }
}
