//! `code_job`: runs Python, JavaScript, TypeScript or shell code over its inputs (diagrams.md 2.4).
//! Where it runs is decided here; the `CodeRunner` port runs it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};

use super::lookup::look_into;
use super::paths::PathField;
use super::ports::{CodeJob, HostNeed, Language, Runtime};
use super::{Effect, FieldSpec, Fields, Node, NodeContext, NodeType, Outcome, Output, Preset, Shape};
use crate::diagram::{Diagnostic, NodeKind};
use crate::error::Error;
use crate::limits;

pub(super) static TYPE: NodeType = NodeType {
    kind: NodeKind::CodeJob,
    summary: "Runs code over its inputs and publishes what it returns.",
    fields: &[
        FieldSpec::new(
            "language",
            Shape::Choice(&["python", "typescript", "javascript", "bash", "shell"]),
            "The language of the code.",
        )
        .or(Preset::Text("python")),
        FieldSpec::new("code", Shape::Text, "The code itself; it wins over `file_path`."),
        FieldSpec::new("file_path", Shape::Path, "The file that holds the code."),
        FieldSpec::new("function_name", Shape::Text, "The function to call when the code assigns no `result`.")
            .or(Preset::Text("main")),
        FieldSpec::new(
            "runtime",
            Shape::Choice(&["sandbox", "host"]),
            "Where the code runs; where its imports allow it, if absent.",
        ),
        FieldSpec::new(
            "parse_json",
            Shape::Bool,
            "Whether inputs that are JSON texts are given as the objects they hold.",
        )
        .or(Preset::Bool(true)),
    ],
    read,
};

/// Names that code always has and inputs cannot take.
const SPECIAL_NAMES: [&str; 4] = ["inputs", "globals", "node_id", "result"];

struct Code {
    language: Language,
    source: Source,
    function_name: String,
    placement: Placement,
    parse_json: bool,
}

enum Source {
    Inline(Arc<str>),
    File(PathField),
    /// Neither was given; the diagram does not run.
    None,
}

/// Where the code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placement {
    Fixed(Runtime),
    /// A file may change until it is read: the sandbox first, the host if the sandbox refuses and the
    /// diagram may.
    SandboxFirst,
}

fn read(fields: &mut Fields<'_>) -> Box<dyn Node> {
    let language = match fields.choice("language", &["python", "typescript", "javascript", "bash", "shell"]) {
        Some("typescript") => Language::TypeScript,
        Some("javascript") => Language::JavaScript,
        Some("bash") => Language::Bash,
        Some("shell") => Language::Shell,
        _ => Language::Python,
    };
    let wanted = match fields.choice("runtime", &["sandbox", "host"]) {
        Some("sandbox") => Some(Runtime::Sandbox),
        Some(_) => Some(Runtime::Host),
        None => None,
    };
    let (source, key, text) = read_source(fields);
    let need = text.and_then(|text| fields.check_code(key, language, &text)).and_then(|it| it.needs_host);
    let is_file = matches!(source, Source::File(_));
    Box::new(Code {
        language,
        source,
        function_name: fields.text_not_blank("function_name").unwrap_or_else(|| "main".to_owned()),
        placement: place(fields, language, wanted, need, (key, is_file)),
        parse_json: fields.boolean("parse_json", true),
    })
}

/// Returns where the code is, the field it stands in, and its text as far as it is known now.
fn read_source(fields: &mut Fields<'_>) -> (Source, &'static str, Option<String>) {
    let path = PathField::read(fields, "file_path");
    if let Some(code) = fields.text_not_blank("code") {
        if looks_like_path(&code) {
            let hint = format!("to run the file write `file_path: {}`; `code` is always code", code.trim());
            fields.problem("W404", "code", format!("`{}` looks like a path", code.trim()), hint);
        }
        return (Source::Inline(code.as_str().into()), "code", Some(code));
    }
    if let Some(path) = path {
        let text = path.content_now(fields, "file_path");
        return (Source::File(path), "file_path", text);
    }
    if fields.tree("file_path").is_none() {
        fields.missing("code");
    }
    (Source::None, "code", None)
}

