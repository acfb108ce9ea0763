//! Requests that are wrong in some way: good ones, changed as values, then damaged as bytes, with headers that
//! may not fit. The same on each run.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};

use crate::mcp_client::{HELLO, modern_meta};

/// Texts that something might stumble over.
const NASTY: [&str; 18] = [
    "",
    " ",
    "\0",
    "a\0b",
    "\u{feff}",
    "\u{202e}txt.exe",
    "\u{e0041}\u{e0042}",
    "../../etc/passwd",
    "dipeo://executions/exec_00000000000000000000000000000000",
    "dipeo://diagrams/../../x",
    "dipeo://guide/%2e%2e",
    "file:///etc/passwd",
    "=?base64?c2VhcmNo?=",
    "=?base64?!!!?=",
    "${secret:TOKEN}",
    "{{#each x}}{{/each",
    "a: &a [*a, *a]",
    "'; DROP TABLE executions; --",
];

/// Names of arguments of some tool, and some of none.
const NAMES: [&str; 20] = [
    "diagram",
    "content",
    "format_type",
    "input_data",
    "wait_seconds",
    "timeout",
    "models",
    "idempotency_key",
    "execution_id",
    "detail",
    "node",
    "since_seq",
    "cursor",
    "max_chars",
    "action",
    "value",
    "push_as",
    "query",
    "id",
    "zzz",
];

const TOOLS: [&str; 6] = ["dipeo_run", "see_result", "control_execution", "compile_diagram", "search", "fetch"];

/// Returns `n` values of a strategy, the same on each run.
pub fn sample<S: Strategy>(n: usize, strategy: S) -> Vec<S::Value> {
    let mut runner = TestRunner::deterministic();
    (0..n).map(|_| strategy.new_tree(&mut runner).expect("nothing is rejected").current()).collect()
}

/// A line or a body, and what a client would expect of it.
#[derive(Clone, Debug)]
pub struct Frame {
    pub bytes: Vec<u8>,
    /// As headers name them, before any damage.
    pub method: String,
    pub name: Option<String>,
}

impl Frame {
    /// The id of whoever waits for an answer, if it can be read at all.
    pub fn id(&self) -> Option<Value> {
        let message: Value = serde_json::from_slice(&self.bytes).ok()?;
        let is_answer = message.get("method").is_none() && (message.get("result").or(message.get("error"))).is_some();
        let id = message.get("id").filter(|it| it.is_string() || it.is_i64())?;
        (!is_answer).then(|| id.clone())
    }

    /// The method that is asked for, if it can be read.
    pub fn asks_for(&self) -> Option<String> {
        let message: Value = serde_json::from_slice(&self.bytes).ok()?;
        message.get("method")?.as_str().map(str::to_owned)
    }

    pub fn shown(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        let cut: String = text.chars().take(600).collect();
        format!("{cut:?} ({} bytes)", self.bytes.len())
    }
}

/// Frames of clients of 2026-07-28, or of those before them.
pub fn frames(is_modern: bool) -> impl Strategy<Value = Frame> {
    let good = prop_oneof![3 => request(), 4 => tool_call(), 1 => notification()];
    (good, vec((any::<Index>(), change()), 0..4), vec(damage(), 0..2), any::<u32>()).prop_map(
        move |(mut message, changes, damages, id)| {
            if is_modern && let Some(params) = message["params"].as_object_mut() {
                params.insert("_meta".into(), modern_meta());
            }
            if message.get("id").is_some() {
                message["id"] = id.into();
            }
            let method = message["method"].as_str().unwrap_or_default().to_owned();
            let name =
                ["name", "uri", "taskId"].iter().find_map(|it| message["params"][it].as_str().map(str::to_owned));
            for (index, change) in changes {
                change.make(&mut message, index);
            }
            let mut bytes = message.to_string().into_bytes();
            for damage in damages {
                damage.make(&mut bytes);
            }
            // A frame is one line.
            for byte in bytes.iter_mut().filter(|it| **it == b'\n') {
                *byte = b' ';
            }
            Frame { bytes, method, name }
        },
    )
}

