//! Files that clients bring: confined, bounded, whole or not at all; and the prompts they look at.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use dipeo::engine::Status;
use dipeo::handlers::caller::{Door, Identity, Scopes};
use dipeo::handlers::files::prompts::{list_prompt_files, read_prompt_file};
use dipeo::handlers::files::upload_diagram::{self, upload_diagram};
use dipeo::handlers::files::upload_file::{self, upload_file};
use dipeo::handlers::run_diagram::{self, Waiting};
use dipeo::handlers::{App, Caller};
use serde_json::json;
use tokio::io::{AsyncRead, ReadBuf};

use crate::harness::{self, Workspace};

fn client(scopes: Scopes) -> Caller {
    Caller::client(Identity { principal: "ada".into(), scopes }, Door::Http)
}

fn named(name: &str, path: Option<&str>) -> upload_file::Request {
    upload_file::Request { name: name.into(), path: path.map(str::to_owned), content_type: None }
}

/// Every file below the workspace's `files/`, hidden ones too.
fn files(workspace: &Workspace) -> Vec<String> {
    fn walk(folder: &std::path::Path, root: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.path() {
                it if it.is_dir() => walk(&it, root, found),
                it => found.push(it.strip_prefix(root).expect("below").display().to_string()),
            }
        }
    }
    let mut found = Vec::new();
    walk(&workspace.root().join("files"), workspace.root(), &mut found);
    found.sort();
    found
}

#[tokio::test]
async fn a_file_lands_where_it_was_meant_to_and_the_one_before_is_kept() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let ada = client(Scopes::ALL);
    for (name, path, expected) in [
        ("a.txt", None, "files/uploads/a.txt"),
        ("a.txt", Some("data/b.txt"), "files/data/b.txt"),
        ("a.txt", Some("files/data/"), "files/data/a.txt"),
        ("My file (1).tar.gz", None, "files/uploads/My file (1).tar.gz"),
    ] {
        let done = upload_file(&app, &ada, named(name, path), &b"one"[..]).await.expect(expected);
        assert_eq!((done.path.as_str(), done.size_bytes, done.backup), (expected, 3, None));
        assert_eq!(std::fs::read(workspace.root().join(expected)).expect("there"), b"one");
    }
    let again = upload_file(&app, &ada, named("a.txt", None), &b"two"[..]).await.expect("kept");
    let backup = again.backup.expect("the first is kept");
    let unix = backup.strip_prefix("files/uploads/a.").and_then(|it| it.strip_suffix(".backup.txt")).expect("its form");
    assert!(unix.parse::<i64>().is_ok(), "{backup}");
    assert_eq!(std::fs::read(workspace.root().join(&backup)).expect("there"), b"one");
    assert_eq!(std::fs::read(workspace.root().join("files/uploads/a.txt")).expect("there"), b"two");
    let third = upload_file(&app, &ada, named("a.txt", None), &b"three"[..]).await.expect("kept");
    assert_ne!(third.backup.as_deref(), Some(backup.as_str()), "a second backup has a name of its own");
}

#[tokio::test]
async fn hostile_names_change_nothing() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let ada = client(Scopes::ALL);
    std::fs::create_dir_all(workspace.root().join("files")).expect("made");
    let outside = tempfile::tempdir().expect("folder");
    std::os::unix::fs::symlink(outside.path(), workspace.root().join("files/out")).expect("linked");
    let before = files(&workspace);
    for (name, path, code) in [
        ("../x", None, "INVALID_NAME"),
        ("a/b", None, "INVALID_NAME"),
        (".hidden", None, "INVALID_NAME"),
        ("", None, "INVALID_NAME"),
        ("a\0b", None, "INVALID_NAME"),
        ("x", Some("../dipeo.toml"), "INVALID_NAME"),
        ("x", Some("/etc/x"), "INVALID_NAME"),
        ("x", Some("files/../../x"), "INVALID_NAME"),
        ("x", Some(".dipeo/x"), "INVALID_NAME"),
        ("x", Some("out/x"), "PATH_NOT_ALLOWED"),
        ("x", Some("out/"), "PATH_NOT_ALLOWED"),
        ("x", Some("out"), "PATH_NOT_ALLOWED"),
    ] {
        let refused = upload_file(&app, &ada, named(name, path), &b"x"[..]).await.expect_err(code);
        assert_eq!(refused.code(), code, "{name:?} {path:?}");
    }
    assert_eq!((files(&workspace), outside.path().read_dir().expect("readable").count()), (before, 0));
    let reader = client(Scopes::READ);
    let refused = upload_file(&app, &reader, named("x", None), &b"x"[..]).await.expect_err("refused");
    assert_eq!(refused.code(), "INSUFFICIENT_SCOPE");
}

