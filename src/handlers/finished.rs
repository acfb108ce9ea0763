//! Remembers how ended executions were shown. What has ended does not change any more, so looking at it again
//! needs no reading and no building; that it is still there and still the same is asked whenever something was
//! committed. Whose it is stands beside it, for whoever decides who may see it.

use std::any::Any;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::execution_object::ExecutionObject;
use super::present::View;
use crate::clock::{Clock, Timestamp};
use crate::engine::Status;
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::limits::{FINISHED_BYTES_MAX, FOREIGN_COMMIT_POLL};
use crate::store::{Stamp, Store};

/// An execution as shown: made for this request, or kept from an earlier one.
pub enum Shown {
    Fresh(Box<ExecutionObject>),
    Kept(Arc<Kept>),
}

/// An ended execution that others will be shown too.
pub struct Kept {
    object: ExecutionObject,
    principal: Option<String>,
    /// What an adapter made of it.
    form: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Kept {
    /// Whom the execution belongs to.
    pub fn principal(&self) -> Option<&str> {
        self.principal.as_deref()
    }
}

impl Shown {
    /// The object itself.
    pub fn into_object(self) -> ExecutionObject {
        match self {
            Self::Fresh(object) => *object,
            Self::Kept(kept) => kept.object.clone(),
        }
    }

    /// What `make` makes of the object. For one that is kept this is made once and copied from then on, so it
    /// must depend on nothing but the object.
    ///
    /// # Errors
    ///
    /// What `make` says.
    pub fn form<T: Clone + Send + Sync + 'static>(
        &self,
        make: impl FnOnce(&ExecutionObject) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Self::Kept(kept) = self else { return make(self) };
        if let Some(form) = kept.form.get().and_then(|it| it.downcast_ref::<T>()) {
            return Ok(form.clone());
        }
        let form = make(self)?;
        // Taken already when two ask at once, or for the form of another adapter: then this one is made each time.
        let _ = kept.form.set(Box::new(form.clone()));
        Ok(form)
    }
}

impl Deref for Shown {
    type Target = ExecutionObject;

    fn deref(&self) -> &ExecutionObject {
        match self {
            Self::Fresh(object) => object,
            Self::Kept(kept) => &kept.object,
        }
    }
}

/// The ended executions that were looked at last, at most [`FINISHED_BYTES_MAX`] of them.
#[derive(Default)]
pub struct Finished(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    by_view: HashMap<Key, Entry>,
    n_bytes: usize,
    n_looks: u64,
}

/// An execution, and how it is looked at.
pub type Key = (ExecutionId, View);

struct Entry {
    kept: Arc<Kept>,
    ground: Ground,
    n_bytes: usize,
    /// The number of the last look.
    last_look: u64,
}

/// What the store said when an entry was made, and when it last said so.
#[derive(Clone)]
struct Ground {
    stamp: Stamp,
    asked: Asked,
}

/// When the store was asked.
#[derive(Clone, Copy)]
struct Asked {
    generation: u64,
    at: Timestamp,
}

impl Asked {
    fn now(store: &Store, clock: &dyn Clock) -> Self {
        Self { generation: store.generation(), at: clock.now() }
    }

    /// Whether nothing that this process can know of was committed since `earlier`: its own commits are known at
    /// once, those of other processes within [`FOREIGN_COMMIT_POLL`].
    fn is_as_good_as(self, earlier: Self) -> bool {
        let poll_ms = i64::try_from(FOREIGN_COMMIT_POLL.as_millis()).unwrap_or(i64::MAX);
        self.generation == earlier.generation && (earlier.at..earlier.at.plus_ms(poll_ms)).contains(&self.at)
    }
}

