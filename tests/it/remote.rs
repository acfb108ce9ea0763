//! `dipeo --server URL`: the same command prints the same here and through a server elsewhere, and what cannot be
//! done elsewhere says so.

use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::harness::{Workspace, workspace};
use crate::mcp_client::{ASKS_CALLER, HELLO, HttpServer};

const BROKEN: &str = "\
version: light
nodes:
- {label: start, type: start}
- {label: end, type: endpiont}
connections:
- {from: start, to: end}
";

/// Fails in its second node.
const FAILS: &str = "\
version: light
nodes:
- {label: start, type: start, custom_data: {n: 1}}
- {label: divide, type: code_job, code: \"result = n / 0\"}
- {label: end, type: endpoint}
connections:
- {from: start, to: divide}
- {from: divide, to: end}
";

/// Wants a shell, which a text that a client sent does not get.
const SHELL: &str = "\
version: light
nodes:
- {label: start, type: start}
- {label: sh, type: code_job, language: bash, code: \"echo hi\"}
- {label: end, type: endpoint}
connections:
- {from: start, to: sh}
- {from: sh, to: end}
";

/// A workspace with the same diagrams as every other of this file.
fn furnished() -> Workspace {
    let workspace = workspace();
    for (name, text) in [("hello", HELLO), ("fails", FAILS), ("asks", ASKS_CALLER), ("broken", BROKEN)] {
        workspace.write(&format!("projects/{name}.light.yaml"), text);
    }
    workspace
}

/// A person's terminal elsewhere: an empty folder, and a server.
struct Elsewhere {
    folder: Workspace,
    server: HttpServer,
}

impl Elsewhere {
    fn of(server: HttpServer) -> Self {
        Self { folder: workspace(), server }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.folder.command().args(["--server", &self.server.url]).args(arguments).output().expect("runs")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What differs between two runs of anything: ids, times, durations.
fn without_chance(text: &str) -> String {
    let mut ids: Vec<String> = Vec::new();
    let mut clean = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("exec_") {
        let end = at + "exec_".len() + 32;
        clean.push_str(&rest[..at]);
        let id = rest[at..].get(..37).unwrap_or(&rest[at..]).to_owned();
        let n = ids.iter().position(|it| *it == id).unwrap_or_else(|| {
            ids.push(id);
            ids.len() - 1
        });
        clean.push_str(&format!("ID{n}"));
        rest = rest.get(end..).unwrap_or_default();
    }
    clean.push_str(rest);
    // A person at the terminal of the machine is trusted further than a client: the log says who it was.
    let clean = clean.replace("\"origin\": \"local\"", "\"origin\": \"workspace\"").replace("by terminal", "by http");
    // Columns are as wide as the numbers in them, and a cursor holds a time.
    let lines = clean.lines().map(|it| it.split_whitespace().collect::<Vec<_>>().join(" ") + "\n");
    let clean: String = lines.filter(|it| !it.starts_with("\"next_cursor\": ")).collect();
    let words = clean.split_inclusive([' ', '\n', ',', '"']).map(|word| {
        let (bare, end) = word.split_at(word.trim_end_matches([' ', '\n', ',', '"']).len());
        let is_time = bare.ends_with('Z') && bare.contains('T') && bare.contains(':');
        let is_number = bare.starts_with(|it: char| it.is_ascii_digit())
            && bare.bytes().all(|it| it.is_ascii_digit() || b".:%".contains(&it));
        if is_time || is_number { format!("#{end}") } else { word.to_owned() }
    });
    words.collect()
}

fn newest(workspace: &Workspace) -> String {
    let shown = crate::harness::json(workspace, &["results", "--latest"]);
    shown["execution_id"].as_str().expect("an id").to_owned()
}

#[test]
fn the_same_command_prints_the_same_here_and_elsewhere() {
    let here = furnished();
    let there = furnished();
    let elsewhere = Elsewhere::of(HttpServer::start(&there));
    let mut ids: Vec<[String; 2]> = Vec::new();
    let mut wrong: Vec<String> = Vec::new();
    // `A`, `B` … are the executions that the commands before have started.
    for (command, exit_code) in [
        ("list", 0),
        ("list --json", 0),
        ("list --search hel", 0),
        ("results", 0),
        ("run hello", 0),
        ("run hello --json", 0),
        ("run hello --simple --input name=Ada", 0),
        ("run fails", 1),
        ("run asks", 0),
        ("run nothing", 3),
        ("run broken", 2),
        ("run hello --mode wrong", 2),
        ("results", 0),
        ("results --json --limit 2", 0),
        ("results --status failed", 0),
        ("results A", 0),
        ("results A --verbose", 0),
        ("results D --json --wait 5", 1),
        ("results exec_00000000000000000000000000000000", 3),
        ("results wrong", 2),
        ("watch D", 1),
        ("control E answer chamomile", 0),
        ("watch E", 0),
        ("results A --logs", 0),
        ("results D --logs --json", 0),
        ("results E --messages", 0),
        ("results E --messages --json", 0),
        ("results A --follow", 0),
        ("results D --follow -o markdown", 1),
        ("results A --follow --since 99", 2),
        ("results A --logs --node compose", 0),
        ("results A --logs --node nobody", 3),
        ("metrics --diagram hello", 0),
        ("metrics exec_00000000000000000000000000000000", 3),
        ("watch exec_00000000000000000000000000000000", 3),
        ("history hello", 0),
        ("history nothing", 3),
        ("restore hello@9", 3),
        ("run asks --no-interactive", 0),
        ("pause F", 0),
        ("answer F", 2),
        ("answer F chamomile", 0),
        ("answer F again", 4),
        ("run asks", 0),
        ("cancel G --reason enough", 0),
        ("cancel G", 0),
        ("resume G", 0),
        ("answer G mint --json", 0),
        ("control A abort", 4),
        ("control A nonsense", 2),
        ("replay A", 0),
        ("replay A --json", 0),
        ("fork D --from divide --set-output divide=7", 0),
        ("diff A B", 0),
        ("diff A D --json", 0),
        ("stats hello", 0),
        ("stats hello --json", 0),
        ("stats nothing", 3),
    ] {
        let both = [0, 1].map(|side| {
            let of_word = |word: &str| match word.as_bytes() {
                [letter @ b'A'..=b'G'] => ids[usize::from(letter - b'A')][side].clone(),
                _ => word.to_owned(),
            };
            let arguments: Vec<String> = command.split(' ').map(of_word).collect();
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            match side {
                0 => here.command().args(&arguments).output().expect("runs"),
                _ => elsewhere.run(&arguments),
            }
        });
        let [local, remote] = &both;
        let parts = [&local.stdout, &local.stderr, &remote.stdout, &remote.stderr].map(|it| text(it));
        let shown = format!("{command}\n{}", parts.join("\n---\n"));
        let codes = [local.status.code(), remote.status.code()];
        let [said, said_there] = [local, remote].map(|it| without_chance(&text(&it.stdout)));
        let [told, told_there] = [local, remote].map(|it| without_chance(&text(&it.stderr)));
        if codes != [Some(exit_code); 2] || said != said_there || exit_code > 1 && told != told_there {
            wrong.push(format!("{codes:?} {shown}"));
        }
        if command.starts_with("run ") && exit_code < 2 {
            ids.push([newest(&here), newest(&there)]);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n=====\n"));
    assert!(std::fs::read_dir(elsewhere.folder.root()).expect("there").next().is_none(), "something was written here");
}

#[test]
fn a_file_of_this_machine_is_sent_and_has_a_clients_rights_there() {
    let there = furnished();
    let elsewhere = Elsewhere::of(HttpServer::start(&there));
    elsewhere.folder.write("own.light.yaml", HELLO);
    let ran = elsewhere.run(&["run", "own.light.yaml", "--simple"]);
    assert_eq!(text(&ran.stdout), "completed\nHello, world!\n");
    let told = text(&ran.stderr);
    assert!(
        told.contains("own.light.yaml` is sent to http://127.0.0.1:") && told.contains("client's rights"),
        "{told}"
    );

    elsewhere.folder.write("shell.light.yaml", SHELL);
    let refused = elsewhere.run(&["run", "shell.light.yaml", "--simple"]);
    assert_ne!(refused.status.code(), Some(0), "{}", text(&refused.stdout));
    let here = elsewhere.folder.command().args(["run", "shell.light.yaml", "--simple"]).output().expect("runs");
    assert_eq!(text(&here.stdout), "completed\nhi\n", "{}", text(&here.stderr));

    elsewhere.folder.write("broken.light.yaml", BROKEN);
    for arguments in [&["compile", "broken.light.yaml"][..], &["compile", "broken.light.yaml", "--json"]] {
        let local = elsewhere.folder.command().args(arguments).output().expect("runs");
        let remote = elsewhere.run(arguments);
        assert_eq!((remote.status.code(), text(&remote.stdout)), (Some(2), text(&local.stdout)));
        assert_eq!(local.status.code(), Some(2));
    }
    let pushed = elsewhere.run(&["compile", "own.light.yaml", "--push-as", "sent"]);
    assert!(text(&pushed.stdout).contains("saved as sent, revision 1"), "{}", text(&pushed.stderr));
    let listed = text(&elsewhere.run(&["list", "--search", "sent"]).stdout);
    assert!(listed.contains("projects/mcp-diagrams/sent.light.yaml"), "{listed}");
}

#[test]
fn a_token_is_asked_for_and_shown() {
    let token = "a-token-that-is-long-enough-to-be-one";
    let there = furnished();
    let elsewhere = Elsewhere::of(HttpServer::start_with(&there, &[], &[("DIPEO_TOKEN", token)]));
    let with = |token: Option<&str>| {
        let mut command = elsewhere.folder.command();
        command.env("DIPEO_SERVER", &elsewhere.server.url).args(["list", "--json"]);
        command.envs(token.map(|it| ("DIPEO_TOKEN", it))).output().expect("runs")
    };
    for wrong in [None, Some("another-token-that-is-long-enough")] {
        let output = with(wrong);
        let error: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!((output.status.code(), &error["error"]["code"]), (Some(2), &"UNAUTHENTICATED".into()), "{error}");
        assert!(error["error"]["hint"].as_str().is_some_and(|it| it.contains("DIPEO_TOKEN")), "{error}");
    }
    let listed: Value = serde_json::from_slice(&with(Some(token)).stdout).expect("JSON");
    assert_eq!(listed["total"], 4);
}

#[test]
fn what_cannot_be_done_elsewhere_says_so() {
    let folder = workspace();
    folder.write("own.light.yaml", HELLO);
    let run = |arguments: &[&str], variables: &[(&str, &str)]| {
        folder.command().args(arguments).envs(variables.iter().copied()).output().expect("runs")
    };
    // Nothing listens on port 1.
    let nowhere = "http://127.0.0.1:1";
    for (arguments, exit_code, part) in [
        (vec!["--server", nowhere, "list"], 6, "SERVER_UNREACHABLE"),
        (vec!["list", "--server", "localhost:1"], 2, "is not the address of a server"),
        (vec!["--server", "localhost:1", "list"], 2, "is not the address of a server"),
        (vec!["doctor", "--server", nowhere], 2, "on this machine"),
        (vec!["config", "show", "--server", nowhere], 2, "on this machine"),
        (vec!["export", "own.light.yaml", "own.py", "--server", nowhere], 2, "on this machine"),
        (vec!["ask", "a poem", "--server", nowhere], 2, "on this machine"),
        (vec!["dipeocc", "list", "--server", nowhere], 2, "on this machine"),
        (vec!["integrations", "list", "--server", nowhere], 2, "on this machine"),
        (vec!["monitor", "--server", nowhere], 2, "in a browser"),
        (vec!["trust", "own.light.yaml", "--server", nowhere], 2, "at the terminal of the server's machine"),
        (vec!["maintenance", "check", "--server", nowhere], 2, "at the terminal of the server's machine"),
        (vec!["watch", "--latest", "--server", nowhere], 6, "SERVER_UNREACHABLE"),
        (vec!["metrics", "--server", nowhere], 6, "SERVER_UNREACHABLE"),
        (vec!["secrets", "list", "--server", nowhere], 2, "at the terminal of the server's machine"),
        (vec!["serve", "--server", nowhere], 2, "a server itself"),
        (vec!["stats", "own.light.yaml", "--server", nowhere], 2, "a file of this machine"),
        (vec!["run", "own.light.yaml", "--stream", "--server", nowhere], 2, "cannot be shown while they come"),
        (vec!["compile", "own.light.yaml", "--fix", "--write", "--server", nowhere], 2, "`--write`"),
        (vec!["compile", "own.light.yaml", "--push-as", "x", "--trust", "--server", nowhere], 2, "`--trust`"),
    ] {
        let output = run(&arguments, &[]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(exit_code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(part) && stderr.contains("hint: "), "{arguments:?}: {stderr}");
    }
    // The variable is a habit, not a wish: what cannot be done there is done here.
    let here = run(&["convert", "own.light.yaml", "-"], &[("DIPEO_SERVER", nowhere)]);
    assert!(!text(&here.stderr).contains("SERVER_UNREACHABLE"), "{}", text(&here.stderr));
}

#[test]
fn the_guides_form_of_serve_is_still_one() {
    let output = workspace().command().args(["--server", "--port", "nonsense"]).output().expect("runs");
    assert!(text(&output.stderr).contains("--port"), "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn what_runs_elsewhere_is_watched_while_somebody_answers_it() {
    let there = furnished();
    let elsewhere = Elsewhere::of(HttpServer::start(&there));
    let ran: Value = serde_json::from_slice(&elsewhere.run(&["run", "asks", "--json"]).stdout).expect("JSON");
    let id = ran["execution_id"].as_str().expect("an id");
    let mut command = elsewhere.folder.command();
    command.args(["--server", &elsewhere.server.url, "watch", id]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut watch = command.spawn().expect("starts");
    let mut lines = BufReader::new(watch.stderr.take().expect("piped")).lines().map(|it| it.expect("text"));
    let until_it_waits: Vec<String> = lines.by_ref().take_while(|it| !it.starts_with("next: ")).collect();
    assert!(until_it_waits.iter().any(|it| it.starts_with("[1/3] start done")), "{until_it_waits:?}");
    let waits = until_it_waits.last().expect("a line");
    assert!(waits.starts_with("waiting: ask (model): ") && waits.ends_with("Best tea?"), "{until_it_waits:?}");
    let answered = elsewhere.run(&["answer", id, "chamomile"]);
    assert_eq!(answered.status.code(), Some(0), "{}", text(&answered.stderr));
    let rest: Vec<String> = lines.collect();
    assert!(rest.iter().any(|it| it.ends_with("ask was answered")), "{rest:?}");
    let output = watch.wait_with_output().expect("ends");
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(shown.starts_with(&format!("{id} completed in ")) && shown.contains("result:\nchamomile\n"), "{shown}");
    // What took long differs from run to run, so it is not compared with that of another one.
    let metrics = elsewhere.run(&["metrics", id, "--json"]);
    let metrics: Value = serde_json::from_slice(&metrics.stdout).expect("JSON");
    assert_eq!((metrics["execution_id"].as_str(), metrics["node_count"].as_u64()), (Some(id), Some(3)), "{metrics}");
    let breakdown = text(&elsewhere.run(&["metrics", id, "--breakdown"]).stdout);
    assert!(breakdown.starts_with(&format!("{id} completed\n")) && breakdown.contains("ask"), "{breakdown}");
}

#[test]
fn an_earlier_text_of_a_diagram_comes_back_elsewhere() {
    let there = furnished();
    let elsewhere = Elsewhere::of(HttpServer::start(&there));
    for (name, text) in [("first", HELLO), ("second", ASKS_CALLER)] {
        elsewhere.folder.write("own.light.yaml", text);
        let pushed = elsewhere.run(&["compile", "own.light.yaml", "--push-as", "sent"]);
        assert_eq!(pushed.status.code(), Some(0), "{name}");
    }
    let history = text(&elsewhere.run(&["history", "sent"]).stdout);
    assert!(history.ends_with("2 of 2 revisions\n"), "{history}");
    let restored = elsewhere.run(&["restore", "sent@1"]);
    let said = text(&restored.stdout);
    assert_eq!(said, "sent is as revision 1 again, which is revision 3 now\n", "{}", text(&restored.stderr));
    assert_eq!(text(&elsewhere.run(&["run", "sent", "--simple"]).stdout), "completed\nHello, world!\n");
}
