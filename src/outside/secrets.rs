//! Secrets of the user in one file of his own folder, readable by nobody else. Implements the port; a
//! value leaves this file only through [`Secrets::find`].

mod user_key;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::nodes::ports::secrets::{NewSecret, SecretInfo, Secrets};
use crate::secret::{Scrubber, Secret};

/// The form of the file this version writes.
const VERSION: u32 = 1;
/// Largest file that is read, in bytes: thousands of keys.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The secrets below one folder.
pub struct UserSecrets {
    folder: PathBuf,
    scrubber: Scrubber,
}

#[derive(Deserialize, Serialize)]
struct Stored {
    version: u32,
    secrets: BTreeMap<String, StoredSecret>,
}

#[derive(Deserialize, Serialize)]
struct StoredSecret {
    value: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    label: Option<String>,
    created_at: String,
    updated_at: String,
}

impl UserSecrets {
    /// Keeps secrets in `secrets.json` of `folder`, the user's own. Nothing is opened yet.
    pub fn new(folder: PathBuf) -> Arc<Self> {
        Arc::new(Self { folder, scrubber: Scrubber::default() })
    }

    fn path(&self) -> PathBuf {
        self.folder.join("secrets.json")
    }

    fn read(&self) -> Result<Stored, Error> {
        let path = self.path();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Stored { version: VERSION, secrets: BTreeMap::new() });
            }
            Err(error) => return Err(failed("read", &path, error)),
        };
        let described = file.metadata().map_err(|error| failed("read", &path, error))?;
        check_private(&path, &described)?;
        let mut text = String::new();
        let read = file.take(FILE_BYTES_MAX).read_to_string(&mut text);
        read.map_err(|error| failed("read", &path, error))?;
        // What the parser quotes could be a value, so its own words stay out.
        let stored: Stored = serde_json::from_str(&text).map_err(|problem| {
            let message = format!("`{}` is damaged at line {}", path.display(), problem.line());
            Error::external("FILE_FAILED", message)
                .hint("restore it from a backup, or remove it and set the secrets again")
        })?;
        if stored.version != VERSION {
            let message =
                format!("`{}` has version {}, which this version does not know", path.display(), stored.version);
            return Err(Error::external("FILE_FAILED", message).hint("update dipeo"));
        }
        Ok(stored)
    }

    /// Reads, changes and replaces the file; other processes wait meanwhile.
    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<String, StoredSecret>) -> T) -> Result<T, Error> {
        let path = self.path();
        let wrong = |error| failed("write", &path, error);
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(wrong)?;
        let lock = private_file().write(true).create(true).truncate(false).open(self.folder.join("secrets.lock"));
        let lock = lock.map_err(wrong)?;
        lock.lock().map_err(wrong)?;
        let mut stored = self.read()?;
        let outcome = change(&mut stored.secrets);
        let text = serde_json::to_vec_pretty(&stored)
            .map_err(|problem| Error::internal("secrets cannot be written as JSON").source(problem))?;
        replace(&path, &text).map_err(wrong)?;
        Ok(outcome)
    }
}

impl Secrets for UserSecrets {
    fn find(&self, name: &str) -> Result<Option<Secret>, Error> {
        let found = self.read()?.secrets.remove(name).and_then(|it| Secret::new(it.value));
        found.iter().for_each(|it| self.scrubber.add(it));
        Ok(found)
    }

    fn scrubber(&self) -> &Scrubber {
        &self.scrubber
    }

    fn key_for(&self, purpose: &str) -> Result<[u8; 32], Error> {
        user_key::key_for(&self.folder, purpose)
    }

    fn list(&self) -> Result<Vec<SecretInfo>, Error> {
        let info = |(name, it): (String, StoredSecret)| SecretInfo {
            name,
            service: it.service,
            label: it.label,
            created_at: it.created_at,
            updated_at: it.updated_at,
        };
        Ok(self.read()?.secrets.into_iter().map(info).collect())
    }

    fn put(&self, secrets: Vec<NewSecret>) -> Result<(), Error> {
        self.change(|stored| {
            for new in secrets {
                let before = stored.remove(&new.name);
                let secret = StoredSecret {
                    value: new.value.expose().to_owned(),
                    service: new.service,
                    label: new.label,
                    created_at: before.map_or_else(|| new.at.clone(), |it| it.created_at),
                    updated_at: new.at,
                };
                stored.insert(new.name, secret);
            }
        })
    }

