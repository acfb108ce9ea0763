//! A run whose persons are whoever called it, from the first prompt to the last, through a plain MCP client; and
//! a question that one process asked and another one answers.

use serde_json::{Value, json};

use crate::harness::workspace;
use crate::mcp_client::LibraryClient;

const TWO_PERSONS: &str = r#"
version: light
persons:
  Author: {service: openai, model: gpt-4o, system_prompt: You write titles.}
  Editor: {service: openai, model: gpt-4o, system_prompt: You rate titles.}
nodes:
- {label: start, type: start, custom_data: {topic: tea}}
- {label: write, type: person_job, person: Author, default_prompt: "A title about {{topic}}, please.", max_iteration: 1}
- label: rate
  type: person_job
  person: Editor
  default_prompt: "Rate this: {{default}}"
  max_iteration: 1
  text_format:
    type: object
    properties: {score: {type: integer, minimum: 0, maximum: 10}}
    required: [score]
    additionalProperties: false
- {label: end, type: endpoint}
connections:
- {from: start, to: write}
- {from: write, to: rate}
- {from: rate, to: end}
"#;

const EACH: &str = r#"
version: light
persons:
  Author: {service: openai, model: gpt-4o}
nodes:
- {label: start, type: start, custom_data: {items: [tea, ink]}}
- {label: each, type: person_job, person: Author, batch: true, default_prompt: "About {{item}}", max_iteration: 1}
- {label: end, type: endpoint}
connections:
- {from: start, to: each}
- {from: each, to: end}
"#;

const APPROVAL: &str = r#"
version: light
nodes:
- {label: start, type: start, custom_data: {what: the release}}
- {label: ship it, type: user_response, prompt: "Ship {{what}}?", approval: true}
- {label: end, type: endpoint}
connections:
- {from: start, to: ship it}
- {from: ship it, to: end}
"#;

fn answer(id: &Value, node: &str, value: Value) -> Value {
    json!({"execution_id": id, "action": "answer", "node": node, "value": value})
}

