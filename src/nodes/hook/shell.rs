//! A hook that runs a program. Values of templates never become part of the script: each one is a variable
//! of its environment, and the script names the variable, quoted as the place where it stands asks for.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{TIMEOUT_S, refuse_secrets, require_host};
use crate::error::Error;
use crate::nodes::api_job::read_map;
use crate::nodes::content::as_text;
use crate::nodes::paths::PathField;
use crate::nodes::ports::commands::{CommandJob, CommandResult, Program};
use crate::nodes::secrets::SecretJson;
use crate::nodes::template::{Insert, JsonTemplate, Template, render, render_marked};
use crate::nodes::{Fields, NodeContext, Output};

/// Begins the name of each variable that holds the value of a template.
const VALUE_PREFIX: &str = "DIPEO_VALUE_";
/// The same in each attempt of one execution of a node, as the header of the same name is for web addresses.
const IDEMPOTENCY_KEY: &str = "DIPEO_IDEMPOTENCY_KEY";
/// The number of the attempt, from 1.
const ATTEMPT: &str = "DIPEO_ATTEMPT";
/// Characters of a program's error stream that a failure shows.
const STDERR_CHARS_MAX: usize = 2_000;

pub(super) struct Shell {
    command: Option<Template>,
    /// How a failure names it: the beginning of what the author wrote.
    shown: String,
    /// Present: no shell.
    args: Option<JsonTemplate>,
    cwd: Option<PathField>,
    env: Option<SecretJson>,
}

pub(super) fn read(fields: &mut Fields<'_>) -> Shell {
    let text = fields.text_not_blank("command");
    if text.is_none() && fields.tree("command").is_none_or(|it| it.as_text().is_some()) {
        fields.missing("command");
    }
    let text = text.unwrap_or_default();
    refuse_secrets(fields, "command", &text);
    require_host(fields, "command", "a shell command");
    Shell {
        command: fields.template("command", &text),
        shown: text.trim().lines().next().unwrap_or_default().chars().take(60).collect(),
        args: read_args(fields),
        cwd: PathField::read(fields, "cwd"),
        env: read_map(fields, "env"),
    }
}

fn read_args(fields: &mut Fields<'_>) -> Option<JsonTemplate> {
    let tree = fields.tree("args")?;
    let value = tree.to_json();
    let Value::Array(items) = &value else {
        fields.problem("E402", "args", "`args` must be a list", "write `args: [one, two]`");
        return None;
    };
    for text in items.iter().filter_map(Value::as_str) {
        refuse_secrets(fields, "args", text);
    }
    JsonTemplate::parse(&value)
        .map_err(|problem| {
            fields.problem("E602", "args", format!("template does not parse: {}", problem.message), problem.hint);
        })
        .ok()
}

impl Shell {
    pub(super) async fn run(&self, cx: &NodeContext) -> Result<Output, Error> {
        cx.rights.require_host_code("a shell command")?;
        let mut environment = inputs(cx);
        let command = self.command.as_ref().ok_or_else(|| Error::internal("a shell hook without a command"))?;
        let program = match &self.args {
            Some(args) => {
                let mut argv = vec![render(cx, command, &Map::new())?.trim().to_owned()];
                let args = args.render(cx, &Map::new())?;
                argv.extend(args.as_array().into_iter().flatten().map(as_text));
                Program::Argv(argv)
            }
            None => {
                let (text, inserts) = render_marked(cx, command, &Map::new())?;
                Program::Shell(script(&text, &inserts, &mut environment))
            }
        };
        environment.extend(identity(cx));
        if let Some(env) = &self.env {
            // What the author names wins over what we add.
            let env = env.render(cx, &Map::new())?;
            environment.extend(env.as_object().into_iter().flatten().map(|(name, it)| (name.clone(), as_text(it))));
        }
        check_names(&environment)?;
        let job = CommandJob {
            program,
            folder: self.cwd.as_ref().map(|it| it.render(cx)).transpose()?,
            environment,
            stdin: None,
            timeout: cx.timeout.unwrap_or(Duration::from_secs_f64(TIMEOUT_S)),
        };
        let result = cx.ports.commands.run(job).await?;
        self.output(cx, &result)
    }

    fn output(&self, cx: &NodeContext, result: &CommandResult) -> Result<Output, Error> {
        let text = String::from_utf8_lossy(&result.stdout);
        let text = text.trim();
        if result.status != Some(0) {
            return Err(self.failed(result));
        }
        if !result.stderr.trim().is_empty() {
            cx.notes.log("info", result.stderr.clone());
        }
        Ok(Output::value(serde_json::from_str(text).unwrap_or_else(|_| text.into())))
    }

