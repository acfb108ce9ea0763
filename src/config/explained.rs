//! Where each setting comes from, for people who look for it. Names with a point are keys of `dipeo.toml`.

use std::path::Path;

use super::files::Files;
use super::{Config, Durability, Environment, Overrides};

/// What stands in the place of a secret.
const MASKED: &str = "***";

/// A setting, its value, and what set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    pub name: String,
    pub value: String,
    /// A flag, a variable, a file, or `default`.
    pub source: String,
}

/// What may set something, the strongest first.
pub(super) struct Sources<'a> {
    pub overrides: &'a Overrides,
    pub env: &'a Environment,
    pub working_dir: &'a Path,
    pub files: &'a Files,
}

/// How one setting may be set besides by its key in a file: whether a flag set it and that flag's name, variables.
struct Ways<'a>(Option<&'a str>, &'a [&'a str]);

const BY_FILE: Ways<'static> = Ways(None, &[]);

impl Sources<'_> {
    fn of(&self, key: &str, Ways(flag, variables): &Ways<'_>) -> String {
        if let Some(flag) = flag {
            return (*flag).to_owned();
        }
        if let Some(name) = variables.iter().find(|it| self.env.get(it).is_some()) {
            return (*name).to_owned();
        }
        self.files.file_of(key).unwrap_or("default").to_owned()
    }

    fn workspace(&self, root: &Path) -> String {
        let flag = self.overrides.workspace.as_ref().map(|_| "-C");
        let source = self.of("workspace", &Ways(flag, &["DIPEO_BASE_DIR"]));
        if source != "default" {
            return source;
        }
        if root.join(".dipeo").is_dir() && self.working_dir.starts_with(root) {
            "the nearest folder with .dipeo/".to_owned()
        } else if root == self.working_dir {
            "the working folder".to_owned()
        } else {
            "the working folder cannot be written".to_owned()
        }
    }

    /// Explains what was decided. Secrets are named and not shown.
    pub fn explain(&self, config: &Config) -> Vec<Explained> {
        let mut rows = self.places(config);
        rows.extend(self.server(config));
        rows.extend(self.clients(config));
        rows.extend(self.limits(config));
        rows.extend(self.models(config));
        rows
    }

    fn row(&self, name: &str, value: impl ToString, ways: &Ways<'_>) -> Explained {
        let key = match name {
            "host" | "port" => format!("server.{name}"),
            other => other.to_owned(),
        };
        Explained { name: name.to_owned(), value: value.to_string(), source: self.of(&key, ways) }
    }

    /// A row for what is set; none for what is not.
    fn some(&self, name: &str, value: Option<impl ToString>, ways: &Ways<'_>) -> Option<Explained> {
        value.map(|it| self.row(name, it, ways))
    }

    /// What decides where things are.
    fn places(&self, config: &Config) -> Vec<Explained> {
        let set = self.overrides;
        let flag = |is_set: bool, name: &'static str| is_set.then_some(name);
        let file = |path: std::path::PathBuf, name: &str| Explained {
            name: name.to_owned(),
            source: if path.is_file() { "there" } else { "not there" }.to_owned(),
            value: path.display().to_string(),
        };
        let durability = match config.durability {
            Durability::Full => "full",
            Durability::Normal => "normal",
        };
        let workspace = Explained {
            name: "workspace".to_owned(),
            value: config.workspace.display().to_string(),
            source: self.workspace(&config.workspace),
        };
        let database = Ways(flag(set.database.is_some(), "--db"), &["DATABASE_URL", "STATE_STORE_PATH"]);
        let is_durable = Ways(flag(set.durability.is_some(), "--durability"), &["DIPEO_DURABILITY"]);
        vec![
            workspace,
            self.row("database", config.database.display(), &database),
            self.row("durability", durability, &is_durable),
            self.row("user folder", config.user_dir.display(), &Ways(None, &["DIPEO_HOME", "HOME"])),
            self.row("host", &config.host, &Ways(flag(set.host.is_some(), "--host"), &["DIPEO_HOST"])),
            self.row(
                "port",
                config.port,
                &Ways(flag(set.port.is_some(), "--port"), &["DIPEO_PORT", "PORT", "BACKEND_PORT"]),
            ),
            self.row("log level", config.logs.level_name(), &Ways(None, &["DIPEO_LOG_LEVEL", "LOG_LEVEL"])),
            self.row("log format", config.logs.format_name(), &Ways(None, &["LOG_FORMAT"])),
            self.row("log folder", config.logs.folder.display(), &Ways(None, &["DIPEO_LOGS_DIR"])),
            self.row(
                "traces",
                config.traces.describe(),
                &Ways(None, &["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"]),
            ),
            file(config.workspace.join("dipeo.toml"), "workspace settings"),
            file(config.user_dir.join("config.toml"), "user settings"),
        ]
    }

    /// Who reaches the server, and which server is asked.
    fn server(&self, config: &Config) -> Vec<Explained> {
        let set = self.overrides;
        let flag = |is_set: bool, name: &'static str| is_set.then_some(name);
        let origins = ["CORS_ORIGINS", "ALLOWED_ORIGINS", "MCP_CLIENT_ORIGINS"];
        let listed = |list: &[String]| (!list.is_empty()).then(|| list.join(", "));
        let rows = [
            self.some("public url", config.public_url.as_ref(), &Ways(Some("--public-url"), &[])),
            self.some("allowed hosts", listed(&config.allowed_hosts), &Ways(Some("--allow-host"), &[])),
            self.some(
                "allowed origins",
                listed(&config.allowed_origins),
                &Ways(flag(!set.allowed_origins.is_empty(), "--allow-origin"), &origins),
            ),
            self.some(
                "remote server",
                config.server.as_ref(),
                &Ways(flag(set.server.is_some(), "--server"), &["DIPEO_SERVER"]),
            ),
            Some(self.row("run timeout", config.timeouts.execution_s, &Ways(None, &["EXECUTION_TIMEOUT"]))),
            Some(self.row("mcp run timeout", config.timeouts.mcp_s, &Ways(None, &["MCP_DEFAULT_TIMEOUT"]))),
        ];
        rows.into_iter().flatten().collect()
    }

    /// Who is let in, and what they find.
    fn clients(&self, config: &Config) -> Vec<Explained> {
        let (auth, mcp, set) = (&config.auth, &config.mcp, self.overrides);
        let flag = |is_set: bool, name: &'static str| is_set.then_some(name);
        let secret = |it: &Option<crate::secret::Secret>| it.as_ref().map(|_| MASKED);
        let globs = mcp.allow_diagrams.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(", ");
        let rows = [
            Some(self.row("auth.required", auth.required, &Ways(None, &["DIPEO_AUTH_REQUIRED"]))),
            self.some("auth.issuer", auth.issuer.as_ref(), &Ways(None, &["DIPEO_AUTH_ISSUER"])),
            self.some("auth.jwks_url", auth.jwks_url.as_ref(), &Ways(None, &["DIPEO_AUTH_JWKS_URL"])),
            self.some("auth.audience", auth.audience.as_ref(), &Ways(None, &["DIPEO_AUTH_AUDIENCE"])),
            self.some("token", secret(&auth.token), &Ways(None, &["DIPEO_TOKEN"])),
            self.some("jwt secret", secret(&auth.jwt_secret), &Ways(None, &["JWT_SECRET", "JWT_SECRET_KEY"])),
            self.some("jwt issuer", auth.jwt_issuer.as_ref(), &Ways(None, &["JWT_ISSUER"])),
            self.some("jwt audience", auth.jwt_audience.as_ref(), &Ways(None, &["JWT_AUDIENCE"])),
            Some(self.row("mcp.read_only", mcp.read_only, &Ways(flag(set.read_only, "--read-only"), &[]))),
            self.some(
                "mcp.allow_diagrams",
                (!globs.is_empty()).then_some(globs),
                &Ways(flag(!set.allow_diagrams.is_empty(), "--allow-diagrams"), &[]),
            ),
            Some(self.row(
                "mcp.toolsets",
                mcp.toolset_names().join(", "),
                &Ways(flag(!set.toolsets.is_empty(), "--toolsets"), &[]),
            )),
            Some(self.row("mcp.tasks", mcp.tasks.name(), &BY_FILE)),
            Some(self.row("policy.workspace.host_code", config.policy.workspace_host_code, &BY_FILE)),
        ];
        rows.into_iter().flatten().collect()
    }

    fn limits(&self, config: &Config) -> Vec<Explained> {
        let (limits, kept) = (&config.limits, &config.retention);
        let or_off = |n: Option<u64>| n.map_or("off".to_owned(), |it| it.to_string());
        let mut rows = vec![
            self.row("limits.concurrent_requests", limits.concurrent_requests, &BY_FILE),
            self.row("limits.concurrent_per_principal", limits.concurrent_per_principal, &BY_FILE),
            self.row("limits.open_streams", limits.open_streams, &BY_FILE),
            self.row("limits.streams_per_principal", limits.streams_per_principal, &BY_FILE),
            self.row("limits.requests_per_minute", limits.requests_per_minute, &BY_FILE),
            self.row("retention.executions_days", or_off(kept.executions_days.map(u64::from)), &BY_FILE),
            self.row("retention.max_executions", or_off(kept.max_executions), &BY_FILE),
            self.row("retention.keep_per_diagram", kept.keep_per_diagram, &BY_FILE),
        ];
        rows.extend(kept.by_status.iter().map(|(word, rule)| {
            let value = format!("days {}, keep {}", or_off(rule.days.map(u64::from)), or_off(rule.keep));
            self.row(&format!("retention.status.{word}"), value, &BY_FILE)
        }));
        rows
    }

    fn models(&self, config: &Config) -> Vec<Explained> {
        let models = &config.models;
        let (openai, anthropic, gemini) = (&models.openai, &models.anthropic, &models.gemini);
        let by = |variables| Ways(None, variables);
        let rows = [
            self.some("models.openai_base_url", openai.base_url.as_ref(), &by(&["OPENAI_BASE_URL"])),
            self.some("models.openai_model", openai.model.as_ref(), &by(&["OPENAI_MODEL"])),
            self.some("models.openai_api", models.openai_api.as_ref(), &BY_FILE),
            self.some("models.anthropic_base_url", anthropic.base_url.as_ref(), &by(&["ANTHROPIC_BASE_URL"])),
            self.some("models.anthropic_model", anthropic.model.as_ref(), &BY_FILE),
            self.some("models.gemini_base_url", gemini.base_url.as_ref(), &by(&["GOOGLE_GEMINI_BASE_URL"])),
            self.some("models.gemini_model", gemini.model.as_ref(), &BY_FILE),
            self.some("models.ollama_host", models.ollama_host.as_ref(), &by(&["OLLAMA_HOST", "OLLAMA_BASE_URL"])),
        ];
        let prices = models.prices.iter().map(|(model, price)| {
            let value = format!("input {}, output {}", price.input, price.output);
            self.row(&format!("prices.{model}"), value, &BY_FILE)
        });
        let keys = config.provider_keys.keys();
        let keys = keys.map(|name| self.row(name, MASKED, &Ways(None, &[name])));
        rows.into_iter().flatten().chain(prices).chain(keys).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(overrides: &Overrides, pairs: &[(&str, &str)], root: &Path) -> Vec<Explained> {
        Config::load(overrides, &Environment::of(pairs), root).expect("valid").explained
    }

    #[test]
    fn the_strongest_source_is_named() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let root = dir.path().canonicalize().expect("there");
        std::fs::write(
            root.join("dipeo.toml"),
            "[server]\nport = 7000\nhost = \"localhost\"\n[limits]\nopen_streams = 9\n",
        )
        .expect("written");
        let home = root.join("home");
        std::fs::create_dir(&home).expect("made");
        std::fs::write(home.join("config.toml"), "[server]\nport = 1\n[limits]\nrequests_per_minute = 5\n")
            .expect("written");
        let home = home.display().to_string();
        let none = Overrides::default();
        let flag = Overrides { port: Some(9_000), ..Overrides::default() };
        for (overrides, pairs, name, value, expected) in [
            (&none, vec![], "port", "7000", "dipeo.toml"),
            (&none, vec![("PORT", "8001")], "port", "8001", "PORT"),
            (&flag, vec![("PORT", "8001")], "port", "9000", "--port"),
            (&none, vec![], "host", "localhost", "dipeo.toml"),
            (&none, vec![], "durability", "full", "default"),
            (&none, vec![("DIPEO_DURABILITY", "normal")], "durability", "normal", "DIPEO_DURABILITY"),
            (&none, vec![], "workspace", root.to_str().expect("text"), "the working folder"),
            (&none, vec![], "limits.open_streams", "9", "dipeo.toml"),
            (&none, vec![], "limits.requests_per_minute", "5", "config.toml"),
            (&none, vec![], "limits.concurrent_requests", "1024", "default"),
            (&none, vec![("LOG_FORMAT", "json")], "log format", "json", "LOG_FORMAT"),
            (&none, vec![("EXECUTION_TIMEOUT", "60")], "run timeout", "60", "EXECUTION_TIMEOUT"),
        ] {
            let mut all = vec![("DIPEO_HOME", home.as_str())];
            all.extend(pairs.clone());
            let rows = explained(overrides, &all, &root);
            let found = rows.iter().find(|it| it.name == name).expect(name);
            assert_eq!((found.value.as_str(), found.source.as_str()), (value, expected), "{name} {pairs:?}");
        }
    }

    #[test]
    fn secrets_are_named_and_not_shown() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let pairs = [
            ("DIPEO_HOME", "/nonexistent"),
            ("DIPEO_TOKEN", "canary-token"),
            ("JWT_SECRET", "canary-secret-canary-secret-canary"),
            ("OPENAI_API_KEY", "canary-key"),
            ("GITHUB_TOKEN", "canary-github"),
        ];
        let rows = explained(&Overrides::default(), &pairs, dir.path());
        assert!(!format!("{rows:?}").contains("canary"), "{rows:?}");
        for (name, source) in [
            ("token", "DIPEO_TOKEN"),
            ("jwt secret", "JWT_SECRET"),
            ("OPENAI_API_KEY", "OPENAI_API_KEY"),
            ("GITHUB_TOKEN", "GITHUB_TOKEN"),
        ] {
            let row = rows.iter().find(|it| it.name == name).expect(name);
            assert_eq!((row.value.as_str(), row.source.as_str()), ("***", source));
        }
    }
}
