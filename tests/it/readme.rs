//! Every `dipeo` command of the README does what it says, in a workspace that holds the examples.

use std::path::Path;

use crate::harness;

/// Commands that serve until they are stopped, or change another program's settings; other tests cover them.
const ELSEWHERE: &[&str] = &["dipeo serve", "dipeo doctor", "claude "];

#[test]
fn every_command_of_the_readme_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).expect("readable");
    let workspace = harness::workspace();
    for entry in std::fs::read_dir(root.join("examples")).expect("examples").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        workspace.write(&format!("examples/{name}"), &std::fs::read_to_string(entry.path()).expect("readable"));
    }
    let mut n_run = 0;
    for line in commands(&readme) {
        let arguments: Vec<&str> = line.split_whitespace().skip(1).collect();
        let output = workspace.command().args(&arguments).stdin(std::process::Stdio::null()).output().expect("runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`{line}` ended with {:?}: {stderr}", output.status.code());
        assert!(!output.stdout.is_empty(), "`{line}` printed nothing");
        n_run += 1;
    }
    assert!(n_run >= 6, "the README shows more commands than {n_run}");
}

/// The lines of shell blocks that call `dipeo`, without their comments.
fn commands(readme: &str) -> Vec<String> {
    let blocks = readme.split("```sh\n").skip(1).filter_map(|it| it.split("```").next());
    blocks
        .flat_map(str::lines)
        .map(|it| it.split(" #").next().unwrap_or_default().trim().to_owned())
        .filter(|it| it.starts_with("dipeo ") && !ELSEWHERE.iter().any(|other| it.starts_with(other)))
        .collect()
}
