//! Which executions are old enough to go, and how they go: all rows of one together, a few at a time between
//! other writes, then what nobody refers to any more. Never one that has not ended, that something unfinished
//! came from, or that a person holds.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, Row};

use super::Store;
use super::columns::{Moment, NOT_ENDED, StatusWord, no_execution};
use super::failure::Failure;
use crate::clock::Timestamp;
use crate::engine::Status;
use crate::error::Error;
use crate::ids::ExecutionId;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// How long a blob stays that nothing refers to, in milliseconds: it is kept before the event that names it.
const UNUSED_BLOB_KEPT_MS: i64 = DAY_MS;

/// Every table whose rows belong to an execution; those that are not there (yet) are passed over. A test
/// compares it with the schema.
const TABLES: &[&str] =
    &["transitions", "messages", "controls", "recordings", "content_uses", "cli_sessions", "executions"];

/// The execution `?1` with all that it started, at any depth.
const FAMILY: &str = "WITH RECURSIVE family(id) AS (VALUES (?1) UNION
    SELECT e.execution_id FROM executions AS e JOIN family ON e.parent_execution_id = family.id WHERE e.kind = 'child')";

/// The execution `?1` with all that came from it, however far.
const OFFSPRING: &str = "offspring(id) AS (VALUES (?1) UNION
    SELECT e.execution_id FROM executions AS e JOIN offspring ON e.parent_execution_id = offspring.id)";

/// How long executions are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Those that nothing happened to for longer go; absent means that none is too old.
    pub days: Option<u32>,
    /// At most so many stay, the newest; absent means that any number may.
    pub keep: Option<u64>,
    /// The newest of each diagram that stay however old they are. `keep` still counts them.
    pub keep_per_diagram: u64,
    /// Rules of single statuses besides; their `days` replace the general ones.
    pub by_status: BTreeMap<&'static str, StatusRules>,
    /// Only executions of this status are looked at.
    pub only: Option<Status>,
}

/// How long executions of one status are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusRules {
    pub days: Option<u32>,
    pub keep: Option<u64>,
}

/// An execution that nothing else started, as retention sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    execution_id: String,
    status: Status,
    diagram_id: Option<String>,
    moved_at: Timestamp,
    /// It is counted and stays: it has not ended, or a person holds it.
    stays: bool,
}

/// What one step of pruning did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Executions, those that others started among them.
    pub executions: u64,
    /// Rows of all tables.
    pub rows: u64,
}

/// What came of the wish to delete one execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    Done(Deleted),
    NotThere,
    /// It, or something that came from it, has not ended.
    Runs,
    /// A person holds it, or something that it started.
    Held,
    /// Nothing else is there: the numbers of events would begin anew.
    IsTheLast,
}

/// What nobody refers to any more, by its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unused {
    pub values: Vec<String>,
    pub blobs: Vec<String>,
    pub sources: Vec<String>,
    /// Executions from this row on were not there when it was looked for.
    last_rowid: i64,
}