#[tokio::test]
async fn a_caller_plays_every_person_of_a_diagram() {
    let workspace = workspace();
    let client = LibraryClient::stdio(&workspace).await;
    let call = async |tool: &str, arguments: Value| client.call(tool, arguments).await["structuredContent"].clone();

    let asked = call("dipeo_run", json!({"content": TWO_PERSONS, "models": "caller"})).await;
    assert_eq!((&asked["status"], &asked["pause_reason"]), (&json!("paused"), &json!("model")), "{asked:#}");
    let id = asked["execution_id"].clone();
    let first = &asked["waiting_for"][0];
    assert_eq!((&first["label"], &first["person"]), (&json!("write"), &json!("Author")), "{first:#}");
    assert_eq!(first["prompt"], "A title about tea, please.");
    assert_eq!(roles_and_texts(first), [("system", "You write titles."), ("user", "A title about tea, please.")]);
    assert_eq!(first.get("schema"), None);

    let asked = call("control_execution", answer(&id, "write", json!("Leaves"))).await;
    let second = asked["waiting_for"][0].clone();
    assert_eq!((&second["label"], &second["person"]), (&json!("rate"), &json!("Editor")), "{asked:#}");
    assert_eq!(second["prompt"], "Rate this: Leaves");
    assert!(roles_and_texts(&second).contains(&("system", "You rate titles.")), "{second:#}");
    assert_eq!(second["schema"]["properties"]["score"]["type"], "integer", "{second:#}");

    for wrong in
        [json!("very good"), json!({"score": "high"}), json!({"score": 11}), json!({"score": 9, "why": "short"})]
    {
        let refused = call("control_execution", answer(&id, "rate", wrong.clone())).await;
        assert_eq!(refused["error"]["code"], "INVALID_ANSWER", "{wrong}: {refused:#}");
        let still = call("see_result", json!({"execution_id": id})).await;
        assert_eq!(still["waiting_for"], json!([second]), "{wrong}");
    }
    let late = call("control_execution", answer(&id, "write", json!("Petals"))).await;
    assert_eq!(late["error"]["code"], "ALREADY_ANSWERED", "{late:#}");

    let ended = call("control_execution", answer(&id, "rate", json!({"score": 9}))).await;
    assert_eq!((&ended["status"], &ended["outputs"]["end"]), (&json!("completed"), &json!({"score": 9})), "{ended:#}");
    let late = call("control_execution", answer(&id, "rate", json!({"score": 1}))).await;
    assert_eq!(late["error"]["code"], "ALREADY_ANSWERED", "{late:#}");

    let seen = call("see_result", json!({"execution_id": id, "detail": "conversation"})).await;
    let said: Vec<(&str, &str, &str)> = seen["conversation"]
        .as_array()
        .expect("a conversation")
        .iter()
        .map(|it| (text(&it["node_id"]), text(&it["role"]), text(&it["content"])))
        .collect();
    assert_eq!(
        said,
        [
            ("node_1", "user", "A title about tea, please."),
            ("node_1", "assistant", "Leaves"),
            ("node_2", "user", "Rate this: Leaves"),
            ("node_2", "assistant", r#"{"score": 9}"#),
        ]
    );
}

/// A client that is told to name the question may send its answer twice.
#[tokio::test]
async fn an_answer_that_names_its_question_is_not_taken_for_the_next_item() {
    let workspace = workspace();
    let client = LibraryClient::stdio(&workspace).await;
    let call = async |tool: &str, arguments: Value| client.call(tool, arguments).await["structuredContent"].clone();
    let asked = call("dipeo_run", json!({"content": EACH, "models": "caller"})).await;
    let (id, first) = (asked["execution_id"].clone(), asked["waiting_for"][0].clone());
    assert_eq!(first["prompt"], "About tea", "{asked:#}");
    let name = text(&first["question"]);
    assert!(text(&asked["next"]).contains(&format!("\"node\":\"{name}\"")), "{asked:#}");
    let again = call("control_execution", answer(&id, name, json!("Green"))).await;
    let second = &again["waiting_for"][0];
    assert_eq!((&second["prompt"], second["question"] != first["question"]), (&json!("About ink"), true), "{again:#}");

    let repeated = call("control_execution", answer(&id, name, json!("Green"))).await;
    assert_eq!(repeated["error"]["code"], "ALREADY_ANSWERED", "{repeated:#}");
    let still = call("see_result", json!({"execution_id": id})).await;
    assert_eq!(&still["waiting_for"][0], second, "it waits for the answer to the second");
    // Whoever names the node alone answers what it asks then.
    let ended = call("control_execution", answer(&id, "each", json!("Black"))).await;
    let said: Vec<&Value> =
        ended["outputs"]["end"]["results"].as_array().expect("both").iter().map(|it| &it["output"]).collect();
    assert_eq!(said, ["Green", "Black"], "{ended:#}");
    let late = call("control_execution", answer(&id, name, json!("Green"))).await;
    assert_eq!(
        (&late["error"]["code"], &late["error"]["details"]["answer"]),
        (&json!("ALREADY_ANSWERED"), &json!("Green"))
    );
}

#[tokio::test]
async fn a_person_at_the_terminal_approves_what_an_assistant_started() {
    let workspace = workspace();
    let client = LibraryClient::stdio(&workspace).await;
    for (typed, output) in [("yes", true), ("no", false)] {
        let asked = client.call("dipeo_run", json!({"content": APPROVAL})).await["structuredContent"].clone();
        assert_eq!(
            (&asked["pause_reason"], &asked["waiting_for"][0]["prompt"]),
            (&json!("approval"), &json!("Ship the release?"))
        );
        let id = text(&asked["execution_id"]);
        let control = async |value: &str| {
            let mut command = tokio::process::Command::from(workspace.command());
            command.args(["control", id, "answer", value, "--node", "ship it", "--json"]);
            let printed = command.output().await.expect("the program runs").stdout;
            serde_json::from_slice::<Value>(&printed).expect("JSON")
        };
        let refused = control("perhaps").await;
        assert_eq!(refused["error"]["code"], "INVALID_ANSWER", "{refused:#}");
        let answered = control(typed).await;
        assert_eq!(answered["status"], "completed", "{answered:#}");
        let seen = client.call("see_result", json!({"execution_id": id, "wait_seconds": 20})).await;
        assert_eq!(seen["structuredContent"]["outputs"]["end"], output, "{seen:#}");
        assert_eq!(control(typed).await["error"]["code"], "ALREADY_ANSWERED");
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn roles_and_texts(waiting: &Value) -> Vec<(&str, &str)> {
    let messages = waiting["messages"].as_array().expect("messages");
    messages.iter().map(|it| (text(&it["role"]), text(&it["content"]))).collect()
}
