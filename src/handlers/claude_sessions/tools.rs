//! Which node a tool call becomes, by the name of the tool (surface.md 8). Pure.

use serde_json::{Map, Value, json};

use super::edits;
use super::session::Outcome;
use crate::diagram::NodeKind;

/// Longest time of a command that names none, in seconds.
const BASH_TIMEOUT_S: u64 = 120;
/// Files that are no text.
const BINARY_SUFFIXES: [&str; 9] = [".png", ".jpg", ".jpeg", ".gif", ".webp", ".ico", ".pdf", ".zip", ".ipynb"];
/// File types of Grep whose suffix is another word.
const TYPE_SUFFIXES: [(&str, &str); 4] = [("rust", "rs"), ("markdown", "md"), ("python", "py"), ("ruby", "rb")];

/// What a call becomes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) kind: NodeKind,
    pub(super) data: Map<String, Value>,
    /// A sub-agent: the person that answers.
    pub(super) person: Option<String>,
    /// The file it reads or writes, relative to the workspace.
    pub(super) path: Option<String>,
    /// Something about the node a reader should know.
    pub(super) remark: Option<String>,
}

/// Where a session worked: absolute paths below one of these folders are the workspace's own.
pub(super) struct Places<'s> {
    pub(super) roots: Vec<&'s str>,
    pub(super) session_id: &'s str,
}

impl Step {
    fn new(kind: NodeKind, data: Value) -> Self {
        let data = match data {
            Value::Object(data) => data,
            _ => Map::new(),
        };
        Self { kind, data, person: None, path: None, remark: None }
    }

    fn on(self, path: String) -> Self {
        Self { path: Some(path), ..self }
    }
}

/// Returns the node of a call.
///
/// # Errors
///
/// Why it has none.
pub(super) fn step(name: &str, input: &Value, outcome: &Outcome<'_>, places: &Places<'_>) -> Result<Step, String> {
    match name {
        "Read" => read(input, outcome, places),
        "Write" => write(input, outcome, places),
        "Edit" | "MultiEdit" => edit(input, outcome, places),
        "Bash" => bash(input),
        "Grep" => shell(grep(input, places)?),
        "Glob" => shell(glob(input, places)?),
        "TodoWrite" => {
            let todos = input.get("todos").cloned().ok_or("it has no list")?;
            let path = format!("files/todos/{}.json", places.session_id);
            let data = json!({"operation": "write", "file": path, "content": todos});
            Ok(Step::new(NodeKind::Db, data))
        }
        "WebFetch" => {
            let url = text(input, "url").ok_or("it has no address")?;
            Ok(Step::new(NodeKind::ApiJob, json!({"url": escaped(url), "method": "GET"})))
        }
        "Task" | "Agent" => {
            let prompt = text(input, "prompt").ok_or("it has no prompt")?;
            let person = text(input, "subagent_type").filter(|it| !it.trim().is_empty()).unwrap_or("agent").trim();
            let data = json!({"person": person, "default_prompt": escaped(prompt), "max_iteration": 1});
            Ok(Step { person: Some(person.to_owned()), ..Step::new(NodeKind::PersonJob, data) })
        }
        other => match other.strip_prefix("mcp__").and_then(|it| it.split_once("__")) {
            Some((server, tool)) => {
                let data = json!({"server": server, "tool": tool, "arguments": escaped_in(input)});
                Ok(Step::new(NodeKind::McpTool, data))
            }
            None => Err("no node does what this tool does".to_owned()),
        },
    }
}

fn read(input: &Value, outcome: &Outcome<'_>, places: &Places<'_>) -> Result<Step, String> {
    not_failed(outcome)?;
    let path = path(input, "file_path", places)?;
    if BINARY_SUFFIXES.iter().any(|it| path.to_ascii_lowercase().ends_with(it)) {
        return Err("the file is no text".to_owned());
    }
    let mut data = json!({"operation": "read", "file": path, "format": "text", "glob": false});
    let number = |key: &str| input.get(key).and_then(Value::as_u64);
    let lines = match (number("offset"), number("limit")) {
        (None, None) => None,
        (Some(offset), None) => Some(format!("{}:", offset.saturating_add(1))),
        (offset, Some(limit)) => {
            let offset = offset.unwrap_or(0);
            Some(format!("{}:{}", offset.saturating_add(1), offset.saturating_add(limit.max(1))))
        }
    };
    if let Some(lines) = lines {
        data["lines"] = lines.into();
    }
    Ok(Step::new(NodeKind::Db, data).on(path))
}

