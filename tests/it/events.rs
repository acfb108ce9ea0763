//! Following executions: live, late, from every event on, cut off, slowly, from another process, and as somebody who
//! may not. First the handler, then server-sent events.

use std::sync::Arc;

use dipeo::error::Error;
use dipeo::handlers::caller::{Door, Identity, Scopes};
use dipeo::handlers::control_execution::{self, control_execution};
use dipeo::handlers::follow_execution::{EventRecord, Follow, Request, Until, follow_execution};
use dipeo::handlers::follow_executions::follow_executions;
use dipeo::handlers::run_diagram::{self, Extras, Waiting, run_diagram};
use dipeo::handlers::{App, Caller};
use dipeo::ids::ExecutionId;
use dipeo::nodes::ports::Models;
use dipeo::nodes::ports::models::{ModelReply, ModelRequest};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::event_client::{Sse, SseStream};
use crate::harness::{self, Workspace, workspace};
use crate::mcp_client::{HELLO, HttpServer};

/// Waits for an answer of a person, and goes on.
pub const ASKS: &str = "version: light\nnodes:\n- {label: s, type: start}\n\
    - {label: ask, type: user_response, prompt: well}\n- {label: e, type: endpoint}\n\
    connections:\n- {from: s, to: ask}\n- {from: ask, to: e}\n";

/// A start, so many nodes in a row, an endpoint.
pub fn chain(n: usize) -> String {
    let nodes: String =
        (0..n).map(|it| format!("- {{label: n{it}, type: code_job, code: 'result = {it}'}}\n")).collect();
    let edges: String = (1..n).map(|it| format!("- {{from: n{}, to: n{it}}}\n", it - 1)).collect();
    format!(
        "version: light\nnodes:\n- {{label: s, type: start}}\n{nodes}- {{label: e, type: endpoint}}\nconnections:\n\
         - {{from: s, to: n0}}\n{edges}- {{from: n{}, to: e}}\n",
        n - 1
    )
}

// --- the handler -------------------------------------------------------------------------------------------

fn ada() -> Caller {
    Caller::client(Identity { principal: "ada".into(), scopes: Scopes::ALL }, Door::Http)
}

async fn run(app: &App, caller: &Caller, content: &str, wait_seconds: u32) -> String {
    let content = Some(content.to_owned());
    let request = run_diagram::Request { content, wait_seconds: Some(wait_seconds), ..Default::default() };
    run_diagram(app, caller, request, Extras::default(), Waiting::default()).await.expect("it starts").execution_id
}

async fn control(app: &App, caller: &Caller, id: &str, action: &str, value: Option<Value>) {
    let (execution_id, action) = (id.to_owned(), action.to_owned());
    let request = control_execution::Request { execution_id, action, value, ..Default::default() };
    control_execution(app, caller, request, Waiting::default()).await.expect("done");
}

async fn follow(app: &Arc<App>, id: &str, since: u64, until: Until) -> Result<Follow, Error> {
    let request = Request { execution_id: id.to_owned(), since: Some(since), until: Some(until) };
    follow_execution(app, &ada(), request).await
}

async fn rest(follow: &mut Follow) -> Vec<EventRecord> {
    let mut all = Vec::new();
    while let Some(event) = follow.next().await.expect("reads") {
        all.push(event);
    }
    all
}

async fn all(app: &Arc<App>, id: &str, since: u64, until: Until) -> Vec<EventRecord> {
    rest(&mut follow(app, id, since, until).await.expect("found")).await
}

fn names(events: &[EventRecord]) -> Vec<&str> {
    events.iter().map(|it| it.event.as_str()).collect()
}

/// What the store has.
fn log(app: &App, id: &str) -> Vec<(u64, String)> {
    let id = ExecutionId::parse(id).expect("an id");
    let rows = app.store().expect("opened").transitions(&id, 0, None).expect("reads");
    rows.into_iter().map(|it| (it.seq, it.phase)).collect()
}

