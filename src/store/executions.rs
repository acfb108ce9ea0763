//! Reads the rows of `executions`: one whole, or many without the columns that grow.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, ToSql};

use super::Store;
use super::columns::{Moment, StatusWord, Whole, limit};
use super::create::ParentRelation;
use super::failure::Failure;
use super::large_values::whole;
use crate::clock::Timestamp;
use crate::engine::{Projection, Status};
use crate::error::Error;
use crate::ids::ExecutionId;

/// The small columns of an execution: enough for a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutionHead {
    pub execution_id: String,
    pub status: Status,
    pub pause_reason: Option<String>,
    pub error_code: Option<String>,
    pub diagram_id: Option<String>,
    pub revision: Option<u64>,
    pub kind: String,
    pub mode: Option<String>,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub last_activity_at: Option<Timestamp>,
    pub last_seq: u64,
    pub owner: Option<String>,
    pub principal: Option<String>,
    pub parent_execution_id: Option<String>,
    pub parent_relation: Option<String>,
}

impl ExecutionHead {
    /// Whether it began with a part of its parent's log.
    pub fn is_fork(&self) -> bool {
        self.parent_relation.as_deref() == Some(ParentRelation::Fork.name())
    }
}

/// What tells whether an execution is shown as it was before: all else of one that has ended never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub status: Status,
    pub last_seq: u64,
    pub n_children: u64,
}

/// An execution, all of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecutionRow {
    pub head: ExecutionHead,
    /// The growing columns as of the last pause or end; before the first, `variables` is the run's input.
    pub projection: Projection,
    /// JSON text.
    pub metrics: Option<String>,
    /// Absent in rows of the original program, like `source_sha256`, `rights` and `options`.
    pub origin: Option<String>,
    pub source_sha256: Option<String>,
    /// JSON text.
    pub rights: Option<String>,
    /// JSON text.
    pub options: Option<String>,
    pub trigger_id: Option<String>,
    pub experiment_id: Option<String>,
    pub variant: Option<String>,
    pub deadline_at: Option<Timestamp>,
    pub idempotency_key: Option<String>,
    pub request_hash: Option<String>,
    pub created_at: Option<Timestamp>,
    pub access_count: u64,
    pub last_accessed: Option<Timestamp>,
}

/// Which executions to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListFilter {
    pub status: Option<Status>,
    pub diagram_id: Option<String>,
    /// Only those of this principal and those of nobody; all when absent.
    pub principal: Option<String>,
    /// Whether executions that others started are among them.
    pub with_children: bool,
    /// `run`, `conversation`, `child`, `external`.
    pub kind: Option<String>,
    pub trigger_id: Option<String>,
    pub experiment_id: Option<String>,
    /// Only those that started then or later.
    pub since: Option<Timestamp>,
    /// Only those that started earlier.
    pub until: Option<Timestamp>,
    /// Only those behind this place of the list; they are counted all the same.
    pub behind: Option<Place>,
    /// At most so many; all when absent.
    pub limit: Option<usize>,
    /// How many of the newest to leave out.
    pub offset: usize,
}

/// The place of an execution in a list: it stays the same when others come or go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub started_at: Timestamp,
    pub rowid: i64,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPage {
    pub heads: Vec<ExecutionHead>,
    /// How many fit in all.
    pub total: u64,
    /// Of the last one, when more come behind it.
    pub next: Option<Place>,
}

/// The columns of [`ExecutionHead`], in the order [`read_head`] reads them.
pub(super) const HEAD: &str =
    "execution_id, status, pause_reason, error_code, diagram_id, revision, kind, mode, started_at,
    ended_at, last_activity_at, last_seq, owner, principal, parent_execution_id, parent_relation";

/// The other columns, in the order [`read_row`] reads them.
const REST: &str = "node_states, node_outputs, llm_usage, error, variables, exec_counts, executed_nodes, metrics,
    origin, source_sha256, rights, options, trigger_id, experiment_id, variant, deadline_at, idempotency_key,
    request_hash, created_at, access_count, last_accessed";

