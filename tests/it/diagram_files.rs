//! Diagrams of the workspace as handlers keep them: made, replaced, removed and brought back, with every text that
//! a file ever held in their history.

use dipeo::error::Error;
use dipeo::handlers::caller::{Door, Identity, Scopes};
use dipeo::handlers::diagram_revisions::{self, LabelRequest, ListRequest, RestoreRequest};
use dipeo::handlers::save_diagram::{Expected, Extras};
use dipeo::handlers::{
    App, Caller, compile_diagram, delete_diagram, execution_logs, execution_messages, list_diagrams, list_executions,
    read_diagram, run_diagram, save_diagram,
};
use dipeo::nodes::Origin;
use serde_json::{Value, json};

use crate::harness::{Workspace, workspace};

fn client() -> Caller {
    Caller::client(Identity { principal: "ada".into(), scopes: Scopes::ALL }, Door::Http)
}

fn hello(greeting: &str) -> String {
    format!(
        "version: light\nnodes:\n- {{label: s, type: start}}\n- {{label: say, type: template_job, template_content: {greeting}}}\n\
         - {{label: e, type: endpoint}}\nconnections:\n- {{from: s, to: say}}\n- {{from: say, to: e}}\n"
    )
}

async fn save(app: &App, name: &str, text: &str, expected: Expected) -> Result<save_diagram::Response, Error> {
    let request = save_diagram::Request { name: name.into(), content: Some(text.into()), ..Default::default() };
    save_diagram::save_diagram(app, &client(), request, Extras { expected, keep_invalid: false }).await
}

async fn read(app: &App, name: &str) -> Result<read_diagram::Response, Error> {
    read_diagram::read_diagram(app, &client(), read_diagram::Request { name: name.into(), ..Default::default() }).await
}

async fn history(app: &App, name: &str) -> Vec<(u64, String, bool)> {
    let request = ListRequest { name: name.into(), ..Default::default() };
    let list = diagram_revisions::list(app, &client(), request).await.expect("listed");
    list.revisions.into_iter().map(|it| (it.n, it.message, it.submitted)).collect()
}

fn code<T>(result: Result<T, Error>) -> &'static str {
    result.err().map_or("ok", |it| it.code())
}

fn files(workspace: &Workspace) -> Vec<String> {
    let found = dipeo::handlers::workspace::Workspace::new(workspace.root().to_path_buf()).list();
    found.into_iter().map(|it| it.relative).collect()
}

#[tokio::test]
async fn every_text_that_a_file_held_is_a_revision() {
    let workspace = workspace();
    let app = workspace.app();
    let made = save(&app, "team/greet", &hello("one"), Expected::Nothing).await.expect("made");
    assert_eq!((made.created, made.saved.revision, made.saved.name.as_str()), (true, 1, "team/greet"));
    assert_eq!(files(&workspace), ["projects/mcp-diagrams/team/greet.light.yaml"]);

    let again = save(&app, "team/greet", &hello("one"), Expected::Anything).await.expect("saved");
    assert_eq!((again.created, again.saved.revision), (false, 1), "the same text is the same revision");
    workspace.write("projects/mcp-diagrams/team/greet.light.yaml", &hello("by_hand"));
    let replaced = save(&app, "team/greet", &hello("two"), Expected::Anything).await.expect("saved");
    assert_eq!(replaced.saved.revision, 3, "what was written by hand is the second");
    let by = |n: u64| format!("Revision {n}");
    assert_eq!(history(&app, "team/greet").await, [(3, by(3), true), (2, by(2), false), (1, by(1), true)]);
    let second = read(&app, "team/greet@2").await.expect("read");
    assert_eq!((second.content, second.path, second.author), (hello("by_hand"), None, None));

    let restored = RestoreRequest { name: "team/greet".into(), revision: 2, message: None };
    let restored = diagram_revisions::restore(&app, &client(), restored, Expected::Revision(3)).await.expect("back");
    assert_eq!((restored.revision, restored.content), (4, hello("by_hand")));
    assert_eq!(history(&app, "team/greet").await[0], (4, "Revision 2 again".into(), true));

    let gone = delete_diagram::Request { name: "team/greet".into() };
    let gone = delete_diagram::delete_diagram(&app, &client(), gone, Expected::Revision(4)).await.expect("removed");
    assert_eq!((gone.revision, files(&workspace)), (4, vec![]));
    assert_eq!(code(read(&app, "team/greet").await), "DIAGRAM_NOT_FOUND");
    assert_eq!(read(&app, "team/greet@4").await.expect("kept").content, hello("by_hand"));
    assert_eq!(history(&app, "team/greet").await.len(), 4);
    let back = RestoreRequest { name: "team/greet".into(), revision: 1, message: Some("as it began".into()) };
    diagram_revisions::restore(&app, &client(), back, Expected::Anything).await.expect("back");
    let read = read(&app, "team/greet").await.expect("there again");
    assert_eq!((read.revision, read.message.as_str(), read.content), (5, "as it began", hello("one")));
}

