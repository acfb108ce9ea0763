//! Eight clients start, answer, pause, resume, abort and look at the same executions through two processes on one
//! database, and a checker looks for anomalies in what they saw. `DIPEO_TEST_CASES` sets how many operations there
//! are; the history of an execution is checked and dropped once nobody reaches for it any more, so memory does not
//! grow with them. `DIPEO_TEST_CASES=1000000 cargo test --release --test it eight_clients -- --nocapture`

mod history;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use dipeo::clock::{Clock, SystemClock};
use dipeo::config::Environment;
use dipeo::engine::Status;
use dipeo::handlers::App;
use dipeo::ids::ExecutionId;
use dipeo::nodes::PauseReason;
use serde_json::{Value, json};

use self::history::{Op, What, anomalies, has_ended};
use crate::harness;
use crate::mcp_client::{HttpServer, LibraryClient};

const CLIENTS: u64 = 8;
/// Executions that clients reach for: few enough that they meet.
const SHARED_MAX: usize = 12;
/// Idempotency keys of which it is remembered what they gave.
const KEYS_MAX: usize = 1_000;
/// Anomalies that are told.
const SHOWN_MAX: usize = 20;

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

/// An execution, and what was seen of it.
struct Execution {
    id: String,
    history: Mutex<Vec<Op>>,
}

/// What all clients share.
struct Shared {
    app: Arc<App>,
    time: AtomicU64,
    left: AtomicU64,
    /// What they reach for, the newest last.
    window: Mutex<VecDeque<Arc<Execution>>>,
    /// What nobody reaches for any more, to be checked.
    retired: Mutex<VecDeque<Arc<Execution>>>,
    /// What each idempotency key gave.
    keys: Mutex<BTreeMap<u64, String>>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    found: Mutex<Vec<String>>,
}

impl Shared {
    fn now(&self) -> u64 {
        self.time.fetch_add(1, Ordering::SeqCst)
    }

