//! The disk fails under the database: at every n-th operation there is no space, an error, half a write, or
//! the power goes and takes with it what was not synced. Afterwards the file is sound, what was acknowledged
//! is there, nothing committed runs again, and whoever ran says what happened.
//!
//! `FAULTS_EVERY=1 cargo test --release --test it faults` tries every operation of the run, not a spread of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use dipeo::engine::Status;
use dipeo::handlers::list_executions::{self, list_executions};
use dipeo::handlers::run_diagram::Waiting;
use dipeo::handlers::see_result::{self, see_result};
use dipeo::handlers::{App, Caller};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{self, Workspace};

/// Operations tried per kind of fault unless `FAULTS_EVERY` says otherwise.
const SPREAD: u64 = 7;
/// More operations than any run has: the power goes when the program ends.
const AT_THE_END: u64 = 1_000_000;
/// Seconds after which a run counts as hanging.
const HANGS_AFTER: Duration = Duration::from_secs(60);

/// Effects in a chain, a loop and side by side, and nodes without any between them. Each effect leaves a line.
const DIAGRAM: &str = r#"
version: light
persons:
  Bot: {service: scripted}
nodes:
- {label: s, type: start, custom_data: {n: 0, items: [a, b, c]}}
- {label: one, type: code_job, language: bash, code: "echo one >> files/ledger; echo 1"}
- {label: count, type: code_job, code: "result = {'n': n + 1}"}
- {label: two, type: code_job, language: bash, code: "echo two $N >> files/ledger; echo 2"}
- {label: enough, type: condition, expression: "n >= 2"}
- {label: each, type: person_job, person: Bot, batch: true, default_prompt: "about {{item}}", max_iteration: 1}
- {label: three, type: code_job, language: bash, code: "echo three >> files/ledger; echo 3"}
- {label: e, type: endpoint}
connections:
- {from: s, to: one}
- {from: s, to: count}
- {from: s, to: each}
- {from: count, to: enough}
- {from: "enough[condfalse]", to: count}
- {from: "enough[condtrue]", to: two}
- {from: one, to: two, label: one}
- {from: two, to: three}
- {from: each, to: e, label: each}
- {from: three, to: e, label: three}
"#;

/// Which effects follow which: once the later one began, the earlier one is committed.
const FOLLOWS: [(&str, &str); 2] = [("one", "two"), ("two", "three")];

/// How the disk fails.
#[derive(Clone, Copy, Debug)]
struct Fault {
    kind: &'static str,
    /// All later operations fail as well.
    for_good: bool,
    /// What survives a power loss.
    keep: &'static str,
}

const FAULTS: [Fault; 9] = [
    Fault { kind: "enospc", for_good: false, keep: "" },
    Fault { kind: "enospc", for_good: true, keep: "" },
    Fault { kind: "eio", for_good: false, keep: "" },
    Fault { kind: "eio", for_good: true, keep: "" },
    Fault { kind: "short", for_good: false, keep: "" },
    Fault { kind: "short", for_good: true, keep: "" },
    Fault { kind: "power", for_good: false, keep: "none" },
    Fault { kind: "power", for_good: false, keep: "some" },
    Fault { kind: "power", for_good: false, keep: "head" },
];

/// A setting that makes the store or the disk break its promise.
type Weakness = (&'static str, &'static str);

/// The store commits without waiting for the disk.
const DOES_NOT_WAIT: Weakness = ("DIPEO_DURABILITY", "normal");
/// The store waits, and the disk says too early that it is done.
const LIES: Weakness = ("FAULT_LIES", "1");

/// The disk, built once; `None` (said aloud) where that is not possible.
fn disk() -> Option<&'static Path> {
    static DISK: OnceLock<Option<(TempDir, PathBuf)>> = OnceLock::new();
    let built = DISK.get_or_init(|| {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (source, library) =
            (Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/faults/disk.c"), folder.path().join("disk.so"));
        let mut cc = Command::new("cc");
        let cc = cc.args(["-shared", "-fPIC", "-O1", "-o"]).args([&library, &source]).output();
        match cc {
            Ok(output) if output.status.success() => Some((folder, library)),
            Ok(output) => {
                println!("skipped: cc does not build disk.c here: {}", String::from_utf8_lossy(&output.stderr));
                None
            }
            Err(e) => {
                println!("skipped: cc does not start: {e}");
                None
            }
        }
    });
    built.as_ref().map(|(_, library)| library.as_path())
}

