//! The texts that ran or were saved, once each, and the saved versions of diagrams.

use rusqlite::{Connection, OptionalExtension};

use super::Store;
use super::columns::{Moment, Whole};
use super::failure::Failure;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::nodes::rights::Origin;

/// A diagram's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Lower-case hex SHA-256 of `content`; the caller computed it.
    pub sha256: String,
    /// `light`, `readable` or `native`.
    pub format: String,
    pub content: String,
}

/// A version to save.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRevision {
    /// The diagram's name.
    pub diagram_id: String,
    pub source: Source,
    pub message: Option<String>,
    pub author: Option<String>,
    /// Whether a client sent the text.
    pub submitted: bool,
}

/// A saved version of a diagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionRow {
    pub diagram_id: String,
    /// From 1, per diagram.
    pub n: u64,
    pub sha256: String,
    pub message: Option<String>,
    pub author: Option<String>,
    pub created_at: Timestamp,
    pub submitted: bool,
}

impl Store {
    /// Saves a version and returns its number. The content of the current version again is that version; an
    /// older content again (a restore) is a new one, because history is never rewritten. A text that a client
    /// ever sent stays submitted.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub async fn save_revision(&self, new: NewRevision) -> Result<u64, Error> {
        let now = self.clock.now();
        self.writer.write(move |connection| save_revision(connection, &new, now)).await
    }

    /// Returns the text with this hash.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn source(&self, sha256: &str) -> Result<Option<Source>, Error> {
        self.readers.read(|connection| {
            let sql = "SELECT sha256, format, content FROM sources WHERE sha256 = ?1";
            let source = connection.prepare_cached(sql)?.query_row([sha256], |row| {
                Ok(Source { sha256: row.get(0)?, format: row.get(1)?, content: row.get(2)? })
            });
            Ok(source.optional()?)
        })
    }

    /// Whether a client sent the text with this hash, under whatever name.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn is_submitted(&self, sha256: &str) -> Result<bool, Error> {
        self.readers.read(|connection| {
            let sql = "SELECT 1 FROM revisions WHERE sha256 = ?1 AND submitted = 1 LIMIT 1";
            Ok(connection.prepare_cached(sql)?.exists([sha256])?)
        })
    }

    /// Returns the saved versions of a diagram, newest first; none when it was never saved.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn revisions(&self, diagram_id: &str) -> Result<Vec<RevisionRow>, Error> {
        self.readers.read(|connection| {
            let sql = "SELECT diagram_id, n, sha256, message, author, created_at, submitted FROM revisions
                        WHERE diagram_id = ?1 ORDER BY n DESC";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([diagram_id], |row| {
                Ok(RevisionRow {
                    diagram_id: row.get(0)?,
                    n: row.get::<_, Whole>(1)?.0,
                    sha256: row.get(2)?,
                    message: row.get(3)?,
                    author: row.get(4)?,
                    created_at: row.get::<_, Moment>(5)?.0,
                    submitted: row.get(6)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

/// Keeps a text unless it is there already.
pub(super) fn keep_source(connection: &Connection, source: &Source) -> Result<(), Failure> {
    let sql = "INSERT INTO sources (sha256, format, content) VALUES (?1, ?2, ?3) ON CONFLICT (sha256) DO NOTHING";
    connection.prepare_cached(sql)?.execute((&source.sha256, &source.format, &source.content))?;
    Ok(())
}

fn save_revision(connection: &Connection, new: &NewRevision, now: Timestamp) -> Result<u64, Failure> {
    keep_source(connection, &new.source)?;
    let current = current_revision(connection, &new.diagram_id)?;
    if let Some((n, sha256)) = &current
        && *sha256 == new.source.sha256
    {
        if new.submitted {
            let sql = "UPDATE revisions SET submitted = 1 WHERE diagram_id = ?1 AND n = ?2";
            connection.prepare_cached(sql)?.execute((&new.diagram_id, Whole(*n)))?;
        }
        return Ok(*n);
    }
    let n = current.map_or(1, |(n, _)| n + 1);
    upsert_diagram(connection, new, n, now)?;
    let sql = "INSERT INTO revisions (diagram_id, n, sha256, message, author, created_at, submitted)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    connection.prepare_cached(sql)?.execute((
        &new.diagram_id,
        Whole(n),
        &new.source.sha256,
        &new.message,
        &new.author,
        Moment(now),
        new.submitted,
    ))?;
    Ok(n)
}

fn current_revision(connection: &Connection, diagram_id: &str) -> Result<Option<(u64, String)>, Failure> {
    let sql = "SELECT n, sha256 FROM revisions WHERE diagram_id = ?1 ORDER BY n DESC LIMIT 1";
    let current = connection
        .prepare_cached(sql)?
        .query_row([diagram_id], |row| Ok((row.get::<_, Whole>(0)?.0, row.get(1)?)))
        .optional()?;
    Ok(current)
}

fn upsert_diagram(connection: &Connection, new: &NewRevision, n: u64, now: Timestamp) -> Result<(), Failure> {
    let origin = if new.submitted { Origin::Submitted } else { Origin::Workspace };
    let sql = "INSERT INTO diagrams (id, name, current_revision, origin, created_at, updated_at)
               VALUES (?1, ?1, ?2, ?3, ?4, ?4)
               ON CONFLICT (id) DO UPDATE SET current_revision = excluded.current_revision,
                   origin = excluded.origin, updated_at = excluded.updated_at";
    connection.prepare_cached(sql)?.execute((&new.diagram_id, Whole(n), origin.name(), Moment(now)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOON, TestStore};
    use super::*;

    fn revision(diagram_id: &str, content: &str, submitted: bool) -> NewRevision {
        NewRevision {
            diagram_id: diagram_id.to_owned(),
            source: Source {
                sha256: format!("hash of {content}"),
                format: "light".to_owned(),
                content: content.to_owned(),
            },
            message: None,
            author: Some("ada".to_owned()),
            submitted,
        }
    }

    #[tokio::test]
    async fn only_a_change_of_content_makes_a_new_revision() {
        let test = TestStore::new();
        for (diagram, content, want) in
            [("a", "x", 1), ("a", "x", 1), ("a", "y", 2), ("b", "y", 1), ("a", "x", 3), ("a", "x", 3)]
        {
            let n = test.store.save_revision(revision(diagram, content, false)).await.expect("saved");
            assert_eq!(n, want, "{diagram} {content}");
        }
        let rows = test.store.revisions("a").expect("reads");
        let shown: Vec<_> = rows.iter().map(|it| (it.n, it.sha256.as_str(), it.created_at)).collect();
        assert_eq!(shown, [(3, "hash of x", NOON), (2, "hash of y", NOON), (1, "hash of x", NOON)]);
        assert_eq!(test.store.revisions("c").expect("reads"), []);
    }

    #[tokio::test]
    async fn a_text_a_client_ever_sent_is_submitted_under_every_name() {
        let test = TestStore::new();
        let is_submitted = |content: &str| test.store.is_submitted(&format!("hash of {content}")).expect("reads");
        test.store.save_revision(revision("mine", "x", false)).await.expect("saved");
        assert!(!is_submitted("x") && !is_submitted("never seen"));
        test.store.save_revision(revision("mine", "x", true)).await.expect("saved");
        assert!(is_submitted("x"));
        test.store.save_revision(revision("copy", "x", false)).await.expect("saved");
        assert!(is_submitted("x"));
    }
}
