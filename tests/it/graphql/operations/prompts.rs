use serde_json::json;

use crate::graphql::client::{code, data};
use crate::harness::workspace;
use crate::mcp_client::HttpServer;

#[tokio::test]
async fn list_prompt_files_shows_those_below_files_prompts() {
    let workspace = workspace();
    workspace.write("files/prompts/greet.txt", "Hello");
    workspace.write("files/prompts/team/rules.md", "# Rules");
    workspace.write("files/prompts/picture.png", "no prompt");
    workspace.write("files/other.txt", "no prompt");
    let server = HttpServer::start(&workspace);
    let listed = data(&server, "{ listPromptFiles }", json!({})).await["listPromptFiles"].clone();
    let expected = json!([
        {"name": "greet.txt", "path": "files/prompts/greet.txt", "extension": "txt", "size": 5},
        {"name": "team/rules.md", "path": "files/prompts/team/rules.md", "extension": "md", "size": 7},
    ]);
    assert_eq!(listed, expected);
}

#[tokio::test]
async fn get_prompt_file_reads_one_and_nothing_outside() {
    let workspace = workspace();
    workspace.write("files/prompts/cases.json", "{\"a\": 1}");
    workspace.write("files/secret.txt", "hidden");
    let server = HttpServer::start(&workspace);
    let query = "query($name: String!) { getPromptFile(filename: $name) }";
    let file = data(&server, query, json!({"name": "cases.json"})).await["getPromptFile"].clone();
    let expected = json!({
        "success": true, "filename": "cases.json", "content": {"a": 1}, "raw_content": "{\"a\": 1}",
        "extension": "json", "size": 8,
    });
    assert_eq!(file, expected);
    for (name, expected) in [
        ("missing.txt", "FILE_NOT_FOUND"),
        ("../secret.txt", "INVALID_NAME"),
        ("/etc/passwd", "INVALID_NAME"),
        ("", "INVALID_NAME"),
        ("a/../../secret.txt", "INVALID_NAME"),
    ] {
        assert_eq!(code(&server, query, json!({"name": name})).await, expected, "{name}");
    }
}
