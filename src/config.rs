//! Settings: flags over environment over `dipeo.toml` over `config.toml` of the user over defaults. The one place that reads the
//! environment (surface.md 3.1, 3.3).

mod access;
mod clients;
mod explained;
mod files;
mod logging;
mod models;
mod retention;
mod timeouts;
mod traces;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

pub use self::access::{AuthSettings, JWT_SECRET_BYTES_MIN, LimitSettings, McpSettings, Toolset};
use self::access::{AuthTable, McpTable};
pub use self::clients::{Named, UserFolders};
pub use self::explained::Explained;
use self::explained::Sources;
use self::files::Files;
pub use self::logging::{LogFormat, LogSettings};
use self::models::ModelsTable;
pub use self::models::{LongPrice, ModelSettings, PriceTable, ProviderConfig, default_model};
use self::retention::RetentionTable;
pub use self::retention::{RetentionSettings, StatusRetention};
pub use self::timeouts::TimeoutSettings;
pub use self::traces::TraceSettings;
use crate::error::Error;
use crate::nearest::nearest;
use crate::secret::Secret;

/// The environment of the process, taken once.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Takes the variables of this process.
    pub fn of_process() -> Self {
        Self(std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect())
    }

    /// An environment for tests.
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    /// Returns the value of `name`; empty counts as absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|it| !it.is_empty())
    }

    /// Everything that may be the key of a provider; our own token is none.
    fn provider_keys(&self) -> BTreeMap<String, Secret> {
        let is_key =
            |name: &str| (name.ends_with("_API_KEY") || name.ends_with("_TOKEN")) && !name.starts_with("DIPEO_");
        let keys = self.0.iter().filter(|(name, _)| is_key(name));
        keys.filter_map(|(name, value)| Some((name.clone(), Secret::new(value)?))).collect()
    }

    /// The name, of several for one setting, under which it is set; the first when it is not.
    fn name_of<'a>(&self, names: &[&'a str]) -> &'a str {
        names.iter().find(|it| self.get(it).is_some()).unwrap_or(&names[0])
    }

    /// Returns the value of the first of several names for one setting.
    ///
    /// # Errors
    ///
    /// `Invalid` when two of them are set to different values.
    pub fn one_of(&self, names: &[&str]) -> Result<Option<&str>, Error> {
        let set: Vec<(&str, &str)> = names.iter().filter_map(|it| self.get(it).map(|value| (*it, value))).collect();
        match set.as_slice() {
            [] => Ok(None),
            [(first, value), rest @ ..] => match rest.iter().find(|(_, other)| other != value) {
                Some((other, _)) => Err(two_values(first, other)),
                None => Ok(Some(value)),
            },
        }
    }
}

fn two_values(first: &str, other: &str) -> Error {
    Error::invalid("INVALID_INPUT", format!("`{first}` and `{other}` are set to different values"))
        .hint("they mean the same setting; set one of them")
}

/// What flags set.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub workspace: Option<PathBuf>,
    pub database: Option<String>,
    pub server: Option<String>,
    pub durability: Option<String>,
    pub host: Option<String>,
    pub port: Option<u16>,
    pub public_url: Option<String>,
    pub allowed_hosts: Vec<String>,
    pub allowed_origins: Vec<String>,
    /// Only reading, for every client.
    pub read_only: bool,
    /// Globs of the diagrams that clients may run.
    pub allow_diagrams: Vec<String>,
    /// Names of toolsets.
    pub toolsets: Vec<String>,
}

/// How hard a commit is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Survives a power cut.
    #[default]
    Full,
    /// Survives a killed process.
    Normal,
}

/// Whether long calls become tasks for MCP clients that can have them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tasks {
    /// For each call that says so.
    #[default]
    Auto,
    Off,
}

impl Tasks {
    /// The word in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Off => "off",
        }
    }
}

