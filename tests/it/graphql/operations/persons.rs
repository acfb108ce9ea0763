use serde_json::{Value, json};

use crate::graphql::client::{code, data};
use crate::harness::{Workspace, workspace};
use crate::mcp_client::HttpServer;

const DEBATE: &str = include_str!("../../../../examples/debate.light.yaml");
const FIELDS: &str = "id label type llm_config { service model api_key_id system_prompt prompt_file }";

fn server() -> (Workspace, HttpServer) {
    let workspace = workspace();
    workspace.write("projects/debate.light.yaml", DEBATE);
    let server = HttpServer::start(&workspace);
    (workspace, server)
}

async fn create(server: &HttpServer, label: &str, config: Value) -> Value {
    let query = format!(
        "mutation($input: CreatePersonInput!) {{ createPerson(input: $input) {{ success error error_type envelope data {{ {FIELDS} }} }} }}"
    );
    let input = json!({"label": label, "llm_config": config});
    data(server, &query, json!({"input": input})).await["createPerson"].clone()
}

async fn get(server: &HttpServer, id: &str) -> Value {
    let query = format!("query($id: String!) {{ getPerson(person_id: $id) {{ {FIELDS} }} }}");
    data(server, &query, json!({"id": id})).await["getPerson"].clone()
}

fn scripted(prompt: &str) -> Value {
    json!({"service": "SCRIPTED", "model": "", "api_key_id": "", "system_prompt": prompt})
}

#[tokio::test]
async fn create_person_keeps_one_that_any_diagram_may_name() {
    let (_workspace, server) = server();
    let made = create(&server, "Ada", scripted("be kind")).await;
    assert_eq!((&made["success"], &made["data"]["label"]), (&json!(true), &json!("Ada")), "{made:#}");
    assert_eq!(made["data"]["llm_config"]["system_prompt"], "be kind");
    assert_eq!(made["envelope"]["id"], made["data"]["id"]);
    let again = create(&server, "Ada", scripted("be quick")).await;
    assert_eq!((&again["success"], &again["error_type"]), (&json!(false), &json!("ALREADY_EXISTS")));
    let program = json!({"service": "CLAUDE_CODE", "model": "m", "api_key_id": ""});
    assert_eq!(create(&server, "Bob", program).await["error_type"], "PERMISSION_REQUIRED");
    assert_eq!(create(&server, " ", scripted("")).await["error_type"], "INVALID_NAME");
}

#[tokio::test]
async fn get_person_finds_those_of_the_workspace_and_of_diagrams() {
    let (_workspace, server) = server();
    let made = create(&server, "Ada", scripted("be kind")).await;
    let id = made["data"]["id"].as_str().expect("an id");
    assert_eq!(get(&server, id).await, made["data"]);
    assert_eq!(get(&server, "Ada").await["id"], *id);
    let judge = get(&server, "debate#Judge").await;
    assert_eq!((&judge["label"], &judge["llm_config"]["service"]), (&json!("Judge"), &json!("SCRIPTED")));
    let query = "query($id: String!) { getPerson(person_id: $id) { id } }";
    for id in ["nobody", "debate#Nobody", "../x#y", ""] {
        assert_eq!(code(&server, query, json!({"id": id})).await, "PERSON_NOT_FOUND", "{id}");
    }
}

#[tokio::test]
async fn list_persons_begins_with_those_of_the_workspace() {
    let (_workspace, server) = server();
    create(&server, "Zoe", scripted("last")).await;
    let labels = async |arguments: &str| {
        let listed = data(&server, &format!("{{ listPersons{arguments} {{ label }} }}"), json!({})).await;
        let persons = listed["listPersons"].as_array().expect("a list").clone();
        persons.iter().map(|it| it["label"].as_str().expect("a label").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(labels("").await, ["Zoe", "Optimist", "Pessimist", "Judge"]);
    assert_eq!(labels("(limit: 2)").await, ["Zoe", "Optimist"]);
    assert_eq!(code(&server, "{ listPersons(limit: 0) { id } }", json!({})).await, "INVALID_INPUT");
}

#[tokio::test]
async fn update_person_changes_what_is_given_and_nothing_else() {
    let (_workspace, server) = server();
    let made = create(&server, "Ada", scripted("be kind")).await;
    let id = made["data"]["id"].clone();
    let query = "mutation($id: String!, $input: UpdatePersonInput!) {
      updatePerson(person_id: $id, input: $input) { success error_type data { id label llm_config { system_prompt } } }
    }";
    let update = async |id: &Value, input: Value| {
        data(&server, query, json!({"id": id, "input": input})).await["updatePerson"].clone()
    };
    let changed = update(&id, json!({"label": "Countess"})).await;
    let expected = json!({"id": id, "label": "Countess", "llm_config": {"system_prompt": "be kind"}});
    assert_eq!(changed["data"], expected, "{changed:#}");
    assert_eq!(get(&server, "Countess").await["id"], id);
    assert_eq!(update(&json!("nobody"), json!({"label": "x"})).await["error_type"], "PERSON_NOT_FOUND");
}

#[tokio::test]
async fn delete_person_takes_one_of_the_workspace_away() {
    let (_workspace, server) = server();
    let id = create(&server, "Ada", scripted("be kind")).await["data"]["id"].clone();
    let query =
        "mutation($id: String!) { deletePerson(person_id: $id) { success error_type deleted_id deleted_count } }";
    let delete = async |id: &Value| data(&server, query, json!({"id": id})).await["deletePerson"].clone();
    let gone = json!({"success": true, "error_type": null, "deleted_id": id, "deleted_count": 1});
    assert_eq!(delete(&id).await, gone);
    assert_eq!(delete(&id).await["error_type"], "PERSON_NOT_FOUND");
    let get = "query($id: String!) { getPerson(person_id: $id) { id } }";
    assert_eq!(code(&server, get, json!({"id": "Ada"})).await, "PERSON_NOT_FOUND");
}
