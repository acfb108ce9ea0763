//! A diagram that is named, found, read and compiled, for the handlers that look at it without running it.

use super::caller::Scope;
use super::run_diagram::format_of;
use super::surroundings::World;
use super::workspace::Source;
use super::{App, Caller};
use crate::compile::Compiled;
use crate::error::Error;
use crate::nodes::Origin;

/// A compiled diagram with its text and the world it was compiled in.
pub(super) struct Opened {
    pub source: Source,
    pub world: World,
    pub compiled: Compiled,
}

/// Opens what `caller` names and compiles it. That no key is at hand does not matter here.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `DIAGRAM_NOT_FOUND`, `INVALID_FORMAT` and what reading says; problems of the diagram are in the result.
pub(super) fn open(app: &App, caller: &Caller, diagram: &str, format_type: Option<&str>) -> Result<Opened, Error> {
    caller.require(&[Scope::DiagramRead])?;
    let format = format_of(format_type)?;
    let (source, origin) = match caller {
        Caller::Terminal { working_dir } => (app.workspace.open_typed(diagram, working_dir, format)?, Origin::Local),
        Caller::Client(_) => (app.workspace.open_named(diagram, format)?, Origin::Workspace),
    };
    let rights = app.rights_of(origin, &source.sha256)?;
    let base_dir = source.path.as_deref().and_then(|it| it.parent()).map(std::path::Path::to_path_buf);
    let world = World {
        needs_no_keys: true,
        own_path: source.path.clone(),
        persons: app.persons_for(caller)?,
        ..World::of(&app.config, (&app.languages, &app.ports), base_dir, rights)
    };
    let compiled = app.parsed.compile(&source.text, format, &world);
    Ok(Opened { source, world, compiled })
}
