//! Code and conditions through the real worker process and the interpreters of this machine.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dipeo::code::{Code, Settings};
use dipeo::error::Error;
use dipeo::nodes::ports::{CodeJob, CodeResult, CodeRunner, Language, Languages, RenderJob, Runtime};
use serde_json::{Map, Value, json};

fn settings() -> Settings {
    let worker = [env!("CARGO_BIN_EXE_dipeo"), "code-worker"].map(Into::into).to_vec();
    Settings::new(worker, std::env::temp_dir())
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn job(language: Language, runtime: Runtime, source: &str) -> CodeJob {
    let inputs = json!({"a": 1, "xs": [3, 1, 2], "text": "täxt", "two words": {"b": null}});
    let mut names = map(inputs.clone());
    names.extend(map(json!({"field": "f", "variable": 7})));
    names.remove("two words");
    CodeJob {
        language,
        runtime,
        source: source.into(),
        function_name: "main".into(),
        names,
        inputs: map(inputs),
        globals: map(json!({"variable": 7})),
        node_id: "node_1".into(),
        timeout: Duration::from_secs(10),
        now: None,
    }
}

async fn run(code: &Arc<Code>, language: Language, runtime: Runtime, source: &str) -> Result<CodeResult, Error> {
    code.run(job(language, runtime, source)).await
}

/// Whether an interpreter of the host is here; says so when it is not.
fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|it| it.join(program).is_file());
    if !found {
        println!("skipped: {program} is not there");
    }
    found
}

/// Sources that mean the same in both runtimes of Python, with their values.
fn python_cases() -> Vec<(&'static str, Value)> {
    vec![
        ("result = a + 1", json!(2)),
        ("return a + 1", json!(2)),
        ("if a == 1:\n    return 'one'\nresult = 'other'", json!("one")),
        ("if a == 2:\n    result = 'two'\ndef main():\n    return 'called'", json!("called")),
        ("def main(data):\n    return sorted(data.keys())", json!(["a", "text", "two words", "xs"])),
        ("def main(a, b=10):\n    return a + b", json!(11)),
        ("def main(a, *, field, variable):\n    return [a, field, variable]", json!([1, "f", 7])),
        (
            "def main(x=None, **kw):\n    return {'x': x, 'keys': sorted(kw)}",
            json!({"x": null, "keys": ["a", "text", "two words", "xs"]}),
        ),
        ("def main(a, /, xs):\n    return a + len(xs)", json!(4)),
        ("def main(inputs, node_id):\n    return [len(inputs), node_id]", json!([4, "node_1"])),
        ("async def main(data):\n    return data['a']", json!(1)),
        ("async def f():\n    return 5\nresult = await f()", json!(5)),
        ("async def f():\n    return 6\nresult = f()", json!(6)),
        ("result = None\ndef main():\n    return 1", json!(null)),
        ("x = 3", json!(null)),
        ("def other():\n    return 1", json!(null)),
        ("def f():\n    global result\n    result = 8\nf()", json!(8)),
        ("result = [globals['variable'], node_id, inputs['two words']['b']]", json!([7, "node_1", null])),
        (
            "result = {'t': (1, 2), 's': {3, 1, 2}, 1: True, None: 0.5}",
            json!({"t": [1, 2], "s": [1, 2, 3], "1": true, "null": 0.5}),
        ),
        ("import datetime\nresult = datetime.date(2024, 1, 2)", json!("2024-01-02")),
        ("from datetime import datetime\nresult = datetime(2024, 1, 2, 3, 4, 5)", json!("2024-01-02T03:04:05")),
        ("result = text.upper() + field", json!("TÄXTf")),
        ("result = 2 ** 62 * 3", json!(13835058055282163712_u64)),
        ("total = 0\nfor x in xs:\n    total += x\nresult = total", json!(6)),
        ("import json\nresult = json.loads('{\"a\": [1]}')", json!({"a": [1]})),
        ("try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    result = str(error)", json!("division by zero")),
        ("result = __name__", json!("__main__")),
        ("", json!(null)),
        ("# only words", json!(null)),
    ]
}

#[tokio::test]
async fn sandboxed_python_gives_the_values_of_the_reference() {
    let code = Code::new(settings());
    for (source, expected) in python_cases() {
        let result = run(&code, Language::Python, Runtime::Sandbox, source).await;
        assert_eq!(result.map(|it| it.value).map_err(|it| it.chain()), Ok(expected), "{source}");
    }
}

