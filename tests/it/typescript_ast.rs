//! Outlines of TypeScript through the real worker process: what parses, and what is only meant to hurt.

use std::sync::Arc;
use std::time::Duration;

use dipeo::code::{Code, Settings};
use dipeo::error::Error;
use dipeo::nodes::ports::CodeRunner;
use dipeo::nodes::ports::outline::{Outline, OutlineJob, OutlineOptions, Pattern};
use serde_json::json;

fn code() -> Arc<Code> {
    let worker = [env!("CARGO_BIN_EXE_dipeo"), "code-worker"].map(Into::into).to_vec();
    Code::new(Settings::new(worker, std::env::temp_dir()))
}

async fn outline(code: &Code, source: &str) -> Result<Outline, Error> {
    let options = OutlineOptions { patterns: Pattern::ALL.to_vec(), jsdoc: true, ..OutlineOptions::default() };
    code.outline(OutlineJob { source: source.into(), options, timeout: Duration::from_secs(20) }).await
}

#[tokio::test]
async fn a_source_is_outlined_in_the_worker() {
    let code = code();
    let outline = outline(&code, "/** doc */\nexport type A = 'é';").await.expect("it parses");
    assert_eq!(outline.items.len(), 2, "{outline:?}");
    let facts = json!({"name": "A", "type": "'é'", "isExported": true, "jsDoc": "doc"});
    assert_eq!((outline.items[1].line, serde_json::Value::from(outline.items[1].facts.clone())), (2, facts));
}

#[tokio::test]
async fn hostile_sources_end_cleanly_and_cost_only_their_worker() {
    let code = code();
    let nested =
        |n: usize, open: &str, inside: &str, close: &str| format!("{}{inside}{}", open.repeat(n), close.repeat(n));
    let deep = "nested too deep";
    // `None`: it may parse or be refused, depending on the stack that one level takes.
    let cases = [
        ("5,000 parentheses", format!("const a = {};", nested(5_000, "(", "1", ")")), None),
        ("100 KB of nested ifs", nested(12_000, "if(1){", "", "}"), None),
        ("200 KB of open parentheses", "(".repeat(200_000), Some(deep)),
        ("deep generics", format!("type A = {};", nested(50_000, "A<", "B", ">")), Some(deep)),
        ("deep array value", format!("const a = {};", nested(60_000, "[", "", "]")), Some(deep)),
        ("an open string", "const a = 'x".to_owned(), Some("line 1, column 11")),
        ("an open template", "const a = `x${".to_owned(), Some("line 1")),
        ("an open comment", "/* x".to_owned(), Some("line 1")),
        ("10 MB", "const a = 1;\n".repeat(800_000), Some("larger than 1024 KiB")),
        ("a megabyte of declarations", "type A=1;\n".repeat(104_000), Some("the outline is larger than 4 MiB")),
        ("noise", "\u{0}\u{1}\u{feff}\u{2028}}{".to_owned(), Some("line 1")),
    ];
    for (name, source, part) in cases {
        match (outline(&code, &source).await, part) {
            (Err(error), _) => {
                assert_eq!(error.code(), "PARSE_FAILED", "{name}: {}", error.chain());
                assert!(error.message().contains(part.unwrap_or(deep)), "{name}: {error}");
                assert!(error.hint_text().is_some(), "{name}");
            }
            (Ok(_), None) => {}
            (Ok(outline), Some(_)) => panic!("{name}: {} items", outline.items.len()),
        }
        let after = outline(&code, "enum Fine { Yes }").await;
        assert_eq!(after.map(|it| it.items.len()).map_err(|it| it.chain()), Ok(1), "after {name}");
    }
}
