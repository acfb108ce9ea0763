//! `/ws` and `/ws/debug/NAME` on the wire: every kind of frame, wrong ones, who may speak, and how it ends.

use reqwest::Method;
use serde_json::{Value, json};

use crate::event_client::{BINARY, CLOSE, Heard, PING, Socket, SseStream, TEXT};
use crate::events::{ASKS, answered, chain, started, token};
use crate::harness::workspace;
use crate::mcp_client::{HELLO, HttpServer};

const READY: &str = r#"{"type":"ready"}"#;

async fn ready(socket: &mut Socket) {
    assert_eq!(socket.next().await.to_string(), READY);
}

async fn opened(server: &HttpServer) -> Socket {
    let mut socket = Socket::open(server, "/ws").await;
    ready(&mut socket).await;
    socket
}

#[tokio::test]
async fn a_socket_lives_and_tells_the_same_as_a_stream() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let id = started(&server, ASKS).await;
    let topic = format!("execution:{id}");
    let mut socket = Socket::open(&server, "/ws").await;
    let mut first = [socket.hear().await, socket.hear().await].map(|it| match it {
        Heard::Text(frame) => frame,
        other => panic!("{other:?}"),
    });
    first.sort_by_key(|it| it["type"].as_str().map(str::to_owned));
    assert_eq!(first[0]["type"], "heartbeat", "from the first second on");
    assert!(first[0]["timestamp"].as_str().is_some_and(|it| it.ends_with('Z')));
    assert_eq!(first[1].to_string(), READY);

    assert_eq!(
        socket.ask(json!({"type": "subscribe", "topic": topic, "id": 7})).await,
        json!({"type": "subscribed", "topic": topic, "in_reply_to": 7})
    );
    let mut events = Vec::new();
    while events.last().is_none_or(|it: &Value| it["event"] != "execution_paused") {
        events.push(socket.next().await);
    }
    assert_eq!(socket.refused(json!({"type": "subscribe", "topic": topic})).await, "ALREADY_EXISTS");
    answered(&server, &id).await;
    while events.last().is_none_or(|it| it["type"] == "event") {
        events.push(socket.next().await);
    }
    assert_eq!(events.pop().expect("an end"), json!({"type": "unsubscribed", "topic": topic, "reason": "over"}));

    let stream = SseStream::open(&server, &id, "").await.rest().await;
    let flat = |frame: &Value| {
        let mut data = frame.as_object().cloned().expect("an object");
        let name = data.remove("event").expect("a name");
        assert_eq!((data.shift_remove("type"), data.shift_remove("topic")), (Some(json!("event")), Some(json!(topic))));
        (name, Value::Object(data))
    };
    let told: Vec<_> = events.iter().map(flat).collect();
    let streamed: Vec<_> = stream.iter().map(|it| (json!(it.event), it.data.clone())).collect();
    assert_eq!(told, streamed);
    for since in [0, 3, events.len() as u64] {
        let tail = socket.followed(&topic, since).await;
        let skipped = usize::try_from(since).expect("small");
        assert_eq!(tail, events[skipped..], "since {since}");
    }
}

#[tokio::test]
async fn one_socket_follows_many_and_all_of_them_from_now_on() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let ids = [started(&server, ASKS).await, started(&server, ASKS).await];
    let mut socket = opened(&server).await;
    let all = socket.ask(json!({"type": "subscribe", "topic": "executions"})).await;
    assert_eq!(all, json!({"type": "subscribed", "topic": "executions"}));
    for id in &ids {
        socket.say(json!({"type": "subscribe", "topic": format!("execution:{id}")})).await;
    }
    for id in &ids {
        answered(&server, id).await;
    }
    let (mut ends, mut turns, mut seqs) = (0, Vec::new(), std::collections::HashMap::<String, u64>::new());
    while ends < 2 || turns.len() < 4 {
        let frame = socket.next().await;
        match (frame["type"].as_str(), frame["topic"].as_str()) {
            (Some("unsubscribed"), _) => ends += 1,
            (Some("event"), Some("executions")) => turns.push(frame["event"].as_str().expect("it").to_owned()),
            (Some("event"), Some(topic)) => {
                let seq = seqs.entry(topic.to_owned()).or_default();
                *seq += 1;
                assert_eq!(frame["seq"], json!(*seq), "{topic}");
            }
            _ => assert_eq!(frame["type"], "subscribed", "{frame}"),
        }
    }
    turns.sort();
    let (resumed, completed) = ("execution_resumed", "execution_completed");
    assert_eq!(turns, [completed, completed, resumed, resumed]);
    assert_eq!(socket.ask(json!({"type": "unsubscribe", "topic": "executions"})).await["type"], "unsubscribed");
    assert_eq!(socket.refused(json!({"type": "unsubscribe", "topic": "executions"})).await, "INVALID_INPUT");
    started(&server, HELLO).await;
    socket.send(PING, b"still there?").await;
    assert_eq!(socket.hear().await, Heard::Pong(b"still there?".to_vec()), "nothing is told any more");
}

