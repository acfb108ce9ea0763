//! Where everything is, and where each value comes from.

use super::{Fact, Part};
use crate::handlers::App;

/// The settings that decide where things are, with the source of each; what was set and does not count.
pub(super) async fn check(app: &App) -> Part {
    let config = &app.config;
    let mut part = Part::default();
    // `dipeo config show` has all of them.
    let places =
        ["workspace", "database", "durability", "user folder", "host", "port", "log level", "workspace settings"];
    for it in config.explained.iter().filter(|it| places.contains(&it.name.as_str())) {
        part.facts.push(Fact { name: it.name.clone(), value: it.value.clone(), from: Some(it.source.clone()) });
    }
    if !config.workspace.is_dir() {
        let message = format!("the workspace `{}` is not there", config.workspace.display());
        part.finding(message, "make the folder, or name another one with `-C` or `DIPEO_BASE_DIR`");
    }
    for warning in &config.warnings {
        part.finding(warning.as_str(), what_to_do(warning));
    }
    part
}

fn what_to_do(warning: &str) -> &'static str {
    if warning.contains("variable") {
        "unset it, or correct its name"
    } else {
        "run `dipeo trust --config`, or take the keys out of dipeo.toml"
    }
}
