//! Tells a client when resources or lists change: executions as they are committed, diagrams as their files
//! change. However many clients listen, one task of this process reads the log and the file system and passes
//! the word on; while nobody listens there is none. A word says only "look again": the store is the truth.

mod files;
mod hub;
mod pace;
mod run;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use hub::{Subscription, Watch};

use super::caller::Scope;
use super::fetch::{self, Target};
use super::{App, Caller};
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::limits;

/// What a client wants to hear of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The set of tools.
    pub tools_list: bool,
    /// The set of resources.
    pub resources_list: bool,
    /// `dipeo://executions`, `dipeo://executions/{id}` and its parts, `dipeo://diagrams`,
    /// `dipeo://diagrams/{name}`.
    pub uris: Vec<String>,
}

/// Something that changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    ToolsList,
    ResourcesList,
    /// The resource of this URI, as it was asked for.
    Resource(String),
}

/// What the watcher tells apart; several URIs may stand for one of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Topic {
    ToolsList,
    ResourcesList,
    Diagrams,
    Diagram(String),
    Executions,
    Execution(ExecutionId),
}

impl Topic {
    fn is_of_executions(&self) -> bool {
        match self {
            Self::Executions | Self::Execution(_) => true,
            Self::ToolsList | Self::ResourcesList | Self::Diagrams | Self::Diagram(_) => false,
        }
    }
}

/// A URI that may be followed.
struct Followed {
    topic: Topic,
    /// It may never change again, or not before somebody acts: whoever asks now has missed it.
    is_settled: bool,
}

/// Subscribes: what is committed or written from now on is told. Of an execution that has ended or waits
/// already, the client is told once at once.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `RESOURCE_NOT_FOUND` for a URI that the caller cannot follow, `TOO_MANY_SUBSCRIPTIONS`,
/// what the database says.
pub fn watch_resources(app: &Arc<App>, caller: &Caller, request: &Request) -> Result<Subscription, Error> {
    let subscription = Watch::subscribe(app, caller)?;
    if request.tools_list {
        subscription.follow(Topic::ToolsList, None, false)?;
    }
    if request.resources_list {
        subscription.follow(Topic::ResourcesList, None, false)?;
    }
    for uri in &request.uris {
        follow(&subscription, caller, uri)?;
    }
    Ok(subscription)
}

/// Adds a URI to a subscription.
///
/// # Errors
///
/// As [`watch_resources`].
pub fn follow(subscription: &Subscription, caller: &Caller, uri: &str) -> Result<(), Error> {
    let followed = followed(subscription.app(), caller, uri)?;
    subscription.follow(followed.topic, Some(uri), followed.is_settled)
}

/// The URIs that the caller may follow, each once, in order, as many as one subscription may have.
pub fn followable(app: &App, caller: &Caller, uris: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    uris.iter()
        .filter(|uri| seen.insert(uri.as_str()) && followed(app, caller, uri).is_ok())
        .take(limits::SUBSCRIBED_URIS_MAX)
        .cloned()
        .collect()
}

/// Whether a URI has a form that may be followed, whoever asks and whatever there is.
pub fn has_followable_form(uri: &str) -> bool {
    fetch::target(uri).and_then(topic_of).is_some()
}

fn followed(app: &App, caller: &Caller, uri: &str) -> Result<Followed, Error> {
    let mut topic = fetch::target(uri).and_then(topic_of).ok_or_else(|| fetch::not_found(uri))?;
    let scope = if topic.is_of_executions() { Scope::ExecutionRead } else { Scope::DiagramRead };
    caller.require(&[scope])?;
    let mut is_settled = false;
    match &mut topic {
        Topic::Execution(id) => {
            let status = app.visible(caller, id).map_err(|_| fetch::not_found(uri))?.status;
            is_settled = run::is_settled(status);
        }
        Topic::Diagram(name) => {
            // A file may be asked for by several names; changes are told by one.
            *name = app.workspace.locate(name, None).ok_or_else(|| fetch::not_found(uri))?.name;
        }
        Topic::Diagrams | Topic::Executions | Topic::ToolsList | Topic::ResourcesList => {}
    }
    Ok(Followed { topic, is_settled })
}

/// What a URI is about; `None` for what never changes.
fn topic_of(target: Target<'_>) -> Option<Topic> {
    match target {
        Target::Diagrams => Some(Topic::Diagrams),
        Target::Diagram(name) => Some(Topic::Diagram(name.to_owned())),
        Target::Executions => Some(Topic::Executions),
        Target::Execution(id)
        | Target::Messages(id, _)
        | Target::Transitions(id, _)
        | Target::Timeline(id)
        | Target::Graph(id)
        | Target::Diff(id, _) => Some(Topic::Execution(id)),
        Target::Guide(_) | Target::Blob(_) => None,
    }
}
