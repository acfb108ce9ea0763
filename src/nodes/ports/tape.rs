//! Calls that go over a tape: written down while they are made, or answered from what was written down. The
//! node that calls does not see the difference. What needs no outside (sandboxed code, expressions, parsers,
//! scripted persons) does not go over it.

mod forms;

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::{BoxFuture, pending};
use serde_json::{Value, json};

use self::forms::{Changed, Form};
use super::children::{ChildRequest, ChildSource, ChildState, Children};
use super::classes::Class;
use super::commands::{CommandJob, CommandResult, Commands};
use super::http::{Http, HttpReply, HttpRequest};
use super::models::Cost;
use super::outline::{Outline, OutlineJob};
use super::{
    Change, CodeFacts, CodeJob, CodeResult, CodeRunner, Files, Language, Languages, ModelReply, ModelRequest, Models,
    Ports, RenderJob, Runtime, SyntaxProblem, Truth, Usage,
};
use crate::diagram::Service;
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::nodes::budget::Purse;
use crate::nodes::memory::Message;
use crate::nodes::output::ChildQuestion;
use crate::nodes::rights::Rights;

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Model,
    Http,
    Command,
    /// Code that runs on the host.
    Code,
    File,
    /// The start of a child execution.
    Child,
    /// A question to whoever answers; it stands in the log and not on the tape.
    Question,
}

impl Kind {
    /// The word stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Http => "http",
            Self::Command => "command",
            Self::Code => "code",
            Self::File => "file",
            Self::Child => "child",
            Self::Question => "question",
        }
    }
}

/// What becomes of a call.
pub enum Step {
    /// It is made; its reply is handed in under this number.
    Make(u64),
    /// This was the reply, as [`Tape::reply`] was given it.
    Reply(String),
    /// It was broken off before a reply came.
    Never,
    /// It was never made before.
    Missing(Error),
}

/// Where calls are written down or answered from.
pub trait Tape: Send + Sync {
    /// Says what becomes of a call that `place` makes: empty for the node itself, `<index>.<attempt>` for an
    /// item of a batch. `request` is JSON.
    fn call(&self, place: &str, kind: Kind, request: String) -> Step;

    /// Takes the reply to a call that was made, as JSON.
    fn reply(&self, call: u64, reply: String);

    /// Whether nothing is called, only answered.
    fn is_replay(&self) -> bool;

    /// Takes note that a child execution asked for something that nobody recorded.
    fn missed(&self, error: Error);
}

/// The ports of one attempt of a node that reaches outside.
pub struct Taped {
    below: Arc<Ports>,
    tape: Arc<dyn Tape>,
    place: String,
}

/// Returns ports whose calls go over `tape` before they reach `below`.
pub fn taped(below: &Arc<Ports>, tape: Arc<dyn Tape>) -> Arc<Ports> {
    Taped { below: Arc::clone(below), tape, place: String::new() }.into_ports()
}

impl Taped {
    fn into_ports(self) -> Arc<Ports> {
        let below = Arc::clone(&self.below);
        let taped = Arc::new(self);
        Arc::new(Ports {
            code: Arc::clone(&taped) as _,
            models: Arc::clone(&taped) as _,
            files: Arc::clone(&taped) as _,
            http: Arc::clone(&taped) as _,
            commands: Arc::clone(&taped) as _,
            children: Arc::clone(&taped) as _,
            taped: Some(taped),
            ..Ports::clone(&below)
        })
    }

    /// The same for one attempt of one item of a batch.
    pub(super) fn of_item(&self, index: usize, attempt: u32) -> Arc<Ports> {
        let (below, tape) = (Arc::clone(&self.below), Arc::clone(&self.tape));
        Self { below, tape, place: format!("{index}.{attempt}") }.into_ports()
    }

    /// Whether nothing is called, only answered.
    pub fn is_replay(&self) -> bool {
        self.tape.is_replay()
    }

