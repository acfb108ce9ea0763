//! What the integration tests share: a temporary workspace, an application in it, the corpus.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use dipeo::clock::SystemClock;
use dipeo::code::{self, Code};
use dipeo::config::{Config, Environment, Overrides};
use dipeo::error::Error;
use dipeo::handlers::App;
use dipeo::llm::{self, Llm};
use dipeo::nodes::ports::http::{Http, HttpReply, HttpRequest, NoNetwork};
use dipeo::nodes::ports::{Models, Ports};
use dipeo::outside::{GuardedHttp, UserSecrets, WorkspaceFiles};
use futures_util::future::BoxFuture;
use serde_json::Value;
use tempfile::TempDir;

/// The program under test.
pub const DIPEO: &str = env!("CARGO_BIN_EXE_dipeo");

/// The corpus, or `None` (said aloud) where it is not there.
pub fn corpus() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: ../shared is not there");
    None
}

/// Reads a YAML file as JSON.
pub fn read_yaml(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("readable");
    let options = serde_yaml::options! { strict_booleans: true, budget: None };
    serde_yaml::from_str_with_options(&text, options).expect("valid YAML")
}

/// A workspace that is removed with its test, with a home of its own.
pub struct Workspace {
    folder: TempDir,
}

/// Makes an empty workspace.
pub fn workspace() -> Workspace {
    let folder = tempfile::tempdir().expect("temporary folder");
    std::fs::create_dir(folder.path().join("work")).expect("made");
    Workspace { folder }
}

impl Workspace {
    pub fn root(&self) -> &Path {
        // The folder of the home lies beside the root, so nothing of it is listed.
        Box::leak(self.folder.path().join("work").into_boxed_path())
    }

    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Writes a file, making its folders.
    pub fn write(&self, path: &str, content: &str) {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().expect("has a folder")).expect("made");
        std::fs::write(path, content).expect("written");
    }

    /// An application in this process.
    pub fn app(&self) -> Arc<App> {
        self.app_with_models(scripted_models())
    }

    /// An application whose persons are answered by `models`.
    pub fn app_with_models(&self, models: Arc<dyn Models>) -> Arc<App> {
        let home = self.home().display().to_string();
        let env = Environment::of(&[("DIPEO_HOME", &home)]);
        let overrides = Overrides { workspace: Some(self.root().to_path_buf()), ..Overrides::default() };
        let config = Config::load(&overrides, &env, self.root()).expect("valid settings");
        let code = Code::new(code::Settings::new(
            vec![DIPEO.into(), code::worker::SUBCOMMAND.into()],
            config.workspace.clone(),
        ));
        let closed = Ports::closed(
            Arc::clone(&code) as _,
            models,
            WorkspaceFiles::new(config.workspace.clone()),
            Arc::new(SystemClock),
        );
        let secrets = UserSecrets::new(config.user_dir.clone());
        let http = Arc::new(LoopbackOnly(GuardedHttp::new()));
        let ports = Ports { http, commands: Arc::clone(&code) as _, secrets, ..closed };
        Arc::new(App::new(config, "serve", ports, code))
    }

    /// The program, to be run in this workspace with nothing of this machine's settings.
    pub fn command(&self) -> std::process::Command {
        let mut command = std::process::Command::new(DIPEO);
        command.current_dir(self.root()).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("DIPEO_HOME", self.home()).env("HOME", self.home());
        command
    }
}

/// The product's own models: scripts answer, everything else has no key.
pub fn scripted_models() -> Arc<dyn Models> {
    Llm::new(llm::Settings::from_config(&Default::default()))
}

/// The product's own client without names: an address may be refused by it, nothing asks a name server.
struct LoopbackOnly(Arc<dyn Http>);

impl Http for LoopbackOnly {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpReply, Error>> {
        let host = request.url.split("://").nth(1).unwrap_or_default();
        if host.starts_with("localhost") || !host.starts_with(|it: char| it.is_ascii_alphabetic()) {
            return self.0.send(request);
        }
        NoNetwork.send(request)
    }
}

/// Waits for the next commit on the application's database.
pub async fn next_commit(app: &App) {
    let mut changes = app.store().expect("opened").changes();
    let _ = tokio::time::timeout(std::time::Duration::from_secs(5), changes.changed()).await;
}

/// Whether a program is installed; says aloud what is skipped without it.
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|it| it.join(program).is_file());
    if !is_there {
        println!("skipped: {program} is not installed");
    }
    is_there
}

/// Runs the diagram in a process of its own and kills that with everything it started once `line` stands in
/// the ledger.
pub fn kill_when(workspace: &Workspace, line: &str) {
    kill_when_in(workspace, "files/ledger", line);
}

/// As [`kill_when`], with another file as the ledger.
pub fn kill_when_in(workspace: &Workspace, ledger: &str, line: &str) {
    use std::os::unix::process::CommandExt;
    let mut child = workspace
        .command()
        .args(["run", "d.light.yaml", "--watch", "--no-interactive"])
        .process_group(0)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let ledger = workspace.root().join(ledger);
    let stderr = child.stderr.take().expect("piped");
    // Progress lines pace the look at the ledger; the last one may come before the line is written.
    let mut lines = BufReader::new(stderr).lines();
    let is_there = || std::fs::read_to_string(&ledger).unwrap_or_default().lines().any(|it| it == line);
    while !is_there() && child.try_wait().expect("known").is_none() {
        if lines.next().is_none() {
            break;
        }
        while !is_there() && child.try_wait().expect("known").is_none() {
            std::thread::yield_now();
        }
    }
    let group = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process_group(group, rustix::process::Signal::KILL).expect("killed");
    child.wait().expect("reaped");
}

/// Runs a command with `--json` and returns what it prints.
pub fn json(workspace: &Workspace, arguments: &[&str]) -> Value {
    let output = workspace.command().args(arguments).arg("--json").output().expect("runs");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
        panic!(
            "{arguments:?}: {e}: {} {}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    })
}
