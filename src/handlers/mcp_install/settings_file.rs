//! A settings file of another program: read whole, replaced whole, with a copy of what it was.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Largest file that is read, in bytes. Clients keep histories in theirs; this is far above what was seen.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A settings file as it was read.
pub struct SettingsFile {
    /// Where it lies; links are followed when it is written.
    pub place: PathBuf,
    /// Its text; empty when there is no file.
    pub text: String,
    is_there: bool,
}

impl SettingsFile {
    /// Reads the file; a missing one is empty.
    ///
    /// # Errors
    ///
    /// `FILE_FAILED` when it cannot be read, is too large or no UTF-8.
    pub fn read(place: PathBuf) -> Result<Self, Error> {
        match fs::metadata(&place) {
            Ok(it) if it.len() > BYTES_MAX => {
                return Err(Error::external("FILE_FAILED", format!("`{}` is too large", place.display()))
                    .hint("is this the settings file?"));
            }
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Ok(Self { place, text: String::new(), is_there: false });
            }
            Err(e) => return Err(failed("read", &place, e)),
        }
        let text = fs::read_to_string(&place).map_err(|e| failed("read", &place, e))?;
        Ok(Self { place, text, is_there: true })
    }

    /// Whether the folder of the file exists.
    pub fn folder_is_there(&self) -> bool {
        self.place.parent().is_some_and(Path::is_dir)
    }

    /// Puts `text` in the file's place in one step and returns the copy of what was there. `stamp` becomes
    /// part of the copy's name.
    ///
    /// # Errors
    ///
    /// `FILE_FAILED`, also when the file has changed since it was read.
    pub fn write(&self, text: &str, stamp: &str) -> Result<Option<PathBuf>, Error> {
        let fail = |e| failed("write", &self.place, e);
        if let Some(folder) = self.place.parent() {
            fs::create_dir_all(folder).map_err(fail)?;
        }
        // A link, as keepers of dotfiles make them, stays a link.
        let target = self.place.canonicalize().unwrap_or_else(|_| self.place.clone());
        let now = Self::read(target.clone())?;
        if (now.is_there, &now.text) != (self.is_there, &self.text) {
            return Err(Error::external("FILE_FAILED", format!("`{}` was changed meanwhile", self.place.display()))
                .hint("run the command again"));
        }
        let aside = with_suffix(&target, &format!("{stamp}.new"));
        let backup = self.is_there.then(|| with_suffix(&target, &format!("{stamp}.bak")));
        let written = write_new(&aside, text, self.is_there)
            .and_then(|()| match &backup {
                // The copy takes over who may read the file, and so does what replaces it.
                Some(backup) => {
                    fs::copy(&target, backup)?;
                    fs::set_permissions(&aside, fs::metadata(&target)?.permissions())
                }
                None => Ok(()),
            })
            .and_then(|()| fs::rename(&aside, &target));
        if let Err(e) = written {
            let _ = fs::remove_file(&aside);
            return Err(fail(e));
        }
        Ok(backup)
    }
}

/// Writes a file that was not there. One that is to replace another is readable by its owner alone until it
/// has the rights of that one.
fn write_new(path: &Path, text: &str, replaces: bool) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mode = if replaces { 0o600 } else { 0o666 };
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

fn failed(what: &str, place: &Path, e: std::io::Error) -> Error {
    Error::external("FILE_FAILED", format!("cannot {what} `{}`: {}", place.display(), e.kind()))
        .hint("check the file and its rights")
        .source(e)
}
