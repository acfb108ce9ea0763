//! Lets a model write a diagram: drafts, compiles and repairs, at most [`ROUNDS_MAX`] times.
//!
//! Each round is one execution of the built-in diagram `builtin/ask`; what the compiler says of a draft goes
//! into the next one. The loop stands here because compiling is no node.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::compile_diagram::{self, compile_diagram};
use super::control_execution::{self, control_execution};
use super::execution_object::{ExecutionObject, Waiting};
use super::run_diagram::{self, run_diagram};
use super::surroundings::World;
use super::workspace::name_of;
use super::{App, Caller, guide, present};
use crate::compile::report::{self, DiagnosticReport, Report};
use crate::config::sha256;
use crate::diagram::{Format, Service, parse};
use crate::engine::Status;
use crate::error::Error;
use crate::nodes::{Origin, Rights, Surroundings};
use crate::store::{NewRevision, Source};

/// Drafts that are made before giving up.
pub const ROUNDS_MAX: u32 = 3;
/// Under this name the rounds are listed as executions.
pub const NAME: &str = "builtin/ask";
/// The built-in diagram; its person's service is put in for each run.
const DIAGRAM: &str = include_str!("../../resources/builtin/ask.light.yaml");
/// Where diagrams are saved unless said otherwise.
const FOLDER: &str = "projects/generated";
/// Pages of the guide that the author reads.
const PAGES: [&str; 3] = ["light-format", "nodes", "persons-and-memory"];
/// Services that are looked at in this order when none is named.
const SERVICES: [Service; 3] = [Service::OpenAi, Service::Anthropic, Service::Gemini];

/// What to write, and who writes it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What the diagram is to do.
    pub text: String,
    /// The service of the author; the first one with a key when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub model: Option<String>,
    /// The file to write, below the workspace; a new one in `projects/generated` when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub out: Option<String>,
    /// Seconds one round may take (90).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timeout: Option<f64>,
}

/// The diagram that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    /// Relative to the workspace.
    pub path: String,
    /// Its name in the workspace.
    pub diagram: String,
    pub nodes: Vec<WrittenNode>,
    /// How many drafts it took.
    pub rounds: u32,
    /// The execution of each round.
    pub executions: Vec<String>,
}

/// A node of the written diagram.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WrittenNode {
    pub label: String,
    #[serde(rename = "type")]
    pub kind: String,
}

/// Answers for an author whose service is `caller`; `None` when nobody does.
pub type Answer<'a> = &'a mut (dyn FnMut(&Waiting) -> Result<Option<Value>, Error> + Send);

/// Has a diagram written and saves it. It counts as submitted, whoever asked: a model wrote it.
///
/// # Errors
///
/// `NO_MODEL` when no model can be asked, `INVALID_DIAGRAM` when the last draft still has errors (nothing is
/// saved then), `ALREADY_EXISTS`, `INVALID_NAME`, what the author's run failed with.
pub async fn ask_diagram(app: &App, caller: &Caller, request: Request, answer: Answer<'_>) -> Result<Response, Error> {
    if request.text.trim().is_empty() {
        return Err(Error::invalid("INVALID_INPUT", "nothing is asked for").hint("say what the diagram is to do"));
    }
    let author = author(app, &request)?;
    let place = place(app, caller, &request)?;
    let (mut executions, mut last) = (Vec::new(), None);
    for round in 1..=ROUNDS_MAX {
        let object = draft(app, caller, (&request, &author), last.as_ref(), answer).await?;
        executions.push(object.execution_id.clone());
        let text = diagram_in(&reply(&object)?);
        let report = check(app, &text).await?;
        if report.valid {
            save(app, caller, &place, &text).await?;
            let diagram = name_of(&place);
            return Ok(Response { nodes: nodes(&text), path: place, diagram, rounds: round, executions });
        }
        last = Some((text, report));
    }
    let report = last.map(|(_, report)| report);
    Err(given_up(report.as_ref(), &executions))
}

/// Who writes: service and model.
struct Author {
    service: Service,
    model: Option<String>,
}

fn author(app: &App, request: &Request) -> Result<Author, Error> {
    let rights = Rights::of(Origin::Local, false, false);
    let world = World::of(&app.config, (&app.languages, &app.ports), None, rights);
    let service = match &request.service {
        Some(name) => Service::parse(name).ok_or_else(|| {
            Error::invalid("INVALID_INPUT", format!("`{name}` is no service"))
                .hint("name openai, anthropic, gemini, ollama or caller")
        })?,
        None => SERVICES
            .into_iter()
            .find(|it| world.has_key(*it, None))
            .or_else(|| app.config.models.ollama_host.is_some().then_some(Service::Ollama))
            .ok_or_else(no_model)?,
    };
    let model = request.model.clone().or_else(|| world.default_model(service));
    Ok(Author { service, model })
}

