//! Who makes a request, through which door, and what they may do. Every handler takes a [`Caller`], so every
//! adapter refuses the same things with the same words.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use crate::error::Error;

/// The principal of the terminal, of a server that asks nobody who they are, and of the holder of `DIPEO_TOKEN`:
/// the person this database belongs to.
pub const OWNER: &str = "local";

/// Who makes a request. It decides what may be opened and which rights a diagram gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A person at the terminal, in this folder: may open any path; files run as `local`.
    Terminal { working_dir: PathBuf },
    /// A client over MCP or HTTP: only names inside the workspace; inline text is `submitted`.
    Client(Client),
}

/// A client: who it speaks for, and how its request came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    pub identity: Identity,
    pub door: Door,
}

/// A principal with what they may do; what authentication finds out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub principal: Arc<str>,
    pub scopes: Scopes,
}

impl Identity {
    /// The owner of this database, who may do everything that a client may.
    pub fn owner() -> Self {
        Self { principal: Arc::from(OWNER), scopes: Scopes::ALL }
    }

    /// The same principal with nothing but the scopes in both sets.
    #[must_use]
    pub fn limited_to(self, scopes: Scopes) -> Self {
        Self { scopes: self.scopes.and(scopes), ..self }
    }
}

/// The way a client's request came; recorded with what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// A tool or resource of the MCP server.
    Mcp,
    /// A form that the client showed to its user.
    Elicitation,
    /// The client's own model.
    Sampling,
    /// The tasks extension.
    Task,
    /// A route of the HTTP server.
    Http,
}

impl Door {
    /// The word in logs and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mcp => "mcp",
            Self::Elicitation => "elicitation",
            Self::Sampling => "sampling",
            Self::Task => "task",
            Self::Http => "http",
        }
    }
}

/// One thing a caller may be allowed to do (mcp.md 5, platform.md 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    DiagramRead,
    DiagramWrite,
    ExecutionRead,
    ExecutionRun,
    ExecutionControl,
}

impl Scope {
    /// Every scope, in the order they are listed.
    pub const ALL: [Self; 5] =
        [Self::DiagramRead, Self::DiagramWrite, Self::ExecutionRead, Self::ExecutionRun, Self::ExecutionControl];

    /// The name in tokens and settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::DiagramRead => "diagram:read",
            Self::DiagramWrite => "diagram:write",
            Self::ExecutionRead => "execution:read",
            Self::ExecutionRun => "execution:run",
            Self::ExecutionControl => "execution:control",
        }
    }

    /// Reads what [`Scope::name`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == text)
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self(0b1_1111);
    /// What changes nothing.
    pub const READ: Self = Self::NONE.with(Scope::DiagramRead).with(Scope::ExecutionRead);

    /// The set with `scope` in it.
    #[must_use]
    pub const fn with(self, scope: Scope) -> Self {
        Self(self.0 | 1 << scope as u8)
    }

    /// What is in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in one set or the other.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Reads names separated by blanks; names of others are of no account.
    pub fn parse(text: &str) -> Self {
        text.split_ascii_whitespace().filter_map(Scope::parse).collect()
    }

    /// Says whether all of `other` is in the set.
    pub const fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Says whether `scope` is in the set.
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & 1 << scope as u8 != 0
    }

    /// What is in the set, in order.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |it| self.has(*it))
    }

    /// The names, separated by blanks: the form of tokens and challenges (RFC 6749, 3.3).
    pub fn to_text(self) -> String {
        self.iter().map(Scope::name).collect::<Vec<_>>().join(" ")
    }
}

/// A set of scopes with a name (platform.md 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Viewer,
    Editor,
    Operator,
    Admin,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Editor, Self::Operator, Self::Admin];

    /// The name in tokens and settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// Reads what [`Role::name`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == text)
    }

    /// What the role allows. An editor controls their own executions; nobody but the owner of the database ever
    /// knows of other people's.
    pub fn scopes(self) -> Scopes {
        match self {
            Self::Viewer => Scopes::READ,
            Self::Editor | Self::Operator | Self::Admin => Scopes::ALL,
        }
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<T: IntoIterator<Item = Scope>>(scopes: T) -> Self {
        scopes.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scopes({})", self.to_text())
    }
}

impl Caller {
    /// The owner as a client: what a local server takes every client for.
    pub fn owner_client() -> Self {
        Self::client(Identity::owner(), Door::Mcp)
    }

    /// A client that authentication has recognised.
    pub fn client(identity: Identity, door: Door) -> Self {
        Self::Client(Client { identity, door })
    }

    /// The same caller through another door; the terminal has only one.
    #[must_use]
    pub fn through(&self, door: Door) -> Self {
        match self {
            Self::Terminal { .. } => self.clone(),
            Self::Client(client) => Self::client(client.identity.clone(), door),
        }
    }

    /// Whom the request speaks for; stored with the executions they start.
    pub fn principal(&self) -> &str {
        match self {
            Self::Terminal { .. } => OWNER,
            Self::Client(client) => &client.identity.principal,
        }
    }

