//! What happened, told in other ways than the execution object: node by node, run by run, person by person.

use std::sync::Arc;

use dipeo::engine::Status;
use dipeo::error::Error;
use dipeo::handlers::caller::{Door, Identity, Scopes};
use dipeo::handlers::execution_history::{self, execution_history};
use dipeo::handlers::execution_order::{self, execution_order};
use dipeo::handlers::list_conversations::{self, list_conversations};
use dipeo::handlers::run_diagram::{self, Waiting};
use dipeo::handlers::{App, Caller};
use serde_json::json;

use crate::harness;

fn client(principal: &str) -> Caller {
    Caller::client(Identity { principal: principal.into(), scopes: Scopes::ALL }, Door::Http)
}

async fn run(app: &App, caller: &Caller, content: &str) -> String {
    let request = run_diagram::Request { content: Some(content.into()), ..Default::default() };
    let object = run_diagram::run_diagram(app, caller, request, Default::default(), Waiting::default()).await;
    object.expect("it runs").execution_id
}

/// Two people talk: Ann three times, remembering only her newest call and the one before, Ben once.
const TALK: &str = r#"
version: light
persons:
  Ann: {service: scripted, replies: [red, green, blue]}
  Ben: {service: scripted, replies: [amber]}
nodes:
- {label: s, type: start}
- {label: ann, type: person_job, person: Ann, default_prompt: "which colour?", max_iteration: 3, memorize_to: CONVERSATION_PAIRS, at_most: 2}
- {label: more, type: condition, condition_type: detect_max_iterations}
- {label: ben, type: person_job, person: Ben, default_prompt: "and you?", max_iteration: 1, memorize_to: GOLDFISH}
- {label: e, type: endpoint}
connections:
- {from: s, to: ann}
- {from: ann, to: more}
- {from: "more[condfalse]", to: ann}
- {from: "more[condtrue]", to: ben}
- {from: ben, to: e}
"#;
const FAILS: &str = r#"
version: light
nodes:
- {label: s, type: start}
- {label: shaky, type: code_job, code: "raise ValueError('no')", retry: {max_attempts: 2, delay_ms: 1}}
- {label: e, type: endpoint}
connections:
- {from: s, to: shaky}
- {from: shaky, to: e}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_round_of_a_node_is_one_entry_and_attempts_are_none() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let ada = client("ada");
    let order = async |id: String| {
        execution_order(&app, &ada, execution_order::Request { execution_id: id }).await.expect("there")
    };
    let talked = order(run(&app, &ada, TALK).await).await;
    let steps: Vec<String> = talked.nodes.iter().map(|it| format!("{}:{}", it.node_name, it.iteration)).collect();
    assert_eq!(steps, ["s:1", "ann:1", "more:1", "ann:2", "more:2", "ann:3", "more:3", "ben:1", "e:1"]);
    assert_eq!((talked.total_nodes, talked.status), (9, Status::Completed));
    assert!(talked.nodes.iter().all(|it| it.duration.is_some() && it.ended_at.as_deref() >= Some(&it.started_at)));
    assert!(talked.nodes[1].token_usage.is_some() && talked.nodes[0].token_usage.is_none());
    let (from, to) = (talked.started_at.as_str(), talked.ended_at.as_deref().expect("ended"));
    assert!(talked.nodes.iter().all(|it| from <= it.started_at.as_str() && it.ended_at.as_deref() <= Some(to)));

    let failed = order(run(&app, &ada, FAILS).await).await;
    let steps: Vec<_> = failed.nodes.iter().map(|it| (it.node_name.as_str(), it.status)).collect();
    assert_eq!(steps, [("s", Status::Completed), ("shaky", Status::Failed)]);
    assert_eq!(failed.nodes[1].error.as_ref().expect("why")["code"], "CODE_FAILED");
    let id = failed.execution_id;
    let foreign = execution_order(&app, &client("bob"), execution_order::Request { execution_id: id }).await;
    assert_eq!(foreign.expect_err("not his").code(), "EXECUTION_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_the_newest_whole_objects_of_ones_own() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let (ada, bob) = (client("ada"), client("bob"));
    let first = run(&app, &ada, FAILS).await;
    let second = run(&app, &ada, TALK).await;
    let history = async |caller: &Caller, limit| {
        let request = execution_history::Request { limit, include_metrics: limit.is_some(), ..Default::default() };
        execution_history(&app, caller, request).await
    };
    let found = history(&ada, None).await.expect("listed");
    let ids: Vec<&String> = found.executions.iter().map(|it| &it.execution.execution_id).collect();
    assert_eq!((ids, found.total), (vec![&second, &first], 2));
    assert_eq!(found.executions[0].execution.final_output, Some(json!("amber")));
    assert!(found.executions[0].metrics.is_none());
    let newest = history(&ada, Some(1)).await.expect("listed").executions;
    assert_eq!((newest.len(), newest[0].metrics.as_ref().map(|it| it.node_count)), (1, Some(9)));
    assert_eq!(history(&bob, None).await.expect("listed").executions, []);
    for limit in [0, 201] {
        assert_eq!(history(&ada, Some(limit)).await.expect_err("refused").code(), "INVALID_INPUT");
    }
}

