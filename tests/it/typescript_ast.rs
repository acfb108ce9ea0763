//! Outlines of TypeScript through the real worker process: what parses, and what is only meant to hurt.

use std::sync::Arc;
use std::time::Duration;

use dipeo::code::{Code, Settings};
use dipeo::engine::Status;
use dipeo::error::Error;
use dipeo::handlers::compile_diagram::{self, compile_diagram};
use dipeo::handlers::execution_object::ExecutionObject;
use dipeo::handlers::run_diagram::{Extras, Request, Waiting, run_diagram};
use dipeo::handlers::see_result::{self, Detail, see_result};
use dipeo::handlers::{App, Caller};
use dipeo::nodes::ports::CodeRunner;
use dipeo::nodes::ports::outline::{Outline, OutlineJob, OutlineOptions, Pattern};
use serde_json::json;

use crate::harness::{self, Workspace};

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

/// Runs a diagram of the terminal and returns the execution with everything in it.
async fn run(app: &App, workspace: &Workspace, content: &str) -> ExecutionObject {
    let caller = Caller::Terminal { working_dir: workspace.root().to_path_buf() };
    let request = Request { content: Some(content.to_owned()), ..Request::default() };
    let extras = Extras { unbounded_wait: true, ..Extras::default() };
    let object = run_diagram(app, &caller, request, extras, Waiting::default()).await.expect("runs");
    let request =
        see_result::Request { execution_id: object.execution_id, detail: Some(Detail::Full), ..Default::default() };
    see_result(app, &caller, request, Waiting::default()).await.expect("readable")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_outlines_files_and_says_on_its_error_handle_what_does_not_parse() {
    let workspace = harness::workspace();
    let app = workspace.app();
    workspace.write("files/src/a.ts", "export interface A { b: string }");
    workspace.write("files/src/deep/b.tsx", "export const B = () => <b/>;\nexport enum C { D }");
    let diagram = |source: &str| {
        format!(
            "nodes:\n- {{label: start, type: start}}\n- {{label: outline, type: typescript_ast, batch: true, source: '{source}'}}\n\
             - {{label: good, type: endpoint}}\n- {{label: bad, type: endpoint}}\n\
             connections:\n- {{from: start, to: outline}}\n- {{from: 'outline[results]', to: good}}\n\
             - {{from: 'outline[error]', to: bad}}\n"
        )
    };
    let object = run(&app, &workspace, &diagram("files/src/**/*.ts*")).await;
    let outputs = serde_json::to_value(&object.outputs).expect("JSON");
    assert_eq!(outputs["good"]["files/src/a.ts"]["extracted"]["interface"][0]["name"], json!("A"), "{outputs}");
    assert_eq!(outputs["good"]["files/src/deep/b.tsx"]["summary"]["byType"]["enum"], json!(1), "{outputs}");
    workspace.write("files/src/broken.ts", "type A = 1;\nexport interface {");
    let object = run(&app, &workspace, &diagram("files/src/*.ts")).await;
    let outputs = serde_json::to_value(&object.outputs).expect("JSON");
    assert_eq!((object.status, &outputs["bad"]["code"]), (Status::Completed, &json!("PARSE_FAILED")), "{outputs}");
    assert_eq!(outputs["bad"]["details"], json!({"line": 2, "column": 18}), "{outputs}");
    let message = outputs["bad"]["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("`files/src/broken.ts`: line 2, column 18: "), "{message}");
    app.shut_down_runs().await;
}

#[tokio::test]
async fn an_ir_builder_is_told_what_takes_its_place() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let request = compile_diagram::Request {
        content: "nodes:\n- {label: start, type: start}\n- {label: ir, type: ir_builder, builder_type: backend}\n\
                  - {label: gate, type: condition}\nconnections:\n- {from: start, to: ir}\n- {from: ir, to: gate}\n"
            .to_owned(),
        ..compile_diagram::Request::default()
    };
    let response = compile_diagram(&app, &Caller::owner_client(), request, Default::default()).await.expect("compiles");
    let errors = serde_json::to_value(&response.report.errors).expect("JSON");
    let found: Vec<&str> = errors.as_array().into_iter().flatten().filter_map(|it| it["code"].as_str()).collect();
    assert_eq!(found, ["E210", "E401"], "the rest of the file is checked: {errors}");
    let hint = errors[0]["hint"].as_str().unwrap_or_default();
    for part in ["typescript_ast", "template_job", "typescript_codegen"] {
        assert!(hint.contains(part), "{hint}");
    }
}
