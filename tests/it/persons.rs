//! Persons of the workspace: made, changed and removed by whoever may, named by any diagram, and found again by
//! whoever takes a run over.

use dipeo::engine::Status;
use dipeo::error::Error;
use dipeo::handlers::about::execution_capabilities::execution_capabilities;
use dipeo::handlers::caller::{Door, Identity, Scopes};
use dipeo::handlers::execution_object::ExecutionObject;
use dipeo::handlers::persons::change::{CreateRequest, UpdateRequest, create_person, delete_person, update_person};
use dipeo::handlers::persons::get::get_person;
use dipeo::handlers::persons::list::{self, list_persons};
use dipeo::handlers::run_diagram::{self, Waiting};
use dipeo::handlers::{App, Caller, compile_diagram, control_execution};
use serde_json::{Value, json};

use crate::harness;

fn client(principal: &str, scopes: Scopes) -> Caller {
    Caller::client(Identity { principal: principal.into(), scopes }, Door::Http)
}

fn owner() -> Caller {
    Caller::client(Identity::owner(), Door::Http)
}

fn new(label: &str, config: Value) -> CreateRequest {
    CreateRequest { label: label.to_owned(), config: config.as_object().cloned().expect("a map") }
}

fn says(text: &str) -> Value {
    json!({"service": "scripted", "replies": [text], "when_exhausted": "cycle"})
}

/// A diagram whose only node asks `name`, with these persons of its own.
fn asking(name: &str, persons: &str) -> String {
    format!(
        "version: light\n{persons}nodes:\n- {{label: s, type: start}}\n- {{label: ask, type: person_job, person: {name}, \
         default_prompt: hm, max_iteration: 1}}\nconnections:\n- {{from: s, to: ask}}\n"
    )
}

async fn run(app: &App, caller: &Caller, content: String) -> Result<ExecutionObject, Error> {
    let request = run_diagram::Request { content: Some(content), ..Default::default() };
    run_diagram::run_diagram(app, caller, request, Default::default(), Waiting::default()).await
}

