//! How the function of a code node is called (diagrams.md 2.4): without arguments, with the map of
//! inputs, or by name.

use serde_json::{Map, Value};

use super::facts::{Parameter, Signature};
use crate::code::job::Job;

/// The call of a function with the values at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::code) enum Call {
    /// It takes nothing.
    Empty,
    /// It has one plain parameter, which gets the map of inputs.
    WithInputs,
    /// It gets these names, the first ones by position, and every input when it has `**`.
    ByName { positional: Vec<String>, named: Vec<String>, takes_all: bool },
    /// It requires a name nobody gives.
    Missing { name: String },
}

/// Decides how to call a function; `has` says which names there are.
pub(in crate::code) fn plan(signature: &Signature, has: impl Fn(&str) -> bool) -> Call {
    let n_plain = signature.positional_only.len() + signature.plain.len();
    if signature.keyword_only.is_empty() && !signature.takes_all {
        match n_plain {
            0 => return Call::Empty,
            1 => return Call::WithInputs,
            _ => {}
        }
    }
    let mut by_position = Vec::new();
    // Positional parameters are given up to the first one that has to take its default.
    let mut is_open = true;
    for parameter in &signature.positional_only {
        is_open = is_open && has(&parameter.name);
        if is_open {
            by_position.push(parameter.name.clone());
        } else if !parameter.has_default {
            return Call::Missing { name: parameter.name.clone() };
        }
    }
    let by_name: Vec<&Parameter> = signature.plain.iter().chain(&signature.keyword_only).collect();
    if let Some(missing) = by_name.iter().find(|it| !it.has_default && !has(&it.name)) {
        return Call::Missing { name: missing.name.clone() };
    }
    let named = by_name.iter().filter(|it| has(&it.name)).map(|it| it.name.clone()).collect();
    Call::ByName { positional: by_position, named, takes_all: signature.takes_all }
}

/// Whether a call by name would find `name`.
pub(in crate::code) fn has(job: &Job, name: &str) -> bool {
    matches!(name, "inputs" | "globals" | "node_id") || job.names.contains_key(name) || job.inputs.contains_key(name)
}

/// Says that the function requires `name`, and which inputs there are instead.
pub(in crate::code) fn missing_text(job: &Job, name: &str) -> String {
    let given: Vec<String> = job.inputs.keys().map(|it| format!("`{it}`")).collect();
    let given = match given.as_slice() {
        [] => "there are no inputs".to_owned(),
        list => format!("the inputs are {}", list.join(", ")),
    };
    format!("`{}` requires `{name}`; {given}", job.function_name)
}

/// Returns what `name` means as an argument: special names first, then names, then inputs.
pub(in crate::code) fn argument(job: &Job, name: &str) -> Value {
    match name {
        "inputs" => Value::Object(job.inputs.clone()),
        "globals" => Value::Object(job.globals.clone()),
        "node_id" => Value::String(job.node_id.clone()),
        _ => job.names.get(name).or_else(|| job.inputs.get(name)).cloned().unwrap_or_default(),
    }
}

/// Returns the arguments given by name: `named`, and with `takes_all` every input that has no
/// parameter of its own.
pub(in crate::code) fn named_arguments(
    job: &Job,
    positional: &[String],
    named: &[String],
    takes_all: bool,
) -> Map<String, Value> {
    let mut arguments: Map<String, Value> = named.iter().map(|it| (it.clone(), argument(job, it))).collect();
    if takes_all {
        for (name, value) in &job.inputs {
            if !positional.contains(name) && !arguments.contains_key(name) {
                arguments.insert(name.clone(), value.clone());
            }
        }
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(text: &str) -> Parameter {
        Parameter { name: text.trim_end_matches('=').into(), has_default: text.ends_with('=') }
    }

    fn list(text: &str) -> Vec<Parameter> {
        text.split_whitespace().map(parameter).collect()
    }

    fn strings(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_signature_decides_how_a_function_is_called() {
        let by_name = |positional: &str, named: &str, takes_all| Call::ByName {
            positional: strings(positional),
            named: strings(named),
            takes_all,
        };
        let cases = [
            ("", "", "", false, Call::Empty),
            ("", "data", "", false, Call::WithInputs),
            ("data=", "", "", false, Call::WithInputs),
            ("", "a b=", "", false, by_name("", "a", false)),
            ("", "", "a", false, by_name("", "a", false)),
            ("", "x=", "", true, by_name("", "", true)),
            ("", "", "", true, by_name("", "", true)),
            ("a", "c", "", false, by_name("a", "c", false)),
            ("x= a=", "c", "", false, by_name("", "c", false)),
            ("", "a x", "", false, Call::Missing { name: "x".into() }),
            ("x", "a", "", false, Call::Missing { name: "x".into() }),
        ];
        for (positional_only, plain, keyword_only, takes_all, expected) in cases {
            let signature = Signature {
                is_async: false,
                positional_only: list(positional_only),
                plain: list(plain),
                keyword_only: list(keyword_only),
                takes_all,
            };
            assert_eq!(plan(&signature, |name| matches!(name, "a" | "c")), expected, "{signature:?}");
        }
    }
}
