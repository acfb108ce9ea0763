//! What all handlers share.

use std::sync::{Arc, OnceLock};

use tokio::runtime::Handle;

use super::api_keys::available_models::KnownModels;
use super::caller::{Caller, Scopes};
use super::diagram_tools::Seen;
use super::finished::Finished;
use super::parsed::ParsedTexts;
use super::supervisor::Supervisor;
use super::wait::not_found;
use super::watch_resources::Watch;
use super::workspace::Workspace;
use crate::clock::Clock;
use crate::config::{Config, Durability, is_granted};
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::nodes::ports::{Languages, Ports};
use crate::nodes::{Origin, Rights};
use crate::secret::Scrubber;
use crate::store::{self, ExecutionHead, Store};

/// Everything handlers need; built once by `main`. The database is opened on first use, so that a command
/// that needs none opens none.
pub struct App {
    pub config: Config,
    pub workspace: Workspace,
    pub clock: Arc<dyn Clock>,
    pub ports: Arc<Ports>,
    pub languages: Arc<dyn Languages>,
    /// What the texts of diagrams were read as.
    pub(super) parsed: Arc<ParsedTexts>,
    /// How this process describes itself to others on the database: `cli`, `mcp`, `serve`, `drain`.
    pub role: &'static str,
    /// What was read of diagrams that ask to be tools.
    pub(super) seen_tools: Seen,
    pub(super) finished: Finished,
    /// Held while a diagram's file and its history are changed together: one change after the other.
    pub(super) saving: tokio::sync::Mutex<()>,
    /// What services said of their models.
    pub(super) known_models: KnownModels,
    /// Who wants to hear of changes.
    pub(super) watch: Watch,
    /// Where everything runs that outlives the request that began it; absent outside of a runtime.
    runtime: Option<Handle>,
    store: OnceLock<Arc<Store>>,
    supervisor: OnceLock<Arc<Supervisor>>,
}

impl App {
    /// Puts an application together from what `main` built.
    pub fn new(config: Config, role: &'static str, ports: Ports, languages: Arc<dyn Languages>) -> Self {
        Self {
            workspace: Workspace::new(config.workspace.clone()),
            clock: Arc::clone(&ports.clock),
            ports: Arc::new(ports),
            languages,
            parsed: Arc::default(),
            role,
            config,
            seen_tools: Seen::default(),
            finished: Finished::default(),
            saving: tokio::sync::Mutex::default(),
            known_models: KnownModels::default(),
            watch: Watch::default(),
            runtime: Handle::try_current().ok(),
            store: OnceLock::new(),
            supervisor: OnceLock::new(),
        }
    }

    /// The database, opened now if it was not yet.
    ///
    /// # Errors
    ///
    /// `DATABASE_FAILED` and what else opening can say.
    pub fn store(&self) -> Result<&Arc<Store>, Error> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let durability = match self.config.durability {
            Durability::Full => store::Durability::Full,
            Durability::Normal => store::Durability::Normal,
        };
        let settings = store::Settings { path: self.config.database.clone(), durability };
        let opened = Store::open(&settings, Arc::clone(&self.clock))?;
        Ok(self.store.get_or_init(|| opened))
    }

    /// The row of an execution that `caller` may know of; somebody else's does not exist for them.
    ///
    /// # Errors
    ///
    /// `EXECUTION_NOT_FOUND`, and as [`App::store`].
    pub fn visible(&self, caller: &Caller, id: &ExecutionId) -> Result<ExecutionHead, Error> {
        let head = self.store()?.head(id)?.filter(|it| caller.may_see(it.principal.as_deref()));
        head.ok_or_else(|| not_found(id))
    }

    /// What keeps secrets out of everything that is shown.
    pub fn scrubber(&self) -> &Scrubber {
        self.ports.secrets.scrubber()
    }

    /// The most that any client of this process may do.
    pub fn client_scopes(&self) -> Scopes {
        if self.config.mcp.read_only { Scopes::READ } else { Scopes::ALL }
    }

    /// The database if there is one already.
    ///
    /// # Errors
    ///
    /// As [`App::store`]: a file that does not open is not one that is not there.
    pub fn existing_store(&self) -> Result<Option<&Arc<Store>>, Error> {
        if self.config.database.is_file() { self.store().map(Some) } else { Ok(None) }
    }

    /// Who runs executions in this process.
    ///
    /// # Errors
    ///
    /// As [`App::store`].
    pub fn supervisor(&self) -> Result<&Arc<Supervisor>, Error> {
        if let Some(supervisor) = self.supervisor.get() {
            return Ok(supervisor);
        }
        let store = Arc::clone(self.store()?);
        let made = Supervisor::new(
            store,
            Arc::clone(&self.ports),
            Arc::clone(&self.languages),
            Arc::clone(&self.parsed),
            self.config.clone(),
            self.role,
            self.runtime.clone(),
        );
        Ok(self.supervisor.get_or_init(|| made))
    }

    /// Runs something that goes on when whoever asked for it has left: an adapter may serve its clients on a runtime
    /// of its own, which ends with them.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        match &self.runtime {
            Some(runtime) => drop(runtime.spawn(work)),
            None => drop(tokio::spawn(work)),
        }
    }

    /// The supervisor if this process has run anything.
    pub fn started_supervisor(&self) -> Option<&Arc<Supervisor>> {
        self.supervisor.get()
    }

    /// The rights of a text: a text that a client ever submitted stays submitted, however it is run, until a
    /// person trusts exactly it (DESIGN.md, Trust).
    ///
    /// # Errors
    ///
    /// As [`App::store`].
    pub fn rights_of(&self, origin: Origin, sha256: &str) -> Result<Rights, Error> {
        rights_of_text(self.existing_store()?.map(AsRef::as_ref), &self.config, origin, sha256)
    }

    /// The database if this process has opened it.
    pub fn opened_store(&self) -> Option<&Arc<Store>> {
        self.store.get()
    }

    /// Stops what this process runs; open executions are left to others.
    pub async fn shut_down_runs(&self) {
        if let Some(supervisor) = self.supervisor.get() {
            supervisor.shut_down().await;
        }
    }

    /// Closes the database.
    pub async fn close(&self) {
        if let Some(store) = self.store.get() {
            store.close().await;
        }
    }
}

/// The rights of a text of this origin: as [`App::rights_of`].
///
/// # Errors
///
/// What the database says.
pub(super) fn rights_of_text(
    store: Option<&Store>,
    config: &Config,
    origin: Origin,
    sha256: &str,
) -> Result<Rights, Error> {
    let was_submitted = match store {
        Some(store) => store.is_submitted(sha256)?,
        None => false,
    };
    let origin = if was_submitted { Origin::Submitted } else { origin };
    let is_trusted = origin == Origin::Submitted && is_granted(&config.user_dir, sha256);
    Ok(Rights::of(origin, config.policy.workspace_host_code, is_trusted))
}
