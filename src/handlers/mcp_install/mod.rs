//! Enters this program into the settings of a client, or shows what would change. Everything else in the file
//! stays byte for byte, a copy of it is kept, and no secret is written: a token is a reference to a variable.

mod clients;
mod json_text;
mod settings_file;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use similar::TextDiff;
use url::{Host, Url};

use self::clients::{Client, Connection, OWN_KEYS, Scope, System};
use self::settings_file::SettingsFile;
use super::{App, Caller};
use crate::error::Error;

/// The variable that holds the token of the HTTP server, unless another is named.
const TOKEN_VARIABLE: &str = "DIPEO_TOKEN";
/// Keys of an entry that have no effect on a server reached by its address.
const PROCESS_KEYS: [&str; 3] = ["env", "envFile", "cwd"];
/// Unchanged lines shown around a change.
const CONTEXT_LINES: usize = 2;

/// What to enter, and where.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `claude-code`, `claude-desktop`, `cursor`, `vscode` or `gemini`.
    pub client: String,
    /// `user` (when absent) or `project`.
    pub scope: Option<String>,
    /// The name of the entry.
    pub name: String,
    /// Address of a running server; absent means that the client starts one.
    pub http: Option<String>,
    /// Variable whose value the client shows as its token; one is assumed where a token is needed.
    pub token_variable: Option<String>,
    /// The program's own file.
    pub program: PathBuf,
    pub action: Action,
}

/// How far to go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// Only say what would change.
    #[default]
    Show,
    /// Write, unless an entry of this name says something else.
    Add,
    /// Write.
    Replace,
}

/// What the file says, or would say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    pub client: String,
    pub file: PathBuf,
    pub change: Change,
    pub written: bool,
    /// A unified diff; the values of other entries are hidden. Empty when nothing changes.
    pub difference: String,
    /// The copy of the file as it was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub backup: Option<PathBuf>,
    /// The entry as the client reads it.
    pub entry: Value,
    /// What the user should know.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub notes: Vec<String>,
    /// What to do for the client to see it.
    pub next: String,
}

/// What happens to the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    None,
    Added,
    /// An entry of this name said something else.
    Replaced,
}

/// Carries the request out.
///
/// # Errors
///
/// `PERMISSION_REQUIRED` for a client; `INVALID_NAME`, `INVALID_INPUT` for what the request or the file says;
/// `ALREADY_EXISTS` when another entry has the name and is not to be replaced; `FILE_FAILED`.
pub async fn mcp_install(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    if !matches!(caller, Caller::Terminal { .. }) {
        return Err(Error::refused("PERMISSION_REQUIRED", "only a person at the terminal may change other programs")
            .hint("ask the person to run `dipeo mcp install`"));
    }
    let client = Client::parse(&request.client)?;
    let scope = scope(request.scope.as_deref())?;
    check_name(&request.name)?;
    let mut notes = Vec::new();
    let connection = connection(app, client, scope, &request, &mut notes)?;
    let wanted = client.entry(&connection)?;
    let place = client.file(scope, System::own(), &app.config.user_folders, app.config.workspace.clone())?;
    let file = SettingsFile::read(place)?;
    let keys = [client.servers_key(), request.name.as_str()];
    let by_hand = |e: Error| not_changed(&file.place, keys, &wanted, &e);
    let old = json_text::get(&file.text, &keys).map_err(by_hand)?;
    let entry = Value::Object(merged(old.as_ref(), wanted.clone(), &connection));
    let change = match &old {
        None => Change::Added,
        Some(old) if *old == entry => Change::None,
        Some(_) => Change::Replaced,
    };
    let mut response = Response {
        client: client.name().to_owned(),
        file: file.place.clone(),
        change,
        written: false,
        difference: String::new(),
        backup: None,
        entry,
        notes,
        next: client.next(scope, &request.name),
    };
    if change == Change::None {
        return Ok(response);
    }
    let text = json_text::set(&file.text, &keys, &response.entry).map_err(by_hand)?;
    response.difference = difference(&file, &text, &keys);
    if scope == Scope::User && !file.folder_is_there() {
        response.notes.push(format!("its folder is not there yet: is {} installed?", client.name()));
    }
    if request.action == Action::Show {
        return Ok(response);
    }
    if change == Change::Replaced && request.action != Action::Replace {
        let message = format!("`{}` has another entry named `{}`", file.place.display(), request.name);
        return Err(Error::conflict("ALREADY_EXISTS", message)
            .hint("replace it with `--yes`, or choose another name with `--name`"));
    }
    let stamp = app.clock.now().to_rfc3339().replace(['-', ':', '.'], "");
    response.backup = file.write(&text, &stamp)?;
    response.written = true;
    Ok(response)
}

fn connection(
    app: &App,
    client: Client,
    scope: Scope,
    request: &Request,
    notes: &mut Vec<String>,
) -> Result<Connection, Error> {
    match &request.http {
        Some(address) => by_address(app, address, request.token_variable.as_deref(), notes),
        None if request.token_variable.is_some() => {
            Err(Error::invalid("INVALID_INPUT", "a token is only shown to a server that has an address")
                .hint("add `--http URL`, or leave `--token-variable` out"))
        }
        None => by_pipes(app, client, scope, &request.program),
    }
}

fn scope(name: Option<&str>) -> Result<Scope, Error> {
    match name {
        None | Some("user") => Ok(Scope::User),
        Some("project") => Ok(Scope::Project),
        Some(other) => {
            Err(Error::invalid("INVALID_INPUT", format!("`{other}` is no scope")).hint("use user or project"))
        }
    }
}

