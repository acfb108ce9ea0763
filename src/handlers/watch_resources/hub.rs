//! Who listens to what. It must not know where the news comes from.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::run::{self, Diagrams, Sources};
use super::{Change, Topic};
use crate::error::Error;
use crate::handlers::{App, Caller};
use crate::limits;

/// The subscriptions of this process.
#[derive(Default)]
pub struct Watch {
    state: Mutex<State>,
    /// Somebody came or went.
    pub(super) has_moved: Notify,
}

#[derive(Default)]
struct State {
    subscribers: HashMap<u64, Arc<Subscriber>>,
    by_topic: HashMap<Topic, BTreeSet<u64>>,
    next_id: u64,
    is_running: bool,
    /// Where the log ended when somebody first asked for executions; taken by the task.
    log_mark: Option<u64>,
    is_following_log: bool,
    /// The diagrams as they were when somebody first asked; taken by the task.
    diagrams: Option<Diagrams>,
    is_following_diagrams: bool,
}

/// One who listens. What is told waits here until it is fetched: each topic once, however often it changed, so
/// a slow reader costs no more than a quick one.
struct Subscriber {
    caller: Caller,
    wanted: Mutex<BTreeMap<Topic, BTreeSet<String>>>,
    pending: Mutex<BTreeSet<Topic>>,
    is_told: Notify,
}

/// What one client listens to; it ends when this is dropped.
pub struct Subscription {
    app: Arc<App>,
    id: u64,
    subscriber: Arc<Subscriber>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    /// Enters a subscriber who listens to nothing yet.
    ///
    /// # Errors
    ///
    /// `TOO_MANY_SUBSCRIPTIONS`.
    pub(super) fn subscribe(app: &Arc<App>, caller: &Caller) -> Result<Subscription, Error> {
        let mut state = lock(&app.watch.state);
        let n_own = state.subscribers.values().filter(|it| it.caller.principal() == caller.principal()).count();
        if n_own >= limits::SUBSCRIPTIONS_PER_PRINCIPAL_MAX {
            return Err(too_many(format!("you listen {n_own} times already"))
                .hint("close subscriptions that nobody reads any more; one can follow many resources"));
        }
        let id = state.next_id;
        state.next_id += 1;
        let subscriber = Arc::new(Subscriber {
            caller: caller.clone(),
            wanted: Mutex::default(),
            pending: Mutex::default(),
            is_told: Notify::new(),
        });
        state.subscribers.insert(id, Arc::clone(&subscriber));
        drop(state);
        Ok(Subscription { app: Arc::clone(app), id, subscriber })
    }

    /// Passes the word on to those who listen to `topic` and may know whom it belongs to.
    pub(super) fn tell(&self, topic: &Topic, may_know: impl Fn(&Caller) -> bool) {
        let state = lock(&self.state);
        for id in state.by_topic.get(topic).into_iter().flatten() {
            if let Some(subscriber) = state.subscribers.get(id).filter(|it| may_know(&it.caller)) {
                lock(&subscriber.pending).insert(topic.clone());
                subscriber.is_told.notify_one();
            }
        }
    }

    /// Whether anybody listens to it.
    pub(super) fn is_wanted(&self, topic: &Topic) -> bool {
        lock(&self.state).by_topic.contains_key(topic)
    }

    /// Gives the task what it does not follow yet and takes what nobody wants any more. Says whether it should
    /// go on; when not, the next subscriber starts another one.
    pub(super) fn supply(&self, sources: &mut Sources) -> bool {
        let mut state = lock(&self.state);
        if !state.by_topic.keys().any(Topic::is_of_executions) {
            sources.forget_log();
            (state.is_following_log, state.log_mark) = (false, None);
        }
        if state.by_topic.keys().all(Topic::is_of_executions) {
            sources.forget_diagrams();
            (state.is_following_diagrams, state.diagrams) = (false, None);
        }
        if let Some(mark) = state.log_mark.take() {
            sources.follow_log(mark);
        }
        if let Some(diagrams) = state.diagrams.take() {
            sources.follow_diagrams(diagrams);
        }
        state.is_running = !state.by_topic.is_empty();
        state.is_running
    }
}