    fn failed(&self, result: &CommandResult) -> Error {
        let how = match result.status {
            Some(status) => format!("ended with status {status}"),
            None => "was ended by a signal".to_owned(),
        };
        let last = result.stderr.lines().rev().find(|it| !it.trim().is_empty()).unwrap_or_default().trim();
        let last: String = last.chars().take(200).collect();
        let said = if last.is_empty() { String::new() } else { format!(": {last}") };
        let stderr: String = result.stderr.chars().take(STDERR_CHARS_MAX).collect();
        Error::external("HOOK_FAILED", format!("`{}` {how}{said}", self.shown))
            .hint("try the command in the workspace's folder; its error stream is in the details")
            .details(serde_json::json!({"status": result.status, "stderr": stderr}))
    }
}

/// The inputs as `DIPEO_INPUT_<NAME>`, each as JSON.
fn inputs(cx: &NodeContext) -> BTreeMap<String, String> {
    let name = |key: &str| -> String {
        let plain = key.chars().map(|it| if it.is_ascii_alphanumeric() { it.to_ascii_uppercase() } else { '_' });
        format!("DIPEO_INPUT_{}", plain.collect::<String>())
    };
    cx.names.inputs.iter().map(|(key, value)| (name(key), value.to_string())).collect()
}

/// By what the program can tell a repetition after a crash.
fn identity(cx: &NodeContext) -> [(String, String); 2] {
    let key = format!("{}:{}:{}", cx.execution_id, cx.node_id, cx.iteration);
    [(IDEMPOTENCY_KEY.to_owned(), key), (ATTEMPT.to_owned(), cx.attempt.to_string())]
}

fn check_names(environment: &BTreeMap<String, String>) -> Result<(), Error> {
    for (name, value) in environment {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            let shown: String = name.escape_debug().take(60).collect();
            return Err(Error::external("HOOK_FAILED", format!("`{shown}` cannot be a variable of the environment"))
                .hint("names have no `=`, and neither name nor value has a zero byte"));
        }
    }
    Ok(())
}

/// How the text of a script is quoted at some place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quote {
    None,
    Single,
    Double,
}

/// Puts a variable where each value stands in `text` and the value into `environment`. A variable that the
/// shell expands is never read as a part of the script, wherever it stands.
fn script(text: &str, inserts: &[Insert], environment: &mut BTreeMap<String, String>) -> String {
    let (mut script, mut done, mut quote) = (String::with_capacity(text.len()), 0, Quote::None);
    for insert in inserts {
        let Insert::Value(range) = insert else { continue };
        let literal = &text[done..range.start];
        quote = after(quote, literal);
        script.push_str(literal);
        let name = format!("{VALUE_PREFIX}{}", environment.len());
        script.push_str(&match quote {
            Quote::None => format!("\"${{{name}}}\""),
            Quote::Double => format!("${{{name}}}"),
            Quote::Single => format!("'\"${{{name}}}\"'"),
        });
        environment.insert(name, text[range.clone()].to_owned());
        done = range.end;
    }
    script.push_str(&text[done..]);
    script
}

/// How a script is quoted after `literal`. A mistake here costs looks, not safety.
fn after(mut quote: Quote, literal: &str) -> Quote {
    let mut chars = literal.chars().peekable();
    let mut begins_word = true;
    while let Some(it) = chars.next() {
        match (quote, it) {
            (Quote::None, '\'') => quote = Quote::Single,
            (Quote::None, '"') => quote = Quote::Double,
            (Quote::Single, '\'') | (Quote::Double, '"') => quote = Quote::None,
            (Quote::None | Quote::Double, '\\') => {
                chars.next();
            }
            (Quote::None, '#') if begins_word => while chars.next_if(|it| *it != '\n').is_some() {},
            _ => {}
        }
        begins_word = it.is_whitespace() || matches!(it, ';' | '&' | '|' | '(');
    }
    quote
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_becomes_a_variable_quoted_as_its_place_asks_for() {
        for (text, expected) in [
            ("echo @", "echo \"${DIPEO_VALUE_0}\""),
            ("echo a@b", "echo a\"${DIPEO_VALUE_0}\"b"),
            ("echo \"say @\" @", "echo \"say ${DIPEO_VALUE_0}\" \"${DIPEO_VALUE_1}\""),
            ("echo '@' x", "echo ''\"${DIPEO_VALUE_0}\"'' x"),
            ("echo it\\'s @", "echo it\\'s \"${DIPEO_VALUE_0}\""),
            ("echo \"\\\"@\"", "echo \"\\\"${DIPEO_VALUE_0}\""),
            ("# don't\necho @", "# don't\necho \"${DIPEO_VALUE_0}\""),
            ("echo a#'@'", "echo a#''\"${DIPEO_VALUE_0}\"''"),
        ] {
            let inserts: Vec<_> = text.match_indices('@').map(|(at, _)| Insert::Value(at..at + 1)).collect();
            let mut environment = BTreeMap::new();
            assert_eq!(script(text, &inserts, &mut environment), expected, "{text}");
            assert!(environment.values().all(|it| it == "@"), "{text}");
        }
    }
}
