use super::super::harness::World;
use super::super::harness::{Harness, codes, connection, diagram, node};
use super::*;

const BEFORE: &str = "a\nb\nc\n";
const DIFF: &str = "--- a/files/x.txt\n+++ b/files/x.txt\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n";
/// The second hunk does not fit.
const HALF: &str = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+A\n@@ -3 +3 @@\n-z\n+Z\n";

/// A node with an incoming connection, on a workspace with one file.
fn harness(fields: Value) -> Harness {
    let mut all = json!({"target_path": "files/x.txt"});
    all.as_object_mut().expect("a map").extend(fields.as_object().cloned().expect("a map"));
    let mut diagram = diagram(NodeKind::DiffPatch, all);
    diagram.nodes.push(node(1, NodeKind::Start, json!({})));
    diagram.connections.push(connection(1, 0));
    Harness::in_diagram(&diagram, World::default()).file("files/x.txt", BEFORE)
}

#[tokio::test]
async fn a_patch_changes_the_file_and_keeps_a_copy() {
    let harness = harness(json!({"diff": DIFF}));
    let value = harness.body().await.expect("it fits");
    let backup = value["backup_path"].as_str().expect("a copy").to_owned();
    assert!(backup.starts_with("files/x.txt.") && backup.ends_with(".bak"), "{backup}");
    assert_eq!(harness.files.text("files/x.txt").as_deref(), Some("a\nB\nc\n"));
    assert_eq!(harness.files.text(&backup).as_deref(), Some(BEFORE));
    let hash = hex::encode(Sha256::digest("a\nB\nc\n"));
    let expected = json!({
        "status": "success", "target_path": "files/x.txt", "applied_hunks": 1, "rejected_hunks": [],
        "backup_path": backup, "file_hash": hash, "dry_run": false,
    });
    assert_eq!((value, harness.node.effect()), (expected, Effect::Outside));
}

#[tokio::test]
async fn the_modes_differ_in_what_they_write() {
    for (fields, status, after, n_files) in [
        (json!({"diff": DIFF, "backup": false}), "success", "a\nB\nc\n", 1),
        (json!({"diff": DIFF, "backup_dir": "files/old/"}), "success", "a\nB\nc\n", 2),
        (json!({"diff": DIFF, "apply_mode": "dry_run"}), "success", BEFORE, 1),
        (json!({"diff": HALF, "apply_mode": "dry_run"}), "partial", BEFORE, 1),
        (json!({"diff": HALF, "apply_mode": "force"}), "partial", "A\nb\nc\n", 2),
        (json!({"diff": HALF, "apply_mode": "force", "reject_file": "files/x.rej"}), "partial", "A\nb\nc\n", 3),
        (json!({"diff": DIFF.replace("-b\n+B", "-B\n+b"), "apply_mode": "reverse"}), "success", "a\nB\nc\n", 2),
        // Nothing changes, so nothing is kept.
        (json!({"diff": "@@ -1 +1 @@\n a\n"}), "success", BEFORE, 1),
    ] {
        let harness = harness(fields.clone());
        let value = harness.body().await.unwrap_or_else(|error| panic!("{fields}: {error}"));
        assert_eq!(value["status"], json!(status), "{fields}");
        assert_eq!(harness.files.text("files/x.txt").as_deref(), Some(after), "{fields}");
        assert_eq!(harness.files.paths().len(), n_files, "{fields}: {:?}", harness.files.paths());
    }
    let harness =
        harness(json!({"diff": HALF, "apply_mode": "force", "reject_file": "files/{name}.rej", "backup": false}))
            .variables(json!({"name": "left"}));
    let value = harness.body().await.expect("what fits");
    let text = "@@ -3,1 +3,1 @@\n-z\n+Z\n";
    let rejected = json!([{"hunk": 2, "line": 3, "reason": "line 3 is `c`, not `z`", "text": text}]);
    assert_eq!((&value["applied_hunks"], &value["rejected_hunks"]), (&json!(1), &rejected));
    assert_eq!(harness.files.text("files/left.rej"), Some(format!("--- a/x\n+++ b/x\n{text}")));
}

#[tokio::test]
async fn a_hunk_that_does_not_fit_leaves_the_file_as_it_was() {
    for (fields, code, part) in [
        (
            json!({"diff": HALF}),
            "PATCH_REJECTED",
            "1 of 2 hunks do not fit `files/x.txt`: hunk 2: line 3 is `c`, not `z`",
        ),
        (json!({"diff": DIFF, "apply_mode": "reverse"}), "PATCH_REJECTED", "line 2 is `b`, not `B`"),
        (json!({"diff": "@@ -1,999999999 +1 @@\n a\n"}), "PARSE_FAILED", "line 1 of the diff"),
        (json!({"diff": "no diff"}), "PARSE_FAILED", "no hunk"),
        (json!({"diff": DIFF, "format": "git"}), "PARSE_FAILED", "diff --git"),
        (json!({"diff": "diff --git a/x b/x\nBinary files a/x and b/x differ\n"}), "PATCH_REJECTED", "binary"),
        (
            json!({"diff": format!("{DIFF}--- a/y\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n"), "strip_level": 0}),
            "PATCH_REJECTED",
            "`b/files/x.txt`, `b/y`",
        ),
        (json!({"diff": DIFF, "target_path": "files/none.txt"}), "FILE_NOT_FOUND", "none.txt"),
        (
            json!({"diff": "--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+x\n", "create_missing": true}),
            "PATCH_REJECTED",
            "exists already",
        ),
    ] {
        let harness = harness(fields.clone());
        let error = harness.body().await.expect_err("it does not fit");
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains(part) && error.hint_text().is_some(), "{error}");
        assert_eq!(harness.files.only_text(), BEFORE);
    }
}

