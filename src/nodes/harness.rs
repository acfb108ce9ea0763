//! For tests of node types: one node in a small diagram, with ports that keep everything in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use super::context::{CallCounter, History, Mode, NodeContext, Note, Notes};
use super::fields::{ChildFile, Fields, ReadContext, Surroundings};
use super::integrated_api::ProviderProblem;
use super::lookup::{Inputs, Names};
use super::ports::classes::Class;
use super::ports::commands::{CommandJob, CommandResult, Commands};
use super::ports::http::{Http, HttpReply, HttpRequest};
use super::ports::outline::{Outline, OutlineJob};
use super::ports::secrets::Secrets;
use super::ports::{
    CodeFacts, CodeJob, CodeResult, CodeRunner, Files, HostNeed, Language, Languages, ModelReply, ModelRequest, Models,
    Ports, RenderJob, SyntaxProblem, Truth,
};
use super::report::Reports;
use super::rights::{Origin, Rights};
use super::{Node, Outcome, Output, Retry, find};
use crate::clock::{TestClock, Timestamp};
use crate::diagram::{
    Connection, Diagnostic, Diagram, DiagramNode, Field, Format, Handle, NodeKind, Service, Settings, Span, Spanned,
    Tree, TreeKind,
};
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::integrations::{Manifest, read_to_use};
use crate::secret::{Scrubber, Secret};

/// One node, read and ready to run.
pub struct Harness {
    pub node: Box<dyn Node>,
    pub cx: NodeContext,
    pub files: Arc<MemoryFiles>,
    pub code: Arc<ScriptedCode>,
}

impl Harness {
    /// Reads a node of type `kind`; panics when its fields have errors.
    pub fn new(kind: NodeKind, fields: Value) -> Self {
        Self::with_rights(kind, fields, Rights::of(Origin::Local, true, false))
    }

    /// As [`Harness::new`], with the rights the diagram has.
    pub fn with_rights(kind: NodeKind, fields: Value, rights: Rights) -> Self {
        Self::in_diagram(&diagram(kind, fields), World { rights, ..World::default() })
    }

    /// Reads node 0 of `diagram`.
    pub fn in_diagram(diagram: &Diagram, world: World) -> Self {
        let rights = Arc::new(world.rights.clone());
        let cx = ReadContext { diagram, surroundings: &world };
        let mut fields = Fields::new(0, &cx);
        let kind = diagram.nodes[0].kind.expect("a known type");
        let node = (find(kind).expect("an implemented type").read)(&mut fields);
        let errors: Vec<_> = fields.finish().into_iter().filter(|it| it.code.starts_with('E')).collect();
        assert!(errors.is_empty(), "{errors:?}");
        let (files, code) = (Arc::new(MemoryFiles::default()), Arc::new(ScriptedCode::default()));
        let ports = Ports::closed(
            Arc::clone(&code) as Arc<dyn CodeRunner>,
            Arc::new(NoModels),
            Arc::clone(&files) as Arc<dyn Files>,
            Arc::new(TestClock::new(Timestamp(1_767_323_045_678))),
        );
        let started = vec![0; diagram.nodes.len()];
        let cx = NodeContext {
            execution_id: ExecutionId::parse(&format!("exec_{}", "0".repeat(32))).expect("an id"),
            node_id: "node_0".into(),
            label: "it".into(),
            iteration: 1,
            attempt: 1,
            started_at: Timestamp(1_767_323_045_678),
            names: Names { node_id: "node_0".into(), ..Names::default() },
            strict_templates: false,
            timeout: None,
            retry: Retry::NONE,
            retry_given: false,
            rights,
            ports: Arc::new(ports),
            persons: Arc::new([]),
            models_override: None,
            messages: Arc::default(),
            history: Arc::new(History { started: started.clone(), completed: started }),
            calls: Arc::new(CallCounter::default()),
            notes: Notes::default(),
            tokens: None,
            reports: Reports::default(),
            purse: None,
            items_done: Arc::default(),
            is_child: false,
            goes_on: false,
            mode: Mode::Full,
        };
        Self { node, cx, files, code }
    }

    /// Gives the node its inputs, by name.
    pub fn inputs(mut self, inputs: Value) -> Self {
        let mut all = Inputs::default();
        for (key, value) in map(inputs) {
            all.insert(key, Arc::new(value));
        }
        self.cx.names.inputs = all;
        self
    }

    /// Gives the execution its variables.
    pub fn variables(mut self, variables: Value) -> Self {
        self.cx.names.variables = Arc::new(map(variables));
        self
    }