#[tokio::test]
async fn the_hosts_python_gives_the_same_values() {
    if !has("python3") {
        return;
    }
    let code = Code::new(settings());
    for (source, expected) in python_cases() {
        let result = run(&code, Language::Python, Runtime::Host, source).await;
        assert_eq!(result.map(|it| it.value).map_err(|it| it.chain()), Ok(expected), "{source}");
    }
}

#[tokio::test]
async fn python_fails_with_exception_message_and_line() {
    let code = Code::new(settings());
    let cases = [
        ("x = 1\nresult = nope", "NameError", "name 'nope' is not defined", "line 2: `result = nope`"),
        (
            "def main(data):\n    raise ValueError('no good')",
            "ValueError",
            "no good",
            "line 2: `raise ValueError('no good')`",
        ),
        ("result = inputs['nope']", "KeyError", "'nope'", "line 1"),
        ("result = {'a': [b'x']}", "TypeError", "the value at `a[0]` is of type `bytes`, which is not JSON", ""),
        ("result = float('nan')", "TypeError", "the value is the number `nan`, which is not JSON", ""),
        ("result = 10 ** 30", "TypeError", "the value is an integer beyond 64 bits, which is not JSON", ""),
        ("result = range(3)", "TypeError", "the value is `range(0, 3)` (use `list(…)`), which is not JSON", ""),
        (
            "def main(a, nope):\n    pass",
            "TypeError",
            "`main` requires `nope`; the inputs are `a`, `xs`, `text`, `two words`",
            "",
        ),
        ("raise ValueError", "ValueError", "ValueError", "line 1"),
        (
            "x = []\nx.append(x)\nresult = x",
            "TypeError",
            "the value at `[0]` is a value that contains itself, which is not JSON",
            "",
        ),
    ];
    let runtimes: &[Runtime] = if has("python3") { &[Runtime::Sandbox, Runtime::Host] } else { &[Runtime::Sandbox] };
    for runtime in runtimes {
        for (source, exception, message, hint) in cases {
            let error = run(&code, Language::Python, *runtime, source).await.unwrap_err();
            let shown = error.to_json();
            assert_eq!(shown["code"], "CODE_FAILED", "{source}");
            assert_eq!(
                (shown["type"].as_str(), error.message().to_lowercase()),
                (Some(exception), message.to_lowercase()),
                "{runtime:?}: {source}"
            );
            assert!(error.hint_text().unwrap_or_default().contains(hint), "{source}: {:?}", error.hint_text());
            assert!(error.is_retryable(), "{source}");
        }
    }
}

#[tokio::test]
async fn what_is_printed_is_no_value() {
    let code = Code::new(settings());
    let sandboxed =
        run(&code, Language::Python, Runtime::Sandbox, "for x in xs:\n    print(x, 'ä')\nresult = 1").await.unwrap();
    assert_eq!((sandboxed.value, sandboxed.printed.as_str()), (json!(1), "3 ä\n1 ä\n2 ä\n"));
    if has("python3") {
        let source = "import sys, os\nprint('a')\nsys.stderr.write('b\\n')\nos.write(1, b'c')\nresult = 1";
        let host = run(&code, Language::Python, Runtime::Host, source).await.unwrap();
        assert_eq!((host.value, host.printed.as_str()), (json!(1), "a\nb\nc"));
    }
}

#[tokio::test]
async fn what_the_sandbox_lacks_is_refused_by_name() {
    let code = Code::new(settings());
    for (source, what, line) in [
        ("x = 1\nimport csv", "module `csv`", 2),
        ("def main(data):\n    from itertools import groupby", "`groupby` in its module `itertools`", 2),
        ("result = open('/etc/passwd').read()", "`open`", 1),
        ("import os\nresult = os.getenv('HOME')", "`os.getenv`", 2),
        ("class A(dict):\n    pass", "class inheritance and metaclasses", 1),
    ] {
        let error = run(&code, Language::Python, Runtime::Sandbox, source).await.unwrap_err();
        assert_eq!(error.code(), "TRUST_REQUIRED", "{source}: {}", error.chain());
        assert_eq!(error.message(), format!("the sandbox has no {what} (line {line})"));
        assert!(error.hint_text().unwrap_or_default().contains("policy.workspace.host_code"), "{source}");
    }
    let shell = run(&code, Language::Bash, Runtime::Sandbox, "echo").await.unwrap_err();
    assert_eq!(shell.code(), "TRUST_REQUIRED");
}

