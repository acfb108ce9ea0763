//! The house rules as tests: who may use whom, and that nothing listed is missing its page or example.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dipeo::nodes;

const WORDS: &[&str] = &["error", "ids", "clock", "limits", "secret", "shown", "tls", "meter", "redact", "spans"];

/// Room to the rooms it may use (style.md 2); the words everybody uses are allowed everywhere.
const MAY_USE: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("ids", &[]),
    ("clock", &[]),
    ("limits", &[]),
    ("meter", &[]),
    ("redact", &[]),
    ("spans", &[]),
    ("logs", &["config"]),
    ("config", &["diagram"]),
    ("auth", &["config"]),
    ("diagram", &[]),
    ("integrations", &["diagram"]),
    ("nodes", &["diagram", "integrations"]),
    ("compile", &["nodes", "diagram"]),
    ("engine", &["compile", "nodes", "diagram"]),
    ("export", &["compile", "nodes", "diagram"]),
    ("timeline", &["engine", "diagram"]),
    ("code", &["nodes", "diagram"]),
    ("llm", &["nodes", "diagram", "config"]),
    ("outside", &["nodes", "diagram"]),
    ("store", &["engine", "nodes", "diagram"]),
    (
        "handlers",
        &["auth", "compile", "config", "diagram", "engine", "export", "integrations", "nodes", "store", "timeline"],
    ),
    // Adapters: handlers, and the types that stand in a Request or Response.
    ("mcp", &["handlers", "config"]),
    ("http", &["handlers", "config"]),
    ("cli", &["handlers", "config"]),
];

/// What an adapter may name of the rooms below: types of published shapes, nothing that acts.
const SHAPES: &[&str] = &["crate::engine::Status", "crate::compile::report"];

/// Packages and the only rooms that may name them.
const PACKAGES: &[(&str, &[&str])] = &[
    ("rusqlite", &["store"]),
    ("rmcp", &["mcp"]),
    ("async_graphql", &["http"]),
    ("axum", &["mcp", "http"]),
    ("tower_http", &["mcp", "http"]),
    ("hyper", &["http"]),
    ("hyper_util", &["http"]),
    ("tower", &["http"]),
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("console", &["cli"]),
    ("monty", &["code"]),
    ("rquickjs", &["code"]),
    ("oxc", &["code"]),
    ("reqwest", &["auth", "llm", "outside"]),
    ("tracing_subscriber", &["logs", "spans"]),
    ("opentelemetry", &["spans"]),
    ("opentelemetry_sdk", &["spans"]),
    ("opentelemetry_otlp", &["spans"]),
    ("tracing_opentelemetry", &["spans"]),
    ("metrics", &["meter"]),
    ("metrics_exporter_prometheus", &["meter"]),
    ("minijinja", &["integrations", "nodes"]),
    ("jsonschema", &["integrations", "nodes", "handlers", "mcp"]),
    ("serde_yaml", &["diagram", "integrations", "nodes"]),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `folder` with its text up to its tests.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("readable folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let text = std::fs::read_to_string(&path).expect("readable file");
                let code = without_tests(&text);
                files.push((path, code));
            }
        }
    }
    files.sort();
    files
}

/// Cuts a file where its inline test module begins.
fn without_tests(text: &str) -> String {
    let mut end = text.len();
    for (at, _) in text.match_indices("\n#[cfg(test)]\nmod ") {
        let line = text[at..].lines().nth(2).unwrap_or_default();
        if line.ends_with('{') {
            end = end.min(at);
        }
    }
    text[..end].to_owned()
}