#[tokio::test]
async fn a_socket_steers_an_execution_and_looks_into_it() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let id = started(&server, ASKS).await;
    let mut socket = opened(&server).await;
    for (what, field) in [
        (None, "under_way"),
        (Some("variables"), "variables"),
        (Some("inputs"), "inputs"),
        (Some("pending"), "waiting_for"),
        (Some("messages"), "messages"),
    ] {
        let mut frame = json!({"type": "inspect", "execution_id": id, "id": "a"});
        if let Some(what) = what {
            frame["what"] = what.into();
        }
        let shown = socket.ask(frame).await;
        assert_eq!((&shown["type"], &shown["in_reply_to"]), (&json!("inspection"), &json!("a")), "{shown}");
        assert_eq!(shown["data"]["execution_id"], json!(id), "{shown}");
        assert!(!shown["data"][field].is_null(), "{what:?}: {shown}");
    }
    let by_node = socket.ask(json!({"type": "inspect", "execution_id": id, "node": "e"})).await;
    assert_eq!(by_node["data"]["node"]["label"], "e", "{by_node}");
    assert_eq!(socket.refused(json!({"type": "inspect", "execution_id": id, "node": "x"})).await, "NODE_NOT_FOUND");

    let act = |action: &str, more: Value| {
        let mut frame = json!({"type": "control", "execution_id": id, "action": action, "id": action});
        frame.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        frame
    };
    for (frame, code) in [
        (act("jump", json!({})), "INVALID_INPUT"),
        (act("answer", json!({})), "INVALID_INPUT"),
        (act("answer", json!({"value": "x", "node": "s"})), "ALREADY_ANSWERED"),
        (act("step", json!({"wait_seconds": 99})), "INVALID_INPUT"),
    ] {
        let result = socket.ask(frame.clone()).await;
        assert_eq!((&result["type"], &result["ok"]), (&json!("result"), &json!(false)), "{frame}: {result}");
        if frame["node"].is_null() {
            assert_eq!(result["error"]["code"], code, "{frame}: {result}");
        }
    }
    let answer = act("answer", json!({"value": "fine", "wait_seconds": 20}));
    let result = socket.ask(answer.clone()).await;
    assert_eq!((&result["ok"], &result["in_reply_to"]), (&json!(true), &json!("answer")), "{result}");
    assert_eq!(result["execution"]["status"], "completed", "{result}");
    assert_eq!(socket.ask(answer).await["error"]["code"], "ALREADY_ANSWERED");
}

#[tokio::test]
async fn what_is_wrong_is_told_and_the_socket_stays_open() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let id = started(&server, HELLO).await;
    let mut socket = opened(&server).await;
    let unknown = format!("execution:exec_{}", "0".repeat(32));
    for (frame, code) in [
        (json!({"type": "nothing"}), "INVALID_INPUT"),
        (json!({"type": "subscribe", "topic": "execution:x"}), "INVALID_INPUT"),
        (json!({"type": "subscribe", "topic": unknown}), "EXECUTION_NOT_FOUND"),
        (json!({"type": "subscribe", "topic": format!("execution:{id}"), "since": 1000}), "INVALID_INPUT"),
        (json!({"type": "subscribe", "topic": "executions", "since": 1}), "INVALID_INPUT"),
        (json!({"type": "subscribe", "topic": "executions", "form": "xml"}), "INVALID_INPUT"),
        (json!({"type": "control", "execution_id": id}), "INVALID_INPUT"),
        (json!({"type": "inspect", "execution_id": "x"}), "INVALID_EXECUTION_ID"),
        (json!([1]), "INVALID_JSON"),
        (json!("auth"), "INVALID_JSON"),
    ] {
        assert_eq!(socket.refused(frame.clone()).await, code, "{frame}");
    }
    for (kind, payload) in [(TEXT, &b"{"[..]), (TEXT, b""), (BINARY, b"{}")] {
        socket.send(kind, payload).await;
        assert_eq!(socket.next().await["error"]["code"], "INVALID_JSON");
    }
    socket.send_in_two(b"{\"type\":\"subscribe\",\"topic\":", b"\"executions\"}").await;
    assert_eq!(socket.next().await["type"], "subscribed");
    // A client for both kinds of servers shows a token to one that asks for none as well.
    assert_eq!(socket.ask(json!({"type": "auth", "token": "x"})).await.to_string(), READY);
    socket.send(CLOSE, &1000_u16.to_be_bytes()).await;
    assert_eq!(socket.end().await, Heard::Close(1000));
}

