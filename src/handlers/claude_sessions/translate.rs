//! A session as a diagram (surface.md 8). Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::chain::Chain;
use super::session::{Line, Part, Session, Speaker, text_of};
use super::tools::{self, Places, escaped};
use crate::diagram::NodeKind;

/// The person that speaks for the assistant.
const PERSON: &str = "claude_code";

/// How a session is translated.
pub(super) struct Options<'s> {
    pub(super) session_id: &'s str,
    /// Persons answer what they answered in the session.
    pub(super) offline: bool,
    /// The root of the workspace.
    pub(super) root: &'s str,
    /// Whether this version runs a type of node.
    pub(super) runs: &'s dyn Fn(NodeKind) -> bool,
}

/// A diagram made of a session.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Translation {
    /// In the native format.
    pub(super) native: Value,
    pub(super) n_nodes: usize,
    pub(super) by_type: BTreeMap<String, usize>,
    pub(super) n_turns: usize,
    /// `{tool, reason, lines}` of what has no node.
    pub(super) skipped: Vec<Value>,
    pub(super) warnings: Vec<String>,
}

/// Translates a session.
///
/// # Errors
///
/// That nobody wrote anything in it.
pub(super) fn translate(session: &Session, options: &Options<'_>) -> Result<Translation, String> {
    let initial = session.lines.iter().find_map(Session::user_text);
    let initial = initial.ok_or_else(|| format!("session `{}` has no text of a user", options.session_id))?;
    let mut maker = Maker::new(session, options);
    maker.begin(&initial);
    for line in &session.lines {
        maker.line(line);
    }
    maker.end_turn();
    Ok(maker.finish())
}

struct Maker<'s> {
    session: &'s Session,
    options: &'s Options<'s>,
    chain: Chain,
    n_turns: usize,
    /// What the assistant has said since the last text of a user.
    reply: Vec<String>,
    /// Reads whose file has not been touched since: path and range.
    fresh: BTreeSet<(String, String)>,
    /// Lines by tool and reason.
    skipped: BTreeMap<(String, String), Vec<usize>>,
    warnings: Vec<String>,
}

impl<'s> Maker<'s> {
    fn new(session: &'s Session, options: &'s Options<'s>) -> Self {
        Self {
            session,
            options,
            chain: Chain::default(),
            n_turns: 0,
            reply: Vec::new(),
            fresh: BTreeSet::new(),
            skipped: BTreeMap::new(),
            warnings: session.warnings.clone(),
        }
    }

    fn begin(&mut self, initial: &str) {
        let custom = json!({"session_id": self.options.session_id, "initial_prompt": initial});
        self.chain.push(NodeKind::Start, "start", Map::from_iter([("custom_data".to_owned(), custom)]), false);
    }

    fn line(&mut self, line: &Line) {
        match line.speaker {
            Speaker::User => {
                if let Some(text) = Session::user_text(line) {
                    self.end_turn();
                    self.turn(&text);
                }
            }
            Speaker::Assistant => {
                if self.n_turns > 0 {
                    self.reply.extend(text_of(line));
                }
                for part in &line.parts {
                    if let Part::ToolUse { id, name, input } = part {
                        self.call(line, id, name, input);
                    }
                }
            }
        }
    }

    fn turn(&mut self, text: &str) {
        self.n_turns += 1;
        let data = json!({"person": PERSON, "default_prompt": escaped(text), "max_iteration": 1});
        self.push(NodeKind::PersonJob, &format!("Claude responds {}", self.n_turns), data, false);
    }

    /// What the assistant said until now is the reply of the turn that ends.
    fn end_turn(&mut self) {
        let reply = std::mem::take(&mut self.reply).join("\n\n");
        if self.n_turns > 0 {
            self.chain.person(PERSON, self.options.offline.then_some(reply));
        }
    }

    fn call(&mut self, line: &Line, id: &str, name: &str, input: &Value) {
        let outcome = self.session.outcome(line, id).unwrap_or_default();
        let places = Places {
            roots: [Some(self.options.root), line.cwd.as_deref()].into_iter().flatten().collect(),
            session_id: self.options.session_id,
        };
        let step = match tools::step(name, input, &outcome, &places) {
            Ok(step) if (self.options.runs)(step.kind) => step,
            Ok(step) => {
                let reason = format!("node type `{}` is not supported by this version", step.kind.name());
                return self.skip(line, name, reason);
            }
            Err(reason) => return self.skip(line, name, reason),
        };
        if let Err(reason) = self.note_file(name, step.path.as_deref(), &step.data) {
            return self.skip(line, name, reason);
        }
        if let Some(person) = &step.person {
            let reply = self.options.offline.then(|| outcome.text.to_owned());
            self.chain.person(person, reply);
        }
        self.warnings.extend(step.remark.map(|it| format!("line {}: {it}", line.number)));
        let label = format!("{name} {}", self.chain.len());
        self.push(step.kind, &label, Value::Object(step.data), outcome.is_error);
    }