/// Chooses where the code runs and reports E701 when the diagram may not run it there.
fn place(
    fields: &mut Fields<'_>,
    language: Language,
    wanted: Option<Runtime>,
    need: Option<HostNeed>,
    (key, is_file): (&'static str, bool),
) -> Placement {
    let is_shell = matches!(language, Language::Bash | Language::Shell);
    let placement = match (wanted, &need) {
        (Some(Runtime::Sandbox), _) if is_shell => {
            let message = format!("{} does not run in the sandbox", language.name());
            fields.problem("E403", "runtime", message, "remove `runtime`, or write the code in Python or JavaScript");
            return Placement::Fixed(Runtime::Host);
        }
        (Some(Runtime::Sandbox), Some(need)) => {
            let message = format!("{} on line {} of the code does not run in the sandbox", need.what, need.line);
            fields.problem("E701", key, message, "remove `runtime: sandbox`, or do without it");
            return Placement::Fixed(Runtime::Sandbox);
        }
        (Some(runtime), _) => Placement::Fixed(runtime),
        (None, _) if is_shell => Placement::Fixed(Runtime::Host),
        (None, Some(_)) => Placement::Fixed(Runtime::Host),
        (None, None) if is_file => Placement::SandboxFirst,
        (None, None) => Placement::Fixed(Runtime::Sandbox),
    };
    let rights = fields.context().surroundings.rights();
    if placement == Placement::Fixed(Runtime::Host) && !rights.host_code {
        let what = match need {
            Some(need) => format!("{} on line {} of the code needs the host's interpreter", need.what, need.line),
            None => format!("{} code needs the host", language.name()),
        };
        let message = format!("{what}, which a {} diagram may not use", rights.origin.name());
        let span = fields.node().field(key).map_or(fields.node().span, |it| it.span);
        let hint = rights.host_code_setting();
        fields.report(Diagnostic::new("E701", span, message).field(key).hint(hint));
    }
    placement
}

/// Whether a code is only the path of a file.
fn looks_like_path(code: &str) -> bool {
    let code = code.trim();
    let has_suffix = [".py", ".js", ".mjs", ".ts", ".sh", ".bash"].iter().any(|it| code.ends_with(it));
    has_suffix && code.chars().all(|it| it.is_alphanumeric() || matches!(it, '/' | '\\' | '.' | '_' | '-' | ' ' | '~'))
}

impl Node for Code {
    fn effect(&self) -> Effect {
        match self.placement {
            Placement::Fixed(Runtime::Sandbox) => Effect::None,
            Placement::Fixed(Runtime::Host) | Placement::SandboxFirst => Effect::Outside,
        }
    }

    fn reads(&self) -> bool {
        matches!(self.source, Source::File(_))
    }

    fn mocked(&self, _: &str) -> Option<Value> {
        (self.effect() == Effect::Outside).then(|| json!({"mock": true}))
    }

    fn timeout_default(&self) -> Option<f64> {
        Some(limits::CODE_TIMEOUT_S)
    }

    fn run<'a>(&'a self, cx: &'a NodeContext) -> BoxFuture<'a, Result<Outcome, Error>> {
        Box::pin(async move {
            let source = self.source(cx).await?;
            let (runtime, result) = match self.placement {
                Placement::Fixed(runtime) => (runtime, self.run_in(runtime, source, cx).await?),
                Placement::SandboxFirst => match self.run_in(Runtime::Sandbox, Arc::clone(&source), cx).await {
                    Err(error) if error.code() == "TRUST_REQUIRED" && cx.rights.host_code => {
                        (Runtime::Host, self.run_in(Runtime::Host, source, cx).await?)
                    }
                    done => (Runtime::Sandbox, done?),
                },
            };
            let mut output = Output::value(result);
            let name = if runtime == Runtime::Host { "host" } else { "sandbox" };
            output.meta.insert("runtime".to_owned(), name.into());
            Ok(Outcome::Done(output))
        })
    }
}

impl Code {
    async fn source(&self, cx: &NodeContext) -> Result<Arc<str>, Error> {
        let path = match &self.source {
            Source::Inline(source) => return Ok(Arc::clone(source)),
            Source::File(path) => path.render(cx)?,
            Source::None => return Err(Error::internal("a code_job without code")),
        };
        let bytes = cx.ports.files.read(&path, &cx.rights).await?;
        let text = String::from_utf8(bytes).map_err(|error| {
            Error::external("FILE_FAILED", format!("`{path}` is not UTF-8 text"))
                .hint("save the code as UTF-8")
                .source(error)
        })?;
        Ok(text.into())
    }

    async fn run_in(&self, runtime: Runtime, source: Arc<str>, cx: &NodeContext) -> Result<Value, Error> {
        if runtime == Runtime::Host {
            cx.rights.require_host_code(&format!("{} code on the host", self.language.name()))?;
        }
        // A shell gets texts as they are; the others want what is in them.
        let parse_json = self.parse_json && !matches!(self.language, Language::Bash | Language::Shell);
        let job = CodeJob {
            language: self.language,
            runtime,
            source,
            function_name: self.function_name.clone(),
            names: bindable(cx.names.all(), parse_json),
            inputs: values(cx.names.inputs.to_map(), parse_json),
            globals: cx.names.globals(),
            node_id: cx.node_id.to_string(),
            timeout: cx.timeout.unwrap_or(Duration::from_secs_f64(limits::CODE_TIMEOUT_S)),
            now: Some(cx.started_at),
        };
        let result = cx.ports.code.run(job).await?;
        if !result.printed.is_empty() {
            cx.notes.log("info", result.printed);
        }
        Ok(result.value)
    }
}

/// Returns the names of `map` that code can be given as variables, looked into as [`values`] does.
pub(super) fn bindable(map: Map<String, Value>, parse_json: bool) -> Map<String, Value> {
    let mut names = values(map, parse_json);
    names.retain(|name, _| is_identifier(name) && !SPECIAL_NAMES.contains(&name.as_str()));
    names
}

/// Returns `map` with JSON texts of objects and lists replaced by what they hold, if that is wanted.
pub(super) fn values(mut map: Map<String, Value>, parse_json: bool) -> Map<String, Value> {
    if parse_json {
        for value in map.values_mut() {
            if let std::borrow::Cow::Owned(inside) = look_into(value) {
                *value = inside;
            }
        }
    }
    map
}

/// Whether `name` can be a variable in every language; the runtimes leave out their own keywords.
fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|it| it.is_alphabetic() || it == '_') && chars.all(|it| it.is_alphanumeric() || it == '_')
}