#[tokio::test]
async fn sandboxed_code_is_told_the_time_by_our_clock() {
    let clock = Arc::new(dipeo::clock::TestClock::new(dipeo::clock::Timestamp(1_767_323_045_000)));
    let code = Code::new(Settings { clock, ..settings() });
    let source = "from datetime import datetime, date\nresult = [datetime.now(), date.today()]";
    let result = run(&code, Language::Python, Runtime::Sandbox, source).await.unwrap();
    assert_eq!(result.value, json!(["2026-01-02T03:04:05", "2026-01-02"]));
}

#[tokio::test]
async fn hostile_python_ends_and_the_runner_goes_on() {
    let code = Code::new(settings());
    let cases: &[(&str, &[&str])] = &[
        ("while True: pass", &["NODE_TIMEOUT"]),
        ("while True:\n    try:\n        while True: pass\n    except BaseException:\n        pass", &["NODE_TIMEOUT"]),
        ("result = 'a' * 10**10", &["more than 64 MiB"]),
        ("result = [0] * 10**9", &["more than 64 MiB"]),
        ("x = []\nwhile True:\n    x.append('a' * 100000)", &["more than 64 MiB", "ran out of memory"]),
        ("x = 'ab'\nwhile True:\n    x = x + x", &["more than 64 MiB", "ran out of memory"]),
        (
            "x = [1]\nfor i in range(40):\n    x = [x, x]\nresult = x",
            &["more than 64 MiB", "ran out of memory", "NODE_TIMEOUT", "larger than"],
        ),
        ("def f(n):\n    return f(n + 1)\nresult = f(0)", &["recursion"]),
        ("x = []\nfor i in range(100000):\n    x = [x]\nresult = x", &["nested"]),
        ("while True:\n    print('x' * 1000)", &["what the code printed is larger", "NODE_TIMEOUT"]),
        ("result = 'x' * 5000000", &["the value is larger"]),
        ("result = len(str(10 ** 4000000))", &["NODE_TIMEOUT"]),
        ("result = 2 ** 10 ** 9", &["more than 64 MiB"]),
        ("import re\nresult = re.match('(a+)+$', 'a' * 40 + 'b')", &["NODE_TIMEOUT", "", "regex"]),
    ];
    for (source, expected) in cases {
        let mut hostile = job(Language::Python, Runtime::Sandbox, source);
        hostile.timeout = Duration::from_millis(1_000);
        let shown = match code.run(hostile).await {
            Ok(result) => format!("value {}", result.value),
            Err(error) => error.chain(),
        };
        assert!(expected.iter().any(|it| shown.contains(it)), "{source}: {shown}");
        let after = run(&code, Language::Python, Runtime::Sandbox, "for x in xs: pass\nresult = x").await;
        assert_eq!(after.map(|it| it.value).map_err(|it| it.chain()), Ok(json!(2)), "after {source}");
    }
}

async fn render(code: &Arc<Code>, template: &str, variables: Value) -> Result<String, Error> {
    let names = map(json!({"name": "Bob", "rows": [{"a": 1}, {"a": 2}], "unused": "x"}));
    let timeout = Duration::from_secs(10);
    code.render(RenderJob { template: template.into(), names, variables: map(variables), timeout }).await
}

#[tokio::test]
async fn templates_are_rendered_in_the_worker() {
    let code = Code::new(settings());
    let text =
        render(&code, "{% for r in rows %}{{ r.a }}{{ who }}\n{% endfor %}", json!({"who": "{{ name }}!"})).await;
    assert_eq!(text.map_err(|it| it.chain()), Ok("1Bob!\n2Bob!\n".to_owned()));
    let error = render(&code, "\n{{ unusde }}{% if 1 %}{% endif %}", json!({})).await.unwrap_err();
    assert_eq!(error.code(), "TEMPLATE_FAILED");
    assert_eq!(error.message(), "`unusde` is undefined (line 2)");
    assert_eq!(error.hint_text(), Some("did you mean `unused`?"));
}

