use serde_json::{Value, json};

use crate::graphql::client::{ask, code, data};
use crate::harness::{Workspace, workspace};
use crate::mcp_client::{HELLO, HttpServer};

const DEBATE: &str = include_str!("../../../../examples/debate.light.yaml");
const PARTS: &str = "nodes { id type position { x y } data }
    handles { id node_id label direction data_type position }
    arrows { id source target content_type label execution_priority data }
    persons { id label type llm_config { service model api_key_id system_prompt prompt_file } }
    metadata { id name description version created modified author tags format }";

fn with(files: &[(&str, &str)]) -> (Workspace, HttpServer) {
    let workspace = workspace();
    for (path, text) in files {
        workspace.write(path, text);
    }
    let server = HttpServer::start(&workspace);
    (workspace, server)
}

async fn names(server: &HttpServer, arguments: &str) -> Vec<String> {
    let query = format!("{{ listDiagrams{arguments} {{ metadata {{ id }} }} }}");
    let listed = data(server, &query, json!({})).await;
    let diagrams = listed["listDiagrams"].as_array().expect("a list").clone();
    diagrams.iter().map(|it| it["metadata"]["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn get_diagram_shows_the_canonical_form() {
    let (_workspace, server) = with(&[("projects/debate.light.yaml", DEBATE)]);
    let query = format!("query($id: String!) {{ getDiagram(diagram_id: $id) {{ {PARTS} }} }}");
    let shown = data(&server, &query, json!({"id": "debate"})).await["getDiagram"].clone();
    let kinds: Vec<&str> =
        shown["nodes"].as_array().expect("nodes").iter().filter_map(|it| it["type"].as_str()).collect();
    assert_eq!(kinds, ["START", "PERSON_JOB", "PERSON_JOB", "CONDITION", "PERSON_JOB", "ENDPOINT"]);
    assert_eq!(shown["nodes"][1]["data"]["person"], "Optimist");
    assert_eq!(shown["arrows"][4]["content_type"], "EMPTY");
    let handle = |id: &str| shown["handles"].as_array().expect("handles").iter().find(|it| it["id"] == id).cloned();
    let first = handle("node_1_first_input").expect("it is used");
    assert_eq!(
        (&first["node_id"], &first["label"], &first["direction"]),
        (&json!("node_1"), &json!("FIRST"), &json!("INPUT"))
    );
    assert_eq!(shown["persons"][2]["llm_config"]["service"], "SCRIPTED");
    assert_eq!(shown["metadata"]["id"], "debate");
    assert!(shown["metadata"]["description"].as_str().expect("a text").starts_with("Two persons argue"));
    assert_eq!(code(&server, &query, json!({"id": "debat"})).await, "DIAGRAM_NOT_FOUND");
    assert_eq!(code(&server, &query, json!({"id": "../debate"})).await, "INVALID_NAME");
}

#[tokio::test]
async fn list_diagrams_finds_all_and_every_filter_applies() {
    let tagged = HELLO.replacen("version: light\n", "version: light\nauthor: ada\ntags: [greeting, short]\n", 1);
    let (_workspace, server) = with(&[
        ("examples/hello.light.yaml", HELLO),
        ("projects/team/tagged.light.yaml", &tagged),
        ("projects/mcp-diagrams/pushed.light.yaml", HELLO),
        ("projects/broken.light.yaml", "version: light\nnodes: [\n"),
        ("files/other.light.yaml", HELLO),
        ("projects/notes.yaml", "just: notes\n"),
    ]);
    let all = names(&server, "").await;
    for name in ["hello", "team/tagged", "pushed", "broken", "other"] {
        assert!(all.iter().any(|it| it == name), "{name}: {all:?}");
    }
    assert_eq!(all.len(), 5, "{all:?}");
    for (arguments, expected) in [
        ("(filter: {name: \"tag\"})", &["team/tagged"][..]),
        ("(filter: {author: \"ada\"})", &["team/tagged"]),
        ("(filter: {author: \"bob\"})", &[]),
        ("(filter: {tags: \"none, short\"})", &["team/tagged"]),
        ("(filter: {tags: \"none\"})", &[]),
        ("(filter: {created_after: \"2100-01-01T00:00:00Z\"})", &[]),
        ("(filter: {created_before: \"2000-01-01T00:00:00Z\"})", &[]),
    ] {
        assert_eq!(names(&server, arguments).await, expected, "{arguments}");
    }
    assert_eq!(names(&server, "(filter: {created_after: \"2000-01-01T00:00:00Z\"})").await.len(), 5);
    assert_eq!(names(&server, "(limit: 2, offset: 1)").await, all[1..3]);
    let query = format!("{{ listDiagrams(filter: {{name: \"broken\"}}) {{ {PARTS} }} }}");
    let broken = data(&server, &query, json!({})).await["listDiagrams"][0].clone();
    assert_eq!((&broken["nodes"], &broken["arrows"]), (&json!([]), &json!([])));
    assert!(broken["metadata"]["description"].as_str().expect("why").contains("E10"), "{broken:#}");
    let query = "{ listDiagrams(filter: {name: \"tagged\"}) { nodes { id } metadata { author tags version } } }";
    let found = data(&server, query, json!({})).await["listDiagrams"][0].clone();
    assert_eq!(
        (&found["metadata"]["author"], &found["metadata"]["tags"]),
        (&json!("ada"), &json!(["greeting", "short"]))
    );
    assert_eq!(found["nodes"].as_array().map(Vec::len), Some(3));
    for wrong in ["(limit: 0)", "(limit: 1.5)", "(offset: -1)", "(filter: {created_after: \"yesterday\"})"] {
        let query = format!("{{ listDiagrams{wrong} {{ metadata {{ id }} }} }}");
        assert_eq!(code(&server, &query, json!({})).await, "INVALID_INPUT", "{wrong}");
    }
}

#[tokio::test]
async fn get_supported_formats_lists_what_convert_takes() {
    let (_workspace, server) = with(&[]);
    let formats = data(&server, "{ getSupportedFormats }", json!({})).await["getSupportedFormats"].clone();
    let ids: Vec<&str> = formats.as_array().expect("a list").iter().filter_map(|it| it["id"].as_str()).collect();
    for id in ["light", "readable", "native"] {
        assert!(ids.contains(&id), "{ids:?}");
    }
    assert!(formats[0]["extensions"].as_array().is_some_and(|it| !it.is_empty()));
}

#[tokio::test]
async fn create_diagram_writes_a_diagram_to_begin_with_once() {
    let (workspace, server) = with(&[]);
    let query = "mutation($input: CreateDiagramInput!) {
      createDiagram(input: $input) { success message error error_type envelope data { metadata { id name author tags description } nodes { id type } } }
    }";
    let input = json!({"name": "fresh", "description": "say \"hi\": yes", "author": "ada", "tags": ["a", "b: c"]});
    let made = data(&server, query, json!({"input": input})).await["createDiagram"].clone();
    assert_eq!(made["success"], true, "{made:#}");
    let metadata = json!({
        "id": "fresh", "name": "fresh", "author": "ada", "tags": ["a", "b: c"], "description": "say \"hi\": yes",
    });
    let nodes = json!([{"id": "node_0", "type": "START"}]);
    assert_eq!((&made["data"]["metadata"], &made["data"]["nodes"]), (&metadata, &nodes));
    assert!(names(&server, "").await.contains(&"fresh".to_owned()));
    assert!(workspace.root().join("projects/mcp-diagrams/fresh.light.yaml").is_file());
    let again = data(&server, query, json!({"input": {"name": "fresh"}})).await["createDiagram"].clone();
    assert_eq!((&again["success"], &again["error_type"]), (&json!(false), &json!("ALREADY_EXISTS")), "{again:#}");
    assert_eq!(again["envelope"]["error"]["code"], "ALREADY_EXISTS");
    let outside = data(&server, query, json!({"input": {"name": "../x"}})).await["createDiagram"].clone();
    assert_eq!(outside["error_type"], "INVALID_NAME");
}

#[tokio::test]
async fn delete_diagram_takes_the_file_and_keeps_the_executions() {
    let (workspace, server) = with(&[("projects/hello.light.yaml", HELLO)]);
    let run = "mutation { executeDiagram(input: {diagram_id: \"hello\"}) { data { id } } }";
    let id = data(&server, run, json!({})).await["executeDiagram"]["data"]["id"].clone();
    let query =
        "mutation($id: String!) { deleteDiagram(diagram_id: $id) { success error_type deleted_id deleted_count } }";
    let gone = data(&server, query, json!({"id": "hello"})).await["deleteDiagram"].clone();
    let expected = json!({"success": true, "error_type": null, "deleted_id": "hello", "deleted_count": 1});
    assert_eq!(gone, expected);
    assert!(!workspace.root().join("projects/hello.light.yaml").exists());
    assert_eq!(names(&server, "").await, Vec::<String>::new());
    let get = "query($id: String!) { getExecution(execution_id: $id) { diagram_id } }";
    assert_eq!(data(&server, get, json!({"id": id})).await["getExecution"]["diagram_id"], "hello");
    let again = data(&server, query, json!({"id": "hello"})).await["deleteDiagram"].clone();
    assert_eq!((&again["success"], &again["error_type"]), (&json!(false), &json!("DIAGRAM_NOT_FOUND")));
}

#[tokio::test]
async fn validate_diagram_names_every_problem_with_its_place() {
    let (_workspace, server) = with(&[]);
    let query =
        "mutation($text: String!, $format: DiagramFormatGraphQL!) { validateDiagram(content: $text, format: $format) }";
    let valid = data(&server, query, json!({"text": HELLO, "format": "LIGHT"})).await["validateDiagram"].clone();
    assert_eq!((&valid["valid"], &valid["node_count"]), (&json!(true), &json!(3)), "{valid:#}");
    let broken = HELLO.replace("code_job", "code_jbo").replace("to: end", "to: edn");
    for format in ["LIGHT", "YAML"] {
        let report = data(&server, query, json!({"text": broken, "format": format})).await["validateDiagram"].clone();
        assert_eq!(report["valid"], false);
        let places: Vec<_> = report["errors"].as_array().expect("errors").iter().map(|it| it["line"].clone()).collect();
        assert!(places.contains(&json!(4)) && places.contains(&json!(8)), "{report:#}");
    }
    let other = data(&server, query, json!({"text": HELLO, "format": "NATIVE"})).await["validateDiagram"].clone();
    assert_eq!(other["valid"], false, "a light text is no native one");
    let unknown = ask(&server, query, json!({"text": HELLO, "format": "TOML"})).await;
    assert_eq!(unknown["errors"][0]["extensions"]["code"], "INVALID_QUERY");
}

#[tokio::test]
async fn convert_diagram_format_goes_there_and_back() {
    let (_workspace, server) = with(&[]);
    let query = "mutation($text: String!, $from: DiagramFormatGraphQL!, $to: DiagramFormatGraphQL!) {
      convertDiagramFormat(content: $text, from_format: $from, to_format: $to) {
        success error error_type envelope data format original_format
      }
    }";
    let convert = async |text: &str, from: &str, to: &str| {
        let answer = data(&server, query, json!({"text": text, "from": from, "to": to})).await;
        answer["convertDiagramFormat"].clone()
    };
    let native = convert(DEBATE, "LIGHT", "NATIVE").await;
    assert_eq!((&native["format"], &native["original_format"]), (&json!("native"), &json!("light")), "{native:#}");
    let text = native["data"].as_str().expect("a text");
    let parsed: Value = serde_json::from_str(text).expect("native is JSON");
    assert_eq!(parsed["nodes"].as_object().map(serde_json::Map::len), Some(6));
    assert!(native["envelope"]["losses"].to_string().contains("comment"), "{native:#}");
    let readable = convert(text, "YAML", "READABLE").await;
    let back = convert(readable["data"].as_str().expect("a text"), "READABLE", "JSON").await;
    assert_eq!(serde_json::from_str::<Value>(back["data"].as_str().expect("a text")).expect("JSON"), parsed);
    let refused = convert("nodes: [", "LIGHT", "NATIVE").await;
    assert_eq!((&refused["success"], &refused["error_type"]), (&json!(false), &json!("INVALID_DIAGRAM")));
}