fn room_of(path: &Path) -> String {
    let relative = path.strip_prefix(root().join("src")).expect("below src");
    let first = relative.components().next().expect("not empty").as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

#[test]
fn every_module_uses_only_the_rooms_below_it() {
    let mut wrong = Vec::new();
    for (path, code) in sources("src") {
        let room = room_of(&path);
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == room) else { continue };
        for line in code.lines().map(str::trim).filter(|it| !it.starts_with("//")) {
            for part in line.split("crate::").skip(1) {
                let used: String = part.chars().take_while(|it| it.is_ascii_alphanumeric() || *it == '_').collect();
                let is_known = MAY_USE.iter().any(|(name, _)| *name == used);
                let is_shape = SHAPES.iter().any(|it| format!("crate::{part}").starts_with(it));
                let is_allowed = used == room || WORDS.contains(&used.as_str()) || allowed.contains(&used.as_str());
                if is_known && !is_allowed && !is_shape {
                    wrong.push(format!("{}: {line}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "these modules reach where they may not:\n{}", wrong.join("\n"));
}

#[test]
fn every_package_is_named_in_its_own_rooms_only() {
    let mut wrong = Vec::new();
    for (path, code) in sources("src") {
        let room = room_of(&path);
        if ["main", "lib"].contains(&room.as_str()) {
            continue;
        }
        for (package, rooms) in PACKAGES {
            let names_it = code.lines().any(|it| {
                let line = it.trim();
                !line.starts_with("//")
                    && line.contains(&format!("{package}::"))
                    && !line.contains(&format!("_{package}::"))
            });
            // A module of the room's own that is called like the package is what the room names.
            let is_own_module = root().join("src").join(&room).join(format!("{package}.rs")).is_file();
            if names_it && !is_own_module && !rooms.contains(&room.as_str()) {
                wrong.push(format!("{} names {package}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_node_type_has_a_page_and_stands_in_an_example() {
    let examples: String = std::fs::read_dir(root().join("examples"))
        .expect("examples")
        .flatten()
        .map(|it| std::fs::read_to_string(it.path()).expect("readable"))
        .collect();
    let mut missing = Vec::new();
    for node in nodes::ALL {
        let name = node.kind.name();
        if !root().join(format!("resources/nodes/{name}.md")).is_file() {
            missing.push(format!("resources/nodes/{name}.md"));
        }
        if !examples.contains(&format!("type: {name}")) {
            missing.push(format!("an example with a {name}"));
        }
        if node.summary.is_empty() {
            missing.push(format!("the summary of {name}"));
        }
    }
    assert!(missing.is_empty(), "missing: {}", missing.join(", "));
}

#[test]
fn the_guide_lists_the_node_types_that_run_and_names_the_others() {
    let page = std::fs::read_to_string(root().join("resources/guide/nodes.md")).expect("the page");
    let (listed, others) = page.split_once("Known, but not run").expect("two parts");
    for kind in dipeo::diagram::NodeKind::ALL {
        let name = kind.name();
        let runs = nodes::ALL.iter().any(|it| it.kind == kind);
        assert_eq!(listed.contains(&format!("| `{name}` |")), runs, "{name}");
        assert_eq!(others.lines().next().is_some_and(|it| it.contains(&format!("`{name}`"))), !runs, "{name}");
    }
}

#[test]
fn every_node_type_has_a_test_of_a_failure() {
    let mut missing = Vec::new();
    let files = sources("src/nodes");
    for (path, _) in files.iter().filter(|it| it.1.contains("static TYPE: NodeType")) {
        let folder = path.with_extension("");
        let parts = files.iter().map(|(part, _)| part).filter(|it| it.starts_with(&folder));
        let whole: String = parts.chain([path]).filter_map(|it| std::fs::read_to_string(it).ok()).collect();
        let tests: String = whole.split("test]\n").skip(1).collect();
        if !["codes(", ".code()", ".code,", "expect_err("].iter().any(|it| tests.contains(it)) {
            missing.push(path);
        }
    }
    assert!(missing.is_empty(), "no test of a failure for: {missing:?}");
}

#[test]
fn every_file_of_nodes_that_defines_a_type_is_listed() {
    let defined = sources("src/nodes").into_iter().filter(|(_, code)| code.contains("static TYPE: NodeType")).count();
    assert_eq!(defined, nodes::ALL.len(), "a node file is not in nodes::ALL");
}

#[test]
fn every_code_that_the_source_can_produce_has_a_page() {
    let mut missing = BTreeSet::new();
    for (_, code) in sources("src") {
        for found in codes_in(&code) {
            if !root().join(format!("resources/errors/{found}.md")).is_file() {
                missing.insert(found);
            }
        }
    }
    assert!(missing.is_empty(), "no page in resources/errors for: {missing:?}");
}

/// Codes of errors and diagnostics: the first text given to an error's constructor, and `E123`, `W123`.
fn codes_in(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let texts = code.split('"').skip(1).step_by(2);
    for text in texts {
        let is_diagnostic = text.len() == 4
            && (text.starts_with('E') || text.starts_with('W'))
            && text[1..].bytes().all(|it| it.is_ascii_digit());
        if is_diagnostic {
            found.insert(text.to_owned());
        }
    }
    for constructor in [
        "Error::invalid(",
        "Error::not_found(",
        "Error::conflict(",
        "Error::refused(",
        "Error::limit(",
        "Error::external(",
    ] {
        for after in code.split(constructor).skip(1) {
            let argument = after.trim_start();
            if let Some(text) = argument.strip_prefix('"').and_then(|it| it.split('"').next()) {
                found.insert(text.to_owned());
            }
        }
    }
    found
}

#[test]
fn every_test_file_belongs_to_the_one_integration_binary() {
    let main = std::fs::read_to_string(root().join("tests/it/main.rs")).expect("there");
    for entry in std::fs::read_dir(root().join("tests/it")).expect("there").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(module) = name.strip_suffix(".rs").filter(|it| *it != "main") {
            assert!(main.contains(&format!("mod {module};")), "tests/it/main.rs does not name {module}");
        }
    }
}
