//! Setting up: what `dipeo mcp install` makes of the files of clients, and what manifest and bundle hold.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};

use crate::harness::{DIPEO, Workspace, workspace};

/// A home with the file of a client in it.
struct Home {
    workspace: Workspace,
}

impl Home {
    fn new() -> Self {
        let workspace = workspace();
        std::fs::create_dir_all(workspace.home()).expect("made");
        Self { workspace }
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.workspace.home().join(relative)
    }

    fn write(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    fn read(&self, relative: &str) -> String {
        std::fs::read_to_string(self.path(relative)).unwrap_or_else(|e| panic!("{relative}: {e}"))
    }

    fn install(&self, arguments: &[&str]) -> Output {
        let mut command = self.workspace.command();
        command.args(["mcp", "install"]).args(arguments).stdin(std::process::Stdio::null()).output().expect("runs")
    }

    /// Every file of the home but dipeo's own.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.workspace.home()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("readable").flatten() {
                let path = entry.path();
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        files
    }
}

fn ok(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {stderr}", output.status.code());
    format!("{}{stderr}", String::from_utf8_lossy(&output.stdout))
}

fn refused(output: &Output, code: &str) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && stderr.contains(code), "{:?}: {stderr}", output.status.code());
    stderr
}

/// Where each client has its file below the home, and under which key.
fn place(client: &str) -> (&'static str, &'static str) {
    let is_mac = cfg!(target_os = "macos");
    match client {
        "claude-code" => (".claude.json", "mcpServers"),
        "claude-desktop" if is_mac => ("Library/Application Support/Claude/claude_desktop_config.json", "mcpServers"),
        "claude-desktop" => (".config/Claude/claude_desktop_config.json", "mcpServers"),
        "cursor" => (".cursor/mcp.json", "mcpServers"),
        "vscode" if is_mac => ("Library/Application Support/Code/User/mcp.json", "servers"),
        "vscode" => (".config/Code/User/mcp.json", "servers"),
        _ => (".gemini/settings.json", "mcpServers"),
    }
}

const CLIENTS: [&str; 5] = ["claude-code", "claude-desktop", "cursor", "vscode", "gemini"];

#[test]
fn every_client_gets_an_entry_that_starts_this_program_and_a_second_run_changes_nothing() {
    for client in CLIENTS {
        let home = Home::new();
        let (file, key) = place(client);
        let root = home.workspace.root().canonicalize().expect("there").display().to_string();
        let shown = ok(&home.install(&["--client", client, "--print"]));
        assert!(shown.contains("+    \"dipeo\": {") && home.files().is_empty(), "{client}: {shown}");
        ok(&home.install(&["--client", client]));
        let written = home.read(file);
        let settings: Value = serde_json::from_str(&written).expect("JSON");
        let entry = &settings[key]["dipeo"];
        assert_eq!(entry["command"], DIPEO, "{client}: {entry}");
        let expected = match client {
            "claude-code" | "gemini" => json!(["mcp"]),
            _ => json!(["-C", root, "mcp"]),
        };
        assert_eq!(entry["args"], expected, "{client}");
        let again = ok(&home.install(&["--client", client]));
        assert!(again.contains("is as it should be"), "{client}: {again}");
        assert_eq!(home.read(file), written, "{client}");
        assert_eq!(home.files(), [home.path(file)], "{client}: a copy of nothing was kept");
    }
}

#[test]
fn what_else_a_file_says_stays_byte_for_byte_and_a_copy_is_kept() {
    let before = "{\n    \"numStartups\": 12,\n    \"oauth\": { \"key\":\"sk-canary-1\" },\n    \"mcpServers\": {\n        \"other\": {\"command\": \"x\", \"env\": {\"TOKEN\": \"canary-2\"}}\n    },\n    \"weird\":   [1,2 ,3.50]\n}\n";
    let home = Home::new();
    home.write(".claude.json", before);
    let path = home.path(".claude.json");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set");
    let said = ok(&home.install(&["--client", "claude-code", "--name", "flows"]));
    assert!(!said.contains("canary"), "a secret of another entry was shown: {said}");
    let added = format!(
        ",\n        \"flows\": {{\n            \"type\": \"stdio\",\n            \"command\": \"{DIPEO}\",\n            \"args\": [\n                \"mcp\"\n            ]\n        }}\n    }},\n    \"weird\""
    );
    assert_eq!(home.read(".claude.json"), before.replace("\n    },\n    \"weird\"", &added));
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    let copies: Vec<PathBuf> = home.files().into_iter().filter(|it| *it != path).collect();
    assert_eq!(copies.len(), 1, "{copies:?}");
    assert_eq!(std::fs::read_to_string(&copies[0]).expect("readable"), before);
    assert_eq!(std::fs::metadata(&copies[0]).expect("there").permissions().mode() & 0o777, 0o600);
}

