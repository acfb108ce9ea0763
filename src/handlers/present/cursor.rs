//! Cursors: where a result that was cut goes on. They mean nothing to whoever passes them back, and everything
//! in them is checked, because anybody can write one.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::error::Error;
use crate::shown;

/// Longest cursor that is read, in bytes: a node id or output label with a number or two.
const CURSOR_BYTES_MAX: usize = 1_024;
/// Longest name in the description of a place, in characters.
const NAME_CHARS_MAX: usize = 60;

/// A place inside an execution and how much of it was shown: characters of a text, items of a list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    pub place: Place,
    pub from: u64,
}

/// Something long that is shown in pages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// An output of the execution, by label.
    Output(String),
    /// The output of a node, by id.
    NodeOutput(String),
    /// What a waiting node asks, by id.
    Prompt(String),
    /// The messages a waiting model is to be sent, by node id.
    Window(String),
    Error,
    Variables,
    /// The list of nodes.
    Nodes,
    /// The conversation, of one node (by id) or of all.
    Conversation(Option<String>),
    /// One message of it, by position.
    Message(Option<String>, u64),
    /// The log; `from` is the number of the last event shown.
    Events,
}

impl Place {
    /// Says in a few words what it is.
    pub fn what(&self) -> String {
        let named = |kind: &str, name: &str| format!("{kind} {}", shown::line(name, NAME_CHARS_MAX));
        match self {
            Self::Output(label) => named("output of", label),
            Self::NodeOutput(id) => named("output of node", id),
            Self::Prompt(id) => named("prompt of node", id),
            Self::Window(id) => named("messages for node", id),
            Self::Error => "error".to_owned(),
            Self::Variables => "variables".to_owned(),
            Self::Nodes => "nodes".to_owned(),
            Self::Conversation(_) => "messages of the conversation".to_owned(),
            Self::Message(_, position) => format!("message {} of the conversation", position + 1),
            Self::Events => "events".to_owned(),
        }
    }

    /// What stands behind the execution's URI where the whole can be read.
    pub fn path(&self) -> &'static str {
        match self {
            Self::Conversation(_) | Self::Message(..) => "/messages",
            Self::Events => "/transitions",
            Self::Output(_)
            | Self::NodeOutput(_)
            | Self::Prompt(_)
            | Self::Window(_)
            | Self::Error
            | Self::Variables
            | Self::Nodes => "",
        }
    }
}

impl Cursor {
    /// The text a client passes back.
    pub fn write(&self) -> String {
        let (kind, name, position) = match &self.place {
            Place::Output(label) => ("o", Some(label), None),
            Place::NodeOutput(id) => ("n", Some(id), None),
            Place::Prompt(id) => ("p", Some(id), None),
            Place::Window(id) => ("w", Some(id), None),
            Place::Error => ("x", None, None),
            Place::Variables => ("v", None, None),
            Place::Nodes => ("l", None, None),
            Place::Conversation(node) => ("c", node.as_ref(), None),
            Place::Message(node, position) => ("m", node.as_ref(), Some(*position)),
            Place::Events => ("e", None, None),
        };
        URL_SAFE_NO_PAD.encode(json!([kind, self.from, name, position]).to_string())
    }

    /// Reads what [`Cursor::write`] wrote.
    ///
    /// # Errors
    ///
    /// `INVALID_CURSOR`.
    pub fn read(text: &str) -> Result<Self, Error> {
        parse(text).ok_or_else(|| bad_cursor(text))
    }
}

fn parse(text: &str) -> Option<Cursor> {
    if text.len() > CURSOR_BYTES_MAX {
        return None;
    }
    let parts: Vec<Value> = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let [kind, from, name, position] = parts.as_slice() else { return None };
    let (from, position) = (from.as_u64()?, position.as_u64());
    let name = name.as_str().map(str::to_owned);
    let place = match (kind.as_str()?, name, position) {
        ("o", Some(label), None) => Place::Output(label),
        ("n", Some(id), None) => Place::NodeOutput(id),
        ("p", Some(id), None) => Place::Prompt(id),
        ("w", Some(id), None) => Place::Window(id),
        ("x", None, None) => Place::Error,
        ("v", None, None) => Place::Variables,
        ("l", None, None) => Place::Nodes,
        ("c", node, None) => Place::Conversation(node),
        ("m", node, Some(position)) => Place::Message(node, position),
        ("e", None, None) => Place::Events,
        _ => return None,
    };
    Some(Cursor { place, from })
}

/// The error for a cursor that leads nowhere in this execution.
pub fn bad_cursor(text: &str) -> Error {
    Error::invalid("INVALID_CURSOR", format!("`{}` is not a cursor of this execution", shown::line(text, 80)))
        .hint("pass a `cursor` from `omitted` of the same execution, or leave it out to start from the beginning")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_read_back_as_it_was_written() {
        for place in [
            Place::Output("save \"all\" é".into()),
            Place::NodeOutput("node_1".into()),
            Place::Prompt("node_1".into()),
            Place::Window("node_1".into()),
            Place::Error,
            Place::Variables,
            Place::Nodes,
            Place::Conversation(None),
            Place::Conversation(Some("node_2".into())),
            Place::Message(None, 3),
            Place::Message(Some("node_2".into()), 0),
            Place::Events,
        ] {
            let cursor = Cursor { place, from: 20_000 };
            let written = cursor.write();
            assert!(written.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-' || it == b'_'), "{written}");
            assert_eq!(Cursor::read(&written).expect(&written), cursor);
        }
    }

    #[test]
    fn whatever_else_comes_is_refused_with_a_way_on() {
        let forged = |parts: Value| URL_SAFE_NO_PAD.encode(parts.to_string());
        for bad in [
            String::new(),
            "zz".into(),
            "é".into(),
            forged(json!({})),
            forged(json!(["o", 1])),
            forged(json!(["o", -1, "x", null])),
            forged(json!(["o", 1.5, "x", null])),
            forged(json!(["o", 1, null, null])),
            forged(json!(["z", 1, null, null])),
            forged(json!(["e", 1, "x", null])),
            "A".repeat(5_000),
        ] {
            let error = Cursor::read(&bad).expect_err(&bad);
            assert_eq!(error.code(), "INVALID_CURSOR");
            assert!(error.message().chars().count() < 150 && error.hint_text().is_some());
        }
    }
}
