//! What clients are told when something changes: on the wire for both eras and transports, and who is told what.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use dipeo::handlers::caller::{Door, Identity, Scopes};
use dipeo::handlers::run_diagram::Waiting;
use dipeo::handlers::watch_resources::{Change, Request, followable, watch_resources};
use dipeo::handlers::{App, Caller, control_execution, run_diagram};
use dipeo::limits;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::harness::workspace;
use crate::mcp_client::{HELLO, HttpServer, StdioClient, call, modern};

/// Waits for an answer of a person.
const ASKS: &str = "version: light\nnodes:\n- {label: s, type: start}\n- {label: ask, type: user_response, prompt: well}\n\
    - {label: e, type: endpoint}\nconnections:\n- {from: s, to: ask}\n- {from: ask, to: e}\n";
const PATIENCE: Duration = Duration::from_secs(60);

/// The messages of an SSE stream, one after the other.
struct Stream {
    response: Response,
    text: String,
    messages: VecDeque<Value>,
}

impl Stream {
    fn of(response: Response) -> Self {
        assert_eq!(response.status(), 200);
        Self { response, text: String::new(), messages: VecDeque::new() }
    }

    /// `None` when the server has ended it.
    async fn next(&mut self) -> Option<Value> {
        while self.messages.is_empty() {
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("in time");
            self.text.push_str(std::str::from_utf8(&chunk.ok()??).expect("UTF-8"));
            while let Some((line, rest)) = self.text.split_once('\n') {
                let data = line.strip_prefix("data:").and_then(|it| serde_json::from_str(it.trim()).ok());
                self.messages.extend(data);
                self.text = rest.to_owned();
            }
        }
        self.messages.pop_front()
    }

    async fn method(&mut self) -> String {
        let message = self.next().await.expect("a message");
        message["method"].as_str().expect("a notification").to_owned()
    }
}

fn asked(execution: &str) -> Value {
    let unknown = format!("dipeo://executions/exec_{}", "0".repeat(32));
    json!({"notifications": {
        "resourcesListChanged": true,
        "promptsListChanged": true,
        "resourceSubscriptions": [execution, unknown, "dipeo://guide/light-format", "dipeo://diagrams/none"],
    }})
}

#[tokio::test]
async fn a_listener_over_http_is_told_of_ends_and_files_until_the_server_says_goodbye() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let run = server.call("dipeo_run", json!({"content": ASKS})).await;
    let id = run["structuredContent"]["execution_id"].as_str().expect("an id").to_owned();
    let uri = format!("dipeo://executions/{id}");
    let mut stream = Stream::of(server.post("/mcp", &modern(7, "subscriptions/listen", asked(&uri))).await);
    let acknowledged = stream.next().await.expect("an acknowledgement");
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    let accepted = json!({"resourcesListChanged": true, "resourceSubscriptions": [uri]});
    assert_eq!(acknowledged["params"]["notifications"], accepted, "{acknowledged}");

    let waits = stream.next().await.expect("it waits already");
    assert_eq!((&waits["method"], &waits["params"]["uri"]), (&json!("notifications/resources/updated"), &json!(uri)));
    assert_eq!(waits["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 7, "{waits}");

    let answer = json!({"execution_id": id, "action": "answer", "value": "fine"});
    assert_eq!(server.call("control_execution", answer).await["structuredContent"]["status"], "completed");
    assert_eq!(stream.next().await.expect("it went on")["params"]["uri"], json!(uri));

    workspace.write("a.light.yaml", "version: light\nnodes:\n- {label: s, type: start}\n");
    while stream.method().await != "notifications/resources/list_changed" {}

    let stopped = tokio::task::spawn_blocking(move || server.stop());
    let mut last = None;
    while let Some(message) = stream.next().await {
        last = Some(message);
    }
    let last = last.expect("a result");
    assert_eq!((&last["id"], &last["result"]["resultType"]), (&json!(7), &json!("complete")), "{last}");
    assert!(stopped.await.expect("stopped").0.success());
}

#[test]
fn a_listener_on_stdio_hears_until_it_cancels() {
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    let run = client.call("dipeo_run", json!({"content": ASKS}));
    let id = run["structuredContent"]["execution_id"].as_str().expect("an id").to_owned();
    let uri = format!("dipeo://executions/{id}/messages");
    let listen = client.send("subscriptions/listen", asked(&uri));
    let acknowledged = client.read();
    assert_eq!(acknowledged["params"]["notifications"]["resourceSubscriptions"], json!([uri]), "{acknowledged}");
    assert_eq!(client.read()["params"]["uri"], json!(uri));
    client.write(
        &json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": listen}}).to_string(),
    );
    assert!(client.request("tools/list", json!({})).get("result").is_some());
    client.call("control_execution", json!({"execution_id": id, "action": "abort"}));
    assert_eq!(client.notifications, Vec::<Value>::new());
    let (status, _, rest) = client.finish();
    assert!(status.success() && rest.is_empty(), "{rest:?}");
}

/// Shakes hands as a client of 2025-11-25.
fn legacy(client: &mut StdioClient) -> Value {
    let params =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}});
    client.write(&json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}).to_string());
    let result = client.answer_to(1)["result"].clone();
    client.write(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    result
}

