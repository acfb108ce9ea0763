//! The files of the runtime, in the order in which a script holds them, and how they are joined.

use std::collections::BTreeSet;

/// One file of the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Values,
    Template,
    Files,
    Schedule,
    Engine,
    Flow,
    Endpoint,
    Condition,
    Job,
    Code,
    Db,
    User,
    Http,
    Persons,
    Api,
    Jinja,
    Main,
}

/// What every script needs.
pub(super) const ALWAYS: [Part; 7] =
    [Part::Values, Part::Template, Part::Files, Part::Schedule, Part::Engine, Part::Flow, Part::Main];

impl Part {
    fn text(self) -> &'static str {
        match self {
            Self::Values => include_str!("runtime/values.py"),
            Self::Template => include_str!("runtime/template.py"),
            Self::Files => include_str!("runtime/files.py"),
            Self::Schedule => include_str!("runtime/schedule.py"),
            Self::Engine => include_str!("runtime/engine.py"),
            Self::Flow => include_str!("runtime/flow.py"),
            Self::Endpoint => include_str!("runtime/endpoint.py"),
            Self::Condition => include_str!("runtime/condition.py"),
            // What a piece of Python means is said once, for the host's interpreter and for scripts.
            Self::Job => include_str!("../code/host/job.py"),
            Self::Code => include_str!("runtime/code.py"),
            Self::Db => include_str!("runtime/db.py"),
            Self::User => include_str!("runtime/user.py"),
            Self::Http => include_str!("runtime/http.py"),
            Self::Persons => include_str!("runtime/persons.py"),
            Self::Api => include_str!("runtime/api.py"),
            Self::Jinja => include_str!("runtime/jinja.py"),
            Self::Main => include_str!("runtime/main.py"),
        }
    }
}

/// Returns the imports of `parts`, each once and sorted, and the rest of their texts.
pub(super) fn joined(parts: &BTreeSet<Part>) -> (String, String) {
    let mut imports = BTreeSet::new();
    let mut bodies = Vec::new();
    for part in parts {
        let is_head = |line: &&str| line.starts_with("import ") || line.starts_with('#') || line.is_empty();
        let text = part.text();
        let head: Vec<&str> = text.lines().take_while(is_head).collect();
        imports.extend(head.iter().filter(|it| it.starts_with("import ")).copied());
        let body: Vec<&str> = text.lines().skip(head.len()).collect();
        bodies.push(body.join("\n").trim_end().to_owned());
    }
    let imports: Vec<&str> = imports.into_iter().collect();
    (imports.join("\n"), bodies.join("\n\n\n") + "\n")
}