#[test]
fn another_entry_of_this_name_is_replaced_only_when_asked_and_keeps_what_the_user_added() {
    let home = Home::new();
    let before = "{\"mcpServers\": {\"dipeo\": {\"command\": \"old\", \"env\": {\"A\": \"b\"}, \"trust\": true}}}";
    home.write(".gemini/settings.json", before);
    let said = refused(&home.install(&["--client", "gemini"]), "ALREADY_EXISTS");
    assert!(said.contains("--yes"), "{said}");
    assert_eq!(home.read(".gemini/settings.json"), before);
    ok(&home.install(&["--client", "gemini", "--yes"]));
    let settings: Value = serde_json::from_str(&home.read(".gemini/settings.json")).expect("JSON");
    let expected = json!({"command": DIPEO, "args": ["mcp"], "env": {"A": "b"}, "trust": true});
    assert_eq!(settings["mcpServers"]["dipeo"], expected);
    ok(&home.install(&["--client", "gemini", "--yes", "--http", "http://127.0.0.1:8000"]));
    let settings: Value = serde_json::from_str(&home.read(".gemini/settings.json")).expect("JSON");
    let expected = json!({"httpUrl": "http://127.0.0.1:8000/mcp", "trust": true});
    assert_eq!(settings["mcpServers"]["dipeo"], expected);
}

#[test]
fn a_file_that_cannot_be_changed_without_loss_is_left_alone_and_the_entry_is_shown() {
    for (client, text) in [
        ("vscode", "{\n  // my servers\n  \"servers\": {}\n}\n"),
        ("cursor", "{\"mcpServers\": {},}"),
        ("gemini", "{\"mcpServers\": []}"),
        ("claude-desktop", "not JSON"),
    ] {
        let home = Home::new();
        let (file, key) = place(client);
        home.write(file, text);
        let said = refused(&home.install(&["--client", client, "--yes"]), "INVALID_INPUT");
        assert!(said.contains("was left alone") && said.contains(&format!("add under `{key}`: \"dipeo\"")), "{said}");
        assert_eq!(home.read(file), text, "{client}");
        assert_eq!(home.files().len(), 1, "{client}");
    }
}

#[test]
fn a_token_is_written_as_the_name_of_a_variable_only() {
    for (client, key, reference) in [
        ("claude-code", "url", "Bearer ${DIPEO_TOKEN}"),
        ("gemini", "httpUrl", "Bearer ${DIPEO_TOKEN}"),
        ("cursor", "url", "Bearer ${env:DIPEO_TOKEN}"),
        ("vscode", "url", "Bearer ${env:DIPEO_TOKEN}"),
    ] {
        let home = Home::new();
        let (file, servers) = place(client);
        let mut command = home.workspace.command();
        command.env("DIPEO_TOKEN", "canary-token-1").args(["mcp", "install", "--client", client]);
        let output = command.args(["--http", "https://flows.example/mcp"]).output().expect("runs");
        assert!(!ok(&output).contains("canary"));
        assert!(!home.read(file).contains("canary"), "{client}");
        let settings: Value = serde_json::from_str(&home.read(file)).expect("JSON");
        let entry = &settings[servers]["dipeo"];
        assert_eq!(entry[key], "https://flows.example/mcp", "{client}");
        assert_eq!(entry["headers"], json!({"Authorization": reference}), "{client}");
    }
    let home = Home::new();
    ok(&home.install(&["--client", "cursor", "--http", "http://localhost:8000/mcp"]));
    let settings: Value = serde_json::from_str(&home.read(".cursor/mcp.json")).expect("JSON");
    assert_eq!(settings["mcpServers"]["dipeo"], json!({"url": "http://localhost:8000/mcp"}));
}