#[tokio::test]
async fn what_is_no_message_ends_the_socket() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let mut socket = opened(&server).await;
    let fits = json!({"type": "subscribe", "topic": "x".repeat(60 * 1024)});
    assert_eq!(socket.refused(fits).await, "INVALID_INPUT");
    socket.send(TEXT, &vec![b'x'; 64 * 1024 + 1]).await;
    assert_eq!(socket.end().await, Heard::Close(1009));
    let mut socket = opened(&server).await;
    socket.send_unmasked(b"{}").await;
    assert!(matches!(socket.end().await, Heard::Close(_) | Heard::Gone));
    let mut socket = opened(&server).await;
    socket.send(TEXT, &[0xFF, 0xFE]).await;
    assert!(matches!(socket.end().await, Heard::Close(_) | Heard::Gone));
    assert_eq!(server.http(Method::GET, "/health/live").send().await.expect("it lives").status(), 200);
}

#[tokio::test]
async fn only_a_handshake_from_a_page_of_the_server_opens_a_socket() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    for path in ["/ws", "/ws/debug/hello"] {
        let plain = server.http(Method::GET, path).send().await.expect("an answer");
        assert_eq!((plain.status().as_u16(), &plain.headers()["upgrade"]), (426, &"websocket".parse().expect("it")));
        assert_eq!(plain.json::<Value>().await.expect("JSON")["error"]["code"], "UPGRADE_REQUIRED");
        for (headers, code) in [
            (&[("Origin", "https://evil.example")][..], "ORIGIN_NOT_ALLOWED"),
            (&[("X-Forwarded-For", "1.2.3.4")], "FORWARDED_NOT_ALLOWED"),
        ] {
            let (status, body) = Socket::try_open(&server, path, headers).await.err().expect("refused");
            assert_eq!((status, &body["error"]["code"]), (403, &json!(code)));
        }
    }
    let own = Socket::try_open(&server, "/ws", &[("Origin", &server.url)]).await;
    assert!(own.is_ok());
    for (path, code) in [("/ws?token=x", "TOKEN_IN_QUERY"), ("/ws?since=1", "INVALID_INPUT")] {
        let (status, body) = Socket::try_open(&server, path, &[]).await.err().expect("refused");
        assert_eq!((status, &body["error"]["code"]), (400, &json!(code)));
    }
}