#[tokio::test]
async fn a_change_counts_on_the_revision_that_was_seen() {
    let workspace = workspace();
    let app = workspace.app();
    let text = |n: u32| hello(&format!("text_{n}"));
    for (expected, n, want) in [
        (Expected::Revision(1), 1, "DIAGRAM_NOT_FOUND"),
        (Expected::Nothing, 1, "ok"),
        (Expected::Nothing, 1, "ALREADY_EXISTS"),
        (Expected::Revision(2), 2, "REVISION_CONFLICT"),
        (Expected::Revision(1), 2, "ok"),
        (Expected::Revision(1), 3, "REVISION_CONFLICT"),
        (Expected::Anything, 3, "ok"),
    ] {
        assert_eq!(code(save(&app, "d", &text(n), expected).await), want, "{expected:?} {n}");
    }
    workspace.write("projects/mcp-diagrams/d.light.yaml", &text(9));
    assert_eq!(code(save(&app, "d", &text(4), Expected::Revision(3)).await), "REVISION_CONFLICT");
    let remove = delete_diagram::Request { name: "d".into() };
    let removed = delete_diagram::delete_diagram(&app, &client(), remove, Expected::Revision(3)).await;
    assert_eq!(code(removed), "REVISION_CONFLICT");
    // Of many who save over the same revision at once one succeeds.
    let all = (0..8).map(|n| {
        let app = &app;
        async move { code(save(app, "d", &hello(&format!("racer_{n}")), Expected::Revision(4)).await) }
    });
    let mut codes = futures_util::future::join_all(all).await;
    codes.sort_unstable();
    assert_eq!((codes[7], codes[0], codes[6]), ("ok", "REVISION_CONFLICT", "REVISION_CONFLICT"));
}

#[tokio::test]
async fn what_is_no_diagram_is_neither_read_nor_replaced_nor_removed() {
    let workspace = workspace();
    let app = workspace.app();
    workspace.write("package.json", "{\"name\": \"secret\"}");
    workspace.write("files/data.yaml", "a: 1");
    for name in ["package", "package.json", "data", "../package", ".dipeo/x", "files/data.yaml"] {
        let read = code(read(&app, name).await);
        let removed = delete_diagram::Request { name: name.into() };
        let removed = code(delete_diagram::delete_diagram(&app, &client(), removed, Expected::Anything).await);
        assert_eq!(read, removed, "{name}");
        assert!(["DIAGRAM_NOT_FOUND", "INVALID_NAME"].contains(&read), "{name}: {read}");
    }
    assert_eq!(code(save(&app, "package", &hello("x"), Expected::Anything).await), "ALREADY_EXISTS");
    for (name, text, want) in [
        ("../x", hello("x"), "INVALID_NAME"),
        ("x y", hello("x"), "INVALID_NAME"),
        ("x", "nodes: [".to_owned(), "INVALID_DIAGRAM"),
        ("x", hello("x").replace("template_job", "templat_job"), "INVALID_DIAGRAM"),
    ] {
        assert_eq!(code(save(&app, name, &text, Expected::Anything).await), want, "{name}");
    }
    assert_eq!(
        std::fs::read_to_string(workspace.root().join("package.json")).expect("there"),
        "{\"name\": \"secret\"}"
    );
    assert_eq!(list_diagrams::list_diagrams(&app, &client(), Default::default()).await.expect("listed").total, 0);
}

