//! Stores, lists and forgets secrets. Only a person at the terminal may, and no answer ever has a value.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{App, Caller};
use crate::error::Error;
use crate::nodes::ports::secrets::{NewSecret, SecretInfo};
use crate::nodes::template::is_secret_name;
use crate::secret::{SCRUBBED_LEN_MIN, Secret};

/// Largest value, in bytes.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// What to do.
#[derive(Clone, Debug)]
pub enum Request {
    /// Keep this value under this name, over an older one.
    Set {
        name: String,
        value: String,
    },
    List,
    Remove {
        name: String,
    },
    /// Take the keys of an `apikeys.json`: a map or list of `{id, label, service, key}`.
    Import {
        text: String,
    },
}

/// What is there afterwards.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Response {
    pub secrets: Vec<Entry>,
    /// Names that were stored.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub stored: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub removed: Option<String>,
    /// Entries of an import that were left out, each with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub skipped: Vec<String>,
}

/// A secret as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service: Option<String>,
    pub created_at: String,
    pub updated_at: String,
}

/// Carries the request out.
///
/// # Errors
///
/// `PERMISSION_REQUIRED` for a client; `INVALID_NAME`, `INVALID_INPUT`, `SECRET_NOT_FOUND`, `FILE_FAILED`.
pub async fn secrets(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    if !matches!(caller, Caller::Terminal { .. }) {
        return Err(Error::refused("PERMISSION_REQUIRED", "only a person at the terminal may see or change secrets")
            .hint("ask the person to run `dipeo secrets`"));
    }
    let store = &app.ports.secrets;
    let mut response = Response::default();
    match request {
        Request::List => {}
        Request::Set { name, value } => {
            let new = new_secret(app, &name, &value, None)?;
            store.put(vec![new])?;
            response.stored.push(name);
        }
        Request::Remove { name } => {
            if !store.remove(&name)? {
                return Err(Error::not_found("SECRET_NOT_FOUND", format!("no secret is named `{name}`"))
                    .hint("`dipeo secrets list` shows their names"));
            }
            response.removed = Some(name);
        }
        Request::Import { text } => {
            let (found, skipped) = read_keys(app, &text)?;
            response.stored = found.iter().map(|it| it.name.clone()).collect();
            response.skipped = skipped;
            store.put(found)?;
        }
    }
    response.secrets = store.list()?.into_iter().map(entry).collect();
    Ok(response)
}

fn entry(info: SecretInfo) -> Entry {
    let SecretInfo { name, service, created_at, updated_at, .. } = info;
    Entry { name, service, created_at, updated_at }
}

pub(super) fn new_secret(app: &App, name: &str, value: &str, service: Option<String>) -> Result<NewSecret, Error> {
    if !is_secret_name(name) {
        let shown: String = name.chars().filter(|it| !it.is_control()).take(60).collect();
        return Err(Error::invalid("INVALID_NAME", format!("`{shown}` is no name of a secret"))
            .hint("use letters, digits, `_`, `-` and `.`, a letter first, at most 64 characters"));
    }
    let wrong =
        |what: &str, hint: &str| Error::invalid("INVALID_INPUT", format!("the value of `{name}` {what}")).hint(hint);
    let secret = Secret::new(value).ok_or_else(|| wrong("is empty", "write it to stdin, or type it when asked"))?;
    if secret.expose().len() < SCRUBBED_LEN_MIN {
        let hint = "so short a text cannot be kept out of what runs record";
        return Err(wrong(&format!("has less than {SCRUBBED_LEN_MIN} characters"), hint));
    }
    if secret.expose().len() > VALUE_BYTES_MAX {
        return Err(wrong(&format!("has more than {VALUE_BYTES_MAX} bytes"), "store a key to it instead"));
    }
    Ok(NewSecret { name: name.to_owned(), value: secret, service, label: None, at: app.clock.now().to_rfc3339() })
}

/// Reads the original's key file. Its ids are the names that persons use as `api_key_id`.
fn read_keys(app: &App, text: &str) -> Result<(Vec<NewSecret>, Vec<String>), Error> {
    // What the parser quotes could be a key, so its own words stay out.
    let parsed: Value = serde_json::from_str(text).map_err(|problem| {
        Error::invalid("INVALID_INPUT", format!("the file is no JSON (line {})", problem.line()))
            .hint("give the `apikeys.json` of the other installation")
    })?;
    let entries: Vec<(String, &Value)> = match &parsed {
        Value::Object(map) => map.iter().map(|(id, it)| (id.clone(), it)).collect(),
        Value::Array(list) => list.iter().map(|it| (it["id"].as_str().unwrap_or_default().to_owned(), it)).collect(),
        _ => {
            return Err(Error::invalid("INVALID_INPUT", "the file holds no keys")
                .hint("give a map or list of `{id, label, service, key}`"));
        }
    };
    let (mut found, mut skipped) = (Vec::new(), Vec::new());
    for (id, entry) in entries {
        let service = entry["service"].as_str().map(str::to_owned);
        let key = entry["key"].as_str().or_else(|| entry.as_str());
        let label = entry["label"].as_str().map(str::to_owned);
        let made = match key {
            Some(key) => new_secret(app, &id, key, service)
                .map(|it| NewSecret { label, ..it })
                .map_err(|error| error.message().to_owned()),
            None => Err("it has no `key`".to_owned()),
        };
        match made {
            Ok(new) => found.push(new),
            Err(why) => skipped.push(format!("{id}: {why}")),
        }
    }
    Ok((found, skipped))
}
