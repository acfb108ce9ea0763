//! Proves the promises at home: starts engines on a scratch database, kills them at random moments while mixed
//! diagrams run, lets everything finish, and compares the log with what the outside saw.
//!
//! | file | what it does |
//! |---|---|
//! | `workload` | the diagrams; each effect leaves a line in a ledger |
//! | `engines` | processes that are started and killed |
//! | `drive` | starts executions and answers questions, through the database only |
//! | `audit` | reads ledger and database as a history |
//! | `walk`, `verdict` | judge a history; pure |
//! | `dice` | chance from a seed |

mod audit;
mod dice;
mod drive;
mod engines;
mod verdict;
mod walk;
mod workload;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use self::dice::Dice;
use self::drive::Driver;
use self::engines::{Kind, Site};
pub use self::verdict::{Broken, Violation};
use self::verdict::{History, judge};
use super::App;
use crate::config::{Config, Durability};
use crate::error::Error;
use crate::nodes::ports::Ports;

/// How long nothing may be committed, once the killing is over, before what is open counts as stuck: twice the
/// lease, after which the executions of any dead owner are free.
const PATIENCE: Duration = Duration::from_secs(30);
/// Violations that are shown; all are counted.
const SHOWN_MAX: usize = 50;

/// How long to torture, and how.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Seconds of killing; what is open then has as long as it needs.
    pub seconds: u64,
    /// Decides the diagrams, how long engines live and what is answered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seed: Option<u64>,
    /// Ends the killing early, after so many kills.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kills: Option<u64>,
}

/// What was seen.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    /// Whether every promise held.
    pub held: bool,
    pub seed: u64,
    /// Seconds in all.
    pub seconds: f64,
    pub engines_started: u64,
    /// Engines killed while they worked.
    pub kills: u64,
    /// Engines that were asked to stop instead.
    pub stops: u64,
    /// How often another engine went on with an execution.
    pub takeovers: u64,
    pub executions: u64,
    pub nodes_committed: u64,
    /// Executions of nodes with an effect, as the outside saw them.
    pub effects: u64,
    /// Of these, happened more than once; each was under way when an engine was killed.
    pub effects_repeated: u64,
    pub effects_lost: u64,
    /// Executions that were acknowledged and are not there.
    pub executions_lost: u64,
    /// Executions that did not end.
    pub stuck: u64,
    /// Nodes that ran again after they had been committed.
    pub committed_repeated: u64,
    /// `ok`, or what SQLite's own check says.
    pub database: String,
    /// Every broken promise; the first 50.
    pub violations: Vec<Violation>,
    /// Where everything is to be looked at; kept when a promise was broken.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub folder: Option<PathBuf>,
}

/// Tortures this program and says what came of it.
///
/// # Errors
///
/// `INVALID_INPUT`; `FILE_FAILED` when the scratch folder or an engine cannot be made; what the database says.
pub async fn torture(app: &App, request: Request) -> Result<Response, Error> {
    if request.seconds == 0 || request.seconds > 86_400 {
        return Err(Error::invalid("INVALID_INPUT", format!("`--torture` is {} seconds", request.seconds))
            .hint("write 1 to 86400"));
    }
    let began = tokio::time::Instant::now();
    let seed = request.seed.unwrap_or_else(|| app.clock.now().0.unsigned_abs() % 1_000_000);
    let scratch = Scratch::make(seed)?;
    let outcome = torture_in(app, &request, seed, &scratch).await;
    let mut response = match outcome {
        Ok(response) => response,
        Err(e) => {
            return Err(e.hint(format!("the scratch folder is `{}`", scratch.folder.display())));
        }
    };
    response.seconds = (began.elapsed().as_secs_f64() * 10.0).round() / 10.0;
    if response.held {
        scratch.remove();
    } else {
        response.folder = Some(scratch.folder.clone());
    }
    Ok(response)
}

async fn torture_in(app: &App, request: &Request, seed: u64, scratch: &Scratch) -> Result<Response, Error> {
    let own = Arc::new(scratch.app(app));
    let store = Arc::clone(own.store()?);
    let dice = Dice::new(seed);
    let site = Arc::new(scratch.site(app)?);
    let names = workload::diagrams().into_iter().map(|(name, _)| name).collect();
    let mut driver = Driver::new(Arc::clone(&own), scratch.workspace.clone(), names, dice.fork(100));
    let stop = CancellationToken::new();
    let slots = SLOTS.iter().zip(0..).map(|(kinds, n)| site.keep_killing(dice.fork(n), kinds, &store, &stop));
    let (killed, driven, ()) = tokio::join!(
        futures_util::future::try_join_all(slots),
        async { driver.drive(&stop).await.inspect_err(|_| stop.cancel()) },
        until_over(&site, request, &stop),
    );
    killed?;
    driven?;
    let is_healthy = finish(&site, &mut driver).await;
    let history = read_history(&own, scratch, &site, driver)?;
    is_healthy?;
    let problems = own.store()?.problems().await?;
    let response = report(problems, seed, &site, history);
    own.close().await;
    Ok(response)
}

/// What lives at the same moment: one list of kinds per engine.
const SLOTS: [&[Kind]; 3] = [
    &[Kind::Drain],
    &[Kind::Stdio],
    &[Kind::Stdio, Kind::Run("fan.light.yaml"), Kind::Run("children.light.yaml"), Kind::Run("loop.light.yaml")],
];

