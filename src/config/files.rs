//! The settings files: `dipeo.toml` of the workspace over `config.toml` of the user. Both have the same keys; what
//! each of them says and where it says so is kept, for those who look for a setting.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Table;
use toml::de::{DeTable, DeValue};

use super::{FileSettings, PolicySettings, is_granted, sha256};
use crate::error::Error;

/// What both files say together.
#[derive(Default)]
pub(super) struct Files {
    pub settings: FileSettings,
    pub policy: PolicySettings,
    /// Dotted key to the file that decides and the line it stands on.
    places: BTreeMap<String, Place>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// `dipeo.toml` or `config.toml`.
    file: &'static str,
    line: usize,
}

/// One file, read.
struct File {
    name: &'static str,
    path: PathBuf,
    text: String,
}

impl Files {
    /// Reads both files. Security keys of a workspace count only when a person trusted exactly this file; the user's
    /// own always do.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` naming the file and the line.
    pub fn read(workspace: &Path, user_dir: &Path, warnings: &mut Vec<String>) -> Result<Self, Error> {
        let own = File::read("config.toml", user_dir.join("config.toml"))?;
        let of_workspace = File::read("dipeo.toml", workspace.join("dipeo.toml"))?;
        if own.is_none() && of_workspace.is_none() {
            return Ok(Self::default());
        }
        let mut merged = Table::new();
        let mut places = BTreeMap::new();
        if let Some(file) = own {
            file.settings()?;
            merge(&mut merged, file.table()?);
            places.extend(file.places());
        }
        if let Some(file) = of_workspace {
            let settings = file.settings()?;
            let mut table = file.table()?;
            let mut found = file.places();
            if let Some(what) = ignored(&settings, user_dir, &file.text) {
                warnings.push(format!("the {what} of dipeo.toml do not count until you run `dipeo trust --config`"));
                take_out_security_keys(&mut table);
                found.retain(|key, _| !is_security_key(key));
            }
            merge(&mut merged, table);
            places.extend(found);
        }
        let settings = FileSettings::deserialize(merged)
            .map_err(|error| Error::internal("the settings files do not fit together").source(error))?;
        let policy = PolicySettings { workspace_host_code: settings.policy.workspace.host_code };
        Ok(Self { settings, policy, places })
    }

    /// The file that decides about a key.
    pub fn file_of(&self, key: &str) -> Option<&'static str> {
        let below = format!("{key}.");
        let is_it = |name: &str| name == key || name.starts_with(&below);
        self.places.iter().find(|(name, _)| is_it(name)).map(|(_, place)| place.file)
    }

    /// As [`Files::located`], for an error that may as well be about a variable: it stays as it is unless it names one
    /// of the keys, or the model of a price.
    pub fn located_if_named(&self, keys: &str, error: Error) -> Error {
        let below = format!("{keys}.");
        let is_named = |name: &str| error.message().contains(&format!("`{name}`"));
        let model_of =
            |name: &str| name.strip_prefix("prices.").and_then(|it| it.rsplit_once('.')).map(|it| it.0.to_owned());
        let found = self.places.keys().find(|name| {
            name.starts_with(&below) && (is_named(name) || model_of(name).is_some_and(|it| is_named(&it)))
        });
        match found {
            Some(key) => self.located(key, error),
            None => error,
        }
    }

    /// Adds to an error about the value of a key where that key stands. `keys` are those it may be about; the one
    /// that its message names counts first.
    pub fn located(&self, keys: &str, error: Error) -> Error {
        let below = format!("{keys}.");
        let mut candidates: Vec<(&String, &Place)> =
            self.places.iter().filter(|(name, _)| *name == keys || name.starts_with(&below)).collect();
        let is_named = |name: &str| error.message().contains(&format!("`{name}"));
        candidates.sort_by_key(|(name, _)| !is_named(name));
        let Some((_, place)) = candidates.first() else { return error };
        let message = format!("{} line {}: {}", place.file, place.line, error.message());
        let located = Error::new(error.kind(), error.code(), message);
        match error.hint_text() {
            Some(hint) => located.hint(hint),
            None => located,
        }
    }
}

impl File {
    /// `None` where there is no such file; one that is there and cannot be read is not passed over.
    fn read(name: &'static str, path: PathBuf) -> Result<Option<Self>, Error> {
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(Self { name, path, text })),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(Error::invalid("INVALID_INPUT", format!("{name} cannot be read: {}", error.kind()))
                .hint(format!("make {} a file with UTF-8 text that you may read, or remove it", path.display()))
                .source(error)),
        }
    }

    fn settings(&self) -> Result<FileSettings, Error> {
        toml::from_str(&self.text).map_err(|error| self.wrong(&error))
    }

    fn table(&self) -> Result<Table, Error> {
        toml::from_str(&self.text).map_err(|error| self.wrong(&error))
    }

    fn wrong(&self, error: &toml::de::Error) -> Error {
        let line = error.span().map_or(1, |it| self.line(&it));
        Error::invalid("INVALID_INPUT", format!("{} line {line}: {}", self.name, error.message()))
            .hint(format!("correct {} or remove the line", self.path.display()))
    }

    fn line(&self, span: &Range<usize>) -> usize {
        self.text[..span.start.min(self.text.len())].matches('\n').count() + 1
    }

    /// Every key that has a value, with its place.
    fn places(&self) -> BTreeMap<String, Place> {
        let mut places = BTreeMap::new();
        if let Ok(table) = DeTable::parse(&self.text) {
            self.collect("", table.get_ref(), &mut places);
        }
        places
    }

    fn collect(&self, above: &str, table: &DeTable<'_>, places: &mut BTreeMap<String, Place>) {
        for (name, value) in table.iter() {
            let key = if above.is_empty() { name.get_ref().to_string() } else { format!("{above}.{}", name.get_ref()) };
            match value.get_ref() {
                DeValue::Table(table) => self.collect(&key, table, places),
                _ => {
                    places.insert(key, Place { file: self.name, line: self.line(&name.span()) });
                }
            }
        }
    }
}

