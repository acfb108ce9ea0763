use std::os::unix::fs::symlink;

use super::*;
use crate::nodes::{FileScope, Origin};

fn rights(files: FileScope) -> Rights {
    Rights { files, ..Rights::of(Origin::Local, true, true) }
}

/// A workspace with a folder beside it that nobody may reach.
fn workspace() -> (tempfile::TempDir, Arc<WorkspaceFiles>) {
    let temp = tempfile::tempdir().expect("a temporary folder");
    let root = temp.path().join("ws");
    for folder in ["ws/files/in", "ws/.dipeo", "ws/other", "outside"] {
        fs::create_dir_all(temp.path().join(folder)).expect("a folder");
    }
    for (path, text) in [
        ("ws/files/in/a.txt", "A"),
        ("ws/files/in/b.txt", "B"),
        ("ws/files/in/.hidden.txt", "H"),
        ("ws/files/c.md", "C"),
        ("ws/other/d.txt", "D"),
        ("ws/.dipeo/state.db", "S"),
        ("outside/secret.txt", "X"),
    ] {
        fs::write(temp.path().join(path), text).expect("a file");
    }
    symlink(temp.path().join("outside"), root.join("files/way_out")).expect("a link");
    symlink(temp.path().join("outside/secret.txt"), root.join("files/in/secret.txt")).expect("a link");
    symlink(temp.path().join("outside/new.txt"), root.join("files/dangling.txt")).expect("a link");
    symlink("../other", root.join("files/to_other")).expect("a link");
    symlink("../.dipeo", root.join("files/to_state")).expect("a link");
    symlink("loop", root.join("files/loop")).expect("a link");
    (temp, WorkspaceFiles::new(root))
}

#[tokio::test]
async fn no_path_leaves_the_workspace() {
    let (temp, files) = workspace();
    let rights = rights(FileScope::Workspace);
    let outside = temp.path().join("outside/secret.txt");
    for path in [
        "../outside/secret.txt",
        "files/../../outside/secret.txt",
        "files/in/../../../outside/secret.txt",
        "files/in/..",
        "/etc/passwd",
        outside.to_str().expect("utf-8"),
        "files/way_out/secret.txt",
        "files/way_out/new/deeper.txt",
        "files/in/secret.txt",
        "files/dangling.txt",
        "files/loop",
        ".dipeo/state.db",
        "./.dipeo/state.db",
        ".DIPEO/state.db",
        "files/to_state/state.db",
        "files/a\0b.txt",
        "",
        " ",
    ] {
        for (verb, done) in [
            ("read", files.read(path, &rights).await.map(|_| ())),
            ("write", files.write(path, b"!", &rights).await),
            ("glob", files.glob(path, &rights).await.map(|_| ())),
        ] {
            match done {
                Err(error) => assert_eq!(error.code(), "PATH_NOT_ALLOWED", "{verb} {path:?}: {error}"),
                // A pattern without wildcards looks for itself and skips what it may not read.
                Ok(()) => assert_eq!(verb, "glob", "{verb} {path:?} was allowed"),
            }
        }
        assert!(!files.exists(path, &rights).await, "{path:?}");
    }
    assert_eq!(fs::read(temp.path().join("outside/secret.txt")).expect("still there"), b"X");
    assert!(!temp.path().join("outside/new.txt").exists());
}

#[tokio::test]
async fn a_narrow_scope_ends_at_the_files_folder() {
    let (_temp, files) = workspace();
    let narrow = rights(FileScope::FilesFolder);
    for path in ["other/d.txt", "files/to_other/d.txt", "filesystem/x", "x"] {
        let error = files.write(path, b"!", &narrow).await.expect_err(path);
        assert_eq!(error.code(), "PATH_NOT_ALLOWED", "{path}");
    }
    assert_eq!(files.glob("*/*.txt", &narrow).await.expect_err("starts at the root").code(), "PATH_NOT_ALLOWED");
    assert_eq!(files.read("files/in/a.txt", &narrow).await.expect("inside"), b"A");
    assert_eq!(files.read("files/to_other/d.txt", &rights(FileScope::Workspace)).await.expect("inside"), b"D");
}

