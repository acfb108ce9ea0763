//! Programs of this machine that diagrams may use.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::Part;
use crate::handlers::App;

/// Program and what needs it.
const PROGRAMS: [(&str, &str); 5] = [
    ("python3", "Python that the sandbox cannot run"),
    ("node", "JavaScript that the sandbox cannot run"),
    ("bash", "code in bash"),
    ("sh", "hooks, and code in shell"),
    ("claude", "persons with `service: claude-code`"),
];

/// Looks each one up as a shell would. One that is missing is no fault: most diagrams need none.
pub(super) async fn check(_: &App) -> Part {
    let mut part = Part::default();
    for (program, what_for) in PROGRAMS {
        match find(program) {
            Some(path) => part.fact(program, path.display()),
            None => part.fact(program, format!("not installed; needed for {what_for}")),
        }
    }
    part
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates: Vec<PathBuf> = std::env::split_paths(&path).map(|it| it.join(program)).collect();
    let is_program = |it: &PathBuf| it.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0);
    candidates.into_iter().find(is_program)
}
