//! REST and live events beside bare axum: a read, a run and the events of an ended run, against a server of the
//! same framework that sends the same bytes and does nothing for them. Each side of each round is a process of its
//! own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use futures_util::stream;
use serde_json::json;

use crate::http_client::{Connection, HttpServer};
use crate::measure::{Cpu, Sample, Series, Stopwatch, interleave};
use crate::place::{Place, close, run_to_end};
use crate::table::{Finding, Timing};
use crate::{Bench, Outcome, diagrams};

/// This program's part as the bare server; its second argument is the folder with the answers.
pub const ROLE: &str = "bare-axum";
const IN_FLIGHT: [usize; 2] = [1, 16];
/// As browsers ask for a stream that ends with the execution.
const EVENT_STREAM: &str = "text/event-stream";

/// One kind of request, measured on both sides.
struct Kind {
    name: &'static str,
    /// The file with the bare side's answer.
    file: &'static str,
    method: &'static str,
    path: String,
    body: String,
    n_calls: u64,
    is_stream: bool,
}

impl Kind {
    fn request(&self, path: &str, address: &str) -> String {
        let accept = if self.is_stream { EVENT_STREAM } else { "application/json" };
        let (method, body) = (self.method, &self.body);
        format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\naccept: {accept}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

/// All three kinds.
pub fn rest(bench: &Bench) -> Outcome<Vec<Finding>> {
    let place = Place::new()?;
    let app = place.app("full")?;
    let (small, long) = bench.runtime.block_on(async {
        let small = run_to_end(&app, &diagrams::run_3()).await;
        let long = run_to_end(&app, &diagrams::chain_pure()).await;
        close(&app).await;
        (small, long)
    });
    let (small, long) = (small?.execution_id, long?.execution_id);
    let run = json!({"content": diagrams::run_3(), "wait": 25}).to_string();
    let of = |name, (file, method): (_, _), path: String, body: &str, n_calls| Kind {
        name,
        file,
        method,
        path,
        body: body.to_owned(),
        n_calls,
        is_stream: file == "events",
    };
    let kinds = [
        of("rest, a read", ("read", "GET"), format!("/api/v1/executions/{small}"), "", 10_000),
        of("rest, a run of three nodes", ("run", "POST"), "/api/v1/run".to_owned(), &run, 1_000),
        of("rest, the events of 100 nodes", ("events", "GET"), format!("/api/v1/executions/{long}/events"), "", 500),
    ];
    let mut findings = Vec::new();
    for kind in kinds {
        let answers = tempfile::tempdir()?;
        bench.runtime.block_on(keep_answer(&place, &kind, answers.path()))?;
        for in_flight in IN_FLIGHT {
            findings.push(compare(bench, &place, &kind, answers.path(), in_flight)?);
        }
    }
    Ok(findings)
}

/// Writes what our side answers, for the other side to send.
async fn keep_answer(place: &Place, kind: &Kind, answers: &Path) -> Outcome<()> {
    let server = HttpServer::start(ours(place))?;
    let mut connection = Connection::open(&server.address).await?;
    exchange(&mut connection, kind, &kind.request(&kind.path, &server.address)).await?;
    if kind.file == "run" && !std::str::from_utf8(connection.body())?.contains("completed") {
        return Err("the run did not complete".into());
    }
    Ok(std::fs::write(answers.join(kind.file), connection.body())?)
}

fn ours(place: &Place) -> Command {
    let mut command = place.command();
    command.args(["serve", "--port", "0"]);
    command
}

fn compare(bench: &Bench, place: &Place, kind: &Kind, answers: &Path, in_flight: usize) -> Outcome<Finding> {
    let sides: (Series, Series) = interleave(
        bench.rounds,
        || side(bench, ours(place), kind, &kind.path, in_flight),
        || {
            let mut bare = Command::new(std::env::current_exe()?);
            bare.arg(ROLE).arg(answers);
            side(bench, bare, kind, &format!("/{}", kind.file), in_flight)
        },
    )?;
    Ok(Finding::Timing(Timing {
        name: format!("{}, {in_flight} in flight", kind.name),
        unit: "request",
        ours: sides.0,
        bare: Some(sides.1),
        goal: "none set".to_owned(),
    }))
}

fn side(bench: &Bench, command: Command, kind: &Kind, path: &str, in_flight: usize) -> Outcome<Sample> {
    let server = HttpServer::start(command)?;
    let request: Arc<str> = kind.request(path, &server.address).into();
    bench.runtime.block_on(async {
        load(&server.address, kind, &request, kind.n_calls / 10, in_flight).await?;
        let stopwatch = Stopwatch::start(Cpu::Tree(server.pid()))?;
        load(&server.address, kind, &request, kind.n_calls, in_flight).await?;
        stopwatch.stop(kind.n_calls)
    })
}

async fn load(address: &str, kind: &Kind, request: &Arc<str>, n_calls: u64, in_flight: usize) -> Outcome<()> {
    let n_begun = AtomicU64::new(0);
    let one = async || -> Outcome<()> {
        let mut connection = Connection::open(address).await?;
        while n_begun.fetch_add(1, Ordering::Relaxed) < n_calls {
            exchange(&mut connection, kind, request).await?;
        }
        Ok(())
    };
    futures_util::future::try_join_all((0..in_flight).map(|_| one())).await?;
    Ok(())
}

async fn exchange(connection: &mut Connection, kind: &Kind, request: &str) -> Outcome<()> {
    let status = match kind.is_stream {
        true => connection.streamed(request).await?,
        false => connection.answered(request).await?,
    };
    if status == 200 { Ok(()) } else { Err(format!("{}: the server answered {status}", kind.name).into()) }
}

/// Serves the answers of `folder` until the process is stopped.
pub async fn serve(folder: PathBuf) -> Outcome<()> {
    let of = |name: &str| Bytes::from(std::fs::read(folder.join(name)).unwrap_or_default());
    let (read, run, events) = (of("read"), of("run"), of("events"));
    // An event a frame, as ours sends them.
    let frames: Arc<[Bytes]> = String::from_utf8_lossy(&events)
        .split_inclusive("\n\n")
        .map(|it| Bytes::copy_from_slice(it.as_bytes()))
        .collect();
    let router = Router::new()
        .route("/read", get(async move || ([(CONTENT_TYPE, "application/json")], read.clone())))
        .route("/run", post(async move |_: Bytes| ([(CONTENT_TYPE, "application/json")], run.clone())))
        .route(
            "/events",
            get(async move || {
                let frames = Arc::clone(&frames);
                let all = (0..frames.len()).map(move |n| Ok::<_, std::io::Error>(frames[n].clone()));
                ([(CONTENT_TYPE, EVENT_STREAM)], Body::from_stream(stream::iter(all)))
            }),
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    eprintln!("http://{}/", listener.local_addr()?);
    Ok(axum::serve(listener.tap_io(|it| drop(it.set_nodelay(true))), router).await?)
}