fn no_model() -> Error {
    Error::external("NO_MODEL", "no model is configured: the variable `OPENAI_API_KEY` is not set").hint(
        "set it (or ANTHROPIC_API_KEY, GEMINI_API_KEY, OLLAMA_HOST with --model). Without a key an assistant writes \
         diagrams over MCP: `claude mcp add dipeo -- dipeo mcp`; `--service caller` asks you, here",
    )
}

impl Author {
    /// As persons of a diagram are written.
    fn words(&self) -> String {
        let model = self.model.as_ref().map(|it| format!(", model: {it}")).unwrap_or_default();
        format!("`service: {}{model}`", self.service.name())
    }

    /// The built-in diagram with this author.
    fn diagram(&self) -> String {
        let model = self.model.as_ref().map(|it| format!("\n    model: {}", json!(it))).unwrap_or_default();
        DIAGRAM.replacen("    service: openai", &format!("    service: {}{model}", self.service.name()), 1)
    }
}

/// Where the diagram will be saved, relative to the workspace.
fn place(app: &App, caller: &Caller, request: &Request) -> Result<String, Error> {
    let root = &app.config.workspace;
    let Some(out) = &request.out else {
        let slug = slug(&request.text);
        let names = (1..).map(|n: u32| if n == 1 { slug.clone() } else { format!("{slug}-{n}") });
        let mut places = names.map(|it| format!("{FOLDER}/{it}{}", Format::Light.suffix()));
        return Ok(places.find(|it| !root.join(it).exists()).unwrap_or_default());
    };
    let path = match caller {
        Caller::Terminal { working_dir } => working_dir.join(out),
        Caller::Client(_) => root.join(out),
    };
    let below = path.strip_prefix(root).ok().map(|it| it.to_string_lossy().into_owned());
    let is_light = |it: &String| it.ends_with(".yaml") || it.ends_with(".yml");
    let Some(relative) = below.filter(is_light) else {
        return Err(Error::invalid("INVALID_INPUT", format!("`{out}` is no place for a diagram"))
            .hint("name a file of the workspace that ends in `.light.yaml`"));
    };
    super::workspace::check_relative(&relative)?;
    if path.exists() {
        return Err(Error::conflict("ALREADY_EXISTS", format!("`{out}` is there already")).hint("name another file"));
    }
    Ok(relative)
}

/// The first words of what was asked, as a file name.
fn slug(text: &str) -> String {
    let lower = text.to_lowercase();
    let words = lower.split(|it: char| !it.is_ascii_alphanumeric()).filter(|it| !it.is_empty());
    let mut slug = String::new();
    for word in words.take(8) {
        if slug.len() + word.len() > 48 {
            break;
        }
        slug.push_str(if slug.is_empty() { "" } else { "-" });
        slug.push_str(word);
    }
    if slug.is_empty() { "diagram".to_owned() } else { slug }
}

/// Runs one round to its end, asking whoever answers for a `caller`.
async fn draft(
    app: &App,
    caller: &Caller,
    (request, author): (&Request, &Author),
    last: Option<&(String, Report)>,
    answer: Answer<'_>,
) -> Result<ExecutionObject, Error> {
    let pages: Vec<&str> = PAGES.iter().filter_map(|it| guide::find(it)).map(|it| it.text).collect();
    let mut inputs = Map::new();
    inputs.insert("request".into(), request.text.clone().into());
    inputs.insert("guide".into(), pages.join("\n\n").into());
    inputs.insert("person".into(), author.words().into());
    if let Some((text, report)) = last {
        inputs.insert("draft".into(), text.clone().into());
        inputs.insert("problems".into(), problems(&report.errors).into());
    }
    let run = run_diagram::Request {
        content: Some(author.diagram()),
        input_data: Some(inputs),
        timeout: Some(request.timeout.unwrap_or(90.0)),
        ..Default::default()
    };
    let extras = run_diagram::Extras {
        unbounded_wait: true,
        listed_as: Some(NAME.to_owned()),
        ..run_diagram::Extras::default()
    };
    let mut object = run_diagram(app, caller, run, extras, Default::default()).await?;
    while let (Status::Paused, Some(waiting)) = (object.status, object.waiting_for.first()) {
        let given = answer(waiting)?;
        let is_answered = given.is_some();
        let control = control_execution::Request {
            execution_id: object.execution_id.clone(),
            action: if is_answered { "answer".into() } else { "abort".into() },
            value: given,
            ..Default::default()
        };
        object = control_execution(app, caller, control, Default::default()).await?;
        if !is_answered {
            return Err(Error::external("NO_MODEL", "nobody answered for the author of the diagram")
                .hint("answer at a terminal, or name another `--service`"));
        }
    }
    Ok(object)
}