fn too_many(message: String) -> Error {
    Error::limit("TOO_MANY_SUBSCRIPTIONS", message)
}

impl Subscription {
    pub(super) fn app(&self) -> &App {
        &self.app
    }

    /// Waits for changes and returns all there are. Each is told once, however often it happened meanwhile.
    pub async fn next(&self) -> Vec<Change> {
        loop {
            let told = std::mem::take(&mut *lock(&self.subscriber.pending));
            if !told.is_empty() {
                let wanted = lock(&self.subscriber.wanted);
                return told.iter().flat_map(|it| changes(it, wanted.get(it))).collect();
            }
            self.subscriber.is_told.notified().await;
        }
    }

    /// Listens to `topic`, for a resource by its URI.
    ///
    /// # Errors
    ///
    /// `TOO_MANY_SUBSCRIPTIONS`, what the database says.
    pub(super) fn follow(&self, topic: Topic, uri: Option<&str>, is_settled: bool) -> Result<(), Error> {
        let watch = &self.app.watch;
        let mut state = lock(&watch.state);
        {
            let mut wanted = lock(&self.subscriber.wanted);
            let n_uris: usize = wanted.values().map(BTreeSet::len).sum();
            if n_uris >= limits::SUBSCRIBED_URIS_MAX {
                return Err(too_many(format!("this subscription follows {n_uris} resources already"))
                    .hint("follow dipeo://executions or dipeo://diagrams instead of each of them"));
            }
            // From here on, not from when the task gets to it: what is committed in between is told too.
            if topic.is_of_executions() && !state.is_following_log {
                state.log_mark = Some(self.app.store()?.log_end()?);
                state.is_following_log = true;
            }
            if !topic.is_of_executions() && !state.is_following_diagrams {
                state.diagrams = Some(Diagrams::new(&self.app));
                state.is_following_diagrams = true;
            }
            let uris = wanted.entry(topic.clone()).or_default();
            uris.extend(uri.map(str::to_owned));
        }
        state.by_topic.entry(topic.clone()).or_default().insert(self.id);
        if is_settled {
            lock(&self.subscriber.pending).insert(topic);
            self.subscriber.is_told.notify_one();
        }
        if !std::mem::replace(&mut state.is_running, true) {
            self.app.spawn(run::run(Arc::clone(&self.app)));
        }
        drop(state);
        watch.has_moved.notify_one();
        Ok(())
    }

    /// Takes a resource out; one that is not in it is fine.
    pub fn unfollow(&self, uri: &str) {
        let mut state = lock(&self.app.watch.state);
        let mut wanted = lock(&self.subscriber.wanted);
        wanted.retain(|topic, uris| {
            let is_last = uris.remove(uri) && uris.is_empty();
            if is_last {
                leave(&mut state.by_topic, topic, self.id);
            }
            !is_last
        });
        drop(wanted);
        drop(state);
        self.app.watch.has_moved.notify_one();
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = lock(&self.app.watch.state);
        state.subscribers.remove(&self.id);
        for topic in lock(&self.subscriber.wanted).keys() {
            leave(&mut state.by_topic, topic, self.id);
        }
        drop(state);
        self.app.watch.has_moved.notify_one();
    }
}

fn leave(by_topic: &mut HashMap<Topic, BTreeSet<u64>>, topic: &Topic, id: u64) {
    if let Some(ids) = by_topic.get_mut(topic) {
        ids.remove(&id);
        if ids.is_empty() {
            by_topic.remove(topic);
        }
    }
}

fn changes(topic: &Topic, uris: Option<&BTreeSet<String>>) -> Vec<Change> {
    // Nobody wants it any more: it was told before they left.
    let Some(uris) = uris else { return Vec::new() };
    match topic {
        Topic::ToolsList => vec![Change::ToolsList],
        Topic::ResourcesList => vec![Change::ResourcesList],
        Topic::Diagrams | Topic::Diagram(_) | Topic::Executions | Topic::Execution(_) => {
            uris.iter().cloned().map(Change::Resource).collect()
        }
    }
}
