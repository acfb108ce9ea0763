//! What this program is.

use super::Part;
use crate::handlers::App;
use crate::store;

/// Versions of the program and of what it is built on.
pub(super) async fn check(_: &App) -> Part {
    let mut part = Part::default();
    part.fact("dipeo", env!("CARGO_PKG_VERSION"));
    part.fact("program", std::env::current_exe().map_or_else(|e| e.to_string(), |it| it.display().to_string()));
    part.fact("platform", format!("{} {}", std::env::consts::OS, std::env::consts::ARCH));
    part.fact("sqlite", store::sqlite_version());
    part.fact("schema", store::schema_version());
    if cfg!(feature = "planted-bug") {
        part.finding(
            "this build loses commits on purpose (cargo feature `planted-bug`)",
            "use it for nothing but `dipeo doctor --torture`; build again without the feature",
        );
    }
    part
}