#[tokio::test]
async fn where_clients_say_who_they_are_a_socket_does_so_first() {
    let workspace = workspace();
    let (ada, bob) = (token(&workspace, "ada"), token(&workspace, "bob"));
    let server = HttpServer::start(&workspace);
    workspace.write("hello.light.yaml", HELLO);
    let bearer = format!("Bearer {ada}");
    let mut known = Socket::try_open(&server, "/ws", &[("Authorization", &bearer)]).await.expect("open");
    ready(&mut known).await;
    let message =
        crate::mcp_client::modern(1, "tools/call", crate::mcp_client::call("dipeo_run", json!({"content": ASKS})));
    let run: Value =
        server.prepared("/mcp", &message).bearer_auth(&ada).send().await.expect("it").json().await.expect("JSON");
    let id = run["result"]["structuredContent"]["execution_id"].as_str().expect("an id").to_owned();
    let topic = format!("execution:{id}");
    assert_eq!(known.ask(json!({"type": "subscribe", "topic": topic})).await["type"], "subscribed");

    let auth = |token: &str| json!({"type": "auth", "token": token});
    let mut late = Socket::open(&server, "/ws").await;
    late.say(auth(&bob)).await;
    ready(&mut late).await;
    assert_eq!(late.refused(json!({"type": "subscribe", "topic": topic})).await, "EXECUTION_NOT_FOUND");
    let refused = late.ask(json!({"type": "control", "execution_id": id, "action": "abort"})).await;
    assert_eq!(refused["error"]["code"], "EXECUTION_NOT_FOUND");

    for (first, code) in [
        (auth("dpo_wrong"), "UNAUTHENTICATED"),
        (json!({"type": "subscribe", "topic": "executions"}), "UNAUTHENTICATED"),
        (json!({"type": "auth"}), "INVALID_INPUT"),
    ] {
        let mut socket = Socket::open(&server, "/ws").await;
        assert_eq!(socket.refused(first.clone()).await, code, "{first}");
        assert_eq!(socket.end().await, Heard::Close(4001), "{first}");
    }
    let wrong = Socket::try_open(&server, "/ws", &[("Authorization", "Bearer dpo_wrong")]).await;
    assert_eq!(wrong.err().expect("refused").0, 401);

    let mut all = vec![known];
    for _ in 1..5 {
        let mut socket = Socket::open(&server, "/ws").await;
        socket.say(auth(&ada)).await;
        ready(&mut socket).await;
        all.push(socket);
    }
    let mut sixth = Socket::open(&server, "/ws").await;
    assert_eq!(sixth.refused(auth(&ada)).await, "TOO_MANY_STREAMS");
    assert_eq!(sixth.end().await, Heard::Close(1013));
    assert_eq!(Socket::try_open(&server, "/ws", &[("Authorization", &bearer)]).await.err().expect("refused").0, 429);

    let mut debug = Socket::open(&server, "/ws/debug/hello").await;
    debug.say(json!({"action": "auth", "token": bob})).await;
    assert_eq!(debug.ask(json!({"action": "start"})).await["type"], "started");
    let mut stranger = Socket::open(&server, "/ws/debug/hello").await;
    assert_eq!(stranger.ask(json!({"action": "start"})).await["type"], "error");
    assert_eq!(stranger.end().await, Heard::Close(4001));
}

#[tokio::test]
async fn three_hundred_sockets_are_as_many_as_there_are_places_and_the_rest_is_refused() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let mut sockets = Vec::new();
    for n in 0..300 {
        match Socket::try_open(&server, "/ws", &[]).await {
            Ok(socket) => sockets.push(socket),
            Err((status, body)) => {
                assert_eq!((status, &body["error"]["code"]), (429, &json!("TOO_MANY_STREAMS")), "socket {n}");
            }
        }
    }
    assert_eq!(sockets.len(), 256);
    sockets.pop();
    while Socket::try_open(&server, "/ws", &[]).await.is_err() {
        tokio::task::yield_now().await;
    }
    let (status, took) = tokio::task::spawn_blocking(move || server.stop()).await.expect("joined");
    assert!(status.success() && took < std::time::Duration::from_secs(4), "{status} {took:?}");
    assert_eq!(sockets.pop().expect("one").end().await, Heard::Close(1001));
}

#[tokio::test]
async fn a_client_that_reads_nothing_holds_nobody_up_and_misses_nothing() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let large =
        (5..10).fold(chain(10), |text, n| text.replace(&format!("result = {n}'"), "result = \"x\" * 3_000_000'"));
    let run = server.call("dipeo_run", json!({"content": large, "wait_seconds": 0})).await;
    let id = run["structuredContent"]["execution_id"].as_str().expect("an id").to_owned();
    let topic = format!("execution:{id}");
    let mut slow = opened(&server).await;
    slow.say(json!({"type": "subscribe", "topic": topic})).await;
    // More than the buffers between the two hold, while nothing is read.
    let quick = SseStream::open(&server, &id, "").await.rest().await;
    assert_eq!(quick.last().map(|it| it.event.as_str()), Some("execution_completed"));
    assert_eq!(slow.next().await["type"], "subscribed");
    for event in &quick {
        assert_eq!(slow.next().await["seq"], event.data["seq"]);
    }
}

// --- the debugger's words ----------------------------------------------------------------------------------

fn kinds(frames: &[Value]) -> Vec<String> {
    let told = |it: &Value| {
        let node = it["data"]["node"].as_str().map(|it| format!(" {it}")).unwrap_or_default();
        format!("{}{node}", it["type"].as_str().unwrap_or_default())
    };
    frames.iter().map(told).collect()
}

