//! Eight clients start, answer, abort and look at the same executions through two processes on one database, and
//! a checker looks for anomalies in what they saw. `DIPEO_TEST_CASES` sets how many operations there are.

mod history;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use dipeo::config::Environment;
use dipeo::engine::Status;
use dipeo::ids::ExecutionId;
use serde_json::{Value, json};

use self::history::{Op, What, anomalies};
use crate::harness::{self, Workspace};
use crate::mcp_client::{HttpServer, LibraryClient};

const CLIENTS: u64 = 8;
/// Executions that clients reach for: few enough that they meet.
const SHARED_MAX: usize = 12;

const ASKS: &str = r#"
version: light
nodes:
- {label: start, type: start, custom_data: {n: 1}}
- {label: before, type: code_job, code: "result = n + 1"}
- {label: ask, type: user_response, prompt: "Which?"}
- {label: end, type: endpoint}
connections:
- {from: start, to: before}
- {from: before, to: ask}
- {from: ask, to: end}
"#;

/// What all clients share.
#[derive(Default)]
struct Shared {
    time: AtomicU64,
    left: AtomicU64,
    ids: Mutex<Vec<String>>,
    history: Mutex<Vec<Op>>,
}

impl Shared {
    fn now(&self) -> u64 {
        self.time.fetch_add(1, Ordering::SeqCst)
    }

    fn note(&self, begun: u64, what: What) {
        let op = Op { begun, ended: self.now(), what };
        self.history.lock().expect("sound").push(op);
    }

    fn took_one(&self) -> bool {
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |it| it.checked_sub(1)).is_ok()
    }
}

/// One of the clients: it throws dice of its own.
struct Client {
    name: u64,
    connection: Arc<LibraryClient>,
    shared: Arc<Shared>,
    dice: u64,
}

impl Client {
    fn roll(&mut self, n: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % n
    }

    async fn work(mut self) {
        while self.shared.took_one() {
            let id = {
                let n = self.roll(SHARED_MAX as u64);
                let ids = self.shared.ids.lock().expect("sound");
                ids.len().checked_sub(1).map(|last| ids[last - usize::try_from(n).expect("small").min(last)].clone())
            };
            match (self.roll(20), id) {
                (0..2, _) | (_, None) => self.start().await,
                (2..4, Some(id)) => self.answer(id).await,
                (4, Some(id)) => self.abort(id).await,
                (_, Some(id)) => self.look(id).await,
            }
        }
    }

