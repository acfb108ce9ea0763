//! A model that counts who calls it, and an application that runs diagrams with it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use dipeo::error::Error;
use dipeo::handlers::execution_object::ExecutionObject;
use dipeo::handlers::fork_execution::{Extras, Request, fork_execution};
use dipeo::handlers::run_diagram::{self, Waiting, run_diagram};
use dipeo::handlers::see_result::{self, see_result};
use dipeo::handlers::{App, Caller};
use dipeo::nodes::ports::{ModelReply, ModelRequest, Models, Usage};
use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use crate::harness::{Workspace, workspace};

/// Says who it is, how much it heard, and the prompt. `slow` answers when `after` has been asked; a prompt with
/// `FAIL` in it fails; one with `HANG` is answered the second time only, and one with `AWAIT` once that hangs.
#[derive(Default)]
pub struct Counting {
    calls: Mutex<Vec<String>>,
    after: Notify,
    has_hung: AtomicBool,
    hangs: Notify,
}

impl Models for Counting {
    fn call(&self, request: ModelRequest) -> BoxFuture<'_, Result<ModelReply, Error>> {
        Box::pin(async move {
            let label = request.node_label;
            self.calls.lock().expect("test lock").push(label.clone());
            match label.as_str() {
                "slow" => self.after.notified().await,
                "after" => self.after.notify_one(),
                _ => {}
            }
            let prompt = request.messages.last().map(|it| it.content.clone()).unwrap_or_default();
            if prompt.contains("HANG") && !self.has_hung.swap(true, Ordering::Relaxed) {
                self.hangs.notify_one();
                std::future::pending::<()>().await;
            }
            if prompt.contains("AWAIT") {
                self.hangs.notified().await;
            }
            if prompt.contains("FAIL") {
                return Err(Error::external("LLM_FAILED", "the model does not want to"));
            }
            let text = format!("{label} heard {}: {prompt}", request.messages.len());
            Ok(ModelReply { text, usage: Usage { input: 1, output: 1, cached: 0 }, ..ModelReply::default() })
        })
    }
}

/// A workspace with an application in it and its model.
pub struct Bench {
    pub app: Arc<App>,
    pub caller: Caller,
    /// Removed with its test.
    _workspace: Workspace,
    models: Arc<Counting>,
}

/// A fork without changes.
pub fn from(execution_id: &str, node: &str) -> Request {
    Request { execution_id: execution_id.to_owned(), node: Some(node.to_owned()), ..Request::default() }
}

impl Bench {
    pub fn new() -> Self {
        let workspace = workspace();
        let models = Arc::new(Counting::default());
        let app = workspace.app_with_models(Arc::clone(&models) as _);
        let caller = Caller::Terminal { working_dir: workspace.root().to_path_buf() };
        Self { app, caller, _workspace: workspace, models }
    }

    /// Runs a text to its end or first question, and forgets the calls it made.
    pub async fn run(&self, diagram: &str) -> ExecutionObject {
        self.run_with(diagram, Default::default()).await
    }

    pub async fn run_with(&self, diagram: &str, inputs: serde_json::Map<String, serde_json::Value>) -> ExecutionObject {
        let request = run_diagram::Request {
            content: Some(diagram.to_owned()),
            input_data: Some(inputs),
            ..run_diagram::Request::default()
        };
        let extras = run_diagram::Extras { unbounded_wait: true, ..Default::default() };
        let ran = run_diagram(&self.app, &self.caller, request, extras, Waiting::default()).await.expect("it starts");
        self.calls();
        ran
    }

    pub async fn fork(&self, request: Request) -> Result<ExecutionObject, Error> {
        let extras = Extras { unbounded_wait: true, ..Extras::default() };
        fork_execution(&self.app, &self.caller, request, extras, Waiting::default()).await
    }

    pub async fn settled(&self, id: &str) -> ExecutionObject {
        let request = see_result::Request { execution_id: id.to_owned(), wait_seconds: Some(25), ..Default::default() };
        see_result(&self.app, &self.caller, request, Waiting::default()).await.expect("it is there")
    }

    /// The nodes that called the model since this was asked last.
    pub fn calls(&self) -> String {
        std::mem::take(&mut *self.models.calls.lock().expect("test lock")).join(" ")
    }

    pub async fn close(&self) {
        self.app.shut_down_runs().await;
        self.app.close().await;
    }
}