impl Store {
    /// Returns the executions that the rules let go, oldest first. Those that others started go with these.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn prunable(&self, rules: &Rules) -> Result<Vec<String>, Error> {
        let now = self.clock.now();
        self.readers.read(|connection| {
            // Along the list of executions: newest first, without what others started.
            let sql = format!(
                "SELECT execution_id, status, diagram_id, coalesce(last_activity_at, ended_at, started_at),
                        hold OR {NOT_ENDED}
                   FROM executions WHERE kind <> 'child' ORDER BY started_at DESC, rowid DESC"
            );
            let mut statement = connection.prepare(&sql)?;
            let rows = statement.query_map([], read_candidate)?;
            let mut chooser = Chooser::new(rules, now);
            let mut chosen = Vec::new();
            for row in rows {
                let candidate = row?;
                if chooser.lets_go(&candidate) {
                    chosen.push(candidate.execution_id);
                }
            }
            chosen.reverse();
            Ok(chosen)
        })
    }

    /// Deletes these executions with all that they started, in one transaction, and says how much that was. One
    /// that may not go (any more) stays.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub async fn delete_executions(&self, execution_ids: Vec<String>) -> Result<Deleted, Error> {
        self.writer
            .write(move |connection| {
                let tables = present_tables(connection)?;
                let mut deleted = Deleted::default();
                for execution_id in &execution_ids {
                    delete_family(connection, &tables, execution_id, &mut deleted)?;
                }
                Ok(deleted)
            })
            .await
    }

    /// Deletes one execution with all that it started, the newest too.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub async fn delete_execution(&self, execution_id: &ExecutionId) -> Result<Removal, Error> {
        let execution_id = execution_id.clone();
        self.writer.write(move |connection| delete_one(connection, execution_id.as_str())).await
    }

    /// Keeps an execution for good, or lets retention have it again.
    ///
    /// # Errors
    ///
    /// `EXECUTION_NOT_FOUND`; failures of the database.
    pub async fn set_hold(&self, execution_id: &ExecutionId, is_held: bool) -> Result<(), Error> {
        let execution_id = execution_id.clone();
        self.writer
            .write(move |connection| {
                let sql = "UPDATE executions SET hold = ?2 WHERE execution_id = ?1";
                match connection.prepare_cached(sql)?.execute((execution_id.as_str(), is_held))? {
                    0 => Err(no_execution(&execution_id).into()),
                    _ => Ok(()),
                }
            })
            .await
    }

    /// Looks for values, blobs and texts that nobody refers to.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn unused(&self) -> Result<Unused, Error> {
        let unused_before = Moment(self.clock.now().plus_ms(-UNUSED_BLOB_KEPT_MS));
        self.readers.read(|connection| {
            let view = connection.unchecked_transaction()?;
            let keys = |sql: &str, params: &[&dyn rusqlite::ToSql]| -> Result<Vec<String>, Failure> {
                let mut statement = view.prepare(sql)?;
                Ok(statement.query_map(params, |row| row.get(0))?.collect::<Result<_, _>>()?)
            };
            let no_use = "NOT EXISTS (SELECT 1 FROM content_uses WHERE content_uses.sha256 = it.sha256)";
            Ok(Unused {
                values: keys(&format!("SELECT sha256 FROM large_values AS it WHERE {no_use}"), &[])?,
                blobs: keys(
                    &format!("SELECT sha256 FROM blobs AS it WHERE created_at < ?1 AND {no_use}"),
                    &[&unused_before],
                )?,
                sources: keys(
                    "SELECT sha256 FROM sources EXCEPT SELECT source_sha256 FROM executions EXCEPT SELECT sha256 FROM revisions",
                    &[],
                )?,
                last_rowid: view.query_row("SELECT coalesce(max(rowid), 0) FROM executions", [], |row| row.get(0))?,
            })
        })
    }

    /// Deletes of these what is still unused, in one transaction, and returns how many there were.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub async fn delete_unused(&self, unused: Unused) -> Result<u64, Error> {
        let unused_before = self.clock.now().plus_ms(-UNUSED_BLOB_KEPT_MS);
        self.writer.write(move |connection| delete_unused(connection, &unused, unused_before)).await
    }
}

impl Unused {
    /// Cuts it into parts of so many keys.
    pub fn in_parts(self, n_max: usize) -> Vec<Self> {
        let (n_max, last_rowid) = (n_max.max(1), self.last_rowid);
        let part = || Self { last_rowid, ..Self::default() };
        let cut = |keys: Vec<String>| -> Vec<Vec<String>> { keys.chunks(n_max).map(<[String]>::to_vec).collect() };
        let values = cut(self.values).into_iter().map(|values| Self { values, ..part() });
        let blobs = cut(self.blobs).into_iter().map(|blobs| Self { blobs, ..part() });
        let sources = cut(self.sources).into_iter().map(|sources| Self { sources, ..part() });
        values.chain(blobs).chain(sources).collect()
    }
}

