//! Which process may run which execution. An owner lives as long as its lease; what a dead one held, or
//! nobody does, may be claimed. Every comparison happens inside the writer's transaction, so exactly one
//! of several processes wins.

use rusqlite::{Connection, Row, params};

use super::Store;
use super::columns::{Moment, NOT_ENDED, Whole, limit};
use super::failure::Failure;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::limits;

/// How long the row of a dead owner stays for people to look at, in milliseconds.
const DEAD_OWNER_KEPT_MS: i64 = 60 * 60 * 1_000;

/// A process that wants to own executions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOwner {
    /// From [`crate::ids::owner_id`].
    pub owner: String,
    pub pid: u32,
    pub host: String,
    /// What it is: `run`, `mcp`, `serve`, `drain` …
    pub kind: String,
    /// Where it can be reached, when it can.
    pub url: Option<String>,
}

/// An owner as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerRow {
    pub owner: String,
    pub pid: u32,
    pub host: String,
    pub kind: String,
    pub url: Option<String>,
    pub started_at: Timestamp,
    pub lease_expires_at: Timestamp,
}

/// An execution that now belongs to whoever claimed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    pub execution_id: ExecutionId,
    /// Who held it and died; absent when nobody did.
    pub previous_owner: Option<String>,
    /// Where its log ends.
    pub last_seq: u64,
}

impl Store {
    /// Makes this process known, with a lease from now. Registering again renews it.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub async fn register_owner(&self, owner: NewOwner) -> Result<(), Error> {
        let now = self.clock.now();
        self.writer.write(move |connection| register(connection, &owner, now)).await
    }

    /// Extends the lease by [`limits::LEASE`] from now.
    ///
    /// # Errors
    ///
    /// `LEASE_LOST` when the owner is not registered (any more); failures of the database.
    pub async fn renew_lease(&self, owner: &str) -> Result<(), Error> {
        let (owner, now) = (owner.to_owned(), self.clock.now());
        self.writer.write(move |connection| renew(connection, &owner, now)).await
    }

    /// Removes the owner and lets go of its executions, so that others may claim them at once.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub async fn release_owner(&self, owner: &str) -> Result<(), Error> {
        let owner = owner.to_owned();
        self.writer.write(move |connection| release(connection, &owner)).await
    }

    /// Claims up to `n_max` executions that have not ended, that no living owner holds and that need somebody;
    /// `only` names the one wanted, paused or not. An execution this owner holds already is not claimed again.
    /// Register first: what an unknown owner holds, anybody may claim.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub async fn claim(&self, owner: &str, only: Option<&ExecutionId>, n_max: usize) -> Result<Vec<Claimed>, Error> {
        let (owner, only, now) = (owner.to_owned(), only.cloned(), self.clock.now());
        self.writer.write(move |connection| claim(connection, &owner, only.as_ref(), n_max, now)).await
    }

    /// Counts the executions somebody should claim: no living owner holds them, and they cannot wait.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn unowned_open(&self) -> Result<u64, Error> {
        let now = Moment(self.clock.now());
        self.readers.read(|connection| {
            let sql = format!("SELECT count(*) FROM executions WHERE {NOT_ENDED} AND {UNOWNED} AND {NEEDS_SOMEBODY}");
            Ok(connection.prepare_cached(&sql)?.query_row([now], |row| row.get::<_, Whole>(0))?.0)
        })
    }

    /// Counts the executions of `owner` that keep it busy: not those that only wait for an answer.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn busy(&self, owner: &str) -> Result<u64, Error> {
        self.readers.read(|connection| {
            let sql = format!("SELECT count(*) FROM executions WHERE {NOT_ENDED} AND owner = ?1 AND {NEEDS_SOMEBODY}");
            Ok(connection.prepare_cached(&sql)?.query_row([owner], |row| row.get::<_, Whole>(0))?.0)
        })
    }

    /// Returns the owners whose lease holds, oldest first.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn live_owners(&self) -> Result<Vec<OwnerRow>, Error> {
        let now = Moment(self.clock.now());
        self.readers.read(|connection| {
            let sql = "SELECT owner, pid, host, kind, url, started_at, lease_expires_at FROM owners
                        WHERE lease_expires_at > ?1 ORDER BY started_at, rowid";
            let mut statement = connection.prepare_cached(sql)?;
            Ok(statement.query_map([now], read_row)?.collect::<Result<_, _>>()?)
        })
    }
}

