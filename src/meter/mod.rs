//! What is counted while a server runs, for Prometheus. Every room may count: each number is named in
//! `family::FAMILIES`, registered once when the server starts, and costs a load and an addition where it is
//! counted. In a process that serves nobody there is nothing to count with, and nothing is counted.
//!
//! It counts what this process does, as it does it; what the database holds is asked of the database. It must
//! not know what a number means, nor who reads it.

mod family;
mod models;
mod samples;

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::family::{Families, Kind, Sample};
pub use self::models::{ModelMeters, Used};
use crate::clock::Timestamp;

/// Bounds of the classes of node times, in seconds: from what the clock tells apart to the longest limit of a run.
const NODE_SECONDS: [f64; 14] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
/// The same of whole executions, up to the limit of those that nobody waits for.
const EXECUTION_SECONDS: [f64; 12] = [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0];
/// Bounds of the classes of commit times, in seconds: from a disk that does not sync to one that hardly writes.
const COMMIT_SECONDS: [f64; 12] = [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];
/// How often values are put into their classes. Until then each takes eight bytes.
const UPKEEP: Duration = Duration::from_secs(5);

static METERS: OnceLock<Meters> = OnceLock::new();

/// The numbers of this process, or `None` when it does not count.
#[inline]
pub fn on() -> Option<&'static Meters> {
    METERS.get()
}

/// Begins to count; `node_types` are the words that [`Meters::node`] counts by. A second call changes nothing.
pub fn start(node_types: &[&'static str], now: Timestamp) {
    METERS.get_or_init(|| Meters::new(node_types, now));
}

/// Keeps the memory of the histograms small until it is told to stop.
pub async fn upkeep(stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(UPKEEP)).await.is_some() {
        if let Some(meters) = on() {
            meters.handle.run_upkeep();
        }
    }
}

/// How an attempt of a node, or the node, came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Completed,
    /// Its failure failed the execution.
    Failed,
    /// Its failure went on as a value, by `on_error: continue`.
    Continued,
    /// Its attempt failed and is repeated.
    Retried,
    Skipped,
}

impl Outcome {
    const ALL: [Self; 5] = [Self::Completed, Self::Failed, Self::Continued, Self::Retried, Self::Skipped];

    fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Continued => "continued",
            Self::Retried => "retried",
            Self::Skipped => "skipped",
        }
    }
}

/// How an execution ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Completed,
    Failed,
    Aborted,
}

impl End {
    const ALL: [Self; 3] = [Self::Completed, Self::Failed, Self::Aborted];

    fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
        }
    }
}

/// Everything that this process counts.
pub struct Meters {
    handle: PrometheusHandle,
    nodes: Vec<NodeMeters>,
    ends: [(Counter, Histogram); End::ALL.len()],
    models: ModelMeters,
    commit_seconds: Histogram,
    /// Answers by the hundreds of their status: 1xx to 5xx.
    answers: [Counter; 5],
    open_streams: Gauge,
}

struct NodeMeters {
    outcomes: [Counter; Outcome::ALL.len()],
    seconds: Histogram,
}

impl Meters {
    fn new(node_types: &[&'static str], now: Timestamp) -> Self {
        let registry = Registry::new();
        registry.gauge("dipeo_process_start_time_seconds", &[]).set(now.0 as f64 / 1_000.0);
        let node = |name: &&'static str| NodeMeters {
            outcomes: Outcome::ALL
                .map(|it| registry.counter("dipeo_nodes_total", &[("type", name), ("outcome", it.name())])),
            seconds: registry.histogram("dipeo_node_seconds", &[("type", name)]),
        };
        let class = |hundreds: &str| registry.counter("dipeo_http_requests_total", &[("class", hundreds)]);
        Self {
            handle: registry.0.handle(),
            nodes: node_types.iter().map(node).collect(),
            ends: End::ALL.map(|it| {
                let status = [("status", it.name())];
                let seconds = registry.histogram("dipeo_execution_seconds", &status);
                (registry.counter("dipeo_executions_ended_total", &status), seconds)
            }),
            commit_seconds: registry.histogram("dipeo_store_commit_seconds", &[]),
            answers: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(class),
            open_streams: registry.gauge("dipeo_http_open_streams", &[]),
            models: ModelMeters::new(registry),
        }
    }

    /// Counts what became of a node; `node_type` is the place of its type among those that counting began with.
    pub fn node(&self, node_type: usize, outcome: Outcome, duration_ms: Option<i64>) {
        let Some(node) = self.nodes.get(node_type) else { return };
        node.outcomes[outcome as usize].increment(1);
        if let Some(duration_ms) = duration_ms {
            node.seconds.record(duration_ms as f64 / 1_000.0);
        }
    }

    /// Counts an execution that ended after it had run for so long.
    pub fn execution_ended(&self, end: End, running_ms: i64) {
        let (counter, seconds) = &self.ends[end as usize];
        counter.increment(1);
        seconds.record(running_ms as f64 / 1_000.0);
    }

    /// What is counted of models.
    pub fn models(&self) -> &ModelMeters {
        &self.models
    }

