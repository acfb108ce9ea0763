//! Starts the one detached owner process of a database: our own program, in its own process group, so that
//! it outlives whoever started it (surface.md 2.3).

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::Error;

/// Starts `program arguments…` detached, without standard streams, in `working_dir`.
///
/// # Errors
///
/// `External` when the program cannot be started.
pub fn spawn_detached(program: &Path, arguments: &[OsString], working_dir: &Path) -> Result<(), Error> {
    Command::new(program)
        .args(arguments)
        .current_dir(working_dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map(drop)
        .map_err(|e| {
            Error::external("OWNER_FAILED", "cannot start the process that goes on with the run")
                .hint("run `dipeo serve`, which takes open executions over")
                .source(e)
        })
}