#[cfg(test)]
mod tests {
    use super::super::harness::{Harness, World, codes, diagnostics, diagram};
    use super::super::ports::CodeResult;
    use super::super::rights::{Origin, Rights};
    use super::*;

    fn submitted() -> Rights {
        Rights::of(Origin::Submitted, true, false)
    }

    fn answer(harness: &Harness, answer: Result<Value, Error>) {
        let answer = answer.map(|value| CodeResult { value, printed: "said\n".to_owned() });
        harness.code.answers.lock().expect("free").push(answer);
    }

    #[tokio::test]
    async fn code_is_given_names_inputs_and_globals() {
        let fields = json!({"code": "x", "function_name": "f"});
        let harness = Harness::new(NodeKind::CodeJob, fields)
            .inputs(json!({"default": {"b": 1}, "two words": 2, "m": "{\"a\": [1]}", "result": 9, "t": "plain"}))
            .variables(json!({"v": "[1]", "b": 0}));
        answer(&harness, Ok(json!(7)));
        let output = harness.output().await.expect("it runs");
        assert_eq!((&*output.body, &output.meta["runtime"]), (&json!(7), &json!("sandbox")));
        let job = harness.code.jobs.lock().expect("free").remove(0);
        let names = json!({"v": [1], "b": 1, "default": {"b": 1}, "m": {"a": [1]}, "t": "plain"});
        assert_eq!(Value::Object(job.names), names);
        assert_eq!(job.inputs["two words"], json!(2));
        assert_eq!(job.inputs["m"], json!({"a": [1]}));
        assert_eq!(job.globals["v"], json!("[1]"));
        assert_eq!((job.function_name.as_str(), job.timeout), ("f", Duration::from_secs(30)));
    }