impl Finished {
    /// Returns the execution as it was shown before, if that still holds.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub fn known(
        &self,
        store: &Store,
        clock: &dyn Clock,
        id: &ExecutionId,
        view: &View,
    ) -> Result<Option<Arc<Kept>>, Error> {
        let key = (id.clone(), view.clone());
        let now = Asked::now(store, clock);
        let Some((kept, is_sure)) = self.lock().look(&key, now) else { return Ok(None) };
        if is_sure {
            return Ok(Some(kept));
        }
        let stamp = store.stamp(id)?;
        Ok(self.lock().confirm(&key, stamp.as_ref(), now).then_some(kept))
    }

    /// Shows what `make` makes, and keeps it if the execution has ended.
    ///
    /// # Errors
    ///
    /// What `make` says; what the database says.
    pub fn show(
        &self,
        store: &Store,
        clock: &dyn Clock,
        key: Key,
        principal: Option<String>,
        make: impl FnOnce() -> Result<ExecutionObject, Error>,
    ) -> Result<Shown, Error> {
        // Both before the object is made: what changes meanwhile makes the stamp too old, never the object.
        let asked = Asked::now(store, clock);
        let stamp = store.stamp(&key.0)?.filter(|it| it.status.has_ended());
        let object = make()?;
        match stamp {
            Some(stamp) => Ok(self.lock().keep(key, object, principal, Ground { stamp, asked })),
            None => Ok(Shown::Fresh(Box::new(object))),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    /// What was shown before, and whether that is sure without asking the store. Another process may have opened an
    /// execution again that failed or was aborted, and whoever saw that must not be shown the old end.
    fn look(&mut self, key: &Key, now: Asked) -> Option<(Arc<Kept>, bool)> {
        let entry = self.by_view.get_mut(key)?;
        self.n_looks += 1;
        entry.last_look = self.n_looks;
        let is_final = entry.ground.stamp.status == Status::Completed;
        Some((Arc::clone(&entry.kept), is_final && now.is_as_good_as(entry.ground.asked)))
    }

    /// Says whether what was shown still holds; what does not is forgotten.
    fn confirm(&mut self, key: &Key, stamp: Option<&Stamp>, now: Asked) -> bool {
        match self.by_view.get_mut(key) {
            Some(entry) if Some(&entry.ground.stamp) == stamp => {
                entry.ground.asked = now;
                true
            }
            Some(_) => {
                self.forget(key);
                false
            }
            None => false,
        }
    }

    fn keep(&mut self, key: Key, object: ExecutionObject, principal: Option<String>, ground: Ground) -> Shown {
        let n_bytes = bytes_of(&object);
        if n_bytes > FINISHED_BYTES_MAX / 8 {
            return Shown::Fresh(Box::new(object));
        }
        self.forget(&key);
        if self.n_bytes + n_bytes > FINISHED_BYTES_MAX {
            self.forget_older_half();
        }
        self.n_bytes += n_bytes;
        self.n_looks += 1;
        let kept = Arc::new(Kept { object, principal, form: OnceLock::new() });
        let entry = Entry { kept: Arc::clone(&kept), ground, n_bytes, last_look: self.n_looks };
        self.by_view.insert(key, entry);
        Shown::Kept(kept)
    }

    fn forget(&mut self, key: &Key) {
        if let Some(entry) = self.by_view.remove(key) {
            self.n_bytes -= entry.n_bytes;
        }
    }

    /// Makes room for many at once, so that a full memory costs a look at everything only now and then.
    fn forget_older_half(&mut self) {
        let mut looks: Vec<u64> = self.by_view.values().map(|it| it.last_look).collect();
        let middle = looks.len() / 2;
        if looks.is_empty() {
            return;
        }
        let (_, newest_forgotten, _) = looks.select_nth_unstable(middle);
        let newest_forgotten = *newest_forgotten;
        self.by_view.retain(|_, it| it.last_look > newest_forgotten);
        self.n_bytes = self.by_view.values().map(|it| it.n_bytes).sum();
    }
}

/// About what an object and a form of it take: text, a tree of values and both again, with their pointers.
fn bytes_of(object: &ExecutionObject) -> usize {
    let n_json = serde_json::to_string(object).map_or(0, |it| it.len());
    1_024 + 8 * n_json
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::Journal;
    use crate::store::testing::{NOON, TestStore, batch, execution, id};
    use crate::store::{NewControl, NewExecution, Parent, ParentRelation};

    fn object(n: u32, text: &str) -> ExecutionObject {
        serde_json::from_value(json!({
            "execution_id": id(n).to_string(), "session_id": id(n).to_string(), "status": "completed",
            "executed_nodes_count": 1, "messages_count": 0, "started_at": "2026-01-02T03:04:05.678Z",
            "final_output": text,
        }))
        .expect("an execution object")
    }

    fn look(finished: &Finished, test: &TestStore, n: u32, make: impl FnOnce() -> ExecutionObject) -> Shown {
        let (clock, key) = (test.clock.as_ref(), (id(n), View::default()));
        match finished.known(&test.store, clock, &key.0, &key.1).expect("readable") {
            Some(kept) => Shown::Kept(kept),
            None => finished.show(&test.store, clock, key, Some("ada".into()), || Ok(make())).expect("shown"),
        }
    }

    /// Shows execution `n` and says what was shown and whether it had to be made.
    fn show(finished: &Finished, test: &TestStore, n: u32, text: &str) -> (String, bool) {
        let mut was_made = false;
        let shown = look(finished, test, n, || {
            was_made = true;
            object(n, text)
        });
        assert!(
            matches!(&shown, Shown::Fresh(_)) || matches!(&shown, Shown::Kept(it) if it.principal() == Some("ada"))
        );
        (shown.final_output.clone().expect("an output").to_string(), was_made)
    }

    async fn ended(test: &TestStore, n: u32) {
        ended_as(test, n, Status::Completed).await;
    }

    async fn ended_as(test: &TestStore, n: u32, status: Status) {
        let new = NewExecution { owner: Some("me".into()), ..execution(n) };
        test.store.create_execution(new).await.expect("created");
        let mut last = batch(n, "me", 2..=2);
        last.summary.status = status;
        last.summary.ended_at = Some(NOON);
        test.store.append(last).await.expect("queued").durable().await.expect("written");
    }

    fn child(n: u32, of: u32) -> NewExecution {
        let place = Some("n:1".to_owned());
        let parent = Some(Parent { execution_id: id(of), relation: ParentRelation::Child, place });
        NewExecution { parent, ..execution(n) }
    }

    #[tokio::test]
    async fn what_has_ended_is_made_once_and_what_runs_each_time() {
        let (test, finished) = (TestStore::new(), Finished::default());
        ended(&test, 1).await;
        test.store.create_execution(execution(2)).await.expect("created");
        assert_eq!(show(&finished, &test, 1, "a"), ("\"a\"".into(), true));
        assert_eq!(show(&finished, &test, 1, "b"), ("\"a\"".into(), false));
        assert_eq!(show(&finished, &test, 2, "a"), ("\"a\"".into(), true));
        assert_eq!(show(&finished, &test, 2, "b"), ("\"b\"".into(), true));
    }

    #[tokio::test]
    async fn a_commit_here_or_time_for_one_elsewhere_makes_it_ask_and_a_difference_makes_it_anew() {
        let (test, finished) = (TestStore::new(), Finished::default());
        ended(&test, 1).await;
        show(&finished, &test, 1, "a");
        test.store.create_execution(execution(2)).await.expect("created");
        assert_eq!(show(&finished, &test, 1, "b"), ("\"a\"".into(), false), "another execution changes nothing");

        let other = test.another();
        other.create_execution(child(3, 1)).await.expect("created");
        assert_eq!(show(&finished, &test, 1, "c"), ("\"a\"".into(), false), "not known of yet");
        test.clock.advance_ms(1_000);
        assert_eq!(show(&finished, &test, 1, "d"), ("\"d\"".into(), true), "it has a child now");
        other.create_execution(child(4, 1)).await.expect("created");
        test.clock.advance_ms(-60_000);
        assert_eq!(show(&finished, &test, 1, "e"), ("\"e\"".into(), true), "a clock set back proves nothing");
    }

    #[tokio::test]
    async fn what_another_process_opened_again_is_not_shown_as_ended_to_whoever_saw_that() {
        let (test, finished) = (TestStore::new(), Finished::default());
        ended_as(&test, 1, Status::Aborted).await;
        show(&finished, &test, 1, "a");
        assert_eq!(show(&finished, &test, 1, "b"), ("\"a\"".into(), false), "nobody did");
        let actor = Some("ada".to_owned());
        let resume = NewControl { execution_id: id(1), action: "resume".into(), node: None, value: None, actor };
        assert!(test.another().open_again(resume, None, None, "other").await.expect("opened"));
        assert_eq!(show(&finished, &test, 1, "c"), ("\"c\"".into(), true));
    }

    #[tokio::test]
    async fn a_form_is_made_once_for_what_is_kept() {
        let (test, finished) = (TestStore::new(), Finished::default());
        ended(&test, 1).await;
        let shown = || look(&finished, &test, 1, || object(1, "a"));
        for (expected, made) in [("first", "first"), ("first", "second")] {
            assert_eq!(shown().form(|_| Ok(made.to_owned())).expect("made"), expected);
        }
        assert_eq!(shown().form(|_| Ok(7_u8)).expect("made"), 7, "another adapter's form is its own");
        let fresh = Shown::Fresh(Box::new(object(1, "a")));
        assert_eq!(fresh.form(|it| Ok(it.status)).expect("made"), Status::Completed);
    }

    #[tokio::test]
    async fn the_memory_is_bounded_and_forgets_what_was_not_looked_at() {
        let mut entries = Entries::default();
        let test = TestStore::new();
        let asked = Asked::now(&test.store, test.clock.as_ref());
        let ground = Ground { stamp: Stamp { status: Status::Completed, last_seq: 1, n_children: 0 }, asked };
        let text = "x".repeat(10_000);
        let n_fitting = u32::try_from(FINISHED_BYTES_MAX / bytes_of(&object(0, &text))).expect("few");
        for n in 0..3 * n_fitting {
            entries.keep((id(n), View::default()), object(n, &text), None, ground.clone());
            entries.look(&(id(0), View::default()), asked);
            assert!(entries.n_bytes <= FINISHED_BYTES_MAX, "{n}");
            assert_eq!(entries.n_bytes, entries.by_view.values().map(|it| it.n_bytes).sum::<usize>());
        }
        assert!(entries.by_view.contains_key(&(id(0), View::default())), "it was looked at all the time");
        assert!(!entries.by_view.contains_key(&(id(1), View::default())));
        let huge = entries.keep((id(9_999), View::default()), object(1, &"x".repeat(FINISHED_BYTES_MAX)), None, ground);
        assert!(matches!(huge, Shown::Fresh(_)));
    }
}
