//! `dipeo doctor`: what it finds, and that looking changes nothing.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::harness::{Workspace, workspace};

/// What it prints as JSON, and how it ends.
fn doctor(workspace: &Workspace, variables: &[(&str, &str)]) -> (Value, Option<i32>) {
    let mut command = workspace.command();
    // Another program may listen on the usual port of this machine.
    command.args(["doctor", "--json", "-q"]).env("DIPEO_PORT", "0").envs(variables.iter().copied());
    let output = command.output().expect("runs");
    (serde_json::from_slice(&output.stdout).expect("one JSON document"), output.status.code())
}

fn findings(found: &Value) -> Vec<(String, String)> {
    let checks = found["checks"].as_array().expect("a list").iter();
    checks
        .flat_map(|check| check["findings"].as_array().cloned().unwrap_or_default())
        .map(|it| {
            assert!(it["hint"].as_str().is_some_and(|it| !it.is_empty()), "nothing says what to do: {it}");
            (it["message"].as_str().expect("text").to_owned(), it["hint"].as_str().expect("text").to_owned())
        })
        .collect()
}

fn fact(found: &Value, check: &str, name: &str) -> Option<(String, Option<String>)> {
    let checks = found["checks"].as_array().expect("a list");
    let check = checks.iter().find(|it| it["name"] == check).expect("the check");
    let fact = check["facts"].as_array().expect("a list").iter().find(|it| it["name"] == name)?;
    Some((fact["value"].as_str().expect("text").to_owned(), fact["from"].as_str().map(str::to_owned)))
}

#[test]
fn a_new_workspace_is_fine_and_looking_makes_nothing() {
    let workspace = workspace();
    let (found, code) = doctor(&workspace, &[]);
    assert_eq!((findings(&found), code, &found["ok"]), (vec![], Some(0), &true.into()));
    assert_eq!(std::fs::read_dir(workspace.root()).expect("lists").count(), 0);
    assert!(!workspace.home().exists());
    assert_eq!(fact(&found, "sandbox", "worker").expect("told").0, "works");
    assert_eq!(fact(&found, "settings", "port").expect("told"), ("0".into(), Some("DIPEO_PORT".into())));
    assert_eq!(fact(&found, "settings", "user folder").expect("told").1, Some("DIPEO_HOME".into()));
}

#[test]
fn it_tells_of_a_database_and_of_keys_by_their_names_alone() {
    let workspace = workspace();
    workspace.write("d.light.yaml", crate::mcp_client::HELLO);
    assert!(workspace.command().args(["run", "d.light.yaml", "-q"]).status().expect("runs").success());
    let (found, code) = doctor(&workspace, &[("OPENAI_API_KEY", "sk-canary-1234567890")]);
    assert_eq!(code, Some(0), "{found}");
    assert_eq!(fact(&found, "database", "integrity").expect("told").0, "ok");
    assert_eq!(fact(&found, "database", "executions").expect("told").0, "1, 0 of them open");
    assert_eq!(fact(&found, "models", "openai").expect("told").0, "key present");
    assert!(!found.to_string().contains("canary"), "{found}");
}

#[test]
fn whatever_needs_somebody_is_found_with_what_to_do() {
    type Spoil = fn(&Workspace);
    type Variables = &'static [(&'static str, &'static str)];
    let cases: [(&str, Spoil, Variables, &str, &str); 4] = [
        ("a variable", |_| {}, &[("DIPEO_PROT", "1")], "`DIPEO_PROT` is unknown", "unset it"),
        (
            "a key others may read",
            |it| {
                std::fs::create_dir_all(it.home()).expect("made");
                let key = it.home().join("key");
                std::fs::write(&key, "k").expect("written");
                std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("set");
            },
            &[],
            "(mode 0644)",
            "chmod 600",
        ),
        (
            "a file that is no database",
            |it| {
                it.write(".dipeo/data/dipeo_state.db", &"no database ".repeat(500));
                let path = it.root().join(".dipeo/data/dipeo_state.db");
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("set");
            },
            &[],
            "DATABASE_FAILED",
            "",
        ),
        (
            "settings nobody trusted",
            |it| it.write("dipeo.toml", "[policy.workspace]\nhost_code = true\n"),
            &[],
            "do not count",
            "dipeo trust --config",
        ),
    ];
    for (name, spoil, variables, message, hint) in cases {
        let workspace = workspace();
        spoil(&workspace);
        let (found, code) = doctor(&workspace, variables);
        let findings = findings(&found);
        assert_eq!((findings.len(), code), (1, Some(2)), "{name}: {findings:?}");
        assert!(findings[0].0.contains(message) && findings[0].1.contains(hint), "{name}: {findings:?}");
    }
}

#[test]
fn at_the_terminal_it_says_what_to_do() {
    let workspace = workspace();
    let run = |variables: &[(&str, &str)]| {
        let mut command = workspace.command();
        let output = command.arg("doctor").env("DIPEO_PORT", "0").envs(variables.iter().copied()).output();
        String::from_utf8(output.expect("runs").stdout).expect("text")
    };
    assert!(run(&[]).ends_with("nothing has to be done\n"));
    let spoiled = run(&[("DIPEO_PROT", "1")]);
    assert!(spoiled.contains("  ! the variable `DIPEO_PROT` is unknown") && spoiled.contains("    do: "), "{spoiled}");
    assert!(spoiled.ends_with("1 thing has to be done, marked with !\n"), "{spoiled}");
}
