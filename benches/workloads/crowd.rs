//! A good client of `dipeo serve` alone, and beside a crowd: runs that are going on, open subscriptions, clients
//! that ask and never read, and clients that send nothing but nonsense as fast as they are answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::echo::Finished;
use crate::http_client::{self, Connection, HttpServer, Target};
use crate::table::{Crowded, Finding};
use crate::wire::Message;
use crate::{Bench, Outcome, diagrams};

const N_RUNS: usize = 200;
const N_SUBSCRIPTIONS: usize = 1_000;
const N_SLOW_READERS: usize = 4;
/// Calls that a slow reader sends; their answers are more than the buffers of a connection hold.
const N_UNREAD: u64 = 10_000;
const N_FLOODS: usize = 2;
/// Calls of the good client, and those before them that are not measured.
const N_CALLS: u64 = 2_000;
const N_WARM: u64 = 200;

/// Latencies of the good client in every round.
pub fn crowd(bench: &Bench) -> Outcome<Vec<Finding>> {
    let finished = Finished::new(bench)?;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let mut n_refused = 0;
    for _ in 0..bench.rounds {
        let server = HttpServer::start(finished.command(&["serve", "--port", "0"]))?;
        let good = target(&server, Message::modern_call("see_result", &finished.arguments()));
        bench.runtime.block_on(async {
            let expected = http_client::request(&good).await?;
            http_client::latencies(&good, N_WARM, &expected).await?;
            alone.extend(http_client::latencies(&good, N_CALLS, &expected).await?);
            let mut crowd = Crowd::gather(&server, &good).await?;
            beside.extend(http_client::latencies(&good, N_CALLS, &expected).await?);
            n_refused += crowd.disperse().await?;
            Outcome::Ok(())
        })?;
    }
    let name = format!(
        "see_result over HTTP beside {N_RUNS} runs, {N_SUBSCRIPTIONS} subscriptions, {N_SLOW_READERS} clients that \
         never read and {N_FLOODS} that send nonsense ({n_refused} refused)"
    );
    Ok(vec![Finding::Crowded(Crowded { name, alone, beside, goal: "≤ 2x".into() })])
}

fn target(server: &HttpServer, message: Message) -> Target {
    Target { address: server.address.clone(), path: "/mcp", message }
}

struct Crowd {
    members: JoinSet<Outcome<()>>,
    /// Connections nobody reads from; they last as long as this.
    _unread: Vec<Connection>,
    n_refused: Arc<AtomicU64>,
}

impl Crowd {
    /// Returns when all of them are at it.
    async fn gather(server: &HttpServer, good: &Target) -> Outcome<Self> {
        let mut members = JoinSet::new();
        let followed = runs(server).await?;
        for n in 0..N_SUBSCRIPTIONS {
            let listener = listener(server, &followed[n % followed.len()]).await?;
            members.spawn(async move {
                listener.drain().await;
                Err("a subscription ended".into())
            });
        }
        let mut unread = Vec::new();
        for _ in 0..N_SLOW_READERS {
            unread.push(slow_reader(good).await?);
        }
        let n_refused = Arc::new(AtomicU64::new(0));
        for n in 0..N_FLOODS {
            members.spawn(flood(good.clone(), n, Arc::clone(&n_refused)));
        }
        Ok(Self { members, _unread: unread, n_refused })
    }

    /// Ends it and returns how much nonsense was refused; nobody may have left before.
    async fn disperse(&mut self) -> Outcome<u64> {
        if let Some(left) = self.members.try_join_next() {
            return Err(format!("somebody left the crowd: {:?}", left?.err()).into());
        }
        self.members.shutdown().await;
        match self.n_refused.load(Ordering::Relaxed) {
            0 => Err("no nonsense was sent".into()),
            n_refused => Ok(n_refused),
        }
    }
}

/// Starts runs that take minutes, and returns their ids.
async fn runs(server: &HttpServer) -> Outcome<Vec<String>> {
    let arguments = json!({"content": diagrams::slow_chain(), "wait_seconds": 0});
    let start = target(server, Message::modern_call("dipeo_run", &arguments));
    let mut ids = Vec::new();
    for _ in 0..N_RUNS {
        let result: Value = serde_json::from_str(&http_client::request(&start).await?)?;
        ids.push(result["structuredContent"]["execution_id"].as_str().ok_or("no id")?.to_owned());
    }
    Ok(ids)
}

/// Opens a subscription and waits until it is acknowledged.
async fn listener(server: &HttpServer, execution_id: &str) -> Outcome<Connection> {
    let uri = format!("dipeo://executions/{execution_id}");
    let listen = target(
        server,
        Message::modern("subscriptions/listen", json!({"notifications": {"resourceSubscriptions": [uri]}})),
    );
    let mut connection = Connection::open(&server.address).await?;
    connection.send(&listen.request(1)).await?;
    tokio::time::timeout(Duration::from_secs(20), connection.read_until("acknowledged")).await??;
    Ok(connection)
}

/// Sends many calls at once and reads no answer. What does not fit into the connection is not sent.
async fn slow_reader(good: &Target) -> Outcome<Connection> {
    let mut connection = Connection::open(&good.address).await?;
    let sending = async {
        for id in 1..=N_UNREAD {
            connection.send(&good.request(id)).await?;
        }
        Outcome::Ok(())
    };
    if let Ok(outcome) = tokio::time::timeout(Duration::from_millis(500), sending).await {
        outcome?;
    }
    Ok(connection)
}

/// Sends what no server can do anything with, for ever.
async fn flood(good: Target, nth: usize, n_refused: Arc<AtomicU64>) -> Outcome<()> {
    let whole = good.request(1);
    let (head, body) = whole.split_once("\r\n\r\n").ok_or("a request has a head")?;
    let kept = head.lines().filter(|it| !it.starts_with("content-length"));
    let head = kept.fold(String::new(), |text, line| text + line + "\r\n");
    let with_body = |body: &str| format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    let nonsense = [
        with_body("{"),
        with_body("[]"),
        with_body(r#"{"jsonrpc":"2.0","id":1}"#),
        with_body(&body.replace("tools/call", "tools/cull")),
        with_body(&body.replace("see_result", "see_rasult")),
        with_body(&body.replace("execution_id", "execution_it")),
        whole.replace("mcp-method: tools/call", "mcp-method: tools/list"),
    ];
    let mut connection = Connection::open(&good.address).await?;
    for request in nonsense.iter().cycle().skip(nth) {
        // A server may well close such a connection.
        match connection.answered(request).await {
            Ok(_) => {}
            Err(_) => connection = Connection::open(&good.address).await?,
        }
        n_refused.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
