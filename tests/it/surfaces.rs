//! Which use case is reached from where: a page of the guide, made from the source, in which every gap has a reason.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The surfaces, and the files that make each.
const SURFACES: [(&str, &[&str]); 4] = [
    ("MCP", &["src/mcp"]),
    ("REST", &["src/http/rest", "src/http/events", "src/http/plain.rs", "src/http/metrics.rs"]),
    ("GraphQL", &["src/http/graphql"]),
    ("CLI", &["src/cli", "src/main.rs"]),
];

/// Why use cases are not on a surface. A name that ends with `/` stands for all of that folder.
struct Reason {
    not_on: &'static [&'static str],
    why: &'static str,
    of: &'static [&'static str],
}

const REASONS: &[Reason] = &[
    Reason {
        not_on: &["MCP"],
        why: "An assistant reads this as a resource (`fetch`, `dipeo://…`) or finds it with `search`.",
        of: &[
            "list_diagrams",
            "read_diagram",
            "list_executions",
            "execution_messages",
            "execution_logs",
            "execution_logs::execution_transitions",
            "execution_metrics",
            "about/supported_formats",
            "diagram_revisions::list",
        ],
    },
    Reason {
        not_on: &["MCP"],
        why: "The list of tools stays under 6 KB; `dipeo_run` keeps a diagram with `push_as`, `compile_diagram` checks.",
        of: &[
            "about/execution_capabilities",
            "about/health_check",
            "about/system_info",
            "api_keys/",
            "create_diagram",
            "delete_diagram",
            "delete_execution",
            "diagram_revisions::label",
            "diagram_revisions::restore",
            "diagram_stats",
            "edit_nodes/",
            "execution_history",
            "execution_order",
            "files/",
            "integrations/describe/",
            "integrations/execute/",
            "integrations/reload/",
            "integrations/statistics/",
            "integrations/try_operation/",
            "list_conversations",
            "list_models/",
            "persons/",
            "save_diagram",
            "validate_diagram",
        ],
    },
    Reason {
        not_on: &["MCP"],
        why: "MCP has its own way to follow: subscriptions on `dipeo://executions/{id}`, progress and tasks.",
        of: &["follow_execution", "follow_executions"],
    },
    Reason {
        not_on: &["REST", "GraphQL", "CLI"],
        why: "A part of the protocol that only MCP has: resources, completion, subscriptions, tasks, elicitation.",
        of: &[
            "diagram_tools",
            "fetch::complete",
            "fetch::list",
            "questions/",
            "run_diagram::run_or_task",
            "see_result::shown",
            "task/",
            "watch_resources/",
        ],
    },
    Reason {
        not_on: &["GraphQL", "CLI"],
        why: "The documents that assistants search and fetch; programs list and read the things themselves.",
        of: &["fetch", "search"],
    },
    Reason {
        not_on: &["MCP", "REST", "GraphQL"],
        why: "Only for the person at the machine: it changes settings, rights or the database, or reads other programs' files.",
        of: &[
            "claude_sessions/",
            "doctor",
            "live_server",
            "maintenance/",
            "mcp_bundle",
            "mcp_install",
            "mcp_manifest",
            "secrets",
            "tokens",
            "show_config",
            "trust_diagram",
            "integrations/import",
            "integrations/init",
            "integrations/test_operation",
            "integrations/validate",
        ],
    },
    Reason {
        not_on: &["MCP", "REST", "GraphQL"],
        why: "A convenience of the terminal made of use cases that the other surfaces have one by one.",
        of: &[
            "ask_diagram",
            "edit_diagram",
            "export_diagram",
            "integrations/list",
            "list_executions::newest_execution",
            "metrics_history",
        ],
    },
    Reason {
        not_on: &["REST"],
        why: "An operation of the original's GraphQL that its REST has no path for.",
        of: &[
            "about/execution_capabilities",
            "about/health_check",
            "about/supported_formats",
            "about/system_info",
            "api_keys/",
            "create_diagram",
            "edit_nodes/",
            "execution_history",
            "execution_order",
            "files/",
            "integrations/describe/",
            "integrations/execute/",
            "integrations/reload/",
            "integrations/statistics/",
            "integrations/try_operation/",
            "list_conversations",
            "persons/",
        ],
    },
    Reason {
        not_on: &["MCP", "REST", "CLI"],
        why: "How programs of the original report runs that they carry out themselves.",
        of: &["external/"],
    },
    Reason {
        not_on: &["CLI"],
        why: "At a terminal the file is at hand: an editor, `cat`, `rm`, `git`; `dipeo compile` checks it.",
        of: &[
            "create_diagram",
            "delete_diagram",
            "diagram_revisions::label",
            "edit_nodes/",
            "files/",
            "persons/",
            "read_diagram",
            "save_diagram",
            "validate_diagram",
        ],
    },
    Reason {
        not_on: &["CLI"],
        why: "Another command says it: `secrets`, `doctor`, `--help`, `results --logs`, `metrics`, `integrations`, `maintenance prune`.",
        of: &[
            "about/",
            "api_keys/",
            "delete_execution",
            "execution_history",
            "execution_logs",
            "execution_order",
            "follow_executions",
            "integrations/describe/",
            "integrations/execute/",
            "integrations/reload/",
            "integrations/statistics/",
            "integrations/try_operation/",
            "list_conversations",
            "list_models/",
        ],
    },
    Reason {
        not_on: &["GraphQL"],
        why: "The original's GraphQL has no such operation; `controlExecution`, `getExecution` and REST are beside it.",
        of: &[
            "delete_execution",
            "diagram_revisions/",
            "diagram_stats",
            "diff_executions",
            "execution_logs",
            "execution_logs::execution_transitions",
            "execution_messages",
            "follow_executions",
            "fork_execution",
            "list_models/",
            "replay_execution",
            "save_diagram",
            "validate_diagram",
        ],
    },
    Reason {
        not_on: &["MCP"],
        why: "There as `run_diagram::run_or_task`: the same run, which may go on as a task.",
        of: &["run_diagram"],
    },
    Reason {
        not_on: &["MCP", "REST", "GraphQL", "CLI"],
        why: "Reached as an action of `control_execution`.",
        of: &["inspect_execution"],
    },
    Reason {
        not_on: &["REST", "GraphQL", "CLI"],
        why: "What a command line asks a server elsewhere, over MCP: the other use cases by their names.",
        of: &["by_name::carry_out"],
    },
    Reason {
        not_on: &["MCP", "REST", "GraphQL", "CLI"],
        why: "How a command line follows an execution elsewhere, page by page, through `by_name`.",
        of: &["follow_page"],
    },
    Reason {
        not_on: &["MCP", "REST", "GraphQL", "CLI"],
        why: "How `by_name` replays for a command line elsewhere.",
        of: &["replay_execution::replayed"],
    },
    Reason {
        not_on: &["MCP", "GraphQL", "CLI"],
        why: "`GET /metrics` for Prometheus; `dipeo metrics` tells executions.",
        of: &["server_metrics"],
    },
];