    /// `make` makes the call; in a replay it is not even begun.
    async fn call<T: Form, F: Future<Output = Result<T, Error>>>(
        &self,
        kind: Kind,
        request: Value,
        make: impl FnOnce() -> F,
    ) -> Result<T, Error> {
        match self.tape.call(&self.place, kind, request.to_string()) {
            Step::Make(call) => {
                let outcome = make().await;
                self.tape.reply(call, forms::written(&outcome));
                outcome
            }
            Step::Reply(text) => forms::read(&text),
            Step::Never => pending().await,
            Step::Missing(error) => Err(error),
        }
    }

    fn file(&self, operation: &str, path: &str) -> Value {
        json!({"operation": operation, "path": path})
    }
}

impl Models for Taped {
    fn call(&self, request: ModelRequest) -> BoxFuture<'_, Result<ModelReply, Error>> {
        if request.service == Service::Scripted {
            return self.below.models.call(request);
        }
        let sink = request.sink.clone().filter(|_| self.is_replay());
        let asked = forms::model_request(&request);
        Box::pin(async move {
            let reply = self.call(Kind::Model, asked, move || self.below.models.call(request)).await?;
            if let Some(sink) = sink {
                sink.send(&reply.text);
            }
            Ok(reply)
        })
    }

    fn price(&self, request: &ModelRequest, usage: Usage) -> Cost {
        self.below.models.price(request, usage)
    }
}

impl Http for Taped {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpReply, Error>> {
        let asked = forms::http_request(&request);
        Box::pin(self.call(Kind::Http, asked, move || self.below.http.send(request)))
    }
}

impl Commands for Taped {
    fn run(&self, job: CommandJob) -> BoxFuture<'_, Result<CommandResult, Error>> {
        let asked = forms::command(&job);
        Box::pin(self.call(Kind::Command, asked, move || self.below.commands.run(job)))
    }
}

impl CodeRunner for Taped {
    fn run(&self, job: CodeJob) -> BoxFuture<'_, Result<CodeResult, Error>> {
        match job.runtime {
            Runtime::Sandbox => self.below.code.run(job),
            Runtime::Host => {
                let asked = forms::code(&job);
                Box::pin(self.call(Kind::Code, asked, move || self.below.code.run(job)))
            }
        }
    }

    fn evaluate<'a>(
        &'a self,
        expression: &'a str,
        names: &'a serde_json::Map<String, Value>,
    ) -> BoxFuture<'a, Result<Truth, Error>> {
        self.below.code.evaluate(expression, names)
    }

    fn render(&self, job: RenderJob) -> BoxFuture<'_, Result<String, Error>> {
        self.below.code.render(job)
    }

    fn outline(&self, job: OutlineJob) -> BoxFuture<'_, Result<Outline, Error>> {
        self.below.code.outline(job)
    }
}

impl Languages for Taped {
    fn check_expression(&self, expression: &str) -> Result<(), SyntaxProblem> {
        self.below.code.check_expression(expression)
    }

    fn check_code(&self, language: Language, source: &str) -> Result<CodeFacts, SyntaxProblem> {
        self.below.code.check_code(language, source)
    }

    fn read_classes(&self, source: &str) -> Result<Vec<Class>, SyntaxProblem> {
        self.below.code.read_classes(source)
    }
}

