//! The tokens that clients show over HTTP: who they speak for, what they allow, until when. It never sees a
//! token, only its SHA-256.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Store;
use super::columns::Moment;
use super::failure::Failure;
use crate::clock::Timestamp;
use crate::error::Error;

/// How much later a use is noted again, in milliseconds: a write for each request would cost more than the request.
const USES_APART_MS: i64 = 60 * 60 * 1000;

/// A token to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    pub id: String,
    pub name: Option<String>,
    pub principal: String,
    /// Names of scopes, separated by blanks.
    pub scopes: String,
    /// Digest of the token, in lower-case hex.
    pub sha256: String,
    /// Absent means that it does not expire.
    pub expires_at: Option<Timestamp>,
}

/// A token as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    pub id: String,
    pub name: Option<String>,
    pub principal: String,
    /// Names of scopes, separated by blanks.
    pub scopes: String,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    /// To the hour.
    pub last_used_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

impl TokenRow {
    /// Says whether the token opens anything at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|it| now < it)
    }
}

/// Everything a query of this file selects, in the order [`read_row`] reads it.
const COLUMNS: &str = "id, name, principal, scopes, created_at, expires_at, last_used_at, revoked_at";

impl Store {
    /// Writes a token.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub async fn add_token(&self, new: NewToken) -> Result<(), Error> {
        let now = self.clock.now();
        self.writer.write(move |connection| add(connection, &new, now)).await
    }

    /// Revokes every live token with this id or name and returns how many there were.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub async fn revoke_token(&self, id_or_name: &str) -> Result<usize, Error> {
        let (id_or_name, now) = (id_or_name.to_owned(), self.clock.now());
        self.writer
            .write(move |connection| {
                let sql = "UPDATE api_tokens SET revoked_at = ?2 WHERE (id = ?1 OR name = ?1) AND revoked_at IS NULL";
                Ok(connection.prepare_cached(sql)?.execute(params![id_or_name, Moment(now)])?)
            })
            .await
    }

    /// Deletes what opens nothing any more and returns how many there were.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub async fn forget_dead_tokens(&self) -> Result<usize, Error> {
        let now = self.clock.now();
        self.writer
            .write(move |connection| {
                let sql = "DELETE FROM api_tokens WHERE revoked_at IS NOT NULL OR expires_at <= ?1";
                Ok(connection.prepare_cached(sql)?.execute([Moment(now)])?)
            })
            .await
    }

    /// Returns every token, the newest last.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn tokens(&self) -> Result<Vec<TokenRow>, Error> {
        self.readers.read(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM api_tokens ORDER BY created_at, rowid");
            let mut statement = connection.prepare_cached(&sql)?;
            Ok(statement.query_map([], read_row)?.collect::<Result<_, _>>()?)
        })
    }

    /// Says whether there is any token, live or not.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn has_tokens(&self) -> Result<bool, Error> {
        self.readers.read(|connection| {
            let sql = "SELECT EXISTS (SELECT 1 FROM api_tokens)";
            Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
        })
    }

    /// Returns the token with this digest and notes its use, at most once an hour and without waiting for it.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub async fn use_token(&self, sha256: &str) -> Result<Option<TokenRow>, Error> {
        let found = self.readers.read(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM api_tokens WHERE sha256 = ?1");
            Ok(connection.prepare_cached(&sql)?.query_row([sha256], read_row).optional()?)
        })?;
        let now = self.clock.now();
        let Some(token) = found else { return Ok(None) };
        let is_due = token.last_used_at.is_none_or(|it| now.since_ms(it) >= USES_APART_MS);
        if is_due && token.is_live(now) {
            let id = token.id.clone();
            // Nobody waits for the outcome: the note is a courtesy to whoever lists the tokens.
            drop(self.writer.enqueue(move |connection| note_use(connection, &id, now)).await?);
        }
        Ok(Some(token))
    }
}