/// What a run on a failing disk left behind.
struct Run {
    workspace: Workspace,
    /// `None`: it was killed because it hung.
    exit_code: Option<i32>,
    stdout: String,
    stderr: String,
    /// What the disk says: how many operations, and which failed.
    log: String,
}

impl Run {
    fn new(library: &Path, fault: Option<(Fault, u64)>, weakness: Option<Weakness>) -> Self {
        let workspace = harness::workspace();
        workspace.write("d.light.yaml", DIAGRAM);
        workspace.write("files/ledger", "");
        let log = workspace.home().with_extension("disk");
        let mut command = workspace.command();
        command.args(["run", "d.light.yaml", "--json", "--no-interactive"]).envs(weakness);
        command.env("LD_PRELOAD", library).env("FAULT_PATH", database(&workspace)).env("FAULT_LOG", &log);
        if let Some((fault, at)) = fault {
            command.env("FAULT_KIND", fault.kind).env("FAULT_KEEP", fault.keep);
            command.env("FAULT_AT", at.to_string()).env("FAULT_SEED", at.to_string());
            command.env("FAULT_FROM", u8::from(fault.for_good).to_string());
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        let (exit_code, stdout, stderr) = outcome_of(child);
        let log = std::fs::read_to_string(log).unwrap_or_default();
        Self { workspace, exit_code, stdout, stderr, log }
    }

    fn n_operations(&self) -> Option<u64> {
        self.log.lines().find_map(|it| it.strip_prefix("operations ")?.parse().ok())
    }

    /// How often each effect happened.
    fn ledger(&self) -> BTreeMap<String, u32> {
        let text = std::fs::read_to_string(self.workspace.root().join("files/ledger")).expect("readable");
        let mut counts = BTreeMap::new();
        for line in text.lines() {
            *counts.entry(line.trim().to_owned()).or_insert(0) += 1;
        }
        counts
    }

    /// What is wrong with how it ended.
    fn check_end(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let is_panic = self.stderr.contains("panicked") || self.stdout.contains("panicked");
        let code = serde_json::from_str::<Value>(&self.stdout)
            .ok()
            .and_then(|it| it.get("error").unwrap_or(&it).get("code").and_then(Value::as_str).map(str::to_owned));
        let is_explained = match self.exit_code {
            // Power loss leaves nobody to explain it.
            Some(0 | 99) => true,
            Some(6) => code.as_deref() == Some("DATABASE_FAILED"),
            Some(4) => code.as_deref() == Some("DATABASE_BUSY"),
            _ => false,
        };
        if is_panic || !is_explained {
            let (code, out, err) = (self.exit_code, &self.stdout, &self.stderr);
            wrong.push(format!("it ended with {code:?} (none: it hung)\n{out}\n{err}"));
        }
        let printed: Value = serde_json::from_str(&self.stdout).unwrap_or_default();
        if self.exit_code == Some(0) && printed["status"] != "completed" {
            wrong.push(format!("exit 0 and no result: {}", self.stdout));
        }
        wrong
    }
}

fn database(workspace: &Workspace) -> PathBuf {
    workspace.root().join(".dipeo/data/dipeo_state.db")
}

/// Waits for the end of a process, and ends it when it takes too long.
fn outcome_of(child: Child) -> (Option<i32>, String, String) {
    let pid = rustix::process::Pid::from_child(&child);
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || done.send(child.wait_with_output()));
        let output = match ended.recv_timeout(HANGS_AFTER) {
            Ok(output) => return parts(output.expect("waited for")),
            Err(_) => {
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
                ended.recv().expect("it ends").expect("waited for")
            }
        };
        let (_, stdout, stderr) = parts(output);
        (None, stdout, stderr)
    })
}

