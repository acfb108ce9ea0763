//! The texts that ran or were saved, once each, and the saved versions of diagrams.

use rusqlite::{Connection, OptionalExtension, Row};

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

/// A diagram that was ever saved, as of its newest version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiagramRow {
    pub diagram_id: String,
    pub current_revision: u64,
    /// Of the newest version.
    pub sha256: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
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

    /// As [`Store::save_revision`], but only as long as the newest version is still `current` (`None`: there is
    /// none); returns nothing when it is not.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub async fn save_revision_after(&self, current: Option<u64>, new: NewRevision) -> Result<Option<u64>, Error> {
        let now = self.clock.now();
        self.writer
            .write(move |connection| {
                let found = current_revision(connection, &new.diagram_id)?.map(|it| it.0);
                if found == current { save_revision(connection, &new, now).map(Some) } else { Ok(None) }
            })
            .await
    }

    /// Gives a version another message; says whether there is such a version.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub async fn label_revision(&self, diagram_id: String, n: u64, message: String) -> Result<bool, Error> {
        self.writer
            .write(move |connection| {
                let sql = "UPDATE revisions SET message = ?3 WHERE diagram_id = ?1 AND n = ?2";
                Ok(connection.prepare_cached(sql)?.execute((&diagram_id, Whole(n), &message))? > 0)
            })
            .await
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
            let sql = format!("SELECT {REVISION} FROM revisions WHERE diagram_id = ?1 ORDER BY n DESC");
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map([diagram_id], read_revision)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Returns one saved version of a diagram; the newest when no number is given.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn revision(&self, diagram_id: &str, n: Option<u64>) -> Result<Option<RevisionRow>, Error> {
        self.readers.read(|connection| {
            let sql = format!(
                "SELECT {REVISION} FROM revisions WHERE diagram_id = ?1 AND (?2 IS NULL OR n = ?2)
                  ORDER BY n DESC LIMIT 1"
            );
            let found = connection.prepare_cached(&sql)?.query_row((diagram_id, n.map(Whole)), read_revision);
            Ok(found.optional()?)
        })
    }

    /// Returns every diagram that was ever saved, by name.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn saved_diagrams(&self) -> Result<Vec<DiagramRow>, Error> {
        self.readers.read(|connection| {
            let sql = "SELECT d.id, d.current_revision, r.sha256, d.created_at, d.updated_at
                         FROM diagrams AS d JOIN revisions AS r ON r.diagram_id = d.id AND r.n = d.current_revision
                        ORDER BY d.id";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([], |row| {
                Ok(DiagramRow {
                    diagram_id: row.get(0)?,
                    current_revision: row.get::<_, Whole>(1)?.0,
                    sha256: row.get(2)?,
                    created_at: row.get::<_, Moment>(3)?.0,
                    updated_at: row.get::<_, Moment>(4)?.0,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

/// The columns of [`RevisionRow`], in the order [`read_revision`] reads them.
const REVISION: &str = "diagram_id, n, sha256, message, author, created_at, submitted";

fn read_revision(row: &Row<'_>) -> Result<RevisionRow, rusqlite::Error> {
    Ok(RevisionRow {
        diagram_id: row.get(0)?,
        n: row.get::<_, Whole>(1)?.0,
        sha256: row.get(2)?,
        message: row.get(3)?,
        author: row.get(4)?,
        created_at: row.get::<_, Moment>(5)?.0,
        submitted: row.get(6)?,
    })
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
    async fn a_version_is_saved_only_after_the_one_that_was_seen() {
        let test = TestStore::new();
        for (seen, content, want) in [
            (Some(1), "x", None),
            (None, "x", Some(1)),
            (None, "y", None),
            (Some(1), "y", Some(2)),
            (Some(1), "z", None),
            (Some(2), "y", Some(2)),
        ] {
            let n = test.store.save_revision_after(seen, revision("a", content, false)).await.expect("written");
            assert_eq!(n, want, "{seen:?} {content}");
        }
        let of = |n| test.store.revision("a", n).expect("reads").map(|it| (it.n, it.sha256));
        assert_eq!(of(None), Some((2, "hash of y".to_owned())));
        assert_eq!(of(Some(1)), Some((1, "hash of x".to_owned())));
        assert_eq!(of(Some(3)), None);
        assert!(test.store.label_revision("a".into(), 1, "first".into()).await.expect("written"));
        assert!(!test.store.label_revision("a".into(), 9, "none".into()).await.expect("written"));
        let first = test.store.revision("a", Some(1)).expect("reads").expect("there");
        assert_eq!(first.message.as_deref(), Some("first"));
        let saved = test.store.saved_diagrams().expect("reads");
        let shown: Vec<_> = saved.iter().map(|it| (it.diagram_id.as_str(), it.current_revision)).collect();
        assert_eq!((shown, saved[0].sha256.as_str()), (vec![("a", 2)], "hash of y"));
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