fn read_candidate(row: &Row<'_>) -> Result<Candidate, rusqlite::Error> {
    Ok(Candidate {
        execution_id: row.get(0)?,
        status: row.get::<_, StatusWord>(1)?.0,
        diagram_id: row.get(2)?,
        moved_at: row.get::<_, Moment>(3)?.0,
        stays: row.get(4)?,
    })
}

/// Applies rules to executions that come newest first.
struct Chooser<'a> {
    rules: &'a Rules,
    now: Timestamp,
    n_seen: u64,
    by_status: HashMap<&'static str, u64>,
    by_diagram: HashMap<Option<String>, u64>,
}

impl<'a> Chooser<'a> {
    fn new(rules: &'a Rules, now: Timestamp) -> Self {
        Self { rules, now, n_seen: 0, by_status: HashMap::new(), by_diagram: HashMap::new() }
    }

    /// Whether this one goes. All of one status or diagram are counted, also those that stay.
    fn lets_go(&mut self, it: &Candidate) -> bool {
        if self.rules.only.is_some_and(|only| only != it.status) {
            return false;
        }
        let of_status = self.rules.by_status.get(it.status.name()).copied().unwrap_or_default();
        let is_beyond = |count: &mut u64, keep: Option<u64>| {
            *count += 1;
            keep.is_some_and(|keep| *count > keep)
        };
        let too_many = is_beyond(&mut self.n_seen, self.rules.keep);
        let too_many_of_status = is_beyond(self.by_status.entry(it.status.name()).or_default(), of_status.keep);
        let of_diagram = self.by_diagram.entry(it.diagram_id.clone()).or_default();
        let is_older_than_its_like = is_beyond(of_diagram, Some(self.rules.keep_per_diagram));
        let is_old = of_status
            .days
            .or(self.rules.days)
            .is_some_and(|days| self.now.since_ms(it.moved_at) >= i64::from(days) * DAY_MS);
        !it.stays && (too_many || too_many_of_status || (is_old && is_older_than_its_like))
    }
}

/// The tables of [`TABLES`] that this database has.
fn present_tables(connection: &Connection) -> Result<Vec<&'static str>, Failure> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1")?;
    let mut tables = Vec::new();
    for table in TABLES {
        if statement.exists([table])? {
            tables.push(*table);
        }
    }
    Ok(tables)
}

fn delete_family(
    connection: &Connection,
    tables: &[&str],
    execution_id: &str,
    deleted: &mut Deleted,
) -> Result<(), Failure> {
    if must_stay(connection, execution_id)? {
        return Ok(());
    }
    for member in family(connection, execution_id)? {
        delete_rows(connection, tables, &member, deleted)?;
    }
    Ok(())
}

