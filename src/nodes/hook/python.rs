//! A hook that runs a Python file with the user's interpreter, as a code_job with `file_path` does.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{TIMEOUT_S, refuse_secrets, require_host};
use crate::error::Error;
use crate::nodes::code_job::{bindable, values};
use crate::nodes::paths::PathField;
use crate::nodes::ports::{CodeJob, Language, Runtime};
use crate::nodes::template::JsonTemplate;
use crate::nodes::{Fields, NodeContext, Output};

pub(super) struct Python {
    script: Option<PathField>,
    function: String,
    args: Option<JsonTemplate>,
}

pub(super) fn read(fields: &mut Fields<'_>) -> Python {
    let script = PathField::read(fields, "script");
    match &script {
        Some(script) => {
            if let Some(text) = script.content_now(fields, "script") {
                fields.check_code("script", Language::Python, &text);
            }
        }
        None if fields.tree("script").is_none_or(|it| it.as_text().is_some_and(|it| it.trim().is_empty())) => {
            fields.missing("script");
        }
        None => {}
    }
    require_host(fields, "script", "Python on the host");
    let function = fields.text_not_blank("function").unwrap_or_else(|| "hook".to_owned());
    Python { script, function, args: read_args(fields) }
}

fn read_args(fields: &mut Fields<'_>) -> Option<JsonTemplate> {
    let tree = fields.tree("args")?;
    if !tree.is_map() {
        fields.problem("E402", "args", "`args` must be a mapping for a Python hook", "write `args: {name: value}`");
        return None;
    }
    let value = tree.to_json();
    refuse_secrets(fields, "args", &value.to_string());
    JsonTemplate::parse(&value)
        .map_err(|problem| {
            fields.problem("E602", "args", format!("template does not parse: {}", problem.message), problem.hint);
        })
        .ok()
}

impl Python {
    pub(super) async fn run(&self, cx: &NodeContext) -> Result<Output, Error> {
        cx.rights.require_host_code("Python on the host")?;
        let path = self.script.as_ref().ok_or_else(|| Error::internal("a python hook without a script"))?.render(cx)?;
        let bytes = cx.ports.files.read(&path, &cx.rights).await?;
        let source = String::from_utf8(bytes).map_err(|error| {
            Error::external("FILE_FAILED", format!("`{path}` is not UTF-8 text")).hint("save it as UTF-8").source(error)
        })?;
        let args = match &self.args {
            Some(args) => args.render(cx, &Map::new())?,
            None => Value::Null,
        };
        let args = args.as_object().cloned().unwrap_or_default();
        let with_args = |mut map: Map<String, Value>| {
            map.extend(args.clone());
            map
        };
        let job = CodeJob {
            language: Language::Python,
            runtime: Runtime::Host,
            source: source.into(),
            function_name: self.function.clone(),
            names: bindable(with_args(cx.names.all()), true),
            inputs: values(with_args(cx.names.inputs.to_map()), true),
            globals: cx.names.globals(),
            node_id: cx.node_id.to_string(),
            timeout: cx.timeout.unwrap_or(Duration::from_secs_f64(TIMEOUT_S)),
            now: None,
        };
        let result = cx.ports.code.run(job).await.map_err(|error| failed(&path, error))?;
        if !result.printed.is_empty() {
            cx.notes.log("info", result.printed);
        }
        Ok(Output::value(result.value))
    }
}

/// What the script raised is the hook's failure; everything else stays what it is.
fn failed(path: &str, error: Error) -> Error {
    if error.code() != "CODE_FAILED" {
        return error;
    }
    Error::external("HOOK_FAILED", format!("`{path}` failed: {}", error.message()))
        .hint(error.hint_text().unwrap_or("correct the script").to_owned())
        .cause(error.to_json())
}
