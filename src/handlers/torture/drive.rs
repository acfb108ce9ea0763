//! Starts executions and answers their questions while engines come and go. It runs nothing itself: what it
//! asks is written into the database, and whoever lives carries it out.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::audit::Sent;
use super::dice::Dice;
use super::verdict::{Asked, Broken, Key, Outcome, Violation};
use crate::engine::Status;
use crate::error::Error;
use crate::handlers::questions::{OpenQuestion, open_questions};
use crate::handlers::run_diagram::{Extras, Request, Waiting, run_diagram};
use crate::handlers::{App, Caller};
use crate::ids::ExecutionId;
use crate::nodes::PauseReason;
use crate::store::NewControl;

/// Executions open at once: enough that every kill hits several.
const OPEN_MAX: usize = 24;
/// How long to look at least until looking again, when nothing is committed.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The one who starts and answers.
pub(super) struct Driver {
    pub app: Arc<App>,
    pub folder: PathBuf,
    pub names: Vec<&'static str>,
    pub dice: Dice,
    pub open: Vec<ExecutionId>,
    pub promised: Vec<String>,
    pub sent: Vec<Sent>,
    pub violations: Vec<Violation>,
    /// Questions that were seen, each with the time it was asked.
    answered: BTreeSet<(Key, String)>,
}

impl Driver {
    /// Nothing is started yet.
    pub fn new(app: Arc<App>, folder: PathBuf, names: Vec<&'static str>, dice: Dice) -> Self {
        Self {
            app,
            folder,
            names,
            dice,
            open: Vec::new(),
            promised: Vec::new(),
            sent: Vec::new(),
            violations: Vec::new(),
            answered: BTreeSet::new(),
        }
    }

    /// Keeps many executions open until `stop`.
    ///
    /// # Errors
    ///
    /// What the database says, unless it is one of the things that are proved not to happen.
    pub async fn drive(&mut self, stop: &CancellationToken) -> Result<(), Error> {
        let mut changes = self.app.store()?.changes();
        while !stop.is_cancelled() {
            changes.mark_unchanged();
            self.look().await?;
            while self.open.len() < OPEN_MAX && !stop.is_cancelled() {
                self.start_one().await?;
            }
            tokio::select! {
                _ = changes.changed() => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = stop.cancelled() => {}
            }
        }
        Ok(())
    }

    /// Waits until everything has ended; gives up when nothing was committed for `patience`.
    ///
    /// # Errors
    ///
    /// As [`Driver::drive`].
    pub async fn finish(&mut self, patience: Duration) -> Result<(), Error> {
        let store = Arc::clone(self.app.store()?);
        let mut changes = store.changes();
        let mut end = store.log_end()?;
        let mut moved_at = tokio::time::Instant::now();
        loop {
            changes.mark_unchanged();
            self.look().await?;
            let now_at = store.log_end()?;
            if now_at != end {
                (end, moved_at) = (now_at, tokio::time::Instant::now());
            }
            if self.open.is_empty() || moved_at.elapsed() > patience {
                return Ok(());
            }
            tokio::select! {
                _ = changes.changed() => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// Answers what waits and forgets what has ended.
    async fn look(&mut self) -> Result<(), Error> {
        let store = Arc::clone(self.app.store()?);
        let mut still_open = Vec::with_capacity(self.open.len());
        for id in std::mem::take(&mut self.open) {
            match store.status(&id)? {
                Some(status) if status.has_ended() => {}
                Some(Status::Paused) => {
                    self.answer(&id).await?;
                    still_open.push(id);
                }
                Some(_) => still_open.push(id),
                // The judge finds that it is not there.
                None => {}
            }
        }
        self.open = still_open;
        Ok(())
    }

    async fn start_one(&mut self) -> Result<(), Error> {
        let id = ExecutionId::parse(&format!("exec_{}", self.dice.hex()))?;
        let name = self.dice.one_of(&self.names);
        let request = Request { diagram: Some(format!("{name}.light.yaml")), ..Request::default() };
        let extras = Extras { execution_id: Some(id.to_string()), background: true, ..Extras::default() };
        let caller = Caller::Terminal { working_dir: self.folder.clone() };
        match run_diagram(&self.app, &caller, request, extras, Waiting::default()).await {
            Ok(_) => {
                self.promised.push(id.to_string());
                self.open.push(id);
                Ok(())
            }
            Err(e) if e.code() == "EXECUTION_NOT_FOUND" => {
                self.promised.push(id.to_string());
                Ok(())
            }
            Err(e) if e.code() == "DATABASE_BUSY" => {
                let message = format!("an execution could not be started: {e}");
                self.violations.push(Violation { kind: Broken::DatabaseBroken, what: id.to_string(), message });
                Ok(())
            }
            Err(e) => Err(e),
        }
    }

    async fn answer(&mut self, id: &ExecutionId) -> Result<(), Error> {
        let caller = Caller::Terminal { working_dir: self.folder.clone() };
        for question in open_questions(&self.app, &caller, id.as_str())?.questions {
            let asked = &question.asked;
            let key = Key {
                execution_id: asked.asking_id.clone(),
                node_id: asked.node_id.clone(),
                iteration: asked.iteration,
            };
            if !self.answered.insert((key.clone(), question.waiting.since.clone())) {
                continue;
            }
            let (action, value) = self.reply(&question);
            self.send(key.clone(), action, value).await?;
            // Somebody else answers at the same moment: only one of both is taken.
            if action == "answer" && self.dice.between(1, 4) == 1 {
                let value = json!(format!("late {}", self.dice.between(0, 999)));
                self.send(key, action, value).await?;
            }
        }
        Ok(())
    }

    /// What to do about a question: answer it, or decide about an effect that must not be repeated.
    fn reply(&mut self, question: &OpenQuestion) -> (&'static str, Value) {
        let is_decision = question.waiting.reason == PauseReason::Operator.name();
        match (is_decision, self.dice.between(1, 3)) {
            (true, 1) => ("resume", Value::Null),
            (true, _) => ("set_output", json!("decided")),
            (false, _) => ("answer", json!(format!("answer {}", self.dice.between(0, 999)))),
        }
    }

    async fn send(&mut self, key: Key, action: &'static str, value: Value) -> Result<(), Error> {
        let new = NewControl {
            execution_id: ExecutionId::parse(&key.execution_id)?,
            action: action.to_owned(),
            node: Some(format!("{}:{}", key.node_id, key.iteration)),
            value: (action != "resume").then(|| value.to_string()),
            actor: Some("torture".to_owned()),
        };
        let id = match self.app.store()?.add_control(new).await {
            Ok(id) => id,
            // The first of two answers was taken, and everything went on to the end.
            Err(e) if e.code() == "EXECUTION_ENDED" => return Ok(()),
            Err(e) => return Err(e),
        };
        self.sent.push(Sent { id, asked: Asked { key, action, value, outcome: Outcome::Open } });
        Ok(())
    }
}
