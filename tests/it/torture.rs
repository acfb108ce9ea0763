//! `dipeo doctor --torture`, for a moment: the promises hold, and the figures say that something happened.

use crate::harness::{has, json, workspace};

#[test]
fn a_short_torture_finds_every_promise_kept() {
    if !has("sh") {
        return;
    }
    let workspace = workspace();
    let seen = json(&workspace, &["doctor", "--torture", "4", "--seed", "7", "-q"]);
    assert_eq!(seen["held"], true, "{seen:#}");
    for (name, at_least) in
        [("kills", 5), ("executions", 10), ("nodes_committed", 50), ("effects", 10), ("takeovers", 1)]
    {
        assert!(seen[name].as_u64().is_some_and(|it| it >= at_least), "{name}: {seen:#}");
    }
    for name in ["effects_lost", "executions_lost", "stuck", "committed_repeated"] {
        assert_eq!(seen[name], 0, "{name}");
    }
    assert_eq!(seen.get("folder"), None, "what held is not kept");
    assert_eq!(std::fs::read_dir(workspace.root()).expect("lists").count(), 0, "the workspace is left alone");
}

#[test]
fn a_torture_without_time_is_refused() {
    let output = workspace().command().args(["doctor", "--torture", "0"]).output().expect("runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("`--torture` is 0 seconds"));
}