#[tokio::test]
async fn a_patch_that_was_applied_already_is_told_so() {
    let harness = harness(json!({"diff": DIFF})).file("files/x.txt", "a\nB\nc\n");
    let error = harness.body().await.expect_err("it does not fit");
    assert!(error.hint_text().is_some_and(|it| it.contains("applied already")), "{error:?}");
}

#[tokio::test]
async fn files_are_made_and_removed() {
    let new = "diff --git a/n b/n\nnew file mode 100644\n--- /dev/null\n+++ b/n\n@@ -0,0 +1,2 @@\n+x\n+y\n";
    let made = harness(json!({"diff": new, "target_path": "files/n.txt", "create_missing": true, "format": "git"}));
    let value = made.body().await.expect("it is made");
    assert_eq!((&value["backup_path"], made.files.text("files/n.txt").as_deref()), (&Value::Null, Some("x\ny\n")));
    // The same diff backwards.
    let removed = harness(json!({"diff": new, "apply_mode": "reverse"})).file("files/x.txt", "x\ny\n");
    let value = removed.body().await.expect("it is removed");
    assert_eq!((&value["deleted"], &value["file_hash"]), (&json!(true), &Value::Null));
    assert_eq!(removed.files.text("files/x.txt"), None);
    assert_eq!(removed.files.only_text(), "x\ny\n", "the copy");
    // An ordinary diff of an empty file makes it as well.
    let fields = json!({"diff": "@@ -0,0 +1 @@\n+x\n", "target_path": "files/m.txt", "create_missing": true});
    let made = harness(fields);
    made.body().await.expect("it is made");
    assert_eq!(made.files.text("files/m.txt").as_deref(), Some("x\n"));
}

#[tokio::test]
async fn the_diff_comes_from_the_field_or_from_an_input() {
    let several = format!("--- a/y\n+++ b/y\n@@ -1 +1 @@\n-q\n+r\n{DIFF}");
    for (fields, inputs) in [
        (json!({"diff": "{{patch}}"}), json!({"patch": DIFF})),
        (json!({}), json!({"diff": DIFF})),
        (json!({}), json!({"default": {"diff": DIFF}})),
        (json!({}), json!({"default": format!("Here it is:\n```diff\n{DIFF}```\n")})),
        (json!({}), json!({"diff": several})),
        (json!({"validate_patch": false}), json!({"diff": DIFF.replace("1,3", "1,9")})),
        (json!({"ignore_whitespace": true}), json!({"diff": DIFF.replace("-b\n", "-b  \n")})),
        (json!({"fuzz_factor": 5}), json!({"diff": DIFF.replace("-1,3 +1,3", "-6,3 +6,3")})),
    ] {
        let harness = harness(fields.clone()).inputs(inputs);
        harness.body().await.unwrap_or_else(|error| panic!("{fields}: {error}"));
        assert_eq!(harness.files.text("files/x.txt").as_deref(), Some("a\nB\nc\n"), "{fields}");
    }
    let large = harness(json!({})).inputs(json!({"diff": "x".repeat(DIFF_BYTES_MAX + 1)}));
    let error = large.body().await.expect_err("too large");
    assert_eq!((error.code(), error.message()), ("PARSE_FAILED", "the diff is larger than 4 MiB"));
    let error = harness(json!({})).inputs(json!({"diff": {"no": "text"}})).body().await.expect_err("no text");
    assert_eq!((error.code(), error.message()), ("PARSE_FAILED", "there is no diff"));
}

#[test]
fn diagnostics_name_each_mistake_once() {
    let with = |more: Value| {
        let mut fields = json!({"target_path": "files/x", "diff": "x"});
        fields.as_object_mut().expect("a map").extend(more.as_object().cloned().expect("a map"));
        fields
    };
    for (fields, expected) in [
        (json!({}), vec!["E401", "E401"]),
        (json!({"target_path": " ", "diff": "x"}), vec!["E401"]),
        (with(json!({})), vec![]),
        (with(json!({"target_path": "../x"})), vec!["E702"]),
        (with(json!({"backup_dir": "/tmp"})), vec!["E702"]),
        (with(json!({"reject_file": "../x.rej"})), vec!["E702"]),
        (with(json!({"format": "context"})), vec!["E403"]),
        (with(json!({"apply_mode": "dryrun"})), vec!["E403"]),
        (with(json!({"strip_level": -1})), vec!["E404"]),
        (with(json!({"fuzz_factor": 1_000_000})), vec!["E404"]),
        (with(json!({"diff": "{{#if x}}"})), vec!["E602"]),
        (with(json!({"backup": false, "backup_dir": "files/b"})), vec!["W402"]),
        (with(json!({"apply_mode": "dry_run", "reject_file": "files/r"})), vec!["W402"]),
        (with(json!({"strip": 1})), vec!["W401"]),
    ] {
        assert_eq!(codes(NodeKind::DiffPatch, fields.clone()), expected, "{fields}");
    }
}