/// Gives zeros without end, or an error after some.
struct Body {
    fails_after: Option<usize>,
    n_given: usize,
}

impl AsyncRead for Body {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.fails_after.is_some_and(|it| self.n_given >= it) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        self.n_given += buf.remaining();
        let n_bytes = buf.remaining();
        buf.put_slice(&vec![0; n_bytes]);
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn what_is_too_large_or_breaks_off_leaves_nothing_behind() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let ada = client(Scopes::ALL);
    upload_file(&app, &ada, named("a", None), &b"first"[..]).await.expect("kept");
    for (fails_after, code) in [(None, "TOO_LARGE"), (Some(200_000), "FILE_FAILED")] {
        let body = Body { fails_after, n_given: 0 };
        let refused = upload_file(&app, &ada, named("a", None), body).await.expect_err(code);
        assert_eq!(refused.code(), code);
        assert_eq!(files(&workspace), ["files/uploads/a"]);
        assert_eq!(std::fs::read(workspace.root().join("files/uploads/a")).expect("there"), b"first");
    }
}

const HOST: &str = "version: light\nnodes:\n- {label: s, type: start}\n\
    - {label: c, type: code_job, language: bash, code: \"echo hi > files/pwned\"}\n- {label: e, type: endpoint}\n\
    connections:\n- {from: s, to: c}\n- {from: c, to: e}\n";