/// Ends the killing when its time, or its number, is full.
async fn until_over(site: &Site, request: &Request, stop: &CancellationToken) {
    let end = tokio::time::Instant::now() + Duration::from_secs(request.seconds);
    let is_enough = || request.kills.is_some_and(|it| it <= site.n_killed.load(Ordering::Relaxed));
    while tokio::time::Instant::now() < end && !is_enough() && !stop.is_cancelled() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.cancel();
}

/// Two engines that nobody kills finish what is open, and then stop when they are asked to.
async fn finish(site: &Site, driver: &mut Driver) -> Result<(), Error> {
    let mut engines = [site.start(Kind::Stdio)?, site.start(Kind::Stdio)?];
    let outcome = driver.finish(PATIENCE).await;
    for engine in &mut engines {
        site.ask_to_stop(engine).await;
    }
    if let Ok(store) = driver.app.store() {
        site.kill_left_behind(store)?;
    }
    outcome
}

struct Finished {
    history: History,
    /// Found while the torture went on.
    violations: Vec<Violation>,
}

fn read_history(app: &App, scratch: &Scratch, site: &Site, driver: Driver) -> Result<Finished, Error> {
    let store = app.store()?;
    let mut violations = driver.violations;
    let ledger = audit::read_ledger(&scratch.workspace.join(workload::LEDGER), &mut violations)?;
    let history = History {
        kills: site.kills.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        promised: driver.promised,
        ledger,
        logs: audit::read_logs(store)?,
        requests: audit::read_outcomes(store, &driver.sent)?,
    };
    Ok(Finished { history, violations })
}

fn report(problems: Vec<String>, seed: u64, site: &Site, finished: Finished) -> Response {
    let mut verdict = judge(&finished.history);
    verdict.violations.extend(finished.violations);
    if let Some(first) = problems.first() {
        let message = first.clone();
        verdict.violations.push(Violation { kind: Broken::DatabaseBroken, what: "database".to_owned(), message });
    }
    Response {
        held: verdict.violations.is_empty(),
        seed,
        seconds: 0.0,
        engines_started: site.n_started.load(Ordering::Relaxed),
        kills: site.n_killed.load(Ordering::Relaxed),
        stops: site.n_stopped.load(Ordering::Relaxed),
        takeovers: verdict.takeovers,
        executions: finished.history.logs.len() as u64,
        nodes_committed: verdict.nodes_committed,
        effects: verdict.effects,
        effects_repeated: verdict.effects_repeated,
        effects_lost: verdict.count(Broken::EffectLost),
        executions_lost: verdict.count(Broken::ExecutionLost),
        stuck: verdict.count(Broken::Stuck),
        committed_repeated: verdict.count(Broken::CommittedRepeated),
        database: problems.first().cloned().unwrap_or_else(|| "ok".to_owned()),
        violations: verdict.violations.into_iter().take(SHOWN_MAX).collect(),
        folder: None,
    }
}

/// The folders of one torture.
struct Scratch {
    folder: PathBuf,
    workspace: PathBuf,
}

impl Scratch {
    fn make(seed: u64) -> Result<Self, Error> {
        let folder = std::env::temp_dir().join(format!("dipeo-torture-{}-{seed}", std::process::id()));
        let scratch = Self { workspace: folder.join("work"), folder };
        scratch.fill().map_err(|e| {
            Error::external("FILE_FAILED", format!("cannot make the scratch folder `{}`", scratch.folder.display()))
                .hint("see that the temporary folder can be written, or name another one with TMPDIR")
                .source(e)
        })?;
        Ok(scratch)
    }

    fn fill(&self) -> std::io::Result<()> {
        std::fs::create_dir(&self.folder)?;
        for folder in [&self.workspace, &self.workspace.join(workload::FLAGS), &self.folder.join("home")] {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(self.workspace.join(workload::LEDGER), "")?;
        for (name, text) in workload::diagrams() {
            std::fs::write(self.workspace.join(format!("{name}.light.yaml")), text)?;
        }
        Ok(())
    }

    fn database(&self) -> PathBuf {
        self.workspace.join(".dipeo/data/dipeo_state.db")
    }

    /// An application on the scratch database that runs nothing itself.
    fn app(&self, outer: &App) -> App {
        let config = Config {
            workspace: self.workspace.clone(),
            database: self.database(),
            durability: Durability::Full,
            user_dir: self.folder.join("home"),
            ..outer.config.clone()
        };
        App::new(config, "cli", Ports::clone(&outer.ports), Arc::clone(&outer.languages))
    }

    fn site(&self, app: &App) -> Result<Site, Error> {
        let program = std::env::current_exe().map_err(|e| {
            Error::external("FILE_FAILED", "cannot find the program's own file")
                .hint("start dipeo by its path")
                .source(e)
        })?;
        Ok(Site {
            program,
            workspace: self.workspace.clone(),
            home: self.folder.join("home"),
            clock: Arc::clone(&app.clock),
            noise: self.folder.join("engines.log"),
            kills: Mutex::default(),
            n_killed: AtomicU64::new(0),
            n_stopped: AtomicU64::new(0),
            n_started: AtomicU64::new(0),
        })
    }

    /// What held is not kept; what cannot be removed stays in the temporary folder.
    fn remove(&self) {
        if let Err(e) = std::fs::remove_dir_all(&self.folder) {
            tracing::warn!("the scratch folder `{}` stays: {e}", self.folder.display());
        }
    }
}