/// The conversations that fit, as `person: text text …`.
async fn talks(app: &App, caller: &Caller, request: list_conversations::Request) -> Result<Vec<String>, Error> {
    let found = list_conversations(app, caller, request).await?;
    let texts = |it: &list_conversations::Conversation| {
        let said: Vec<&str> = it.messages.iter().map(|it| it.content.as_str()).collect();
        format!("{}: {}", it.person_label, said.join(", "))
    };
    Ok(found.conversations.iter().map(texts).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_what_a_person_remembers_and_every_filter_applies() {
    let workspace = harness::workspace();
    let app: Arc<App> = workspace.app();
    let (ada, bob) = (client("ada"), client("bob"));
    let id = run(&app, &ada, TALK).await;
    let ask = |change: &dyn Fn(&mut list_conversations::Request)| {
        let mut request = list_conversations::Request::default();
        change(&mut request);
        request
    };
    let ann = "Ann: which colour?, green, which colour?, blue";
    let ben = "Ben: and you?, amber";
    let all = "Ann: which colour?, red, which colour?, green, which colour?, blue";
    for (what, request, expected) in [
        ("all", ask(&|_| {}), vec![ben, ann]),
        ("one person", ask(&|it| it.person_id = Some("Ann".into())), vec![ann]),
        ("nobody", ask(&|it| it.person_id = Some("Eve".into())), vec![]),
        ("a word", ask(&|it| it.search = Some("AMBER".into())), vec![ben]),
        ("a forgotten word", ask(&|it| it.search = Some("red".into())), vec![]),
        ("a forgotten word, shown", ask(&|it| (it.search, it.show_forgotten) = (Some("red".into()), true)), vec![all]),
        ("the second", ask(&|it| (it.limit, it.offset) = (Some(1), Some(1))), vec![ann]),
        ("the execution", ask(&|it| it.execution_id = Some(id.clone())), vec![ben, ann]),
        ("long ago", ask(&|it| it.since = Some("2020-01-01T00:00:00Z".into())), vec![ben, ann]),
        ("in the future", ask(&|it| it.since = Some("2999-01-01T00:00:00Z".into())), vec![]),
    ] {
        assert_eq!(talks(&app, &ada, request).await.expect(what), expected, "{what}");
    }
    let found = list_conversations(&app, &ada, ask(&|it| it.person_id = Some("Ann".into()))).await.expect("listed");
    let ann = &found.conversations[0];
    assert_eq!((ann.message_count, ann.forgotten_count, ann.last_message.content.as_str()), (4, 2, "blue"));
    let one = list_conversations(&app, &ada, ask(&|it| it.limit = Some(1))).await.expect("listed");
    assert!(one.has_more && one.conversations.len() == 1);

    assert_eq!(talks(&app, &bob, ask(&|_| {})).await.expect("listed"), Vec::<String>::new());
    for (request, code) in [
        (ask(&|it| it.execution_id = Some(id.clone())), "EXECUTION_NOT_FOUND"),
        (ask(&|it| it.execution_id = Some("exec_x".into())), "INVALID_EXECUTION_ID"),
        (ask(&|it| it.since = Some("yesterday".into())), "INVALID_INPUT"),
        (ask(&|it| it.limit = Some(0)), "INVALID_INPUT"),
    ] {
        assert_eq!(talks(&app, &bob, request).await.expect_err(code).code(), code);
    }
}
