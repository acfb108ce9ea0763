//! Diagrams made and changed node by node: the text stays somebody's text, every change is a revision, and what
//! does not compile is kept and does not run.

use dipeo::engine::Status;
use dipeo::handlers::caller::{Door, Identity, Scopes};
use dipeo::handlers::create_diagram::{self, create_diagram};
use dipeo::handlers::edit_nodes::{
    CreateRequest, DeleteRequest, Position, UpdateRequest, create_node, delete_node, update_node,
};
use dipeo::handlers::run_diagram::{self, Waiting};
use dipeo::handlers::{App, Caller};
use serde_json::{Value, json};

use crate::harness;

const LIGHT: &str = "version: light # by hand\nnodes:\n- {label: s, type: start} # begins\n\
    - {label: work, type: code_job, code: \"result = 1\"}\n- {label: e, type: endpoint}\n\
    connections:\n- {from: s, to: work}\n- {from: work, to: e} # the last\n";

fn client(scopes: Scopes) -> Caller {
    Caller::client(Identity { principal: "ada".into(), scopes }, Door::Http)
}

fn new(diagram: &str, kind: &str, data: Value) -> CreateRequest {
    CreateRequest {
        diagram_id: diagram.into(),
        kind: kind.into(),
        position: Some(Position { x: 100.0, y: 20.0 }),
        data: data.as_object().cloned().expect("a map"),
    }
}

fn change(diagram: &str, node: &str, data: Value) -> UpdateRequest {
    UpdateRequest {
        diagram_id: diagram.into(),
        node_id: node.into(),
        position: None,
        data: data.as_object().cloned().expect("a map"),
    }
}

fn gone(diagram: &str, node: &str) -> DeleteRequest {
    DeleteRequest { diagram_id: diagram.into(), node_id: node.into() }
}

