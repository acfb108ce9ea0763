//! Reads the text of a session: one JSON object per line. Tolerant: what is unknown is counted, what is no
//! JSON is a warning with its number.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::clock::Timestamp;

/// Most warnings that are kept; a file that is no session at all would have one for each line.
const WARNINGS_MAX: usize = 50;

/// A session as far as it was understood.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Session {
    /// The lines that were understood, in order.
    pub(super) lines: Vec<Line>,
    /// Lines that are not blank.
    pub(super) n_lines: usize,
    /// Lines by type, also those nobody knows.
    pub(super) by_type: BTreeMap<String, usize>,
    /// Parts of messages that nobody knows, by type.
    pub(super) unknown_parts: BTreeMap<String, usize>,
    pub(super) warnings: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaker {
    User,
    Assistant,
}

/// A line of the conversation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    /// In the file, from 1.
    pub(super) number: usize,
    pub(super) speaker: Speaker,
    pub(super) uuid: Option<String>,
    pub(super) parent: Option<String>,
    /// That of the line above when it has none.
    pub(super) at: Option<Timestamp>,
    /// What the program, not a person, put there.
    pub(super) is_meta: bool,
    pub(super) parts: Vec<Part>,
    /// What the program knows of a tool's result besides its text.
    pub(super) tool_result: Option<Value>,
    /// Folder the session worked in.
    pub(super) cwd: Option<String>,
    /// The message this line is part of, and what it used up.
    pub(super) message_id: Option<String>,
    pub(super) usage: Option<Usage>,
}

/// A piece of a message.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    Text(String),
    ToolUse { id: String, name: String, input: Value },
    ToolResult { tool_use_id: String, text: String, is_error: bool },
}

/// Tokens of one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    pub input: u64,
    pub output: u64,
    pub cache_read: u64,
    pub cache_creation: u64,
}

/// What became of a tool call.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Outcome<'s> {
    pub(super) text: &'s str,
    pub(super) is_error: bool,
    pub(super) details: Option<&'s Value>,
}

impl Session {
    /// Reads a session. Never fails: the worst text has no lines and a warning for each.
    pub(super) fn parse(text: &str) -> Self {
        let mut session = Self::default();
        let mut last_at = None;
        for (idx, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            session.n_lines += 1;
            let number = idx + 1;
            match serde_json::from_str::<Value>(line) {
                Ok(Value::Object(object)) => session.line(number, &Value::Object(object), &mut last_at),
                Ok(_) => session.warn(format!("line {number} is no JSON object")),
                Err(_) => session.warn(format!("line {number} is not JSON")),
            }
        }
        session
    }

    fn warn(&mut self, warning: String) {
        match self.warnings.len() {
            n if n < WARNINGS_MAX => self.warnings.push(warning),
            WARNINGS_MAX => self.warnings.push("and more lines that are not JSON".to_owned()),
            _ => {}
        }
    }

    fn line(&mut self, number: usize, object: &Value, last_at: &mut Option<Timestamp>) {
        let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
        let kind = text("type").unwrap_or_else(|| "(none)".to_owned());
        *self.by_type.entry(kind.clone()).or_default() += 1;
        let at = text("timestamp").and_then(|it| Timestamp::parse(&it)).or(*last_at);
        *last_at = at;
        let speaker = match kind.as_str() {
            "user" => Speaker::User,
            "assistant" => Speaker::Assistant,
            _ => return,
        };
        // What a sub-agent says and hears; its task is a call of the main conversation.
        if object.get("isSidechain") == Some(&Value::Bool(true)) {
            return;
        }
        let message = object.get("message");
        let content = message.and_then(|it| it.get("content"));
        let parts = self.parts(content);
        self.lines.push(Line {
            number,
            speaker,
            uuid: text("uuid"),
            parent: text("parentUuid"),
            at,
            is_meta: object.get("isMeta") == Some(&Value::Bool(true)),
            parts,
            tool_result: object.get("toolUseResult").cloned(),
            cwd: text("cwd"),
            message_id: message.and_then(|it| it.get("id")).and_then(Value::as_str).map(str::to_owned),
            usage: message.and_then(|it| it.get("usage")).map(usage),
        });
    }

