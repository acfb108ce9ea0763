//! For the tests of person_job: a conversation being had with a fake provider.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use serde_json::Value;

use super::shown;
use crate::clock::{TestClock, Timestamp};
use crate::diagram::{Connection, ContentType, Diagram, NodeKind, Person, Script, Service, Span, Spanned};
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::nodes::context::{CallCounter, History, Mode, Notes};
use crate::nodes::harness::{self, MemoryFiles, ScriptedCode, World};
use crate::nodes::memory::{Message, message_id};
use crate::nodes::person_job::TYPE;
use crate::nodes::ports::{ModelReply, ModelRequest, Models, Ports, Usage};
use crate::nodes::report::Reports;
use crate::nodes::{Fields, Inputs, Names, Node, NodeContext, Origin, Outcome, Output, ReadContext, Retry, Rights};

pub const EXECUTION: &str = "exec_00000000000000000000000000000001";

/// Answers calls from a list and keeps what it was sent.
#[derive(Default)]
pub struct FakeModels {
    replies: Mutex<VecDeque<String>>,
    pub requests: Mutex<Vec<ModelRequest>>,
    /// What else comes with the next reply.
    pub with: Mutex<ModelReply>,
}

impl Models for FakeModels {
    fn call(&self, request: ModelRequest) -> BoxFuture<'_, Result<ModelReply, Error>> {
        self.requests.lock().unwrap().push(request);
        let text = self.replies.lock().unwrap().pop_front().expect("a reply for every call");
        let usage = Usage { input: 10, output: 2, cached: 1 };
        let with = std::mem::take(&mut *self.with.lock().unwrap());
        let (model, finish_reason) = (Some("fake-1".to_owned()), Some("stop".to_owned()));
        Box::pin(async move { Ok(ModelReply { text, model, usage, finish_reason, ..with }) })
    }
}

pub fn person(id: &str, label: &str, service: Service, system_prompt: Option<&str>) -> Person {
    Person {
        id: id.to_owned(),
        label: label.to_owned(),
        service: Some(service),
        model: None,
        api_key_id: None,
        base_url: None,
        system_prompt: system_prompt.map(str::to_owned),
        prompt_file: None,
        temperature: Some(0.5),
        max_tokens: None,
        tools: None,
        budget: None,
        price: None,
        script: Script::default(),
        span: Span::default(),
    }
}

/// A diagram of one person_job with these fields, these labelled inputs and one output.
pub fn diagram(persons: &[Arc<Person>], fields: &Value, inputs: &[&str], asked: Option<ContentType>) -> Diagram {
    let named = |label: &str| Connection {
        label: Some(Spanned { value: label.to_owned(), span: Span::default() }),
        ..harness::connection(1, 0)
    };
    let mut diagram = harness::diagram(NodeKind::PersonJob, fields.clone());
    diagram.persons = persons.iter().map(|it| Person::clone(it)).collect();
    diagram.connections = inputs.iter().map(|it| named(it)).collect();
    diagram.connections.push(Connection { content_type: asked, ..harness::connection(0, 1) });
    diagram
}

/// The diagnostics of a node with these fields: `CODE field`, sorted.
pub fn problems(fields: Value, inputs: &[&str]) -> String {
    let persons = ["Ann", "Ben"].map(|it| Arc::new(person(it, it, Service::Scripted, None)));
    read(&diagram(&persons, &fields, inputs, None)).1
}

