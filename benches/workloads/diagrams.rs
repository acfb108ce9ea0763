//! The diagrams of the workloads, as text. Every step's output is `{"i": n, "out": 256 times x}`.

use std::fmt::Write as _;
use std::path::Path;

use crate::Outcome;

/// Steps of a chain, rounds of the loop, nodes side by side.
pub const N_STEPS: usize = 100;
/// Length of each step's payload.
const PAYLOAD_CHARS: usize = 256;

/// Makes the text of a diagram.
type Make = fn() -> String;

/// Every diagram under the name of its file.
const ALL: &[(&str, Make)] = &[
    ("chain_pure", chain_pure),
    ("chain_effect", chain_effect),
    ("loop_of_100", loop_of_100),
    ("fan_out", fan_out),
    ("chain_of_conditions", chain_of_conditions),
    ("chain_of_templates", chain_of_templates),
    ("chain_of_host_code", chain_of_host_code),
    ("run_3", run_3),
];

/// Writes every diagram into `folder`, so that other programs can be measured with them.
pub fn write_all(folder: &Path) -> Outcome<()> {
    std::fs::create_dir_all(folder)?;
    for (name, text) in ALL {
        std::fs::write(folder.join(format!("{name}.light.yaml")), text())?;
    }
    Ok(())
}

/// What a step publishes.
pub fn payload(i: u32) -> String {
    format!(r#"{{"i": {i}, "out": "{}"}}"#, "x".repeat(PAYLOAD_CHARS))
}

fn start() -> String {
    format!("- {{label: start, type: start, custom_data: {}}}\n", payload(0))
}

/// A sandboxed step that counts.
fn code_step(label: &str) -> String {
    format!(
        "- {{label: {label}, type: code_job, code: \"result = {{'i': default['i'] + 1, 'out': default['out']}}\"}}\n"
    )
}

/// A step that answers the payload from a script: the path of a real model without its price. It remembers
/// nothing, so that each costs the same.
fn person_step(label: &str) -> String {
    format!(
        "- {{label: {label}, type: person_job, person: Model, default_prompt: next, max_iteration: 1, memorize_to: GOLDFISH}}\n"
    )
}

/// A decision that lets the payload through.
fn condition_step(label: &str) -> String {
    format!("- {{label: {label}, type: condition, expression: \"i >= 0 and len(out) > 3\"}}\n")
}

/// A text with one value in it, in front of the payload.
fn template_step(label: &str) -> String {
    format!("- {{label: {label}, type: template_job, template_content: \"{{{{ default }}}}\"}}\n")
}

/// The sandbox's step, by the host's interpreter.
fn host_step(label: &str) -> String {
    format!("- {{label: {label}, type: code_job, runtime: host, code: \"result = default\"}}\n")
}

fn persons() -> String {
    format!("persons:\n  Model: {{service: scripted, when_exhausted: cycle, replies: ['{}']}}\n", payload(1))
}

fn chain(persons: &str, step: impl Fn(&str) -> String) -> String {
    chain_from(persons, "", step)
}

/// A chain whose connections leave each step by `handle`.
fn chain_from(persons: &str, handle: &str, step: impl Fn(&str) -> String) -> String {
    let mut text = format!("version: light\n{persons}nodes:\n{}", start());
    (1..=N_STEPS).for_each(|n| text += &step(&format!("s{n}")));
    text += "- {label: end, type: endpoint}\nconnections:\n- {from: start, to: s1}\n";
    for n in 1..N_STEPS {
        let _ = writeln!(text, "- {{from: 's{n}{handle}', to: s{}}}", n + 1);
    }
    let _ = writeln!(text, "- {{from: 's{N_STEPS}{handle}', to: end}}");
    text
}

/// Start, 100 sandboxed code nodes, endpoint.
pub fn chain_pure() -> String {
    chain("", code_step)
}

/// Start, 100 conditions that hold, endpoint.
pub fn chain_of_conditions() -> String {
    chain_from("", "[condtrue]", condition_step)
}

/// Start, 100 templates, endpoint.
pub fn chain_of_templates() -> String {
    chain("", template_step)
}

/// Start, 100 nodes of Python on the host, endpoint.
pub fn chain_of_host_code() -> String {
    chain("", host_step)
}

/// Start, 100 scripted persons, endpoint.
pub fn chain_effect() -> String {
    chain(&persons(), person_step)
}

/// The same with a model that takes a second for each reply: a run that is busy for minutes and costs little.
pub fn slow_chain() -> String {
    let model = format!(
        "persons:\n  Model: {{service: scripted, when_exhausted: cycle, replies: [{{text: '{}', delay_ms: 1000}}]}}\n",
        payload(1)
    );
    chain(&model, person_step)
}

/// A code node and a condition, 100 times round.
pub fn loop_of_100() -> String {
    format!(
        "version: light\nnodes:\n{}{}- {{label: done, type: condition, expression: \"i >= {N_STEPS}\"}}\n\
         - {{label: end, type: endpoint}}\nconnections:\n- {{from: start, to: count}}\n- {{from: count, to: done}}\n\
         - {{from: \"done[condfalse]\", to: count}}\n- {{from: \"done[condtrue]\", to: end}}\n",
        start(),
        code_step("count"),
    )
}

/// Start, 100 scripted persons side by side, one endpoint that waits for all.
pub fn fan_out() -> String {
    let mut text = format!("version: light\n{}nodes:\n{}", persons(), start());
    (1..=N_STEPS).for_each(|n| text += &person_step(&format!("s{n}")));
    text += "- {label: end, type: endpoint}\nconnections:\n";
    for n in 1..=N_STEPS {
        let _ = writeln!(text, "- {{from: start, to: s{n}}}\n- {{from: s{n}, to: end, label: s{n}}}");
    }
    text
}

/// Start, one line of code, an endpoint that writes a file.
pub fn run_3() -> String {
    "version: light\nnodes:\n- {label: start, type: start}\n- {label: say, type: code_job, code: \"result = 'hello'\"}\n\
     - {label: end, type: endpoint, save_to_file: true, file_path: files/hello.txt}\n\
     connections:\n- {from: start, to: say}\n- {from: say, to: end}\n"
        .to_owned()
}

/// The smallest run there is, for a database that only has to be full.
pub fn smallest() -> String {
    "version: light\nnodes:\n- {label: start, type: start}\n- {label: end, type: endpoint}\nconnections:\n- {from: start, to: end}\n"
        .to_owned()
}