    fn parts(&mut self, content: Option<&Value>) -> Vec<Part> {
        match content {
            Some(Value::String(text)) => vec![Part::Text(text.clone())],
            Some(Value::Array(items)) => items.iter().filter_map(|it| self.part(it)).collect(),
            _ => Vec::new(),
        }
    }

    fn part(&mut self, part: &Value) -> Option<Part> {
        let text = |key: &str| part.get(key).and_then(Value::as_str).map(str::to_owned);
        let kind = text("type").unwrap_or_else(|| "(none)".to_owned());
        let known = match kind.as_str() {
            "text" => text("text").map(Part::Text),
            "tool_use" => text("name").map(|name| Part::ToolUse {
                id: text("id").unwrap_or_default(),
                name,
                input: part.get("input").cloned().unwrap_or_default(),
            }),
            "tool_result" => Some(Part::ToolResult {
                tool_use_id: text("tool_use_id").unwrap_or_default(),
                text: content_text(part.get("content")),
                is_error: part.get("is_error") == Some(&Value::Bool(true)),
            }),
            _ => None,
        };
        if known.is_none() {
            *self.unknown_parts.entry(kind).or_default() += 1;
        }
        known
    }

    /// Returns what became of the call `id` on `line`: joined by its id, else by the line it answers.
    pub(super) fn outcome<'s>(&'s self, line: &Line, id: &str) -> Option<Outcome<'s>> {
        let results = |of: &'s Line| {
            of.parts.iter().filter_map(|it| match it {
                Part::ToolResult { tool_use_id, text, is_error } => Some((tool_use_id, text, *is_error)),
                Part::Text(_) | Part::ToolUse { .. } => None,
            })
        };
        let behind = self.lines.iter().filter(|it| it.number > line.number && it.speaker == Speaker::User);
        for answer in behind.clone() {
            if let Some((_, text, is_error)) = results(answer).find(|(of, ..)| !id.is_empty() && *of == id) {
                // What the program knows is told of the only result of a line.
                let details = answer.tool_result.as_ref().filter(|_| results(answer).count() == 1);
                return Some(Outcome { text, is_error, details });
            }
        }
        let uuid = line.uuid.as_ref()?;
        let answer = behind.clone().find(|it| it.parent.as_ref() == Some(uuid) && it.tool_result.is_some())?;
        let named = results(answer).next();
        if named.as_ref().is_some_and(|(of, ..)| !of.is_empty()) {
            return None;
        }
        let (text, is_error) = named.map_or(("", false), |(_, text, is_error)| (text.as_str(), is_error));
        Some(Outcome { text, is_error, details: answer.tool_result.as_ref() })
    }

    /// The text a person wrote on `line`, if one did.
    pub(super) fn user_text(line: &Line) -> Option<String> {
        if line.speaker != Speaker::User || line.is_meta {
            return None;
        }
        text_of(line)
    }

    /// Tokens in all. The lines of one message repeat what the whole of it used.
    pub(super) fn usage(&self) -> Usage {
        let mut by_message: BTreeMap<String, Usage> = BTreeMap::new();
        for line in &self.lines {
            if let Some(usage) = line.usage {
                let id = line.message_id.clone().unwrap_or_else(|| format!("line {}", line.number));
                by_message.insert(id, usage);
            }
        }
        by_message.values().fold(Usage::default(), |sum, it| Usage {
            input: sum.input.saturating_add(it.input),
            output: sum.output.saturating_add(it.output),
            cache_read: sum.cache_read.saturating_add(it.cache_read),
            cache_creation: sum.cache_creation.saturating_add(it.cache_creation),
        })
    }
}

/// The texts of a line, if there is more than blanks.
pub(super) fn text_of(line: &Line) -> Option<String> {
    let texts: Vec<&str> = line
        .parts
        .iter()
        .filter_map(|it| match it {
            Part::Text(text) => Some(text.trim()),
            Part::ToolUse { .. } | Part::ToolResult { .. } => None,
        })
        .filter(|it| !it.is_empty())
        .collect();
    (!texts.is_empty()).then(|| texts.join("\n\n"))
}

