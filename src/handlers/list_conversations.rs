//! What was said, person by person: one conversation for each person of each execution, newest execution first.
//!
//! A conversation is what a person remembers: what its last call was shown, with that call itself. The rest of what
//! it ever heard and said is forgotten, and shown on request.

use std::collections::{BTreeMap, HashMap, HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::caller::Scope;
use super::execution_object::ShownMessage;
use super::launch::{StoredOptions, entry};
use super::present::shown_message;
use super::{App, Caller, persons};
use crate::clock::Timestamp;
use crate::diagram::{Format, parse};
use crate::engine::event::Event;
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::nodes::memory::window::{Memory, Preset, Wanted};
use crate::nodes::memory::{Message, SYSTEM};
use crate::store::{ExecutionHead, ListFilter, MessageRow, Store};

/// Executions looked at for one answer: a word that nobody said must not read the whole database.
const LOOKED_AT_MAX: usize = 10_000;
/// Executions read from the list in one go.
const PAGE: usize = 200;

/// Which conversations; every filter applies.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Of this person, by id or label.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub person_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub execution_id: Option<String>,
    /// With this text in one of the messages shown, whatever the case.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub search: Option<String>,
    /// Also messages outside of what the person remembers.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub show_forgotten: bool,
    /// At most so many (100, up to 1000).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<usize>,
    /// How many of the newest to leave out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub offset: Option<usize>,
    /// With a message from then on: RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<String>,
}

/// The conversations found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub conversations: Vec<Conversation>,
    /// Whether there may be more: `offset` leads to them, unless only executions older than the last 10,000 are left.
    pub has_more: bool,
}

/// What one person said and heard in one execution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Conversation {
    pub execution_id: String,
    pub person_id: String,
    pub person_label: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub diagram_id: Option<String>,
    /// How many messages are shown.
    pub message_count: usize,
    /// How many more the person has forgotten.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub forgotten_count: usize,
    pub last_message: ShownMessage,
    pub last_at: String,
    /// Oldest first.
    pub messages: Vec<ShownMessage>,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// Lists conversations of executions that the caller may know of.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `INVALID_INPUT`, `INVALID_EXECUTION_ID`, `EXECUTION_NOT_FOUND`; what the database says.
pub async fn list_conversations(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    caller.require(&[Scope::ExecutionRead])?;
    let wanted = Wish::of(&request)?;
    if let Some(id) = &request.execution_id {
        let head = app.visible(caller, &ExecutionId::parse(id)?)?;
        return found_in(app.store()?, std::iter::once(Ok(head)), &wanted);
    }
    let Some(store) = app.existing_store()? else { return Ok(Response::default()) };
    found_in(store, heads(store, caller.only_of()), &wanted)
}

/// A checked request.
struct Wish {
    person: Option<String>,
    /// In lower case.
    search: Option<String>,
    show_forgotten: bool,
    limit: usize,
    offset: usize,
    since: Option<Timestamp>,
}

impl Wish {
    fn of(request: &Request) -> Result<Self, Error> {
        let limit = request.limit.unwrap_or(100);
        if !(1..=1_000).contains(&limit) {
            return Err(
                Error::invalid("INVALID_INPUT", format!("`limit` is {limit}")).hint("write a number from 1 to 1000")
            );
        }
        let since = request.since.as_deref().map(|it| {
            Timestamp::parse(it).ok_or_else(|| {
                let shown: String = it.chars().take(60).collect();
                Error::invalid("INVALID_INPUT", format!("`since` is `{shown}`, which is no time"))
                    .hint("write a time such as 2026-01-02T03:04:05Z")
            })
        });
        let given = |it: &Option<String>| it.clone().filter(|it| !it.trim().is_empty());
        Ok(Self {
            person: given(&request.person_id),
            search: given(&request.search).map(|it| it.to_lowercase()),
            show_forgotten: request.show_forgotten,
            limit,
            offset: request.offset.unwrap_or(0),
            since: since.transpose()?,
        })
    }
}

/// Executions newest first, children among them, read page by page.
fn heads(store: &Store, principal: Option<String>) -> impl Iterator<Item = Result<ExecutionHead, Error>> {
    let pages = (0..LOOKED_AT_MAX / PAGE).map(move |nth| {
        let filter = ListFilter {
            principal: principal.clone(),
            with_children: true,
            limit: Some(PAGE),
            offset: nth * PAGE,
            ..ListFilter::default()
        };
        store.newest_executions(&filter)
    });
    let mut is_over = false;
    let pages = pages.take_while(move |page| {
        let goes_on = !is_over;
        is_over = page.as_ref().map_or(true, |it| it.len() < PAGE);
        goes_on
    });
    pages.flat_map(|page| match page {
        Ok(heads) => heads.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    })
}

fn found_in(
    store: &Store,
    heads: impl Iterator<Item = Result<ExecutionHead, Error>>,
    wish: &Wish,
) -> Result<Response, Error> {
    let mut response = Response::default();
    let mut n_passed = 0;
    for head in heads {
        let head = head?;
        if wish.since.is_some_and(|since| head.last_activity_at.is_some_and(|it| it < since)) {
            continue;
        }
        for found in conversations_of(store, &head, wish)? {
            if n_passed < wish.offset {
                n_passed += 1;
            } else if response.conversations.len() == wish.limit {
                response.has_more = true;
                return Ok(response);
            } else {
                response.conversations.push(found);
            }
        }
    }
    Ok(response)
}