    fn remove(&self, name: &str) -> Result<bool, Error> {
        if !self.read()?.secrets.contains_key(name) {
            return Ok(false);
        }
        self.change(|stored| stored.remove(name).is_some())
    }
}

/// Refuses a file that others can look into: what is in it may be known already.
fn check_private(path: &Path, described: &Metadata) -> Result<(), Error> {
    if !described.is_file() {
        return Err(Error::external("FILE_FAILED", format!("`{}` is no regular file", path.display()))
            .hint("remove it and try again"));
    }
    let mode = described.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let message = format!("`{}` can be read by others (mode {mode:o})", path.display());
    let hint = format!("run `chmod 600 {}`, and replace what others may have seen", path.display());
    Err(Error::external("FILE_FAILED", message).hint(hint))
}

fn private_file() -> fs::OpenOptions {
    let mut options = File::options();
    options.mode(0o600);
    options
}

/// Writes a new file beside `path`, durably, and renames it over it.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_file_name(format!(".{}.tmp", uuid::Uuid::new_v4().simple()));
    let write = || {
        let mut file = private_file().write(true).create_new(true).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().inspect_err(|_| {
        // The first error is the one that matters.
        let _ = fs::remove_file(&beside);
    })
}

fn failed(verb: &str, path: &Path, error: io::Error) -> Error {
    Error::external("FILE_FAILED", format!("cannot {verb} `{}`: {}", path.display(), error.kind()))
        .hint("check who owns the folder and its rights")
        .source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(name: &str, value: &str, at: &str) -> NewSecret {
        NewSecret {
            name: name.into(),
            value: Secret::new(value).expect("there is text"),
            service: None,
            label: None,
            at: at.into(),
        }
    }

    #[test]
    fn secrets_are_kept_in_a_file_that_nobody_else_can_read() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join("new/.dipeo");
        let secrets = UserSecrets::new(folder.clone());
        assert_eq!(secrets.find("A").expect("no file yet"), None);
        assert!(!folder.exists(), "looking makes nothing");
        secrets.put(vec![secret("B", "one", "t1"), secret("A", "canary", "t1")]).expect("stored");
        secrets.put(vec![secret("B", "two", "t2")]).expect("stored");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join("secrets.json"))), (0o700, 0o600));
        let names: Vec<_> =
            secrets.list().expect("readable").into_iter().map(|it| (it.name, it.created_at, it.updated_at)).collect();
        let row = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(names, [row("A", "t1", "t1"), row("B", "t1", "t2")]);
        assert!(secrets.scrubber().is_idle(), "nothing was resolved");
        let other = UserSecrets::new(folder);
        assert_eq!(other.find("B").expect("readable").expect("there").expose(), "two");
        assert_eq!(other.scrubber().text("two canary"), "two canary", "too short to look for, and not resolved");
        other.find("A").expect("readable");
        assert_eq!(other.scrubber().text("a canary"), "a ***");
        assert_eq!((other.remove("A").expect("done"), other.remove("A").expect("done")), (true, false));
        assert_eq!(secrets.find("A").expect("readable"), None);
    }

    #[test]
    fn a_file_that_others_can_read_or_that_is_damaged_is_refused_without_showing_it() {
        let home = tempfile::tempdir().expect("a folder");
        let secrets = UserSecrets::new(home.path().to_owned());
        secrets.put(vec![secret("A", "canary", "t")]).expect("stored");
        let path = home.path().join("secrets.json");
        for mode in [0o640, 0o604, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("changed");
            for error in [secrets.find("A").err(), secrets.list().err(), secrets.put(Vec::new()).err()] {
                let error = error.expect("it is refused");
                assert_eq!(error.code(), "FILE_FAILED");
                assert!(error.hint_text().is_some_and(|it| it.contains("chmod 600")), "{error:?}");
            }
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("changed");
        for text in ["{\"version\": 1, \"secrets\": \"canary\"}", "canary", "{\"version\": 9, \"secrets\": {}}"] {
            fs::write(&path, text).expect("written");
            let error = secrets.find("A").expect_err(text);
            assert_eq!(error.code(), "FILE_FAILED", "{text}");
            assert!(!format!("{error:?} {}", error.chain()).contains("canary"), "{error:?}");
        }
    }
}