fn legacy_request(client: &mut StdioClient, id: u64, method: &str, params: Value) -> Value {
    client.write(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string());
    client.answer_to(id)
}

fn hears(client: &mut StdioClient, method: &str) {
    while client.notifications.iter().all(|it| it["method"] != method) {
        let message = client.read();
        client.notifications.push(message);
    }
}

#[test]
fn a_legacy_client_subscribes_and_hears_of_changed_lists_without_asking() {
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    let capabilities = legacy(&mut client)["capabilities"].clone();
    assert_eq!(capabilities["resources"], json!({"subscribe": true, "listChanged": true}));
    assert_eq!(capabilities["tools"], json!({"listChanged": true}));
    let run = legacy_request(&mut client, 2, "tools/call", call("dipeo_run", json!({"content": ASKS})));
    let id = run["result"]["structuredContent"]["execution_id"].as_str().expect("an id").to_owned();
    let uri = format!("dipeo://executions/{id}");
    let missing = legacy_request(&mut client, 3, "resources/subscribe", json!({"uri": format!("{uri}0")}));
    assert_eq!(missing["error"]["code"], -32002, "{missing}");
    let subscribed = legacy_request(&mut client, 4, "resources/subscribe", json!({"uri": uri}));
    assert_eq!(subscribed["result"], json!({}), "{subscribed}");
    let updated = json!({"uri": uri});
    while client.notifications.iter().all(|it| it["params"] != updated) {
        let message = client.read();
        client.notifications.push(message);
    }
    client.notifications.clear();
    let unsubscribed = legacy_request(&mut client, 5, "resources/unsubscribe", json!({"uri": uri}));
    assert_eq!(unsubscribed["result"], json!({}));
    let abort = call("control_execution", json!({"execution_id": id, "action": "abort"}));
    legacy_request(&mut client, 6, "tools/call", abort);
    workspace.write("files/new/a.light.yaml", "version: light\nnodes:\n- {label: s, type: start}\n");
    hears(&mut client, "notifications/resources/list_changed");
    assert!(client.notifications.iter().all(|it| it["method"] != "notifications/tools/list_changed"));
    workspace.write("files/new/b.light.yaml", &format!("tool: true\n{HELLO}"));
    hears(&mut client, "notifications/tools/list_changed");
    assert!(client.notifications.iter().all(|it| it["params"] != updated), "{:?}", client.notifications);
}

#[tokio::test]
async fn a_legacy_session_over_http_is_told_on_its_own_stream() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let post = async |session: Option<&str>, message: Value| {
        let mut request = server.http(Method::POST, "/mcp").header("accept", "application/json, text/event-stream");
        if let Some(session) = session {
            request = request.header("mcp-session-id", session).header("mcp-protocol-version", "2025-11-25");
        }
        request.json(&message).send().await.expect("an answer")
    };
    let params =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}});
    let initialized = post(None, json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})).await;
    let session = initialized.headers()["mcp-session-id"].to_str().expect("text").to_owned();
    post(Some(&session), json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
    let get = server.http(Method::GET, "/mcp").header("accept", "text/event-stream");
    let get = get.header("mcp-session-id", session.as_str()).header("mcp-protocol-version", "2025-11-25");
    let mut stream = Stream::of(get.send().await.expect("a stream"));
    let run = server.call("dipeo_run", json!({"content": ASKS})).await;
    let id = run["structuredContent"]["execution_id"].as_str().expect("an id").to_owned();
    let uri = format!("dipeo://executions/{id}");
    let subscribe = json!({"jsonrpc": "2.0", "id": 2, "method": "resources/subscribe", "params": {"uri": uri}});
    assert!(post(Some(&session), subscribe).await.text().await.expect("text").contains("\"result\":{}"));
    assert_eq!(stream.next().await.expect("it waits")["params"]["uri"], json!(uri));
    server.call("control_execution", json!({"execution_id": id, "action": "abort"})).await;
    assert_eq!(stream.next().await.expect("it ended")["params"]["uri"], json!(uri));
}

