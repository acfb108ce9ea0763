//! `dipeo config show`: every setting with its source, secrets masked, and mistakes that name their place.

use serde_json::Value;

use crate::harness::workspace;

#[test]
fn every_setting_names_what_set_it_and_no_secret_is_shown() {
    let workspace = workspace();
    workspace.write(
        "dipeo.toml",
        "[server]\nport = 7000\n[limits]\nopen_streams = 9\n[policy.workspace]\nhost_code = true\n",
    );
    std::fs::create_dir_all(workspace.home()).expect("made");
    std::fs::write(workspace.home().join("config.toml"), "[limits]\nrequests_per_minute = 5\n").expect("written");
    let mut command = workspace.command();
    command.args(["config", "show", "--json"]);
    let command = command.env("DIPEO_TOKEN", "canary-token-of-some-length").env("LOG_LEVEL", "debug");
    let output = command.env("DIPEO_PROT", "1").output().expect("runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let shown: Value = serde_json::from_str(&stdout).expect("JSON");
    for (name, value, source) in [
        ("port", "7000", "dipeo.toml"),
        ("host", "127.0.0.1", "default"),
        ("token", "***", "DIPEO_TOKEN"),
        ("log level", "debug", "LOG_LEVEL"),
        ("limits.open_streams", "9", "dipeo.toml"),
        ("limits.requests_per_minute", "5", "config.toml"),
        ("policy.workspace.host_code", "false", "default"),
    ] {
        let settings = shown["settings"].as_array().expect("a list");
        let row = settings.iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("{name}: {stdout}"));
        assert_eq!((row["value"].as_str(), row["source"].as_str()), (Some(value), Some(source)), "{name}");
    }
    assert!(!stdout.contains("canary") && !stderr.contains("canary"));
    assert!(stderr.contains("`DIPEO_PROT` is unknown; did you mean `DIPEO_PORT`?"), "{stderr}");
    assert!(stderr.contains("policy keys of dipeo.toml do not count until you run `dipeo trust --config`"), "{stderr}");

    let text = workspace.command().args(["config", "show"]).output().expect("runs");
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.lines().any(|it| it.starts_with("port ") && it.ends_with("  7000  (dipeo.toml)")), "{text}");
    assert!(!workspace.root().join(".dipeo").exists(), "looking left a trace");
}

#[test]
fn a_mistake_in_a_file_names_the_file_and_the_line() {
    for (file, name, part) in [
        ("[server]\n\nprot = 1\n", "dipeo.toml", "dipeo.toml line 3: unknown field `prot`"),
        ("[limits]\nopen_streams = 0\n", "dipeo.toml", "dipeo.toml line 2: `limits.open_streams` is 0"),
        ("[server]\nport = 70000\n", "config.toml", "config.toml line 2: "),
        ("[mcp]\nallow_diagrams = ['a']\ntoolsets = ['cor']\n", "dipeo.toml", "dipeo.toml line 3: there is no toolset"),
        ("[auth]\n\njwks_url = 'ftp://x'\n", "config.toml", "config.toml line 3: `auth.jwks_url` is `ftp://x`"),
    ] {
        let workspace = workspace();
        match name {
            "dipeo.toml" => workspace.write(name, file),
            _ => {
                std::fs::create_dir_all(workspace.home()).expect("made");
                std::fs::write(workspace.home().join(name), file).expect("written");
            }
        }
        let output = workspace.command().args(["config", "show"]).output().expect("runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(part) && stderr.contains("hint: "), "{stderr}");
    }
}

#[test]
fn a_mistake_in_a_variable_names_that_variable_and_no_line_of_a_file() {
    let workspace = workspace();
    workspace.write("dipeo.toml", "[models]\nopenai_model = 'm'\n[auth]\nrequired = false\n");
    for (variables, part) in [
        (&[("PORT", "x")][..], "`PORT` is `x`, which is no port"),
        (&[("DIPEO_PORT", "70000")], "`DIPEO_PORT` is `70000`"),
        (&[("LOG_LEVEL", "loud")], "`LOG_LEVEL` is `loud`"),
        (&[("DIPEO_LOG_LEVEL", "loud")], "`DIPEO_LOG_LEVEL` is `loud`"),
        (&[("DIPEO_DURABILITY", "some")], "`DIPEO_DURABILITY` is `some`"),
        (&[("DIPEO_AUTH_REQUIRED", "perhaps")], "`DIPEO_AUTH_REQUIRED` is `perhaps`"),
        (&[("DIPEO_AUTH_JWKS_URL", "ftp://x")], "`DIPEO_AUTH_JWKS_URL` is `ftp://x`"),
        (&[("EXECUTION_TIMEOUT", "soon")], "`EXECUTION_TIMEOUT` is `soon`"),
        (&[("GEMINI_API_KEY", "a"), ("GOOGLE_API_KEY", "b")], "`GEMINI_API_KEY` and `GOOGLE_API_KEY`"),
    ] {
        let mut command = workspace.command();
        let output = command.args(["config", "show"]).envs(variables.iter().copied()).output().expect("runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{variables:?}: {stderr}");
        assert!(stderr.contains(part) && stderr.contains("hint: "), "{variables:?}: {stderr}");
        assert!(!stderr.contains("dipeo.toml line"), "{variables:?}: {stderr}");
    }
}
