//! Diagrams that are tools of their own, on the wire.

use dipeo::handlers::diagram_tools::diagram_tools;
use dipeo::handlers::trust_diagram::{Request, trust_diagram};
use dipeo::handlers::{Caller, run_diagram};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::harness::{self, workspace};
use crate::mcp_client::{HttpServer, StdioClient, call};

fn greeting(head: &str) -> String {
    format!(
        "version: light\n{head}inputs:\n  name: {{type: string, required: true, description: Who is greeted}}\n  \
         times: {{type: integer, default: 1}}\nnodes:\n- {{label: s, type: start}}\n\
         - {{label: make, type: code_job, code: \"result = ('hello ' + name + ' ') * times\"}}\n\
         - {{label: greeting, type: endpoint}}\nconnections:\n- {{from: s, to: make}}\n- {{from: make, to: greeting}}\n"
    )
}

fn names(list: &Value) -> Vec<&str> {
    let tools = list["result"]["tools"].as_array().unwrap_or_else(|| panic!("a list: {list}"));
    tools.iter().filter_map(|it| it["name"].as_str()).skip(6).collect()
}

#[tokio::test]
async fn a_diagram_that_asks_for_it_is_listed_called_and_fits_its_schemas() {
    let workspace = workspace();
    workspace.write("files/team/greet.light.yaml", &greeting("tool: {name: greet, description: Greets somebody.}\n"));
    let server = HttpServer::start(&workspace);
    let mut stdio = StdioClient::start(&workspace);
    let listed = server.request("tools/list", json!({})).await;
    assert_eq!(names(&listed), ["greet"]);
    assert_eq!((&listed["result"]["ttlMs"], &listed["result"]["cacheScope"]), (&json!(60_000), &json!("private")));
    let tool = listed["result"]["tools"][6].clone();
    assert_eq!(tool["inputSchema"]["required"], json!(["name"]));
    assert!(tool["description"].as_str().expect("text").ends_with(": \"Greets somebody.\""), "{tool}");
    let output = jsonschema::validator_for(&tool["outputSchema"]).expect("a schema");
    let over_stdio = stdio.request("tools/list", json!({}));
    assert_eq!(over_stdio["result"]["tools"][6], tool);
    let arguments = json!({"name": "Ann", "times": 2});
    for answer in [
        server.request("tools/call", call("greet", arguments.clone())).await,
        stdio.request("tools/call", call("greet", arguments.clone())),
    ] {
        let result = &answer["result"]["structuredContent"];
        assert_eq!(result["outputs"], json!({"greeting": "hello Ann hello Ann "}), "{answer}");
        assert!(output.is_valid(result), "{result}");
    }
    let refused = server.request("tools/call", call("greet", json!({"nmae": "Ann", "times": "x"}))).await;
    let error = &refused["result"]["structuredContent"]["error"];
    assert_eq!((&refused["result"]["isError"], &error["code"]), (&json!(true), &json!("INVALID_INPUT")));
    for part in ["`nmae`, did you mean `name`?", "`name` is required", "`times` must be of type integer"] {
        assert!(error["message"].as_str().expect("text").contains(part), "{error}");
    }
    assert!(output.is_valid(&refused["result"]["structuredContent"]));
}

#[tokio::test]
async fn what_cannot_be_a_tool_is_none_and_the_list_says_why() {
    let workspace = workspace();
    for (path, head) in [
        ("files/a.light.yaml", "tool: {name: taken}\n"),
        ("files/b.light.yaml", "tool: {name: taken}\n"),
        ("files/c.light.yaml", "tool: {name: dipeo_run}\n"),
        ("files/d.light.yaml", "tool: {name: no name}\n"),
        ("files/plain.light.yaml", ""),
    ] {
        workspace.write(path, &greeting(head));
    }
    let secret = greeting("tool: true\n").replace("type: string,", "type: string, secret: true,");
    workspace.write("files/secret.light.yaml", &secret);
    let app = workspace.app();
    let push = dipeo::handlers::compile_diagram::Request {
        content: greeting("tool: {name: pushed}\n"),
        push_as: Some("pushed".into()),
        ..Default::default()
    };
    dipeo::handlers::compile_diagram::compile_diagram(&app, &Caller::owner_client(), push, Default::default())
        .await
        .expect("saved");
    let catalog = diagram_tools(&app, &Caller::owner_client()).expect("a catalog");
    assert_eq!(catalog.tools.iter().map(|it| it.diagram.as_str()).collect::<Vec<_>>(), ["a"]);
    for (diagram, reason) in [
        ("b", "the tool name `taken` is taken by `a`"),
        ("c", "`dipeo_run` is the name of a tool of this server"),
        ("secret", "its input `name` is a secret, and models are given none"),
        ("pushed", "a client wrote it; `dipeo trust pushed` makes it a tool"),
    ] {
        assert_eq!(catalog.problem_of(diagram), Some(reason));
    }
    let person = Caller::Terminal { working_dir: workspace.root().to_path_buf() };
    trust_diagram(&app, &person, Request::Grant { diagram: "pushed".into() }).await.expect("trusted");
    let catalog = diagram_tools(&app, &Caller::owner_client()).expect("a catalog");
    assert_eq!(catalog.of("pushed").map(|it| it.name.as_str()), Some("pushed"));
    let listed = harness::json(&workspace, &["list"]);
    let of = |name: &str| listed["diagrams"].as_array().into_iter().flatten().find(|it| it["name"] == name).cloned();
    assert_eq!(of("a").expect("listed")["tool"], "taken");
    assert!(of("c").expect("listed")["tool_problem"].is_string());
    assert!(of("d").expect("listed")["error"].as_str().expect("a problem").contains("E403"));
}