async fn run(app: &App, name: &str) -> Result<(Status, Option<Value>), &'static str> {
    let request = run_diagram::Request { diagram: Some(name.into()), ..Default::default() };
    let ran =
        run_diagram::run_diagram(app, &client(Scopes::ALL), request, Default::default(), Waiting::default()).await;
    ran.map(|it| (it.status, it.final_output)).map_err(|it| it.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_is_a_revision_of_the_same_file_with_its_comments() {
    let workspace = harness::workspace();
    workspace.write("projects/work.light.yaml", LIGHT);
    let app = workspace.app();
    let ada = client(Scopes::ALL);
    let text = || std::fs::read_to_string(workspace.root().join("projects/work.light.yaml")).expect("there");

    let changed = update_node(&app, &ada, change("work", "node_1", json!({"code": "result = 2"}))).await.expect("made");
    let node = changed.node.expect("shown");
    assert_eq!(
        (node.label.as_str(), node.kind.as_deref(), &node.data["code"]),
        ("work", Some("code_job"), &json!("result = 2"))
    );
    assert!(changed.report.valid, "{:?}", changed.report);
    assert_eq!(run(&app, "work").await, Ok((Status::Completed, Some(json!(2)))));
    let renamed = update_node(&app, &ada, change("work", "work", json!({"label": "job"}))).await.expect("made");
    assert_eq!(renamed.revision, changed.revision + 1);
    assert!(text().contains("{from: s, to: job}") && text().contains("# by hand"), "{}", text());

    let added = create_node(&app, &ada, new("work", "CODE_JOB", json!({"code": "result = 3"}))).await.expect("made");
    let node = added.node.expect("shown");
    assert_eq!((node.label.as_str(), node.id.as_str()), ("code_job", "node_3"));
    assert_eq!(node.position, Some(Position { x: 100.0, y: 20.0 }));
    let again = create_node(&app, &ada, new("work", "code-job", json!({"code": "1"}))).await.expect("made");
    assert_eq!(again.node.expect("shown").label, "code_job 2", "labels are made up once");

    let removed = delete_node(&app, &ada, gone("work", "job")).await.expect("made");
    assert_eq!((removed.deleted_id.as_deref(), removed.deleted_connections), (Some("node_1"), Some(2)));
    assert!(!text().contains("job}") && text().contains("# begins") && text().contains("# by hand"), "{}", text());
    // Another process reads what was written.
    let later = workspace.app();
    let seen = update_node(&later, &ada, change("work", "code_job", json!({"code": "1"}))).await.expect("made");
    assert_eq!(seen.revision, removed.revision + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_compile_is_kept_and_does_not_run() {
    let workspace = harness::workspace();
    workspace.write("projects/work.light.yaml", LIGHT);
    let app = workspace.app();
    let ada = client(Scopes::ALL);
    let broken = update_node(&app, &ada, change("work", "work", json!({"code": "result = ("}))).await.expect("kept");
    assert!(!broken.report.valid && !broken.report.errors.is_empty(), "{:?}", broken.report);
    assert_eq!(run(&app, "work").await, Err("INVALID_DIAGRAM"));
    let mended = update_node(&app, &ada, change("work", "work", json!({"code": "result = 4"}))).await.expect("kept");
    assert!(mended.report.valid, "{:?}", mended.report);
    assert_eq!(run(&app, "work").await, Ok((Status::Completed, Some(json!(4)))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_by_a_client_makes_the_text_the_clients() {
    let workspace = harness::workspace();
    workspace.write("projects/work.light.yaml", LIGHT);
    let app = workspace.app();
    let ada = client(Scopes::ALL);
    let shell = json!({"language": "bash", "code": "echo hi"});
    let changed = update_node(&app, &ada, change("work", "work", shell)).await.expect("kept");
    let refused = changed.report.errors.iter().any(|it| it.code == "E701");
    assert!(refused, "a client has no shell: {:?}", changed.report.errors);
    assert_eq!(run(&app, "work").await, Err("INVALID_DIAGRAM"));
}

#[tokio::test]
async fn what_cannot_be_changed_leaves_the_file_alone() {
    let workspace = harness::workspace();
    workspace.write("projects/work.light.yaml", LIGHT);
    let app = workspace.app();
    let (ada, reader) = (client(Scopes::ALL), client(Scopes::READ));
    let codes = [
        (create_node(&app, &reader, new("work", "db", json!({}))).await.err(), "INSUFFICIENT_SCOPE"),
        (create_node(&app, &ada, new("work", "nothing", json!({}))).await.err(), "INVALID_INPUT"),
        (create_node(&app, &ada, new("work", "db", json!({"label": "work"}))).await.err(), "INVALID_INPUT"),
        (create_node(&app, &ada, new("work", "db", json!({"label": 7}))).await.err(), "INVALID_INPUT"),
        (create_node(&app, &ada, new("nothing", "db", json!({}))).await.err(), "DIAGRAM_NOT_FOUND"),
        (create_node(&app, &ada, new("../work", "db", json!({}))).await.err(), "INVALID_NAME"),
        (update_node(&app, &ada, change("work", "nobody", json!({}))).await.err(), "NODE_NOT_FOUND"),
        (update_node(&app, &ada, change("work", "work", json!({"timeout": null}))).await.err(), "INVALID_INPUT"),
        (delete_node(&app, &ada, gone("work", "nobody")).await.err(), "NODE_NOT_FOUND"),
    ];
    for (error, code) in codes {
        assert_eq!(error.expect(code).code(), code);
    }
    let text = std::fs::read_to_string(workspace.root().join("projects/work.light.yaml")).expect("there");
    assert_eq!(text, LIGHT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_native_diagram_is_changed_in_its_own_format() {
    let workspace = harness::workspace();
    let native = json!({
        "nodes": {
            "a": {"type": "start", "data": {"label": "s"}},
            "b": {"type": "code_job", "data": {"label": "work", "code": "result = 1"}},
            "c": {"type": "endpoint", "data": {"label": "e"}},
        },
        "arrows": [
            {"source": "a_default_output", "target": "b_default_input"},
            {"source": "b_default_output", "target": "c_default_input"},
        ],
    });
    workspace.write("projects/work.native.json", &native.to_string());
    let app = workspace.app();
    let ada = client(Scopes::ALL);
    update_node(&app, &ada, change("work", "b", json!({"code": "result = 5"}))).await.expect("made");
    assert_eq!(run(&app, "work").await, Ok((Status::Completed, Some(json!(5)))));
    let removed = delete_node(&app, &ada, gone("work", "work")).await.expect("made");
    assert_eq!((removed.deleted_id.as_deref(), removed.deleted_connections), (Some("b"), Some(2)));
    let text = std::fs::read_to_string(workspace.root().join("projects/work.native.json")).expect("there");
    let value: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((value["nodes"].as_object().expect("a map").len(), &value["arrows"]), (2, &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_diagram_is_made_once_and_filled() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let ada = client(Scopes::ALL);
    let request = create_diagram::Request {
        name: "team/new".into(),
        description: Some("what: it \"does\"".into()),
        author: Some("Ada".into()),
        tags: vec!["one".into(), "two".into()],
    };
    let made = create_diagram(&app, &ada, request.clone()).await.expect("made");
    assert_eq!((made.created, made.saved.revision, made.saved.format.as_str()), (true, 1, "light"));
    assert_eq!(made.saved.description.as_deref(), Some("what: it \"does\""));
    let diagram = made.saved.diagram.expect("it reads");
    assert_eq!((&diagram["metadata"]["author"], &diagram["metadata"]["tags"]), (&json!("Ada"), &json!(["one", "two"])));
    assert_eq!(create_diagram(&app, &ada, request).await.expect_err("it is there").code(), "ALREADY_EXISTS");
    create_node(&app, &ada, new("team/new", "endpoint", json!({"label": "end"}))).await.expect("filled");
    for (name, tags, code) in [("../x", vec![], "INVALID_NAME"), ("x", vec!["t".repeat(101)], "INVALID_INPUT")] {
        let request = create_diagram::Request { name: name.into(), tags, ..Default::default() };
        assert_eq!(create_diagram(&app, &ada, request).await.expect_err(code).code(), code);
    }
}