/// Runs a diagram of the workspace as a client of a server that lets workspace diagrams run host code.
async fn run(app: &App, name: &str) -> Result<Status, &'static str> {
    let request = run_diagram::Request { diagram: Some(name.into()), ..Default::default() };
    let ran =
        run_diagram::run_diagram(app, &client(Scopes::ALL), request, Default::default(), Waiting::default()).await;
    ran.map(|it| it.status).map_err(|it| it.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uploaded_text_that_could_run_stays_submitted() {
    let workspace = harness::workspace();
    workspace.write("dipeo.toml", "[policy.workspace]\nhost_code = true\n");
    let grant = json!([{"sha256": dipeo::config::sha256("[policy.workspace]\nhost_code = true\n")}]);
    std::fs::create_dir_all(workspace.home()).expect("made");
    std::fs::write(workspace.home().join("trust.json"), grant.to_string()).expect("written");
    let app = workspace.app();
    assert!(app.config.policy.workspace_host_code, "the workspace is trusted");
    workspace.write("files/there.txt", "a folder for the nodes");
    workspace.write("projects/own.light.yaml", &HOST.replace("pwned", "own"));
    assert_eq!(run(&app, "own").await, Ok(Status::Completed), "a diagram of the workspace may");
    let ada = client(Scopes::ALL);
    upload_file(&app, &ada, named("evil.light.yaml", Some("evil.light.yaml")), HOST.as_bytes()).await.expect("kept");
    assert_eq!(run(&app, "evil").await, Err("INVALID_DIAGRAM"), "an uploaded one may not");
    let named = upload_diagram::Request { name: "worse.light.yaml".into(), format: None };
    let refused = upload_diagram(&app, &ada, named, HOST.as_bytes()).await.expect("a result");
    assert!(!refused.success && refused.errors.iter().any(|it| it.code == "E701"), "{refused:?}");
    assert!(!workspace.root().join("files/pwned").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uploaded_diagram_is_compiled_and_kept_under_the_name_of_its_file() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let ada = client(Scopes::ALL);
    let text = "version: light\nnodes:\n- {label: s, type: start}\n- {label: e, type: endpoint}\n\
                connections:\n- {from: s, to: e}\n";
    let named = |name: &str| upload_diagram::Request { name: name.into(), format: None };
    let done = upload_diagram(&app, &ada, named("hello.light.yaml"), text.as_bytes()).await.expect("kept");
    assert_eq!((done.success, done.diagram_id.as_deref(), done.revision), (true, Some("hello"), Some(1)));
    assert_eq!(run(&app, "hello").await, Ok(Status::Completed));
    let wrong = upload_diagram(&app, &ada, named("wrong.yaml"), &b"nodes: [{label: x}]"[..]).await.expect("a result");
    assert!(!wrong.success && !wrong.errors.is_empty() && wrong.diagram_id.is_none(), "{wrong:?}");
    for (name, bytes, code) in [
        ("../x.yaml", text.as_bytes(), "INVALID_NAME"),
        (".yaml", text.as_bytes(), "INVALID_NAME"),
        ("x.yaml", &b"\xff\xfe"[..], "INVALID_FORMAT"),
    ] {
        assert_eq!(upload_diagram(&app, &ada, named(name), bytes).await.expect_err(code).code(), code, "{name}");
    }
    let endless = Body { fails_after: None, n_given: 0 };
    assert_eq!(upload_diagram(&app, &ada, named("x.yaml"), endless).await.expect_err("too large").code(), "TOO_LARGE");
}

#[tokio::test]
async fn prompt_files_are_listed_and_read_from_their_folder_alone() {
    let workspace = harness::workspace();
    workspace.write("files/prompts/b.md", "# B");
    workspace.write("files/prompts/deep/a.json", "{\"n\": 1}");
    workspace.write("files/prompts/broken.json", "{");
    workspace.write("files/prompts/tool.py", "import os");
    workspace.write("files/prompts/.hidden.txt", "x");
    workspace.write("files/other.txt", "elsewhere");
    let link = workspace.root().join("files/prompts/link.txt");
    std::os::unix::fs::symlink(workspace.root().join("files/other.txt"), link).expect("linked");
    let app = workspace.app();
    let reader = client(Scopes::READ);
    let listed = list_prompt_files(&app, &reader).await.expect("listed");
    let shown: Vec<_> =
        listed.iter().map(|it| (it.name.as_str(), it.path.as_str(), it.extension.as_str(), it.size)).collect();
    assert_eq!(
        shown,
        [
            ("b.md", "files/prompts/b.md", "md", 3),
            ("broken.json", "files/prompts/broken.json", "json", 1),
            ("deep/a.json", "files/prompts/deep/a.json", "json", 8),
        ]
    );
    for (name, content, raw) in [
        ("b.md", json!("# B"), "# B"),
        ("files/prompts/b.md", json!("# B"), "# B"),
        ("deep/a.json", json!({"n": 1}), "{\"n\": 1}"),
        ("broken.json", json!("{"), "{"),
    ] {
        let read = read_prompt_file(&app, &reader, name).await.expect(name);
        assert_eq!((read.content, read.raw_content.as_str()), (content, raw), "{name}");
    }
    for (name, code) in [
        ("../other.txt", "INVALID_NAME"),
        ("/etc/passwd", "INVALID_NAME"),
        (".hidden.txt", "INVALID_NAME"),
        ("link.txt", "FILE_NOT_FOUND"),
        ("tool.py", "FILE_NOT_FOUND"),
        ("deep", "FILE_NOT_FOUND"),
        ("missing.md", "FILE_NOT_FOUND"),
    ] {
        assert_eq!(read_prompt_file(&app, &reader, name).await.expect_err(name).code(), code, "{name}");
    }
    let nobody = client(Scopes::NONE);
    assert_eq!(list_prompt_files(&app, &nobody).await.expect_err("refused").code(), "INSUFFICIENT_SCOPE");
}