/// The conversations of one execution, the one with the newest message first.
fn conversations_of(store: &Store, head: &ExecutionHead, wish: &Wish) -> Result<Vec<Conversation>, Error> {
    let id = ExecutionId::parse(&head.execution_id)?;
    let rows = store.get_execution_messages(&id, None, None)?;
    let parties: HashSet<&str> =
        rows.iter().map(|it| it.message.person_id.as_str()).filter(|it| !it.is_empty() && *it != SYSTEM).collect();
    if parties.is_empty() {
        return Ok(Vec::new());
    }
    let labels = labels_of(store, &id)?;
    let is_wanted = |person: &str| {
        let label = labels.get(person).map(String::as_str);
        wish.person.as_deref().is_none_or(|it| it == person || Some(it) == label)
    };
    let parties: Vec<&str> = parties.into_iter().filter(|it| is_wanted(it)).collect();
    if parties.is_empty() {
        return Ok(Vec::new());
    }
    let last_calls = if wish.show_forgotten { HashMap::new() } else { last_calls(store, &id)? };
    let mut found: Vec<(u64, Conversation)> = Vec::new();
    for person in parties {
        let all: Vec<&MessageRow> = rows.iter().filter(|it| involves(&it.message, person)).collect();
        let remembered = last_calls.get(person).map(|it| it.remembered(person, &rows));
        let shown: Vec<&MessageRow> = all
            .iter()
            .filter(|it| remembered.as_ref().is_none_or(|ids| ids.contains(&it.message.id)))
            .copied()
            .collect();
        let Some(last) = shown.last() else { continue };
        let says = |text: &str| shown.iter().any(|it| it.message.content.to_lowercase().contains(text));
        if wish.since.is_some_and(|since| last.created_at < since) || !wish.search.as_deref().is_none_or(says) {
            continue;
        }
        let messages: Vec<ShownMessage> = shown.iter().map(|it| shown_message(MessageRow::clone(it))).collect();
        let conversation = Conversation {
            execution_id: head.execution_id.clone(),
            person_id: person.to_owned(),
            person_label: labels.get(person).cloned().unwrap_or_else(|| person.to_owned()),
            diagram_id: head.diagram_id.clone(),
            message_count: messages.len(),
            forgotten_count: all.len() - messages.len(),
            last_message: shown_message(MessageRow::clone(last)),
            last_at: last.created_at.to_rfc3339(),
            messages,
        };
        found.push((last.message.seq, conversation));
    }
    found.sort_by(|a, b| (b.0, &a.1.person_id).cmp(&(a.0, &b.1.person_id)));
    Ok(found.into_iter().map(|it| it.1).collect())
}

fn involves(message: &Message, person: &str) -> bool {
    message.person_id == person || message.from == person || message.to == person
}

/// The labels of an execution's persons by id, as far as its text is stored and reads.
fn labels_of(store: &Store, id: &ExecutionId) -> Result<BTreeMap<String, String>, Error> {
    let Some(row) = store.execution(id)? else { return Ok(BTreeMap::new()) };
    let source = row.source_sha256.as_deref().map_or(Ok(None), |it| store.source(it))?;
    let diagram = source.and_then(|it| parse(&it.content, Format::parse(&it.format)).diagram);
    let own = diagram.into_iter().flat_map(|it| it.persons).map(|it| (it.id, it.label));
    let options = StoredOptions::of(&row);
    let of_workspace = persons::kept_with(&options.texts).map(|it| (it.id, it.label));
    Ok(of_workspace.chain(own).collect())
}

/// What the last call of a person was shown.
struct LastCall {
    node_id: String,
    iteration: u32,
    /// The preset, or absent when a model chose.
    preset: Option<Preset>,
    shown: usize,
    /// How many messages there were before it.
    total: usize,
    selected: Vec<String>,
}

impl LastCall {
    /// Ids of the messages that it was shown, with those of the call itself.
    fn remembered(&self, person: &str, rows: &[MessageRow]) -> HashSet<String> {
        let is_own = |it: &&MessageRow| it.message.node_id == self.node_id && it.message.iteration == self.iteration;
        let mut ids: HashSet<String> = rows.iter().filter(is_own).map(|it| it.message.id.clone()).collect();
        ids.extend(self.selected.iter().cloned());
        if let Some(preset) = self.preset {
            let before: Vec<Message> = rows.iter().take(self.total).map(|it| it.message.clone()).collect();
            let memory = Memory { wanted: Wanted::Preset(preset), at_most: Some(self.shown), ignored: Vec::new() };
            ids.extend(memory.window(preset, person, &before).iter().map(|it| it.id.clone()));
        }
        ids
    }
}

fn last_calls(store: &Store, id: &ExecutionId) -> Result<HashMap<String, LastCall>, Error> {
    let mut last = HashMap::new();
    for row in store.transitions(id, 0, None)? {
        let Some(entry) = entry(row)? else { continue };
        let (Event::NodeCompleted(done), Some(node_id)) = (entry.event, entry.node_id) else { continue };
        let Some(person) = done.meta.get("person_id").and_then(Value::as_str) else { continue };
        let Some(memory) = done.meta.get("memory") else { continue };
        let count = |key: &str| memory[key].as_u64().and_then(|it| usize::try_from(it).ok()).unwrap_or(0);
        let selected = memory["selected_ids"].as_array();
        let ids = selected.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        let call = LastCall {
            node_id,
            iteration: done.iteration,
            preset: memory["preset"].as_str().and_then(Preset::parse).filter(|_| selected.is_none()),
            shown: count("shown"),
            total: count("total"),
            selected: ids.collect(),
        };
        last.insert(person.to_owned(), call);
    }
    Ok(last)
}
