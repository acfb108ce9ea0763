//! MCP on standard input and output, against the program itself. First the protocol, then the tools.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::workspace;
use crate::mcp_client::{ASKS_CALLER, ENDLESS, HELLO, StdioClient, call};

// --- the protocol ------------------------------------------------------------------------------------------

#[test]
fn a_modern_client_needs_no_handshake() {
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    let result = &client.request("tools/list", json!({}))["result"];
    let names: Vec<&str> =
        result["tools"].as_array().expect("a list").iter().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(names, ["dipeo_run", "see_result", "control_execution", "compile_diagram", "search", "fetch"]);
    assert_eq!((&result["resultType"], &result["cacheScope"]), (&json!("complete"), &json!("public")));
    assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "dipeo");
    let discovered = &client.request("server/discover", json!({}))["result"];
    assert!(discovered["supportedVersions"].as_array().expect("a list").contains(&json!("2026-07-28")));
    assert_eq!(discovered["ttlMs"], 3_600_000);
}

#[test]
fn a_legacy_client_initializes_and_gets_the_version_it_asked_for() {
    for (asked, expected) in [
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ] {
        let workspace = workspace();
        let mut client = StdioClient::start(&workspace);
        let params =
            json!({"protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}});
        client.write(&json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}).to_string());
        let result = client.answer_to(1)["result"].clone();
        assert_eq!(result["protocolVersion"], expected, "{asked}");
        assert_eq!(result["serverInfo"]["name"], "dipeo");
        assert!(result["instructions"].as_str().is_some_and(|it| it.contains("compile_diagram")));
        client.write(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        client.write(r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#);
        let listed = client.answer_to(2)["result"].clone();
        assert_eq!(listed["tools"].as_array().map(Vec::len), Some(6));
        assert_eq!(listed.get("resultType"), None);
    }
}

#[test]
fn noise_before_the_first_request_does_not_end_the_server() {
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    client.write(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    client.write("this is not JSON");
    client.write(r#"{"jsonrpc":"2.0","id":9,"result":{}}"#);
    assert!(client.request("server/discover", json!({})).get("result").is_some());
    client.write(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":77}}"#);
    assert!(client.request("tools/list", json!({})).get("result").is_some());
}

#[test]
fn what_is_wrong_with_a_request_is_a_protocol_error() {
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    for (method, params, code, text) in [
        ("tools/call", call("dipeo_rnu", json!({})), -32602, "no tool `dipeo_rnu`"),
        ("tools/list", json!({"cursor": "nonsense"}), -32602, "`nonsense` is not a cursor"),
        ("prompts/get", json!({"name": "x"}), -32602, "no prompt `x`"),
        ("resources/read", json!({"uri": "file:///etc/passwd"}), -32602, "file:///etc/passwd"),
        ("no/such/method", json!({}), -32601, "no/such/method"),
    ] {
        let error = &client.request(method, params)["error"];
        assert_eq!(error["code"], code, "{method}: {error}");
        assert!(error["message"].as_str().is_some_and(|it| it.contains(text)), "{method}: {error}");
    }
    client.write(r#"{"jsonrpc":"2.0","id":900,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#);
    assert_eq!(client.answer_to(900)["error"]["code"], -32602);
}

#[test]
fn every_problem_of_the_arguments_is_in_one_error_result() {
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    let result = client.call("dipeo_run", json!({"diagrm": "x", "wait_seconds": 99}));
    assert_eq!(result["isError"], true);
    let error = &result["structuredContent"]["error"];
    assert_eq!(error["code"], "INVALID_INPUT");
    let message = error["message"].as_str().expect("text");
    assert!(message.contains("did you mean `diagram`?") && message.contains("at most 25"), "{message}");
    assert_eq!(result["content"][0]["text"], result["structuredContent"].to_string());
}

#[test]
fn prompts_are_listed_and_filled_in() {
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    let listed = client.request("prompts/list", json!({}));
    assert_eq!(listed["result"]["prompts"].as_array().map(Vec::len), Some(4));
    let params = json!({"name": "write_diagram", "arguments": {"request": "count to three"}});
    let filled = client.request("prompts/get", params);
    let text = filled["result"]["messages"][0]["content"]["text"].as_str().expect("text").to_owned();
    assert!(text.contains("count to three"), "{text}");
}

// --- the tools ---------------------------------------------------------------------------------------------

#[test]
fn a_diagram_given_as_text_runs_to_its_outputs() {
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    let result = client.call("dipeo_run", json!({"content": HELLO}));
    let execution = &result["structuredContent"];
    assert_eq!((&result["isError"], &execution["status"]), (&json!(false), &json!("completed")), "{result}");
    assert_eq!(execution["outputs"]["end"], "Hello, world!");
    assert_eq!(result["content"][0]["text"], execution.to_string());
    let id = execution["execution_id"].as_str().expect("an id");
    assert_eq!(result["content"][1]["uri"], format!("dipeo://executions/{id}"));
    let seen = client.call("see_result", json!({"execution_id": id}));
    assert_eq!(seen["structuredContent"]["outputs"], execution["outputs"]);
}

#[test]
fn a_handle_outlives_the_process_that_made_it() {
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    let run = client.call("dipeo_run", json!({"content": HELLO}));
    let id = run["structuredContent"]["execution_id"].clone();
    assert!(client.finish().0.success());
    let mut client = StdioClient::start(&workspace);
    assert_eq!(client.call("see_result", json!({"execution_id": id}))["structuredContent"]["status"], "completed");
}

#[test]
fn a_caller_answers_the_prompt_of_its_own_run() {
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    let paused = client.call("dipeo_run", json!({"content": ASKS_CALLER}))["structuredContent"].clone();
    assert_eq!((&paused["status"], &paused["pause_reason"]), (&json!("paused"), &json!("model")), "{paused}");
    assert!(paused["waiting_for"].to_string().contains("Best tea?"), "{paused}");
    let answer = json!({"execution_id": paused["execution_id"], "action": "answer", "value": "Assam"});
    let ended = client.call("control_execution", answer.clone())["structuredContent"].clone();
    assert_eq!((&ended["status"], &ended["outputs"]["end"]), (&json!("completed"), &json!("Assam")), "{ended}");
    assert_eq!(client.call("control_execution", answer)["isError"], true);
}

#[test]
fn a_wrong_diagram_is_a_result_with_every_problem_and_a_right_one_can_be_saved() {
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    let wrong = HELLO.replace("type: endpoint", "type: endpiont").replace("from: compose", "from: compse");
    let report = client.call("compile_diagram", json!({"content": wrong}));
    assert_eq!((&report["isError"], &report["structuredContent"]["valid"]), (&json!(false), &json!(false)), "{report}");
    assert!(report["structuredContent"]["errors"].as_array().is_some_and(|it| it.len() >= 2), "{report}");
    let saved = client.call("compile_diagram", json!({"content": HELLO, "push_as": "greeting"}));
    assert_eq!(saved["structuredContent"]["valid"], true, "{saved}");
    let run = client.call("dipeo_run", json!({"diagram": "greeting"}));
    assert_eq!(run["structuredContent"]["status"], "completed", "{run}");
    let invalid = client.call("dipeo_run", json!({"content": wrong}));
    assert_eq!(invalid["structuredContent"]["error"]["code"], "INVALID_DIAGRAM", "{invalid}");
}

#[test]
fn search_and_fetch_answer_one_text_block_of_json() {
    let workspace = workspace();
    workspace.write("projects/greeting.light.yaml", HELLO);
    let mut client = StdioClient::start(&workspace);
    let found = client.call("search", json!({"query": "greeting"}));
    assert_eq!((found.get("structuredContent"), found["content"].as_array().map(Vec::len)), (None, Some(1)));
    let hits: Value = serde_json::from_str(found["content"][0]["text"].as_str().expect("text")).expect("JSON");
    let id = hits["results"][0]["id"].as_str().expect("a hit").to_owned();
    assert_eq!(id, "dipeo://diagrams/greeting");
    let fetched = client.call("fetch", json!({"id": id}));
    assert_eq!(fetched.get("structuredContent"), None);
    let page: Value = serde_json::from_str(fetched["content"][0]["text"].as_str().expect("text")).expect("JSON");
    assert_eq!(page["text"], HELLO);
    let older = client.call("fetch", json!({"uri": "dipeo://diagrams"}));
    assert_eq!(older["isError"], false);
    assert_eq!(client.call("fetch", json!({"id": "dipeo://nothing"}))["isError"], true);
}

#[test]
fn resources_are_listed_read_and_completed() {
    let workspace = workspace();
    workspace.write("projects/greeting.light.yaml", HELLO);
    let mut client = StdioClient::start(&workspace);
    let listed = client.request("resources/list", json!({}))["result"].clone();
    assert!(listed.to_string().contains("dipeo://diagrams/greeting"), "{listed}");
    let templates = client.request("resources/templates/list", json!({}))["result"].clone();
    assert!(templates.to_string().contains("dipeo://executions/{id}"), "{templates}");
    let read = client.request("resources/read", json!({"uri": "dipeo://diagrams/greeting"}))["result"].clone();
    assert_eq!((&read["contents"][0]["text"], &read["cacheScope"]), (&json!(HELLO), &json!("private")));
    let missing = client.request("resources/read", json!({"uri": "dipeo://diagrams/nothing"}));
    assert_eq!(missing["error"]["code"], -32602, "{missing}");
    assert_eq!(missing["error"]["data"]["uri"], "dipeo://diagrams/nothing");
    assert!(missing["error"]["data"]["forms"].to_string().contains("dipeo://diagrams/{name}"), "{missing}");
    let reference = json!({"type": "ref/resource", "uri": "dipeo://diagrams/{name}"});
    let params = json!({"ref": reference, "argument": {"name": "name", "value": "gre"}});
    assert_eq!(client.request("completion/complete", params)["result"]["completion"]["values"], json!(["greeting"]));
}

#[test]
fn an_execution_is_shown_as_pictures() {
    let workspace = workspace();
    workspace.write("projects/greeting.light.yaml", HELLO);
    let mut client = StdioClient::start(&workspace);
    let ended = client.call("dipeo_run", json!({"diagram": "greeting"}))["structuredContent"].clone();
    let paused = client.call("dipeo_run", json!({"content": ASKS_CALLER}))["structuredContent"].clone();
    assert_eq!((&ended["status"], &paused["status"]), (&json!("completed"), &json!("paused")));
    for (execution, part, mime_type, ttl_ms, begin, shown) in [
        (
            &ended,
            "timeline.svg",
            "image/svg+xml",
            3_600_000,
            "<svg xmlns=\"http://www.w3.org/2000/svg\"",
            "compose: completed",
        ),
        (&ended, "graph.mmd", "text/vnd.mermaid", 3_600_000, "%% exec_", "    n0 ==> n1\n"),
        (&paused, "timeline.svg", "image/svg+xml", 0, "<svg ", "ask: waiting"),
        (&paused, "graph.mmd", "text/vnd.mermaid", 0, "%% exec_", "‖ waiting\"]:::waiting\n"),
    ] {
        let id = execution["execution_id"].as_str().expect("an id");
        let uri = format!("dipeo://executions/{id}/{part}");
        let read = client.request("resources/read", json!({"uri": uri}))["result"].clone();
        let content = &read["contents"][0];
        assert_eq!((&content["mimeType"], &read["ttlMs"]), (&json!(mime_type), &json!(ttl_ms)), "{uri}");
        assert_eq!(read["cacheScope"], "private", "{uri}");
        let text = content["text"].as_str().expect("text");
        assert!(text.starts_with(begin) && text.contains(shown), "{text}");
        let fetched = client.call("fetch", json!({"id": uri}));
        assert!(fetched["content"][0]["text"].as_str().is_some_and(|it| it.contains(mime_type)), "{fetched}");
        let reference = json!({"type": "ref/resource", "uri": format!("dipeo://executions/{{id}}/{part}")});
        let params = json!({"ref": reference, "argument": {"name": "id", "value": id}});
        assert_eq!(client.request("completion/complete", params)["result"]["completion"]["values"], json!([id]));
        let unknown = format!("dipeo://executions/exec_{}/{part}", "0".repeat(32));
        assert_eq!(client.request("resources/read", json!({"uri": unknown}))["error"]["code"], -32602);
    }
}

#[test]
fn tools_name_the_page_that_shows_their_results() {
    const PAGE: &str = "ui://dipeo/execution";
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    let discovered = client.request("server/discover", json!({}))["result"].clone();
    assert!(discovered["capabilities"]["extensions"]["io.modelcontextprotocol/ui"].is_object(), "{discovered}");
    let tools = client.request("tools/list", json!({}))["result"]["tools"].clone();
    let with_page: Vec<&str> = tools
        .as_array()
        .expect("a list")
        .iter()
        .filter(|it| it["_meta"]["ui"]["resourceUri"] == PAGE)
        .filter_map(|it| it["name"].as_str())
        .collect();
    assert_eq!(with_page, ["dipeo_run", "see_result"]);
    let mut listed = Vec::new();
    let mut cursor = json!("");
    while !cursor.is_null() {
        let page = client.request("resources/list", json!({"cursor": cursor}))["result"].clone();
        listed.extend(page["resources"].as_array().expect("a list").clone());
        cursor = page["nextCursor"].clone();
    }
    let entry = listed.iter().find(|it| it["uri"] == PAGE).expect("the page is listed");
    assert_eq!(entry["mimeType"], "text/html;profile=mcp-app");
    let read = client.request("resources/read", json!({"uri": PAGE}))["result"].clone();
    let content = &read["contents"][0];
    assert_eq!((&content["mimeType"], &read["cacheScope"]), (&entry["mimeType"], &json!("public")));
    assert_eq!(content["_meta"]["ui"]["prefersBorder"], true);
    assert!(content["text"].as_str().is_some_and(|it| it.starts_with("<!doctype html>")));
}

#[test]
fn every_result_fits_the_schema_that_was_shown() {
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    let listed = client.request("tools/list", json!({}));
    let schema = |name: &str| {
        let tools = listed["result"]["tools"].as_array().expect("a list");
        let tool = tools.iter().find(|it| it["name"] == name).expect("a tool");
        jsonschema::validator_for(&tool["outputSchema"]).expect("a schema")
    };
    let paused = client.call("dipeo_run", json!({"content": ASKS_CALLER}));
    let id = paused["structuredContent"]["execution_id"].clone();
    let results = [
        ("dipeo_run", client.call("dipeo_run", json!({"content": HELLO}))),
        ("dipeo_run", client.call("dipeo_run", json!({"content": "nodes: 3"}))),
        ("dipeo_run", client.call("dipeo_run", json!({"content": ENDLESS, "timeout": 1}))),
        ("see_result", client.call("see_result", json!({"execution_id": id, "detail": "full"}))),
        ("see_result", client.call("see_result", json!({"execution_id": "exec_1"}))),
        ("control_execution", client.call("control_execution", json!({"execution_id": id, "action": "abort"}))),
        ("compile_diagram", client.call("compile_diagram", json!({"content": HELLO}))),
        ("compile_diagram", client.call("compile_diagram", json!({"content": "nodes: 3"}))),
    ];
    for (tool, result) in results.into_iter().chain([("dipeo_run", paused)]) {
        let content = &result["structuredContent"];
        let problems: Vec<String> = schema(tool).iter_errors(content).map(|it| it.to_string()).collect();
        assert!(content.is_object() && problems.is_empty(), "{tool}: {problems:?} in {content}");
    }
}

#[test]
fn progress_increases_and_a_run_that_fails_is_an_error() {
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    let mut params = call("dipeo_run", json!({"content": ENDLESS, "timeout": 3}));
    params["_meta"] = json!({"progressToken": "p"});
    let result = client.request("tools/call", params)["result"].clone();
    assert_eq!(
        (&result["isError"], &result["structuredContent"]["status"]),
        (&json!(true), &json!("failed")),
        "{result}"
    );
    let values: Vec<f64> = client
        .notifications
        .iter()
        .filter(|it| it["method"] == "notifications/progress" && it["params"]["progressToken"] == "p")
        .filter_map(|it| it["params"]["progress"].as_f64())
        .collect();
    assert!(!values.is_empty() && values.windows(2).all(|it| it[0] < it[1]), "{:?}", client.notifications);
}

#[test]
fn cancelling_a_call_ends_the_wait_and_not_the_execution() {
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    let mut params = call("dipeo_run", json!({"content": ENDLESS, "timeout": 20}));
    params["_meta"] = json!({"progressToken": 1});
    let id = client.send("tools/call", params);
    // The first sign of life says that the execution is there.
    assert_eq!(client.read()["method"], "notifications/progress");
    client.write(
        &json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}}).to_string(),
    );
    let listed = client.request("resources/read", json!({"uri": "dipeo://executions"}))["result"].clone();
    let list: Value = serde_json::from_str(listed["contents"][0]["text"].as_str().expect("text")).expect("JSON");
    assert_eq!((&list["total"], &list["executions"][0]["status"]), (&json!(1), &json!("running")), "{list}");
    let abort = json!({"execution_id": list["executions"][0]["execution_id"], "action": "abort"});
    assert_eq!(client.call("control_execution", abort)["structuredContent"]["status"], "aborted");
}

#[test]
fn the_end_of_input_answers_waiting_calls_and_ends_the_process() {
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    let mut params = call("dipeo_run", json!({"content": ENDLESS, "timeout": 5}));
    params["_meta"] = json!({"progressToken": 1});
    let id = client.send("tools/call", params);
    assert_eq!(client.read()["method"], "notifications/progress");
    let (status, took, rest) = client.finish();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(4), "took {took:?}");
    let answer = rest.iter().find(|it| it["id"] == json!(id)).expect("the call is answered");
    assert_eq!(answer["result"]["structuredContent"]["status"], "running", "{answer}");
}

#[test]
fn an_idle_server_ends_with_its_input() {
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    client.request("tools/list", json!({}));
    let (status, took, rest) = client.finish();
    assert!(status.success() && rest.is_empty(), "{status} {rest:?}");
    assert!(took < Duration::from_secs(2), "took {took:?}");
    let untouched = StdioClient::start(&workspace);
    assert!(untouched.finish().0.success());
}