fn numbered(events: &[EventRecord]) -> Vec<(u64, String)> {
    events.iter().map(|it| (it.seq, it.event.clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_reader_hears_what_a_live_one_heard_from_any_event_on() {
    let workspace = workspace();
    let app = workspace.app();
    let id = run(&app, &ada(), &chain(40), 0).await;
    let live = all(&app, &id, 0, Until::End).await;
    assert_eq!(numbered(&live), log(&app, &id));
    assert_eq!(names(&live).last(), Some(&"execution_completed"));
    let node = live.iter().find(|it| it.event == "node_started" && it.data["label"] == "n3").expect("it ran");
    assert_eq!((&node.data["execution_id"], &node.data["seq"]), (&json!(id), &json!(node.seq)));
    assert_eq!((&node.data["node_type"], node.data.get("v")), (&json!("code_job"), None));
    assert!(node.data["ts"].as_str().is_some_and(|it| it.ends_with('Z')) && node.data.contains_key("node_id"));
    for since in 0..=live.len() {
        let tail = all(&app, &id, since as u64, Until::End).await;
        assert_eq!(tail, live[since..], "since {since}");
    }
    let end = follow(&app, &id, live.len() as u64, Until::End).await.expect("found");
    assert!(end.is_over());
    let behind = follow(&app, &id, live.len() as u64 + 1, Until::End).await.err().expect("there is no such event");
    assert_eq!(behind.code(), "INVALID_INPUT");
    app.shut_down_runs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_until_a_pause_ends_there_only_while_it_waits() {
    let workspace = workspace();
    let app = workspace.app();
    let id = run(&app, &ada(), ASKS, 20).await;
    let paused = all(&app, &id, 0, Until::Pause).await;
    assert_eq!(names(&paused).last(), Some(&"execution_paused"));
    assert!(follow(&app, &id, paused.len() as u64, Until::Pause).await.expect("found").is_over());
    let mut to_the_end = follow(&app, &id, paused.len() as u64, Until::End).await.expect("found");
    assert!(to_the_end.next().now_or_never().is_none(), "it waits, and nothing was started or repeated");
    assert_eq!(log(&app, &id).len(), paused.len());

    control(&app, &ada(), &id, "answer", Some(json!("fine"))).await;
    let behind = rest(&mut to_the_end).await;
    let whole: Vec<_> = paused.iter().chain(&behind).cloned().collect();
    assert_eq!(numbered(&whole), log(&app, &id));
    assert_eq!(all(&app, &id, 0, Until::Pause).await, whole, "the pause is over, so it is no end");
    app.shut_down_runs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_that_was_opened_again_goes_on_behind_its_first_end() {
    if !harness::has("bash") {
        return;
    }
    let workspace = workspace();
    let text = "version: light\nnodes:\n- {label: s, type: start}\n\
        - {label: try, type: code_job, language: bash, code: 'test -e files/ok && echo done'}\n\
        - {label: e, type: endpoint}\nconnections:\n- {from: s, to: try}\n- {from: try, to: e}\n";
    workspace.write("files/x", "");
    let app = workspace.app();
    let terminal = Caller::Terminal { working_dir: workspace.root().to_path_buf() };
    let id = run(&app, &terminal, text, 20).await;
    let request = |since| Request { execution_id: id.clone(), since: Some(since), until: None };
    let mut failed = follow_execution(&app, &terminal, request(0)).await.expect("found");
    let failed = rest(&mut failed).await;
    assert_eq!(names(&failed).last(), Some(&"execution_error"));
    workspace.write("files/ok", "");
    control(&app, &terminal, &id, "resume", None).await;
    for since in [0, failed.len() as u64] {
        let mut follow = follow_execution(&app, &terminal, request(since)).await.expect("found");
        let events = rest(&mut follow).await;
        assert_eq!(numbered(&events), log(&app, &id)[since as usize..], "since {since}");
        assert_eq!(names(&events).last(), Some(&"execution_completed"));
    }
    app.shut_down_runs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_commits_is_heard() {
    let workspace = workspace();
    let (runs, watches) = (workspace.app(), workspace.app());
    let id = run(&runs, &ada(), ASKS, 20).await;
    let mut follow = follow(&watches, &id, 0, Until::End).await.expect("found");
    let paused = loop {
        let event = follow.next().await.expect("reads").expect("it waits");
        if event.event == "execution_paused" {
            break event.seq;
        }
    };
    let listening = tokio::spawn(async move { rest(&mut follow).await });
    control(&runs, &ada(), &id, "answer", Some(json!("fine"))).await;
    let behind = listening.await.expect("joined");
    assert_eq!(numbered(&behind), log(&runs, &id)[paused as usize..]);
    runs.shut_down_runs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_misses_nothing_and_giving_up_a_wait_loses_nothing() {
    let workspace = workspace();
    let app = workspace.app();
    let id = run(&app, &ada(), ASKS, 20).await;
    let mut follow = follow(&app, &id, 0, Until::End).await.expect("found");
    let mut events = vec![follow.next().await.expect("reads").expect("one")];
    control(&app, &ada(), &id, "answer", Some(json!("fine"))).await;
    // It has ended long ago, and each wait is given up after one look.
    loop {
        match follow.next().now_or_never() {
            None => tokio::task::yield_now().await,
            Some(Ok(Some(event))) => events.push(event),
            Some(end) => break assert_eq!(end.expect("reads"), None),
        }
    }
    assert_eq!(numbered(&events), log(&app, &id));
    app.shut_down_runs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_read_an_execution_can_follow_it() {
    let workspace = workspace();
    let app = workspace.app();
    let id = run(&app, &ada(), HELLO, 20).await;
    let client = |name: &str, scopes| Caller::client(Identity { principal: name.into(), scopes }, Door::Http);
    for (caller, id, code) in [
        (client("bob", Scopes::ALL), id.clone(), "EXECUTION_NOT_FOUND"),
        (client("ada", Scopes::parse("execution:run")), id.clone(), "INSUFFICIENT_SCOPE"),
        (client("ada", Scopes::READ), format!("exec_{}", "0".repeat(32)), "EXECUTION_NOT_FOUND"),
        (client("ada", Scopes::READ), "../x".to_owned(), "INVALID_EXECUTION_ID"),
    ] {
        let request = Request { execution_id: id, ..Request::default() };
        let error = follow_execution(&app, &caller, request).await.err().expect("refused");
        assert_eq!(error.code(), code);
    }
    let refused = follow_executions(&app, &client("ada", Scopes::NONE)).await.err().expect("refused");
    assert_eq!(refused.code(), "INSUFFICIENT_SCOPE");
    app.shut_down_runs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_follows_all_executions_hears_of_their_own_from_now_on() {
    let workspace = workspace();
    let app = workspace.app();
    run(&app, &ada(), HELLO, 20).await;
    let bob = Caller::client(Identity { principal: "bob".into(), scopes: Scopes::ALL }, Door::Http);
    let mut of_ada = follow_executions(&app, &ada()).await.expect("begun");
    let mut of_all = follow_executions(&app, &Caller::owner_client()).await.expect("begun");
    let theirs = run(&app, &bob, HELLO, 20).await;
    let own = run(&app, &ada(), ASKS, 20).await;
    control(&app, &ada(), &own, "abort", None).await;
    let turns = |id: &str, events: &[&str]| events.iter().map(|it| format!("{id} {it}")).collect::<Vec<_>>();
    let of_own = turns(&own, &["execution_started", "execution_paused", "execution_aborted"]);
    let of_theirs = turns(&theirs, &["execution_started", "execution_completed"]);
    for (follow, expected) in
        [(&mut of_ada, of_own.clone()), (&mut of_all, of_theirs.into_iter().chain(of_own).collect())]
    {
        let mut heard = Vec::new();
        while heard.len() < expected.len() {
            let event = follow.next().await.expect("reads");
            heard.push(format!("{} {}", event.data["execution_id"].as_str().expect("an id"), event.event));
        }
        assert_eq!(heard, expected);
        assert!(follow.next().now_or_never().is_none());
    }
    app.shut_down_runs().await;
}

/// A model that says a piece each time it is let to.
struct Talker {
    pieces: &'static [&'static str],
    go: Semaphore,
}

impl Models for Talker {
    fn call(&self, request: ModelRequest) -> BoxFuture<'_, Result<ModelReply, Error>> {
        async move {
            let sink = request.sink.expect("somebody listens");
            for piece in self.pieces {
                self.go.acquire().await.expect("open").forget();
                sink.send(piece);
            }
            self.go.acquire().await.expect("open").forget();
            Ok(ModelReply { text: self.pieces.concat(), ..ModelReply::default() })
        }
        .boxed()
    }
}

const TALKS: &str = "version: light\npersons:\n  Guide: {service: ollama, model: m}\nnodes:\n- {label: s, type: start}\n\
    - {label: talk, type: person_job, person: Guide, default_prompt: hello, max_iteration: 1}\n\
    - {label: e, type: endpoint}\nconnections:\n- {from: s, to: talk}\n- {from: talk, to: e}\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_model_says_is_heard_while_it_says_it_late_in_one_piece_and_never_stored() {
    let workspace = workspace();
    let talker = Arc::new(Talker { pieces: &["Good ", "mor", "ning"], go: Semaphore::new(0) });
    let app = workspace.app_with_models(Arc::clone(&talker) as _);
    let id = run(&app, &ada(), TALKS, 0).await;
    let mut early = follow(&app, &id, 0, Until::End).await.expect("found").with_tokens();
    let mut events = Vec::new();
    while !events.last().is_some_and(|it: &EventRecord| it.event == "node_started" && it.data["label"] == "talk") {
        events.push(early.next().await.expect("reads").expect("it goes on"));
    }
    let token = async |follow: &mut Follow| {
        let event = follow.next().await.expect("reads").expect("it goes on");
        assert_eq!((event.event.as_str(), event.data.get("seq")), ("token", None), "{event:?}");
        assert_eq!((&event.data["label"], &event.data["person_id"]), (&json!("talk"), &json!("Guide")));
        event.data["text"].as_str().expect("text").to_owned()
    };
    for piece in ["Good ", "mor"] {
        talker.go.add_permits(1);
        assert_eq!(token(&mut early).await, piece);
    }
    let mut late = follow(&app, &id, events.len() as u64, Until::End).await.expect("found").with_tokens();
    assert_eq!(token(&mut late).await, "Good mor", "the reply so far in one piece");
    talker.go.add_permits(1);
    assert_eq!(token(&mut early).await, "ning");
    assert_eq!(token(&mut late).await, "ning");
    talker.go.add_permits(1);
    let behind = rest(&mut early).await;
    assert_eq!(rest(&mut late).await, behind);
    events.extend(behind);
    assert_eq!(numbered(&events), log(&app, &id));
    let done = events.iter().find(|it| it.event == "node_completed" && it.data["label"] == "talk").expect("it did");
    assert_eq!(done.data["output"]["body"], "Good morning");
    app.shut_down_runs().await;
}

// --- server-sent events ------------------------------------------------------------------------------------

/// Starts a run through the server.
pub async fn started(server: &HttpServer, content: &str) -> String {
    let run = server.call("dipeo_run", json!({"content": content})).await;
    run["structuredContent"]["execution_id"].as_str().expect("an id").to_owned()
}

/// Answers what an execution waits for, through the server.
pub async fn answered(server: &HttpServer, id: &str) {
    server.call("control_execution", json!({"execution_id": id, "action": "answer", "value": "fine"})).await;
}

fn seqs(events: &[Sse]) -> Vec<u64> {
    events.iter().map(|it| it.id.expect("a number")).collect()
}

#[tokio::test]
async fn a_run_is_followed_to_its_end_and_who_comes_back_is_told_that_it_is_over() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let id = started(&server, ASKS).await;
    let mut stream = SseStream::open(&server, &id, "").await;
    for (header, expected) in
        [("content-type", "text/event-stream"), ("cache-control", "no-cache"), ("x-accel-buffering", "no")]
    {
        assert_eq!(stream.response.headers()[header], expected);
    }
    let mut events = Vec::new();
    while events.last().is_none_or(|it: &Sse| it.event != "execution_paused") {
        events.push(stream.next().await.expect("it waits"));
    }
    answered(&server, &id).await;
    events.extend(stream.rest().await);
    assert_eq!(seqs(&events), (1..=events.len() as u64).collect::<Vec<_>>());
    for event in &events {
        assert_eq!((&event.data["execution_id"], &event.data["seq"]), (&json!(id), &json!(event.id)));
    }
    assert_eq!(events.last().map(|it| it.event.as_str()), Some("execution_completed"));

    let late = SseStream::open(&server, &id, "").await.rest().await;
    assert_eq!(late, events);
    for (at, event) in events.iter().enumerate() {
        let since = event.id.expect("a number");
        // A browser comes back with the address it had, and says in a header what it has.
        let path = format!("/api/v1/executions/{id}/events?since=1");
        let again = server.http(Method::GET, &path).header("last-event-id", since).send().await.expect("an answer");
        if at + 1 == events.len() {
            assert_eq!(again.status(), 204, "nothing will come any more");
        } else {
            assert_eq!(SseStream::of(again).rest().await, events[at + 1..]);
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_at_any_moment_loses_and_doubles_nothing() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    for seed in 1..=3_u64 {
        let run = server.call("dipeo_run", json!({"content": chain(60), "wait_seconds": 0})).await;
        let id = run["structuredContent"]["execution_id"].as_str().expect("an id").to_owned();
        let (mut events, mut n_cuts, mut random): (Vec<Sse>, _, _) = (Vec::new(), 0, seed);
        loop {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let n_bytes = usize::try_from((random >> 33) % 4_000).expect("small");
            let path = format!("/api/v1/executions/{id}/events");
            let mut request = server.http(Method::GET, &path);
            if let Some(last) = events.last() {
                request = request.header("last-event-id", last.id.expect("a number"));
            }
            let response = request.send().await.expect("an answer");
            if response.status() == 204 {
                break;
            }
            events.extend(SseStream::of(response).cut_after(n_bytes).await);
            n_cuts += 1;
        }
        assert_eq!(seqs(&events), (1..=events.len() as u64).collect::<Vec<_>>(), "seed {seed}");
        assert_eq!(events, SseStream::open(&server, &id, "").await.rest().await, "seed {seed}");
        assert!(n_cuts > 5, "seed {seed}: {n_cuts}");
    }
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused_before_a_stream_begins() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let id = started(&server, HELLO).await;
    let unknown = format!("exec_{}", "0".repeat(32));
    for (id, query, status, code) in [
        (id.as_str(), "?since=x", 400, "INVALID_INPUT"),
        (&id, "?since=-1", 400, "INVALID_INPUT"),
        (&id, "?since=99999999999999999999", 400, "INVALID_INPUT"),
        (&id, "?since=1000", 400, "INVALID_INPUT"),
        (&id, "?since=1&since=1", 400, "INVALID_INPUT"),
        (&id, "?until=never", 400, "INVALID_INPUT"),
        (&id, "?form=html", 400, "INVALID_INPUT"),
        (&id, "?since=%00", 400, "INVALID_INPUT"),
        (&id, "?token=x", 400, "TOKEN_IN_QUERY"),
        ("exec_1", "", 400, "INVALID_EXECUTION_ID"),
        ("%2e%2e%2fx", "", 400, "INVALID_EXECUTION_ID"),
        (&unknown, "", 404, "EXECUTION_NOT_FOUND"),
    ] {
        let path = format!("/api/v1/executions/{id}/events{query}");
        let response = server.http(Method::GET, &path).send().await.expect("an answer");
        assert_eq!(response.status(), status, "{id}{query}");
        assert_eq!(response.headers()["content-type"], "application/json");
        let body: Value = response.json().await.expect("JSON");
        assert_eq!(body["error"]["code"], code, "{id}{query}");
    }
    let path = format!("/api/v1/executions/{id}/events");
    let wrong = server.http(Method::GET, &path).header("last-event-id", "x").send().await.expect("an answer");
    assert_eq!(wrong.status(), 400);
    let posted = server.http(Method::POST, &path).send().await.expect("an answer");
    assert_eq!(posted.status(), 405);
}

#[tokio::test]
async fn a_server_has_256_streams_and_one_that_closes_makes_room() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let id = started(&server, ASKS).await;
    let path = format!("/api/v1/executions/{id}/events");
    let open = async || server.http(Method::GET, &path).send().await.expect("an answer");
    let mut streams = Vec::new();
    for _ in 0..256 {
        streams.push(SseStream::of(open().await));
    }
    for _ in 256..300 {
        let refused = open().await;
        assert_eq!(refused.status(), 429);
        assert_eq!(refused.headers()["retry-after"], "5");
        assert_eq!(refused.json::<Value>().await.expect("JSON")["error"]["code"], "TOO_MANY_STREAMS");
    }
    let health: Value = server.http(Method::GET, "/health").send().await.expect("it").json().await.expect("JSON");
    assert_eq!(health["active_sse_connections"], 256, "{health}");
    streams.pop();
    while open().await.status() == 429 {
        tokio::task::yield_now().await;
    }
    answered(&server, &id).await;
    for stream in &mut streams {
        assert_eq!(stream.rest().await.last().map(|it| it.event.clone()).as_deref(), Some("execution_completed"));
    }
}

/// Makes a token of a user.
pub fn token(workspace: &Workspace, user: &str) -> String {
    let made = harness::json(workspace, &["tokens", "create", "--user", user]);
    made["token"].as_str().expect("a token").to_owned()
}

#[tokio::test]
async fn where_clients_say_who_they_are_each_has_five_streams_of_their_own_executions() {
    let workspace = workspace();
    let (ada, bob) = (token(&workspace, "ada"), token(&workspace, "bob"));
    let server = HttpServer::start(&workspace);
    let message =
        crate::mcp_client::modern(1, "tools/call", crate::mcp_client::call("dipeo_run", json!({"content": ASKS})));
    let run: Value =
        server.prepared("/mcp", &message).bearer_auth(&ada).send().await.expect("it").json().await.expect("JSON");
    let id = run["result"]["structuredContent"]["execution_id"].as_str().expect("an id").to_owned();
    let path = format!("/api/v1/executions/{id}/events");
    let open = async |token: &str| server.http(Method::GET, &path).bearer_auth(token).send().await.expect("an answer");
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(SseStream::of(open(&ada).await));
    }
    assert_eq!(open(&ada).await.status(), 429);
    assert_eq!(open(&bob).await.status(), 404, "another's place is free, but the execution is not theirs");
    assert_eq!(open("wrong").await.status(), 401);
    assert_eq!(server.http(Method::GET, &path).send().await.expect("an answer").status(), 401);
    for stream in &mut streams {
        assert_eq!(stream.next().await.expect("it began").event, "execution_started");
    }
}

#[tokio::test]
async fn a_server_that_stops_says_so_to_its_streams() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let id = started(&server, ASKS).await;
    let mut stream = SseStream::open(&server, &id, "").await;
    while stream.next().await.expect("it waits").event != "execution_paused" {}
    let stopped = tokio::task::spawn_blocking(move || server.stop());
    let last = stream.next().await.expect("a last word");
    assert_eq!((last.id, last.event.as_str()), (None, "closing"));
    assert_eq!(stream.next().await, None);
    let (status, took) = stopped.await.expect("joined");
    assert!(status.success() && took < std::time::Duration::from_secs(3), "{status} {took:?}");
}