/// A function of a handler that an adapter may call.
struct UseCase {
    /// Its file below `src/handlers`, without ending.
    file: String,
    function: String,
}

impl UseCase {
    fn module(&self) -> &str {
        self.file.rsplit('/').next().unwrap_or(&self.file)
    }

    fn room(&self) -> &str {
        self.file.split('/').next().unwrap_or(&self.file)
    }

    /// As the page calls it: the function beside its file, where they differ and others share the file.
    fn name(&self) -> String {
        if self.module() == self.function { self.file.clone() } else { format!("{}::{}", self.file, self.function) }
    }

    /// Whether `code` takes it from its module and calls it.
    fn is_called_by(&self, code: &str) -> bool {
        let (module, function) = (self.module(), &self.function);
        let within_braces = |from: &str| {
            let names = from.split('}').next().unwrap_or_default();
            names.split(',').any(|it| it.split_whitespace().next() == Some(function))
        };
        let direct = format!("{module}::{function}");
        let is_taken = code.match_indices(&direct).any(|(at, _)| !continues(&code[at + direct.len()..]))
            || code.split(&format!("{module}::{{")).skip(1).any(within_braces);
        is_taken && code.contains("handlers") && code.contains(self.room())
    }

    fn is_meant_by(&self, pattern: &str) -> bool {
        match pattern.strip_suffix('/') {
            Some(folder) => self.file == folder || self.file.starts_with(&format!("{folder}/")),
            None => pattern == self.name(),
        }
    }
}