fn write(input: &Value, outcome: &Outcome<'_>, places: &Places<'_>) -> Result<Step, String> {
    not_failed(outcome)?;
    let path = path(input, "file_path", places)?;
    let content = text(input, "content").ok_or("it has no content")?;
    let data = json!({"operation": "write", "file": path, "format": "text", "content": content});
    Ok(Step::new(NodeKind::Db, data).on(path))
}

fn edit(input: &Value, outcome: &Outcome<'_>, places: &Places<'_>) -> Result<Step, String> {
    not_failed(outcome)?;
    let path = path(input, "file_path", places)?;
    let edit = edits::diff(&path, input, outcome.details)?;
    let is_new = edit.diff.contains("\n@@ -0,0 ");
    let mut data = json!({"target_path": path, "diff": escaped(&edit.diff)});
    let mut remark = None;
    if !edit.is_placed {
        // Anywhere in the file, as far as a hunk is looked for; several of them stand in no order.
        data["fuzz_factor"] = 1_000.into();
        data["validate_patch"] = false.into();
        remark = Some(format!("the session does not say where in `{path}` the edit was"));
    }
    if is_new {
        data["create_missing"] = true.into();
    }
    Ok(Step { remark, ..Step::new(NodeKind::DiffPatch, data).on(path) })
}

fn bash(input: &Value) -> Result<Step, String> {
    let command = text(input, "command").filter(|it| !it.trim().is_empty()).ok_or("it has no command")?;
    if input.get("run_in_background") == Some(&Value::Bool(true)) {
        return Err("it runs in the background".to_owned());
    }
    let timeout_ms = input.get("timeout").and_then(Value::as_f64).filter(|it| *it > 0.0);
    let timeout_s = timeout_ms.map_or(BASH_TIMEOUT_S, |it| (it / 1_000.0).ceil().max(1.0) as u64);
    Ok(Step::new(NodeKind::CodeJob, json!({"language": "bash", "code": command, "timeout": timeout_s})))
}

fn shell(code: String) -> Result<Step, String> {
    Ok(Step::new(NodeKind::CodeJob, json!({"language": "bash", "code": code, "timeout": BASH_TIMEOUT_S})))
}

/// `grep` with the arguments of the call; finding nothing is no failure.
fn grep(input: &Value, places: &Places<'_>) -> Result<String, String> {
    let pattern = text(input, "pattern").ok_or("it has no pattern")?;
    let mut words = vec!["grep".to_owned(), "-rE".to_owned()];
    let is_set = |key: &str| input.get(key) == Some(&Value::Bool(true));
    match text(input, "output_mode").unwrap_or("files_with_matches") {
        "content" => {
            if is_set("-n") {
                words.push("-n".to_owned());
            }
            for key in ["-A", "-B", "-C"] {
                if let Some(n) = input.get(key).and_then(Value::as_u64) {
                    words.extend([key.to_owned(), n.to_string()]);
                }
            }
        }
        "count" => words.push("-c".to_owned()),
        _ => words.push("-l".to_owned()),
    }
    if is_set("-i") {
        words.push("-i".to_owned());
    }
    if is_set("multiline") {
        return Err("it looks for a pattern over several lines".to_owned());
    }
    if let Some(glob) = text(input, "glob") {
        words.push(format!("--include={}", quoted(glob)));
    }
    if let Some(kind) = text(input, "type") {
        let suffix = TYPE_SUFFIXES.iter().find(|it| it.0 == kind).map_or(kind, |it| it.1);
        words.push(format!("--include={}", quoted(&format!("*.{suffix}"))));
    }
    let folder = folder(input, places)?;
    words.extend(["-e".to_owned(), quoted(pattern), "--".to_owned(), quoted(&folder)]);
    let command = format!("{} || [ $? -eq 1 ]", words.join(" "));
    Ok(match input.get("head_limit").and_then(Value::as_u64).filter(|it| *it > 0) {
        Some(n) => format!("{{ {command}; }} | head -n {n}"),
        None => command,
    })
}

