//! Each node as a call of the runtime: its fields, read as the node itself reads them, become arguments. What
//! the runtime cannot do is a reason.

mod db;
mod person_job;

use serde_json::{Map, Value, json};

use super::Export;
use super::parts::Part;
use crate::diagram::{NodeKind, Tree, TreeKind};
use crate::nodes::{Fields, ReadContext};

/// The call that does what a node does.
pub(super) struct Call {
    pub function: &'static str,
    pub arguments: Vec<(&'static str, Value)>,
    pub parts: Vec<Part>,
    /// Whether it may take its time: then it runs beside the others.
    pub is_slow: bool,
}

impl Call {
    fn new(function: &'static str, parts: &[Part]) -> Self {
        Self { function, arguments: Vec::new(), parts: parts.to_vec(), is_slow: false }
    }

    /// The same call, run in a thread of its own.
    fn slow(self) -> Self {
        Self { is_slow: true, ..self }
    }

    /// Adds an argument that is given.
    fn add(&mut self, name: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.arguments.push((name, value.into()));
        }
    }
}

/// One node while it is read.
struct Reading<'a, 'e> {
    export: &'e Export<'a>,
    idx: usize,
    fields: Fields<'e>,
    reasons: Vec<String>,
}

impl Reading<'_, '_> {
    fn refuse(&mut self, why: impl AsRef<str>) {
        let node = &self.export.plan.nodes[self.idx];
        self.reasons.push(format!("node `{}` ({}): {}", node.label, node.kind.name(), why.as_ref()));
    }
}

/// Returns the call of node `idx`.
///
/// # Errors
///
/// Every reason why there is none.
pub(super) fn call(export: &Export<'_>, idx: usize) -> Result<Call, Vec<String>> {
    let cx = ReadContext { diagram: export.diagram, surroundings: export.surroundings };
    let mut reading = Reading { export, idx, fields: Fields::new(idx, &cx), reasons: Vec::new() };
    let call = read(&mut reading);
    match call {
        Some(call) if reading.reasons.is_empty() => Ok(call),
        _ => Err(reading.reasons),
    }
}

fn read(reading: &mut Reading<'_, '_>) -> Option<Call> {
    match reading.export.plan.nodes[reading.idx].kind {
        NodeKind::Start => Some(start(reading)),
        NodeKind::Endpoint => Some(endpoint(reading)),
        NodeKind::Condition => condition(reading),
        NodeKind::CodeJob => code_job(reading),
        NodeKind::Db => Some(db::call(reading)),
        NodeKind::ApiJob => Some(api_job(reading)),
        NodeKind::UserResponse => Some(user_response(reading)),
        NodeKind::PersonJob => person_job::call(reading),
        NodeKind::TemplateJob => Some(template_job(reading)),
        NodeKind::Hook
        | NodeKind::JsonSchemaValidator
        | NodeKind::TypescriptAst
        | NodeKind::SubDiagram
        | NodeKind::IntegratedApi
        | NodeKind::IrBuilder
        | NodeKind::DiffPatch
        | NodeKind::McpTool
        | NodeKind::Command => {
            reading.refuse("nodes of this type are not exported");
            None
        }
    }
}

fn start(reading: &mut Reading<'_, '_>) -> Call {
    let mut call = Call::new("run_start", &[]);
    call.add("custom_data", Some(Value::Object(reading.fields.object_or_empty("custom_data"))));
    call.add("is_hook", reading.export.plan.graph.nodes[reading.idx].is_hook_start.then_some(true));
    call
}

fn endpoint(reading: &mut Reading<'_, '_>) -> Call {
    let mut call = Call::new("run_endpoint", &[Part::Endpoint]);
    if !reading.fields.boolean("save_to_file", false) {
        return call;
    }
    let id = &reading.export.plan.nodes[reading.idx].id;
    let path = reading.fields.text_not_blank("file_name").unwrap_or_else(|| format!("files/results/{id}.json"));
    call.add("save_to", Some(path));
    match reading.fields.choice("file_format", &["txt", "md", "json", "yaml"]) {
        Some("yaml") => reading.refuse("`file_format: yaml` needs more than Python's standard library"),
        format => call.add("file_format", format.filter(|it| *it == "json")),
    }
    call
}

fn condition(reading: &mut Reading<'_, '_>) -> Option<Call> {
    let fields = &mut reading.fields;
    let mut call = Call::new("run_condition", &[Part::Condition]);
    let named =
        fields.choice("condition_type", &["custom", "detect_max_iterations", "check_nodes_executed", "llm_decision"]);
    let expression = fields.text_not_blank("expression");
    let nodes = fields.node_refs("node_indices");
    match named.or(expression.is_some().then_some("custom")) {
        Some("custom") => call.add("expression", expression),
        Some("detect_max_iterations") => call.add("exhausted", Some(watched(reading.export, reading.idx, nodes))),
        Some("check_nodes_executed") => call.add("executed", Some(nodes)),
        _ => {
            reading.refuse("`llm_decision` is not exported; ask a person_job and compare its answer");
            return None;
        }
    }
    call.add("expose_index_as", reading.fields.text_not_blank("expose_index_as"));
    Some(call)
}