fn family(connection: &Connection, execution_id: &str) -> Result<Vec<String>, Failure> {
    let mut statement = connection.prepare_cached(&format!("{FAMILY} SELECT id FROM family"))?;
    Ok(statement.query_map([execution_id], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

fn delete_rows(
    connection: &Connection,
    tables: &[&str],
    execution_id: &str,
    deleted: &mut Deleted,
) -> Result<(), Failure> {
    for table in tables {
        let sql = format!("DELETE FROM {table} WHERE execution_id = ?1");
        let n_rows = connection.prepare_cached(&sql)?.execute([execution_id])? as u64;
        deleted.rows += n_rows;
        deleted.executions += if *table == "executions" { n_rows } else { 0 };
    }
    Ok(())
}

fn delete_one(connection: &Connection, execution_id: &str) -> Result<Removal, Failure> {
    let ask = |what: &str| -> Result<bool, Failure> {
        let sql = format!("{FAMILY}, {OFFSPRING} SELECT EXISTS ({what})");
        Ok(connection.prepare_cached(&sql)?.query_row([execution_id], |row| row.get(0))?)
    };
    let all_of = |who: &str, what: &str| {
        format!("SELECT 1 FROM {who} CROSS JOIN executions ON execution_id = {who}.id WHERE {what}")
    };
    if !ask(&all_of("family", "TRUE"))? {
        return Ok(Removal::NotThere);
    }
    if ask(&all_of("offspring", NOT_ENDED))? {
        return Ok(Removal::Runs);
    }
    if ask(&all_of("family", "hold"))? {
        return Ok(Removal::Held);
    }
    if !ask("SELECT 1 FROM executions WHERE execution_id NOT IN (SELECT id FROM family)")? {
        return Ok(Removal::IsTheLast);
    }
    let ends = COUNTED.map(|table| Ok::<_, Failure>((table, last_rowid(connection, table)?)));
    let (tables, mut deleted) = (present_tables(connection)?, Deleted::default());
    for member in family(connection, execution_id)? {
        delete_rows(connection, &tables, &member, &mut deleted)?;
    }
    for end in ends {
        let (table, end) = end?;
        keep_counting(connection, table, end)?;
    }
    Ok(Removal::Done(deleted))
}

/// The tables by whose growing row numbers others tell what is new.
const COUNTED: [&str; 2] = ["executions", "transitions"];

fn last_rowid(connection: &Connection, table: &str) -> Result<i64, Failure> {
    let sql = format!("SELECT coalesce(max(rowid), 0) FROM {table}");
    Ok(connection.prepare_cached(&sql)?.query_row([], |row| row.get(0))?)
}

/// Gives the last row the number that the last one had before: SQLite counts on from there. Who sees the moved row
/// again looks once more at an execution of which nothing is new.
fn keep_counting(connection: &Connection, table: &str, end: i64) -> Result<(), Failure> {
    let last = last_rowid(connection, table)?;
    if last < end {
        let sql = format!("UPDATE {table} SET rowid = ?2 WHERE rowid = ?1");
        connection.prepare_cached(&sql)?.execute((last, end))?;
    }
    Ok(())
}

/// Whether something of the family is held, something that came from it, however far, has not ended, or it has
/// the newest row: SQLite would give its number out again, and whoever follows the log counts on growing numbers.
fn must_stay(connection: &Connection, execution_id: &str) -> Result<bool, Failure> {
    Ok(connection.prepare_cached(&must_stay_sql())?.query_row([execution_id], |row| row.get(0))?)
}

fn must_stay_sql() -> String {
    format!(
        "{FAMILY}, {OFFSPRING}
         SELECT EXISTS (SELECT 1 FROM family CROSS JOIN executions ON execution_id = family.id
                         WHERE hold OR executions.rowid = (SELECT max(rowid) FROM executions))
             OR EXISTS (SELECT 1 FROM offspring CROSS JOIN executions ON execution_id = offspring.id WHERE {NOT_ENDED})
             OR coalesce((SELECT execution_id FROM transitions ORDER BY rowid DESC LIMIT 1), '')
                IN (SELECT id FROM family)"
    )
}

fn delete_unused(connection: &Connection, unused: &Unused, unused_before: Timestamp) -> Result<u64, Failure> {
    let no_use = "NOT EXISTS (SELECT 1 FROM content_uses WHERE content_uses.sha256 = ?1)";
    let mut n_deleted = 0;
    for sha256 in &unused.values {
        let sql = format!("DELETE FROM large_values WHERE sha256 = ?1 AND {no_use}");
        n_deleted += connection.prepare_cached(&sql)?.execute([sha256])?;
    }
    for sha256 in &unused.blobs {
        let sql = format!("DELETE FROM blobs WHERE sha256 = ?1 AND created_at < ?2 AND {no_use}");
        n_deleted += connection.prepare_cached(&sql)?.execute((sha256, Moment(unused_before)))?;
    }
    for sha256 in &unused.sources {
        // An execution never changes its text, and the newest is never deleted: only later rows can have it.
        let sql = "DELETE FROM sources WHERE sha256 = ?1
                      AND NOT EXISTS (SELECT 1 FROM executions WHERE rowid > ?2 AND source_sha256 = ?1)
                      AND NOT EXISTS (SELECT 1 FROM revisions WHERE revisions.sha256 = ?1)";
        n_deleted += connection.prepare_cached(sql)?.execute((sha256, unused.last_rowid))?;
    }
    Ok(n_deleted as u64)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOON, TestStore, batch, execution, id};
    use super::super::{ExecutionKind, NewExecution, Parent, ParentRelation, Source};
    use super::*;
    use crate::engine::Journal;
    use crate::nodes::ports::blobs::Blobs;

    /// Newest first: number, status, diagram, age in days, whether it stays.
    const EXECUTIONS: [(u32, Status, &str, i64, bool); 8] = [
        (8, Status::Running, "a", 0, true),
        (7, Status::Completed, "a", 1, false),
        (6, Status::Failed, "a", 2, false),
        (5, Status::Completed, "b", 3, false),
        (4, Status::Completed, "a", 40, true),
        (3, Status::Failed, "b", 50, false),
        (2, Status::Completed, "a", 100, false),
        (1, Status::Completed, "b", 200, false),
    ];

    #[test]
    fn rules_let_go_what_is_old_or_too_much() {
        let failed = |days, keep| BTreeMap::from([("failed", StatusRules { days, keep })]);
        let old = Rules { days: Some(30), ..Rules::default() };
        for (what, rules, want) in [
            ("no rules", Rules::default(), vec![]),
            ("too old", old.clone(), vec![3, 2, 1]),
            ("exactly as old", Rules { days: Some(50), ..Rules::default() }, vec![3, 2, 1]),
            ("all of them", Rules { days: Some(0), ..Rules::default() }, vec![7, 6, 5, 3, 2, 1]),
            ("the newest of each diagram stay", Rules { keep_per_diagram: 2, ..old.clone() }, vec![2, 1]),
            ("at most so many", Rules { keep: Some(3), ..Rules::default() }, vec![5, 3, 2, 1]),
            ("however new", Rules { keep: Some(5), keep_per_diagram: 9, ..Rules::default() }, vec![3, 2, 1]),
            ("one status", Rules { only: Some(Status::Failed), keep: Some(1), ..Rules::default() }, vec![3]),
            ("a status goes sooner", Rules { by_status: failed(Some(1), None), ..old.clone() }, vec![6, 3, 2, 1]),
            ("a status stays longer", Rules { by_status: failed(Some(90), None), ..old.clone() }, vec![2, 1]),
            ("at most so many of a status", Rules { by_status: failed(None, Some(1)), ..Rules::default() }, vec![3]),
        ] {
            let mut chooser = Chooser::new(&rules, NOON);
            let gone: Vec<u32> = EXECUTIONS
                .into_iter()
                .filter(|(n, status, diagram, days, stays)| {
                    chooser.lets_go(&Candidate {
                        execution_id: n.to_string(),
                        status: *status,
                        diagram_id: Some((*diagram).to_owned()),
                        moved_at: NOON.plus_ms(-days * DAY_MS),
                        stays: *stays,
                    })
                })
                .map(|it| it.0)
                .collect();
            assert_eq!(gone, want, "{what}");
        }
    }

    #[test]
    fn every_table_with_rows_of_an_execution_is_pruned() {
        let test = TestStore::new();
        let tables = test.store.readers.read(|connection| {
            let sql = "SELECT m.name FROM sqlite_schema AS m JOIN pragma_table_info(m.name) AS c
                        WHERE m.type = 'table' AND c.name = 'execution_id'";
            let mut statement = connection.prepare(sql)?;
            Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?)
        });
        for table in tables.expect("reads") {
            assert!(TABLES.contains(&table.as_str()), "`{table}` has an `execution_id` and is not pruned");
        }
    }

    #[tokio::test]
    async fn whoever_follows_the_log_misses_nothing_when_the_newest_is_deleted() {
        let test = TestStore::new();
        assert_eq!(test.store.delete_execution(&id(1)).await.expect("asked"), Removal::NotThere);
        for n in 1..=3 {
            create(&test, n, None).await;
        }
        assert_eq!(test.store.delete_execution(&id(3)).await.expect("asked"), Removal::Runs);
        for n in 1..=3 {
            end(&test, n).await;
        }
        test.store.set_hold(&id(3), true).await.expect("held");
        assert_eq!(test.store.delete_execution(&id(3)).await.expect("asked"), Removal::Held);
        test.store.set_hold(&id(3), false).await.expect("let go");
        let mark = test.store.log_end().expect("reads");
        for n in [3, 1] {
            let removal = test.store.delete_execution(&id(n)).await.expect("deleted");
            assert!(matches!(removal, Removal::Done(Deleted { executions: 1, .. })), "{n}: {removal:?}");
            assert_eq!(test.store.log_end().expect("reads"), mark, "{n}");
            assert!(test.store.head(&id(n)).expect("reads").is_none());
        }
        assert_eq!(test.store.moved_since(mark).expect("reads").0, []);
        assert_eq!(test.store.delete_execution(&id(2)).await.expect("asked"), Removal::IsTheLast);
        create(&test, 4, None).await;
        let moved = test.store.moved_since(mark).expect("reads").0;
        assert_eq!(moved.iter().map(|it| it.execution_id.clone()).collect::<Vec<_>>(), [id(4)]);
        let row = |n| {
            let sql = "SELECT rowid FROM executions WHERE execution_id = ?1";
            let read =
                |connection: &rusqlite::Connection| Ok(connection.query_row(sql, [id(n).as_str()], |it| it.get(0))?);
            test.store.readers.read(read).expect("reads")
        };
        let numbers: (i64, i64) = (row(2), row(4));
        assert_eq!(numbers, (3, 4), "no number is given out twice");
    }

    #[tokio::test]
    async fn deleting_one_execution_scans_no_table() {
        let test = TestStore::new();
        for n in 1..=500 {
            test.store.create_execution(execution(n)).await.expect("created");
        }
        let mut all: Vec<String> =
            TABLES.iter().map(|it| format!("DELETE FROM {it} WHERE execution_id = ?1")).collect();
        all.extend([must_stay_sql(), format!("{FAMILY} SELECT id FROM family")]);
        for sql in all {
            let plan = test.store.readers.read(|connection| {
                let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                let lines = statement.query_map([id(1).as_str()], |row| row.get::<_, String>(3))?;
                Ok(lines.collect::<Result<Vec<_>, _>>()?)
            });
            let plan = plan.expect("explains");
            // The newest event is the first row of a scan from the end. Nothing else may be.
            let scans = plan.iter().filter(|it| {
                it.starts_with("SCAN ") && !["family", "offspring", "CONSTANT"].iter().any(|own| it.contains(own))
            });
            assert!(scans.clone().all(|it| it.starts_with("SCAN transitions")), "{sql}: {plan:?}");
        }
    }

    async fn create(test: &TestStore, n: u32, parent: Option<(u32, ParentRelation)>) {
        let kind = match parent {
            Some((_, ParentRelation::Child)) => ExecutionKind::Child,
            _ => ExecutionKind::Run,
        };
        let parent = parent.map(|(n, relation)| Parent { execution_id: id(n), relation, place: None });
        let source = Source { sha256: format!("source {n}"), format: "light".to_owned(), content: String::new() };
        let new = NewExecution { owner: Some("me".into()), kind, parent, source, ..execution(n) };
        test.store.create_execution(new).await.expect("created");
    }

    async fn end(test: &TestStore, n: u32) {
        let mut batch = batch(n, "me", 2..=2);
        batch.summary.status = Status::Completed;
        batch.transitions[0].payload = format!("{{\"v\":1,\"body\":\"{n}{}\"}}", "x".repeat(50_000));
        test.store.append(batch).await.expect("queued").durable().await.expect("written");
    }

    async fn count(test: &TestStore, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        test.store.readers.read(|it| Ok(it.query_row(&sql, [], |row| row.get(0))?)).expect("counts")
    }

    #[tokio::test]
    async fn what_is_unfinished_held_or_came_from_nowhere_else_stays() {
        use ParentRelation::{Child, Fork};
        let test = TestStore::new();
        for (n, parent) in [
            (1, None),
            (2, None),
            (3, None),
            (4, Some((3, Child))),
            (5, None),
            (6, Some((5, Fork))),
            (7, None),
            (8, Some((7, Child))),
            (9, Some((8, Child))),
            (10, None),
            (12, None),
            (13, Some((12, Fork))),
            (14, Some((13, Fork))),
        ] {
            create(&test, n, parent).await;
        }
        // 2 runs, 4 is an unfinished part of 3, 6 an unfinished fork of 5, 14 one of a fork of 12; 7 to 9 have ended.
        for n in [1, 3, 5, 7, 8, 9, 10, 12, 13] {
            end(&test, n).await;
        }
        create(&test, 11, None).await;
        end(&test, 11).await;
        test.store.set_hold(&id(10), true).await.expect("held");
        let all: Vec<String> = (1..=14).map(|n| id(n).to_string()).collect();
        let deleted = test.store.delete_executions(all.clone()).await.expect("deleted");
        assert_eq!(deleted.executions, 4, "1, 7 with 8 and 9");
        let left: Vec<u32> = (1..=14).filter(|n| test.store.head(&id(*n)).expect("reads").is_some()).collect();
        assert_eq!(left, [2, 3, 4, 5, 6, 10, 11, 12, 13, 14], "11 has the newest row");
        assert_eq!(test.store.transitions(&id(8), 0, None).expect("reads"), []);
        test.store.set_hold(&id(10), false).await.expect("released");
        assert_eq!(test.store.delete_executions(all).await.expect("deleted").executions, 1);
        assert_eq!(test.store.set_hold(&id(1), true).await.expect_err("gone").code(), "EXECUTION_NOT_FOUND");
    }

    #[tokio::test]
    async fn executions_without_any_log_go_too() {
        let test = TestStore::new();
        for n in 1..=2 {
            create(&test, n, None).await;
            end(&test, n).await;
        }
        // As the original program left some.
        test.store.writer.write(|it| Ok(it.execute("DELETE FROM transitions", []).map(drop)?)).await.expect("gone");
        let ids = vec![id(1).to_string(), id(2).to_string()];
        assert_eq!(test.store.delete_executions(ids).await.expect("deleted").executions, 1, "2 has the newest row");
    }

    #[tokio::test]
    async fn what_nobody_refers_to_goes_and_nothing_else() {
        let test = TestStore::new();
        let blob = test.store.put(vec![1], "image/png".into()).await.expect("kept");
        for n in 1..=3 {
            create(&test, n, None).await;
            end(&test, n).await;
        }
        assert_eq!(test.store.unused().expect("reads"), Unused { last_rowid: 3, ..Unused::default() });
        test.store.delete_executions(vec![id(1).to_string()]).await.expect("deleted");
        let unused = test.store.unused().expect("reads");
        assert_eq!(
            (unused.values.len(), unused.blobs.len(), unused.sources.as_slice()),
            (1, 0, &["source 1".to_owned()][..])
        );
        // Used again before it is deleted.
        create(&test, 4, None).await;
        let new = NewExecution {
            source: Source { sha256: "source 1".into(), format: "light".into(), content: String::new() },
            ..execution(5)
        };
        test.store.create_execution(new).await.expect("created");
        assert_eq!(test.store.delete_unused(unused).await.expect("deleted"), 1, "the value");
        assert_eq!((count(&test, "large_values").await, count(&test, "sources").await), (2, 4));
        // A blob that nothing refers to had its day.
        test.clock.advance_ms(UNUSED_BLOB_KEPT_MS + 1);
        let unused = test.store.unused().expect("reads");
        assert_eq!(unused.blobs, [blob.blob.as_str()]);
        test.store.put(vec![1], "image/png".into()).await.expect("kept again");
        assert_eq!(test.store.delete_unused(unused).await.expect("deleted"), 0);
        test.clock.advance_ms(UNUSED_BLOB_KEPT_MS + 1);
        let parts = test.store.unused().expect("reads").in_parts(1);
        assert_eq!(parts.len(), 1);
        for part in parts {
            assert_eq!(test.store.delete_unused(part).await.expect("deleted"), 1);
        }
        assert_eq!(count(&test, "blobs").await, 0);
    }
}