/// The pattern is kept in a variable, where the shell only expands it as names of files.
fn glob(input: &Value, places: &Places<'_>) -> Result<String, String> {
    let pattern = text(input, "pattern").ok_or("it has no pattern")?;
    let pattern = if pattern.starts_with('/') { relative(pattern, places)? } else { pattern.to_owned() };
    let folder = folder(input, places)?;
    Ok(format!(
        "shopt -s globstar nullglob\ncd {} || exit 1\nIFS=\npattern={}\nprintf '%s\\n' $pattern",
        quoted(&folder),
        quoted(&pattern)
    ))
}

fn folder(input: &Value, places: &Places<'_>) -> Result<String, String> {
    match text(input, "path").filter(|it| !it.is_empty()) {
        Some(path) if places.roots.iter().any(|it| path.trim_end_matches('/') == *it) => Ok(".".to_owned()),
        Some(path) => relative(path, places),
        None => Ok(".".to_owned()),
    }
}

/// A word that a shell takes as it is.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn not_failed(outcome: &Outcome<'_>) -> Result<(), String> {
    if outcome.is_error { Err("its result was an error".to_owned()) } else { Ok(()) }
}

fn text<'v>(input: &'v Value, key: &str) -> Option<&'v str> {
    input.get(key).and_then(Value::as_str)
}

fn path(input: &Value, key: &str, places: &Places<'_>) -> Result<String, String> {
    relative(text(input, key).ok_or("it has no path")?, places)
}

/// A path relative to the folder the session worked in.
fn relative(path: &str, places: &Places<'_>) -> Result<String, String> {
    let below = |root: &&str| path.strip_prefix(*root).filter(|it| it.starts_with('/')).map(|it| it.trim_matches('/'));
    let inside = if path.starts_with('/') {
        places.roots.iter().find_map(below).ok_or_else(|| format!("`{path}` is outside the project"))?
    } else {
        path.trim_start_matches("./")
    };
    let is_plain = !inside.is_empty() && inside.split('/').all(|it| it != ".." && !it.is_empty());
    if !is_plain || inside.starts_with(".dipeo") || inside.contains(['\0', '\n']) {
        return Err(format!("`{path}` is outside the project"));
    }
    Ok(inside.to_owned())
}

/// A text in which a template finds nothing to replace.
pub(super) fn escaped(text: &str) -> String {
    text.replace("{{", "\\{{")
}