fn add(connection: &Connection, new: &NewToken, now: Timestamp) -> Result<(), Failure> {
    let sql = "INSERT INTO api_tokens (id, name, principal, scopes, sha256, created_at, expires_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    connection.prepare_cached(sql)?.execute(params![
        new.id,
        new.name,
        new.principal,
        new.scopes,
        new.sha256,
        Moment(now),
        new.expires_at.map(Moment),
    ])?;
    Ok(())
}

fn note_use(connection: &Connection, id: &str, now: Timestamp) -> Result<(), Failure> {
    let sql = "UPDATE api_tokens SET last_used_at = ?2 WHERE id = ?1";
    connection.prepare_cached(sql)?.execute(params![id, Moment(now)])?;
    Ok(())
}

fn read_row(row: &Row<'_>) -> Result<TokenRow, rusqlite::Error> {
    let moment = |at: Option<Moment>| at.map(|it| it.0);
    Ok(TokenRow {
        id: row.get(0)?,
        name: row.get(1)?,
        principal: row.get(2)?,
        scopes: row.get(3)?,
        created_at: row.get::<_, Moment>(4)?.0,
        expires_at: moment(row.get(5)?),
        last_used_at: moment(row.get(6)?),
        revoked_at: moment(row.get(7)?),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOON, TestStore};
    use super::*;

    fn token(n: u32, expires_at: Option<Timestamp>) -> NewToken {
        NewToken {
            id: format!("tok_{n}"),
            name: Some("laptop".to_owned()),
            principal: "ada".to_owned(),
            scopes: "diagram:read".to_owned(),
            sha256: format!("{n:064x}"),
            expires_at,
        }
    }

    #[tokio::test]
    async fn a_token_lives_until_it_expires_or_is_revoked() {
        let test = TestStore::new();
        assert!(!test.store.has_tokens().expect("reads"));
        test.store.add_token(token(1, Some(NOON.plus_ms(1_000)))).await.expect("written");
        test.store.add_token(token(2, None)).await.expect("written");
        let is_live = async |n: u32, at: Timestamp| {
            let row = test.store.use_token(&format!("{n:064x}")).await.expect("reads");
            row.is_some_and(|it| it.is_live(at))
        };
        assert!(is_live(1, NOON.plus_ms(999)).await && !is_live(1, NOON.plus_ms(1_000)).await);
        assert!(is_live(2, NOON.plus_ms(1_000_000)).await && !is_live(3, NOON).await);
        // Another process sees a revocation with its next look.
        assert_eq!(test.another().revoke_token("tok_2").await.expect("written"), 1);
        assert!(!is_live(2, NOON).await);
        assert_eq!(test.store.revoke_token("tok_2").await.expect("written"), 0, "it is revoked already");
        assert_eq!(test.store.revoke_token("laptop").await.expect("written"), 1, "a name is as good");
        assert!(test.store.has_tokens().expect("reads"), "a dead token still counts");
        assert_eq!(test.store.forget_dead_tokens().await.expect("written"), 2);
        assert!(!test.store.has_tokens().expect("reads"));
    }

    #[tokio::test]
    async fn a_use_is_noted_once_an_hour() {
        let test = TestStore::new();
        test.store.add_token(token(1, None)).await.expect("written");
        let n_commits = test.store.commits();
        for _ in 0..3 {
            test.store.use_token(&format!("{:064x}", 1)).await.expect("reads");
            // The note is queued before this write.
            test.store.revoke_token("nothing").await.expect("written");
        }
        let row = test.store.tokens().expect("reads").remove(0);
        assert_eq!((row.last_used_at, row.created_at), (Some(NOON), NOON));
        test.clock.advance_ms(USES_APART_MS);
        test.store.use_token(&format!("{:064x}", 1)).await.expect("reads");
        test.store.revoke_token("nothing").await.expect("written");
        assert_eq!(test.store.tokens().expect("reads")[0].last_used_at, Some(NOON.plus_ms(USES_APART_MS)));
        assert!(test.store.commits() > n_commits);
    }
}