impl Store {
    /// Returns one execution with every column, and counts the look.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn execution(&self, execution_id: &ExecutionId) -> Result<Option<ExecutionRow>, Error> {
        let row = self.readers.read(|connection| {
            let sql = format!("SELECT {HEAD}, {REST} FROM executions WHERE execution_id = ?1");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query_and_then([execution_id.as_str()], |row| read_row(connection, row))?;
            rows.next().transpose()
        })?;
        if row.is_some() {
            self.accesses.note(execution_id, self.clock.now());
        }
        Ok(row)
    }

    /// Returns the growing columns of one execution, without counting a look.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn projection(&self, execution_id: &ExecutionId) -> Result<Option<Projection>, Error> {
        self.readers.read(|connection| {
            let sql = format!("SELECT {HEAD}, {REST} FROM executions WHERE execution_id = ?1");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query_and_then([execution_id.as_str()], |row| read_row(connection, row))?;
            Ok(rows.next().transpose()?.map(|it| it.projection))
        })
    }

    /// Returns the small columns of one execution.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn head(&self, execution_id: &ExecutionId) -> Result<Option<ExecutionHead>, Error> {
        self.readers.read(|connection| {
            let sql = format!("SELECT {HEAD} FROM executions WHERE execution_id = ?1");
            Ok(connection.prepare_cached(&sql)?.query_row([execution_id.as_str()], read_head).optional()?)
        })
    }

    /// Returns the status of one execution: what whoever waits for it looks at after each commit.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn status(&self, execution_id: &ExecutionId) -> Result<Option<Status>, Error> {
        self.readers.read(|connection| {
            let sql = "SELECT status FROM executions WHERE execution_id = ?1";
            let status = connection
                .prepare_cached(sql)?
                .query_row([execution_id.as_str()], |row| Ok(row.get::<_, StatusWord>(0)?.0));
            Ok(status.optional()?)
        })
    }

    /// Returns the stamp of one execution.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn stamp(&self, execution_id: &ExecutionId) -> Result<Option<Stamp>, Error> {
        self.readers.read(|connection| {
            let sql = "SELECT status, last_seq,
                              (SELECT count(*) FROM executions
                                WHERE parent_execution_id = ?1 AND parent_place IS NOT NULL)
                         FROM executions WHERE execution_id = ?1";
            let stamp = connection.prepare_cached(sql)?.query_row([execution_id.as_str()], |row| {
                Ok(Stamp {
                    status: row.get::<_, StatusWord>(0)?.0,
                    last_seq: row.get::<_, Whole>(1)?.0,
                    n_children: row.get::<_, Whole>(2)?.0,
                })
            });
            Ok(stamp.optional()?)
        })
    }

    /// Returns the executions that fit, newest first, and how many fit in all.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn list_executions(&self, filter: &ListFilter) -> Result<(Vec<ExecutionHead>, u64), Error> {
        let page = self.list_page(filter)?;
        Ok((page.heads, page.total))
    }

    /// As [`Store::list_executions`], with the place behind which the next page begins.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn list_page(&self, filter: &ListFilter) -> Result<ListPage, Error> {
        self.readers.read(|connection| {
            // Both answers from one state of the database.
            let view = connection.unchecked_transaction()?;
            let total = {
                let values = filter.values();
                let mut statement = view.prepare_cached(&filter.count_sql())?;
                statement.query_row(&*named(&values), |row| row.get::<_, Whole>(0))?
            };
            // One more than asked for tells whether there is more.
            let wanted = filter.limit;
            let more = ListFilter { limit: wanted.map(|it| it.saturating_add(1)), ..filter.clone() };
            let mut rows = rows(&view, &more)?;
            let has_more = wanted.is_some_and(|it| rows.len() > it);
            rows.truncate(wanted.unwrap_or(usize::MAX));
            let next = rows.last().filter(|_| has_more).map(|it| it.1);
            Ok(ListPage { heads: rows.into_iter().map(|it| it.0).collect(), total: total.0, next })
        })
    }

    /// Returns the newest execution that fits, without counting the others.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn newest_execution(&self, filter: &ListFilter) -> Result<Option<ExecutionHead>, Error> {
        let filter = ListFilter { limit: Some(1), ..filter.clone() };
        Ok(self.newest_executions(&filter)?.pop())
    }

    /// Returns the executions that fit, newest first, without counting them.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn newest_executions(&self, filter: &ListFilter) -> Result<Vec<ExecutionHead>, Error> {
        let rows = self.readers.read(|connection| rows(connection, filter))?;
        Ok(rows.into_iter().map(|it| it.0).collect())
    }
}