/// Reads up to the first frame of this type.
async fn until(socket: &mut Socket, kind: &str) -> Vec<Value> {
    let mut frames = Vec::new();
    loop {
        frames.push(socket.next().await);
        if frames.last().is_some_and(|it| it["type"] == kind) {
            return frames;
        }
    }
}

#[tokio::test]
async fn a_diagram_is_debugged_in_the_words_of_the_debugger() {
    let workspace = workspace();
    workspace.write("d.light.yaml", &chain(3));
    let server = HttpServer::start(&workspace);
    let mut socket = Socket::open(&server, "/ws/debug/d").await;
    for (frame, code) in [
        (json!({"action": "step"}), "NOT_PAUSED"),
        (json!({"action": "jump"}), "INVALID_INPUT"),
        (json!({"action": "start", "breakpoints": ["none"]}), "NODE_NOT_FOUND"),
        (json!({"action": "start", "speed": 2}), "INVALID_INPUT"),
        (json!(7), "INVALID_JSON"),
    ] {
        let told = socket.ask(frame.clone()).await;
        assert_eq!((&told["type"], &told["data"]["code"]), (&json!("error"), &json!(code)), "{frame}");
    }
    let begun = socket.ask(json!({"action": "start", "breakpoints": ["n1"]})).await;
    assert_eq!(begun["type"], "started");
    let id = begun["data"]["execution_id"].as_str().expect("an id").to_owned();
    let frames = until(&mut socket, "breakpoint").await;
    assert_eq!(
        kinds(&frames),
        ["node_start s", "node_complete s", "node_start n0", "node_complete n0", "breakpoint n1"]
    );
    let held = frames.last().expect("one");
    assert_eq!(held["data"], json!({"node": "n1", "index": 2, "total": 5}));
    assert!(held["node_id"].is_string() && held["timestamp"].is_string());
    assert_eq!(socket.ask(json!({"action": "start"})).await["data"]["code"], "ALREADY_EXISTS");
    let inside = socket.ask(json!({"action": "inspect", "what": "pending"})).await;
    assert_eq!((&inside["type"], &inside["data"]["under_way"]), (&json!("inspection"), &json!(["n1"])), "{inside}");

    socket.say(json!({"action": "step"})).await;
    let frames = until(&mut socket, "breakpoint").await;
    assert_eq!(kinds(&frames), ["node_start n1", "node_complete n1", "breakpoint n2"]);
    assert_eq!(frames[1]["data"]["result"], 1);
    socket.say(json!({"action": "set_breakpoints", "breakpoints": ["e"]})).await;
    socket.say(json!({"action": "continue"})).await;
    assert_eq!(kinds(&until(&mut socket, "breakpoint").await).last().expect("one"), "breakpoint e");
    socket.say(json!({"action": "continue"})).await;
    let frames = until(&mut socket, "complete").await;
    let end = frames.last().expect("an end");
    assert_eq!(end["data"], json!({"results": {"e": 2}, "nodes_executed": 5, "status": "completed"}));

    let again = socket.ask(json!({"action": "start", "breakpoints": ["n0"]})).await;
    assert_ne!(again["data"]["execution_id"], json!(id), "each start is an execution of its own");
    until(&mut socket, "breakpoint").await;
    socket.say(json!({"action": "stop"})).await;
    assert_eq!(until(&mut socket, "complete").await.last().expect("an end")["data"]["status"], "aborted");

    for name in ["none", "..%2Fd", "a/b"] {
        let mut foreign = Socket::open(&server, &format!("/ws/debug/{name}")).await;
        assert_eq!(foreign.end().await, Heard::Close(4003), "{name}");
    }
}

#[tokio::test]
async fn what_is_debugged_stays_paused_when_its_socket_goes() {
    let workspace = workspace();
    workspace.write("d.light.yaml", &chain(2));
    let server = HttpServer::start(&workspace);
    let mut socket = Socket::open(&server, "/ws/debug/d").await;
    let begun = socket.ask(json!({"action": "start", "breakpoints": ["n1"]})).await;
    let id = begun["data"]["execution_id"].clone();
    until(&mut socket, "breakpoint").await;
    drop(socket);
    let seen = server.call("see_result", json!({"execution_id": id})).await;
    assert_eq!(seen["structuredContent"]["status"], "paused");
    let resumed = server.call("control_execution", json!({"execution_id": id, "action": "resume"})).await;
    assert_eq!(resumed["structuredContent"]["status"], "completed");
}