/// The compiler's words as a list that a model can work through.
fn problems(errors: &[DiagnosticReport]) -> String {
    let line = |it: &DiagnosticReport| {
        let hint = it.hint.as_ref().map(|it| format!(" ({it})")).unwrap_or_default();
        format!("- line {}: {} {}{hint}\n  {}", it.line, it.code, it.message, it.excerpt.trim())
    };
    errors.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What the author said.
fn reply(object: &ExecutionObject) -> Result<String, Error> {
    let result = object.outputs.as_ref().and_then(present::result_of);
    if let (Status::Completed, Some(Value::String(text))) = (object.status, result) {
        return Ok(text);
    }
    let error = object.error.clone().unwrap_or_default();
    let text = |key: &str| error.get(key).and_then(Value::as_str).map(str::to_owned);
    let message = text("message").unwrap_or_else(|| format!("the run ended as {}", object.status.name()));
    let code = if error["code"] == "NO_MODEL" { "NO_MODEL" } else { "LLM_FAILED" };
    Err(Error::new(crate::error::ErrorKind::External, code, format!("the author of the diagram failed: {message}"))
        .hint(text("hint").unwrap_or_else(|| format!("see `dipeo results {}`", object.execution_id)))
        .details(json!({"execution_id": object.execution_id, "error": error})))
}

/// The diagram in a reply: its first fenced block, else all of it.
fn diagram_in(reply: &str) -> String {
    let fenced = reply.split_once("```").and_then(|(_, rest)| rest.split_once('\n'));
    let inside = fenced.map(|(_, body)| body.split("\n```").next().unwrap_or(body));
    format!("{}\n", inside.unwrap_or(reply).trim_matches('\n'))
}

/// Compiles a draft with the rights it will have: those of a submitted text.
async fn check(app: &App, text: &str) -> Result<Report, Error> {
    let request = compile_diagram::Request {
        content: text.to_owned(),
        format_type: Some(Format::Light.name().to_owned()),
        ..Default::default()
    };
    Ok(compile_diagram(app, &Caller::owner_client(), request, Default::default()).await?.report)
}

async fn save(app: &App, caller: &Caller, place: &str, text: &str) -> Result<(), Error> {
    let new = NewRevision {
        diagram_id: name_of(place),
        source: Source { sha256: sha256(text), format: Format::Light.name().to_owned(), content: text.to_owned() },
        message: None,
        author: Some(caller.by()),
        submitted: true,
    };
    app.store()?.save_revision(new).await?;
    app.ports.files.write(place, text.as_bytes(), &Rights::of(Origin::Local, false, false)).await
}

fn nodes(text: &str) -> Vec<WrittenNode> {
    let diagram = parse(text, Some(Format::Light)).diagram;
    let kind = |it: Option<crate::diagram::NodeKind>| it.map_or("", |it| it.name()).to_owned();
    diagram.into_iter().flat_map(|it| it.nodes).map(|it| WrittenNode { label: it.label, kind: kind(it.kind) }).collect()
}

fn given_up(report: Option<&Report>, executions: &[String]) -> Error {
    let Some(report) = report else { return Error::internal("no draft was made") };
    let shown = executions.last().map_or("", String::as_str);
    let invalid = report::invalid(report);
    Error::invalid(
        "INVALID_DIAGRAM",
        format!("the draft of round {ROUNDS_MAX} still has errors: {}", invalid.message()),
    )
    .hint(format!("nothing was saved; `dipeo results {shown} --verbose` shows the drafts; ask for less at once"))
    .details(json!({"executions": executions, "errors": report.errors}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_after_the_first_words() {
        for (text, expected) in [
            ("Summarise my inbox, please!", "summarise-my-inbox-please"),
            ("  ", "diagram"),
            ("../../etc/passwd", "etc-passwd"),
            ("\u{65e5}\u{672c}", "diagram"),
        ] {
            assert_eq!(slug(text), expected, "{text}");
        }
        assert!(slug(&"word ".repeat(50)).len() <= 48);
    }

    #[test]
    fn the_diagram_is_the_first_fenced_block_or_all() {
        for (reply, expected) in [
            ("a: 1", "a: 1\n"),
            ("Here:\n```yaml\na: 1\nb: 2\n```\nDone.", "a: 1\nb: 2\n"),
            ("```\na: 1", "a: 1\n"),
            ("```", "```\n"),
        ] {
            assert_eq!(diagram_in(reply), expected, "{reply}");
        }
    }
}
