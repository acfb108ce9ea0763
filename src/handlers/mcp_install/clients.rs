//! What each client wants to read: which file, under which key, in which shape. One table for all of them.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::config::UserFolders;
use crate::error::Error;
use crate::nearest::nearest;

/// A program that speaks MCP and keeps its servers in a JSON file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    ClaudeCode,
    ClaudeDesktop,
    Cursor,
    Vscode,
    Gemini,
}

/// Whose settings are changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All projects of this user.
    #[default]
    User,
    /// One project: the file lies in the workspace and can be shared.
    Project,
}

/// The system whose customs are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    Linux,
    Mac,
}

impl System {
    /// The one this program was built for.
    pub fn own() -> Self {
        if cfg!(target_os = "macos") { Self::Mac } else { Self::Linux }
    }
}

/// How a client reaches the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// It starts `command` and speaks with it over pipes.
    Stdio { command: String, args: Vec<String> },
    /// It asks this address, and shows what the variable holds as its token.
    Http { url: String, token_variable: Option<String> },
}

/// Keys of an entry that this program writes; others in it are the user's.
pub const OWN_KEYS: [&str; 6] = ["type", "command", "args", "url", "httpUrl", "headers"];

impl Client {
    pub const ALL: [Self; 5] = [Self::ClaudeCode, Self::ClaudeDesktop, Self::Cursor, Self::Vscode, Self::Gemini];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude-code",
            Self::ClaudeDesktop => "claude-desktop",
            Self::Cursor => "cursor",
            Self::Vscode => "vscode",
            Self::Gemini => "gemini",
        }
    }

    /// Reads the name on the command line.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` with the nearest name.
    pub fn parse(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|it| it.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name);
            let hint = match nearest(name, names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("use one of {}; others take the entry that `--print` shows", names.join(", ")),
            };
            Error::invalid("INVALID_INPUT", format!("`{name}` is no client that dipeo knows")).hint(hint)
        })
    }

    /// Whether it is started from a terminal: in the folder it works on and with the terminal's `PATH`.
    pub fn is_of_terminal(self) -> bool {
        matches!(self, Self::ClaudeCode | Self::Gemini)
    }

    /// The object in its file that maps names to servers.
    pub fn servers_key(self) -> &'static str {
        match self {
            Self::Vscode => "servers",
            Self::ClaudeCode | Self::ClaudeDesktop | Self::Cursor | Self::Gemini => "mcpServers",
        }
    }

    /// The file that it reads.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` when the client has no such file, or the home folder is unknown.
    pub fn file(self, scope: Scope, system: System, folders: &UserFolders, project: PathBuf) -> Result<PathBuf, Error> {
        let home = || {
            folders.home.clone().ok_or_else(|| {
                Error::invalid("INVALID_INPUT", "`HOME` is not set").hint("set `HOME`, or use `--scope project`")
            })
        };
        // Where desktop programs keep their settings.
        let settings = || match system {
            System::Linux => folders.config.clone().map_or_else(home, Ok),
            System::Mac => home().map(|it| it.join("Library/Application Support")),
        };
        match (self, scope) {
            (Self::ClaudeCode, Scope::User) => {
                Ok(folders.claude_config.clone().map_or_else(home, Ok)?.join(".claude.json"))
            }
            (Self::ClaudeCode, Scope::Project) => Ok(project.join(".mcp.json")),
            (Self::ClaudeDesktop, Scope::User) => Ok(settings()?.join("Claude/claude_desktop_config.json")),
            (Self::ClaudeDesktop, Scope::Project) => {
                Err(Error::invalid("INVALID_INPUT", "Claude Desktop has no settings for a project")
                    .hint("leave `--scope project` out; the entry names the workspace"))
            }
            (Self::Cursor, Scope::User) => Ok(home()?.join(".cursor/mcp.json")),
            (Self::Cursor, Scope::Project) => Ok(project.join(".cursor/mcp.json")),
            (Self::Vscode, Scope::User) => Ok(settings()?.join("Code/User/mcp.json")),
            (Self::Vscode, Scope::Project) => Ok(project.join(".vscode/mcp.json")),
            (Self::Gemini, Scope::User) => Ok(home()?.join(".gemini/settings.json")),
            (Self::Gemini, Scope::Project) => Ok(project.join(".gemini/settings.json")),
        }
    }

    /// How its file refers to a variable of the environment.
    fn reference(self, variable: &str) -> String {
        match self {
            Self::ClaudeCode | Self::ClaudeDesktop | Self::Gemini => format!("${{{variable}}}"),
            Self::Cursor | Self::Vscode => format!("${{env:{variable}}}"),
        }
    }

    /// What the file of a project calls the project's folder, where it must be told.
    pub fn project_folder(self) -> Option<&'static str> {
        match self {
            Self::Cursor | Self::Vscode => Some("${workspaceFolder}"),
            Self::ClaudeCode | Self::ClaudeDesktop | Self::Gemini => None,
        }
    }

    /// The entry that describes `connection`.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` when the client cannot be connected in this way.
    pub fn entry(self, connection: &Connection) -> Result<Map<String, Value>, Error> {
        let mut entry = Map::new();
        match connection {
            Connection::Stdio { command, args } => {
                match self {
                    Self::ClaudeCode | Self::Cursor | Self::Vscode => {
                        entry.insert("type".into(), "stdio".into());
                    }
                    Self::ClaudeDesktop | Self::Gemini => {}
                }
                entry.insert("command".into(), command.as_str().into());
                entry.insert("args".into(), json!(args));
            }
            Connection::Http { url, token_variable } => {
                let key = match self {
                    Self::ClaudeDesktop => {
                        return Err(Error::invalid("INVALID_INPUT", "Claude Desktop's file takes no address").hint(
                            "leave `--http` out, or add the address in Claude Desktop under Settings, Connectors",
                        ));
                    }
                    Self::ClaudeCode | Self::Vscode => {
                        entry.insert("type".into(), "http".into());
                        "url"
                    }
                    Self::Cursor => "url",
                    Self::Gemini => "httpUrl",
                };
                entry.insert(key.into(), url.as_str().into());
                if let Some(variable) = token_variable {
                    let token = format!("Bearer {}", self.reference(variable));
                    entry.insert("headers".into(), json!({"Authorization": token}));
                }
            }
        }
        Ok(entry)
    }

    /// What to do for the client to see the entry.
    pub fn next(self, scope: Scope, name: &str) -> String {
        match (self, scope) {
            (Self::ClaudeCode, Scope::User) => format!("`claude mcp get {name}` says whether it is connected"),
            (Self::ClaudeCode, Scope::Project) => "start `claude` in this folder and allow the server".to_owned(),
            (Self::ClaudeDesktop, _) => "quit and start Claude Desktop".to_owned(),
            (Self::Cursor, _) => "switch the server on in Cursor under Settings, MCP".to_owned(),
            (Self::Vscode, _) => format!("run `MCP: List Servers` in VS Code and start `{name}`"),
            (Self::Gemini, _) => "`gemini mcp list` says whether it is connected".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders() -> UserFolders {
        UserFolders { home: Some("/h".into()), config: Some("/h/.config".into()), ..UserFolders::default() }
    }

    #[test]
    fn every_client_has_its_file_on_every_system() {
        use Client::*;
        use Scope::*;
        for (client, scope, linux, mac) in [
            (ClaudeCode, User, "/h/.claude.json", "/h/.claude.json"),
            (ClaudeCode, Project, "/p/.mcp.json", "/p/.mcp.json"),
            (
                ClaudeDesktop,
                User,
                "/h/.config/Claude/claude_desktop_config.json",
                "/h/Library/Application Support/Claude/claude_desktop_config.json",
            ),
            (Cursor, User, "/h/.cursor/mcp.json", "/h/.cursor/mcp.json"),
            (Cursor, Project, "/p/.cursor/mcp.json", "/p/.cursor/mcp.json"),
            (Vscode, User, "/h/.config/Code/User/mcp.json", "/h/Library/Application Support/Code/User/mcp.json"),
            (Vscode, Project, "/p/.vscode/mcp.json", "/p/.vscode/mcp.json"),
            (Gemini, User, "/h/.gemini/settings.json", "/h/.gemini/settings.json"),
            (Gemini, Project, "/p/.gemini/settings.json", "/p/.gemini/settings.json"),
        ] {
            for (system, expected) in [(System::Linux, linux), (System::Mac, mac)] {
                let file = client.file(scope, system, &folders(), "/p".into()).expect("a file");
                assert_eq!(file, PathBuf::from(expected), "{client:?} {scope:?} {system:?}");
            }
        }
        let error = ClaudeDesktop.file(Project, System::Linux, &folders(), "/p".into()).expect_err("none");
        assert_eq!(error.code(), "INVALID_INPUT");
        let moved = UserFolders { claude_config: Some("/c".into()), ..folders() };
        let file = ClaudeCode.file(User, System::Linux, &moved, "/p".into()).expect("a file");
        assert_eq!(file, PathBuf::from("/c/.claude.json"));
        assert!(Gemini.file(User, System::Linux, &UserFolders::default(), "/p".into()).is_err());
    }

    #[test]
    fn every_client_gets_the_shape_it_reads() {
        let stdio = Connection::Stdio { command: "dipeo".into(), args: vec!["mcp".into()] };
        let http = Connection::Http { url: "https://a/mcp".into(), token_variable: Some("T".into()) };
        let local = Connection::Http { url: "http://127.0.0.1:8000/mcp".into(), token_variable: None };
        let named = json!({"type": "stdio", "command": "dipeo", "args": ["mcp"]});
        let bare = json!({"command": "dipeo", "args": ["mcp"]});
        for (client, connection, expected) in [
            (Client::ClaudeCode, &stdio, named.clone()),
            (Client::ClaudeDesktop, &stdio, bare.clone()),
            (Client::Cursor, &stdio, named.clone()),
            (Client::Vscode, &stdio, named),
            (Client::Gemini, &stdio, bare),
            (
                Client::ClaudeCode,
                &http,
                json!({"type": "http", "url": "https://a/mcp", "headers": {"Authorization": "Bearer ${T}"}}),
            ),
            (Client::Cursor, &http, json!({"url": "https://a/mcp", "headers": {"Authorization": "Bearer ${env:T}"}})),
            (
                Client::Vscode,
                &http,
                json!({"type": "http", "url": "https://a/mcp", "headers": {"Authorization": "Bearer ${env:T}"}}),
            ),
            (Client::Gemini, &http, json!({"httpUrl": "https://a/mcp", "headers": {"Authorization": "Bearer ${T}"}})),
            (Client::ClaudeCode, &local, json!({"type": "http", "url": "http://127.0.0.1:8000/mcp"})),
        ] {
            let entry = client.entry(connection).expect("an entry");
            assert!(entry.keys().all(|it| OWN_KEYS.contains(&it.as_str())), "{entry:?}");
            assert_eq!(Value::Object(entry), expected, "{client:?}");
        }
        assert_eq!(Client::ClaudeDesktop.entry(&http).expect_err("no address").code(), "INVALID_INPUT");
    }

    #[test]
    fn a_misspelt_client_is_answered_with_the_nearest() {
        let error = Client::parse("claude-dekstop").expect_err("unknown");
        assert_eq!(error.hint_text(), Some("did you mean `claude-desktop`?"));
        for client in Client::ALL {
            assert_eq!(Client::parse(client.name()).expect("known"), client);
        }
    }
}