async fn answer(app: &App, caller: &Caller, content: String) -> Result<Value, &'static str> {
    run(app, caller, content).await.map(|it| it.final_output.unwrap_or_default()).map_err(|it| it.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn any_diagram_may_name_a_person_and_its_own_of_that_name_wins() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let made = create_person(&app, &owner(), new("Critic at large", says("shared"))).await.expect("made");
    assert!(made.id.starts_with("person_") && made.service.as_deref() == Some("scripted"), "{made:?}");
    for (name, persons, expected) in [
        ("Critic at large", "", "shared"),
        ("person_Critic_at_large", "", "shared"),
        ("Critic at large", "persons: {Other: {service: caller}}\n", "shared"),
        ("Critic at large", "persons: {Critic at large: {service: scripted, replies: [own]}}\n", "own"),
    ] {
        assert_eq!(answer(&app, &owner(), asking(name, persons)).await, Ok(json!(expected)), "{name} {persons}");
    }
    workspace.write("projects/named.light.yaml", &asking("Critic at large", ""));
    let named = run_diagram::Request { diagram: Some("named".into()), ..Default::default() };
    let ran = run_diagram::run_diagram(&app, &owner(), named, Default::default(), Waiting::default()).await;
    assert_eq!(ran.expect("it runs").final_output, Some(json!("shared")));
    let request = compile_diagram::Request { content: asking("Critic at larg", ""), ..Default::default() };
    let report = compile_diagram::compile_diagram(&app, &owner(), request, Default::default()).await.expect("compiled");
    let unknown = report.report.errors.iter().find(|it| it.code == "E501").expect("nobody is called so");
    assert_eq!(unknown.hint.as_deref(), Some("did you mean `Critic at large`?"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_with_the_person_it_began_with() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let made = create_person(&app, &owner(), new("Scribe", says("before"))).await.expect("made");
    let content = asking("Scribe", "").replace(
        "connections:\n- {from: s, to: ask}\n",
        "- {label: wait, type: user_response, prompt: well}\nconnections:\n- {from: s, to: wait}\n- {from: wait, to: ask}\n",
    );
    let paused = run(&app, &owner(), content).await.expect("it runs");
    assert_eq!(paused.status, Status::Paused);
    let config = says("after").as_object().cloned().expect("a map");
    let change = UpdateRequest { person_id: made.id.clone(), label: Some("Other".into()), config };
    update_person(&app, &owner(), change).await.expect("changed");
    delete_person(&app, &owner(), &made.id).await.expect("removed");
    app.shut_down_runs().await;
    let later = workspace.app();
    let control = control_execution::Request {
        execution_id: paused.execution_id,
        action: "answer".into(),
        value: Some("go".into()),
        ..Default::default()
    };
    let done = control_execution::control_execution(&later, &owner(), control, Waiting::default()).await;
    let done = done.expect("another process takes it over");
    assert_eq!((done.status, done.final_output), (Status::Completed, Some(json!("before"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_principal_makes_is_theirs_and_what_the_owner_makes_is_everybodys() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let (ada, bob) = (client("ada", Scopes::ALL), client("bob", Scopes::ALL));
    let shared = create_person(&app, &owner(), new("Writer", says("everybody's"))).await.expect("made");
    let hers = create_person(&app, &ada, new("Writer", says("ada's"))).await.expect("her own name space");
    for (caller, expected) in [(owner(), "everybody's"), (ada.clone(), "ada's"), (bob.clone(), "everybody's")] {
        assert_eq!(answer(&app, &caller, asking("Writer", "")).await, Ok(json!(expected)), "{caller:?}");
    }
    let listed = async |caller: &Caller| {
        let request = list::Request { workspace_only: true, ..Default::default() };
        let found = list_persons(&app, caller, request).await.expect("listed").persons;
        found.into_iter().map(|it| it.id).collect::<Vec<_>>()
    };
    assert_eq!(listed(&ada).await, [hers.id.clone(), shared.id.clone()]);
    assert_eq!(listed(&bob).await, std::slice::from_ref(&shared.id));
    assert_eq!(listed(&owner()).await.len(), 2);
    for (what, code) in [
        (get_person(&app, &bob, &hers.id).await.err(), "PERSON_NOT_FOUND"),
        (delete_person(&app, &bob, &hers.id).await.err(), "PERSON_NOT_FOUND"),
        (delete_person(&app, &bob, &shared.id).await.err(), "PERMISSION_REQUIRED"),
        (delete_person(&app, &ada, "person_nobody").await.err(), "PERSON_NOT_FOUND"),
        (create_person(&app, &ada, new("Writer", says("x"))).await.err(), "ALREADY_EXISTS"),
        (create_person(&app, &client("ada", Scopes::READ), new("W", says("x"))).await.err(), "INSUFFICIENT_SCOPE"),
    ] {
        assert_eq!(what.expect(code).code(), code);
    }
    delete_person(&app, &ada, &hers.id).await.expect("her own");
    assert_eq!(answer(&app, &ada, asking("Writer", "")).await, Ok(json!("everybody's")));
    delete_person(&app, &owner(), &shared.id).await.expect("the owner's");
    assert_eq!(answer(&app, &ada, asking("Writer", "")).await, Err("INVALID_DIAGRAM"));
}

#[tokio::test]
async fn a_person_is_checked_with_the_words_of_a_diagram() {
    let workspace = harness::workspace();
    workspace.write("files/prompts/kind.md", "be kind");
    workspace.write("secret.md", "not for models");
    let app = workspace.app();
    let terminal = Caller::Terminal { working_dir: workspace.root().to_path_buf() };
    for (label, config, code, needle) in [
        ("", json!({}), "INVALID_NAME", "no name of a person"),
        (" a", json!({}), "INVALID_NAME", "no name of a person"),
        ("a\nb", json!({}), "INVALID_NAME", "no name of a person"),
        ("__a", json!({}), "INVALID_NAME", "no name of a person"),
        ("A", json!({"service": "opnai"}), "INVALID_INPUT", "E506"),
        ("A", json!({"sevice": "openai"}), "INVALID_INPUT", "W401"),
        ("A", json!({"max_tokens": 0, "temperature": -1}), "INVALID_INPUT", "; "),
        ("A", json!({"api_key": "sk-canary"}), "INVALID_INPUT", "no place in a diagram"),
        ("A", json!({"service": "ollama", "tools": ["websearch"]}), "INVALID_INPUT", "websearch"),
    ] {
        let error = create_person(&app, &terminal, new(label, config)).await.expect_err(needle);
        assert_eq!(error.code(), code, "{error:?}");
        assert!(error.message().contains(needle) && !error.message().contains("sk-canary"), "{error:?}");
    }
    for (config, allowed) in [
        (json!({"base_url": "https://elsewhere.example"}), false),
        (json!({"service": "claude-code"}), false),
        (json!({"prompt_file": "secret.md"}), false),
        (json!({"prompt_file": "../secret.md"}), false),
        (json!({"prompt_file": "kind.md"}), true),
        (json!({"prompt_file": "files/prompts/kind.md"}), true),
        (json!({"api_key_id": "NOBODYS"}), false),
    ] {
        let code = create_person(&app, &owner(), new("Client's", config.clone())).await.err().map(|it| it.code());
        assert_eq!(code.is_none(), allowed, "{config} {code:?}");
        if allowed {
            let made = get_person(&app, &owner(), "Client's").await.expect("by name");
            delete_person(&app, &owner(), &made.id).await.expect("removed");
        }
    }
    let made = create_person(&app, &terminal, new("T", json!({"base_url": "https://own.example"}))).await;
    assert_eq!(made.expect("a person may").config["base_url"], "https://own.example");
}

#[tokio::test]
async fn a_change_goes_over_what_is_there_and_null_takes_away() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let config = json!({"service": "openai", "model": "m", "temperature": 0.5, "system_prompt": "hi"});
    let made = create_person(&app, &owner(), new("A", config)).await.expect("made");
    let change = |config: Value, label: Option<&str>| UpdateRequest {
        person_id: made.id.clone(),
        label: label.map(str::to_owned),
        config: config.as_object().cloned().expect("a map"),
    };
    let changed = update_person(&app, &owner(), change(json!({"model": "n", "temperature": null}), Some("B"))).await;
    let changed = changed.expect("changed");
    assert_eq!((changed.label.as_str(), changed.model.as_deref()), ("B", Some("n")));
    assert_eq!((changed.system_prompt.as_deref(), changed.config.len()), (Some("hi"), 0));
    assert_eq!(get_person(&app, &owner(), &made.id).await.expect("there"), changed);
    let wrong = update_person(&app, &owner(), change(json!({"service": "nobody"}), None)).await.expect_err("refused");
    assert_eq!(wrong.code(), "INVALID_INPUT");
    assert_eq!(get_person(&app, &owner(), &made.id).await.expect("there"), changed, "nothing has changed");
    // After a restart it is still there.
    assert_eq!(get_person(&workspace.app(), &owner(), "B").await.expect("there"), changed);
}

#[tokio::test]
async fn persons_of_diagrams_are_listed_behind_those_of_the_workspace_without_their_keys() {
    let workspace = harness::workspace();
    let keyed = "persons: {Ann: {service: openai, model: m, api_key_id: sk-0123456789}, Ben: {service: caller}}\n";
    workspace.write("projects/talk.light.yaml", &asking("Ann", keyed));
    let app = workspace.app();
    create_person(&app, &owner(), new("Zoe", says("z"))).await.expect("made");
    let all = list_persons(&app, &owner(), list::Request::default()).await.expect("listed");
    let shown: Vec<_> = all.persons.iter().map(|it| (it.label.as_str(), it.diagram_id.as_deref())).collect();
    assert_eq!(shown, [("Zoe", None), ("Ann", Some("talk")), ("Ben", Some("talk"))]);
    assert!(!serde_json::to_string(&all).expect("JSON").contains("sk-0123456789"));
    let some = list::Request { limit: Some(2), ..Default::default() };
    let some = list_persons(&app, &owner(), some).await.expect("listed");
    assert!(some.has_more && some.persons.len() == 2);
    let ann = get_person(&app, &owner(), "talk#Ann").await.expect("of a diagram");
    assert_eq!(
        (ann.id.as_str(), ann.model.as_deref(), ann.api_key_id.as_deref()),
        ("talk#Ann", Some("m"), Some("***"))
    );
    for id in ["talk#Eve", "nothing#Ann", "../talk#Ann", "", "#"] {
        assert_eq!(get_person(&app, &owner(), id).await.expect_err(id).code(), "PERSON_NOT_FOUND", "{id}");
    }
    let able = execution_capabilities(&app, &owner()).await.expect("described");
    let names: Vec<&str> = able.available_persons.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["Zoe", "Ann", "Ben"]);
    assert!(able.execution_features.interactive_prompts && !able.supported_node_types.is_empty());
}