#[tokio::test]
async fn what_a_client_saves_over_a_file_of_a_person_is_submitted() {
    let workspace = workspace();
    let app = workspace.app();
    workspace.write("examples/mine.light.yaml", &hello("mine"));
    let mine = read(&app, "mine").await.expect("read");
    assert_eq!((mine.trusted, mine.revision, mine.author), (None, 1, None));
    let saved = save(&app, "mine", &hello("theirs"), Expected::Anything).await.expect("saved");
    assert_eq!(saved.saved.path.as_deref(), Some("examples/mine.light.yaml"));
    assert_eq!((saved.saved.trusted, saved.saved.author.as_deref()), (Some(false), Some("ada via http")));
    let rights = app.rights_of(Origin::Local, &saved.saved.sha256).expect("known");
    assert_eq!(rights.origin, Origin::Submitted);
    assert_eq!(read(&app, "mine@1").await.expect("kept").content, hello("mine"));
    // Pushing over what somebody wrote by hand keeps that as well.
    workspace.write("projects/mcp-diagrams/pushed.light.yaml", &hello("by_hand"));
    let push =
        compile_diagram::Request { content: hello("pushed"), push_as: Some("pushed".into()), ..Default::default() };
    let pushed = compile_diagram::compile_diagram(&app, &client(), push, Default::default()).await.expect("pushed");
    assert_eq!(pushed.revision, Some(2));
    assert_eq!(read(&app, "pushed@1").await.expect("kept").content, hello("by_hand"));
}

#[tokio::test]
async fn a_diagram_is_saved_and_read_in_every_format() {
    let workspace = workspace();
    let app = workspace.app();
    save(&app, "d", &hello("x"), Expected::Nothing).await.expect("saved");
    for format in ["light", "readable", "native"] {
        let request = read_diagram::Request { name: "d".into(), format: Some(format.into()), ..Default::default() };
        let read = read_diagram::read_diagram(&app, &client(), request).await.expect(format);
        assert_eq!(read.format, format);
        let saved = save(&app, "d", &read.content, Expected::Anything).await.expect(format);
        assert_eq!(saved.saved.content, read.content);
        assert_eq!(files(&workspace), [saved.saved.path.clone().expect("a file")], "one file, of the new format");
        assert_eq!((saved.saved.nodes, saved.saved.connections, &saved.saved.diagram), (3, 2, &read.diagram));
    }
    let native = read(&app, "d").await.expect("read").diagram;
    let request = save_diagram::Request { name: "copy".into(), diagram: native.clone(), ..Default::default() };
    let copy = save_diagram::save_diagram(&app, &client(), request, Extras::default()).await.expect("saved");
    assert_eq!((copy.saved.format.as_str(), copy.saved.diagram), ("native", native));
    for (content, diagram, format) in [
        (None, None, None),
        (Some(hello("x")), Some(json!({})), None),
        (Some(hello("x")), None, Some("json5".to_owned())),
    ] {
        let request = save_diagram::Request { name: "d".into(), content, diagram, format, message: None };
        let saved = save_diagram::save_diagram(&app, &client(), request, Extras::default()).await;
        assert!(["INVALID_INPUT", "INVALID_FORMAT"].contains(&code(saved)));
    }
}

