//! Where each setting comes from, for people who look for it.

use std::path::Path;

use super::{Environment, FileSettings, Overrides};

/// A setting, its value, and what set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    pub name: &'static str,
    pub value: String,
    /// A flag, a variable, a file, or `default`.
    pub source: String,
}

/// What may set something, the strongest first.
pub(super) struct Sources<'a> {
    pub overrides: &'a Overrides,
    pub env: &'a Environment,
    pub working_dir: &'a Path,
    /// Keys that stand in `dipeo.toml`.
    pub in_file: Vec<&'static str>,
}

impl<'a> Sources<'a> {
    /// Takes note of what the file sets before its values are used up.
    pub fn new(overrides: &'a Overrides, env: &'a Environment, working_dir: &'a Path, file: &FileSettings) -> Self {
        let keys = [("host", file.server.host.is_some()), ("port", file.server.port.is_some())];
        let in_file = keys.into_iter().filter_map(|(key, is_there)| is_there.then_some(key)).collect();
        Self { overrides, env, working_dir, in_file }
    }

    fn source(&self, flag: Option<&str>, variables: &[&str], key: &str) -> Option<String> {
        if let Some(flag) = flag {
            return Some(flag.to_owned());
        }
        if let Some(name) = variables.iter().find(|it| self.env.get(it).is_some()) {
            return Some((*name).to_owned());
        }
        self.in_file.contains(&key).then(|| "dipeo.toml".to_owned())
    }

    fn workspace(&self, root: &Path) -> String {
        let flag = self.overrides.workspace.as_ref().map(|_| "-C");
        self.source(flag, &["DIPEO_BASE_DIR"], "workspace").unwrap_or_else(|| {
            if root.join(".dipeo").is_dir() && self.working_dir.starts_with(root) {
                "the nearest folder with .dipeo/".to_owned()
            } else if root == self.working_dir {
                "the working folder".to_owned()
            } else {
                "the working folder cannot be written".to_owned()
            }
        })
    }

    /// Explains what was decided.
    pub fn explain(&self, config: &super::Config) -> Vec<Explained> {
        let set = self.overrides;
        let text = |path: &Path| path.display().to_string();
        let or_default = |source: Option<String>| source.unwrap_or_else(|| "default".to_owned());
        let file = config.workspace.join("dipeo.toml");
        let file_state = if file.is_file() { "there" } else { "not there" };
        let rows = [
            ("workspace", text(&config.workspace), self.workspace(&config.workspace)),
            (
                "database",
                text(&config.database),
                or_default(self.source(
                    set.database.as_ref().map(|_| "--db"),
                    &["DATABASE_URL", "STATE_STORE_PATH"],
                    "database",
                )),
            ),
            (
                "durability",
                format!("{:?}", config.durability).to_lowercase(),
                or_default(self.source(
                    set.durability.as_ref().map(|_| "--durability"),
                    &["DIPEO_DURABILITY"],
                    "durability",
                )),
            ),
            ("user folder", text(&config.user_dir), or_default(self.source(None, &["DIPEO_HOME", "HOME"], "user"))),
            (
                "host",
                config.host.clone(),
                or_default(self.source(set.host.as_ref().map(|_| "--host"), &["DIPEO_HOST"], "host")),
            ),
            (
                "port",
                config.port.to_string(),
                or_default(self.source(set.port.map(|_| "--port"), &["DIPEO_PORT", "PORT", "BACKEND_PORT"], "port")),
            ),
            (
                "log level",
                config.logs.level_name().to_owned(),
                or_default(self.source(None, &["DIPEO_LOG_LEVEL", "LOG_LEVEL"], "log")),
            ),
            ("workspace settings", text(&file), file_state.to_owned()),
        ];
        rows.into_iter().map(|(name, value, source)| Explained { name, value, source }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    #[test]
    fn the_strongest_source_is_named() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let root = dir.path().canonicalize().expect("there");
        std::fs::write(root.join("dipeo.toml"), "[server]\nport = 7000\nhost = \"localhost\"\n").expect("written");
        let source = |overrides: &Overrides, pairs: &[(&str, &str)], name: &str| {
            let config = Config::load(overrides, &Environment::of(pairs), &root).expect("valid");
            let found = config.explained.iter().find(|it| it.name == name).cloned().expect("explained");
            (found.value, found.source)
        };
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
        ] {
            let found = source(overrides, &pairs, name);
            assert_eq!((found.0.as_str(), found.1.as_str()), (value, expected), "{name} {pairs:?}");
        }
    }
}