#[tokio::test]
async fn hostile_templates_end_and_the_runner_goes_on() {
    let code = Code::new(settings());
    let doubling = format!("{{% set x = 'ab' %}}{}", "{% set x = x ~ x %}\n".repeat(40));
    let nested = "{% set n = namespace(x=[]) %}{% for i in range(90000) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x|string|length }}";
    for template in [
        &doubling,
        nested,
        &"{% set x = 'x' * 100000000 %}".repeat(40),
        &format!("{{{{ a{} }}}}", ".b".repeat(200_000)),
    ] {
        let shown = match tokio::time::timeout(Duration::from_secs(30), render(&code, template, json!({}))).await {
            Ok(rendered) => rendered.map_or_else(|error| error.code().to_owned(), |text| format!("value {text}")),
            Err(_) => "it goes on and on".to_owned(),
        };
        assert_eq!(shown, "TEMPLATE_FAILED", "{}", &template[..60]);
        let after = render(&code, "{{ name ~ 1 }}", json!({})).await;
        assert_eq!(after.map_err(|it| it.chain()), Ok("Bob1".to_owned()));
    }
    let error = render(&code, &doubling, json!({})).await.unwrap_err();
    assert!(error.message().contains("ran out of memory"), "{}", error.chain());
    let slow = "{% set x = 'x' * 20000000 %}{% for i in range(9999) %}{% set y = x|upper %}{% endfor %}";
    let timeout = Duration::from_millis(500);
    let slow = RenderJob { template: slow.into(), names: Map::new(), variables: Map::new(), timeout };
    let error = code.render(slow).await.unwrap_err();
    assert_eq!((error.code(), error.message()), ("NODE_TIMEOUT", "the template was not rendered within 0.5 s"));
}

#[tokio::test]
async fn an_endless_loop_holds_up_nobody_else() {
    let code = Code::new(settings());
    let mut endless = job(Language::Python, Runtime::Sandbox, "while True: pass");
    endless.timeout = Duration::from_secs(60);
    let endless = tokio::spawn({
        let code = Arc::clone(&code);
        async move { code.run(endless).await }
    });
    for _ in 0..20 {
        let result = run(&code, Language::Python, Runtime::Sandbox, "for x in xs: pass\nresult = x").await;
        assert_eq!(result.map(|it| it.value).map_err(|it| it.chain()), Ok(json!(2)));
    }
    endless.abort();
}

