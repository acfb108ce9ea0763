//! `hook`: runs a program, calls or waits for a web address, runs a Python file, or writes a file
//! (diagrams.md 2.9). Each kind has a file of its own.

mod file;
mod python;
mod shell;
mod subscribe;
mod web;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::http_call::METHODS;
use super::{Effect, FieldSpec, Fields, Node, NodeContext, NodeType, Outcome, Preset, Question, Shape};
use crate::diagram::{Diagnostic, NodeKind};
use crate::error::Error;

pub(super) static TYPE: NodeType = NodeType {
    kind: NodeKind::Hook,
    summary: "Runs a program, calls or waits for a web address, or writes a file.",
    fields: &[
        FieldSpec::new("hook_type", Shape::Choice(KINDS), "What it does.").or(Preset::Text("shell")),
        FieldSpec::new("command", Shape::Template, "shell: the command line, or with `args` the program."),
        FieldSpec::new("args", Shape::Any, "shell: arguments, passed without a shell; python: a map of arguments."),
        FieldSpec::new("cwd", Shape::Path, "shell: the folder to run in; the workspace if absent."),
        FieldSpec::new("env", Shape::Map, "shell: variables of the environment."),
        FieldSpec::new("url", Shape::Template, "http: the address."),
        FieldSpec::new("method", Shape::Choice(METHODS), "http: what to ask of it.").or(Preset::Text("POST")),
        FieldSpec::new("headers", Shape::Map, "http: headers by name."),
        FieldSpec::new("body", Shape::Any, "http: what to send; the inputs if absent."),
        FieldSpec::new(
            "subscribe_to",
            Shape::Map,
            "http: wait for a webhook, `{provider, event_name, timeout, filters}`.",
        ),
        FieldSpec::new("script", Shape::Path, "python: the file."),
        FieldSpec::new("function", Shape::Text, "python: the function to call.").or(Preset::Text("hook")),
        FieldSpec::new("file_path", Shape::Path, "file: where to write."),
        FieldSpec::new("format", Shape::Choice(&["json", "yaml", "text"]), "file: how to write.")
            .or(Preset::Text("json")),
    ],
    read,
};

const KINDS: &[&str] = &["shell", "http", "python", "file"];
/// Fields of each kind; beside another kind they have no effect.
const FIELDS: [(&str, &[&str]); 4] = [
    ("shell", &["command", "args", "cwd", "env"]),
    ("http", &["url", "method", "headers", "body", "subscribe_to"]),
    ("python", &["script", "function", "args"]),
    ("file", &["file_path", "format"]),
];
/// Time limit of one attempt when the node gives none, in seconds (diagrams.md 2.9).
const TIMEOUT_S: f64 = 60.0;

enum Hook {
    Shell(shell::Shell),
    Web(web::Web),
    Subscribe(subscribe::Subscribe),
    Python(python::Python),
    File(file::File),
}

fn read(fields: &mut Fields<'_>) -> Box<dyn Node> {
    let kind = fields.choice("hook_type", KINDS).unwrap_or("shell");
    report_without_effect(fields, kind);
    Box::new(match kind {
        "http" if fields.tree("subscribe_to").is_some() => Hook::Subscribe(subscribe::read(fields)),
        "http" => Hook::Web(web::read(fields)),
        "python" => Hook::Python(python::read(fields)),
        "file" => Hook::File(file::read(fields)),
        _ => Hook::Shell(shell::read(fields)),
    })
}

/// Says what has no effect beside `kind`: W402. Editors write blank fields of every kind.
fn report_without_effect(fields: &mut Fields<'_>, kind: &str) {
    let own = FIELDS.iter().find(|(it, _)| *it == kind).map_or(&[] as &[&str], |(_, own)| own);
    let all = FIELDS.iter().flat_map(|(_, keys)| keys.iter().copied());
    for key in all {
        let preset = TYPE.fields.iter().find(|it| it.key == key).and_then(|it| it.preset.value());
        let is_blank = |it: &crate::diagram::Tree| it.as_text().is_some_and(|it| it.trim().is_empty());
        let says_something = fields.tree(key).is_some_and(|it| !is_blank(it) && preset.as_ref() != Some(&it.to_json()));
        if !own.contains(&key) && says_something {
            let message = format!("`{key}` has no effect on a hook of type {kind}");
            fields.problem("W402", key, message, format!("remove it, or choose another `hook_type` than {kind}"));
        }
    }
}

/// Reports E701 when the diagram may not start programs; `key` names what needs it.
fn require_host(fields: &mut Fields<'_>, key: &'static str, what: &str) {
    if let Err(refusal) = fields.context().surroundings.rights().require_host_code(what) {
        let span = fields.node().field(key).map_or(fields.node().span, |it| it.span);
        let hint = refusal.hint_text().unwrap_or_default();
        fields.report(Diagnostic::new("E701", span, refusal.message()).field(key).hint(hint));
    }
}

/// Reports a reference to a secret where every program of the machine could read it.
fn refuse_secrets(fields: &mut Fields<'_>, key: &'static str, text: &str) {
    if text.contains("${secret:") {
        let message = "a secret does not belong on a command line, which every program of this machine can read";
        fields.problem("E403", key, message, "put it into `env` and use that variable in the command");
    }
}

/// What http and file hooks send when nothing else is said.
fn envelope(cx: &NodeContext) -> serde_json::Map<String, Value> {
    let mut map = serde_json::Map::new();
    map.insert("inputs".to_owned(), Value::Object(cx.names.inputs.to_map()));
    map.insert("node_id".to_owned(), cx.label.to_string().into());
    map
}

impl Node for Hook {
    fn effect(&self) -> Effect {
        Effect::Outside
    }

    fn mocked(&self, _: &str) -> Option<Value> {
        match self {
            Self::Shell(_) | Self::Web(_) | Self::Python(_) => Some(json!({"mock": true})),
            Self::Subscribe(_) | Self::File(_) => None,
        }
    }

    fn timeout_default(&self) -> Option<f64> {
        Some(TIMEOUT_S)
    }

    fn run<'a>(&'a self, cx: &'a NodeContext) -> BoxFuture<'a, Result<Outcome, Error>> {
        Box::pin(async move {
            match self {
                Self::Shell(it) => it.run(cx).await.map(Outcome::Done),
                Self::Web(it) => it.run(cx).await.map(Outcome::Done),
                Self::Python(it) => it.run(cx).await.map(Outcome::Done),
                Self::File(it) => it.run(cx).await.map(Outcome::Done),
                Self::Subscribe(it) => it.ask(cx).map(|it| Outcome::Wait(Box::new(it))),
            }
        })
    }

    fn check_answer(&self, question: &Question, answer: Value) -> Result<Value, Error> {
        subscribe::check(question, answer)
    }

    fn resume<'a>(
        &'a self,
        _: &'a NodeContext,
        question: &'a Question,
        answer: Value,
    ) -> BoxFuture<'a, Result<Outcome, Error>> {
        Box::pin(async move { Ok(Outcome::Done(subscribe::payload(question, answer))) })
    }

    fn expire(&self, question: &Question) -> Result<Outcome, Error> {
        Err(subscribe::expired(question))
    }
}

#[cfg(test)]
mod tests;