#[test]
fn what_makes_no_sense_is_refused_with_what_to_do() {
    for (arguments, code, says) in [
        (&["--client", "claude-cod"][..], "INVALID_INPUT", "did you mean `claude-code`?"),
        (&["--client", "cursor", "--scope", "all"], "INVALID_INPUT", "use user or project"),
        (&["--client", "cursor", "--name", "a b"], "INVALID_NAME", "letters"),
        (&["--client", "cursor", "--http", "ftp://x"], "INVALID_INPUT", "https://NAME/mcp"),
        (&["--client", "cursor", "--http", "https://u:canary@x/mcp"], "INVALID_INPUT", "leave out users"),
        (&["--client", "cursor", "--http", "https://x/mcp?token=canary"], "INVALID_INPUT", "leave out users"),
        (
            &["--client", "cursor", "--http", "https://x/mcp", "--token-variable", "canary-token"],
            "INVALID_NAME",
            "not the token",
        ),
        (&["--client", "claude-desktop", "--http", "https://x/mcp"], "INVALID_INPUT", "leave `--http` out"),
        (&["--client", "claude-desktop", "--scope", "project"], "INVALID_INPUT", "leave `--scope project` out"),
        (&["--client", "cursor", "--token-variable", "T"], "UNKNOWN_OPTION", "--http"),
    ] {
        let home = Home::new();
        let said = refused(&home.install(arguments), code);
        assert!(said.contains(says) && !said.contains("canary"), "{arguments:?}: {said}");
        assert!(home.files().is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_project_has_a_file_that_others_can_use() {
    for (client, file, args) in [
        ("claude-code", ".mcp.json", json!(["mcp"])),
        ("gemini", ".gemini/settings.json", json!(["mcp"])),
        ("cursor", ".cursor/mcp.json", json!(["-C", "${workspaceFolder}", "mcp"])),
        ("vscode", ".vscode/mcp.json", json!(["-C", "${workspaceFolder}", "mcp"])),
    ] {
        let home = Home::new();
        ok(&home.install(&["--client", client, "--scope", "project"]));
        let text = std::fs::read_to_string(home.workspace.root().join(file)).expect("in the workspace");
        let settings: Value = serde_json::from_str(&text).expect("JSON");
        let entry = &settings[place(client).1]["dipeo"];
        assert_eq!((&entry["command"], &entry["args"]), (&json!("dipeo"), &args), "{client}");
    }
}

#[test]
fn a_link_stays_a_link_and_what_the_search_path_finds_is_named_as_it_is_found() {
    let home = Home::new();
    home.write("dotfiles/cursor.json", "{}\n");
    std::fs::create_dir(home.path(".cursor")).expect("made");
    std::os::unix::fs::symlink(home.path("dotfiles/cursor.json"), home.path(".cursor/mcp.json")).expect("linked");
    std::fs::create_dir(home.path("bin")).expect("made");
    std::os::unix::fs::symlink(DIPEO, home.path("bin/dipeo")).expect("linked");
    let found = home.path("bin/dipeo").display().to_string();
    for (client, expected) in [("cursor", found.as_str()), ("claude-code", "dipeo")] {
        let mut command = home.workspace.command();
        command.env("PATH", home.path("bin")).args(["mcp", "install", "--client", client]);
        ok(&command.output().expect("runs"));
        let settings: Value = serde_json::from_str(&home.read(place(client).0)).expect("JSON");
        assert_eq!(settings["mcpServers"]["dipeo"]["command"], expected, "{client}");
    }
    assert!(home.path(".cursor/mcp.json").symlink_metadata().expect("there").is_symlink());
    assert!(home.read("dotfiles/cursor.json").contains("dipeo"));
}

#[test]
fn settings_named_on_the_command_line_go_into_the_entry() {
    let home = Home::new();
    let root = home.workspace.root().canonicalize().expect("there");
    let mut command = home.workspace.command();
    command.args(["-C", ".", "--db", "x.db", "mcp", "install", "--client", "claude-code", "--json"]);
    let output = command.output().expect("runs");
    ok(&output);
    let said: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    let expected = json!(["-C", root.display().to_string(), "--db", root.join("x.db").display().to_string(), "mcp"]);
    assert_eq!((&said["entry"]["args"], &said["written"], &said["change"]), (&expected, &json!(true), &json!("added")));
}

// --- manifest and bundle ----------------------------------------------------------------------------------------

fn schema(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).expect("readable")).expect("JSON")
}

fn problems(schema: &Value, value: &Value) -> Vec<String> {
    let validator = jsonschema::validator_for(schema).expect("a schema");
    validator.iter_errors(value).map(|it| format!("{}: {it}", it.instance_path())).collect()
}

#[test]
fn the_manifest_is_written_compared_and_valid_for_the_registry() {
    let workspace = workspace();
    let run =
        |arguments: &[&str]| workspace.command().args(["mcp", "manifest"]).args(arguments).output().expect("runs");
    refused(&run(&["--check"]), "FILE_NOT_FOUND");
    ok(&run(&[]));
    assert!(ok(&run(&["--check"])).contains("up to date"));
    let text = std::fs::read_to_string(workspace.root().join("mcp-manifest.json")).expect("written");
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("mcp-manifest.json");
    assert_eq!(text, std::fs::read_to_string(committed).expect("committed"));
    assert_eq!(ok(&run(&["-"])), text);
    let manifest: Value = serde_json::from_str(&text).expect("JSON");
    let schema = schema("server.schema.json");
    assert_eq!(problems(&schema, &manifest), [""; 0]);
    let inventory = &manifest["_meta"]["io.modelcontextprotocol.registry/publisher-provided"];
    for list in ["tools", "resources", "resource_templates", "prompts"] {
        assert!(inventory[list].as_array().is_some_and(|it| !it.is_empty()), "{list}: {inventory}");
    }
    // The schema is one that can say no.
    for (key, value) in
        [("name", json!("no-slash")), ("description", json!("x".repeat(101))), ("packages", json!([{}]))]
    {
        let mut wrong = manifest.clone();
        wrong[key] = value;
        assert!(!problems(&schema, &wrong).is_empty(), "{key}");
    }
    workspace.write("mcp-manifest.json", &text.replace("dipeo_run", "dipeo_rnu"));
    let said = refused(&run(&["--check"]), "MANIFEST_OUTDATED");
    assert!(said.contains("dipeo_rnu"), "{said}");
}

#[test]
fn a_bundle_holds_the_program_and_a_manifest_that_hosts_accept() {
    let workspace = workspace();
    // Any program will do here; this one packs quickly.
    let run = |arguments: &[&str]| workspace.command().args(["mcp", "bundle"]).args(arguments).output().expect("runs");
    let program = std::fs::canonicalize("/bin/ls").expect("a program");
    let program = program.to_str().expect("Unicode");
    let output = run(&["--binary", program, "--out", "a.mcpb", "--json"]);
    ok(&output);
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    refused(&run(&["--binary", program, "--out", "a.mcpb"]), "ALREADY_EXISTS");
    ok(&run(&["--binary", program, "--out", "b.mcpb", "--force"]));
    let (a, b) = (workspace.root().join("a.mcpb"), workspace.root().join("b.mcpb"));
    let bytes = std::fs::read(&a).expect("readable");
    assert_eq!(bytes, std::fs::read(b).expect("readable"), "equal inputs gave unequal bundles");
    assert_eq!(said["size_bytes"], bytes.len());
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).expect("an archive");
    let mut read = |name: &str| {
        let mut entry = archive.by_name(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("readable");
        (bytes, entry.unix_mode().map(|it| it & 0o777))
    };
    assert_eq!(read("bin/dipeo"), (std::fs::read(program).expect("readable"), Some(0o755)));
    assert!(String::from_utf8_lossy(&read("LICENSE").0).contains("Apache License"));
    assert!(!read("README.md").0.is_empty());
    let manifest: Value = serde_json::from_slice(&read("manifest.json").0).expect("JSON");
    assert_eq!(problems(&schema("mcpb.schema.json"), &manifest), [""; 0]);
    assert_eq!(manifest["server"]["mcp_config"]["command"], "${__dirname}/bin/dipeo");
    assert_eq!(manifest["tools"][0]["name"], "dipeo_run");
    for wrong in ["README", "no/such/program"] {
        workspace.write("README", "text");
        let output = run(&["--binary", wrong, "--out", "c.mcpb"]);
        assert!(!output.status.success() && !workspace.root().join("c.mcpb").exists());
    }
}