/// Executions of nobody, of somebody.
const OF_NOBODY: &str = "principal IS NULL";
const OF_ONE: &str = "principal = :principal";

/// The parameters of a query by name.
type Values = Vec<(&'static str, Value)>;

fn named(values: &Values) -> Vec<(&str, &dyn ToSql)> {
    values.iter().map(|(name, value)| (*name, value as &dyn ToSql)).collect()
}

impl ListFilter {
    /// Names a column only where it is asked for: then SQLite finds the index made for it.
    fn clauses(&self) -> Vec<(&'static str, &'static str, Value)> {
        let text = |it: &Option<String>| it.clone().map(Value::from);
        let moment = |it: Option<Timestamp>| it.map(|it| Value::from(it.to_rfc3339()));
        let all = [
            ("status = :status", ":status", self.status.map(|it| Value::from(it.name().to_owned()))),
            ("diagram_id = :diagram_id", ":diagram_id", text(&self.diagram_id)),
            ("kind = :kind", ":kind", text(&self.kind)),
            ("trigger_id = :trigger_id", ":trigger_id", text(&self.trigger_id)),
            ("experiment_id = :experiment_id", ":experiment_id", text(&self.experiment_id)),
            ("started_at >= :since", ":since", moment(self.since)),
            ("started_at < :until", ":until", moment(self.until)),
        ];
        all.into_iter().filter_map(|(clause, name, value)| Some((clause, name, value?))).collect()
    }

    fn values(&self) -> Values {
        let principal = self.principal.clone().map(|it| (":principal", Value::from(it)));
        self.clauses().into_iter().map(|(_, name, value)| (name, value)).chain(principal).collect()
    }

    fn condition(&self, of_whom: &str) -> String {
        let mut all: Vec<&str> = self.clauses().into_iter().map(|it| it.0).collect();
        if !self.with_children {
            all.push("kind <> 'child'");
        }
        all.push(of_whom);
        all.join(" AND ")
    }

    fn count_sql(&self) -> String {
        let count = |of_whom| format!("SELECT count(*) FROM executions WHERE {}", self.condition(of_whom));
        match self.principal {
            None => count("TRUE"),
            // Each by the index on principals; as one condition it would read every row.
            Some(_) => format!("SELECT ({}) + ({})", count(OF_NOBODY), count(OF_ONE)),
        }
    }

    fn list_sql(&self) -> String {
        let condition = match self.principal {
            None => self.condition("TRUE"),
            Some(_) => self.condition(&format!("({OF_NOBODY} OR {OF_ONE})")),
        };
        let behind = if self.behind.is_some() { " AND (started_at, rowid) < (:at, :rowid)" } else { "" };
        format!(
            "SELECT {HEAD}, rowid FROM executions WHERE {condition}{behind} ORDER BY started_at DESC, rowid DESC
              LIMIT :limit OFFSET :offset"
        )
    }
}

fn rows(connection: &Connection, filter: &ListFilter) -> Result<Vec<(ExecutionHead, Place)>, Failure> {
    let mut statement = connection.prepare_cached(&filter.list_sql())?;
    let mut values = filter.values();
    if let Some(place) = filter.behind {
        values.push((":at", Value::from(place.started_at.to_rfc3339())));
        values.push((":rowid", Value::from(place.rowid)));
    }
    values.push((":limit", Value::from(limit(filter.limit))));
    values.push((":offset", Value::from(limit(Some(filter.offset)))));
    let place = |row: &Row<'_>| {
        let head = read_head(row)?;
        let place = Place { started_at: head.started_at, rowid: row.get(16)? };
        Ok((head, place))
    };
    Ok(statement.query_map(&*named(&values), place)?.collect::<Result<_, _>>()?)
}