/// All settings of one process.
#[derive(Clone)]
pub struct Config {
    /// Root of the workspace: diagrams, files and `.dipeo/`.
    pub workspace: PathBuf,
    pub database: PathBuf,
    pub durability: Durability,
    /// The server is in use by others: what only helps those who build something with it is not there.
    pub is_production: bool,
    /// `~/.dipeo`: trust grants; never read from the workspace.
    pub user_dir: PathBuf,
    /// `~/.claude`: where Claude Code keeps its sessions.
    pub claude_dir: PathBuf,
    pub user_folders: UserFolders,
    pub named: Named,
    pub host: String,
    pub port: u16,
    pub public_url: Option<String>,
    pub allowed_hosts: Vec<String>,
    pub allowed_origins: Vec<String>,
    /// The server that carries out what commands ask, instead of this process.
    pub server: Option<String>,
    pub auth: AuthSettings,
    pub mcp: McpSettings,
    pub limits: LimitSettings,
    pub timeouts: TimeoutSettings,
    pub retention: RetentionSettings,
    pub models: ModelSettings,
    /// Variables that hold keys of providers: everything called `…_API_KEY` or `…_TOKEN`.
    pub provider_keys: BTreeMap<String, Secret>,
    pub policy: PolicySettings,
    pub logs: LogSettings,
    pub traces: TraceSettings,
    /// What should be said once: unknown variables, ignored security keys.
    pub warnings: Vec<String>,
    /// Where the values come from.
    pub explained: Vec<Explained>,
}

