//! The user's own key: 32 random bytes in one file, made when it is first needed and never replaced. Other keys
//! are derived from it, one for each purpose.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{check_private, failed, private_file};
use crate::error::Error;

const KEY_BYTES: usize = 32;

/// Derives the key of `purpose` from the key in `folder`.
///
/// # Errors
///
/// `FILE_FAILED` when the key cannot be read or made, is damaged, or others may read it.
pub fn key_for(folder: &Path, purpose: &str) -> Result<[u8; KEY_BYTES], Error> {
    let path = folder.join("key");
    let key = match read(&path)? {
        Some(key) => key,
        None => {
            make(folder, &path).map_err(|error| failed("write", &path, error))?;
            // Another process may have been faster: what lies there is everybody's.
            read(&path)?.ok_or_else(|| failed("read", &path, io::ErrorKind::NotFound.into()))?
        }
    };
    let mut derived = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of every length");
    derived.update(b"dipeo/");
    derived.update(purpose.as_bytes());
    Ok(derived.finalize().into_bytes().into())
}

fn read(path: &Path) -> Result<Option<[u8; KEY_BYTES]>, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", path, error)),
    };
    check_private(path, &file.metadata().map_err(|error| failed("read", path, error))?)?;
    let mut bytes = Vec::new();
    file.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| failed("read", path, error))?;
    let key = <[u8; KEY_BYTES]>::try_from(bytes).map_err(|bytes| {
        Error::external("FILE_FAILED", format!("`{}` has {} bytes, not {KEY_BYTES}", path.display(), bytes.len()))
            .hint("restore it from a backup; what was protected with it cannot be read with another")
    })?;
    Ok(Some(key))
}

/// Writes a fresh key under its name, whole or not at all, unless there is one.
fn make(folder: &Path, path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut key = [0; KEY_BYTES];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut key)
        .map_err(|_| io::Error::other("the system has no random numbers"))?;
    let beside = folder.join(format!(".{}.tmp", uuid::Uuid::new_v4().simple()));
    let written = (|| {
        let mut file = private_file().write(true).create_new(true).open(&beside)?;
        file.write_all(&key)?;
        file.sync_all()?;
        match fs::hard_link(&beside, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    })();
    // The first error is the one that matters.
    let _ = fs::remove_file(&beside);
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_is_private_and_differs_by_purpose() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join("new/.dipeo");
        let keys = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| key_for(&folder, "a").expect("a key"))).collect();
            threads.into_iter().map(|it| it.join().expect("no panic")).collect::<Vec<_>>()
        });
        assert!(keys.windows(2).all(|pair| pair[0] == pair[1]), "everybody has the same");
        assert_ne!(key_for(&folder, "b").expect("a key"), keys[0]);
        let path = folder.join("key");
        let described = fs::metadata(&path).expect("there");
        assert_eq!((described.permissions().mode() & 0o777, described.len()), (0o600, 32));
        assert_eq!(fs::read_dir(&folder).expect("readable").count(), 1, "nothing is left beside it");
        let other = tempfile::tempdir().expect("a folder");
        assert_ne!(key_for(other.path(), "a").expect("a key"), keys[0]);
    }

    #[test]
    fn a_key_that_others_can_read_or_that_is_damaged_is_refused_and_stays() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("key");
        for (bytes, mode) in [(vec![7; 32], 0o644), (vec![7; 31], 0o600), (vec![7; 33], 0o600), (Vec::new(), 0o600)] {
            fs::write(&path, &bytes).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("changed");
            assert_eq!(key_for(home.path(), "a").expect_err("refused").code(), "FILE_FAILED");
            assert_eq!(fs::read(&path).expect("still there"), bytes);
        }
    }
}