fn escaped_in(value: &Value) -> Value {
    match value {
        Value::String(text) => escaped(text).into(),
        Value::Array(items) => items.iter().map(escaped_in).collect(),
        Value::Object(map) => Value::Object(map.iter().map(|(key, it)| (key.clone(), escaped_in(it))).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: &[&str] = &["/work/app"];

    fn made(name: &str, input: Value) -> Result<Step, String> {
        let places = Places { roots: PLACES.to_vec(), session_id: "s1" };
        step(name, &input, &Outcome::default(), &places)
    }

    #[test]
    fn every_known_tool_becomes_its_node() {
        for (name, input, kind, data) in [
            (
                "Read",
                json!({"file_path": "/work/app/a.rs"}),
                NodeKind::Db,
                json!({"operation": "read", "file": "a.rs", "format": "text", "glob": false}),
            ),
            (
                "Read",
                json!({"file_path": "a.rs", "offset": 4, "limit": 3}),
                NodeKind::Db,
                json!({"operation": "read", "file": "a.rs", "format": "text", "glob": false, "lines": "5:7"}),
            ),
            (
                "Read",
                json!({"file_path": "a.rs", "offset": 4}),
                NodeKind::Db,
                json!({"operation": "read", "file": "a.rs", "format": "text", "glob": false, "lines": "5:"}),
            ),
            (
                "Write",
                json!({"file_path": "./b/c", "content": "{{x}}"}),
                NodeKind::Db,
                json!({"operation": "write", "file": "b/c", "format": "text", "content": "{{x}}"}),
            ),
            (
                "Edit",
                json!({"file_path": "c", "old_string": "a{{", "new_string": "b"}),
                NodeKind::DiffPatch,
                json!({"target_path": "c", "diff": "--- a/c\n+++ b/c\n@@ -1,1 +1,1 @@\n-a\\{{\n+b\n", "fuzz_factor": 1000, "validate_patch": false}),
            ),
            (
                "Bash",
                json!({"command": "ls", "timeout": 1500}),
                NodeKind::CodeJob,
                json!({"language": "bash", "code": "ls", "timeout": 2}),
            ),
            (
                "Bash",
                json!({"command": "ls"}),
                NodeKind::CodeJob,
                json!({"language": "bash", "code": "ls", "timeout": 120}),
            ),
            (
                "TodoWrite",
                json!({"todos": [{"content": "x"}]}),
                NodeKind::Db,
                json!({"operation": "write", "file": "files/todos/s1.json", "content": [{"content": "x"}]}),
            ),
            (
                "WebFetch",
                json!({"url": "https://example.org/{{a}}"}),
                NodeKind::ApiJob,
                json!({"url": "https://example.org/\\{{a}}", "method": "GET"}),
            ),
            (
                "Task",
                json!({"prompt": "look", "subagent_type": "scout"}),
                NodeKind::PersonJob,
                json!({"person": "scout", "default_prompt": "look", "max_iteration": 1}),
            ),
            (
                "mcp__git__log",
                json!({"q": ["{{"]}),
                NodeKind::McpTool,
                json!({"server": "git", "tool": "log", "arguments": {"q": ["\\{{"]}}),
            ),
        ] {
            let step = made(name, input.clone()).unwrap_or_else(|it| panic!("{name} {input}: {it}"));
            assert_eq!((step.kind, Value::Object(step.data)), (kind, data), "{name} {input}");
        }
    }

    #[test]
    fn searches_are_commands_whose_words_are_quoted() {
        for (name, input, code) in [
            ("Grep", json!({"pattern": "it's $(x)"}), "grep -rE -l -e 'it'\\''s $(x)' -- '.' || [ $? -eq 1 ]"),
            (
                "Grep",
                json!({"pattern": "-x", "path": "/work/app/src", "output_mode": "content", "-n": true, "-A": 2, "-i": true, "type": "rust", "head_limit": 5}),
                "{ grep -rE -n -A 2 -i --include='*.rs' -e '-x' -- 'src' || [ $? -eq 1 ]; } | head -n 5",
            ),
            (
                "Glob",
                json!({"pattern": "**/*.ts; rm x", "path": "/work/app/"}),
                "shopt -s globstar nullglob\ncd '.' || exit 1\nIFS=\npattern='**/*.ts; rm x'\nprintf '%s\\n' $pattern",
            ),
        ] {
            assert_eq!(made(name, input.clone()).map(|it| it.data["code"].clone()), Ok(json!(code)), "{input}");
        }
    }

    #[test]
    fn what_has_no_node_says_why() {
        for (name, input, reason) in [
            ("Read", json!({"file_path": "/etc/passwd"}), "outside the project"),
            ("Read", json!({"file_path": "/work/application/x"}), "outside the project"),
            ("Read", json!({"file_path": "../x"}), "outside the project"),
            ("Read", json!({"file_path": ".dipeo/state.db"}), "outside the project"),
            ("Read", json!({"file_path": "a.PNG"}), "no text"),
            ("Write", json!({"file_path": "a"}), "no content"),
            ("Bash", json!({"command": "serve", "run_in_background": true}), "background"),
            ("Grep", json!({"pattern": "x", "multiline": true}), "several lines"),
            ("WebSearch", json!({}), "no node"),
            ("mcp__odd", json!({}), "no node"),
        ] {
            let error = made(name, input.clone()).expect_err(name);
            assert!(error.contains(reason), "{name} {input}: {error}");
        }
        let failed = Outcome { is_error: true, ..Outcome::default() };
        let places = Places { roots: Vec::new(), session_id: "s" };
        for name in ["Read", "Write", "Edit", "MultiEdit"] {
            let error = step(name, &json!({"file_path": "x"}), &failed, &places).expect_err(name);
            assert_eq!(error, "its result was an error", "{name}");
        }
    }
}