/// The text of a result: as it is, or the texts of its parts.
fn content_text(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => {
            let texts: Vec<&str> = items.iter().filter_map(|it| it.get("text")?.as_str()).collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}

fn usage(value: &Value) -> Usage {
    let number = |key: &str| value.get(key).and_then(Value::as_u64).unwrap_or(0);
    Usage {
        input: number("input_tokens"),
        output: number("output_tokens"),
        cache_read: number("cache_read_input_tokens"),
        cache_creation: number("cache_creation_input_tokens"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn session(lines: &[Value]) -> Session {
        Session::parse(&lines.iter().map(|it| format!("{it}\n")).collect::<String>())
    }

    #[test]
    fn what_is_unknown_is_counted_and_what_is_no_json_is_a_warning() {
        let text = concat!(
            "{\"type\":\"summary\",\"summary\":\"s\"}\n",
            "not json\n\n[1]\n",
            "{\"type\":\"user\",\"message\":{\"content\":[{\"type\":\"image\"},{\"type\":\"text\",\"text\":\"hi\"},{\"type\":\"tool_use\"}]}}\n",
            "{\"type\":\"file-history-snapshot\"}\n{\"a\":1}\n",
        );
        let session = Session::parse(text);
        assert_eq!(session.warnings, ["line 2 is not JSON", "line 4 is no JSON object"]);
        assert_eq!((session.n_lines, session.lines.len(), session.lines[0].number), (6, 1, 5));
        assert_eq!(json!(session.by_type), json!({"(none)": 1, "file-history-snapshot": 1, "summary": 1, "user": 1}));
        assert_eq!(json!(session.unknown_parts), json!({"image": 1, "tool_use": 1}));
        assert_eq!(Session::user_text(&session.lines[0]).as_deref(), Some("hi"));
    }

    #[test]
    fn a_line_without_time_has_that_of_the_line_above() {
        let session = session(&[
            json!({"type": "summary", "timestamp": "2026-01-02T03:04:05.678Z"}),
            json!({"type": "user", "message": {"content": "a"}}),
            json!({"type": "assistant", "timestamp": "no time", "message": {"content": []}}),
        ]);
        assert!(session.lines.iter().all(|it| it.at == Timestamp::parse("2026-01-02T03:04:05.678Z")));
    }

    #[test]
    fn results_are_joined_by_id_else_by_the_line_they_answer() {
        let call = |id: &str, uuid: &str| json!({"type": "assistant", "uuid": uuid, "message": {"content": [{"type": "tool_use", "id": id, "name": "Read", "input": {}}]}});
        let result = |of: &str, text: &str, parent: &str| json!({"type": "user", "parentUuid": parent, "toolUseResult": {"n": text}, "message": {"content": [{"type": "tool_result", "tool_use_id": of, "content": text, "is_error": text == "bad"}]}});
        let session = session(&[
            call("t1", "u1"),
            call("t2", "u2"),
            call("", "u3"),
            call("t4", "u4"),
            result("t2", "bad", "u1"),
            result("t1", "one", "u9"),
            result("", "three", "u3"),
            result("t9", "nine", "u4"),
        ]);
        let outcome = |at: usize, id| {
            session.outcome(&session.lines[at], id).map(|it| (it.text, it.is_error, it.details.cloned()))
        };
        assert_eq!(outcome(0, "t1"), Some(("one", false, Some(json!({"n": "one"})))));
        assert_eq!(outcome(1, "t2"), Some(("bad", true, Some(json!({"n": "bad"})))));
        assert_eq!(outcome(2, ""), Some(("three", false, Some(json!({"n": "three"})))));
        assert_eq!(outcome(3, "t4"), None);
    }

    #[test]
    fn lines_of_one_message_are_paid_for_once() {
        let line = |id: &str, output: u64| json!({"type": "assistant", "message": {"id": id, "content": [], "usage": {"input_tokens": 3, "output_tokens": output, "cache_read_input_tokens": 5}}});
        let session = session(&[line("m1", 1), line("m1", 7), line("m2", 2)]);
        assert_eq!(session.usage(), Usage { input: 6, output: 9, cache_read: 10, cache_creation: 0 });
    }

    #[test]
    fn a_sub_agents_lines_are_not_the_conversation() {
        let session = session(&[json!({"type": "user", "isSidechain": true, "message": {"content": "do"}})]);
        assert_eq!((session.lines.len(), session.by_type["user"]), (0, 1));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "(\\{|\\}|\\[|\\]|\"type\":|\"user\"|\"message\":|\"content\":|,|\n|x){0,40}") {
            let session = Session::parse(&text);
            prop_assert!(session.lines.len() <= session.n_lines);
        }
    }
}
