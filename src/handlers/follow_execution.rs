//! Follows an execution event by event: what is stored first, then what is committed, by whichever process. Each
//! follower reads the store from its own mark, so a slow one holds nothing but that mark and a small piece of the log.
//! To follow starts, resumes and repeats nothing, and to stop following stops nothing.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::time::Instant;

use super::caller::Scope;
use super::present::scrub_texts;
use super::speaking::Listener;
use super::wait::{is_settled, not_found};
use super::{App, Caller};
use crate::engine::event::Event;
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::limits;
use crate::secret::Scrubber;
use crate::store::{Store, TransitionRow};

/// Which execution, from where, and how far.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// From `dipeo_run`.
    pub execution_id: String,
    /// The events after this one; absent = from the beginning.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<u64>,
    /// Where to stop (`end`).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<Until>,
}

/// Where a stream of events stops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// The execution has ended.
    #[default]
    End,
    /// The execution has ended, or waits for somebody.
    Pause,
}

/// One event of an execution, as every surface shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventRecord {
    /// From 1, without gaps. A `token` has no number: this is the one of the event before it.
    pub seq: u64,
    /// The phase: `execution_started`, `node_completed` …
    pub event: String,
    /// `execution_id`, `seq`, `ts`, of a node's event also `node_id` and `label`, and what the phase carries; the type
    /// of a node is `node_type`.
    pub data: Map<String, Value>,
}

/// Begins to follow an execution.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `INVALID_EXECUTION_ID`, `EXECUTION_NOT_FOUND`, `INVALID_INPUT` for a `since` behind the end of
/// the log, what the database says.
pub async fn follow_execution(app: &Arc<App>, caller: &Caller, request: Request) -> Result<Follow, Error> {
    caller.require(&[Scope::ExecutionRead])?;
    let id = ExecutionId::parse(&request.execution_id)?;
    // Before the first look, so that no commit falls between the two.
    let changes = app.store()?.changes();
    let last_seq = app.visible(caller, &id)?.last_seq;
    let mark = request.since.unwrap_or(0);
    if mark > last_seq {
        return Err(Error::invalid(
            "INVALID_INPUT",
            format!("`since` is {mark}, but the last event of `{id}` is {last_seq}"),
        )
        .hint("give the `seq` of the last event you have; leave `since` out to begin at the first"));
    }
    let mut follow = Follow {
        app: Arc::clone(app),
        id,
        until: request.until.unwrap_or_default(),
        mark,
        labels: None,
        ready: VecDeque::new(),
        changes,
        is_drained: false,
        is_over: false,
        next_look: None,
        listener: None,
    };
    follow.look()?;
    Ok(follow)
}

/// The events of one execution, pulled one by one.
pub struct Follow {
    app: Arc<App>,
    id: ExecutionId,
    until: Until,
    /// The last event that was read.
    mark: u64,
    /// Node id to label, once somebody needs them.
    labels: Option<HashMap<String, String>>,
    /// What was read and not handed out yet: at most one page.
    ready: VecDeque<EventRecord>,
    changes: watch::Receiver<u64>,
    /// Everything was read; there is nothing to look at before the next commit.
    is_drained: bool,
    /// Nothing comes behind `ready`.
    is_over: bool,
    next_look: Option<Instant>,
    /// Who hears what models say, when that is wanted.
    listener: Option<Listener>,
}

/// The event of a piece of a reply while it comes: `person_id`, `node_id`, `label`, `text`. It is told where the
/// execution runs and is never stored; the whole reply is the output of the node.
pub const TOKEN: &str = "token";