/// True of an execution that cannot wait for an owner: it is to run, has a request waiting, a question in it
/// expires, or a child that it waits with has moved since it paused. One that is only paused needs nobody until
/// somebody answers.
const NEEDS_SOMEBODY: &str = "(status <> 'paused' OR deadline_at IS NOT NULL OR EXISTS (SELECT 1 FROM controls
    WHERE controls.execution_id = executions.execution_id AND applied_at IS NULL)
    OR EXISTS (SELECT 1 FROM executions AS child WHERE child.parent_execution_id = executions.execution_id
    AND child.parent_place IS NOT NULL AND child.parent_relation = 'child'
    AND child.last_activity_at > executions.last_activity_at))";

/// True of an execution whose owner is nobody, dead or unknown, and that is to be run here; parameter 1 is the present.
pub(super) const UNOWNED: &str = "kind <> 'external' AND (owner IS NULL OR NOT EXISTS (SELECT 1 FROM owners WHERE owners.owner = executions.owner AND lease_expires_at > ?1))";

pub(super) fn read_row(row: &Row<'_>) -> Result<OwnerRow, rusqlite::Error> {
    Ok(OwnerRow {
        owner: row.get(0)?,
        pid: row.get(1)?,
        host: row.get(2)?,
        kind: row.get(3)?,
        url: row.get(4)?,
        started_at: row.get::<_, Moment>(5)?.0,
        lease_expires_at: row.get::<_, Moment>(6)?.0,
    })
}

fn lease_end(now: Timestamp) -> Moment {
    Moment(now.plus_ms(i64::try_from(limits::LEASE.as_millis()).unwrap_or(i64::MAX)))
}

fn register(connection: &Connection, new: &NewOwner, now: Timestamp) -> Result<(), Failure> {
    let forgotten = Moment(now.plus_ms(-DEAD_OWNER_KEPT_MS));
    connection.prepare_cached("DELETE FROM owners WHERE lease_expires_at < ?1")?.execute([forgotten])?;
    let sql = "INSERT INTO owners (owner, pid, host, kind, url, started_at, lease_expires_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
               ON CONFLICT (owner) DO UPDATE SET url = excluded.url, lease_expires_at = excluded.lease_expires_at";
    connection.prepare_cached(sql)?.execute(params![
        new.owner,
        new.pid,
        new.host,
        new.kind,
        new.url,
        Moment(now),
        lease_end(now),
    ])?;
    Ok(())
}

fn renew(connection: &Connection, owner: &str, now: Timestamp) -> Result<(), Failure> {
    let sql = "UPDATE owners SET lease_expires_at = ?2 WHERE owner = ?1";
    if connection.prepare_cached(sql)?.execute(params![owner, lease_end(now)])? == 0 {
        let message = format!("the owner `{owner}` is not registered");
        return Err(Error::conflict("LEASE_LOST", message)
            .hint("its lease ran out long ago or it was released; register it again")
            .into());
    }
    Ok(())
}

fn release(connection: &Connection, owner: &str) -> Result<(), Failure> {
    connection.prepare_cached("DELETE FROM owners WHERE owner = ?1")?.execute([owner])?;
    let sql = format!("UPDATE executions SET owner = NULL WHERE owner = ?1 AND {NOT_ENDED}");
    connection.prepare_cached(&sql)?.execute([owner])?;
    Ok(())
}