/// Names what of an untrusted file does not count.
fn ignored(settings: &FileSettings, user_dir: &Path, text: &str) -> Option<String> {
    let asks = [
        (settings.policy.workspace.host_code, "policy keys"),
        (settings.auth.opens(), "authorization server"),
        (settings.models.has_addresses(), "addresses of model providers"),
    ];
    let asks: Vec<&str> = asks.into_iter().filter_map(|(is_there, what)| is_there.then_some(what)).collect();
    let counts = asks.is_empty() || is_granted(user_dir, &sha256(text));
    (!counts).then(|| asks.join(" and the "))
}

/// Whether a key of the workspace could open something that its user did not open.
fn is_security_key(key: &str) -> bool {
    match key.split_once('.') {
        Some(("policy", _)) => true,
        Some(("auth", name)) => name != "required",
        Some(("models", name)) => name.ends_with("_base_url"),
        _ => false,
    }
}

fn take_out_security_keys(table: &mut Table) {
    for (name, value) in table.iter_mut() {
        if let Some(inner) = value.as_table_mut() {
            inner.retain(|key, _| !is_security_key(&format!("{name}.{key}")));
        }
    }
}

/// Puts `over` on `under`, key by key.
fn merge(under: &mut Table, over: Table) {
    for (name, value) in over {
        match (under.get_mut(&name), value) {
            (Some(toml::Value::Table(under)), toml::Value::Table(over)) => merge(under, over),
            (_, value) => {
                under.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(own: &str, workspace: &str) -> (Result<Files, Error>, Vec<String>) {
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::write(folder.path().join("config.toml"), own).expect("written");
        std::fs::write(folder.path().join("dipeo.toml"), workspace).expect("written");
        let mut warnings = Vec::new();
        (Files::read(folder.path(), folder.path(), &mut warnings), warnings)
    }

    #[test]
    fn the_workspace_wins_over_the_user_key_by_key() {
        let own = "[server]\nport = 1\nhost = 'a'\n[limits]\nopen_streams = 7\n[policy.workspace]\nhost_code = true\n";
        let (files, warnings) = read(own, "[server]\nport = 2\n");
        let files = files.expect("valid");
        assert_eq!((files.settings.server.port, files.settings.server.host.as_deref()), (Some(2), Some("a")));
        assert_eq!(files.settings.limits.open_streams, 7);
        assert!(files.policy.workspace_host_code && warnings.is_empty(), "the user's own file needs no grant");
        for (key, expected) in [
            ("server.port", Some("dipeo.toml")),
            ("server.host", Some("config.toml")),
            ("limits.open_streams", Some("config.toml")),
            ("limits", Some("config.toml")),
            ("limits.open", None),
            ("mcp.read_only", None),
        ] {
            assert_eq!(files.file_of(key), expected, "{key}");
        }
    }

    #[test]
    fn security_keys_of_a_workspace_wait_for_a_person_and_leave_the_users_own_alone() {
        let own = "[models]\nopenai_base_url = 'https://own'\n";
        let workspace = "[policy.workspace]\nhost_code = true\n[auth]\nrequired = true\nissuer = 'https://x'\n\
                         jwks_url = 'https://x/k'\n[models]\nopenai_base_url = 'https://evil'\nopenai_model = 'm'\n";
        let (files, warnings) = read(own, workspace);
        let files = files.expect("valid");
        assert!(!files.policy.workspace_host_code && !files.settings.auth.opens());
        assert_eq!(files.file_of("auth.required"), Some("dipeo.toml"));
        assert_eq!(files.file_of("auth.issuer"), None);
        assert_eq!(files.file_of("models.openai_base_url"), Some("config.toml"));
        assert_eq!(files.file_of("models.openai_model"), Some("dipeo.toml"));
        assert_eq!(
            warnings,
            ["the policy keys and the authorization server and the addresses of model providers of dipeo.toml do not \
              count until you run `dipeo trust --config`"]
        );
    }

    #[test]
    fn every_mistake_names_its_file_and_line() {
        for (own, workspace, expected) in [
            ("", "[server]\nprot = 1\n", "dipeo.toml line 2: unknown field `prot`"),
            ("[server]\n\nport = 'x'\n", "", "config.toml line 3: invalid type"),
            ("", "[server\n", "dipeo.toml line 1: "),
            ("a = 1\n", "", "config.toml line 1: unknown field `a`"),
        ] {
            let error = read(own, workspace).0.err().expect(expected);
            assert!(error.message().starts_with(expected), "{error}");
        }
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::write(folder.path().join("dipeo.toml"), b"\xff").expect("written");
        let error = Files::read(folder.path(), folder.path(), &mut Vec::new()).err().expect("it is no text");
        assert!(error.message().starts_with("dipeo.toml cannot be read: "), "{error}");
        let files = read("[limits]\nopen_streams = 1\n", "\n[limits]\nconcurrent_requests = 0\n").0.expect("read");
        let about = |message: &str| files.located("limits", Error::invalid("INVALID_INPUT", message).hint("h"));
        let error = about("`limits.concurrent_requests` is 0");
        assert_eq!(error.message(), "dipeo.toml line 3: `limits.concurrent_requests` is 0");
        assert_eq!(error.hint_text(), Some("h"));
        assert_eq!(about("`limits.open_streams` is 0").message(), "config.toml line 2: `limits.open_streams` is 0");
        assert_eq!(files.located("mcp", Error::invalid("X", "y")).message(), "y");
    }
}
