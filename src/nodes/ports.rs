//! What nodes ask the outside for, as traits. `code`, `llm` and `outside` implement them.

pub mod blobs;
pub mod children;
pub mod classes;
pub mod commands;
pub mod http;
pub mod models;
pub mod outline;
pub mod secrets;
pub mod tape;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

pub use self::models::{ModelReply, ModelRequest, Models, Purpose, Usage, one_line_json};
use self::outline::{Outline, OutlineJob};
use super::rights::Rights;
use crate::clock::{Clock, Timestamp};
use crate::error::Error;

/// The ports of one process, shared by all executions.
#[derive(Clone)]
pub struct Ports {
    pub code: Arc<dyn CodeRunner>,
    pub models: Arc<dyn Models>,
    pub files: Arc<dyn Files>,
    pub clock: Arc<dyn Clock>,
    pub http: Arc<dyn http::Http>,
    pub commands: Arc<dyn commands::Commands>,
    pub secrets: Arc<dyn secrets::Secrets>,
    pub blobs: Arc<dyn blobs::Blobs>,
    /// What calls of providers share.
    pub providers: Arc<super::integrated_api::providers::Providers>,
    pub children: Arc<dyn children::Children>,
    /// Set where calls go over a tape.
    pub taped: Option<Arc<tape::Taped>>,
}

impl Ports {
    /// Ports of a closed world: no network, no programs, no secrets, bytes kept in memory. Whoever has more
    /// to offer replaces what he has.
    pub fn closed(
        code: Arc<dyn CodeRunner>,
        models: Arc<dyn Models>,
        files: Arc<dyn Files>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            code,
            models,
            files,
            clock,
            http: Arc::new(http::NoNetwork),
            commands: Arc::new(commands::NoCommands),
            secrets: Arc::new(secrets::NoSecrets),
            blobs: Arc::new(blobs::MemoryBlobs::default()),
            providers: Arc::default(),
            children: Arc::new(children::NoChildren),
            taped: None,
        }
    }

    /// The ports of one attempt of one item of a batch: on a tape its calls are told from those of others.
    pub fn of_item(self: &Arc<Self>, index: usize, attempt: u32) -> Arc<Self> {
        match &self.taped {
            Some(taped) => taped.of_item(index, attempt),
            None => Arc::clone(self),
        }
    }

    /// Whether calls are answered from a tape: nobody has to be spared, so nothing waits for its turn.
    pub fn is_replay(&self) -> bool {
        self.taped.as_ref().is_some_and(|it| it.is_replay())
    }
}

/// A language of code nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    Python,
    JavaScript,
    TypeScript,
    Bash,
    Shell,
}

impl Language {
    /// The name as written in diagrams.
    pub fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::JavaScript => "javascript",
            Self::TypeScript => "typescript",
            Self::Bash => "bash",
            Self::Shell => "shell",
        }
    }
}

/// Where code runs (DESIGN.md, Code and expressions).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Runtime {
    /// An interpreter inside our own process or worker, without access to the host.
    Sandbox,
    /// The user's `python3`, `node`, `bash`.
    Host,
}

/// One piece of code to run.
#[derive(Clone, Debug)]
pub struct CodeJob {
    pub language: Language,
    pub runtime: Runtime,
    pub source: Arc<str>,
    /// Called when the code defines it and neither returns nor assigns `result` (diagrams.md 2.4).
    pub function_name: String,
    /// Names to bind that are identifiers: inputs, fields of the unlabelled input, variables.
    pub names: Map<String, Value>,
    /// The exact map of inputs.
    pub inputs: Map<String, Value>,
    /// Execution variables.
    pub globals: Map<String, Value>,
    pub node_id: String,
    pub timeout: Duration,
    /// What the clock says to code in the sandbox; the present moment if absent.
    pub now: Option<Timestamp>,
}

/// One Jinja2 template to render.
#[derive(Clone, Debug)]
pub struct RenderJob {
    pub template: Arc<str>,
    /// What names mean, all but `variables`.
    pub names: Map<String, Value>,
    /// Values that win over `names`; texts in them are templates over `names`.
    pub variables: Map<String, Value>,
    pub timeout: Duration,
}

/// What code gave back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CodeResult {
    pub value: Value,
    /// What it printed, as is; it goes to the run's log.
    pub printed: String,
}

/// Runs code and expressions, and knows their languages. Dropping a future stops what it started, host processes included.
pub trait CodeRunner: Languages {
    /// Runs `job` and returns its value as JSON.
    ///
    /// # Errors
    ///
    /// `CODE_FAILED` (exception type, message, line; retryable), `NODE_TIMEOUT`, `TRUST_REQUIRED` for an
    /// import the sandbox refuses, `INTERNAL`.
    fn run(&self, job: CodeJob) -> BoxFuture<'_, Result<CodeResult, Error>>;

