//! Files that nobody else may read.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Part;
use crate::handlers::App;

/// The user's files with something to keep to oneself.
const PRIVATE: [&str; 3] = ["key", "secrets.json", "trust.json"];

/// Modes of the user's files and of the database.
pub(super) async fn check(app: &App) -> Part {
    let mut part = Part::default();
    for name in PRIVATE {
        look(&mut part, &app.config.user_dir.join(name));
    }
    look(&mut part, &app.config.database);
    part
}

fn look(part: &mut Part, path: &Path) {
    let Ok(found) = std::fs::metadata(path) else {
        part.fact(&path.display().to_string(), "not there");
        return;
    };
    let mode = found.permissions().mode() & 0o777;
    part.fact(&path.display().to_string(), format!("mode {mode:04o}"));
    if mode & 0o077 != 0 {
        let message = format!("others may read or write `{}` (mode {mode:04o})", path.display());
        part.finding(message, format!("chmod 600 '{}'", path.display()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_others_may_read_is_a_finding() {
        let folder = tempfile::tempdir().expect("temp folder");
        let path = folder.path().join("key");
        for (mode, n_findings) in [(0o600, 0), (0o400, 0), (0o640, 1), (0o604, 1), (0o602, 1)] {
            std::fs::write(&path, "x").expect("written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
            let mut part = Part::default();
            look(&mut part, &path);
            assert_eq!(part.findings.len(), n_findings, "{mode:o}");
            std::fs::remove_file(&path).expect("removed");
        }
        let mut part = Part::default();
        look(&mut part, &path);
        assert_eq!((part.findings.len(), part.facts[0].value.as_str()), (0, "not there"));
    }
}