fn request() -> impl Strategy<Value = Value> {
    let prompt = json!({"name": "write_diagram", "arguments": {"request": "x"}});
    let reference = json!({"type": "ref/resource", "uri": "dipeo://diagrams/{name}"});
    let client = json!({"name": "a", "version": "1"});
    select(vec![
        ("tools/list", json!({})),
        ("tools/list", json!({"cursor": "00"})),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("resources/read", json!({"uri": "dipeo://diagrams"})),
        ("resources/read", json!({"uri": "dipeo://guide/light-format"})),
        ("prompts/list", json!({})),
        ("prompts/get", prompt),
        ("completion/complete", json!({"ref": reference, "argument": {"name": "name", "value": "a"}})),
        ("server/discover", json!({})),
        ("ping", json!({})),
        ("logging/setLevel", json!({"level": "info"})),
        ("resources/subscribe", json!({"uri": "dipeo://executions"})),
        ("subscriptions/listen", json!({"notifications": {"toolsListChanged": true}})),
        ("tasks/get", json!({"taskId": "exec_1"})),
        ("tasks/update", json!({"taskId": "exec_1", "inputResponses": {"a": {"action": "accept"}}})),
        ("initialize", json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client})),
        ("no/such/method", json!({})),
    ])
    .prop_map(|(method, params)| json!({"jsonrpc": "2.0", "id": 0, "method": method, "params": params}))
}

fn notification() -> impl Strategy<Value = Value> {
    select(vec![
        ("notifications/initialized", json!({})),
        ("notifications/cancelled", json!({"requestId": "nobody", "reason": "x"})),
        ("notifications/progress", json!({"progressToken": 1, "progress": 1})),
        ("notifications/roots/list_changed", json!({})),
        ("notifications/unheard_of", json!({"a": 1})),
        ("$/cancelRequest", json!({"id": 1})),
    ])
    .prop_map(|(method, params)| json!({"jsonrpc": "2.0", "method": method, "params": params}))
}

/// Calls of the six tools with arguments that are right, nearly right or anything.
fn tool_call() -> impl Strategy<Value = Value> {
    let argument = (
        select(NAMES.to_vec()),
        prop_oneof![
            4 => junk(),
            1 => select(vec![
                json!(HELLO), json!("light"), json!("hello"), json!(0), json!(1), json!("abort"), json!("answer"),
                json!("full"), json!({"name": "x"}), json!("exec_00000000000000000000000000000000"),
                json!("dipeo://diagrams"), json!("caller"),
            ]),
        ],
    );
    (select(TOOLS.to_vec()), vec(argument, 0..4)).prop_map(|(tool, arguments)| {
        let arguments: Map<String, Value> =
            arguments.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let params = json!({"name": tool, "arguments": arguments});
        json!({"jsonrpc": "2.0", "id": 0, "method": "tools/call", "params": params})
    })
}

/// Any JSON, small mostly.
fn junk() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(json!(u64::MAX)),
        Just(json!(-1)),
        Just(json!(1e308)),
        any::<f64>().prop_map(Value::from),
        select(NASTY.to_vec()).prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        (select(vec!["a", "é", "\u{1f600}", "\0"]), select(vec![500_usize, 5_000]))
            .prop_map(|(text, n)| text.repeat(n).into()),
        (1_usize..200).prop_map(nested),
    ];
    leaf.prop_recursive(3, 20, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec((select(NASTY.to_vec()), inner), 0..5)
                .prop_map(|them| Value::Object(them.into_iter().map(|(name, it)| (name.to_owned(), it)).collect())),
        ]
    })
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::Null, |inner, n| if n % 2 == 0 { json!([inner]) } else { json!({"a": inner}) })
}

/// A change of one place of a message.
#[derive(Clone, Debug)]
enum Change {
    Replace(Value),
    Remove,
    Add(&'static str, Value),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => junk().prop_map(Change::Replace),
        2 => Just(Change::Remove),
        1 => (select(vec!["extra", "result", "error", "id", "_meta", "method", "inputResponses", "task"]), junk())
            .prop_map(|(name, value)| Change::Add(name, value)),
    ]
}

impl Change {
    fn make(&self, message: &mut Value, index: Index) {
        let mut places = Vec::new();
        find_places(message, String::new(), &mut places);
        if places.is_empty() {
            return;
        }
        let place = index.get(&places).clone();
        let (parent, key) = place.rsplit_once('/').expect("a pointer");
        let Some(parent) = message.pointer_mut(parent) else { return };
        match (self, parent) {
            (Self::Replace(value), Value::Object(object)) => drop(object.insert(key.to_owned(), value.clone())),
            (Self::Remove, Value::Object(object)) => drop(object.remove(key)),
            (Self::Add(name, value), Value::Object(object)) => drop(object.insert((*name).to_owned(), value.clone())),
            (Self::Replace(value), Value::Array(items)) => items.push(value.clone()),
            (Self::Remove | Self::Add(..), Value::Array(items)) => drop(items.pop()),
            _ => {}
        }
    }
}

/// The pointers to all named values; names that would have to be escaped are left out.
fn find_places(value: &Value, at: String, found: &mut Vec<String>) {
    if let Value::Object(object) = value {
        for (name, inner) in object.iter().filter(|(name, _)| !name.contains(['/', '~'])) {
            let place = format!("{at}/{name}");
            find_places(inner, place.clone(), found);
            found.push(place);
        }
    }
}

