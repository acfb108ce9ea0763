//! What a server offers when it was told to offer less: `--read-only`, `--allow-diagrams`, `--toolsets`.

use serde_json::{Value, json};

use crate::harness::workspace;
use crate::mcp_client::{HELLO, HttpServer, call, modern};

fn names(listed: &Value) -> Vec<&str> {
    listed["result"]["tools"].as_array().expect("a list").iter().filter_map(|it| it["name"].as_str()).collect()
}

#[tokio::test]
async fn a_read_only_server_reads_and_does_nothing_else() {
    let workspace = workspace();
    workspace.write("hello.light.yaml", HELLO);
    for arguments in [&["--read-only"][..], &[]] {
        if arguments.is_empty() {
            workspace.write("dipeo.toml", "[mcp]\nread_only = true\n");
        }
        let server = HttpServer::start_with(&workspace, arguments, &[]);
        let listed = server.request("tools/list", json!({})).await;
        assert_eq!(names(&listed), ["see_result", "control_execution", "compile_diagram", "search", "fetch"]);
        for tool in listed["result"]["tools"].as_array().expect("a list") {
            assert_eq!(tool["annotations"]["readOnlyHint"], true, "{tool}");
        }
        for (tool, arguments) in [
            ("dipeo_run", json!({"diagram": "hello"})),
            ("compile_diagram", json!({"content": HELLO, "push_as": "mine"})),
            ("control_execution", json!({"execution_id": format!("exec_{}", "0".repeat(32)), "action": "abort"})),
        ] {
            let result = server.call(tool, arguments).await;
            assert_eq!(result["isError"], true, "{tool}");
            assert!(result.to_string().contains("INSUFFICIENT_SCOPE"), "{tool}: {result}");
        }
        // What is offered is no more than what may be done: it looks.
        let looks = json!({"execution_id": format!("exec_{}", "0".repeat(32)), "action": "inspect"});
        let looked = server.call("control_execution", looks).await;
        assert!(looked.to_string().contains("EXECUTION_NOT_FOUND"), "{looked}");
        let read = server.request("resources/read", json!({"uri": "dipeo://diagrams/hello"})).await;
        assert!(read["result"]["contents"][0]["text"].as_str().is_some_and(|it| it.contains("Hello")), "{read}");
    }
}

#[tokio::test]
async fn clients_run_the_allowed_diagrams_and_bring_none_of_their_own() {
    let workspace = workspace();
    let inner = HELLO.replace("Hello", "Inner");
    let outer = "version: light\nnodes:\n- {label: s, type: start}\n- {label: sub, type: sub_diagram, diagram_name: inner}\n\
        - {label: e, type: endpoint}\nconnections:\n- {from: s, to: sub}\n- {from: sub, to: e}\n";
    workspace.write("hello.light.yaml", HELLO);
    workspace.write("inner.light.yaml", &inner);
    workspace.write("outer.light.yaml", outer);
    let arguments = ["--allow-diagrams", "hel*", "--allow-diagrams", "outer"];
    let server = HttpServer::start_with(&workspace, &arguments, &[]);
    for (tool, arguments, code) in [
        ("dipeo_run", json!({"diagram": "hello"}), None),
        ("dipeo_run", json!({"diagram": "dipeo://diagrams/hello"}), None),
        ("dipeo_run", json!({"diagram": "outer"}), None),
        ("dipeo_run", json!({"diagram": "inner"}), Some("DIAGRAM_NOT_ALLOWED")),
        ("dipeo_run", json!({"content": HELLO}), Some("DIAGRAM_NOT_ALLOWED")),
        ("compile_diagram", json!({"content": HELLO, "push_as": "hello"}), Some("DIAGRAM_NOT_ALLOWED")),
        ("compile_diagram", json!({"content": HELLO}), None),
    ] {
        let result = server.call(tool, arguments.clone()).await;
        let text = result.to_string();
        match code {
            None => assert!(result["isError"] != json!(true), "{arguments}: {text}"),
            Some(code) => assert!(result["isError"] == json!(true) && text.contains(code), "{arguments}: {text}"),
        }
    }
    let run = workspace.command().args(["run", "inner", "--json"]).output().expect("runs");
    assert!(run.status.success(), "the terminal is not limited");
}

#[tokio::test]
async fn a_toolset_that_is_left_out_is_not_there() {
    let workspace = workspace();
    let server = HttpServer::start_with(&workspace, &["--toolsets", "diagrams"], &[]);
    let listed = server.request("tools/list", json!({})).await;
    assert!(!names(&listed).contains(&"dipeo_run"), "{listed}");
    let called = server.post("/mcp", &modern(1, "tools/call", call("dipeo_run", json!({})))).await;
    let body: Value = called.json().await.expect("JSON");
    assert_eq!(body["error"]["code"], -32602, "{body}");
}

#[test]
fn what_is_misspelt_starts_nothing() {
    let workspace = workspace();
    for (arguments, part) in [
        (&["mcp", "--toolsets", "core,diagram"][..], "did you mean `diagrams`"),
        (&["mcp", "--read-olny"], "--read-only"),
        (&["serve", "--port", "0", "--allow-diagrams", "a["], "`a[`"),
        (&["serve", "--port", "0", "--toolset", "core"], "--toolsets"),
    ] {
        let output = workspace.command().args(arguments).output().expect("runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?} {text}");
        assert!(text.contains(part), "{arguments:?}: {text}");
    }
    workspace.write("dipeo.toml", "[mcp]\nreadonly = true\n");
    let output = workspace.command().arg("mcp").output().expect("runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("dipeo.toml line 2"), "{text}");
}