fn claim(
    connection: &Connection,
    owner: &str,
    only: Option<&ExecutionId>,
    n_max: usize,
    now: Timestamp,
) -> Result<Vec<Claimed>, Failure> {
    let which =
        if only.is_some() { "execution_id = ?3".to_owned() } else { format!("?3 IS NULL AND {NEEDS_SOMEBODY}") };
    let sql = format!(
        "SELECT execution_id, owner, last_seq FROM executions
          WHERE {NOT_ENDED} AND {UNOWNED} AND owner IS NOT ?2 AND {which} ORDER BY rowid LIMIT ?4"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let only = only.map(ExecutionId::as_str);
    let rows = statement.query_map(params![Moment(now), owner, only, limit(Some(n_max))], |row| {
        Ok((row.get::<_, String>(0)?, row.get(1)?, row.get::<_, Whole>(2)?.0))
    })?;
    let mut claimed = Vec::new();
    for row in rows {
        let (execution_id, previous_owner, last_seq) = row?;
        claimed.push(Claimed { execution_id: ExecutionId::parse(&execution_id)?, previous_owner, last_seq });
    }
    let mut take = connection.prepare_cached("UPDATE executions SET owner = ?1 WHERE execution_id = ?2")?;
    for it in &claimed {
        take.execute((owner, it.execution_id.as_str()))?;
    }
    Ok(claimed)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOON, TestStore, batch, execution, id, owner};
    use super::super::{NewControl, NewExecution, Parent, ParentRelation};
    use crate::engine::{Journal, Status};

    const LEASE_MS: i64 = 15_000;

    async fn create(test: &TestStore, n: u32, owner: Option<&str>) {
        let new = NewExecution { owner: owner.map(Into::into), ..execution(n) };
        test.store.create_execution(new).await.expect("created");
    }

    async fn end(test: &TestStore, n: u32, owner: &str, status: Status) {
        let mut batch = batch(n, owner, 2..=2);
        batch.summary.status = status;
        test.store.append(batch).await.expect("queued").durable().await.expect("written");
    }

    async fn claim(test: &TestStore, owner: &str) -> Vec<(u128, Option<String>, u64)> {
        let claimed = test.store.claim(owner, None, 100).await.expect("claims");
        claimed
            .into_iter()
            .map(|it| {
                let n = u128::from_str_radix(&it.execution_id.as_str()[5..], 16).expect("hex");
                (n, it.previous_owner, it.last_seq)
            })
            .collect()
    }

    #[tokio::test]
    async fn what_nobody_living_holds_may_be_claimed_once() {
        let test = TestStore::new();
        for name in ["dead", "living", "me"] {
            test.store.register_owner(owner(name)).await.expect("registered");
        }
        for (n, owner) in [(1, None), (2, Some("dead")), (3, Some("living")), (4, Some("unknown")), (5, Some("me"))] {
            create(&test, n, owner).await;
        }
        create(&test, 6, Some("dead")).await;
        end(&test, 6, "dead", Status::Completed).await;
        test.clock.advance_ms(LEASE_MS - 1);
        test.store.renew_lease("living").await.expect("renewed");
        assert_eq!(claim(&test, "me").await, [(1, None, 1), (4, Some("unknown".into()), 1)]);
        test.clock.advance_ms(1);
        test.store.renew_lease("me").await.expect("renewed");
        assert_eq!(claim(&test, "me").await, [(2, Some("dead".into()), 1)]);
        assert_eq!(claim(&test, "me").await, []);
        let owners: Vec<_> = test.store.live_owners().expect("reads").into_iter().map(|it| it.owner).collect();
        assert_eq!(owners, ["living", "me"]);
    }

    #[tokio::test]
    async fn a_claim_may_be_limited_to_one_execution_or_a_number() {
        let test = TestStore::new();
        for n in 1..=4 {
            create(&test, n, None).await;
        }
        test.store.register_owner(owner("me")).await.expect("registered");
        let only = test.store.claim("me", Some(&id(3)), 9).await.expect("claims");
        assert_eq!(only.iter().map(|it| it.execution_id.clone()).collect::<Vec<_>>(), [id(3)]);
        assert_eq!(test.store.claim("me", Some(&id(9)), 9).await.expect("claims"), []);
        let two = test.store.claim("me", None, 2).await.expect("claims");
        assert_eq!(two.iter().map(|it| it.execution_id.clone()).collect::<Vec<_>>(), [id(1), id(2)]);
    }

    #[tokio::test]
    async fn whoever_lost_an_execution_cannot_write_to_it() {
        let test = TestStore::new();
        test.store.register_owner(owner("slow")).await.expect("registered");
        create(&test, 1, Some("slow")).await;
        test.clock.advance_ms(LEASE_MS);
        test.store.register_owner(owner("me")).await.expect("registered");
        assert_eq!(claim(&test, "me").await, [(1, Some("slow".into()), 1)]);
        test.store.renew_lease("slow").await.expect("it is only slow");
        let late = test.store.append(batch(1, "slow", 2..=2)).await.expect("queued").durable().await;
        assert_eq!(late.expect_err("lost").code(), "LEASE_LOST");
        test.store.append(batch(1, "me", 2..=2)).await.expect("queued").durable().await.expect("written");
    }

    #[tokio::test]
    async fn a_released_owner_leaves_its_executions_to_others_at_once() {
        let test = TestStore::new();
        test.store.register_owner(owner("first")).await.expect("registered");
        create(&test, 1, Some("first")).await;
        assert_eq!(test.store.unowned_open().expect("reads"), 0);
        test.store.release_owner("first").await.expect("released");
        assert_eq!(test.store.unowned_open().expect("reads"), 1);
        assert_eq!(claim(&test, "second").await, [(1, None, 1)]);
        assert_eq!(test.store.renew_lease("first").await.expect_err("gone").code(), "LEASE_LOST");
    }

    #[tokio::test]
    async fn a_paused_execution_needs_nobody_until_somebody_asks_something() {
        let test = TestStore::new();
        test.store.register_owner(owner("me")).await.expect("registered");
        create(&test, 1, Some("me")).await;
        end(&test, 1, "me", Status::Paused).await;
        test.store.release_owner("me").await.expect("released");
        assert_eq!(test.store.unowned_open().expect("reads"), 0);
        let control = NewControl { execution_id: id(1), action: "answer".into(), node: None, value: None, actor: None };
        test.store.add_control(control).await.expect("added");
        assert_eq!(test.store.unowned_open().expect("reads"), 1);
    }

    #[tokio::test]
    async fn a_paused_parent_needs_somebody_once_its_child_has_moved() {
        for (relation, expected) in [(ParentRelation::Child, 1), (ParentRelation::Launched, 0)] {
            let test = TestStore::new();
            test.store.register_owner(owner("me")).await.expect("registered");
            create(&test, 1, Some("me")).await;
            let parent = Parent { execution_id: id(1), relation, place: Some("n:1".into()) };
            let child = NewExecution { owner: Some("me".into()), parent: Some(parent), ..execution(2) };
            test.store.create_execution(child).await.expect("created");
            end(&test, 2, "me", Status::Paused).await;
            end(&test, 1, "me", Status::Paused).await;
            test.store.release_owner("me").await.expect("released");
            assert_eq!(test.store.unowned_open().expect("reads"), 0, "both wait");
            test.store.register_owner(owner("me")).await.expect("registered");
            test.store.claim("me", Some(&id(2)), 1).await.expect("claimed");
            let mut answered = batch(2, "me", 3..=3);
            answered.summary.last_activity_at = NOON.plus_ms(1);
            test.store.append(answered).await.expect("queued").durable().await.expect("written");
            assert_eq!(test.store.unowned_open().expect("reads"), expected, "{relation:?}");
        }
    }

    #[tokio::test]
    async fn only_what_cannot_wait_keeps_an_owner_busy() {
        let test = TestStore::new();
        test.store.register_owner(owner("own_a")).await.expect("registered");
        create(&test, 1, Some("own_a")).await;
        assert_eq!(test.store.busy("own_a").expect("readable"), 1);
        end(&test, 1, "own_a", Status::Paused).await;
        assert_eq!(test.store.busy("own_a").expect("readable"), 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn two_processes_that_claim_at_once_never_get_the_same_execution() {
        let test = TestStore::new();
        let other = test.another();
        for n in 0..40 {
            create(&test, n, None).await;
        }
        test.store.register_owner(owner("a")).await.expect("registered");
        other.register_owner(owner("b")).await.expect("registered");
        let mut won = Vec::new();
        for n in 0..40 {
            let id = id(n);
            let (a, b) = tokio::join!(test.store.claim("a", Some(&id), 1), other.claim("b", Some(&id), 1));
            let (a, b) = (a.expect("answered"), b.expect("answered"));
            assert_eq!(a.len() + b.len(), 1, "{a:?} {b:?}");
            won.extend(a.into_iter().chain(b));
        }
        assert_eq!(won.len(), 40);
    }
}