    /// Puts a file into the workspace.
    pub fn file(self, path: &str, text: &str) -> Self {
        self.files.put(path, text.as_bytes());
        self
    }

    /// Runs the node to its output.
    pub async fn output(&self) -> Result<Output, Error> {
        match self.node.run(&self.cx).await? {
            Outcome::Done(output) => Ok(output),
            Outcome::Wait(question) => panic!("it asks {question:?}"),
        }
    }

    /// Runs the node and returns its value.
    pub async fn body(&self) -> Result<Value, Error> {
        self.output().await.map(|it| Value::clone(&it.body))
    }

    /// The names of the run's warnings so far.
    pub fn warned(&self) -> Vec<String> {
        let warnings = self.cx.notes.take().into_iter().filter_map(|it| match it {
            Note::Warning { code, name, .. } => Some(format!("{code} {name}")),
            Note::Log { .. } => None,
        });
        warnings.collect()
    }
}

/// Returns the codes that reading a node of these fields reports, for a local diagram.
pub fn codes(kind: NodeKind, fields: Value) -> Vec<&'static str> {
    diagnostics(&diagram(kind, fields), &World::default()).iter().map(|it| it.code).collect()
}

/// Returns what reading node 0 reports.
pub fn diagnostics(diagram: &Diagram, world: &World) -> Vec<Diagnostic> {
    let cx = ReadContext { diagram, surroundings: world };
    let mut fields = Fields::new(0, &cx);
    let kind = diagram.nodes[0].kind.expect("a known type");
    let node = (find(kind).expect("an implemented type").read)(&mut fields);
    fields.policy(node.as_ref());
    fields.finish()
}

/// A diagram of one node; fields that are null are left out.
pub fn diagram(kind: NodeKind, fields: Value) -> Diagram {
    Diagram {
        format: Format::Light,
        nodes: vec![node(0, kind, fields)],
        connections: Vec::new(),
        connection_count: 0,
        persons: Vec::new(),
        settings: Settings::default(),
        inputs: Vec::new(),
        tool: None,
        metadata: Map::new(),
    }
}

/// A node `node_<idx>` whose label is its id.
pub fn node(idx: usize, kind: NodeKind, fields: Value) -> DiagramNode {
    let fields = map(fields).into_iter().filter(|(_, value)| !value.is_null());
    let fields = fields.map(|(key, value)| Field { key, key_span: Span::default(), value: tree(value) }).collect();
    let id = format!("node_{idx}");
    DiagramNode { label: id.clone(), id, kind: Some(kind), position: None, fields, span: Span::default() }
}

/// A connection between the default handles.
pub fn connection(from: usize, to: usize) -> Connection {
    Connection {
        index: 0,
        id: format!("{from}-{to}"),
        from,
        output: Handle::Default,
        to,
        input: Handle::Default,
        label: None,
        content_type: None,
        data: None,
        execution_priority: None,
        span: Span::default(),
    }
}

/// JSON as a tree without places.
pub fn tree(value: Value) -> Tree {
    let kind = match value {
        Value::Null => TreeKind::Null,
        Value::Bool(it) => TreeKind::Bool(it),
        Value::Number(it) => TreeKind::Number(it),
        Value::String(it) => TreeKind::Text(it),
        Value::Array(items) => TreeKind::List(items.into_iter().map(tree).collect()),
        Value::Object(map) => TreeKind::Map(
            map.into_iter().map(|(key, it)| (Spanned { value: key, span: Span::default() }, tree(it))).collect(),
        ),
    };
    Tree { span: Span::default(), kind }
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().expect("a map")
}

/// What compiling sees of the world.
pub struct World {
    pub rights: Rights,
    pub files: BTreeMap<&'static str, &'static str>,
    /// Names of the secrets there are.
    pub secrets: &'static [&'static str],
}

impl Default for World {
    fn default() -> Self {
        Self { rights: Rights::of(Origin::Local, true, false), files: BTreeMap::new(), secrets: &[] }
    }
}

impl Surroundings for World {
    fn structure_only(&self) -> bool {
        false
    }

    fn rights(&self) -> &Rights {
        &self.rights
    }

    fn languages(&self) -> &dyn Languages {
        self
    }

    fn prompt_file(&self, name: &str) -> Result<String, Vec<String>> {
        self.file(name).ok_or_else(|| vec!["prompts/".to_owned()])
    }

    fn file(&self, path: &str) -> Option<String> {
        self.files.get(path).map(|it| (*it).to_owned())
    }

    fn child_diagram(&self, name: &str, _: Option<Format>) -> ChildFile {
        if self.files.contains_key(name) {
            return ChildFile::Found;
        }
        ChildFile::NotFound { places: vec!["examples".to_owned()], near: None }
    }

