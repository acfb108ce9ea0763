//! Writing, appending and updating: what is written, and how it joins what is there. Every file is
//! replaced as a whole; nobody sees half of it.

use serde_json::{Map, Value, json};

use super::{Db, Operation, keys};
use crate::error::Error;
use crate::nodes::content::{as_text, pretty};
use crate::nodes::file_format::{Encoding, FileFormat, suffix};
use crate::nodes::lookup::look_into;
use crate::nodes::ports::Change;
use crate::nodes::{Inputs, NodeContext};

impl Db {
    pub(super) async fn write(&self, cx: &NodeContext) -> Result<Value, Error> {
        let path = self.path(cx)?;
        let text = self.format_of(&path).encode(&self.value(cx), &path)?;
        let bytes = self.encoding.encode(&text, &path)?;
        cx.ports.files.write(&path, &bytes, &cx.rights).await?;
        Ok(done(self.operation, path, bytes.len() as u64))
    }

    pub(super) async fn append(&self, cx: &NodeContext) -> Result<Value, Error> {
        let path = self.path(cx)?;
        let value = self.value(cx);
        let joining = match (self.format, suffix(&path).as_str()) {
            (Some(FileFormat::Json), _) | (None, "json") => Joining::List,
            (None, "jsonl" | "ndjson") => Joining::Lines,
            _ => Joining::Text,
        };
        self.change(cx, path, move |before, path| joining.join(before.unwrap_or_default(), &value, path)).await
    }

    pub(super) async fn update(&self, cx: &NodeContext) -> Result<Value, Error> {
        let path = self.path(cx)?;
        let format = self.format_of(&path);
        if !matches!(format, FileFormat::Json | FileFormat::Yaml) {
            // A path that may not be touched matters more than what the file would hold.
            if let Err(refused) = cx.ports.files.read(&path, &cx.rights).await
                && refused.code() == "PATH_NOT_ALLOWED"
            {
                return Err(refused);
            }
            return Err(Error::external("FILE_FAILED", format!("`{path}` is neither JSON nor YAML"))
                .hint("`update` sets keys in JSON and YAML files; give `format` when the suffix does not say it"));
        }
        let (keys, missing) = (self.keys.clone(), self.missing_value.clone());
        let new = value_to_write(&cx.names.inputs);
        self.change(cx, path, move |before, path| {
            let mut value = match (before, missing) {
                (Some(text), _) => format.decode(&text, path)?,
                (None, Some(missing)) => missing,
                (None, None) => return Err(not_there(path)),
            };
            set_keys(&mut value, &keys, &new, path)?;
            format.encode(&value, path)
        })
        .await
    }

    /// Replaces the text of a file by what `join` makes of it.
    async fn change(
        &self,
        cx: &NodeContext,
        path: String,
        join: impl FnOnce(Option<String>, &str) -> Result<String, Error> + Send + 'static,
    ) -> Result<Value, Error> {
        let (encoding, shown): (Encoding, String) = (self.encoding, path.clone());
        let change: Change = Box::new(move |before| {
            let before = before.map(|bytes| encoding.decode(bytes, &shown)).transpose()?;
            encoding.encode(&join(before, &shown)?, &shown)
        });
        let size_bytes = cx.ports.files.change(&path, change, &cx.rights).await?;
        Ok(done(self.operation, path, size_bytes))
    }

    /// What to write: the field, else what the inputs give.
    fn value(&self, cx: &NodeContext) -> Value {
        self.content.clone().unwrap_or_else(|| value_to_write(&cx.names.inputs))
    }

    fn path(&self, cx: &NodeContext) -> Result<String, Error> {
        self.paths.first().ok_or_else(|| Error::internal("a db node without a file"))?.render(cx)
    }

    fn format_of(&self, path: &str) -> FileFormat {
        self.format.unwrap_or_else(|| FileFormat::of_suffix(path))
    }
}

/// How a value joins what a file holds already.
#[derive(Clone, Copy)]
enum Joining {
    /// One more element of the list in a JSON file.
    List,
    /// One more line of compact JSON.
    Lines,
    /// More text, on a new line.
    Text,
}

impl Joining {
    fn join(self, before: String, value: &Value, path: &str) -> Result<String, Error> {
        match self {
            Self::List => {
                let mut items = match before.trim() {
                    "" => Vec::new(),
                    _ => match FileFormat::Json.decode(&before, path)? {
                        Value::Array(items) => items,
                        other => vec![other],
                    },
                };
                items.push(parsed(value));
                Ok(pretty(&Value::Array(items)))
            }
            Self::Lines => Ok(format!("{}{}\n", with_line_end(before), parsed(value))),
            Self::Text => Ok(format!("{}{}", with_line_end(before), as_text(value))),
        }
    }
}

fn with_line_end(mut text: String) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// In JSON files a text that is JSON is what it says, as when it is written.
fn parsed(value: &Value) -> Value {
    value.as_str().and_then(|it| serde_json::from_str(it).ok()).unwrap_or_else(|| value.clone())
}

/// Returns what the inputs give to write: `content`, `value` or `generated_code`, else the only input, else
/// all of them.
fn value_to_write(inputs: &Inputs) -> Value {
    let named = ["content", "value", "generated_code"].into_iter().find_map(|key| inputs.get(key));
    match named.or_else(|| inputs.only()) {
        Some(value) => Value::clone(value),
        None => Value::Object(inputs.to_map()),
    }
}

/// One key takes the whole value, several take the fields of their name or of their last part.
fn set_keys(value: &mut Value, names: &[String], new: &Value, path: &str) -> Result<(), Error> {
    let set = |value: &mut Value, key: &str, new: Value| {
        keys::set(value, key, new).map_err(|part| {
            Error::external("FILE_FAILED", format!("key `{key}` of `{path}` leads into a plain value at `{part}`"))
                .hint("only mappings and lists have keys")
        })
    };
    if let [key] = names {
        return set(value, key, parsed_container(new));
    }
    let empty = Map::new();
    let inside = look_into(new);
    let given = inside.as_object().unwrap_or(&empty);
    for key in names {
        let new = given.get(key).or_else(|| given.get(keys::last(key))).ok_or_else(|| {
            Error::external("FILE_FAILED", format!("the input has no field for the key `{key}`"))
                .hint("with several keys the input is a mapping with one field for each")
        })?;
        set(value, key, new.clone())?;
    }
    Ok(())
}

/// A JSON text of an object or list goes into a file as that object or list.
fn parsed_container(value: &Value) -> Value {
    look_into(value).into_owned()
}

fn not_there(path: &str) -> Error {
    Error::not_found("FILE_NOT_FOUND", format!("file `{path}` does not exist"))
        .hint("write it first, or give `missing_value: {}` to begin with that")
        .retryable(true)
}

fn done(operation: Operation, path: String, size_bytes: u64) -> Value {
    json!({ "operation": operation.name(), "path": path, "bytes": size_bytes })
}