pub(super) fn read_head(row: &Row<'_>) -> Result<ExecutionHead, rusqlite::Error> {
    Ok(ExecutionHead {
        execution_id: row.get(0)?,
        status: row.get::<_, StatusWord>(1)?.0,
        pause_reason: row.get(2)?,
        error_code: row.get(3)?,
        diagram_id: row.get(4)?,
        revision: row.get::<_, Option<Whole>>(5)?.map(|it| it.0),
        kind: row.get(6)?,
        mode: row.get(7)?,
        started_at: row.get::<_, Moment>(8)?.0,
        ended_at: moment(row, 9)?,
        last_activity_at: moment(row, 10)?,
        last_seq: row.get::<_, Whole>(11)?.0,
        owner: row.get(12)?,
        principal: row.get(13)?,
        parent_execution_id: row.get(14)?,
        parent_relation: row.get(15)?,
    })
}

fn read_row(connection: &Connection, row: &Row<'_>) -> Result<ExecutionRow, Failure> {
    let whole = |text| whole(connection, text);
    Ok(ExecutionRow {
        head: read_head(row)?,
        projection: Projection {
            node_states: whole(row.get(16)?)?,
            node_outputs: whole(row.get(17)?)?,
            llm_usage: row.get(18)?,
            error: row.get::<_, Option<_>>(19)?.map(whole).transpose()?,
            variables: whole(row.get(20)?)?,
            exec_counts: row.get(21)?,
            executed_nodes: row.get(22)?,
        },
        metrics: row.get(23)?,
        origin: row.get(24)?,
        source_sha256: row.get(25)?,
        rights: row.get(26)?,
        options: row.get(27)?,
        trigger_id: row.get(28)?,
        experiment_id: row.get(29)?,
        variant: row.get(30)?,
        deadline_at: moment(row, 31)?,
        idempotency_key: row.get(32)?,
        request_hash: row.get(33)?,
        created_at: moment(row, 34)?,
        access_count: row.get::<_, Option<Whole>>(35)?.map_or(0, |it| it.0),
        last_accessed: moment(row, 36)?,
    })
}

fn moment(row: &Row<'_>, idx: usize) -> Result<Option<Timestamp>, rusqlite::Error> {
    Ok(row.get::<_, Option<Moment>>(idx)?.map(|it| it.0))
}

#[cfg(test)]
mod tests {
    use super::super::NewExecution;
    use super::super::testing::{NOON, TestStore, execution};
    use super::*;

    /// Executions 0 … `n`, one a second; every second one runs, every fifth is of another diagram.
    async fn many(n: u32) -> TestStore {
        let test = TestStore::new();
        let rows = (0..n).map(|n| {
            test.store.create_execution(NewExecution {
                started_at: NOON.plus_ms(i64::from(n) * 1_000),
                owner: (n % 2 == 0).then(|| "me".into()),
                diagram_id: if n % 5 == 0 { "other" } else { "review" }.to_owned(),
                ..execution(n)
            })
        });
        for created in futures_util::future::join_all(rows).await {
            created.expect("created");
        }
        test
    }