    async fn start(&mut self) {
        // Several clients send the same key at about the same time.
        let key = (self.roll(3) == 0).then(|| format!("key {}", self.shared.left.load(Ordering::SeqCst) / 40));
        let mut arguments = json!({"content": ASKS, "wait_seconds": 0});
        if let Some(key) = &key {
            arguments["idempotency_key"] = key.as_str().into();
        }
        let begun = self.shared.now();
        match self.call("dipeo_run", arguments).await {
            Ok(object) => {
                let id = object["execution_id"].as_str().expect("an id").to_owned();
                self.shared.note(begun, What::Started { id: id.clone(), key });
                let mut ids = self.shared.ids.lock().expect("sound");
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
            Err(error) => self.failed(begun, "", &error),
        }
    }

    async fn look(&mut self, id: String) {
        let begun = self.shared.now();
        match self.call("see_result", json!({"execution_id": id, "wait_seconds": 0})).await {
            Ok(object) => {
                let status = object["status"].as_str().expect("a status").to_owned();
                let done = object["progress"]["done"].as_u64();
                self.shared.note(begun, What::Seen { id, status, done });
            }
            Err(error) => self.failed(begun, &id, &error),
        }
    }

    async fn answer(&mut self, id: String) {
        let value = format!("client {} at {}", self.name, self.shared.now());
        let arguments = json!({"execution_id": id, "action": "answer", "value": value, "wait_seconds": 0});
        let begun = self.shared.now();
        match self.call("control_execution", arguments).await {
            Ok(_) => self.shared.note(begun, What::Answered { id, value }),
            Err(error) => match error["code"].as_str() {
                Some("ALREADY_ANSWERED" | "NOT_PAUSED" | "EXECUTION_ENDED") => {
                    self.shared.note(begun, What::Refused { id });
                }
                _ => self.failed(begun, &id, &error),
            },
        }
    }

    async fn abort(&mut self, id: String) {
        let begun = self.shared.now();
        let arguments = json!({"execution_id": id, "action": "abort", "wait_seconds": 0});
        match self.call("control_execution", arguments).await {
            Ok(_) => self.shared.note(begun, What::Aborted { id }),
            Err(error) if error["code"] == "EXECUTION_ENDED" => self.shared.note(begun, What::Refused { id }),
            Err(error) => self.failed(begun, &id, &error),
        }
    }

    async fn call(&self, tool: &str, arguments: Value) -> Result<Value, Value> {
        let result = self.connection.call(tool, arguments).await;
        let content = result["structuredContent"].clone();
        // A run that was aborted meanwhile is an error for a model; the operation itself was none.
        let is_execution = content["execution_id"].is_string();
        if result["isError"] == true && !is_execution { Err(content["error"].clone()) } else { Ok(content) }
    }

    fn failed(&self, begun: u64, id: &str, error: &Value) {
        let what = match error["code"].as_str() {
            Some("EXECUTION_NOT_FOUND") => What::NotFound { id: id.to_owned() },
            code => What::Failed { code: code.unwrap_or_default().to_owned(), message: error.to_string() },
        };
        self.shared.note(begun, what);
    }
}

/// Reads from the log how everything ended.
async fn note_ends(workspace: &Workspace, shared: &Shared) {
    let app = workspace.app();
    let store = app.store().expect("opened");
    let ids = shared.ids.lock().expect("sound").clone();
    for id in &ids {
        let parsed = ExecutionId::parse(id).expect("an id");
        // What was answered last may still be on its way; a looker that gives up finds it so.
        for _ in 0..20 {
            if store.status(&parsed).expect("reads").is_some_and(|it| it.has_ended() || it == Status::Paused) {
                break;
            }
            harness::next_commit(&app).await;
        }
        let status = store.status(&parsed).expect("reads").expect("stored").name().to_owned();
        let rows = store.transitions(&parsed, 0, None).expect("reads");
        let answers = rows.iter().filter(|it| it.phase == "interactive_response");
        let answers = answers
            .map(|it| {
                serde_json::from_str::<Value>(&it.payload).expect("JSON")["value"].as_str().expect("text").to_owned()
            })
            .collect();
        let begun = shared.now();
        shared.note(begun, What::Final { id: id.clone(), status, answers });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_clients_of_two_processes_see_one_truth() {
    let n_operations =
        Environment::of_process().get("DIPEO_TEST_CASES").and_then(|it| it.parse().ok()).unwrap_or(3_000);
    let workspace = harness::workspace();
    workspace.write("dipeo.toml", "[limits]\nrequests_per_minute = 1000000\n");
    let server = HttpServer::start(&workspace);
    let stdio = Arc::new(LibraryClient::stdio(&workspace).await);
    let shared = Arc::new(Shared { left: AtomicU64::new(n_operations), ..Shared::default() });
    let mut clients = Vec::new();
    for name in 0..CLIENTS {
        let connection = if name % 2 == 0 { Arc::new(LibraryClient::http(&server).await) } else { Arc::clone(&stdio) };
        let client = Client { name, connection, shared: Arc::clone(&shared), dice: 77 + name };
        clients.push(tokio::spawn(client.work()));
    }
    for client in clients {
        client.await.expect("a client does not fail");
    }
    note_ends(&workspace, &shared).await;
    let history = shared.history.lock().expect("sound");
    let count = |of: fn(&What) -> bool| history.iter().filter(|it| of(&it.what)).count();
    let counts = [
        ("started", count(|it| matches!(it, What::Started { .. }))),
        ("seen", count(|it| matches!(it, What::Seen { .. }))),
        ("answered", count(|it| matches!(it, What::Answered { .. }))),
        ("refused", count(|it| matches!(it, What::Refused { .. }))),
        ("aborted", count(|it| matches!(it, What::Aborted { .. }))),
    ];
    println!("{n_operations} operations: {counts:?}");
    assert_eq!(anomalies(&history), Vec::<String>::new());
    assert!(counts.iter().all(|it| it.1 > 0), "the clients never met: {counts:?}");
}