/// Reads node 0; the files `hello.txt` and `schema.json` are there.
pub fn read(diagram: &Diagram) -> (Box<dyn Node>, String) {
    let files = [("hello.txt", "hello from a file"), ("schema.json", r#"{"type": "object", "required": ["a"]}"#)];
    let world = World { files: BTreeMap::from(files), ..World::default() };
    let cx = ReadContext { diagram, surroundings: &world };
    let mut fields = Fields::new(0, &cx);
    let node = (TYPE.read)(&mut fields);
    let found = fields.finish().into_iter();
    let mut found: Vec<_> = found.map(|it| format!("{} {}", it.code, it.field.unwrap_or_default())).collect();
    found.sort();
    (node, found.join(", "))
}

/// A conversation being had: persons, what was said, and the fake provider.
pub struct Talk {
    pub persons: Vec<Arc<Person>>,
    pub messages: Vec<Message>,
    pub models: Arc<FakeModels>,
    pub notes: Notes,
    pub models_override: Option<Service>,
    calls: Arc<CallCounter>,
}

impl Talk {
    pub fn new(persons: Vec<Person>, replies: &[&str]) -> Self {
        let models = FakeModels::default();
        models.replies.lock().unwrap().extend(replies.iter().map(|it| (*it).to_owned()));
        Self {
            persons: persons.into_iter().map(Arc::new).collect(),
            messages: Vec::new(),
            models: Arc::new(models),
            notes: Notes::default(),
            models_override: None,
            calls: Arc::default(),
        }
    }

    /// The surroundings of a run; the file `late.json` is there by now.
    pub fn context(&self, label: &str, iteration: u32, inputs: Value) -> NodeContext {
        let mut named = Inputs::default();
        for (key, value) in inputs.as_object().expect("inputs are a map") {
            named.insert(key, Arc::new(value.clone()));
        }
        let files = MemoryFiles::default();
        files.put("late.json", br#"{"type": "object", "required": ["a"]}"#);
        let ports = Ports::closed(
            Arc::new(ScriptedCode::default()),
            Arc::clone(&self.models) as Arc<dyn Models>,
            Arc::new(files),
            Arc::new(TestClock::new(Timestamp(0))),
        );
        NodeContext {
            execution_id: execution(),
            node_id: label.into(),
            label: label.into(),
            iteration,
            attempt: 1,
            started_at: Timestamp(0),
            names: Names { inputs: named, node_id: label.into(), ..Names::default() },
            strict_templates: false,
            timeout: None,
            retry: Retry::NONE,
            retry_given: false,
            rights: Arc::new(Rights::of(Origin::Local, false, false)),
            ports: Arc::new(ports),
            persons: self.persons.clone().into(),
            models_override: self.models_override,
            messages: Arc::new(self.messages.clone()),
            history: Arc::new(History::default()),
            calls: Arc::clone(&self.calls),
            notes: self.notes.clone(),
            tokens: None,
            reports: Reports::default(),
            purse: None,
            items_done: Arc::default(),
            is_child: false,
            goes_on: false,
            mode: Mode::Full,
        }
    }

    /// A node whose connection asks for a conversation.
    pub fn node(&self, fields: &Value, inputs: &Value) -> Box<dyn Node> {
        let labels: Vec<&str> = inputs.as_object().expect("inputs are a map").keys().map(String::as_str).collect();
        let (node, found) = read(&diagram(&self.persons, fields, &labels, Some(ContentType::ConversationState)));
        assert!(!found.contains('E'), "{found}");
        node
    }

    pub async fn try_run(
        &mut self,
        label: &str,
        iteration: u32,
        fields: Value,
        inputs: Value,
    ) -> Result<Output, Error> {
        let node = self.node(&fields, &inputs);
        match node.run(&self.context(label, iteration, inputs)).await? {
            Outcome::Done(output) => Ok(self.stored(label, iteration, output)),
            Outcome::Wait(question) => panic!("nobody to ask: {question:?}"),
        }
    }

    pub async fn run(&mut self, label: &str, iteration: u32, fields: Value, inputs: Value) -> Output {
        self.try_run(label, iteration, fields, inputs).await.expect("the node runs")
    }

    /// Keeps the messages of a completion, as the engine does.
    pub fn stored(&mut self, label: &str, iteration: u32, output: Output) -> Output {
        for (k, new) in output.messages.iter().enumerate() {
            self.messages.push(Message {
                id: message_id(&execution(), (label, iteration), k),
                seq: self.messages.len() as u64 + 1,
                from: new.from.clone(),
                to: new.to.clone(),
                person_id: new.person_id.clone(),
                role: new.role.clone(),
                content: new.content.clone(),
                node_id: label.to_owned(),
                iteration,
                kind: new.kind.clone(),
            });
        }
        output
    }

    /// What the calls so far were sent: one line per call, messages separated by ` | `.
    pub fn sent(&self) -> Vec<String> {
        self.models.requests.lock().unwrap().iter().map(|it| shown(&it.messages)).collect()
    }
}

fn execution() -> ExecutionId {
    ExecutionId::parse(EXECUTION).expect("an id")
}
