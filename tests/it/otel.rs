//! Traces: what a collector hears of a run, below whom, and what it never hears. Only with the feature `otel`.
#![cfg(feature = "otel")]

use std::collections::BTreeMap;

use serde_json::json;
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::harness::{Workspace, workspace};
use crate::mcp_client::{HttpServer, StdioClient, call, modern};

/// A prompt, a reply and an output that nobody else is to see, and a failure.
const PRIVATE: &str = "\
version: light
persons:
  Ada: {service: scripted, model: story, replies: [canary in the reply]}
nodes:
- {label: start, type: start, custom_data: {name: canary in the input}}
- {label: ask, type: person_job, person: Ada, default_prompt: \"canary in the prompt {{name}}\", max_iteration: 1}
- {label: fails, type: code_job, code: \"raise ValueError('canary in the error')\", on_error: continue}
- {label: end, type: endpoint}
connections:
- {from: start, to: ask}
- {from: ask, to: fails}
- {from: fails_error, to: end}
";

/// A span as the collector was told it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
    attributes: BTreeMap<String, String>,
    failed: bool,
}

/// The fields of a message in the wire format of protocol buffers: number, value as bytes or number.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>, u64)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let (text, number) = match key & 7 {
            0 => (Vec::new(), varint(&mut bytes)),
            1 => (take(&mut bytes, 8), 0),
            2 => {
                let length = varint(&mut bytes);
                (take(&mut bytes, usize::try_from(length).expect("short")), 0)
            }
            5 => (take(&mut bytes, 4), 0),
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, text, number));
    }
    found
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

fn take(bytes: &mut &[u8], n: usize) -> Vec<u8> {
    let (taken, rest) = bytes.split_at(n);
    *bytes = rest;
    taken.to_vec()
}

fn inside(bytes: &[u8], number: u64) -> Vec<Vec<u8>> {
    fields(bytes).into_iter().filter(|it| it.0 == number).map(|it| it.1).collect()
}

fn pair(bytes: &[u8]) -> (String, String) {
    let key = String::from_utf8(inside(bytes, 1).concat()).expect("text");
    let value = fields(&inside(bytes, 2).concat()).into_iter().next().unwrap_or_default();
    let text = String::from_utf8(value.1).unwrap_or_default();
    (key, if text.is_empty() { value.2.to_string() } else { text })
}

fn span(bytes: &[u8]) -> Span {
    let hexed = |number| hex::encode(inside(bytes, number).concat());
    Span {
        trace: hexed(1),
        id: hexed(2),
        parent: hexed(4),
        name: String::from_utf8(inside(bytes, 5).concat()).expect("text"),
        attributes: inside(bytes, 9).iter().map(|it| pair(it)).collect(),
        // `Status.code` of an error is 2.
        failed: inside(bytes, 15)
            .iter()
            .any(|it| fields(it).iter().any(|(number, _, code)| (*number, *code) == (3, 2))),
    }
}

/// A stand-in for a collector.
struct Collector(MockServer);

impl Collector {
    async fn start() -> Self {
        let server = MockServer::start().await;
        let takes = Mock::given(method("POST")).and(path("/v1/traces"));
        let takes = takes.and(header("content-type", "application/x-protobuf"));
        takes.respond_with(ResponseTemplate::new(200)).mount(&server).await;
        Self(server)
    }

    async fn bodies(&self) -> Vec<Vec<u8>> {
        self.0.received_requests().await.expect("recorded").into_iter().map(|it| it.body).collect()
    }

    async fn spans(&self) -> Vec<Span> {
        let bodies = self.bodies().await;
        let of_scopes = bodies.iter().flat_map(|it| inside(it, 1)).flat_map(|it| inside(&it, 2));
        of_scopes.flat_map(|it| inside(&it, 2)).map(|it| span(&it)).collect()
    }

