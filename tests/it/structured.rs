//! Structured replies through the whole program: the form as Python classes, in the diagram and in files.

use dipeo::handlers::Caller;
use dipeo::handlers::execution_object::ExecutionObject;
use dipeo::handlers::run_diagram::{Extras, Request, Waiting, run_diagram};
use serde_json::json;

use crate::harness;

const CLASSES: &str = "class Answer(BaseModel):\n    n: int\n";

/// Runs a person of these fields, who replies `reply`, after a node that writes `CLASSES` to `files/made.py`.
async fn run(fields: &str, reply: &str) -> ExecutionObject {
    let workspace = harness::workspace();
    workspace.write("files/answer.py", CLASSES);
    workspace.write("files/answer.json", r#"{"required": ["n"]}"#);
    let content = format!(
        "version: light\npersons:\n  A: {{service: scripted, replies: ['{reply}']}}\nnodes:\n\
         - {{label: s, type: start, custom_data: {{content: {}}}}}\n\
         - {{label: make, type: db, operation: write, file: files/made.py}}\n\
         - {{label: p, type: person_job, person: A, default_prompt: hi, max_iteration: 1, {fields}}}\n\
         - {{label: e, type: endpoint}}\n\
         connections:\n- {{from: s, to: pick}}\n- {{from: pick, to: make, label: content}}\n- {{from: make, to: p}}\n\
         - {{from: p, to: e}}\n",
        json!(CLASSES)
    );
    let pick = "- {label: pick, type: code_job, code: result = content}\n- {label: make,";
    workspace.write("it.light.yaml", &content.replace("- {label: make,", pick));
    let app = workspace.app();
    let caller = Caller::Terminal { working_dir: workspace.root().to_path_buf() };
    let request = Request { diagram: Some("it.light.yaml".into()), ..Request::default() };
    let extras = Extras { unbounded_wait: true, ..Extras::default() };
    let object = run_diagram(&app, &caller, request, extras, Waiting::default()).await.expect("it compiles");
    app.shut_down_runs().await;
    object
}

#[tokio::test(flavor = "multi_thread")]
async fn the_form_stands_in_the_diagram_in_a_file_or_in_a_file_that_a_node_writes() {
    for fields in [
        r#"text_format: "class Answer(BaseModel):\n    n: int""#,
        "text_format_file: files/answer.py",
        "text_format_file: files/answer.json",
        "text_format_file: files/made.py",
    ] {
        let fits = run(fields, r#"{"n": 7}"#).await;
        assert_eq!(fits.final_output, Some(json!({"n": 7})), "{fields}: {:?}", fits.error);
        let error = run(fields, r#"{"m": 7}"#).await.error.expect("it fails");
        assert_eq!(json!(error)["code"], "REPLY_INVALID", "{fields}: {error:?}");
    }
}