    /// Keeps in mind which reads would see the same again.
    ///
    /// # Errors
    ///
    /// That this is such a read.
    fn note_file(&mut self, name: &str, path: Option<&str>, data: &Map<String, Value>) -> Result<(), String> {
        match (name, path) {
            ("Read", Some(path)) => {
                let lines = data.get("lines").and_then(Value::as_str).unwrap_or_default();
                if self.fresh.insert((path.to_owned(), lines.to_owned())) {
                    Ok(())
                } else {
                    Err("the same was read before, and nothing had changed it".to_owned())
                }
            }
            (_, Some(path)) => {
                self.fresh.retain(|it| it.0 != path);
                Ok(())
            }
            // Nobody knows what a command or another agent changes.
            ("Bash" | "Task" | "Agent", None) => {
                self.fresh.clear();
                Ok(())
            }
            (_, None) => Ok(()),
        }
    }

    fn push(&mut self, kind: NodeKind, label: &str, data: Value, may_fail: bool) {
        // Brackets in a label would name a handle.
        let label = label.replace('[', "(").replace(']', ")");
        if let Value::Object(data) = data {
            self.chain.push(kind, &label, data, may_fail);
        }
    }

    fn skip(&mut self, line: &Line, tool: &str, reason: String) {
        self.skipped.entry((tool.to_owned(), reason)).or_default().push(line.number);
    }

