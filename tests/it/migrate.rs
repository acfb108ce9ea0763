//! Every released schema upgrades: a stored copy of a database as each version wrote it opens, is shown, listed
//! and goes on. A released migration never changes, and a newer file is refused by every command.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dipeo::engine::Status;
use dipeo::handlers::control_execution::{self, control_execution};
use dipeo::handlers::execution_object::ExecutionObject;
use dipeo::handlers::list_executions::{self, list_executions};
use dipeo::handlers::run_diagram::Waiting;
use dipeo::handlers::see_result::{self, Detail, see_result};
use dipeo::handlers::{App, Caller};
use rusqlite::Connection;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::{self, Workspace};

/// Every migration ever released, with the SHA-256 of its file. A released file never changes; a new one is one
/// more line here and one more stored copy.
const RELEASED: &[(&str, &str)] = &[
    ("0001_executions.sql", "c70d6aef83b1e4318e4623293f5657e5cd6ed26eb7d23002ea60c207cab60b3d"),
    ("0002_children_and_blobs.sql", "b73fcdc0f26560bd89f4159275f33169bd83a8933898d73358ee265999cf4edb"),
    ("0003_api_tokens.sql", "5d3ca8afdc7a3e5ff4ee84e3abb90aa79789c6d2d477d82b1d41e4bfeca966db"),
    ("0004_recordings.sql", "5d654ceda1306cf6903bbb258a1d13898cf6ff9fdb24abef0ffb44436fddbb8e"),
    ("0005_retention.sql", "3f22dfe9f5576f5be89fedc4bf59402daa860d38f329cd3e34e83eb7343fcb14"),
    ("0006_persons_and_sessions.sql", "23360c9f06af39f8428e537913560a35bb5eef9e50a1757ef73236eb8a0f4c61"),
];

/// How a new migration gets its stored copy.
const HOW: &str = "add the line to `RELEASED` in tests/it/migrate.rs, then write the stored copy of what this version \
                   leaves behind with `UPDATE=1 cargo test --test it migrate::` and look at it";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The stored copy of the schema that a migration makes.
fn stored_copy(migration: &str) -> PathBuf {
    root().join("tests/it/fixtures/schemas").join(format!("{}.sql", &migration[..4]))
}