    #[tokio::test]
    async fn lists_are_newest_first_and_say_how_many_there_are() {
        let test = many(20).await;
        let filter = |status, diagram_id: Option<&str>, limit, offset| ListFilter {
            status,
            diagram_id: diagram_id.map(str::to_owned),
            limit,
            offset,
            ..ListFilter::default()
        };
        let running = Some(Status::Running);
        for (filter, want, total) in [
            (filter(None, None, Some(3), 0), vec![19, 18, 17], 20),
            (filter(None, None, Some(3), 18), vec![1, 0], 20),
            (filter(None, None, Some(3), 99), vec![], 20),
            (filter(running, None, Some(2), 0), vec![18, 16], 10),
            (filter(None, Some("other"), None, 0), vec![15, 10, 5, 0], 4),
            (filter(running, Some("other"), None, 1), vec![0], 2),
            (filter(Some(Status::Failed), None, None, 0), vec![], 0),
            (filter(None, Some("nope"), None, 0), vec![], 0),
        ] {
            let (heads, n_found) = test.store.list_executions(&filter).expect("reads");
            let seconds: Vec<_> = heads.iter().map(|it| it.started_at.since_ms(NOON) / 1_000).collect();
            assert_eq!((seconds, n_found), (want, total), "{filter:?}");
        }
    }

    #[tokio::test]
    async fn lists_are_cut_to_a_time_and_go_on_behind_a_place() {
        let test = many(20).await;
        let at = |second: i64| Some(NOON.plus_ms(second * 1_000));
        let seconds = |filter: &ListFilter| {
            let page = test.store.list_page(filter).expect("reads");
            let found: Vec<_> = page.heads.iter().map(|it| it.started_at.since_ms(NOON) / 1_000).collect();
            (found, page.total, page.next)
        };
        for (since, until, want) in [
            (at(18), None, vec![19, 18]),
            (None, at(2), vec![1, 0]),
            (at(3), at(5), vec![4, 3]),
            (at(30), None, vec![]),
        ] {
            let filter = ListFilter { since, until, limit: Some(5), ..ListFilter::default() };
            let total = want.len() as u64;
            assert_eq!(seconds(&filter), (want, total, None), "{filter:?}");
        }
        let mut filter = ListFilter { limit: Some(8), until: at(50), ..ListFilter::default() };
        let mut all = Vec::new();
        for n in 100.. {
            let (found, total, next) = seconds(&filter);
            assert_eq!(total, 20);
            all.extend(found);
            // What comes meanwhile stands in front and moves nothing.
            let newer = NewExecution { started_at: NOON.plus_ms(60_000), ..execution(n) };
            test.store.create_execution(newer).await.expect("created");
            filter.behind = next;
            if next.is_none() {
                break;
            }
        }
        assert_eq!(all, (0..20).rev().collect::<Vec<_>>());
        let of_kind = |kind: &str| seconds(&ListFilter { kind: Some(kind.into()), ..ListFilter::default() }).1;
        assert_eq!((of_kind("run") > 0, of_kind("conversation")), (true, 0));
        let of_trigger = ListFilter { trigger_id: Some("trg_1".into()), ..ListFilter::default() };
        let of_experiment = ListFilter { experiment_id: Some("x".into()), ..ListFilter::default() };
        assert_eq!((seconds(&of_trigger).1, seconds(&of_experiment).1), (0, 0));
    }

    fn plan(store: &super::super::Store, sql: &str) -> String {
        let plan = store.readers.read(|connection| {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
            let nothing = vec![rusqlite::types::Null; statement.parameter_count()];
            let lines = statement.query_map(rusqlite::params_from_iter(nothing), |row| row.get::<_, String>(3))?;
            Ok(lines.collect::<Result<Vec<_>, _>>()?.join("; "))
        });
        plan.expect("explains")
    }