    /// Evaluates one condition expression over `names` (diagrams.md 3.10). Unknown names are null.
    ///
    /// # Errors
    ///
    /// `EXPRESSION_FAILED` with the expression, the exception and the unknown names with near ones.
    fn evaluate<'a>(
        &'a self,
        expression: &'a str,
        names: &'a Map<String, Value>,
    ) -> BoxFuture<'a, Result<Truth, Error>>;

    /// Does what `template_job::render` does, where it may take as much time and memory as it likes.
    ///
    /// # Errors
    ///
    /// `TEMPLATE_FAILED` (also when it needs too much memory), `NODE_TIMEOUT`, `INTERNAL`.
    fn render(&self, job: RenderJob) -> BoxFuture<'_, Result<String, Error>>;

    /// Lists the top-level declarations of a TypeScript source.
    ///
    /// # Errors
    ///
    /// `PARSE_FAILED` with line and column, also for a source that is too long or nested too deep;
    /// `NODE_TIMEOUT`, `INTERNAL`.
    fn outline(&self, job: OutlineJob) -> BoxFuture<'_, Result<Outline, Error>>;
}

/// The value of an expression and its truth by Python's rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    pub value: Value,
    pub truth: bool,
}

/// Parsers: what a text in some language is checked for, usually when a diagram is compiled.
pub trait Languages: Send + Sync {
    /// Checks that `expression` parses.
    ///
    /// # Errors
    ///
    /// The place inside the expression and what is wrong.
    fn check_expression(&self, expression: &str) -> Result<(), SyntaxProblem>;

    /// Checks that `source` parses and says whether the sandbox can run it. Shell code is not checked.
    ///
    /// # Errors
    ///
    /// The place inside the code and what is wrong.
    fn check_code(&self, language: Language, source: &str) -> Result<CodeFacts, SyntaxProblem>;

    /// Reads the classes that the Python text `source` declares, without running it. Imports, texts on their
    /// own and `model_rebuild()` are passed over; nothing else may stand beside the classes.
    ///
    /// # Errors
    ///
    /// The place inside the text and what is wrong, or cannot be read as a declaration.
    fn read_classes(&self, source: &str) -> Result<Vec<classes::Class>, SyntaxProblem>;
}

/// What the parser knows of a piece of code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodeFacts {
    /// The first thing the sandbox cannot do, if any: "imports `statistics`", "uses `yield`".
    pub needs_host: Option<HostNeed>,
}

/// Why code needs the host's interpreter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostNeed {
    /// In words: "module `csv`", "`yield`", "class inheritance".
    pub what: String,
    /// Line within the code, from 1.
    pub line: u32,
}

/// A syntax error within a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxProblem {
    pub message: String,
    /// Within the text, from 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
}

/// Makes the new bytes of a file from its present ones.
pub type Change = Box<dyn FnOnce(Option<Vec<u8>>) -> Result<Vec<u8>, Error> + Send>;

/// Files of the workspace. Every path is relative to its root and confined to what `rights` allow,
/// after symbolic links are resolved.
pub trait Files: Send + Sync {
    /// Reads a whole file.
    ///
    /// # Errors
    ///
    /// `FILE_NOT_FOUND`, `FILE_FAILED` (retryable), `PATH_NOT_ALLOWED`.
    fn read<'a>(&'a self, path: &'a str, rights: &'a Rights) -> BoxFuture<'a, Result<Vec<u8>, Error>>;

    /// Replaces a file as a whole (temporary file, rename), making its folders.
    ///
    /// # Errors
    ///
    /// As [`Files::read`].
    fn write<'a>(&'a self, path: &'a str, bytes: &'a [u8], rights: &'a Rights) -> BoxFuture<'a, Result<(), Error>>;

    /// Replaces a file by what `change` makes of its bytes (`None`: there is no file yet) and returns the
    /// new size in bytes. An implementation lets no other change of this process come in between.
    ///
    /// # Errors
    ///
    /// As [`Files::read`] but for a missing file, and what `change` says.
    fn change<'a>(&'a self, path: &'a str, change: Change, rights: &'a Rights) -> BoxFuture<'a, Result<u64, Error>> {
        Box::pin(async move {
            let before = match self.read(path, rights).await {
                Ok(bytes) => Some(bytes),
                Err(error) if error.code() == "FILE_NOT_FOUND" => None,
                Err(error) => return Err(error),
            };
            let after = change(before)?;
            self.write(path, &after, rights).await?;
            Ok(after.len() as u64)
        })
    }

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// As [`Files::read`].
    fn remove<'a>(&'a self, path: &'a str, rights: &'a Rights) -> BoxFuture<'a, Result<(), Error>>;

    /// Returns the files that `pattern` matches, sorted, as paths relative to the root.
    ///
    /// # Errors
    ///
    /// As [`Files::read`], and `FILE_FAILED` for a malformed pattern.
    fn glob<'a>(&'a self, pattern: &'a str, rights: &'a Rights) -> BoxFuture<'a, Result<Vec<String>, Error>>;

    /// Whether `path` is an existing file within what `rights` allow.
    fn exists<'a>(&'a self, path: &'a str, rights: &'a Rights) -> BoxFuture<'a, bool>;

    /// The folder that host code runs in.
    fn root(&self) -> PathBuf;
}