fn parts(output: std::process::Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Starts once more on a sound disk, waits until nothing is open, and returns what is wrong then.
async fn check_second_start(run: &Run) -> Vec<String> {
    let mut wrong = Vec::new();
    let before = run.ledger();
    let app = run.workspace.app();
    match go_on(&app).await {
        Ok(executions) => {
            let open = executions.iter().filter(|(_, status, _)| !status.has_ended());
            wrong.extend(open.map(|(id, status, _)| format!("{id} is {} still", status.name())));
            if executions.is_empty() && !before.is_empty() {
                wrong.push(format!("the execution is lost, and had effects: {before:?}"));
            }
            wrong.extend(check_acknowledged(run, &executions));
        }
        Err(e) => wrong.push(format!("the second start fails: {} {}", e.code(), e.chain())),
    }
    app.shut_down_runs().await;
    app.close().await;
    let after = run.ledger();
    for (earlier, later) in FOLLOWS {
        let count = |ledger: &BTreeMap<String, u32>, name: &str| ledger.get(name).copied().unwrap_or(0);
        let is_committed = count(&before, later) > 0;
        if is_committed && count(&before, earlier) != count(&after, earlier) {
            wrong.push(format!("`{earlier}` was committed and ran again: {before:?}, then {after:?}"));
        }
    }
    if let Some((name, n)) = before.iter().find(|(_, n)| **n > 1) {
        wrong.push(format!("`{name}` happened {n} times in one process"));
    }
    wrong.extend(check_file(&database(&run.workspace)));
    wrong
}

type Found = Vec<(String, Status, Value)>;

async fn go_on(app: &std::sync::Arc<App>) -> Result<Found, dipeo::error::Error> {
    let mut found = Vec::new();
    if app.existing_store()?.is_none() {
        return Ok(found);
    }
    let supervisor = app.supervisor()?;
    supervisor.register().await?;
    supervisor.claim_open().await?;
    let caller = Caller::Terminal { working_dir: app.config.workspace.clone() };
    let listed = list_executions(app, &caller, list_executions::Request::default()).await?;
    for execution in listed.executions {
        let request = see_result::Request {
            execution_id: execution.execution_id.clone(),
            wait_seconds: Some(25),
            ..see_result::Request::default()
        };
        let object = see_result(app, &caller, request, Waiting::default()).await?;
        found.push((
            execution.execution_id,
            object.status,
            serde_json::to_value(&object.final_output).unwrap_or_default(),
        ));
    }
    Ok(found)
}

/// What was printed is still so.
fn check_acknowledged(run: &Run, found: &Found) -> Option<String> {
    let printed: Value = serde_json::from_str(&run.stdout).ok()?;
    let id = printed.get("execution_id")?.as_str()?;
    let kept = found.iter().find(|(it, ..)| it == id);
    let same = kept.is_some_and(|(_, status, output)| {
        printed["status"] == status.name() && printed.get("final_output").unwrap_or(&Value::Null) == output
    });
    (!same).then(|| format!("it printed {printed}, kept is {kept:?}"))
}

fn check_file(path: &Path) -> Vec<String> {
    if !path.is_file() {
        return Vec::new();
    }
    let check = || -> Result<Vec<String>, rusqlite::Error> {
        let connection = rusqlite::Connection::open(path)?;
        let mut statement = connection.prepare("PRAGMA integrity_check")?;
        statement.query_map([], |row| row.get(0))?.collect()
    };
    match check() {
        Ok(lines) if lines == ["ok"] => Vec::new(),
        Ok(lines) => lines,
        Err(e) => vec![format!("the file does not open: {e}")],
    }
}

/// Tries one fault and returns what is wrong, and whether the disk failed at all.
fn try_fault(library: &Path, fault: Fault, at: u64, weakness: Option<Weakness>) -> (Vec<String>, bool) {
    let run = Run::new(library, Some((fault, at)), weakness);
    let mut wrong = run.check_end();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    wrong.extend(runtime.block_on(check_second_start(&run)));
    let has_failed = run.log.contains("failed ") || run.exit_code == Some(99);
    if !wrong.is_empty() {
        wrong.insert(0, format!("{fault:?} at operation {at}:\n{}", run.log));
    }
    (wrong, has_failed)
}

/// How many operations a sound run has, and with it that the disk is in its place.
fn n_operations(library: &Path, weakness: Option<Weakness>) -> Option<u64> {
    let run = Run::new(library, None, weakness);
    assert_eq!(run.check_end(), Vec::<String>::new());
    assert_eq!(run.exit_code, Some(0));
    let n_operations = run.n_operations();
    if n_operations.is_none() {
        println!("skipped: LD_PRELOAD has no effect here");
    }
    n_operations
}

/// The faults to try: each kind at every `every`-th operation, and the power gone when the program ends.
fn cases(n_operations: u64, every: u64) -> Vec<(Fault, u64)> {
    let mut cases = Vec::new();
    for (nth, fault) in (0..).zip(FAULTS) {
        // Each kind begins elsewhere, so that a spread hits more places.
        let first = 1 + nth * every.div_ceil(FAULTS.len() as u64) % every;
        cases.extend((first..=n_operations).step_by(usize::try_from(every).expect("small")).map(|at| (fault, at)));
    }
    cases.extend(FAULTS.into_iter().filter(|it| it.kind == "power").map(|it| (it, AT_THE_END)));
    cases
}

#[test]
fn wherever_the_disk_fails_what_was_acknowledged_is_there_and_the_rest_is_said() {
    if !harness::has("bash") {
        return;
    }
    let Some(library) = disk() else { return };
    let Some(n_operations) = n_operations(library, None) else { return };
    let every = std::env::var_os("FAULTS_EVERY").and_then(|it| it.to_string_lossy().parse().ok());
    let cases = cases(n_operations, every.unwrap_or(n_operations.div_ceil(SPREAD)).max(1));
    let (next, n_failed) = (AtomicU64::new(0), AtomicU64::new(0));
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((fault, at)) = cases.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    let (found, has_failed) = try_fault(library, *fault, *at, None);
                    n_failed.fetch_add(u64::from(has_failed), Ordering::Relaxed);
                    if !found.is_empty() {
                        wrong.lock().expect("no thread panics with it").push(found.join("\n"));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("no thread panicked");
    let report = format!(
        "{} runs of {n_operations} operations, {} with a fault, {} violations",
        cases.len(),
        n_failed.load(Ordering::Relaxed),
        wrong.len()
    );
    println!("{report}");
    assert!(wrong.is_empty(), "{report}\n{}", wrong.iter().take(10).cloned().collect::<Vec<_>>().join("\n\n"));
    assert!(n_failed.load(Ordering::Relaxed) * 2 > cases.len() as u64, "hardly any fault was hit: {report}");
}

/// Without syncs, or with syncs that are none, a power loss takes what was acknowledged; a check that does not
/// notice proves nothing.
#[test]
fn a_store_that_does_not_wait_for_the_disk_is_found_out() {
    if !harness::has("bash") {
        return;
    }
    let Some(library) = disk() else { return };
    let planted = [
        (DOES_NOT_WAIT, "none", "the execution is lost"),
        (DOES_NOT_WAIT, "head", "was committed and ran again"),
        (LIES, "none", "it printed"),
    ];
    for (weakness, keep, complaint) in planted {
        // Also shows that the program takes the weakness and runs with it.
        let Some(n_operations) = n_operations(library, Some(weakness)) else { return };
        let power = Fault { kind: "power", for_good: false, keep };
        // From the end of the run backwards: that is where most was acknowledged.
        let mut places = std::iter::once(AT_THE_END).chain((1..=n_operations).rev().step_by(3));
        let caught = places.find(|at| {
            let (wrong, has_failed) = try_fault(library, power, *at, Some(weakness));
            assert!(has_failed, "the power did not go at {at} of {n_operations} operations: {wrong:?}");
            wrong.iter().any(|it| it.contains(complaint))
        });
        let caught = caught.unwrap_or_else(|| panic!("{weakness:?}, {keep}: nowhere of {n_operations}: {complaint}"));
        println!("{weakness:?}, {keep}: {complaint}, when the power goes at {caught} of {n_operations}");
    }
}
