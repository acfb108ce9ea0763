//! Forms of the output: Markdown, colours, pipes that close, what shells and `man` are given.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use super::workspace;
use crate::harness::{self, Workspace};

fn stdout(workspace: &Workspace, arguments: &[&str]) -> String {
    let output = workspace.command().args(arguments).stdin(Stdio::null()).output().expect("runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn markdown_has_a_title_and_tables() {
    let workspace = workspace();
    for (arguments, parts) in [
        (
            vec!["run", "review"],
            vec![
                "# exec_",
                "| node | type | status | runs | ms |",
                "| make | template_job | completed | 1 |",
                "## result",
                "```\na is 1\n```",
            ],
        ),
        (vec!["results"], vec!["# executions", "| execution | status |"]),
        (vec!["results", "--latest", "--verbose"], vec!["# exec_", "## output of make"]),
        (vec!["results", "--latest", "--logs"], vec!["| seq | time | event | node |  |", "| node_started | make |"]),
        (vec!["results", "--latest", "--follow"], vec!["# exec_", "\n- "]),
        (vec!["metrics", "--latest", "--breakdown"], vec!["- **total**: ", "## breakdown", "| node | run | ms |"]),
        (vec!["list"], vec!["# diagrams", "| review | light | 3 |"]),
        (vec!["stats", "review"], vec!["# review", "- **nodes**: 3"]),
        (vec!["compile", "review"], vec!["# compile", "```\nok "]),
        (vec!["doctor"], vec!["# doctor", "```\n"]),
        (vec!["secrets", "list"], vec!["# secrets"]),
        (vec!["tokens", "list"], vec!["# tokens"]),
    ] {
        let shown = stdout(&workspace, &[&arguments[..], &["-o", "markdown"]].concat());
        for part in parts {
            assert!(shown.contains(part), "{arguments:?} without {part:?}:\n{shown}");
        }
        assert!(shown.starts_with("# "), "{arguments:?}:\n{shown}");
    }
}

/// What a command prints on a terminal of its own.
fn on_a_terminal(workspace: &Workspace, line: &str, variables: &[(&str, &str)]) -> Option<String> {
    if !harness::has("script") {
        return None;
    }
    let mut command = Command::new("script");
    command.args(["-qec", &format!("{} {line}", harness::DIPEO), "/dev/null"]);
    command.current_dir(workspace.root()).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("DIPEO_HOME", workspace.home()).env("HOME", workspace.home()).env("TERM", "xterm-256color");
    command.envs(variables.iter().copied());
    let output = command.stdin(Stdio::null()).output().expect("runs");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let workspace = workspace();
    let coloured = |text: &str| text.contains("\u{1b}[3");
    for line in ["run review --no-watch", "results nonsense"] {
        let Some(plain) = on_a_terminal(&workspace, line, &[("NO_COLOR", "1")]) else { return };
        assert!(!coloured(&plain), "NO_COLOR {line}: {plain:?}");
        let plain = on_a_terminal(&workspace, &format!("{line} --no-color"), &[]).expect("a terminal");
        assert!(!coloured(&plain), "--no-color {line}: {plain:?}");
        let shown = on_a_terminal(&workspace, line, &[]).expect("a terminal");
        assert!(coloured(&shown), "{line}: {shown:?}");
        let output = workspace.command().args(line.split(' ')).output().expect("runs");
        let piped = [output.stdout, output.stderr].concat();
        assert!(!piped.contains(&0x1b), "{line} into a pipe: {}", String::from_utf8_lossy(&piped));
    }
}

#[test]
fn a_reader_that_has_had_enough_ends_every_command_quietly() {
    let workspace = workspace();
    let id = "exec_0123456789abcdef0123456789abcdef";
    stdout(&workspace, &["run", "review", "--execution-id", id]);
    for arguments in [
        vec!["results"],
        vec!["results", id, "--logs"],
        vec!["results", id, "--follow"],
        vec!["results", id, "--json"],
        vec!["metrics", id],
        vec!["list"],
        vec!["run", "review"],
        vec!["completions", "bash"],
        vec!["man"],
        vec!["results", "nonsense", "--json"],
        vec![],
    ] {
        let mut child =
            workspace.command().args(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        drop(child.stdout.take());
        let mut stderr = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut stderr).expect("text");
        let code = child.wait().expect("ends").code();
        assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("panicked") && !stderr.contains("error:"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn following_ends_when_nobody_reads_any_more() {
    let workspace = workspace();
    workspace.write("wait.light.yaml", "version: light\nnodes:\n- {label: start, type: start}\n- {label: q, type: user_response, prompt: Name?}\nconnections:\n- {from: start, to: q}\n");
    let object = harness::json(&workspace, &["run", "wait.light.yaml"]);
    assert_eq!(object["status"], "paused", "{object:#}");
    let id = object["execution_id"].as_str().expect("an id");
    let mut child =
        workspace.command().args(["results", id, "--follow"]).stdout(Stdio::piped()).spawn().expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    assert!(lines.next().expect("a line").expect("text").contains("execution_started"));
    drop(lines);
    // The next event finds nobody.
    harness::json(&workspace, &["answer", id, "Ann"]);
    assert_eq!(child.wait().expect("ends").code(), Some(0));
}

#[test]
fn broken_settings_do_not_keep_a_shell_from_its_completions() {
    let workspace = workspace();
    workspace.write("dipeo.toml", "this is no TOML");
    for (arguments, said) in
        [(vec!["completions", "fish"], "complete -c dipeo"), (vec!["man"], ".TH"), (vec![], "dipeo run")]
    {
        let output = workspace.command().args(&arguments).output().expect("runs");
        assert!(output.status.success(), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(said), "{arguments:?}");
    }
}

#[test]
fn completions_load_in_their_shells_and_know_the_commands() {
    let workspace = workspace();
    let ask =
        "source ./dipeo.bash; COMP_WORDS=(dipeo metr); COMP_CWORD=1; _dipeo dipeo metr dipeo; echo \"${COMPREPLY[*]}\"";
    for (shell, file, flags, line, said) in [
        ("bash", "dipeo.bash", &["--norc", "-c"][..], ask, "metrics"),
        (
            "zsh",
            "_dipeo",
            &["-f", "-c"],
            "autoload -U compinit; compinit -u -D; source ./_dipeo; whence -w _dipeo",
            "function",
        ),
        ("fish", "dipeo.fish", &["--no-config", "-c"], "source ./dipeo.fish; complete -C 'dipeo metr'", "metrics"),
    ] {
        if !harness::has(shell) {
            continue;
        }
        workspace.write(file, &stdout(&workspace, &["completions", shell]));
        let output = Command::new(shell).args(flags).arg(line).current_dir(workspace.root()).output().expect("runs");
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && shown.contains(said),
            "{shell}: {shown}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.stderr.is_empty(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn every_command_has_a_manual_page_that_man_reads_without_a_complaint() {
    let workspace = workspace();
    let said = stdout(&workspace, &["man", "--out", "pages"]);
    let pages: Vec<_> =
        std::fs::read_dir(workspace.root().join("pages")).expect("made").flatten().map(|it| it.path()).collect();
    assert!(said.starts_with(&format!("{} pages in ", pages.len())), "{said}");
    for name in ["dipeo.1", "dipeo-run.1", "dipeo-maintenance-prune.1", "dipeo-cancel.1"] {
        assert!(pages.iter().any(|it| it.ends_with(name)), "{name}: {pages:?}");
    }
    assert!(!pages.iter().any(|it| it.to_string_lossy().contains("drain")), "{pages:?}");
    let page = std::fs::read_to_string(workspace.root().join("pages/dipeo-metrics.1")).expect("readable");
    assert!(page.contains("dipeo metrics \\-\\-latest \\-\\-breakdown"), "{page}");
    if harness::has("mandoc") {
        let lint = Command::new("mandoc").args(["-T", "lint", "-W", "error"]).args(&pages).output().expect("runs");
        assert!(lint.status.success(), "{}", String::from_utf8_lossy(&lint.stdout));
    }
    if !harness::has("man") {
        return;
    }
    for page in pages {
        let output = Command::new("man")
            .args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"])
            .arg(&page)
            .output()
            .expect("runs");
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && complaints.is_empty(), "{}: {complaints}", page.display());
    }
}