#[test]
fn a_released_migration_never_changes_and_a_new_one_has_a_stored_copy() {
    let mut wrong = Vec::new();
    let mut files: Vec<String> = std::fs::read_dir(root().join("migrations"))
        .expect("there")
        .map(|it| it.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    files.sort();
    let released: Vec<&str> = RELEASED.iter().map(|(name, _)| *name).collect();
    for file in &files {
        let bytes = std::fs::read(root().join("migrations").join(file)).expect("readable");
        let sum: String = Sha256::digest(&bytes).iter().map(|it| format!("{it:02x}")).collect();
        match RELEASED.iter().find(|(name, _)| name == file) {
            None => wrong.push(format!("migrations/{file} is new (SHA-256 {sum}): {HOW}")),
            Some((_, expected)) if *expected != sum => wrong.push(format!(
                "migrations/{file} was released and has changed: undo that and write another migration. \
                 Its SHA-256 is {sum}, released was {expected}"
            )),
            Some(_) => {}
        }
    }
    wrong.extend(released.iter().filter(|it| !files.iter().any(|file| file == *it)).map(|it| format!("{it} is gone")));
    if let Some(newest) = files.last().filter(|_| std::env::var_os("UPDATE").is_some()) {
        write_copy(newest);
    }
    let copies = files.iter().filter(|it| !stored_copy(it).is_file());
    wrong.extend(copies.map(|it| format!("{} is missing: {HOW}", stored_copy(it).display())));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Puts a stored copy where a workspace keeps its database.
fn restored(sql: &Path) -> (Workspace, PathBuf) {
    let workspace = harness::workspace();
    let path = workspace.root().join(".dipeo/data/dipeo_state.db");
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    let text = std::fs::read_to_string(sql).unwrap_or_else(|e| panic!("{}: {e}", sql.display()));
    Connection::open(&path).expect("opens").execute_batch(&text).unwrap_or_else(|e| panic!("{}: {e}", sql.display()));
    (workspace, path)
}

/// Every stored copy: the original program's first.
fn copies() -> Vec<PathBuf> {
    let original = root().join("tests/it/fixtures/schemas/original.sql");
    std::iter::once(original).chain(RELEASED.iter().map(|(name, _)| stored_copy(name))).collect()
}

fn rows<T: rusqlite::types::FromSql>(path: &Path, sql: &str) -> BTreeMap<String, T> {
    let connection = Connection::open(path).expect("opens");
    let mut statement = connection.prepare(sql).expect(sql);
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect(sql);
    rows.collect::<Result<_, _>>().expect(sql)
}

fn statuses(path: &Path) -> BTreeMap<String, String> {
    rows(path, "SELECT execution_id, status FROM executions")
}

async fn seen(app: &App, id: &str) -> ExecutionObject {
    let request = see_result::Request {
        execution_id: id.to_owned(),
        detail: Some(Detail::Full),
        wait_seconds: Some(25),
        ..see_result::Request::default()
    };
    see_result(app, &Caller::owner_client(), request, Waiting::default())
        .await
        .unwrap_or_else(|e| panic!("{id}: {e:?}"))
}

#[tokio::test]
async fn every_stored_copy_upgrades_is_shown_and_goes_on() {
    for sql in copies() {
        let name = sql.file_stem().expect("a name").to_string_lossy().into_owned();
        let (workspace, path) = restored(&sql);
        let before = statuses(&path);
        assert!(before.len() >= 3, "{name} holds too little: {before:?}");
        let n_rows: BTreeMap<String, i64> = rows(&path, COUNTS);
        let app = workspace.app();
        let listed = list_executions(&app, &Caller::owner_client(), list_executions::Request::default()).await;
        let listed = listed.unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let shown = "SELECT 'all', count(*) FROM executions WHERE kind <> 'child'";
        assert_eq!(Some(listed.total as i64), rows(&path, shown).remove("all"), "{name}: every execution is listed");
        let supervisor = app.supervisor().expect("opens");
        supervisor.register().await.expect("registered");
        supervisor.claim_open().await.expect("claimed");
        for (id, status) in &before {
            check_execution(&app, &name, id, status).await;
        }
        app.shut_down_runs().await;
        app.close().await;
        let after: BTreeMap<String, i64> = rows(&path, COUNTS);
        let lost = n_rows.iter().find(|(table, n)| after.get(*table).is_none_or(|it| it < *n));
        assert!(lost.is_none(), "{name}: rows are gone: {lost:?}, left {after:?}");
        check_schema(&name, &path);
        assert!(
            workspace.root().join(format!(".dipeo/data/dipeo_state.db.bak-{}", version(&name))).is_file()
                || is_newest(&name),
            "{name}: no copy was kept"
        );
    }
}

/// Rows per table that every version has.
const COUNTS: &str = "SELECT 'executions', count(*) FROM executions UNION ALL SELECT 'transitions', count(*) FROM \
                      transitions UNION ALL SELECT 'messages', count(*) FROM messages";

/// How many migrations the copy has seen; the original's none.
fn version(name: &str) -> usize {
    RELEASED.iter().position(|(released, _)| released.starts_with(name)).map_or(0, |it| it + 1)
}

fn is_newest(name: &str) -> bool {
    RELEASED.last().is_some_and(|(newest, _)| newest.starts_with(name))
}

/// What has ended stays as it was, what waits takes an answer, what ran goes on.
async fn check_execution(app: &App, name: &str, id: &str, status: &str) {
    let object = seen(app, id).await;
    let is_original = name == "original";
    match status {
        "running" | "RUNNING" | "pending" if is_original => {
            assert_eq!(object.status, Status::Failed, "{name} {id}");
            assert_eq!(object.error.as_ref().map(|it| &it["code"]), Some(&json!("INTERRUPTED")), "{name} {id}");
        }
        "running" => {
            assert_eq!((object.status, object.recovered), (Status::Completed, Some(1)), "{name} {id}: {object:?}");
        }
        "paused" => {
            assert_eq!(object.status, Status::Paused, "{name} {id}");
            let request = control_execution::Request {
                execution_id: id.to_owned(),
                action: "answer".into(),
                value: Some("Ada".into()),
                wait_seconds: Some(25),
                ..control_execution::Request::default()
            };
            let answered = control_execution(app, &Caller::owner_client(), request, Waiting::default()).await;
            assert_eq!(answered.expect("answered").status, Status::Completed, "{name} {id}");
        }
        other => {
            let expected =
                Status::parse(&other.to_lowercase()).filter(|it| it.has_ended()).unwrap_or(Status::Completed);
            assert_eq!(object.status, expected, "{name} {id}");
        }
    }
}

/// A database that was upgraded has the tables of one that is new.
fn check_schema(name: &str, path: &Path) {
    let schema = "SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'";
    let fresh = harness::workspace();
    let app = fresh.app();
    app.store().expect("made");
    let expected: BTreeMap<String, String> = rows(&app.config.database, schema);
    assert_eq!(rows::<String>(path, schema), expected, "{name}");
    let check: BTreeMap<String, i64> = rows(path, "SELECT integrity_check, 1 FROM pragma_integrity_check");
    assert_eq!(check.keys().collect::<Vec<_>>(), ["ok"], "{name}");
}

/// Every command that looks into the database.
const COMMANDS: &[&[&str]] = &[
    &["run", "d.light.yaml"],
    &["run", "d.light.yaml", "--background"],
    &["results", "--latest"],
    &["results", "exec_00000000000000000000000000000001"],
    &["results", "exec_00000000000000000000000000000001", "--follow"],
    &["metrics", "--latest"],
    &["metrics", "--diagram", "d"],
    &["watch", "exec_00000000000000000000000000000001"],
    &["monitor", "--port", "0", "--no-open"],
    &["control", "exec_00000000000000000000000000000001", "abort"],
    &["cancel", "exec_00000000000000000000000000000001"],
    &["compile", "d.light.yaml", "--push-as", "pushed"],
    &["trust", "d"],
    &["tokens", "list"],
    &["serve", "--port", "0"],
    &["drain"],
];

#[test]
fn a_database_of_a_newer_dipeo_is_refused_by_every_command() {
    let (workspace, path) = restored(copies().last().expect("the newest"));
    workspace.write("d.light.yaml", "version: light\nnodes:\n- {label: s, type: start}\n");
    let newer = i64::try_from(RELEASED.len()).expect("few") + 1;
    Connection::open(&path).expect("opens").pragma_update(None, "user_version", newer).expect("written");
    let before = std::fs::read(&path).expect("readable");
    for arguments in COMMANDS {
        let output = workspace.command().args(*arguments).arg("--json").output().expect("runs");
        let shown = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(4), "{arguments:?}: {shown}");
        let expected = format!("its schema is {newer}, this one knows {}", RELEASED.len());
        assert!(shown.contains("DATABASE_NEWER") && shown.contains(&expected), "{arguments:?}: {shown}");
        assert!(shown.contains("use the newer dipeo"), "{arguments:?}: {shown}");
    }
    assert_eq!(std::fs::read(&path).expect("readable"), before, "a refused file is left as it is");
}

/// Writes what this version leaves behind as the stored copy of the newest migration.
fn write_copy(migration: &str) {
    let copy = stored_copy(migration);
    if copy.is_file() {
        return;
    }
    let workspace = lived_in();
    let path = workspace.root().join(".dipeo/data/dipeo_state.db");
    let connection = Connection::open(&path).expect("opens");
    cut_one_short(&connection);
    let dump = dump(&connection).replace(&workspace.root().display().to_string(), "/home/ada/work");
    std::fs::write(&copy, format!("-- A database as schema {} left it.\n{dump}", &migration[..4])).expect("written");
}

/// A workspace in which something of everything has happened.
fn lived_in() -> Workspace {
    let workspace = harness::workspace();
    workspace.write("done.light.yaml", DONE);
    workspace.write("fails.light.yaml", "version: light\nnodes:\n- {label: s, type: start}\n- {label: c, type: code_job, code: \"result = 1 / 0\"}\nconnections:\n- {from: s, to: c}\n");
    workspace.write("asks.light.yaml", "version: light\nnodes:\n- {label: s, type: start}\n- {label: name, type: user_response, prompt: \"Name?\"}\n- {label: e, type: endpoint}\nconnections:\n- {from: s, to: name}\n- {from: name, to: e}\n");
    workspace.write("parent.light.yaml", "version: light\nnodes:\n- {label: s, type: start, custom_data: {items: [a, b]}}\n- {label: each, type: sub_diagram, batch: true, diagram_name: done}\n- {label: e, type: endpoint}\nconnections:\n- {from: s, to: each}\n- {from: each, to: e}\n");
    for arguments in [
        &["run", "done.light.yaml"][..],
        &["run", "fails.light.yaml"],
        &["run", "asks.light.yaml", "--no-interactive"],
        &["run", "parent.light.yaml"],
        &["compile", "done.light.yaml", "--push-as", "pushed"],
        &["tokens", "create", "--name", "laptop"],
    ] {
        let output = workspace.command().args(arguments).arg("--json").output().expect("runs");
        assert!(
            matches!(output.status.code(), Some(0 | 1)),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    workspace
}

const DONE: &str = "version: light
persons:
  Bot: {service: scripted, replies: [one, two]}
nodes:
- {label: s, type: start, custom_data: {n: 1}}
- {label: ask, type: person_job, person: Bot, default_prompt: \"first {{n}}\", max_iteration: 1}
- {label: count, type: code_job, code: \"result = {'n': n + 1}\"}
- {label: again, type: person_job, person: Bot, default_prompt: \"then {{n}}\", max_iteration: 1}
- {label: e, type: endpoint}
connections:
- {from: s, to: ask}
- {from: ask, to: count}
- {from: count, to: again}
- {from: again, to: e}
";

/// Adds an execution whose process died in its second effect.
fn cut_one_short(connection: &Connection) {
    let columns = |table: &str| -> Vec<String> {
        let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1) ORDER BY cid").expect("reads");
        statement.query_map([table], |row| row.get(0)).expect("reads").collect::<Result<_, _>>().expect("reads")
    };
    let copied = |table: &str, changed: &[(&str, &str)]| -> String {
        let columns = columns(table);
        let value =
            |name: &String| changed.iter().find(|(it, _)| it == name).map_or(name.clone(), |it| it.1.to_owned());
        let values: Vec<String> = columns.iter().map(value).collect();
        format!("INSERT INTO {table} ({}) SELECT {} FROM {table}", columns.join(", "), values.join(", "))
    };
    let id = "'exec_0000000000000000000000000000dead'";
    let done = "(SELECT execution_id FROM executions WHERE diagram_id LIKE '%done%' AND kind = 'run' LIMIT 1)";
    let cut = format!(
        "(SELECT seq FROM transitions WHERE execution_id = {done} AND phase = 'node_started' AND node_id = 'node_3')"
    );
    let execution = copied(
        "executions",
        &[
            ("execution_id", id),
            ("status", "'running'"),
            ("ended_at", "NULL"),
            ("owner", "'own_0000000000000000000000000000dead'"),
            ("last_seq", &cut),
            ("node_states", "'{}'"),
            ("node_outputs", "'{}'"),
            ("executed_nodes", "'[]'"),
            ("exec_counts", "'{}'"),
            ("idempotency_key", "NULL"),
        ],
    );
    let new_id = format!("{id} || ':' || seq");
    let transitions = copied("transitions", &[("id", &new_id), ("execution_id", id)]);
    let message_id = format!("replace(id, {done}, {id})");
    let messages = copied("messages", &[("id", &message_id), ("execution_id", id)]);
    connection
        .execute_batch(&format!(
            "{execution} WHERE execution_id = {done};
             {transitions} WHERE execution_id = {done} AND seq <= {cut};
             {messages} WHERE execution_id = {done} AND node_id = 'node_1';
             DELETE FROM owners;
             INSERT INTO owners (owner, pid, host, kind, started_at, lease_expires_at)
             VALUES ('own_0000000000000000000000000000dead', 4194304, 'elsewhere', 'run', '2026-01-02T03:04:05.000Z', '2026-01-02T03:04:20.000Z');"
        ))
        .expect("cut");
}

/// A database as the statements that make it.
fn dump(connection: &Connection) -> String {
    let texts = |sql: &str| -> Vec<String> {
        let mut statement = connection.prepare(sql).expect(sql);
        statement.query_map([], |row| row.get(0)).expect(sql).collect::<Result<_, _>>().expect(sql)
    };
    let own = "name NOT LIKE 'sqlite_%' AND sql IS NOT NULL";
    let mut lines = texts(&format!("SELECT sql || ';' FROM sqlite_schema WHERE {own} ORDER BY rowid"));
    for table in texts(&format!("SELECT name FROM sqlite_schema WHERE {own} AND type = 'table' ORDER BY rowid")) {
        let columns = texts(&format!("SELECT 'quote(' || name || ')' FROM pragma_table_info('{table}') ORDER BY cid"));
        let values = columns.join(" || ', ' || ");
        lines.extend(texts(&format!(
            "SELECT 'INSERT INTO {table} VALUES (' || {values} || ');' FROM {table} ORDER BY 1"
        )));
    }
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).expect("reads");
    format!("{}\nPRAGMA user_version = {version};\n", lines.join("\n"))
}

#[test]
fn the_copies_tell_their_versions() {
    for (n, (name, _)) in (1_i64..).zip(RELEASED) {
        let (_workspace, path) = restored(&stored_copy(name));
        let connection = Connection::open(&path).expect("opens");
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).expect("reads");
        assert_eq!(version, n, "{name}");
        let open: Value = connection
            .query_row("SELECT count(*) FROM executions WHERE status IN ('running', 'paused')", [], |row| {
                row.get::<_, i64>(0).map(Value::from)
            })
            .expect("reads");
        assert!(open.as_i64().is_some_and(|it| it >= 2), "{name}: something must be open in it");
    }
}