    /// Measures the time until it is dropped as that of a commit.
    pub fn commit(&self) -> Stopwatch<'_> {
        Stopwatch { seconds: &self.commit_seconds, started_at: Instant::now() }
    }

    /// Counts an answer of the HTTP server.
    pub fn answered(&self, status: u16) {
        let hundreds = usize::from(status / 100);
        if let Some(counter) = hundreds.checked_sub(1).and_then(|it| self.answers.get(it)) {
            counter.increment(1);
        }
    }

    /// Counts a stream as open until what is returned is dropped.
    pub fn stream(&self) -> OpenStream {
        self.open_streams.increment(1.0);
        OpenStream(self.open_streams.clone())
    }

    /// What was counted so far.
    pub fn families(&self) -> Families {
        Families::of(samples::read(&self.handle.render()))
    }
}

/// Measures a time; it is recorded when this is dropped.
pub struct Stopwatch<'a> {
    seconds: &'a Histogram,
    started_at: Instant,
}

impl Drop for Stopwatch<'_> {
    fn drop(&mut self) {
        self.seconds.record(self.started_at.elapsed());
    }
}

/// A stream that is open.
pub struct OpenStream(Gauge);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Where numbers are registered, by a name of the table.
struct Registry(PrometheusRecorder);

impl Registry {
    fn new() -> Self {
        let bounds = |builder: PrometheusBuilder, name: &str, bounds: &[f64]| {
            builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), bounds).expect("there are bounds")
        };
        let builder = bounds(PrometheusBuilder::new(), "dipeo_node_seconds", &NODE_SECONDS);
        let builder = bounds(builder, "dipeo_execution_seconds", &EXECUTION_SECONDS);
        let builder = bounds(builder, "dipeo_store_commit_seconds", &COMMIT_SECONDS);
        Self(builder.build_recorder())
    }

    fn counter(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Counter {
        self.0.register_counter(&key(name, labels), &METADATA)
    }

    fn gauge(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Gauge {
        self.0.register_gauge(&key(name, labels), &METADATA)
    }

    fn histogram(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Histogram {
        self.0.register_histogram(&key(name, labels), &METADATA)
    }
}

const METADATA: Metadata<'static> = Metadata::new("dipeo", Level::INFO, None);

fn key(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
    assert!(family::is_named(name), "`{name}` is not in the table of metrics");
    let labels: Vec<Label> = labels.iter().map(|(name, value)| Label::new(*name, (*value).to_owned())).collect();
    Key::from_parts(name, labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(meters: &Meters, line: &str) -> f64 {
        let text = meters.families().to_text();
        let found = text.lines().find_map(|it| it.strip_prefix(line)?.strip_prefix(' '));
        found.unwrap_or_else(|| panic!("no `{line}` in\n{text}")).parse().expect("a number")
    }

    #[test]
    fn what_is_counted_is_found_under_its_labels() {
        let meters = Meters::new(&["start", "code_job"], Timestamp(0));
        meters.node(1, Outcome::Completed, Some(30));
        meters.node(1, Outcome::Completed, Some(2_000));
        meters.node(1, Outcome::Retried, None);
        meters.node(7, Outcome::Completed, Some(1));
        meters.execution_ended(End::Failed, 2_500);
        meters.answered(204);
        meters.answered(99);
        meters.answered(999);
        for (line, expected) in [
            (r#"dipeo_nodes_total{outcome="completed",type="code_job"}"#, 2.0),
            (r#"dipeo_nodes_total{outcome="retried",type="code_job"}"#, 1.0),
            (r#"dipeo_nodes_total{outcome="completed",type="start"}"#, 0.0),
            (r#"dipeo_node_seconds_bucket{type="code_job",le="0.01"}"#, 0.0),
            (r#"dipeo_node_seconds_bucket{type="code_job",le="0.05"}"#, 1.0),
            (r#"dipeo_node_seconds_bucket{type="code_job",le="+Inf"}"#, 2.0),
            (r#"dipeo_node_seconds_sum{type="code_job"}"#, 2.03),
            (r#"dipeo_node_seconds_count{type="code_job"}"#, 2.0),
            (r#"dipeo_executions_ended_total{status="failed"}"#, 1.0),
            (r#"dipeo_execution_seconds_sum{status="failed"}"#, 2.5),
            (r#"dipeo_execution_seconds_count{status="completed"}"#, 0.0),
            (r#"dipeo_http_requests_total{class="2xx"}"#, 1.0),
            (r#"dipeo_http_requests_total{class="5xx"}"#, 0.0),
        ] {
            assert_eq!(value(&meters, line), expected, "{line}");
        }
    }

    #[test]
    fn a_stream_is_open_until_it_is_dropped() {
        let meters = Meters::new(&[], Timestamp(0));
        let streams = (meters.stream(), meters.stream());
        assert_eq!(value(&meters, "dipeo_http_open_streams"), 2.0);
        drop(streams.0);
        assert_eq!(value(&meters, "dipeo_http_open_streams"), 1.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_takes_from_its_beginning_to_its_end() {
        let meters = Meters::new(&[], Timestamp(0));
        let commit = meters.commit();
        tokio::time::advance(Duration::from_millis(20)).await;
        drop(commit);
        assert_eq!(value(&meters, "dipeo_store_commit_seconds_sum"), 0.02);
        assert_eq!(value(&meters, r#"dipeo_store_commit_seconds_bucket{le="0.01"}"#), 0.0);
        assert_eq!(value(&meters, r#"dipeo_store_commit_seconds_bucket{le="0.025"}"#), 1.0);
    }
}