/// Damage to a text.
#[derive(Clone, Debug)]
enum Damage {
    Cut(Index),
    Insert(Index, &'static [u8]),
    Flip(Index, u8),
    Before(&'static [u8]),
    After(&'static [u8]),
    Whole(&'static [u8]),
}

const PIECES: [&[u8]; 12] = [
    b"\0",
    b"\xff\xfe",
    b"\xc3\x28",
    b"\r",
    b"{",
    b"]",
    b"\"",
    b"\\ud800",
    b"1e99999",
    b",\"id\":\"second\"",
    b"\xef\xbb\xbf",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
];

const WHOLE: [&[u8]; 8] = [b"", b"null", b"[]", b"{}", b"5", b"\"x\"", b"GET / HTTP/1.1", b"{\"jsonrpc\":\"2.0\"}"];

fn damage() -> impl Strategy<Value = Damage> {
    let piece = || select(PIECES.to_vec());
    prop_oneof![
        1 => any::<Index>().prop_map(Damage::Cut),
        2 => (any::<Index>(), piece()).prop_map(|(at, piece)| Damage::Insert(at, piece)),
        1 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Flip(at, byte)),
        1 => piece().prop_map(Damage::Before),
        1 => piece().prop_map(Damage::After),
        1 => select(WHOLE.to_vec()).prop_map(Damage::Whole),
    ]
}

impl Damage {
    fn make(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Cut(at) => bytes.truncate(at.index(bytes.len() + 1)),
            Self::Insert(at, piece) => {
                let at = at.index(bytes.len() + 1);
                drop(bytes.splice(at..at, piece.iter().copied()));
            }
            Self::Flip(at, byte) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] ^= byte;
            }
            Self::Flip(..) => {}
            Self::Before(piece) => drop(bytes.splice(0..0, piece.iter().copied())),
            Self::After(piece) => bytes.extend_from_slice(piece),
            Self::Whole(whole) => *bytes = whole.to_vec(),
        }
    }
}

/// What is done to the head of an HTTP request.
#[derive(Clone, Debug)]
pub enum HeadChange {
    Drop(&'static str),
    Set(&'static str, Vec<u8>),
    Add(&'static str, Vec<u8>),
}

/// A method, a path and changes of the headers that a good client would send.
pub fn heads() -> impl Strategy<Value = (&'static str, &'static str, Vec<HeadChange>)> {
    let verb = prop_oneof![
        12 => Just("POST"),
        1 => select(vec!["GET", "DELETE", "PUT", "OPTIONS", "HEAD", "PATCH", "BREW", "post"]),
    ];
    let path = prop_oneof![
        10 => Just("/mcp"),
        2 => select(vec!["/mcp/", "/mcp/messages", "/mcp?a=b", "/mcp/info", "/mcp/tools", "/health", "/mcp/%00/..", "//mcp"]),
    ];
    (verb, path, vec(head_change(), 0..3))
}

fn head_change() -> impl Strategy<Value = HeadChange> {
    let names = vec![
        "accept",
        "content-type",
        "mcp-protocol-version",
        "mcp-method",
        "mcp-name",
        "mcp-session-id",
        "origin",
        "host",
        "content-length",
        "transfer-encoding",
        "x-forwarded-for",
        "authorization",
        "last-event-id",
        "mcp-param-x",
        "expect",
        "upgrade",
        "content-encoding",
    ];
    let values = vec![
        &b""[..],
        b"*/*",
        b"application/json",
        b"application/json; charset=\"",
        b"text/event-stream;q=0",
        b"2026-07-28",
        b"2025-06-18",
        b"1999-01-01",
        b"tools/list",
        b"tools/call",
        b"=?base64?c2VhcmNo?=",
        b"=?base64?c2VhcmNo",
        b"=?base64?/////w==?=",
        b"\xff\xfe",
        b"http://evil.example",
        b"http://localhost:1",
        b"null",
        b"evil.example",
        b"localhost",
        b"0",
        b"7",
        b"99999999999999999999",
        b"-1",
        b"chunked",
        b"gzip",
        b"100-continue",
        b"h2c",
        b"Bearer x",
    ];
    let value = prop_oneof![
        8 => select(values).prop_map(<[u8]>::to_vec),
        1 => Just(vec![b'a'; 9_000]),
    ];
    prop_oneof![
        1 => select(names.clone()).prop_map(HeadChange::Drop),
        2 => (select(names.clone()), value.clone()).prop_map(|(name, value)| HeadChange::Set(name, value)),
        1 => (select(names), value).prop_map(|(name, value)| HeadChange::Add(name, value)),
    ]
}
