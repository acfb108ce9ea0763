//! Mock mode: what would reach outside answers from the node's `mock_response`, else with a canned value of
//! the right shape; files are written to memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use serde_json::Value;

use super::attempt::{Finished, Work};
use super::{Mode, Run};
use crate::compile::NodeIdx;
use crate::error::Error;
use crate::nodes::ports::{Files, ModelReply, ModelRequest, Models, Ports};
use crate::nodes::{Outcome, Output, Rights};

impl Run {
    /// The value `node` answers with instead of running, if this run is a mock and the node would reach
    /// outside. Files and questions are no such case: the former go to memory, the latter are asked.
    pub(super) fn mocked(&self, node: NodeIdx, work: &Work) -> Option<Finished> {
        if self.options.mode != Mode::Mock || !matches!(work, Work::Run) {
            return None;
        }
        let plan_node = &self.plan.nodes[node];
        let canned = plan_node.node.mocked(&plan_node.label)?;
        let mut output = Output::value(plan_node.policy.mock_response.clone().unwrap_or(canned));
        output.meta.insert("mock".into(), Value::Bool(true));
        Some(Finished { node, result: Ok(Outcome::Done(output)) })
    }
}

/// The ports of a mock run: those of the process, with files that are written to memory.
pub(super) fn ports(ports: &Arc<Ports>) -> Arc<Ports> {
    let files = Overlay { below: Arc::clone(&ports.files), written: Mutex::default() };
    Arc::new(Ports::closed(Arc::clone(&ports.code), Arc::new(MockModels), Arc::new(files), Arc::clone(&ports.clock)))
}

/// Answers what a node asks of a model besides its own value, such as a decision.
struct MockModels;

impl Models for MockModels {
    fn call(&self, request: ModelRequest) -> BoxFuture<'_, Result<ModelReply, Error>> {
        let text = match &request.schema {
            Some(_) => r#"{"decision": true, "reason": "mock"}"#.to_owned(),
            None => format!("(mock reply of {})", request.node_label),
        };
        Box::pin(async move { Ok(ModelReply { text, ..ModelReply::default() }) })
    }
}

/// Files as they are, with what this run wrote over them.
struct Overlay {
    below: Arc<dyn Files>,
    /// `None`: removed.
    written: Mutex<BTreeMap<String, Option<Vec<u8>>>>,
}

impl Overlay {
    fn written(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Option<Vec<u8>>>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files for Overlay {
    fn read<'a>(&'a self, path: &'a str, rights: &'a Rights) -> BoxFuture<'a, Result<Vec<u8>, Error>> {
        Box::pin(async move {
            let written = self.written().get(path).cloned();
            match written {
                Some(Some(bytes)) => Ok(bytes),
                Some(None) => Err(Error::not_found("FILE_NOT_FOUND", format!("file `{path}` does not exist"))
                    .hint("this run has removed it")),
                None => self.below.read(path, rights).await,
            }
        })
    }

    fn write<'a>(&'a self, path: &'a str, bytes: &'a [u8], rights: &'a Rights) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            // A path that a real run may not write is refused here as well: reading it says so.
            match self.below.read(path, rights).await {
                Err(e) if e.code() == "PATH_NOT_ALLOWED" => return Err(e),
                _ => {}
            }
            self.written().insert(path.to_owned(), Some(bytes.to_vec()));
            Ok(())
        })
    }

    fn remove<'a>(&'a self, path: &'a str, rights: &'a Rights) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            self.read(path, rights).await?;
            self.written().insert(path.to_owned(), None);
            Ok(())
        })
    }

    fn glob<'a>(&'a self, pattern: &'a str, rights: &'a Rights) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        self.below.glob(pattern, rights)
    }

    fn exists<'a>(&'a self, path: &'a str, rights: &'a Rights) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let written = self.written().get(path).map(Option::is_some);
            match written {
                Some(is_there) => is_there,
                None => self.below.exists(path, rights).await,
            }
        })
    }

    fn root(&self) -> PathBuf {
        self.below.root()
    }
}