    fn variables(&self) -> [(&'static str, String); 1] {
        [("OTEL_EXPORTER_OTLP_ENDPOINT", self.0.uri())]
    }
}

fn furnished() -> Workspace {
    let workspace = workspace();
    workspace.write("private.light.yaml", PRIVATE);
    workspace
}

fn one<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|it| it.name == name).collect();
    assert_eq!(found.len(), 1, "{name}: {spans:#?}");
    found[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_one_trace_of_its_nodes_and_calls_and_says_nothing_private() {
    let collector = Collector::start().await;
    let workspace = furnished();
    let output = workspace.command().args(["run", "private", "--simple"]).envs(collector.variables()).output();
    assert_eq!(output.expect("runs").status.code(), Some(0));
    let spans = collector.spans().await;
    let (execution, asks, fails) =
        (one(&spans, "execution"), one(&spans, "person_job ask"), one(&spans, "code_job fails"));
    let calls = one(&spans, "chat scripted");
    assert_eq!(execution.parent, "");
    for (below, above) in [(asks, execution), (fails, execution), (calls, asks)] {
        assert_eq!((&below.trace, &below.parent), (&execution.trace, &above.id), "{below:?}");
    }
    assert_eq!(execution.attributes["execution.status"], "completed");
    assert!(execution.attributes["execution.id"].starts_with("exec_"));
    assert_eq!((asks.attributes["node.label"].as_str(), asks.attributes["node.type"].as_str()), ("ask", "person_job"));
    assert_eq!(calls.attributes["gen_ai.request.model"], "story");
    assert_eq!(calls.attributes["gen_ai.usage.output_tokens"], "4");
    assert!(fails.failed && fails.attributes["error.type"] == "CODE_FAILED", "{fails:?}");
    assert!(!execution.failed && !asks.failed && !calls.failed);
    for body in collector.bodies().await {
        let body = String::from_utf8_lossy(&body).into_owned();
        assert!(!body.contains("canary"), "{body}");
        assert!(body.contains("service.name") && body.contains("dipeo"), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_on_below_whoever_calls() {
    let (far, near) = ("11111111111111111111111111111111", "22222222222222222222222222222222");
    let parent = |trace: &str| format!("00-{trace}-00f067aa0ba902b7-01");
    for (of_header, of_call, expected) in
        [(Some(far), None, far), (Some(far), Some(near), near), (None, Some(near), near), (Some("nonsense"), None, "")]
    {
        let collector = Collector::start().await;
        let [(name, value)] = collector.variables();
        let workspace = furnished();
        let server = HttpServer::start_with(&workspace, &[], &[(name, &value)]);
        let mut params = call("dipeo_run", json!({"diagram": "private", "wait_seconds": 20}));
        if let Some(trace) = of_call {
            params["_meta"] = json!({"traceparent": parent(trace)});
        }
        let mut request = server.prepared("/mcp", &modern(1, "tools/call", params));
        if let Some(trace) = of_header {
            request = request.header("traceparent", parent(trace));
        }
        assert!(request.send().await.expect("answered").status().is_success());
        server.stop();
        let spans = collector.spans().await;
        let (call, execution) = (one(&spans, "tools/call dipeo_run"), one(&spans, "execution"));
        assert_eq!(execution.parent, call.id, "{spans:#?}");
        assert_eq!(execution.trace, call.trace);
        if expected.is_empty() {
            assert_eq!(one(&spans, "POST").parent, "", "what is no trace context is left alone");
        } else {
            assert_eq!(execution.trace, expected);
        }
        match of_call {
            Some(_) => assert_eq!(call.parent, "00f067aa0ba902b7"),
            None => assert_eq!(call.parent, one(&spans, "POST").id),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_where_no_collector_is_named_or_traces_are_off() {
    let collector = Collector::start().await;
    let workspace = furnished();
    let [(name, value)] = collector.variables();
    for variables in [vec![], vec![(name, value.as_str()), ("OTEL_SDK_DISABLED", "true")]] {
        let output = workspace.command().args(["run", "private", "--simple"]).envs(variables).output().expect("runs");
        assert_eq!(output.status.code(), Some(0));
    }
    assert_eq!(collector.bodies().await.len(), 0);
    // A collector that is not there fails nothing.
    let mut command = workspace.command();
    command.args(["run", "private", "--simple"]).env(name, "http://127.0.0.1:1");
    assert_eq!(command.output().expect("runs").status.code(), Some(0));
    // A server on stdio sends what it has when its input ends.
    let mut client = StdioClient::start_with(&workspace, &[(name, &value)]);
    client.call("dipeo_run", json!({"diagram": "private", "wait_seconds": 20}));
    client.finish();
    let spans = collector.spans().await;
    assert_eq!(one(&spans, "execution").parent, one(&spans, "tools/call dipeo_run").id);
}