#[tokio::test]
async fn sandboxed_javascript_and_typescript_run_in_the_worker() {
    let code = Code::new(settings());
    for (language, source, expected) in [
        (Language::JavaScript, "return xs.map(x => x * a)", json!([3, 1, 2])),
        (Language::JavaScript, "const main = it => it['two words']", json!({"b": null})),
        (Language::TypeScript, "interface A { b: number }\nconst x: A = { b: a as number };\nresult = x.b", json!(1)),
        (Language::TypeScript, "enum Size { Big = 3 }\nfunction main(): number { return Size.Big }", json!(3)),
        (
            Language::TypeScript,
            "enum A { B, C = 'c' }\nreturn [A.B, A.C, A[0], Object.keys(A)]",
            json!([0, "c", "B", ["0", "B", "C"]]),
        ),
        (Language::TypeScript, "const enum A { B = 1 << 4 }\nreturn A.B", json!(16)),
        (
            Language::TypeScript,
            "class Box<T extends object> {\n  constructor(private readonly value: T) {}\n  get<K extends keyof T>(key: K): T[K] { return this.value[key] }\n}\nreturn new Box<{ n: number }>({ n: a }).get('n')",
            json!(1),
        ),
        (
            Language::TypeScript,
            "const first = <T,>(xs: T[]): T | undefined => xs[0];\nreturn first<number>(xs)",
            json!(3),
        ),
        (
            Language::TypeScript,
            "function f(x: string): string;\nfunction f(x: number): number;\nfunction f(x: any) { return x }\nreturn f(2)",
            json!(2),
        ),
        (
            Language::TypeScript,
            "const o = { k: 'v' } satisfies Record<string, string>;\nreturn o.k!.length as unknown",
            json!(1),
        ),
        (Language::TypeScript, "abstract class A { abstract n(): number; static s = 2 }\nreturn A.s", json!(2)),
    ] {
        let result = run(&code, language, Runtime::Sandbox, source).await;
        assert_eq!(result.map(|it| it.value).map_err(|it| it.chain()), Ok(expected), "{source}");
    }
    let error =
        run(&code, Language::TypeScript, Runtime::Sandbox, "type A = {\n  b: number\n}\n\nnope()").await.unwrap_err();
    assert_eq!((error.message(), error.hint_text()), ("nope is not defined", Some("line 5: `nope()`")));
    // A line of the JavaScript that was made of it would be another one: types take lines, enums give some.
    for (source, exception, message, hint) in [
        (
            "enum A {\n  B\n}\ntype T<U> =\n  U | null;\nconst x: T<any> = null;\nx.y.z",
            "TypeError",
            "",
            "line 7: `x.y.z`",
        ),
        ("let a1: number = 1;\nlet b: = 2", "SyntaxError", "", "line 2: `let b: = 2`"),
        ("interface A {\n  b: string\n}\nlet s = 'open", "SyntaxError", "unterminated string", "line 4"),
        ("class A {\n  private x: number = 1;\n}\nthrow new RangeError('far')", "RangeError", "far", "line 4"),
        ("function f<T>(x: T): T {\n  throw new Error('in f');\n}\nf<number>(1)", "Error", "in f", "line 2"),
        (
            "let a = 1\nnamespace N { export const x = 5 }",
            "SyntaxError",
            "no place in a function",
            "line 2: `namespace",
        ),
        ("@dec class A {}\nreturn 1", "SyntaxError", "", "line 1"),
    ] {
        let error = run(&code, Language::TypeScript, Runtime::Sandbox, source).await.unwrap_err();
        assert_eq!((error.code(), &error.to_json()["type"]), ("CODE_FAILED", &json!(exception)), "{source}: {error}");
        assert!(error.message().to_lowercase().contains(message), "{source}: {error}");
        assert!(error.hint_text().unwrap_or_default().contains(hint), "{source}: {:?}", error.hint_text());
    }
}

#[tokio::test]
async fn hostile_typescript_only_costs_its_worker() {
    let code = Code::new(settings());
    for source in ["(".repeat(60_000), "a".to_owned() + &".b".repeat(30_000), "if(1){".repeat(9_000)] {
        let error = run(&code, Language::TypeScript, Runtime::Sandbox, &source).await.map(|it| it.value);
        assert!(error.is_err(), "{error:?}");
        let after = run(&code, Language::TypeScript, Runtime::Sandbox, "return 1 as number").await;
        assert_eq!(after.map(|it| it.value).map_err(|it| it.chain()), Ok(json!(1)));
    }
}

#[tokio::test]
async fn the_hosts_node_runs_javascript_and_typescript() {
    if !has("node") {
        return;
    }
    let code = Code::new(settings());
    for (language, source, expected) in [
        (Language::JavaScript, "return xs.map(x => x * a)", json!([3, 1, 2])),
        (Language::JavaScript, "result = await Promise.resolve(inputs.text)", json!("täxt")),
        (Language::JavaScript, "let a = 5; const result = {a, n: node_id}", json!({"a": 5, "n": "node_1"})),
        (Language::JavaScript, "function main(it) { return it['two words'] }", json!({"b": null})),
        (Language::JavaScript, "return require('path').basename('/x/y')", json!("y")),
        (Language::JavaScript, "const os = await import('os'); return typeof os.cpus", json!("function")),
        (Language::JavaScript, "await new Promise(done => setTimeout(done, 1)); return new Set([2, 1])", json!([1, 2])),
        (Language::JavaScript, "leftover = 1; return 1", json!(1)),
        (Language::JavaScript, "return typeof leftover + typeof a", json!("undefinednumber")),
        (Language::TypeScript, "const n: number = a; return n + 1", json!(2)),
    ] {
        let result = run(&code, language, Runtime::Host, source).await;
        assert_eq!(result.map(|it| it.value).map_err(|it| it.chain()), Ok(expected), "{source}");
    }
    let printed =
        run(&code, Language::JavaScript, Runtime::Host, "console.log('a', 1); return 1").await.unwrap().printed;
    assert_eq!(printed, "a 1\n");
    for (source, message, hint) in [
        ("\nreturn nope", "nope is not defined", "line 2: `return nope`"),
        ("return () => 1", "the value is a function, which is not JSON", ""),
        ("await new Promise(() => {})", "the code awaits something that never happens", ""),
        ("let x = ;", "Unexpected token ';'", "line 1"),
        ("setTimeout(() => { throw new Error('late') }, 1); await new Promise(() => {})", "late", ""),
    ] {
        let error = run(&code, Language::JavaScript, Runtime::Host, source).await.unwrap_err();
        assert_eq!((error.code(), error.message()), ("CODE_FAILED", message), "{source}");
        assert!(error.hint_text().unwrap_or_default().contains(hint), "{source}: {:?}", error.hint_text());
    }
    let after = run(&code, Language::JavaScript, Runtime::Host, "return 1").await;
    assert_eq!(after.map(|it| it.value).map_err(|it| it.chain()), Ok(json!(1)));
}