    fn took_one(&self) -> bool {
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |it| it.checked_sub(1)).is_ok()
    }

    fn count(&self, what: &'static str) {
        *self.counts.lock().expect("sound").entry(what).or_default() += 1;
    }

    fn note(&self, execution: &Execution, begun: u64, what: What) {
        self.count(match &what {
            What::Seen { .. } => "seen",
            What::Answered { .. } => "answered",
            What::Aborted => "aborted",
            What::Paused => "paused",
            What::Resumed => "resumed",
            What::Refused => "refused",
            What::Final { .. } => "checked",
        });
        let op = Op { begun, ended: self.now(), what };
        execution.history.lock().expect("sound").push(op);
    }

    fn found(&self, what: String) {
        self.found.lock().expect("sound").push(what);
    }

    /// A client was given this execution.
    fn share(&self, id: String) {
        let mut window = self.window.lock().expect("sound");
        if window.iter().any(|it| it.id == id) {
            return;
        }
        window.push_back(Arc::new(Execution { id, history: Mutex::default() }));
        if window.len() > SHARED_MAX {
            self.retired.lock().expect("sound").extend(window.pop_front());
        }
    }

    /// An idempotency key gave this execution.
    fn note_key(&self, key: u64, id: &str) {
        let mut keys = self.keys.lock().expect("sound");
        let first = keys.entry(key).or_insert_with(|| id.to_owned());
        if first != id {
            self.found(format!("the key {key} gave two executions: {first} and {id}"));
        }
        // They count down.
        while keys.len() > KEYS_MAX {
            keys.pop_last();
        }
    }

    /// Reads from the log how an execution stands; `None` while something is still on its way.
    fn end_of(&self, execution: &Execution) -> Option<What> {
        let store = self.app.store().expect("opened");
        let id = ExecutionId::parse(&execution.id).expect("an id");
        let head = store.head(&id).expect("reads").expect("stored");
        if !head.status.has_ended() && head.status != Status::Paused {
            return None;
        }
        let rows = store.transitions(&id, 0, None).expect("reads");
        let answers = rows.iter().filter(|it| it.phase == "interactive_response").map(|it| {
            let payload: Value = serde_json::from_str(&it.payload).expect("JSON");
            payload["value"].as_str().expect("text").to_owned()
        });
        Some(What::Final {
            status: head.status.name().to_owned(),
            is_held: head.pause_reason.as_deref() == Some(PauseReason::Operator.name()),
            answers: answers.collect(),
        })
    }

    /// Checks what was seen of an execution that nobody reaches for any more.
    fn check(&self, execution: &Execution, end: What) {
        self.note(execution, self.now(), end);
        let history = execution.history.lock().expect("sound");
        let found = anomalies(&history);
        if !found.is_empty() {
            self.found(format!("{}: {}\n{history:#?}", execution.id, found.join("; ")));
        }
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
            let execution = {
                let n = usize::try_from(self.roll(SHARED_MAX as u64)).expect("small");
                let window = self.shared.window.lock().expect("sound");
                window.len().checked_sub(1).map(|last| Arc::clone(&window[last - n.min(last)]))
            };
            // Looking is cheap, and what others see of a request is what is to be found out.
            match (self.roll(100), execution) {
                (0..4, _) | (_, None) => self.start().await,
                (4..7, Some(it)) => self.answer(&it).await,
                (7, Some(it)) => self.control(&it, "abort", What::Aborted).await,
                (8, Some(it)) => self.control(&it, "pause", What::Paused).await,
                (9, Some(it)) => self.control(&it, "resume", What::Resumed).await,
                (_, Some(it)) => self.look(&it).await,
            }
            self.check_one().await;
        }
    }

    async fn start(&mut self) {
        // Several clients send the same key at about the same time.
        let key = (self.roll(3) == 0).then(|| self.shared.left.load(Ordering::SeqCst) / 100);
        let mut arguments = json!({"content": ASKS, "wait_seconds": 0});
        if let Some(key) = &key {
            arguments["idempotency_key"] = format!("key {key}").into();
        }
        match self.call("dipeo_run", arguments).await {
            Ok(object) => {
                let id = object["execution_id"].as_str().expect("an id").to_owned();
                self.shared.count("started");
                if let Some(key) = key {
                    self.shared.note_key(key, &id);
                }
                self.shared.share(id);
            }
            Err(error) => self.failed("a start", &error),
        }
    }

    async fn look(&mut self, execution: &Execution) {
        let begun = self.shared.now();
        match self.call("see_result", json!({"execution_id": execution.id, "wait_seconds": 0})).await {
            Ok(object) => {
                let status = object["status"].as_str().expect("a status").to_owned();
                let done = object["progress"]["done"].as_u64();
                self.shared.note(execution, begun, What::Seen { status, done });
            }
            Err(error) => self.failed(&execution.id, &error),
        }
    }

    async fn answer(&mut self, execution: &Execution) {
        let value = format!("client {} at {}", self.name, self.shared.now());
        let begun = self.shared.now();
        let answered = self.ask(execution, "answer", Some(&value)).await;
        self.told(execution, begun, answered, What::Answered { value });
    }

    async fn control(&mut self, execution: &Execution, action: &str, done: What) {
        let begun = self.shared.now();
        let outcome = self.ask(execution, action, None).await;
        self.told(execution, begun, outcome, done);
    }

    async fn ask(&self, execution: &Execution, action: &str, value: Option<&str>) -> Result<Value, Value> {
        let mut arguments = json!({"execution_id": execution.id, "action": action, "wait_seconds": 0});
        if let Some(value) = value {
            arguments["value"] = value.into();
        }
        self.call("control_execution", arguments).await
    }

    fn told(&self, execution: &Execution, begun: u64, outcome: Result<Value, Value>, done: What) {
        match outcome {
            Ok(_) => self.shared.note(execution, begun, done),
            Err(error) => match error["code"].as_str() {
                Some("ALREADY_ANSWERED" | "NOT_PAUSED" | "EXECUTION_ENDED") => {
                    self.shared.note(execution, begun, What::Refused);
                }
                _ => self.failed(&execution.id, &error),
            },
        }
    }

    async fn call(&self, tool: &str, arguments: Value) -> Result<Value, Value> {
        let result = self.connection.call(tool, arguments).await;
        let content = result["structuredContent"].clone();
        // A run that was aborted meanwhile is an error for a model; the operation itself was none.
        let is_execution = content["execution_id"].is_string();
        if result["isError"] == true && !is_execution { Err(content["error"].clone()) } else { Ok(content) }
    }

    fn failed(&self, what: &str, error: &Value) {
        self.shared.found(format!("{what}: an operation failed: {error}"));
    }

    /// Checks the execution that was retired first, unless somebody still does something with it.
    async fn check_one(&self) {
        let Some(execution) = self.shared.retired.lock().expect("sound").pop_front() else { return };
        let end = if Arc::strong_count(&execution) == 1 { self.shared.end_of(&execution) } else { None };
        match end {
            Some(end) => self.check(&execution, end).await,
            None => self.shared.retired.lock().expect("sound").push_back(execution),
        }
    }

    /// Checks an execution, and ends what is left open, so that the servers can forget it.
    async fn check(&self, execution: &Execution, end: What) {
        let is_open = matches!(&end, What::Final { status, .. } if !has_ended(status));
        self.shared.check(execution, end);
        if is_open && let Err(error) = self.ask(execution, "abort", None).await {
            self.failed(&execution.id, &error);
        }
    }

    /// Checks all that is left, when nobody does anything any more.
    async fn check_all(&self) {
        let rest = std::mem::take(&mut *self.shared.window.lock().expect("sound"));
        let retired = std::mem::take(&mut *self.shared.retired.lock().expect("sound"));
        for execution in retired.into_iter().chain(rest) {
            // What was answered last may still be on its way; a looker that gives up finds it so.
            let mut end = self.shared.end_of(&execution);
            for _ in 0..20 {
                if end.is_some() {
                    break;
                }
                harness::next_commit(&self.shared.app).await;
                end = self.shared.end_of(&execution);
            }
            let stuck = || What::Final { status: "running".to_owned(), is_held: false, answers: Vec::new() };
            self.check(&execution, end.unwrap_or_else(stuck)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_clients_of_two_processes_see_one_truth() {
    let n_operations =
        Environment::of_process().get("DIPEO_TEST_CASES").and_then(|it| it.parse().ok()).unwrap_or(6_000);
    let workspace = harness::workspace();
    workspace.write("dipeo.toml", "[limits]\nrequests_per_minute = 1000000\n");
    let server = HttpServer::start(&workspace);
    let stdio = Arc::new(LibraryClient::stdio(&workspace).await);
    let shared = Arc::new(Shared {
        app: workspace.app(),
        time: AtomicU64::new(0),
        left: AtomicU64::new(n_operations),
        window: Mutex::default(),
        retired: Mutex::default(),
        keys: Mutex::default(),
        counts: Mutex::default(),
        found: Mutex::default(),
    });
    let began = SystemClock.now();
    let mut clients = Vec::new();
    for name in 0..CLIENTS {
        let connection = if name % 2 == 0 { Arc::new(LibraryClient::http(&server).await) } else { Arc::clone(&stdio) };
        let client = Client { name, connection, shared: Arc::clone(&shared), dice: 77 + name };
        clients.push(tokio::spawn(client.work()));
    }
    for client in clients {
        client.await.expect("a client does not fail");
    }
    let last = Client { name: CLIENTS, connection: stdio, shared: Arc::clone(&shared), dice: 0 };
    last.check_all().await;
    let seconds = SystemClock.now().since_ms(began).max(1) as f64 / 1_000.0;
    let counts = shared.counts.lock().expect("sound").clone();
    println!(
        "{n_operations} operations in {seconds:.0} s ({:.0}/s), the server used at most {} MB: {counts:?}",
        n_operations as f64 / seconds,
        server.peak_memory_bytes().unwrap_or(0) >> 20,
    );
    let mut found = shared.found.lock().expect("sound").clone();
    let n_found = found.len();
    found.truncate(SHOWN_MAX);
    assert!(found.is_empty(), "{n_found} anomalies, such as\n{}", found.join("\n"));
    for wanted in ["started", "seen", "answered", "refused", "aborted", "paused", "resumed", "checked"] {
        assert!(counts.contains_key(wanted), "nobody ever {wanted}: {counts:?}");
    }
}