    fn has_key(&self, _: Service, _: Option<&str>) -> bool {
        false
    }

    fn has_secret(&self, name: &str) -> bool {
        self.secrets.contains(&name)
    }

    fn default_model(&self, _: Service) -> Option<String> {
        None
    }

    /// A provider is the file of its manifest.
    fn provider(&self, name: &str) -> Result<Arc<Manifest>, ProviderProblem> {
        let path = format!("integrations/{name}/provider.yaml");
        let text = self.files.get(path.as_str()).ok_or(ProviderProblem::Unknown)?;
        let read = read_to_use(text);
        let problem = read.diagnostics.first().map(|it| it.message.clone()).unwrap_or_default();
        read.manifest.map(Arc::new).ok_or(ProviderProblem::Invalid { path, problem })
    }

    fn provider_names(&self) -> Vec<String> {
        self.files.keys().filter_map(|it| it.split('/').nth(1)).map(str::to_owned).collect()
    }

    fn has_provider_key(&self, _: &Manifest, api_key_id: Option<&str>) -> bool {
        api_key_id == Some("known")
    }
}

/// Code that contains `BROKEN` does not parse; `import host` needs the host.
impl Languages for World {
    fn check_expression(&self, expression: &str) -> Result<(), SyntaxProblem> {
        self.check_code(Language::Python, expression).map(|_| ())
    }

    fn check_code(&self, _: Language, source: &str) -> Result<CodeFacts, SyntaxProblem> {
        if source.contains("BROKEN") {
            return Err(SyntaxProblem { message: "it is broken".to_owned(), line: 1, column: 1 });
        }
        let need = || HostNeed { what: "module `host`".to_owned(), line: 1 };
        Ok(CodeFacts { needs_host: source.contains("import host").then(need) })
    }

    fn read_classes(&self, _: &str) -> Result<Vec<Class>, SyntaxProblem> {
        Err(SyntaxProblem { message: "this world has no classes".to_owned(), line: 1, column: 1 })
    }
}

/// Files in memory.
#[derive(Default)]
pub struct MemoryFiles(Mutex<BTreeMap<String, Vec<u8>>>);

impl MemoryFiles {
    pub fn put(&self, path: &str, bytes: &[u8]) {
        self.0.lock().expect("no test panics with it").insert(path.to_owned(), bytes.to_owned());
    }

    pub fn text(&self, path: &str) -> Option<String> {
        let bytes = self.0.lock().expect("no test panics with it").get(path).cloned();
        bytes.map(|it| String::from_utf8(it).expect("text"))
    }

    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        self.0.lock().expect("no test panics with it").get(path).cloned()
    }

    pub fn paths(&self) -> Vec<String> {
        self.0.lock().expect("no test panics with it").keys().cloned().collect()
    }

    /// The text of the only file there is.
    pub fn only_text(&self) -> String {
        let paths = self.paths();
        assert_eq!(paths.len(), 1, "{paths:?}");
        self.text(&paths[0]).expect("it is there")
    }
}

impl Files for MemoryFiles {
    fn read<'a>(&'a self, path: &'a str, _: &'a Rights) -> BoxFuture<'a, Result<Vec<u8>, Error>> {
        let bytes = self.0.lock().expect("no test panics with it").get(path).cloned();
        Box::pin(async move { bytes.ok_or_else(|| Error::not_found("FILE_NOT_FOUND", format!("no `{path}`"))) })
    }

    fn write<'a>(&'a self, path: &'a str, bytes: &'a [u8], _: &'a Rights) -> BoxFuture<'a, Result<(), Error>> {
        self.put(path, bytes);
        Box::pin(async { Ok(()) })
    }

    fn remove<'a>(&'a self, path: &'a str, _: &'a Rights) -> BoxFuture<'a, Result<(), Error>> {
        self.0.lock().expect("no test panics with it").remove(path);
        Box::pin(async { Ok(()) })
    }

    fn glob<'a>(&'a self, pattern: &'a str, _: &'a Rights) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        let matcher = glob::Pattern::new(pattern).expect("a pattern");
        let found = self.paths().into_iter().filter(|it| matcher.matches(it)).collect();
        Box::pin(async move { Ok(found) })
    }

    fn exists<'a>(&'a self, path: &'a str, _: &'a Rights) -> BoxFuture<'a, bool> {
        let is_there = self.text(path).is_some();
        Box::pin(async move { is_there })
    }

    fn root(&self) -> PathBuf {
        PathBuf::from("workspace")
    }
}

