//! Gives up what running code needs no access to: memory without end, files, the network. The
//! interpreters offer none of it to code anyway; this is for the day one of them has a hole.

use std::io;

/// Address space of the worker: the program, a deep stack, and several times what code may use,
/// because the interpreter notices growth a little late.
const ADDRESS_BYTES_MAX: u64 = 768 * 1024 * 1024;
/// Open files: the three pipes, the size of the process, and a few for the system's libraries.
const FILES_MAX: u64 = 16;

/// Confines this process and every thread it starts from now on.
///
/// # Errors
///
/// When the system refuses a limit. A kernel without file and network confinement is no error.
pub(super) fn confine() -> io::Result<()> {
    limit_resources()?;
    #[cfg(target_os = "linux")]
    forbid_files_and_network();
    Ok(())
}

fn limit_resources() -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let limits = [
        #[cfg(target_os = "linux")]
        (Resource::As, ADDRESS_BYTES_MAX),
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        (Resource::Nofile, FILES_MAX),
    ];
    for (resource, limit) in limits {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    Ok(())
}

/// Does as much as the kernel knows; it is a second wall, so an old kernel does not stop us.
#[cfg(target_os = "linux")]
fn forbid_files_and_network() {
    use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr};
    let newest = ABI::V5;
    let restricted = Ruleset::default()
        .handle_access(AccessFs::from_all(newest))
        .and_then(|it| it.handle_access(AccessNet::from_all(newest)))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self);
    if let Err(error) = restricted {
        eprintln!("the sandbox worker goes without landlock: {error}");
    }
}