// --- who is told what --------------------------------------------------------------------------------------

fn client(principal: &str) -> Caller {
    Caller::client(Identity { principal: principal.into(), scopes: Scopes::ALL }, Door::Mcp)
}

async fn start(app: &App, caller: &Caller) -> String {
    let request = run_diagram::Request { content: Some(ASKS.into()), ..Default::default() };
    let object = run_diagram::run_diagram(app, caller, request, Default::default(), Waiting::default()).await;
    object.expect("runs").execution_id
}

async fn abort(app: &App, id: &str) {
    let request = control_execution::Request { execution_id: id.into(), action: "abort".into(), ..Default::default() };
    let owner = Caller::owner_client();
    let aborted = control_execution::control_execution(app, &owner, request, Waiting::default());
    aborted.await.expect("aborted");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_hears_of_executions_of_another_principal() {
    let workspace = workspace();
    let app = workspace.app();
    let (ada, bob) = (client("ada"), client("bob"));
    let ids = [start(&app, &ada).await, start(&app, &bob).await];
    let uris = ids.clone().map(|it| format!("dipeo://executions/{it}")).to_vec();
    assert_eq!(followable(&app, &ada, &uris), uris[..1]);
    assert_eq!(followable(&app, &bob, &uris), uris[1..]);
    let request = Request { uris: uris.clone(), ..Request::default() };
    assert_eq!(watch_resources(&app, &ada, &request).err().expect("refused").code(), "RESOURCE_NOT_FOUND");

    let list = Request { uris: vec!["dipeo://executions".into()], ..Request::default() };
    let of_bob = watch_resources(&app, &bob, &list).expect("bob listens");
    let of_owner = watch_resources(&app, &Caller::owner_client(), &list).expect("the owner listens");
    let changed = vec![Change::Resource("dipeo://executions".into())];
    abort(&app, &ids[0]).await;
    assert_eq!(of_owner.next().await, changed);
    abort(&app, &ids[1]).await;
    // Had bob heard of ada's, this would be the second time.
    assert_eq!(of_bob.next().await, changed);
    let more = tokio::time::timeout(Duration::ZERO, of_bob.next()).await;
    assert!(more.is_err(), "{more:?}");
    app.shut_down_runs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_subscriptions_are_told_and_no_more_than_the_limit_are_taken() {
    let workspace = workspace();
    let app: Arc<App> = workspace.app();
    let (ada, bob) = (client("ada"), client("bob"));
    let id = start(&app, &ada).await;
    let uri = format!("dipeo://executions/{id}");
    let request = Request { uris: vec![uri.clone()], ..Request::default() };
    let mut all = Vec::new();
    for _ in 0..limits::SUBSCRIPTIONS_PER_PRINCIPAL_MAX {
        let subscription = watch_resources(&app, &ada, &request).expect("one more");
        assert_eq!(subscription.next().await, [Change::Resource(uri.clone())], "it waits already");
        all.push(subscription);
    }
    let refused = watch_resources(&app, &ada, &request).err().expect("one too many");
    assert_eq!(refused.code(), "TOO_MANY_SUBSCRIPTIONS");
    assert!(watch_resources(&app, &bob, &Request::default()).is_ok(), "others have their own");
    abort(&app, &id).await;
    for subscription in &all {
        assert_eq!(subscription.next().await, [Change::Resource(uri.clone())]);
    }
    drop(all.pop());
    assert!(watch_resources(&app, &ada, &request).is_ok(), "a place is free again");
    app.shut_down_runs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_commits_is_told_too() {
    let workspace = workspace();
    let (app, other) = (workspace.app(), workspace.app());
    let owner = Caller::owner_client();
    let id = start(&app, &owner).await;
    let uri = format!("dipeo://executions/{id}");
    let there = watch_resources(&other, &owner, &Request { uris: vec![uri.clone()], ..Request::default() });
    let there = there.expect("it listens");
    assert_eq!(there.next().await, [Change::Resource(uri.clone())], "it waits already");
    abort(&app, &id).await;
    assert_eq!(there.next().await, [Change::Resource(uri)]);
    app.shut_down_runs().await;
}
