//! Where the programs that can use this server keep their settings.

use std::path::{Path, PathBuf};

use super::Environment;

/// Folders of the user, as the environment names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserFolders {
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`, else `~/.config`.
    pub config: Option<PathBuf>,
    /// `CLAUDE_CONFIG_DIR`, when it is set.
    pub claude_config: Option<PathBuf>,
    /// `PATH`: where a terminal finds programs.
    pub search_path: Vec<PathBuf>,
}

impl UserFolders {
    pub(super) fn of(env: &Environment) -> Self {
        let home = env.get("HOME").map(PathBuf::from);
        let config = env.get("XDG_CONFIG_HOME").map(PathBuf::from).filter(|it| it.is_absolute());
        Self {
            config: config.or_else(|| home.as_deref().map(|it| it.join(".config"))),
            claude_config: env.get("CLAUDE_CONFIG_DIR").map(PathBuf::from),
            search_path: env.get("PATH").map(|it| std::env::split_paths(it).collect()).unwrap_or_default(),
            home,
        }
    }

    /// Returns where a terminal finds `name`, when that is the file `program`.
    pub fn in_search_path(&self, name: &str, program: &Path) -> Option<PathBuf> {
        let own = program.canonicalize().ok()?;
        let found = self.search_path.iter().map(|it| it.join(name)).find(|it| it.is_file())?;
        (found.is_absolute() && found.canonicalize().ok()? == own).then_some(found)
    }
}

/// Which settings the caller named on the command line: what is started later has to be told of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Named {
    pub workspace: bool,
    pub database: bool,
    pub server: bool,
}
