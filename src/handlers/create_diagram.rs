//! Makes an empty diagram with its metadata, to be filled node by node.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::save_diagram::{self, Expected, save_diagram};
use super::{App, Caller};
use crate::diagram::write::write;
use crate::diagram::{Format, parse};
use crate::error::Error;
use crate::nodes::known_fields;

/// Longest description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 2_000;
/// Longest author and tag, in characters.
const WORD_CHARS_MAX: usize = 100;
/// Most tags.
const TAGS_MAX: usize = 50;

/// What to make.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Letters, digits, `.`, `_`, `-`, with `/` between folders.
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub author: Option<String>,
    #[serde(default)]
    pub tags: Vec<String>,
}

/// Makes a light diagram with one start node: without any there would be nothing to read.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `INVALID_NAME`, `INVALID_INPUT`, `ALREADY_EXISTS`, `DIAGRAM_NOT_ALLOWED`; what files and the
/// database say.
pub async fn create_diagram(app: &App, caller: &Caller, request: Request) -> Result<save_diagram::Response, Error> {
    let save = save_diagram::Request {
        name: request.name.clone(),
        content: Some(text(&request)?),
        message: Some("created".to_owned()),
        ..save_diagram::Request::default()
    };
    let extras = save_diagram::Extras { expected: Expected::Nothing, keep_invalid: true };
    save_diagram(app, caller, save, extras).await
}

fn text(request: &Request) -> Result<String, Error> {
    let mut metadata = Map::from_iter([("name".to_owned(), Value::from(request.name.as_str()))]);
    for (key, value, most) in
        [("description", &request.description, DESCRIPTION_CHARS_MAX), ("author", &request.author, WORD_CHARS_MAX)]
    {
        let Some(value) = value.as_ref().filter(|it| !it.trim().is_empty()) else { continue };
        check(key, value, most)?;
        metadata.insert(key.to_owned(), value.as_str().into());
    }
    if request.tags.len() > TAGS_MAX {
        return Err(Error::invalid("INVALID_INPUT", format!("there are {} tags", request.tags.len()))
            .hint(format!("give at most {TAGS_MAX}")));
    }
    request.tags.iter().try_for_each(|it| check("a tag", it, WORD_CHARS_MAX))?;
    if !request.tags.is_empty() {
        metadata.insert("tags".to_owned(), request.tags.clone().into());
    }
    let diagram = json!({"version": "light", "metadata": metadata, "nodes": [{"label": "start", "type": "start"}], "connections": []});
    let diagram = parse(&diagram.to_string(), Some(Format::Light)).diagram;
    let diagram = diagram.ok_or_else(|| Error::internal("an empty diagram cannot be read"))?;
    Ok(write(&diagram, Format::Light, &known_fields))
}

fn check(what: &str, value: &str, most: usize) -> Result<(), Error> {
    let is_fine = value.chars().count() <= most && !value.chars().any(|it| it.is_control() && it != '\n');
    if is_fine {
        return Ok(());
    }
    Err(Error::invalid("INVALID_INPUT", format!("`{what}` is too long, or holds characters that no text has"))
        .hint(format!("write at most {most} characters")))
}