/// Waits until the process is gone or only its entry is left.
pub async fn until_ended(pid: &str) {
    let is_running = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|it| !it.is_empty() && !it.trim_start().starts_with(['Z', 'X']))
    };
    let ended = async {
        while is_running() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ended).await.expect("a child outlived its script");
}

#[tokio::test]
async fn host_code_is_stopped_with_everything_it_started() {
    let code = Code::new(settings());
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    let script = format!("sleep 60 & echo $! >> '{}'; wait", pids.display());
    let stubborn = "while True:\n    try:\n        while True: pass\n    except BaseException:\n        pass";
    let cases = [
        ("bash", Language::Bash, script.clone()),
        ("python3", Language::Python, format!("import subprocess\nsubprocess.run(['sh', '-c', {script:?}])")),
        ("python3", Language::Python, stubborn.to_owned()),
        ("node", Language::JavaScript, "for (;;) {}".to_owned()),
    ];
    for (program, language, source) in cases {
        if !has(program) {
            continue;
        }
        let mut slow = job(language, Runtime::Host, &source);
        slow.timeout = Duration::from_millis(1_500);
        let error = code.run(slow).await.unwrap_err();
        assert_eq!((error.code(), error.is_retryable()), ("NODE_TIMEOUT", false), "{source}: {}", error.chain());
    }
    for pid in std::fs::read_to_string(&pids).unwrap_or_default().lines() {
        until_ended(pid).await;
    }
}

#[tokio::test]
async fn dropping_the_future_stops_the_code() {
    if !has("bash") {
        return;
    }
    let code = Code::new(settings());
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pid");
    let source = format!("echo $$ > '{0}.new' && mv '{0}.new' '{0}'; sleep 60", pipe.display());
    let started = async {
        while !pipe.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = code.run(job(Language::Bash, Runtime::Host, &source)) => panic!("the script sleeps for a minute"),
        () = started => {}
    }
    until_ended(std::fs::read_to_string(&pipe).unwrap().trim()).await;
}

#[tokio::test]
async fn a_worker_that_cannot_start_is_no_fault_of_the_code() {
    for command in [vec!["/no/such/program".into()], vec!["sh".into(), "-c".into(), "exit 3".into()]] {
        let code = Code::new(Settings { worker_command: command, ..settings() });
        let error = run(&code, Language::Python, Runtime::Sandbox, "for x in xs: pass").await.unwrap_err();
        assert_eq!(error.code(), "INTERNAL", "{}", error.chain());
    }
}

