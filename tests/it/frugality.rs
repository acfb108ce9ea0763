//! What the protocol costs a model: bytes and tokens of the lists and of typical results, compared with a
//! committed table. What grows must be a decision: `UPDATE=1` writes the new figures, and the change shows them.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::harness::workspace;
use crate::mcp_client::{ASKS_CALLER, HELLO, StdioClient};

const TABLE: &str = "tests/golden/sizes.json";

const FAILS: &str = "\
version: light
nodes:
- {label: start, type: start, custom_data: {n: 0}}
- {label: divide, type: code_job, code: \"result = 1 / n\"}
- {label: end, type: endpoint}
connections:
- {from: start, to: divide}
- {from: divide, to: end}
";

/// An estimate of what a tokenizer makes of a text: a token for every five letters of a word, for every three
/// digits, for every two signs in a row, and for each character outside ASCII. Of compact JSON it is close to
/// what common tokenizers say, and above bytes divided by four.
fn tokens(text: &str) -> usize {
    #[derive(PartialEq, Clone, Copy)]
    enum Kind {
        Letter,
        Digit,
        Sign,
        Blank,
        Other,
    }
    let kind = |it: char| match it {
        'a'..='z' | 'A'..='Z' => Kind::Letter,
        '0'..='9' => Kind::Digit,
        ' ' => Kind::Blank,
        it if it.is_ascii() => Kind::Sign,
        _ => Kind::Other,
    };
    let kinds: Vec<Kind> = text.chars().map(kind).collect();
    let runs = kinds.chunk_by(|a, b| a == b);
    runs.map(|run| match run[0] {
        Kind::Letter => run.len().div_ceil(5),
        Kind::Digit => run.len().div_ceil(3),
        Kind::Sign => run.len().div_ceil(2),
        Kind::Blank => 0,
        Kind::Other => run.len(),
    })
    .sum()
}

/// The text with every id and digest (16 and more hexadecimal digits) made the same: they are random, and so
/// would be the number of their runs of letters.
fn without_chance(text: &str) -> String {
    let is_hex = |it: char| it.is_ascii_digit() || matches!(it, 'a'..='f');
    let characters: Vec<char> = text.chars().collect();
    let runs = characters.chunk_by(|a, b| is_hex(*a) == is_hex(*b));
    runs.map(|run| {
        if run.len() >= 16 && is_hex(run[0]) {
            "0a1b".chars().cycle().take(run.len()).collect()
        } else {
            run.iter().collect::<String>()
        }
    })
    .collect()
}

/// What a model is shown of a tool's result: its content blocks, durations made equally long.
fn shown(result: &Value) -> String {
    let blocks = result["content"].as_array().expect("content").iter();
    let text: String = blocks.map(|it| it["text"].as_str().map_or_else(|| it.to_string(), str::to_owned)).collect();
    let mut parts = text.split("_ms\":");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |whole, part| whole + "_ms\":1" + part.trim_start_matches(|it: char| it.is_ascii_digit()))
}

#[test]
fn nothing_a_model_is_shown_grows_unnoticed() {
    let workspace = workspace();
    workspace.write("projects/zebra.light.yaml", HELLO);
    let mut client = StdioClient::start(&workspace);
    let mut texts: Vec<(&str, String)> = Vec::new();
    let listed = client.request("tools/list", json!({}))["result"]["tools"].clone();
    texts.push(("tools/list", json!({ "tools": listed }).to_string()));
    let discovered = client.request("server/discover", json!({}))["result"].clone();
    texts.push(("instructions", discovered["instructions"].as_str().expect("instructions").to_owned()));
    texts.push(("server/discover", discovered.to_string()));
    texts.push(("prompts/list", client.request("prompts/list", json!({}))["result"]["prompts"].to_string()));

    let mut call = |name: &'static str, tool: &str, arguments: Value| {
        let result = client.call(tool, arguments);
        texts.push((name, shown(&result)));
        result["structuredContent"].clone()
    };
    let ran = call("dipeo_run, completed", "dipeo_run", json!({"diagram": "zebra"}));
    let id = &ran["execution_id"];
    call("dipeo_run, failed", "dipeo_run", json!({"content": FAILS}));
    let asked = call("dipeo_run, a prompt for the caller", "dipeo_run", json!({"content": ASKS_CALLER}));
    let answer = json!({"execution_id": asked["execution_id"], "action": "answer", "value": "Assam"});
    call("control_execution, answered", "control_execution", answer);
    call("see_result, summary", "see_result", json!({"execution_id": id}));
    call("see_result, outputs", "see_result", json!({"execution_id": id, "detail": "outputs"}));
    call("see_result, full", "see_result", json!({"execution_id": id, "detail": "full"}));
    call("see_result, one node", "see_result", json!({"execution_id": id, "node": "compose"}));
    call("see_result, events", "see_result", json!({"execution_id": id, "since_seq": 0}));
    call("see_result, unknown id", "see_result", json!({"execution_id": format!("exec_{}", "0".repeat(32))}));
    call("compile_diagram, valid", "compile_diagram", json!({"content": HELLO}));
    let misspelt = HELLO.replace("code_job", "code_jbo");
    call("compile_diagram, one mistake", "compile_diagram", json!({"content": misspelt}));
    call("search", "search", json!({"query": "zebra"}));
    call("fetch, a diagram", "fetch", json!({"id": "dipeo://diagrams/zebra"}));
    compare(&texts);
}

fn compare(texts: &[(&str, String)]) {
    let measured: Map<String, Value> = texts
        .iter()
        .map(|(name, text)| ((*name).to_owned(), json!({"bytes": text.len(), "tokens": tokens(&without_chance(text))})))
        .collect();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(TABLE);
    if std::env::var_os("UPDATE").is_some() {
        let table = serde_json::to_string_pretty(&measured).expect("JSON") + "\n";
        std::fs::write(&file, table).expect("written");
    }
    let committed: Map<String, Value> =
        serde_json::from_str(&std::fs::read_to_string(&file).unwrap_or_default()).unwrap_or_default();
    let mut grown = Vec::new();
    for ((name, now), (_, text)) in measured.iter().zip(texts) {
        let before = &committed.get(name).cloned().unwrap_or_default();
        for unit in ["bytes", "tokens"] {
            let (now, before) = (now[unit].as_u64().expect("a count"), before[unit].as_u64().unwrap_or(0));
            if now > before {
                grown.push(format!("{name}: {before} -> {now} {unit}: {text}"));
            }
        }
    }
    assert!(grown.is_empty(), "more than {TABLE} says (UPDATE=1 accepts it):\n{}", grown.join("\n"));
    assert_eq!(committed.len(), measured.len(), "{TABLE} has other rows");
}

#[test]
fn the_estimate_counts_words_digits_and_signs() {
    for (text, expected) in
        [("", 0), ("hello", 1), ("hello world", 2), ("internationally", 3), ("12345", 2), ("{\"a\":1}", 5), ("日本", 2)]
    {
        assert_eq!(tokens(text), expected, "{text}");
    }
}