/// What workspace diagrams may do through a server; counts only after `dipeo trust --config`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicySettings {
    /// `policy.workspace.host_code`.
    pub workspace_host_code: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSettings {
    #[serde(default)]
    server: ServerTable,
    #[serde(default)]
    auth: AuthTable,
    #[serde(default)]
    mcp: McpTable,
    #[serde(default)]
    limits: LimitSettings,
    #[serde(default)]
    retention: RetentionTable,
    #[serde(default)]
    models: ModelsTable,
    #[serde(default)]
    prices: BTreeMap<String, PriceTable>,
    #[serde(default)]
    policy: PolicyTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerTable {
    host: Option<String>,
    port: Option<u16>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyTable {
    #[serde(default)]
    workspace: WorkspacePolicy,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkspacePolicy {
    #[serde(default)]
    host_code: bool,
}

const KNOWN_VARIABLES: [&str; 20] = [
    "DIPEO_BASE_DIR",
    "DIPEO_DURABILITY",
    "DIPEO_LOG_LEVEL",
    "DIPEO_LOGS_DIR",
    "DIPEO_HOST",
    "DIPEO_PORT",
    "DIPEO_EXECUTION_ID",
    "DIPEO_TOKEN",
    "DIPEO_SERVER",
    "DIPEO_AUTH_AUDIENCE",
    "DIPEO_AUTH_ISSUER",
    "DIPEO_AUTH_JWKS_URL",
    "DIPEO_AUTH_REQUIRED",
    "DIPEO_HOME",
    "DIPEO_BIN",
    "DIPEO_TEST_FAST",
    "DIPEO_TEST_CASES",
    "DIPEO_DEBUG",
    // A hook gives these to its program, which may be this one.
    "DIPEO_IDEMPOTENCY_KEY",
    "DIPEO_ATTEMPT",
];

impl Config {
    /// Puts the settings together for a process in `working_dir`.
    ///
    /// # Errors
    ///
    /// `Invalid` for contradicting variables, values that do not parse, a malformed `dipeo.toml`, or a
    /// database this build cannot open.
    pub fn load(overrides: &Overrides, env: &Environment, working_dir: &Path) -> Result<Self, Error> {
        let home =
            env.get("DIPEO_HOME").map(PathBuf::from).or_else(|| env.get("HOME").map(|it| Path::new(it).join(".dipeo")));
        let user_dir = home.unwrap_or_else(|| working_dir.join(".dipeo"));
        let claude_dir = env
            .get("CLAUDE_CONFIG_DIR")
            .map(PathBuf::from)
            .or_else(|| env.get("HOME").map(|it| Path::new(it).join(".claude")))
            .unwrap_or_else(|| working_dir.join(".claude"));
        let workspace = workspace_root(overrides, env, working_dir, &user_dir);
        let mut warnings = unknown_variables(env);
        let mut files = Files::read(&workspace, &user_dir, &mut warnings)?;
        let file = std::mem::take(&mut files.settings);
        let port = port(env)?;
        let mut config = Self {
            database: database_path(overrides, env, &workspace)?,
            durability: durability(overrides, env)?,
            is_production: is_production(env)?,
            host: overrides
                .host
                .clone()
                .or_else(|| env.get("DIPEO_HOST").map(str::to_owned))
                .or(file.server.host)
                .unwrap_or_else(|| "127.0.0.1".into()),
            port: overrides.port.or(port).or(file.server.port).unwrap_or(8000),
            public_url: overrides.public_url.clone(),
            server: overrides.server.clone().or_else(|| env.get("DIPEO_SERVER").map(str::to_owned)),
            allowed_hosts: overrides.allowed_hosts.clone(),
            allowed_origins: origins(overrides, env)?,
            auth: AuthSettings::load(env, file.auth).map_err(|e| files.located_if_named("auth", e))?,
            mcp: McpSettings::load(overrides, file.mcp, |key, e| files.located(key, e))?,
            limits: file.limits.checked().map_err(|e| files.located("limits", e))?,
            timeouts: TimeoutSettings::load(env)?,
            retention: file.retention.settings().map_err(|e| files.located("retention", e))?,
            models: ModelSettings::load(env, file.models, file.prices)
                .map_err(|e| files.located_if_named("models", e))
                .map_err(|e| files.located_if_named("prices", e))?,
            provider_keys: env.provider_keys(),
            policy: files.policy,
            logs: LogSettings::load(env, &workspace)?,
            traces: TraceSettings::load(env),
            warnings,
            workspace,
            user_dir,
            claude_dir,
            user_folders: UserFolders::of(env),
            explained: Vec::new(),
            named: Named {
                workspace: overrides.workspace.is_some(),
                database: overrides.database.is_some(),
                server: overrides.server.is_some(),
            },
        };
        config.explained = Sources { overrides, env, working_dir, files: &files }.explain(&config);
        Ok(config)
    }

    /// Every secret that the settings hold, for those who keep them out of texts.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let own = [&self.auth.token, &self.auth.jwt_secret];
        own.into_iter().flatten().chain(self.provider_keys.values())
    }
}

/// The root: flag, variable, the nearest folder upwards with `.dipeo/`, the working folder when it is
/// writable and not `/`, else a folder of the user.
fn workspace_root(overrides: &Overrides, env: &Environment, working_dir: &Path, user_dir: &Path) -> PathBuf {
    let asked = overrides.workspace.clone().or_else(|| env.get("DIPEO_BASE_DIR").map(PathBuf::from));
    if let Some(asked) = asked {
        let path = working_dir.join(asked);
        return path.canonicalize().unwrap_or(path);
    }
    if let Some(found) = working_dir.ancestors().find(|it| it.join(".dipeo").is_dir() && it.join(".dipeo") != *user_dir)
    {
        return found.to_path_buf();
    }
    let is_usable = working_dir.parent().is_some()
        && std::fs::metadata(working_dir).is_ok_and(|it| it.is_dir() && !it.permissions().readonly());
    if is_usable { working_dir.to_path_buf() } else { user_dir.join("workspace") }
}

fn database_path(overrides: &Overrides, env: &Environment, workspace: &Path) -> Result<PathBuf, Error> {
    let url = match &overrides.database {
        Some(url) => Some(url.as_str()),
        None => match (env.get("DATABASE_URL"), env.get("STATE_STORE_PATH")) {
            (Some(url), Some(path)) if file_of(url, workspace)? != file_of(path, workspace)? => {
                return Err(two_values("DATABASE_URL", "STATE_STORE_PATH"));
            }
            (url, path) => url.or(path),
        },
    };
    url.map_or_else(|| Ok(workspace.join(".dipeo/data/dipeo_state.db")), |it| file_of(it, workspace))
}

/// The file that a database's URL or path names.
fn file_of(url: &str, workspace: &Path) -> Result<PathBuf, Error> {
    if let Some(path) = url.strip_prefix("sqlite:///") {
        return Ok(workspace.join(path));
    }
    if url.contains("://") {
        let scheme = url.split("://").next().unwrap_or_default();
        return Err(Error::invalid(
            "INVALID_INPUT",
            format!("databases of kind `{scheme}` are not supported by this build"),
        )
        .hint("use sqlite:///relative.db, sqlite:////absolute.db or a path"));
    }
    Ok(workspace.join(url))
}

fn durability(overrides: &Overrides, env: &Environment) -> Result<Durability, Error> {
    let (name, word) = match &overrides.durability {
        Some(word) => ("--durability", Some(word.as_str())),
        None => ("DIPEO_DURABILITY", env.get("DIPEO_DURABILITY")),
    };
    match word {
        None | Some("full") => Ok(Durability::Full),
        Some("normal") => Ok(Durability::Normal),
        Some(other) => Err(Error::invalid("INVALID_INPUT", format!("`{name}` is `{other}`, which is no durability"))
            .hint("write full or normal")),
    }
}

fn port(env: &Environment) -> Result<Option<u16>, Error> {
    const NAMES: [&str; 3] = ["DIPEO_PORT", "PORT", "BACKEND_PORT"];
    let Some(text) = env.one_of(&NAMES)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        let name = env.name_of(&NAMES);
        Error::invalid("INVALID_INPUT", format!("`{name}` is `{text}`, which is no port"))
            .hint("write a number from 0 to 65535")
    })
}

