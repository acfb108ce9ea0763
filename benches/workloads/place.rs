//! A workspace in a folder of its own, an application in it, and the program to be started in it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use dipeo::clock::SystemClock;
use dipeo::code::{self, Code};
use dipeo::config::{Config, Environment, Overrides};
use dipeo::handlers::execution_object::ExecutionObject;
use dipeo::handlers::run_diagram::{Extras, Request, Waiting, run_diagram};
use dipeo::handlers::{App, Caller};
use dipeo::llm::{self, Llm};
use dipeo::nodes::ports::Ports;
use dipeo::outside::WorkspaceFiles;
use tempfile::TempDir;

use crate::Outcome;

/// The program that is measured.
const DIPEO: &str = env!("CARGO_BIN_EXE_dipeo");

/// A workspace that is removed with its value. It lies beside the compiled program, because a folder for
/// temporary files may be kept in memory, where a sync costs nothing.
pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn new() -> Outcome<Self> {
        let above = Path::new(env!("CARGO_TARGET_TMPDIR"));
        std::fs::create_dir_all(above)?;
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(above)?;
        std::fs::create_dir(folder.path().join("work"))?;
        Ok(Self { folder })
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub fn write(&self, name: &str, content: &str) -> Outcome<()> {
        Ok(std::fs::write(self.root().join(name), content)?)
    }

    /// An application in this process, put together as the program does it.
    pub fn app(&self, durability: &str) -> Outcome<Arc<App>> {
        let home = self.home().display().to_string();
        let overrides =
            Overrides { workspace: Some(self.root()), durability: Some(durability.to_owned()), ..Overrides::default() };
        let config = Config::load(&overrides, &Environment::of(&[("DIPEO_HOME", &home)]), &self.root())?;
        let code = Code::new(code::Settings::new(
            vec![DIPEO.into(), code::worker::SUBCOMMAND.into()],
            config.workspace.clone(),
        ));
        let ports = Ports::closed(
            Arc::clone(&code) as _,
            Llm::new(llm::Settings::from_config(&config.models)),
            WorkspaceFiles::new(config.workspace.clone()),
            Arc::new(SystemClock),
        );
        Ok(Arc::new(App::new(config, "serve", ports, code)))
    }

    /// The program in this workspace, with nothing of this machine's settings.
    pub fn command(&self) -> Command {
        let mut command = Command::new(DIPEO);
        command.current_dir(self.root()).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("DIPEO_HOME", self.home()).env("HOME", self.home());
        command
    }
}

/// Runs a diagram to its end and returns it.
pub async fn run_to_end(app: &App, diagram: &str) -> Outcome<ExecutionObject> {
    let caller = Caller::Terminal { working_dir: app.config.workspace.clone() };
    let request = Request { content: Some(diagram.to_owned()), ..Request::default() };
    let extras = Extras { unbounded_wait: true, ..Extras::default() };
    let execution = run_diagram(app, &caller, request, extras, Waiting::default()).await?;
    if execution.status.name() != "completed" {
        return Err(format!("the run ended as `{}`: {:?}", execution.status.name(), execution.error).into());
    }
    Ok(execution)
}

/// Stops what runs and closes the database.
pub async fn close(app: &App) {
    app.shut_down_runs().await;
    app.close().await;
}