#[tokio::test]
async fn more_than_25_tools_are_found_by_search_and_still_called_by_name() {
    let workspace = workspace();
    for n in 0..26 {
        workspace.write(&format!("files/t{n}.light.yaml"), &greeting("tool: true\n"));
    }
    let server = HttpServer::start(&workspace);
    assert!(names(&server.request("tools/list", json!({})).await).is_empty());
    let found = server.request("tools/call", call("search", json!({"query": "tool t25"}))).await;
    assert!(found["result"]["content"][0]["text"].as_str().expect("text").contains("dipeo://diagrams/t25"), "{found}");
    let answer = server.request("tools/call", call("t25", json!({"name": "Ann"}))).await;
    assert_eq!(answer["result"]["structuredContent"]["outputs"]["greeting"], "hello Ann ");
    std::fs::remove_file(workspace.root().join("files/t25.light.yaml")).expect("removed");
    let (first, second) =
        (server.request("tools/list", json!({})).await, server.request("tools/list", json!({})).await);
    assert_eq!((names(&first).len(), first["result"] == second["result"]), (25, true));
    workspace.write("files/t3.light.yaml", &greeting("tool: {name: changed}\n"));
    assert!(names(&server.request("tools/list", json!({})).await).contains(&"changed"));
    let gone = server.request("tools/call", call("t25", json!({"name": "Ann"}))).await;
    assert_eq!(gone["error"]["code"], -32602);
}

const KINDS: [&str; 6] = ["string", "number", "integer", "boolean", "object", "array"];

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!("text")),
        Just(json!(1)),
        Just(json!(1.5)),
        Just(json!(2.0)),
        Just(json!(true)),
        Just(json!({"a": 1})),
        Just(json!([1])),
        Just(json!("a")),
        Just(json!(-3)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The schema that clients see and the check of a run are two readings of one declaration.
    #[test]
    fn the_schema_accepts_exactly_what_a_run_accepts(
        inputs in proptest::collection::vec((0..7_usize, any::<bool>(), any::<bool>(), any::<bool>()), 1..4),
        given in proptest::collection::vec(proptest::option::of(any_value()), 5),
    ) {
        let mut head = String::from("tool: {name: t}\ninputs:\n");
        for (n, (kind, required, with_default, with_enum)) in inputs.iter().enumerate() {
            let mut parts = vec![format!("required: {required}")];
            if let Some(kind) = KINDS.get(*kind) { parts.push(format!("type: {kind}")); }
            if *with_default && *kind == 0 { parts.push("default: a".into()); }
            if *with_enum && *kind == 0 { parts.push("enum: [a, b]".into()); }
            head.push_str(&format!("  i{n}: {{{}}}\n", parts.join(", ")));
        }
        let text = format!("version: light\n{head}nodes:\n- {{label: s, type: start}}\n- {{label: e, type: endpoint}}\nconnections: [{{from: s, to: e}}]\n");
        let workspace = harness::workspace();
        workspace.write("files/t.light.yaml", &text);
        let app = workspace.app();
        let arguments: Map<String, Value> =
            given.iter().enumerate().filter_map(|(n, it)| Some((format!("i{n}"), it.clone()?))).collect();
        let tools = dipeo::mcp::tools_of(&app, &Caller::owner_client()).expect("a list");
        let tool = serde_json::to_value(tools.last().expect("the diagram")).expect("JSON");
        prop_assert_eq!(&tool["name"], "t");
        let validator = jsonschema::draft202012::new(&tool["inputSchema"]).expect("a schema");
        let request = run_diagram::Request {
            diagram: Some("t".into()),
            input_data: Some(arguments.clone()),
            wait_seconds: Some(0),
            ..Default::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let outcome = runtime.block_on(async {
            let extras = run_diagram::Extras { background: true, ..Default::default() };
            let outcome = run_diagram::run_diagram(&app, &Caller::owner_client(), request, extras, Default::default()).await;
            app.close().await;
            outcome
        });
        let accepted = outcome.as_ref().map(|_| true).unwrap_or_else(|error| error.code() != "INVALID_INPUT");
        prop_assert_eq!(validator.is_valid(&Value::Object(arguments)), accepted, "{}\n{:?}", text, outcome);
    }
}