    fn finish(mut self) -> Translation {
        for (part, n) in &self.session.unknown_parts {
            self.warnings.push(format!("{n} parts of type `{part}` were left out"));
        }
        let skipped: Vec<Value> = self
            .skipped
            .iter()
            .map(|((tool, reason), lines)| {
                let lines = lines.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                json!({"tool": tool, "reason": reason, "lines": lines})
            })
            .collect();
        let metadata = json!({
            "name": format!("session {}", self.options.session_id),
            "description": "Made of a Claude Code session by `dipeo dipeocc convert`.",
            "conversion": {"session_id": self.options.session_id, "turns": self.n_turns, "skipped": skipped},
        });
        Translation {
            n_nodes: self.chain.len(),
            by_type: self.chain.counts().clone(),
            n_turns: self.n_turns,
            native: self.chain.into_native(metadata),
            skipped,
            warnings: self.warnings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(lines: &[Value], offline: bool) -> Result<Translation, String> {
        let text: String = lines.iter().map(|it| format!("{it}\n")).collect();
        let runs = |it: NodeKind| it != NodeKind::McpTool;
        let options = Options { session_id: "s1", offline, root: "/work", runs: &runs };
        translate(&Session::parse(&text), &options)
    }

    fn user(text: &str) -> Value {
        json!({"type": "user", "message": {"role": "user", "content": text}})
    }

    fn says(text: &str) -> Value {
        json!({"type": "assistant", "message": {"content": [{"type": "text", "text": text}]}})
    }

    fn calls(tools: &[(&str, Value)]) -> Value {
        let parts: Vec<Value> = tools
            .iter()
            .map(|(name, input)| json!({"type": "tool_use", "id": *name, "name": name, "input": input}))
            .collect();
        json!({"type": "assistant", "cwd": "/home/me/app", "message": {"content": parts}})
    }

    fn labels(translation: &Translation) -> Vec<&str> {
        let nodes = translation.native["nodes"].as_array().expect("a list");
        nodes.iter().map(|it| it["data"]["label"].as_str().expect("a label")).collect()
    }

    #[test]
    fn turns_and_calls_stand_in_their_order_with_the_recorded_replies() {
        let lines = [
            json!({"type": "summary", "summary": "old"}),
            json!({"type": "user", "isMeta": true, "message": {"content": "caveat"}}),
            user("first {{x}}"),
            says("one"),
            calls(&[("Read", json!({"file_path": "/home/me/app/a"})), ("Bash", json!({"command": "ls"}))]),
            says("two"),
            user("second"),
        ];
        let online = translated(&lines, false).expect("it has text");
        assert_eq!(labels(&online), ["start", "Claude responds 1", "Read 2", "Bash 3", "Claude responds 2"]);
        assert_eq!(
            online.native["nodes"][0]["data"]["custom_data"],
            json!({"session_id": "s1", "initial_prompt": "first {{x}}"})
        );
        assert_eq!(online.native["nodes"][1]["data"]["default_prompt"], json!("first \\{{x}}"));
        assert_eq!(
            online.native["persons"],
            json!({"claude_code": {"label": "claude_code", "service": "claude-code", "model": "claude-code"}})
        );
        let offline = translated(&lines, true).expect("it has text");
        assert_eq!(
            offline.native["persons"],
            json!({"claude_code": {"label": "claude_code", "service": "scripted", "replies": ["one\n\ntwo", ""]}})
        );
        assert_eq!(
            (offline.n_turns, json!(offline.by_type)),
            (2, json!({"code_job": 1, "db": 1, "person_job": 2, "start": 1}))
        );
    }

    #[test]
    fn a_read_is_not_repeated_until_something_may_have_changed_the_file() {
        let read = |path: &str| ("Read", json!({"file_path": path}));
        let lines = [
            user("go"),
            calls(&[read("a"), read("a"), read("b"), ("Write", json!({"file_path": "a", "content": ""}))]),
            calls(&[read("a"), read("b"), ("Bash", json!({"command": "x"})), read("b")]),
        ];
        let translation = translated(&lines, false).expect("it has text");
        assert_eq!(labels(&translation)[2..], ["Read 2", "Read 3", "Write 4", "Read 5", "Bash 6", "Read 7"]);
        let reason = "the same was read before, and nothing had changed it";
        assert_eq!(translation.skipped, [json!({"tool": "Read", "reason": reason, "lines": "2, 3"})]);
    }

    #[test]
    fn what_has_no_node_is_listed_once_for_each_reason() {
        let lines = [
            user("go"),
            calls(&[("WebSearch", json!({})), ("mcp__a__b", json!({})), ("WebSearch", json!({}))]),
            json!({"type": "user", "message": {"content": [{"type": "image"}]}}),
        ];
        let translation = translated(&lines, false).expect("it has text");
        assert_eq!(
            json!(translation.skipped),
            json!([
                {"tool": "WebSearch", "reason": "no node does what this tool does", "lines": "2, 2"},
                {"tool": "mcp__a__b", "reason": "node type `mcp_tool` is not supported by this version", "lines": "2"},
            ])
        );
        assert_eq!(translation.native["metadata"]["conversion"]["skipped"], json!(translation.skipped));
        assert_eq!(translation.warnings, ["1 parts of type `image` were left out"]);
    }

    #[test]
    fn a_chain_goes_on_behind_a_command_that_failed() {
        let result = json!({"type": "user", "message": {"content": [{"type": "tool_result", "tool_use_id": "Bash", "content": "no", "is_error": true}]}});
        let lines = [user("go"), calls(&[("Bash", json!({"command": "false"}))]), result, user("on")];
        let translation = translated(&lines, false).expect("it has text");
        let arrows = translation.native["arrows"].as_array().expect("a list");
        let ends: Vec<(&str, &str)> = arrows
            .iter()
            .map(|it| (it["source"].as_str().expect("text"), it["target"].as_str().expect("text")))
            .collect();
        assert_eq!(
            ends[2..],
            [("node_2_default_output", "node_3_default_input"), ("node_2_error_output", "node_3_default_input")]
        );
    }

    #[test]
    fn a_session_without_text_of_a_user_is_no_diagram() {
        for lines in
            [vec![], vec![says("alone")], vec![json!({"type": "user", "isMeta": true, "message": {"content": "x"}})]]
        {
            assert_eq!(translated(&lines, false), Err("session `s1` has no text of a user".to_owned()));
        }
    }

    #[test]
    fn nodes_stand_in_rows_of_eight() {
        let many: Vec<(&str, Value)> = (0..9).map(|_| ("Bash", json!({"command": "x"}))).collect();
        let translation = translated(&[user("go"), calls(&many)], false).expect("it has text");
        let positions: Vec<&Value> =
            translation.native["nodes"].as_array().expect("a list").iter().map(|it| &it["position"]).collect();
        assert_eq!((positions[7], positions[8]), (&json!({"x": 1750, "y": 0}), &json!({"x": 0, "y": 180})));
    }
}