/// Other programs set this variable to words of their own, so only the one word counts.
fn is_production(env: &Environment) -> Result<bool, Error> {
    let word = env.one_of(&["ENVIRONMENT", "PYTHON_ENV"])?;
    Ok(word.is_some_and(|it| it.eq_ignore_ascii_case("production")))
}

fn origins(overrides: &Overrides, env: &Environment) -> Result<Vec<String>, Error> {
    if !overrides.allowed_origins.is_empty() {
        return Ok(overrides.allowed_origins.clone());
    }
    let listed = env.one_of(&["CORS_ORIGINS", "ALLOWED_ORIGINS", "MCP_CLIENT_ORIGINS"])?;
    Ok(listed
        .map(|it| it.split(',').map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()).collect())
        .unwrap_or_default())
}

fn unknown_variables(env: &Environment) -> Vec<String> {
    env.0
        .keys()
        .filter(|it| it.starts_with("DIPEO_") && !KNOWN_VARIABLES.contains(&it.as_str()))
        .map(|it| match nearest(it, KNOWN_VARIABLES) {
            Some(near) => format!("the variable `{it}` is unknown; did you mean `{near}`?"),
            None => format!("the variable `{it}` is unknown"),
        })
        .collect()
}

/// Returns the SHA-256 of `text` in hex: what trust binds to.
pub fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// The file of the trust grants.
pub fn grants_path(user_dir: &Path) -> PathBuf {
    user_dir.join("trust.json")
}