impl Files for Taped {
    fn read<'a>(&'a self, path: &'a str, rights: &'a Rights) -> BoxFuture<'a, Result<Vec<u8>, Error>> {
        Box::pin(self.call(Kind::File, self.file("read", path), move || self.below.files.read(path, rights)))
    }

    fn write<'a>(&'a self, path: &'a str, bytes: &'a [u8], rights: &'a Rights) -> BoxFuture<'a, Result<(), Error>> {
        // What is written is known from the node's inputs: its digest tells whether it is the same.
        let mut asked = self.file("write", path);
        asked["sha256"] = forms::digest(bytes).into();
        Box::pin(self.call(Kind::File, asked, move || self.below.files.write(path, bytes, rights)))
    }

    fn change<'a>(&'a self, path: &'a str, change: Change, rights: &'a Rights) -> BoxFuture<'a, Result<u64, Error>> {
        // In a replay the change is made to the bytes that the file had then, and goes nowhere.
        let change = Arc::new(Mutex::new(Some(change)));
        let (seen, again) = (Arc::new(Mutex::new(None)), Arc::clone(&change));
        let before = Arc::clone(&seen);
        let make = move || async move {
            let watched: Change = Box::new(move |bytes| {
                *lock(&before) = Some(bytes.clone());
                apply(&change, bytes)
            });
            let size = self.below.files.change(path, watched, rights).await?;
            Ok(Changed { before: lock(&seen).take().flatten(), size })
        };
        Box::pin(async move {
            let changed = self.call(Kind::File, self.file("change", path), make).await?;
            if self.is_replay() {
                apply(&again, changed.before)?;
            }
            Ok(changed.size)
        })
    }

    fn remove<'a>(&'a self, path: &'a str, rights: &'a Rights) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.call(Kind::File, self.file("remove", path), move || self.below.files.remove(path, rights)))
    }

    fn glob<'a>(&'a self, pattern: &'a str, rights: &'a Rights) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        Box::pin(self.call(Kind::File, self.file("glob", pattern), move || self.below.files.glob(pattern, rights)))
    }

    fn exists<'a>(&'a self, path: &'a str, rights: &'a Rights) -> BoxFuture<'a, bool> {
        let make = move || async move { Ok(self.below.files.exists(path, rights).await) };
        Box::pin(async move { self.call(Kind::File, self.file("exists", path), make).await.unwrap_or(false) })
    }

    fn root(&self) -> std::path::PathBuf {
        self.below.files.root()
    }
}

impl Children for Taped {
    fn start(&self, request: ChildRequest) -> BoxFuture<'_, Result<ExecutionId, Error>> {
        let asked = child_request(&request);
        Box::pin(async move {
            let started = self.call(Kind::Child, asked, || self.below.children.start(request.clone())).await?;
            if !self.is_replay() {
                return Ok(started);
            }
            self.below.children.start(ChildRequest { replay_of: Some(started), ..request }).await
        })
    }

    fn settled<'a>(&'a self, child: &'a ExecutionId) -> BoxFuture<'a, Result<ChildState, Error>> {
        Box::pin(async move {
            let state = self.below.children.settled(child).await?;
            match &state {
                ChildState::Ended(end) if self.is_replay() => match end.error.as_ref().and_then(miss_of) {
                    Some(error) => {
                        self.tape.missed(error);
                        Ok(state)
                    }
                    None => Ok(state),
                },
                ChildState::Ended(_) | ChildState::Waits(_) => Ok(state),
            }
        })
    }

    fn moved(&self, asked: ChildQuestion) -> BoxFuture<'static, Option<String>> {
        self.below.children.moved(asked)
    }

    fn pay(&self, child: &ExecutionId, purse: Purse) {
        self.below.children.pay(child, purse);
    }

    fn abandon(&self, child: ExecutionId, reason: &'static str) {
        self.below.children.abandon(child, reason);
    }

    fn messages<'a>(&'a self, child: &'a ExecutionId) -> BoxFuture<'a, Result<Vec<Message>, Error>> {
        self.below.children.messages(child)
    }
}

fn child_request(request: &ChildRequest) -> Value {
    let (name, text) = match &request.source {
        ChildSource::Named { name, .. } => (Some(name), None),
        ChildSource::Text { text, .. } => (None, Some(text)),
    };
    json!({
        "place": request.place, "diagram": name, "text": text, "variables": request.variables,
        "is_awaited": request.is_awaited,
    })
}

/// The error of a child that had no recorded answer to something.
fn miss_of(error: &Value) -> Option<Error> {
    let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
    let miss = || Error::external("REPLAY_MISS", text("message")).hint(text("hint"));
    let details = error.get("details").cloned().unwrap_or_default();
    (text("code") == "REPLAY_MISS").then(|| miss().details(details))
}

/// A change may be made once: on the file, or on what the file was.
fn apply(change: &Mutex<Option<Change>>, bytes: Option<Vec<u8>>) -> Result<Vec<u8>, Error> {
    match lock(change).take() {
        Some(change) => change(bytes),
        None => Err(Error::internal("a file was to be changed twice by one call")),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
