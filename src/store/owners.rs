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

/// True of an execution that cannot wait for an owner: it is to run, has a request waiting, or a question in
/// it expires. One that is only paused needs nobody until somebody answers.
const NEEDS_SOMEBODY: &str = "(status <> 'paused' OR deadline_at IS NOT NULL OR EXISTS (SELECT 1 FROM controls
    WHERE controls.execution_id = executions.execution_id AND applied_at IS NULL))";

/// True of an execution whose owner is nobody, dead or unknown; parameter 1 is the present.
const UNOWNED: &str = "(owner IS NULL OR NOT EXISTS (SELECT 1 FROM owners WHERE owners.owner = executions.owner AND lease_expires_at > ?1))";

fn read_row(row: &Row<'_>) -> Result<OwnerRow, rusqlite::Error> {
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