#[tokio::test]
async fn shell_code_reads_variables_and_answers_with_its_output() {
    if !has("bash") {
        return;
    }
    let code = Code::new(settings());
    for (language, source, expected) in [
        (Language::Bash, "echo \"  keys=$INPUT_KEYS\"", "keys=a xs text two words"),
        (Language::Bash, "echo \"$INPUT_a $INPUT_xs $INPUT_text $INPUT_two_words\"", "1 [3,1,2] täxt {\"b\":null}"),
        (Language::Shell, "printf '%s' \"$INPUT_a\"; echo noise >&2", "1"),
        (Language::Bash, "cat; pwd >/dev/null", ""),
    ] {
        let result = run(&code, language, Runtime::Host, source).await;
        assert_eq!(result.map(|it| it.value).map_err(|it| it.chain()), Ok(json!(expected)), "{source}");
    }
    let error = run(&code, Language::Bash, Runtime::Host, "echo no luck >&2; exit 3").await.unwrap_err();
    assert_eq!((error.code(), error.message()), ("CODE_FAILED", "bash ended with exit status: 3: no luck"));
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_missing_interpreter_is_a_clear_error() {
    let code = Code::new(Settings { python: "no-such-python".into(), ..settings() });
    let error = run(&code, Language::Python, Runtime::Host, "result = 1").await.unwrap_err();
    assert_eq!((error.code(), error.message()), ("CODE_FAILED", "`no-such-python` is not installed"));
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn code_may_end_its_interpreter_without_harm() {
    if !has("python3") {
        return;
    }
    let code = Code::new(settings());
    for (source, message) in [
        ("import sys\nsys.exit(3)", "3"),
        ("import os\nos._exit(4)", "the code ended its interpreter (exit status: 4)"),
        (
            "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
            "the code ran out of memory or was nested too deep",
        ),
    ] {
        let error = run(&code, Language::Python, Runtime::Host, source).await.unwrap_err();
        assert_eq!((error.code(), error.message()), ("CODE_FAILED", message), "{source}");
        let after = run(&code, Language::Python, Runtime::Host, "result = a").await;
        assert_eq!(after.map(|it| it.value).map_err(|it| it.chain()), Ok(json!(1)));
    }
}

#[tokio::test]
async fn modules_of_the_workspace_are_read_anew_for_each_job() {
    if !has("python3") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let code = Code::new(Settings { working_dir: PathBuf::from(folder.path()), ..settings() });
    for n in [1, 22] {
        std::fs::write(folder.path().join("helper_of_mine.py"), format!("VALUE = {n}")).unwrap();
        let result =
            run(&code, Language::Python, Runtime::Host, "import helper_of_mine\nresult = helper_of_mine.VALUE").await;
        assert_eq!(result.map(|it| it.value).map_err(|it| it.chain()), Ok(json!(n)));
    }
}

#[tokio::test]
async fn conditions_that_are_not_straight_go_to_the_worker() {
    let code = Code::new(settings());
    let names = map(json!({"n": 42, "xs": ["x", "y", "z"], "obj": {"a": {"b": 1}}}));
    for (expression, expected) in [
        ("any(v == 'z' for v in xs) and [v for v in xs if v != 'y'] == ['x', 'z'] and max(1, 2) == 2", true),
        ("[it.b for it in [obj.a]] == [1]", true),
        ("sum(range(n)) < n", false),
        ("obj.a.b == 1", true),
    ] {
        assert_eq!(code.evaluate(expression, &names).await.map(|it| it.truth).map_err(|it| it.chain()), Ok(expected));
    }
    for (expression, said) in [
        ("'a' * 10**10", "more than 64 MiB"),
        ("[x for x in range(10**12)]", ""),
        ("[nope.x > 3 for x in xs]", "`nope`"),
    ] {
        let error = code.evaluate(expression, &names).await.unwrap_err();
        assert_eq!(error.code(), "EXPRESSION_FAILED", "{expression}");
        assert!(error.message().contains(said), "{}", error.message());
    }
}

#[test]
fn the_corpus_stays_within_the_sandbox() {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpus/micro"));
    let Ok(files) = std::fs::read_dir(&folder) else {
        println!("skipped: ../shared is not there");
        return;
    };
    let code = Code::new(settings());
    let mut n_checked = 0;
    for path in files.filter_map(|it| Some(it.ok()?.path())) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("bad_") || !name.ends_with(".light.yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let diagram: Value = serde_yaml::from_str(&text).unwrap();
        for node in diagram["nodes"].as_array().into_iter().flatten() {
            if let Some(expression) = node["expression"].as_str() {
                assert_eq!(code.check_expression(expression), Ok(()), "{name}: {expression}");
                n_checked += 1;
            }
            if let (Some(source), None | Some("python")) = (node["code"].as_str(), node["language"].as_str()) {
                let facts = code.check_code(Language::Python, source);
                assert_eq!(facts.map(|it| it.needs_host), Ok(None), "{name}: {source}");
                n_checked += 1;
            }
        }
    }
    assert!(n_checked > 50, "only {n_checked} texts were found");
}