impl Languages for ScriptedCode {
    fn check_expression(&self, expression: &str) -> Result<(), SyntaxProblem> {
        World::default().check_expression(expression)
    }

    fn check_code(&self, language: Language, source: &str) -> Result<CodeFacts, SyntaxProblem> {
        World::default().check_code(language, source)
    }

    fn read_classes(&self, source: &str) -> Result<Vec<Class>, SyntaxProblem> {
        World::default().read_classes(source)
    }
}

/// Gives prepared answers and keeps what it was asked.
#[derive(Default)]
pub struct ScriptedCode {
    pub answers: Mutex<Vec<Result<CodeResult, Error>>>,
    pub truths: Mutex<Vec<Result<Truth, Error>>>,
    pub jobs: Mutex<Vec<CodeJob>>,
    pub evaluated: Mutex<Vec<Map<String, Value>>>,
    pub outlines: Mutex<Vec<Result<Outline, Error>>>,
    pub outlined: Mutex<Vec<OutlineJob>>,
}

impl CodeRunner for ScriptedCode {
    fn run(&self, job: CodeJob) -> BoxFuture<'_, Result<CodeResult, Error>> {
        self.jobs.lock().expect("no test panics with it").push(job);
        let answer = self.answers.lock().expect("no test panics with it").remove(0);
        Box::pin(async move { answer })
    }

    fn evaluate<'a>(&'a self, _: &'a str, names: &'a Map<String, Value>) -> BoxFuture<'a, Result<Truth, Error>> {
        self.evaluated.lock().expect("no test panics with it").push(names.clone());
        let answer = self.truths.lock().expect("no test panics with it").remove(0);
        Box::pin(async move { answer })
    }

    fn render(&self, job: RenderJob) -> BoxFuture<'_, Result<String, Error>> {
        Box::pin(async move { super::template_job::render(&job) })
    }

    fn outline(&self, job: OutlineJob) -> BoxFuture<'_, Result<Outline, Error>> {
        self.outlined.lock().expect("no test panics with it").push(job);
        let answer = self.outlines.lock().expect("no test panics with it").remove(0);
        Box::pin(async move { answer })
    }
}

/// Gives prepared answers and keeps what it was sent.
#[derive(Default)]
pub struct ScriptedHttp {
    answers: Mutex<Vec<HttpReply>>,
    requests: Mutex<Vec<HttpRequest>>,
}

impl ScriptedHttp {
    pub fn of(answers: Vec<HttpReply>) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers), requests: Mutex::default() })
    }

    /// The first request it was sent.
    pub fn sent(&self) -> HttpRequest {
        self.requests.lock().expect("no test panics with it")[0].clone()
    }

    pub fn n_sent(&self) -> usize {
        self.requests.lock().expect("no test panics with it").len()
    }
}

impl Http for ScriptedHttp {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpReply, Error>> {
        self.requests.lock().expect("no test panics with it").push(request);
        let answer = self.answers.lock().expect("no test panics with it").remove(0);
        Box::pin(async move { Ok(answer) })
    }
}

/// Runs nothing, says what it was asked to run, and gives one prepared result.
#[derive(Default)]
pub struct ScriptedCommands {
    pub result: Mutex<CommandResult>,
    pub jobs: Mutex<Vec<CommandJob>>,
}

impl Commands for ScriptedCommands {
    fn run(&self, job: CommandJob) -> BoxFuture<'_, Result<CommandResult, Error>> {
        self.jobs.lock().expect("no test panics with it").push(job);
        let result = self.result.lock().expect("no test panics with it").clone();
        Box::pin(async move { Ok(result) })
    }
}

/// Secrets in memory.
#[derive(Default)]
pub struct MemorySecrets {
    all: BTreeMap<String, String>,
    scrubber: Scrubber,
}

impl MemorySecrets {
    pub fn of(secrets: &[(&str, &str)]) -> Arc<Self> {
        let all = secrets.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Arc::new(Self { all, scrubber: Scrubber::default() })
    }
}

impl Secrets for MemorySecrets {
    fn find(&self, name: &str) -> Result<Option<Secret>, Error> {
        let found = self.all.get(name).and_then(Secret::new);
        found.iter().for_each(|it| self.scrubber.add(it));
        Ok(found)
    }

    fn scrubber(&self) -> &Scrubber {
        &self.scrubber
    }
}

struct NoModels;

impl Models for NoModels {
    fn call(&self, _: ModelRequest) -> BoxFuture<'_, Result<ModelReply, Error>> {
        Box::pin(async { Err(Error::internal("no model in this test")) })
    }
}