impl Follow {
    /// Returns the next event, waiting for it; `None` after the last one.
    ///
    /// An execution that was opened again after its end goes on, and so does its stream: the end of the log is the
    /// last event, not the first that looks like one. Giving this up half-way loses nothing.
    ///
    /// # Errors
    ///
    /// `EXECUTION_NOT_FOUND` when it was deleted meanwhile, what the database says.
    pub async fn next(&mut self) -> Result<Option<EventRecord>, Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if self.is_over {
                return Ok(None);
            }
            if self.is_drained {
                if let Some(token) = self.token() {
                    return Ok(Some(token));
                }
                tokio::select! {
                    changed = self.changes.changed() => match changed {
                        Ok(()) => self.is_drained = false,
                        // The database was closed: the process is about to end.
                        Err(_) => return Ok(None),
                    },
                    () = said(&mut self.listener) => continue,
                }
            }
            if let Some(at) = self.next_look {
                tokio::time::sleep_until(at).await;
            }
            self.look()?;
        }
    }

    /// Also tells what models say while they say it, as far as this process runs the execution.
    #[must_use]
    pub fn with_tokens(mut self) -> Self {
        self.listener = self.app.started_supervisor().map(|it| it.speaking().listen(self.id.clone()));
        self
    }

    /// What a model has said since, when everything that was committed before it was handed out.
    fn token(&mut self) -> Option<EventRecord> {
        let piece = self.listener.as_mut()?.next(self.app.scrubber())?;
        // The start of the node was committed before its model said anything: perhaps after the last look.
        if self.changes.has_changed().unwrap_or(true) {
            return None;
        }
        self.listener.as_mut()?.take(&piece);
        let speaker = &piece.speaker;
        let fields = [
            ("execution_id", self.id.to_string()),
            ("ts", self.app.clock.now().to_rfc3339()),
            ("node_id", speaker.node_id.to_string()),
            ("label", speaker.label.to_string()),
            ("person_id", speaker.person_id.clone()),
        ];
        let mut data: Map<String, Value> = fields.into_iter().map(|(name, it)| (name.to_owned(), it.into())).collect();
        data.insert("text".into(), piece.text.into());
        Some(EventRecord { seq: self.mark, event: TOKEN.to_owned(), data })
    }

    /// Whether every event up to the last was handed out: [`Follow::next`] returns `None` at once.
    pub fn is_over(&self) -> bool {
        self.is_over && self.ready.is_empty()
    }

    /// Reads the next page from the store.
    fn look(&mut self) -> Result<(), Error> {
        // First: what is committed from here on says so.
        self.changes.mark_unchanged();
        let store = Arc::clone(self.app.store()?);
        let waits_for_somebody = self.until == Until::Pause && is_settled(&store, &self.id)?;
        let page = store
            .log_page(&self.id, self.mark, limits::FOLLOWED_EVENTS, limits::FOLLOWED_BYTES)?
            .ok_or_else(|| not_found(&self.id))?;
        let last_closes = page.rows.last().is_none_or(|it| self.closes(&it.phase));
        let is_settled = page.status.has_ended() || waits_for_somebody;
        // What was settled before the rows were read may have gone on since; then they do not end with its end.
        self.is_over = is_settled && !page.is_cut && last_closes;
        self.is_drained = !is_settled && !page.is_cut && (!last_closes || page.rows.is_empty());
        self.next_look = page.rows.is_empty().then(|| Instant::now() + limits::FOLLOW_PAUSE);
        for row in page.rows {
            self.mark = row.seq;
            let event = self.record(&store, row)?;
            self.ready.push_back(event);
        }
        Ok(())
    }

    /// Whether a log may end with this phase.
    fn closes(&self, phase: &str) -> bool {
        match phase {
            "execution_completed" | "execution_error" | "execution_aborted" => true,
            "execution_paused" => self.until == Until::Pause,
            _ => false,
        }
    }

    fn record(&mut self, store: &Store, row: TransitionRow) -> Result<EventRecord, Error> {
        let label = match &row.node_id {
            Some(node_id) => self.labels(store)?.get(node_id).cloned(),
            None => None,
        };
        Ok(record_of(self.id.as_str(), row, label, self.app.scrubber()))
    }

    /// The names of the nodes, from the first event.
    fn labels(&mut self, store: &Store) -> Result<&HashMap<String, String>, Error> {
        if self.labels.is_none() {
            let first = store.transitions(&self.id, 0, Some(1))?.into_iter().next();
            let first = first.map(|it| Event::parse(&it.phase, &it.payload)).transpose()?.flatten();
            let nodes = match first {
                Some(Event::ExecutionStarted(started)) => started.nodes,
                _ => Vec::new(),
            };
            self.labels = Some(nodes.into_iter().map(|it| (it.id, it.label)).collect());
        }
        Ok(self.labels.get_or_insert_default())
    }
}

/// Waits until a model may have said something; never comes where nobody listens.
async fn said(listener: &mut Option<Listener>) {
    match listener {
        Some(listener) => listener.changed().await,
        None => std::future::pending().await,
    }
}

/// A row of the log as it is shown.
pub(super) fn record_of(
    execution_id: &str,
    row: TransitionRow,
    label: Option<String>,
    scrubber: &Scrubber,
) -> EventRecord {
    let mut data = Map::new();
    data.insert("execution_id".into(), execution_id.into());
    data.insert("seq".into(), row.seq.into());
    data.insert("ts".into(), row.created_at.to_rfc3339().into());
    data.extend(row.node_id.map(|it| ("node_id".to_owned(), it.into())));
    data.extend(label.map(|it| ("label".to_owned(), it.into())));
    add_payload(&mut data, &row.payload, scrubber);
    EventRecord { seq: row.seq, event: row.phase, data }
}

/// Adds what a phase carries, below what every event has. The version of the stored form is of no use outside.
fn add_payload(data: &mut Map<String, Value>, payload: &str, scrubber: &Scrubber) {
    // Other programs may have written what is no JSON.
    let mut payload = serde_json::from_str(payload).unwrap_or_else(|_| Value::from(payload));
    // Everything was scrubbed when it was stored; this is for secrets that became known later.
    if !scrubber.is_idle() {
        scrub_texts(&mut payload, scrubber);
    }
    let Value::Object(fields) = payload else {
        data.insert("payload".into(), payload);
        return;
    };
    for (name, value) in fields.into_iter().filter(|(name, _)| name != "v") {
        let name = if name == "type" { "node_type".to_owned() } else { name };
        data.entry(name).or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_payload_never_changes_what_every_event_has() {
        for (payload, expected) in [
            (r#"{"v":1,"type":"start","iteration":1}"#, json!({"seq": 7, "node_type": "start", "iteration": 1})),
            (r#"{"seq":9,"x":null}"#, json!({"seq": 7, "x": null})),
            ("{}", json!({"seq": 7})),
            ("[1]", json!({"seq": 7, "payload": [1]})),
            ("not JSON", json!({"seq": 7, "payload": "not JSON"})),
        ] {
            let mut data = Map::new();
            data.insert("seq".into(), 7.into());
            add_payload(&mut data, payload, &Scrubber::default());
            assert_eq!(Value::Object(data), expected, "{payload}");
        }
    }

    #[test]
    fn a_secret_that_became_known_later_is_blotted_out() {
        let scrubber = Scrubber::default();
        scrubber.add(&crate::secret::Secret::new("canary-of-the-day").expect("there is text"));
        let mut data = Map::new();
        add_payload(&mut data, r#"{"v":1,"output":{"body":"say canary-of-the-day"}}"#, &scrubber);
        assert_eq!(Value::Object(data), json!({"output": {"body": "say ***"}}));
    }
}