/// Every client takes these characters, and models see the name in front of each tool.
fn check_name(name: &str) -> Result<(), Error> {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_');
    if (1..=40).contains(&name.len()) && name.chars().all(is_plain) {
        return Ok(());
    }
    Err(Error::invalid("INVALID_NAME", format!("`{name}` cannot be the name of an entry"))
        .hint("use 1 to 40 letters, digits, - and _"))
}

/// A server that runs already.
fn by_address(app: &App, address: &str, variable: Option<&str>, notes: &mut Vec<String>) -> Result<Connection, Error> {
    let refused = |what: &str, hint: &str| Error::invalid("INVALID_INPUT", format!("the address {what}")).hint(hint);
    let example = "write it as `http://127.0.0.1:8000/mcp` or `https://NAME/mcp`";
    let mut url = Url::parse(address).map_err(|_| refused("is no URL", example))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(refused("is not one of HTTP", example));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(refused("holds more than a name and a path", "leave out users, passwords, queries and fragments"));
    }
    if matches!(url.path(), "" | "/") {
        url.set_path("/mcp");
    }
    let is_local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(it)) => it.is_loopback(),
        Some(Host::Ipv6(it)) => it.is_loopback(),
        None => false,
    };
    if let Some(name) = variable {
        check_variable(name)?;
    }
    let needs_token = !is_local || app.config.auth.token.is_some();
    let token_variable = variable.map(str::to_owned).or_else(|| needs_token.then(|| TOKEN_VARIABLE.to_owned()));
    if let Some(name) = &token_variable {
        notes.push(format!("the client takes the token from its environment: set `{name}` before it starts"));
    }
    if !is_local && url.scheme() == "http" {
        notes.push("the token travels unencrypted to this address; use https outside your own network".to_owned());
    }
    Ok(Connection::Http { url: url.to_string(), token_variable })
}

fn check_variable(name: &str) -> Result<(), Error> {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || it == '_';
    if !name.is_empty() && name.chars().all(is_plain) && !name.starts_with(|it: char| it.is_ascii_digit()) {
        return Ok(());
    }
    // What stands there may be the token itself, so it is not repeated.
    Err(Error::invalid("INVALID_NAME", "what is given as a variable is no name of one")
        .hint("give the name of the variable that holds the token, not the token"))
}

/// A server that the client starts. A client of the terminal starts it in the folder it works on, so the
/// workspace is only named when the user named it; a desktop program has no such folder.
fn by_pipes(app: &App, client: Client, scope: Scope, program: &Path) -> Result<Connection, Error> {
    let named = app.config.named;
    let mut args = Vec::new();
    let folder = match (scope, client.project_folder()) {
        (Scope::Project, folder) => folder.map(str::to_owned),
        (Scope::User, _) if named.workspace || !client.is_of_terminal() => {
            Some(text_of(&app.config.workspace)?.to_owned())
        }
        (Scope::User, _) => None,
    };
    if let Some(folder) = folder {
        args.extend(["-C".to_owned(), folder]);
    }
    if named.database {
        args.extend(["--db".to_owned(), text_of(&app.config.database)?.to_owned()]);
    }
    args.push("mcp".to_owned());
    let found = app.config.user_folders.in_search_path("dipeo", program);
    let command = match found {
        // Shared with others, or started with the terminal's own search path.
        _ if scope == Scope::Project => "dipeo".to_owned(),
        Some(_) if client.is_of_terminal() => "dipeo".to_owned(),
        Some(place) => text_of(&place)?.to_owned(),
        None => text_of(program)?.to_owned(),
    };
    Ok(Connection::Stdio { command, args })
}

fn text_of(path: &Path) -> Result<&str, Error> {
    path.to_str().ok_or_else(|| {
        Error::invalid("INVALID_INPUT", format!("`{}` is no Unicode, so JSON cannot hold it", path.display()))
            .hint("move it to a folder with a plain name")
    })
}

/// The new entry with what the user added to the old one.
fn merged(old: Option<&Value>, mut entry: Map<String, Value>, connection: &Connection) -> Map<String, Value> {
    let is_process = matches!(connection, Connection::Stdio { .. });
    for (key, value) in old.and_then(Value::as_object).into_iter().flatten() {
        let is_kept = !OWN_KEYS.contains(&key.as_str()) && (is_process || !PROCESS_KEYS.contains(&key.as_str()));
        if is_kept {
            entry.insert(key.clone(), value.clone());
        }
    }
    entry
}

fn difference(file: &SettingsFile, text: &str, keys: &[&str]) -> String {
    let (old, new) = (json_text::shown(&file.text, keys), json_text::shown(text, keys));
    let name = file.place.display().to_string();
    let before = if file.text.is_empty() { "/dev/null" } else { &name };
    TextDiff::from_lines(&old, &new).unified_diff().context_radius(CONTEXT_LINES).header(before, &name).to_string()
}

/// A file that cannot be changed without destroying something gets the entry by hand.
fn not_changed(place: &Path, keys: [&str; 2], entry: &Map<String, Value>, error: &Error) -> Error {
    let entry = Value::Object(entry.clone());
    Error::invalid("INVALID_INPUT", format!("`{}` was left alone: {}", place.display(), error.message()))
        .hint(format!("add under `{}`: \"{}\": {entry}", keys[0], keys[1]))
}