fn continues(rest: &str) -> bool {
    rest.starts_with(|it: char| it.is_ascii_alphanumeric() || it == '_' || it == ':')
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files at and below a path with their texts up to their tests.
fn sources(path: &Path) -> Vec<(PathBuf, String)> {
    if path.is_file() {
        let text = std::fs::read_to_string(path).expect("readable");
        let end = text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(text.len());
        return vec![(path.to_owned(), text[..end].to_owned())];
    }
    let mut paths: Vec<PathBuf> = std::fs::read_dir(path).expect("a folder").flatten().map(|it| it.path()).collect();
    paths.sort();
    paths.retain(|it| it.is_dir() || it.extension().is_some_and(|it| it == "rs"));
    paths.iter().flat_map(|it| sources(it)).collect()
}

/// Every public function that takes the application and who calls it.
fn use_cases() -> Vec<UseCase> {
    let folder = root().join("src/handlers");
    let mut found = Vec::new();
    for (path, code) in sources(&folder) {
        let relative = path.strip_prefix(&folder).expect("below").with_extension("");
        let file = relative.to_string_lossy().trim_end_matches("/mod").to_owned();
        for at in code.match_indices("\npub ").map(|(at, _)| at) {
            let head = code[at + 5..].split('{').next().unwrap_or_default();
            let head = head.strip_prefix("async ").unwrap_or(head);
            let Some((name, parameters)) = head.strip_prefix("fn ").and_then(|it| it.split_once('(')) else { continue };
            if parameters.contains("App") && parameters.contains("caller: &Caller") {
                let function = name.split('<').next().unwrap_or(name).to_owned();
                found.push(UseCase { file: file.clone(), function });
            }
        }
    }
    found
}

/// The page, and what is wrong with the reasons.
fn page() -> (String, Vec<String>) {
    let codes = SURFACES.map(|(_, paths)| {
        let files = paths.iter().flat_map(|it| sources(&root().join(it)));
        files.map(|(_, code)| code).collect::<Vec<_>>()
    });
    let (mut rows, mut wrong) = (String::new(), Vec::new());
    let mut used: BTreeMap<(usize, &str), ()> = BTreeMap::new();
    for case in use_cases() {
        write!(rows, "| `{}` |", case.name()).expect("a string");
        for ((surface, _), codes) in SURFACES.iter().zip(&codes) {
            let is_there = codes.iter().any(|it| case.is_called_by(it));
            let reasons = REASONS.iter().enumerate().filter(|(_, it)| it.not_on.contains(surface));
            let reasons = reasons.flat_map(|(n, it)| it.of.iter().map(move |pattern| (n, *pattern)));
            let given: Vec<_> = reasons.filter(|(_, it)| case.is_meant_by(it)).collect();
            match (is_there, given.as_slice()) {
                (true, _) => rows.push_str(" yes |"),
                (false, []) => wrong.push(format!("`{}` is not on {surface}, and nothing says why", case.name())),
                (false, [(n, _), ..]) => write!(rows, " {} |", n + 1).expect("a string"),
            }
            used.extend(given.iter().filter(|_| !is_there).map(|it| (*it, ())));
        }
        rows.push('\n');
    }
    for (n, reason) in REASONS.iter().enumerate() {
        let stale = reason.of.iter().filter(|it| !used.contains_key(&(n, **it)));
        wrong.extend(stale.map(|it| format!("reason {} names `{it}`, which has no such gap", n + 1)));
    }
    (text_of(&rows), wrong)
}

fn text_of(rows: &str) -> String {
    let mut text = String::from(
        "# Which use case is reached from where\n\nEvery use case is one handler; the surfaces translate. A number is the \
         reason, below, why a use case is not on a surface.\nThis page is made from the source by a test.\n\n",
    );
    text.push_str("| Use case | MCP | REST and events | GraphQL | CLI |\n|---|---|---|---|---|\n");
    text.push_str(rows);
    text.push('\n');
    for (n, reason) in REASONS.iter().enumerate() {
        writeln!(text, "{}. {}", n + 1, reason.why).expect("a string");
    }
    text
}

#[test]
fn every_use_case_is_on_every_surface_or_the_page_says_why_not() {
    let (text, wrong) = page();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let path = root().join("resources/guide/surfaces.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).expect("writable");
    }
    assert_eq!(text, std::fs::read_to_string(&path).unwrap_or_default(), "`UPDATE=1 cargo test --test it surfaces`");
}