/// Whether a person trusted the text with this SHA-256.
pub fn is_granted(user_dir: &Path, sha256: &str) -> bool {
    let Ok(text) = std::fs::read_to_string(grants_path(user_dir)) else { return false };
    let Ok(grants) = serde_json::from_str::<Vec<BTreeMap<String, String>>>(&text) else { return false };
    grants.iter().any(|it| it.get("sha256").is_some_and(|it| it == sha256))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(pairs: &[(&str, &str)], dir: &Path) -> Result<Config, Error> {
        let mut all = vec![("DIPEO_HOME", "/nonexistent/home")];
        all.extend_from_slice(pairs);
        Config::load(&Overrides::default(), &Environment::of(&all), dir)
    }

    #[test]
    fn two_names_of_one_setting_with_different_values_are_refused() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let error = load(&[("DIPEO_PORT", "1"), ("PORT", "2")], dir.path()).err().expect("contradiction");
        assert!(error.message().contains("`DIPEO_PORT` and `PORT`"), "{error}");
        assert_eq!(load(&[("DIPEO_PORT", "1"), ("PORT", "1")], dir.path()).expect("equal").port, 1);
    }

    #[test]
    fn database_urls_are_relative_to_the_workspace_unless_they_have_four_slashes() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let cases = [
            ("sqlite:///a/b.db", dir.path().join("a/b.db")),
            ("sqlite:////x/y.db", "/x/y.db".into()),
            ("c.db", dir.path().join("c.db")),
        ];
        for (url, expected) in cases {
            assert_eq!(load(&[("DATABASE_URL", url)], dir.path()).expect("valid url").database, expected, "{url}");
        }
        assert!(load(&[("DATABASE_URL", "postgresql://x")], dir.path()).is_err());
    }

    #[test]
    fn policy_keys_do_not_count_until_the_file_is_trusted() {
        let dir = tempfile::tempdir().expect("temporary folder");
        std::fs::write(dir.path().join("dipeo.toml"), "[policy.workspace]\nhost_code = true\n").expect("written");
        let config = load(&[], dir.path()).expect("valid file");
        assert!(!config.policy.workspace_host_code);
        assert!(config.warnings.iter().any(|it| it.contains("dipeo trust --config")));
    }

    #[test]
    fn a_setting_that_makes_no_sense_names_the_line_it_stands_on() {
        let dir = tempfile::tempdir().expect("temporary folder");
        for (file, expected) in [
            ("[limits]\nopen_streams = 0\n", "dipeo.toml line 2: `limits.open_streams` is 0"),
            ("\n[retention.status.running]\ndays = 1\n", "dipeo.toml line 3: `retention.status.running`"),
            ("[models]\nopenai_model = 'm'\nopenai_api = 'grpc'\n", "dipeo.toml line 3: `models.openai_api`"),
            ("[prices.m]\ninput = -1.0\noutput = 1.0\n", "dipeo.toml line 2: the price of `m`"),
            ("[mcp]\ntoolsets = ['cor']\n", "dipeo.toml line 2: there is no toolset `cor`"),
        ] {
            std::fs::write(dir.path().join("dipeo.toml"), file).expect("written");
            let error = load(&[], dir.path()).err().expect(expected);
            assert!(error.message().starts_with(expected), "{error}");
        }
    }

    #[test]
    fn two_names_of_the_database_may_both_be_set_when_they_mean_one_file() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let same = [("DATABASE_URL", "sqlite:///a.db"), ("STATE_STORE_PATH", "a.db")];
        assert_eq!(load(&same, dir.path()).expect("one file").database, dir.path().join("a.db"));
        let error = load(&[same[0], ("STATE_STORE_PATH", "b.db")], dir.path()).err().expect("two files");
        assert!(error.message().contains("`DATABASE_URL` and `STATE_STORE_PATH`"), "{error}");
    }

    #[test]
    fn a_malformed_settings_file_names_its_line() {
        let dir = tempfile::tempdir().expect("temporary folder");
        std::fs::write(dir.path().join("dipeo.toml"), "[server]\nprot = 1\n").expect("written");
        let error = load(&[], dir.path()).err().expect("unknown key");
        assert!(error.message().starts_with("dipeo.toml line 2"), "{error}");
    }
}