#[tokio::test]
async fn revisions_are_labelled_and_looked_for() {
    let workspace = workspace();
    let app = workspace.app();
    save(&app, "d", &hello("x"), Expected::Nothing).await.expect("saved");
    let label = |message: Option<String>| LabelRequest { name: "d".into(), message };
    let labelled = diagram_revisions::label(&app, &client(), label(Some("good".into()))).await.expect("labelled");
    assert_eq!((labelled.n, labelled.message.as_str()), (1, "good"));
    assert_eq!(diagram_revisions::label(&app, &client(), label(None)).await.expect("kept").message, "good");
    let long = diagram_revisions::label(&app, &client(), label(Some("x".repeat(501)))).await;
    assert_eq!(code(long), "INVALID_INPUT");
    let restore = |name: &str, revision| RestoreRequest { name: name.into(), revision, message: None };
    for (name, n, want) in
        [("d", 2, "REVISION_NOT_FOUND"), ("d", 0, "REVISION_NOT_FOUND"), ("e", 1, "DIAGRAM_NOT_FOUND")]
    {
        assert_eq!(code(read(&app, &format!("{name}@{n}")).await), want, "{name}@{n}");
        let restored = diagram_revisions::restore(&app, &client(), restore(name, n), Expected::Anything).await;
        assert_eq!(code(restored), want, "{name}@{n}");
    }
    let list = ListRequest { name: "e".into(), ..Default::default() };
    assert_eq!(code(diagram_revisions::list(&app, &client(), list).await), "DIAGRAM_NOT_FOUND");
    let list = ListRequest { name: "d".into(), limit: Some(0), offset: None };
    assert_eq!(code(diagram_revisions::list(&app, &client(), list).await), "INVALID_INPUT");
}

const TWICE: &str = "\
version: light
persons:
  Ann: {service: scripted, replies: [no, yes]}