/// The person_jobs that `detect_max_iterations` looks at: those named, else those on a loop with it, else all.
fn watched(export: &Export<'_>, idx: usize, named: Vec<usize>) -> Value {
    let plan = export.plan;
    let is_person = |it: &usize| plan.nodes[*it].kind == NodeKind::PersonJob;
    let around = plan.graph.strongly_connected().iter().find(|it| it.contains(&idx)).cloned().unwrap_or_default();
    let choices = [named, around, (0..plan.nodes.len()).collect()];
    let mut choices = choices.into_iter().map(|it| it.into_iter().filter(is_person).collect::<Vec<_>>());
    let chosen = choices.find(|it| !it.is_empty()).unwrap_or_default();
    chosen.into_iter().map(|it| json!([it, plan.nodes[it].node.traits().max_iteration])).collect()
}

fn code_job(reading: &mut Reading<'_, '_>) -> Option<Call> {
    let fields = &mut reading.fields;
    let language = fields.choice("language", &["python", "typescript", "javascript", "bash", "shell"]);
    let mut call = match language {
        None | Some("python") => Call::new("run_python", &[Part::Job, Part::Code]).slow(),
        Some("bash" | "shell") => Call::new("run_shell", &[Part::Job, Part::Code]).slow(),
        Some(other) => {
            reading.refuse(format!("code in {other} is not exported, only Python and shell"));
            return None;
        }
    };
    let is_python = call.function == "run_python";
    if !is_python {
        call.add("shell", Some(if language == Some("bash") { "bash" } else { "sh" }));
    }
    match fields.text_not_blank("code") {
        Some(code) => call.add("code", Some(code)),
        None => call.add("file_path", fields.text_not_blank("file_path")),
    }
    if is_python {
        call.add("function_name", fields.text_not_blank("function_name"));
        call.add("parse_json", (!fields.boolean("parse_json", true)).then_some(false));
    }
    Some(call)
}

fn api_job(reading: &mut Reading<'_, '_>) -> Call {
    let fields = &mut reading.fields;
    let mut call = Call::new("run_api_job", &[Part::Http, Part::Api]).slow();
    call.add("url", fields.text("url"));
    call.add("method", fields.choice("method", &["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"]));
    call.add("auth_type", fields.choice("auth_type", &["none", "bearer", "basic", "api_key"]));
    for key in ["headers", "params", "body", "auth_config", "accept_status"] {
        call.add(key, fields.value(key).filter(|it| !it.is_null()));
    }
    call
}

fn user_response(reading: &mut Reading<'_, '_>) -> Call {
    let fields = &mut reading.fields;
    let mut call = Call::new("run_user_response", &[Part::User]).slow();
    call.add("prompt", fields.text("prompt"));
    let wanted = match fields.choice("validation_type", &["text", "number", "boolean"]) {
        _ if fields.boolean("approval", false) => Some("approval"),
        wanted => wanted,
    };
    call.add("wanted", wanted);
    call.add("options", fields.value("options").filter(|it| it.as_array().is_some_and(|it| !it.is_empty())));
    call.add("default", fields.is_given("default").then(|| fields.value("default").unwrap_or_default()));
    call
}

fn template_job(reading: &mut Reading<'_, '_>) -> Call {
    let mut call = Call::new("run_template_job", &[Part::Jinja]).slow();
    let content = reading.fields.text("template_content");
    let variables = reading.fields.object_or_empty("variables");
    let texts = format!("{}{}", content.as_deref().unwrap_or_default(), Value::Object(variables.clone()));
    if texts.contains("ts_to_python") {
        reading.refuse("the filter `ts_to_python` is not exported");
    }
    match content {
        Some(content) => call.add("template_content", Some(content)),
        None => call.add("template_path", reading.fields.text_not_blank("template_path")),
    }
    call.add("output_path", reading.fields.text_not_blank("output_path"));
    call.add("variables", Some(variables).filter(|it: &Map<_, _>| !it.is_empty()));
    call
}

/// Whether `tools` names any.
pub(super) fn asks_for_tools(tree: &Tree) -> bool {
    match &tree.kind {
        TreeKind::Null | TreeKind::Bool(false) => false,
        TreeKind::Text(text) => !matches!(text.trim().to_ascii_lowercase().as_str(), "" | "none"),
        TreeKind::List(items) => items.iter().any(asks_for_tools),
        TreeKind::Map(_) => !matches!(tree.get("enabled").map(|it| &it.kind), Some(TreeKind::Bool(false))),
        TreeKind::Bool(true) | TreeKind::Number(_) => true,
    }
}
