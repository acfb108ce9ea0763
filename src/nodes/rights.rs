//! What a diagram may do, by where it came from (DESIGN.md, Trust).

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Where the text of a diagram came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A file run from the terminal.
    Local,
    /// A diagram of the workspace, run through a server.
    Workspace,
    /// A text sent by a client.
    Submitted,
}

impl Origin {
    /// The word stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Workspace => "workspace",
            Self::Submitted => "submitted",
        }
    }

    /// Reads what [`Origin::name`] wrote; anything else counts as the least trusted.
    pub fn parse(text: &str) -> Self {
        match text {
            "local" => Self::Local,
            "workspace" => Self::Workspace,
            _ => Self::Submitted,
        }
    }
}

/// Which files nodes may touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileScope {
    /// Everything below the workspace root except `.dipeo/`.
    Workspace,
    /// Only below the workspace's `files/`.
    FilesFolder,
}

/// The rights of one execution. Children can only have the same or fewer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    pub origin: Origin,
    /// Host interpreters and the shell.
    pub host_code: bool,
    pub files: FileScope,
    /// Whether outbound HTTP may reach loopback, link-local and private addresses.
    pub private_network: bool,
}

impl Rights {
    /// The rights of `origin`; `host_code_allowed` is `policy.workspace.host_code`, `trusted` says that
    /// a person ran `dipeo trust` on exactly this text.
    pub fn of(origin: Origin, host_code_allowed: bool, trusted: bool) -> Self {
        match origin {
            Origin::Local => Self { origin, host_code: true, files: FileScope::Workspace, private_network: true },
            Origin::Workspace => {
                Self { origin, host_code: host_code_allowed, files: FileScope::Workspace, private_network: true }
            }
            Origin::Submitted if trusted => {
                Self { origin, host_code: true, files: FileScope::Workspace, private_network: true }
            }
            Origin::Submitted => {
                Self { origin, host_code: false, files: FileScope::FilesFolder, private_network: false }
            }
        }
    }

    /// These rights, and nothing that `other` has not.
    #[must_use]
    pub fn at_most(&self, other: &Self) -> Self {
        let rank = |it: &Self| match it.origin {
            Origin::Local => 2,
            Origin::Workspace => 1,
            Origin::Submitted => 0,
        };
        Self {
            origin: if rank(self) <= rank(other) { self.origin } else { other.origin },
            host_code: self.host_code && other.host_code,
            files: if other.files == FileScope::FilesFolder { other.files } else { self.files },
            private_network: self.private_network && other.private_network,
        }
    }

    /// The setting that would allow host code, for hints.
    pub fn host_code_setting(&self) -> &'static str {
        match self.origin {
            Origin::Local => "host code is allowed for local files",
            Origin::Workspace => "set `policy.workspace.host_code = true` in dipeo.toml and run `dipeo trust --config`",
            Origin::Submitted => "a person can allow it with `dipeo trust NAME`",
        }
    }

    /// Checks that secrets may be used: a text that a client submitted gets none until a person trusts it.
    ///
    /// # Errors
    ///
    /// `TRUST_REQUIRED`, naming the setting.
    pub fn require_secrets(&self, name: &str) -> Result<(), Error> {
        // Trust raises all rights at once, so the narrow files scope tells that there is none.
        if self.origin != Origin::Submitted || self.files == FileScope::Workspace {
            return Ok(());
        }
        let message = format!("the secret `{name}` may not be used in a submitted diagram");
        Err(Error::refused("TRUST_REQUIRED", message).hint("a person can allow it with `dipeo trust NAME`"))
    }

    /// Checks that host code may run; `what` is what needs it.
    ///
    /// # Errors
    ///
    /// `TRUST_REQUIRED`, naming the setting.
    pub fn require_host_code(&self, what: &str) -> Result<(), Error> {
        if self.host_code {
            return Ok(());
        }
        Err(Error::refused("TRUST_REQUIRED", format!("{what} may not run in a {} diagram", self.origin.name()))
            .hint(self.host_code_setting()))
    }
}