    /// Stored as `by` of what they do: the door, and who it was unless it was the owner.
    pub fn by(&self) -> String {
        match self {
            Self::Terminal { .. } => "terminal".to_owned(),
            Self::Client(client) if self.is_owner() => client.door.name().to_owned(),
            Self::Client(client) => format!("{} via {}", client.identity.principal, client.door.name()),
        }
    }

    /// Whether they speak for the person this database belongs to.
    pub(super) fn is_owner(&self) -> bool {
        self.principal() == OWNER
    }

    /// Whether they may know of an execution that belongs to `principal`: the owner of the database knows of
    /// all, everybody else of their own and of those that belong to nobody.
    pub fn may_see(&self, principal: Option<&str>) -> bool {
        self.is_owner() || principal.is_none_or(|it| it == self.principal())
    }

    /// What a list may show them: the executions of one principal, or all.
    pub(super) fn only_of(&self) -> Option<String> {
        (!self.is_owner()).then(|| self.principal().to_owned())
    }

    /// What they may do.
    pub fn scopes(&self) -> Scopes {
        match self {
            Self::Terminal { .. } => Scopes::ALL,
            Self::Client(client) => client.identity.scopes,
        }
    }

    /// Refuses what they may not do.
    ///
    /// # Errors
    ///
    /// `INSUFFICIENT_SCOPE` with every scope the request needs in `details.required`.
    pub fn require(&self, needed: &[Scope]) -> Result<(), Error> {
        let missing: Vec<&str> = needed.iter().filter(|it| !self.scopes().has(**it)).map(|it| it.name()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let required: Vec<&str> = needed.iter().map(|it| it.name()).collect();
        Err(Error::refused("INSUFFICIENT_SCOPE", format!("you may not do this: `{}` is missing", missing.join("`, `")))
            .hint("ask the owner of the server for a token with these scopes; a server started with `--read-only` has none that changes anything")
            .details(json!({ "required": required })))
    }
}

/// Whether what [`Caller::by`] says came through a door where models speak for themselves.
pub(super) fn is_model(by: &str) -> bool {
    let door = by.rsplit_once(" via ").map_or(by, |(_, door)| door);
    door == Door::Mcp.name() || door == Door::Sampling.name()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(principal: &str, scopes: Scopes) -> Caller {
        Caller::client(Identity { principal: principal.into(), scopes }, Door::Mcp)
    }

    #[test]
    fn the_owner_sees_all_and_others_their_own_and_what_is_shared() {
        let terminal = Caller::Terminal { working_dir: PathBuf::new() };
        for (caller, of, expected) in [
            (&terminal, Some("ada"), true),
            (&Caller::owner_client(), Some("ada"), true),
            (&client("ada", Scopes::ALL), Some("ada"), true),
            (&client("ada", Scopes::ALL), None, true),
            (&client("ada", Scopes::ALL), Some("local"), false),
            (&client("ada", Scopes::ALL), Some("bob"), false),
        ] {
            assert_eq!(caller.may_see(of), expected, "{caller:?} {of:?}");
        }
    }

    #[test]
    fn a_refusal_names_what_is_missing_and_all_that_is_needed() {
        let reader = client("ada", Scopes::READ);
        reader.require(&[Scope::DiagramRead, Scope::ExecutionRead]).expect("a reader reads");
        let error = reader.require(&[Scope::ExecutionRead, Scope::ExecutionRun]).expect_err("a reader runs nothing");
        assert_eq!(
            (error.code(), error.message()),
            ("INSUFFICIENT_SCOPE", "you may not do this: `execution:run` is missing")
        );
        assert_eq!(error.details_value(), Some(&json!({"required": ["execution:read", "execution:run"]})));
    }

    #[test]
    fn scopes_are_written_and_read_by_name() {
        assert_eq!(Scopes::READ.to_text(), "diagram:read execution:read");
        assert_eq!(Scope::ALL.into_iter().collect::<Scopes>(), Scopes::ALL);
        for scope in Scope::ALL {
            assert_eq!(Scope::parse(scope.name()), Some(scope));
        }
        assert_eq!(Identity::owner().limited_to(Scopes::READ).scopes, Scopes::READ);
    }

    #[test]
    fn who_did_something_from_where_is_one_text() {
        assert_eq!(Caller::Terminal { working_dir: PathBuf::new() }.by(), "terminal");
        assert_eq!(Caller::owner_client().through(Door::Elicitation).by(), "elicitation");
        assert_eq!(client("ada", Scopes::ALL).through(Door::Task).by(), "ada via task");
        for (door, expected) in [
            (Door::Mcp, true),
            (Door::Sampling, true),
            (Door::Elicitation, false),
            (Door::Task, false),
            (Door::Http, false),
        ] {
            for principal in ["local", "ada", "x via mcp"] {
                assert_eq!(is_model(&client(principal, Scopes::ALL).through(door).by()), expected, "{principal}");
            }
        }
        assert!(!is_model("terminal"));
    }
}