    #[tokio::test]
    async fn a_shell_and_parse_json_false_get_texts_as_they_are() {
        for fields in [json!({"code": "x", "language": "bash"}), json!({"code": "x", "parse_json": false})] {
            let harness = Harness::new(NodeKind::CodeJob, fields).inputs(json!({"m": "[1]"}));
            answer(&harness, Ok(json!(null)));
            harness.output().await.expect("it runs");
            assert_eq!(harness.code.jobs.lock().expect("free")[0].inputs["m"], json!("[1]"));
        }
    }

    #[test]
    fn the_place_follows_the_runtime_the_needs_and_the_rights() {
        for (fields, local, submitted_code) in [
            (json!({"code": "x"}), Effect::None, None),
            (json!({"code": "import host"}), Effect::Outside, Some("E701")),
            (json!({"code": "x", "runtime": "host"}), Effect::Outside, Some("E701")),
            (json!({"code": "x", "runtime": "sandbox"}), Effect::None, None),
            (json!({"code": "x", "language": "bash"}), Effect::Outside, Some("E701")),
            (json!({"code": "x", "language": "shell"}), Effect::Outside, Some("E701")),
        ] {
            assert_eq!(Harness::new(NodeKind::CodeJob, fields.clone()).node.effect(), local, "{fields}");
            let world = World { rights: submitted(), ..World::default() };
            let found = diagnostics(&diagram(NodeKind::CodeJob, fields.clone()), &world);
            assert_eq!(found.first().map(|it| it.code), submitted_code, "{fields}");
            for it in found {
                assert!(it.hint.is_some_and(|it| it.contains("dipeo trust")), "{fields}");
            }
        }
    }

    #[tokio::test]
    async fn code_of_a_file_goes_to_the_host_when_the_sandbox_refuses() {
        let harness = Harness::new(NodeKind::CodeJob, json!({"file_path": "files/x.py"})).file("files/x.py", "source");
        assert_eq!(harness.node.effect(), Effect::Outside);
        answer(&harness, Err(Error::refused("TRUST_REQUIRED", "module `host`")));
        answer(&harness, Ok(json!(1)));
        assert_eq!(harness.output().await.expect("it runs").meta["runtime"], json!("host"));
        assert_eq!(&*harness.code.jobs.lock().expect("free")[1].source, "source");

        let narrow = Harness::with_rights(NodeKind::CodeJob, json!({"file_path": "files/x.py"}), submitted());
        narrow.files.put("files/x.py", b"source");
        answer(&narrow, Err(Error::refused("TRUST_REQUIRED", "module `host`")));
        assert_eq!(narrow.output().await.expect_err("it may not").code(), "TRUST_REQUIRED");
    }

    #[test]
    fn diagnostics_name_each_mistake_once() {
        for (fields, expected) in [
            (json!({}), vec!["E401"]),
            (json!({"code": "  "}), vec!["E401"]),
            (json!({"code": "files/code/x.py"}), vec!["W404"]),
            (json!({"code": "BROKEN"}), vec!["E603"]),
            (json!({"code": "x", "language": "pyton"}), vec!["E403"]),
            (json!({"code": "x", "language": "bash", "runtime": "sandbox"}), vec!["E403"]),
            (json!({"code": "import host", "runtime": "sandbox"}), vec!["E701"]),
            (json!({"file_path": "files/none.py"}), vec!["W502"]),
            (json!({"file_path": "../x.py"}), vec!["E702"]),
            (json!({"code": "x", "file_path": "files/none.py"}), vec![]),
        ] {
            assert_eq!(codes(NodeKind::CodeJob, fields.clone()), expected, "{fields}");
        }
        let world = World { files: [("files/x.py", "BROKEN")].into(), ..World::default() };
        let found = diagnostics(&diagram(NodeKind::CodeJob, json!({"file_path": "files/x.py"})), &world);
        assert_eq!(found.iter().map(|it| it.code).collect::<Vec<_>>(), ["E603"]);
    }
}