nodes:
- {label: s, type: start}
- {label: ask, type: person_job, person: Ann, default_prompt: 'Ready?', max_iteration: 3}
- {label: is it, type: condition, condition_type: custom, expression: \"default == 'yes'\"}
- {label: e, type: endpoint}
connections:
- {from: s, to: ask}
- {from: ask, to: is it}
- {from: is it_condfalse, to: ask}
- {from: is it_condtrue, to: e}
";

#[tokio::test]
async fn the_log_has_an_entry_for_each_run_of_a_node_and_the_conversation_each_message() {
    let workspace = workspace();
    let app = workspace.app();
    let request = run_diagram::Request { content: Some(TWICE.into()), ..Default::default() };
    let run = run_diagram::run_diagram(&app, &client(), request, Default::default(), Default::default()).await;
    let run = run.expect("runs");
    assert_eq!(run.final_output, Some(json!("yes")), "{run:?}");
    let id = run.execution_id.clone();
    let logs = async |request: execution_logs::Request| {
        let response = execution_logs::execution_logs(&app, &client(), request).await.expect("logged");
        let shown = response.logs.iter().map(|it| format!("{}:{} {}", it.label, it.iteration, it.status.name()));
        (shown.collect::<Vec<_>>(), response)
    };
    let whole = execution_logs::Request { execution_id: id.clone(), ..Default::default() };
    let (shown, response) = logs(whole.clone()).await;
    let expected = ["s:1", "ask:1", "is it:1", "ask:2", "is it:2", "e:1"].map(|it| format!("{it} completed"));
    assert_eq!((shown, response.total), (expected.to_vec(), 6));
    let ask = &response.logs[3];
    assert_eq!((ask.output.clone(), ask.node_type.as_str(), ask.retry_count), (Some(json!("yes")), "person_job", 0));
    assert_eq!(response.logs[2].input, json!({"default": "no"}).as_object().cloned().expect("a map"));
    assert!(ask.started_at <= ask.completed_at && ask.duration_ms.is_some());
    let (shown, response) =
        logs(execution_logs::Request { node: Some("ask".into()), limit: Some(1), offset: Some(1), ..whole.clone() })
            .await;
    assert_eq!((shown, response.total), (vec!["ask:2 completed".to_owned()], 2));

    let raw = execution_logs::Request { after: Some(1), limit: Some(2), ..whole.clone() };
    let raw = execution_logs::execution_transitions(&app, &client(), raw).await.expect("listed");
    let seqs: Vec<u64> = raw.transitions.iter().map(|it| it.seq).collect();
    assert_eq!((seqs, raw.transitions[0].payload["v"].clone()), (vec![2, 3], json!(1)));

    let messages = |request: execution_messages::Request| {
        let app = &app;
        async move {
            let response = execution_messages::execution_messages(app, &client(), request).await.expect("listed");
            let shown = response.messages.into_iter().map(|it| format!("{} {}: {}", it.label, it.role, it.content));
            (shown.collect::<Vec<_>>(), response.total)
        }
    };
    let all = execution_messages::Request { execution_id: id.clone(), ..Default::default() };
    let said = ["ask user: Ready?", "ask assistant: no", "ask user: Ready?", "ask assistant: yes"].map(str::to_owned);
    assert_eq!(messages(all.clone()).await, (said.to_vec(), 4));
    let part = execution_messages::Request { after: Some(2), limit: Some(1), ..all.clone() };
    assert_eq!(messages(part).await, (vec![said[2].clone()], 2));
    let of_node = execution_messages::Request { node: Some("is it".into()), ..all.clone() };
    assert_eq!(messages(of_node).await, (vec![], 0));
    let of_nobody = execution_messages::Request { person: Some("Bob".into()), ..all.clone() };
    assert_eq!(messages(of_nobody).await, (vec![], 0));
    let other = Caller::client(Identity { principal: "bob".into(), scopes: Scopes::ALL }, Door::Http);
    let of_others = execution_messages::execution_messages(&app, &other, all).await;
    assert_eq!(code(of_others), "EXECUTION_NOT_FOUND");
    let unknown = execution_logs::Request { node: Some("aks".into()), ..whole };
    let error = execution_logs::execution_logs(&app, &client(), unknown).await.expect_err("no such node");
    assert_eq!((error.code(), error.hint_text()), ("NODE_NOT_FOUND", Some("did you mean `ask`?")));
}

#[tokio::test]
async fn lists_are_filtered_and_cut() {
    let workspace = workspace();
    let app = workspace.app();
    for name in ["a", "b", "c"] {
        save(&app, name, &hello(name), Expected::Nothing).await.expect("saved");
        for _ in 0..2 {
            let request = run_diagram::Request { diagram: Some(name.into()), ..Default::default() };
            let ran = run_diagram::run_diagram(&app, &client(), request, Default::default(), Default::default()).await;
            ran.expect("runs");
        }
    }
    let diagrams = list_diagrams::Request { limit: Some(1), offset: Some(1), ..Default::default() };
    let diagrams = list_diagrams::list_diagrams(&app, &client(), diagrams).await.expect("listed");
    let found = &diagrams.diagrams[0];
    assert_eq!((found.name.as_str(), diagrams.total, found.revision, found.connections), ("b", 3, Some(1), Some(2)));
    assert!(found.updated_at.is_some() && found.created_at.is_some());

    let list =
        async |request: list_executions::Request| list_executions::list_executions(&app, &client(), request).await;
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let request = list_executions::Request { limit: Some(4), cursor, ..Default::default() };
        let page = list(request).await.expect("listed");
        assert_eq!(page.total, 6);
        seen.extend(page.executions.into_iter().map(|it| it.execution_id));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    let all = list(Default::default()).await.expect("listed");
    assert_eq!(seen, all.executions.iter().map(|it| it.execution_id.clone()).collect::<Vec<_>>());
    let far = "2999-01-01T00:00:00Z";
    for (request, want) in [
        (list_executions::Request { diagram: Some("b".into()), ..Default::default() }, 2),
        (list_executions::Request { since: Some(far.into()), ..Default::default() }, 0),
        (list_executions::Request { until: Some(far.into()), ..Default::default() }, 6),
        (list_executions::Request { kind: Some("run".into()), ..Default::default() }, 6),
        (list_executions::Request { kind: Some("child".into()), ..Default::default() }, 0),
        (list_executions::Request { trigger_id: Some("trg_1".into()), ..Default::default() }, 0),
        (list_executions::Request { offset: Some(5), ..Default::default() }, 6),
    ] {
        assert_eq!(list(request.clone()).await.expect("listed").total, want, "{request:?}");
    }
    let bad = [
        json!({"kind": "runs"}),
        json!({"since": "yesterday"}),
        json!({"cursor": "x"}),
        json!({"limit": 0}),
        json!({"limit": 1_001}),
    ];
    for request in bad {
        let read = serde_json::from_value::<list_executions::Request>(Value::clone(&request)).expect("reads");
        assert!(["INVALID_INPUT", "INVALID_CURSOR"].contains(&code(list(read).await)), "{request}");
    }
}
