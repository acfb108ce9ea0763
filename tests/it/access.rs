//! Whom an execution belongs to, and what scopes allow: every handler refuses the same.

use dipeo::error::Error;
use dipeo::handlers::caller::{Door, Identity, Scope, Scopes};
use dipeo::handlers::finished::Shown;
use dipeo::handlers::run_diagram::Waiting;
use dipeo::handlers::{
    App, Caller, compile_diagram, control_execution, fetch, list_diagrams, list_executions, run_diagram, search,
    see_result,
};

use crate::harness;

const HELLO: &str = "version: light\nnodes:\n- {label: s, type: start}\n- {label: e, type: endpoint}\n\
    connections:\n- {from: s, to: e}\n";
const ASKS: &str = "version: light\nnodes:\n- {label: s, type: start}\n- {label: ask, type: user_response, prompt: well}\n\
    - {label: e, type: endpoint}\nconnections:\n- {from: s, to: ask}\n- {from: ask, to: e}\n";

fn client(principal: &str, scopes: Scopes) -> Caller {
    Caller::client(Identity { principal: principal.into(), scopes }, Door::Mcp)
}

async fn start(app: &App, caller: &Caller, content: &str) -> Result<String, Error> {
    let request = run_diagram::Request { content: Some(content.into()), ..Default::default() };
    let object = run_diagram::run_diagram(app, caller, request, Default::default(), Waiting::default()).await?;
    Ok(object.execution_id)
}

/// The code that each use of an execution ends with for `caller`; `None` where it works.
async fn uses(app: &App, caller: &Caller, id: &str) -> Vec<(&'static str, Option<&'static str>)> {
    let see = see_result::Request { execution_id: id.into(), ..Default::default() };
    let seen = see_result::see_result(app, caller, see, Waiting::default()).await;
    let mut codes = vec![("see", seen.err().map(|it| it.code()))];
    for (name, part) in [("read", ""), ("messages", "/messages"), ("log", "/transitions")] {
        let request = fetch::Request { id: format!("dipeo://executions/{id}{part}") };
        codes.push((name, fetch::fetch(app, caller, request).await.err().map(|it| it.code())));
    }
    let control = control_execution::Request {
        execution_id: id.into(),
        action: "answer".into(),
        value: Some("fine".into()),
        ..Default::default()
    };
    let answered = control_execution::control_execution(app, caller, control, Waiting::default()).await;
    codes.push(("answer", answered.err().map(|it| it.code())));
    codes
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_of_another_principal_does_not_exist() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let (ada, bob) = (client("ada", Scopes::ALL), client("bob", Scopes::ALL));
    let id = start(&app, &ada, ASKS).await.expect("ada runs");
    for (name, code) in uses(&app, &bob, &id).await {
        assert!(matches!(code, Some("EXECUTION_NOT_FOUND" | "RESOURCE_NOT_FOUND")), "{name} {code:?}");
    }
    let listed = |caller: Caller| {
        let app = &app;
        async move {
            let listed = list_executions::list_executions(app, &caller, Default::default()).await.expect("lists");
            let found = search::search(app, &caller, search::Request { query: "execution of".into() }).await;
            let typed = fetch::Typed { variable: "id", prefix: "exec_", diagram: None };
            let completed = fetch::complete(app, &caller, typed).await.expect("completes");
            let hits = found.expect("searches").results.iter().filter(|it| it.id.contains("exec_")).count();
            (listed.executions.len(), listed.total, hits, completed.len())
        }
    };
    assert_eq!(listed(bob.clone()).await, (0, 0, 0, 0));
    assert_eq!(listed(ada.clone()).await, (1, 1, 1, 1));
    assert_eq!(listed(Caller::owner_client()).await, (1, 1, 1, 1));
    assert!(uses(&app, &ada, &id).await.iter().all(|(_, code)| code.is_none()));
    let owner = Caller::Terminal { working_dir: workspace.root().to_path_buf() };
    let codes = uses(&app, &owner, &id).await;
    assert_eq!(codes.last(), Some(&("answer", Some("ALREADY_ANSWERED"))), "{codes:?}");
    app.shut_down_runs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_belongs_to_its_principal() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let keyed = async |caller: &Caller| {
        let request = run_diagram::Request {
            content: Some(HELLO.into()),
            idempotency_key: Some("k".into()),
            ..Default::default()
        };
        let object = run_diagram::run_diagram(&app, caller, request, Default::default(), Waiting::default()).await;
        object.expect("runs").execution_id
    };
    let (ada, bob) = (client("ada", Scopes::ALL), client("bob", Scopes::ALL));
    let first = keyed(&ada).await;
    assert_eq!(keyed(&ada).await, first);
    assert_ne!(keyed(&bob).await, first);
    app.shut_down_runs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_use_needs_its_scopes_and_names_them() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let id = start(&app, &Caller::owner_client(), ASKS).await.expect("runs");
    for scope in Scope::ALL {
        let without: Scopes = Scope::ALL.into_iter().filter(|it| *it != scope).collect();
        let caller = client("local", without);
        let mut codes = uses(&app, &caller, &id).await;
        codes.push(("run", start(&app, &caller, HELLO).await.err().map(|it| it.code())));
        let compile = |push_as: Option<String>| {
            let request = compile_diagram::Request { content: HELLO.into(), push_as, ..Default::default() };
            compile_diagram::compile_diagram(&app, &caller, request, Default::default())
        };
        codes.push(("compile", compile(None).await.err().map(|it| it.code())));
        codes.push(("push", compile(Some("pushed".into())).await.err().map(|it| it.code())));
        let listed = list_diagrams::list_diagrams(&app, &caller, Default::default()).await;
        codes.push(("diagrams", listed.err().map(|it| it.code())));
        let refused: Vec<&str> = codes.iter().filter(|it| it.1 == Some("INSUFFICIENT_SCOPE")).map(|it| it.0).collect();
        let expected: &[&str] = match scope {
            Scope::DiagramRead => &["compile", "push", "diagrams"],
            Scope::DiagramWrite => &["push"],
            Scope::ExecutionRead => &["see", "read", "messages", "log"],
            Scope::ExecutionRun => &["run"],
            Scope::ExecutionControl => &["answer"],
        };
        assert_eq!(refused, expected, "without {}", scope.name());
    }
    app.shut_down_runs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_shown_to_one_principal_still_does_not_exist_for_another() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let (ada, bob) = (client("ada", Scopes::ALL), client("bob", Scopes::ALL));
    let id = start(&app, &ada, HELLO).await.expect("ada runs");
    let see = async |caller: &Caller| {
        let request = see_result::Request { execution_id: id.clone(), ..Default::default() };
        see_result::shown(&app, caller, request, Waiting::default()).await
    };
    let first = see(&ada).await.expect("hers").into_object();
    for _ in 0..2 {
        let kept = see(&ada).await.expect("hers");
        assert!(matches!(&kept, Shown::Kept(_)), "it has ended, so it is remembered");
        assert_eq!(kept.into_object(), first);
        assert_eq!(see(&bob).await.err().map(|it| it.code()), Some("EXECUTION_NOT_FOUND"));
        assert_eq!(see(&Caller::owner_client()).await.expect("the owner sees all").into_object(), first);
    }
    let blind = client("ada", Scopes::NONE);
    assert_eq!(see(&blind).await.err().map(|it| it.code()), Some("INSUFFICIENT_SCOPE"));
}
