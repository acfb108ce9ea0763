//! The diagrams of a torture. Every effect leaves a line in the ledger: who, in which round, for the which time.

/// Where effects leave their lines, below the scratch workspace.
pub(super) const LEDGER: &str = "files/ledger";
/// Where an effect that fails at first remembers that it did.
pub(super) const FLAGS: &str = "files/flags";

/// Writes the line; the shell writes it with one call, so that lines never mix.
const NOTE: &str = "printf '%s %s\\\\n' \\\"$DIPEO_IDEMPOTENCY_KEY\\\" \\\"$DIPEO_ATTEMPT\\\" >> files/ledger";

/// Name and text of each diagram; `NOTE` stands for the command that writes a line.
const DIAGRAMS: [(&str, &str); 11] = [
    (
        "chain",
        r#"
nodes:
- {label: start, type: start}
- {label: one, type: hook, command: "NOTE"}
- {label: two, type: hook, command: "NOTE; sleep 0.02"}
- {label: three, type: hook, command: "NOTE"}
- {label: end, type: endpoint}
connections:
- {from: start, to: one}
- {from: one, to: two}
- {from: two, to: three}
- {from: three, to: end}
"#,
    ),
    (
        "loop",
        r#"
nodes:
- {label: start, type: start, custom_data: {n: 0}}
- {label: count, type: code_job, code: "result = {'n': n + 1}"}
- {label: act, type: hook, command: "NOTE; echo '{\"n\": {{n}}}'"}
- {label: enough, type: condition, expression: "n >= 4"}
- {label: end, type: endpoint}
connections:
- {from: start, to: count}
- {from: count, to: act}
- {from: act, to: enough}
- {from: "enough[condfalse]", to: count}
- {from: "enough[condtrue]", to: end}
"#,
    ),
    (
        "fan",
        r#"
nodes:
- {label: start, type: start}
- {label: a, type: hook, command: "NOTE"}
- {label: b, type: hook, command: "NOTE; sleep 0.01"}
- {label: c, type: hook, command: "NOTE; sleep 0.03"}
- {label: d, type: hook, command: "NOTE"}
- {label: join, type: code_job, code: "result = 'joined'"}
- {label: after, type: hook, command: "NOTE"}
- {label: end, type: endpoint}
connections:
- {from: start, to: a}
- {from: start, to: b}
- {from: start, to: c}
- {from: start, to: d}
- {from: a, to: join, label: a}
- {from: b, to: join, label: b}
- {from: c, to: join, label: c}
- {from: d, to: join, label: d}
- {from: join, to: after}
- {from: after, to: end}
"#,
    ),
    (
        "branch",
        r#"
nodes:
- {label: start, type: start, custom_data: {n: 3}}
- {label: odd, type: condition, expression: "n % 2 == 1"}
- {label: left, type: hook, command: "NOTE"}
- {label: right, type: hook, command: "NOTE"}
- {label: merge, type: hook, command: "NOTE"}
- {label: end, type: endpoint}
connections:
- {from: start, to: odd}
- {from: "odd[condtrue]", to: left}
- {from: "odd[condfalse]", to: right}
- {from: left, to: merge, label: left}
- {from: right, to: merge, label: right}
- {from: merge, to: end}
"#,
    ),
    (
        "retry",
        r#"
nodes:
- {label: start, type: start}
- label: shaky
  type: hook
  retry: {max_attempts: 3, delay_ms: 40, backoff: fixed}
  command: "NOTE; test -e \"files/flags/$DIPEO_IDEMPOTENCY_KEY\" || { : > \"files/flags/$DIPEO_IDEMPOTENCY_KEY\"; exit 1; }"
- {label: after, type: hook, command: "NOTE"}
- {label: end, type: endpoint}
connections:
- {from: start, to: shaky}
- {from: shaky, to: after}
- {from: after, to: end}
"#,
    ),
    (
        "once",
        r#"
nodes:
- {label: start, type: start}
- {label: once, type: hook, at_most_once: true, command: "NOTE; sleep 0.02"}
- {label: after, type: hook, command: "NOTE"}
- {label: end, type: endpoint}
connections:
- {from: start, to: once}
- {from: once, to: after}
- {from: after, to: end}
"#,
    ),
    (
        "question",
        r#"
nodes:
- {label: start, type: start, custom_data: {n: 0}}
- {label: count, type: code_job, code: "result = {'n': n + 1}"}
- {label: ask, type: user_response, prompt: "How many?"}
- {label: collect, type: code_job, code: "result = {'n': count['n'], 'answer': answer}"}
- {label: act, type: hook, command: "NOTE; echo '{\"n\": {{n}}}'"}
- {label: enough, type: condition, expression: "n >= 2"}
- {label: end, type: endpoint}
connections:
- {from: start, to: count}
- {from: count, to: ask}
- {from: count, to: collect, label: count}
- {from: ask, to: collect, label: answer}
- {from: collect, to: act}
- {from: act, to: enough}
- {from: "enough[condfalse]", to: count}
- {from: "enough[condtrue]", to: end}
"#,
    ),
    (
        "handoff",
        r#"
persons:
  Caller: {service: caller}
nodes:
- {label: start, type: start}
- {label: before, type: hook, command: "NOTE"}
- {label: say, type: person_job, person: Caller, default_prompt: "Say something", max_iteration: 1}
- {label: after, type: hook, command: "NOTE"}
- {label: end, type: endpoint}
connections:
- {from: start, to: before}
- {from: before, to: say}
- {from: say, to: after}
- {from: after, to: end}
"#,
    ),
    (
        "items",
        r#"
persons:
  Editor: {service: scripted}
nodes:
- {label: start, type: start, custom_data: {items: [a, b, c, d, e]}}
- {label: each, type: person_job, person: Editor, batch: true, max_concurrent: 2, default_prompt: "{{item}}", max_iteration: 1}
- {label: after, type: hook, command: "NOTE"}
- {label: end, type: endpoint}
connections:
- {from: start, to: each}
- {from: each, to: after}
- {from: after, to: end}
"#,
    ),
    (
        "children",
        r#"
nodes:
- {label: start, type: start, custom_data: {items: [1, 2, 3]}}
- label: each
  type: sub_diagram
  batch: true
  max_concurrent: 2
  diagram_data:
    version: light
    nodes:
    - {label: start, type: start}
    - {label: act, type: hook, command: "NOTE; sleep 0.01"}
    - {label: end, type: endpoint}
    connections:
    - {from: start, to: act}
    - {from: act, to: end}
- {label: after, type: hook, command: "NOTE"}
- {label: end, type: endpoint}
connections:
- {from: start, to: each}
- {from: each, to: after}
- {from: after, to: end}
"#,
    ),
    (
        "asking_child",
        r#"
nodes:
- {label: start, type: start}
- label: below
  type: sub_diagram
  diagram_data:
    version: light
    nodes:
    - {label: start, type: start}
    - {label: before, type: hook, command: "NOTE"}
    - {label: ask, type: user_response, prompt: "Go on?"}
    - {label: after, type: hook, command: "NOTE"}
    - {label: end, type: endpoint}
    connections:
    - {from: start, to: before}
    - {from: before, to: ask}
    - {from: ask, to: after}
    - {from: after, to: end}
- {label: after, type: hook, command: "NOTE"}
- {label: end, type: endpoint}
connections:
- {from: start, to: below}
- {from: below, to: after}
- {from: after, to: end}
"#,
    ),
];

/// Name and text of each diagram.
pub(super) fn diagrams() -> Vec<(&'static str, String)> {
    let whole = |text: &str| format!("version: light\n{}", text.trim_start().replace("NOTE", NOTE));
    DIAGRAMS.iter().map(|(name, text)| (*name, whole(text))).collect()
}