    #[tokio::test]
    async fn every_list_and_count_walks_its_index_and_sorts_nothing() {
        let test = many(2_000).await;
        for is_analyzed in [false, true] {
            if is_analyzed {
                test.store.analyze().await.expect("counted");
            }
            for (status, diagram_id, with_children, index) in [
                (None, None, false, "idx_listed"),
                (Some(Status::Running), None, false, "idx_listed_status"),
                (None, Some("review"), false, "idx_listed_diagram"),
                (Some(Status::Failed), Some("review"), false, "idx_listed_both"),
                (None, None, true, "idx_started_at"),
            ] {
                let filter = ListFilter {
                    status,
                    diagram_id: diagram_id.map(str::to_owned),
                    with_children,
                    limit: Some(20),
                    ..ListFilter::default()
                };
                let plan = plan(&test.store, &filter.list_sql());
                assert!(plan.contains(&format!("INDEX {index}")), "{filter:?}: {plan}");
                assert!(!plan.contains("TEMP B-TREE"), "{filter:?}: {plan}");
            }
        }
        for (status, diagram_id, principal) in [
            (None, None, None),
            (Some(Status::Running), None, None),
            (None, Some("review"), None),
            (Some(Status::Failed), Some("review"), None),
            (None, None, Some("ada")),
            (Some(Status::Failed), None, Some("ada")),
        ] {
            let (diagram_id, principal) = (diagram_id.map(str::to_owned), principal.map(str::to_owned));
            let filter = ListFilter { status, diagram_id, principal, ..ListFilter::default() };
            let plan = plan(&test.store, &filter.count_sql());
            let n_steps = plan.matches("executions USING").count();
            let of_index = if filter.principal.is_some() { "INDEX idx_listed_principal" } else { "INDEX idx_listed" };
            assert!(n_steps > 0 && plan.matches(of_index).count() == n_steps, "{filter:?}: {plan}");
        }
    }

    #[tokio::test]
    async fn a_principal_sees_and_counts_their_own_and_those_of_nobody() {
        let test = TestStore::new();
        for (n, principal) in [(1, None), (2, Some("ada")), (3, Some("bob")), (4, Some("ada"))] {
            let new = NewExecution { principal: principal.map(str::to_owned), ..execution(n) };
            test.store.create_execution(new).await.expect("created");
        }
        for (principal, status, want) in [
            (None, None, 4),
            (Some("ada"), None, 3),
            (Some("bob"), None, 2),
            (Some("eve"), None, 1),
            (Some("ada"), Some(Status::Pending), 3),
            (Some("ada"), Some(Status::Failed), 0),
        ] {
            let filter = ListFilter { principal: principal.map(str::to_owned), status, ..ListFilter::default() };
            let (heads, total) = test.store.list_executions(&filter).expect("reads");
            assert_eq!((heads.len() as u64, total), (want, want), "{principal:?} {status:?}");
        }
    }

    #[tokio::test]
    async fn what_single_executions_are_read_by_is_never_a_scan() {
        let test = many(2_000).await;
        for sql in [
            format!("SELECT {HEAD}, {REST} FROM executions WHERE execution_id = 'a'"),
            "SELECT payload FROM transitions WHERE execution_id = 'a' AND seq > 1 ORDER BY seq LIMIT 5".to_owned(),
            "SELECT content FROM messages WHERE execution_id = 'a' AND seq > 1 ORDER BY seq, rowid LIMIT 5".to_owned(),
            "SELECT execution_id FROM executions WHERE parent_execution_id = 'a' AND parent_place = 'b'".to_owned(),
            "SELECT 1 FROM controls WHERE execution_id = 'a'".to_owned(),
            "SELECT 1 FROM content_uses WHERE sha256 = 'a'".to_owned(),
            "SELECT 1 FROM content_uses WHERE execution_id = 'a'".to_owned(),
            "SELECT content FROM large_values WHERE sha256 = 'a'".to_owned(),
            format!("SELECT 1 FROM executions WHERE owner = 'a' AND {}", super::super::columns::NOT_ENDED),
        ] {
            let plan = plan(&test.store, &sql);
            assert!(
                plan.contains("SEARCH") && !plan.contains("SCAN") && !plan.contains("TEMP B-TREE"),
                "{sql}: {plan}"
            );
        }
    }

    #[tokio::test]
    async fn the_newest_is_found_without_a_count() {
        let test = many(20).await;
        let newest = |status| {
            let found = test.store.newest_execution(&ListFilter { status, ..ListFilter::default() }).expect("reads");
            found.map(|it| it.started_at.since_ms(NOON) / 1_000)
        };
        assert_eq!([None, Some(Status::Running), Some(Status::Failed)].map(newest), [Some(19), Some(18), None]);
    }
}