#[tokio::test]
async fn files_are_replaced_whole_and_nothing_is_left_over() {
    let (temp, files) = workspace();
    let rights = rights(FileScope::Workspace);
    let inside = files.root().join("files/in/a.txt");
    for path in ["files/new/deep/x.txt", "files/in/a.txt", inside.to_str().expect("utf-8"), "./files/c.md"] {
        files.write(path, b"new", &rights).await.expect(path);
        assert_eq!(files.read(path, &rights).await.expect(path), b"new");
    }
    let names = |folder: &str| fs::read_dir(temp.path().join(folder)).expect("a folder").count();
    assert_eq!(names("ws/files/new/deep"), 1);
    for (path, code) in
        [("files/none.txt", "FILE_NOT_FOUND"), ("files/in", "FILE_FAILED"), ("files/c.md/x", "FILE_FAILED")]
    {
        assert_eq!(files.read(path, &rights).await.expect_err(path).code(), code, "{path}");
    }
    let huge = vec![0; limits::FILE_BYTES_MAX as usize + 1];
    assert_eq!(files.write("files/huge", &huge, &rights).await.expect_err("too large").code(), "FILE_FAILED");
}

#[tokio::test]
async fn a_pipe_is_refused_and_does_not_hang() {
    let (_temp, files) = workspace();
    let pipe = files.root().join("files/pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is there");
    assert!(made.success());
    let rights = rights(FileScope::Workspace);
    assert_eq!(files.read("files/pipe", &rights).await.expect_err("a pipe").code(), "FILE_FAILED");
    assert_eq!(files.write("files/pipe", b"x", &rights).await.expect_err("a pipe").code(), "FILE_FAILED");
    assert_eq!(files.glob("files/p*", &rights).await.expect("a pattern"), Vec::<String>::new());
}

#[tokio::test]
async fn patterns_find_files_in_order_and_nothing_outside() {
    let (_temp, files) = workspace();
    let rights = rights(FileScope::Workspace);
    for (pattern, expected) in [
        ("files/in/*.txt", vec!["files/in/a.txt", "files/in/b.txt"]),
        ("files/in/[bc].txt", vec!["files/in/b.txt"]),
        ("files/**/*", vec!["files/c.md", "files/in/a.txt", "files/in/b.txt"]),
        ("**/*.txt", vec!["files/in/a.txt", "files/in/b.txt", "other/d.txt"]),
        ("files/in/?.txt", vec!["files/in/a.txt", "files/in/b.txt"]),
        ("files/*", vec!["files/c.md"]),
        ("files/in/a.txt", vec!["files/in/a.txt"]),
        ("nowhere/*", vec![]),
        (".dip*/*", vec![]),
    ] {
        assert_eq!(files.glob(pattern, &rights).await.expect(pattern), expected, "{pattern}");
    }
    assert_eq!(files.glob("files/a**", &rights).await.expect_err("malformed").code(), "FILE_FAILED");
}

#[tokio::test]
async fn changes_of_one_file_do_not_overlap() {
    let (_temp, files) = workspace();
    let rights = rights(FileScope::Workspace);
    let add = |line: usize| -> Change {
        Box::new(move |before| {
            let mut bytes = before.unwrap_or_default();
            bytes.extend(format!("{line}\n").into_bytes());
            Ok(bytes)
        })
    };
    futures_util::future::join_all((0..50).map(|line| files.change("files/log.txt", add(line), &rights))).await;
    let text = files.read("files/log.txt", &rights).await.expect("written");
    assert_eq!(text.iter().filter(|it| **it == b'\n').count(), 50);
}

#[tokio::test]
async fn only_regular_files_of_the_workspace_are_removed() {
    let (temp, files) = workspace();
    let rights = rights(FileScope::FilesFolder);
    for (path, code) in [
        ("../outside/secret.txt", "PATH_NOT_ALLOWED"),
        ("files/in/secret.txt", "PATH_NOT_ALLOWED"),
        ("other/d.txt", "PATH_NOT_ALLOWED"),
        ("files/in", "FILE_FAILED"),
        ("files/none.txt", "FILE_NOT_FOUND"),
    ] {
        let error = files.remove(path, &rights).await.expect_err(path);
        assert_eq!(error.code(), code, "{path}: {error}");
    }
    files.remove("files/in/a.txt", &rights).await.expect("it is removed");
    assert!(!temp.path().join("ws/files/in/a.txt").exists() && temp.path().join("outside/secret.txt").exists());
}
