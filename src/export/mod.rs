//! A plan as one Python script that runs without this program (diagrams.md 5.1, surface.md 2.8). Pure: text in,
//! text out; what stands in other files comes in as `Surroundings`.
//!
//! The script holds the plan as a literal, loops already found, one function per node, and of the runtime in
//! `runtime/` the files that its nodes need. It must not know how a script is written to disk.
//!
//! | file | what it holds |
//! |---|---|
//! | `nodes` | each node as a call of the runtime, or why there is none |
//! | `outline` | nodes, edges, loops, limits, persons and inputs as values |
//! | `literal` | values as Python literals |
//! | `parts` | the files of the runtime |

mod literal;
mod nodes;
mod outline;
mod parts;

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::compile::Plan;
use crate::diagram::Diagram;
use crate::nodes::Surroundings;
use nodes::Call;
use parts::Part;

/// What to export: a diagram and the plan compiled from it.
pub struct Export<'a> {
    /// The name it is known by.
    pub name: &'a str,
    pub diagram: &'a Diagram,
    pub plan: &'a Plan,
    pub surroundings: &'a dyn Surroundings,
}

/// Returns the script.
///
/// # Errors
///
/// Every reason why the diagram has no equal script, each one sentence that names its node or person.
pub fn python(export: &Export<'_>) -> Result<String, Vec<String>> {
    let mut reasons = outline::reasons(export);
    let mut calls = Vec::new();
    for idx in 0..export.plan.nodes.len() {
        match nodes::call(export, idx) {
            Ok(call) => calls.push(call),
            // A person that several nodes ask is named once.
            Err(found) => found.into_iter().for_each(|it| {
                if !reasons.contains(&it) {
                    reasons.push(it)
                }
            }),
        }
    }
    if !reasons.is_empty() {
        return Err(reasons);
    }
    let mut values = String::new();
    for (name, value) in [
        ("PLAN", outline::plan(export, &calls)),
        ("PERSONS", outline::persons(export)),
        ("INPUTS", outline::inputs(export.plan)),
    ] {
        let _ = write!(values, "{name} = {}\n\n", literal::python(&value, 0));
    }
    let parts: BTreeSet<Part> =
        parts::ALWAYS.iter().copied().chain(calls.iter().flat_map(|it| it.parts.clone())).collect();
    let functions: String = calls.iter().enumerate().map(|(idx, call)| function(export, idx, call)).collect();
    let names: Vec<String> =
        calls.iter().enumerate().map(|(idx, _)| format!("    {},\n", function_name(export, idx))).collect();
    let (imports, runtime) = parts::joined(&parts);
    Ok(format!(
        "#!/usr/bin/env python3\n{}\n{imports}\n\n{values}\n{functions}NODES = [\n{}]\n\n\n{runtime}",
        docstring(export, parts.contains(&Part::Jinja)),
        names.concat()
    ))
}

/// One function per node: what it is, and the call of the runtime that does it.
fn function(export: &Export<'_>, idx: usize, call: &Call) -> String {
    let node = &export.plan.nodes[idx];
    let mut text = format!("def {}(cx):\n", function_name(export, idx));
    let _ = writeln!(text, "    \"\"\"{}: {}.\"\"\"", node.kind.name(), in_docstring(&node.label));
    let arguments: String =
        call.arguments.iter().map(|(name, value)| format!("        {name}={},\n", literal::python(value, 2))).collect();
    let _ = match arguments.is_empty() {
        true => write!(text, "    return {}(cx)\n\n\n", call.function),
        false => write!(text, "    return {}(\n        cx,\n{arguments}    )\n\n\n", call.function),
    };
    text
}

/// `node_3_write_poem`: the number keeps names apart, the rest is for readers.
fn function_name(export: &Export<'_>, idx: usize) -> String {
    let label = export.plan.nodes[idx].label.to_lowercase();
    let words: Vec<&str> = label.split(|it: char| !it.is_ascii_alphanumeric()).filter(|it| !it.is_empty()).collect();
    let slug: String = words.join("_").chars().take(40).collect();
    if slug.is_empty() { format!("node_{idx}") } else { format!("node_{idx}_{slug}") }
}

fn docstring(export: &Export<'_>, needs_jinja: bool) -> String {
    let text = |key: &str| export.diagram.metadata.get(key).and_then(serde_json::Value::as_str);
    let name = in_docstring(text("name").unwrap_or(export.name));
    let about = text("description").map(|it| format!("{}\n\n", in_docstring(it))).unwrap_or_default();
    let needs = if needs_jinja { "Python 3.9 or newer and Jinja2" } else { "Python 3.9 or newer and nothing else" };
    format!(
        "\"\"\"{name}: a diagram as a script, exported by dipeo {}.\n\n{about}Needs {needs}. The last line of stdout is \
         the result as JSON; what it\nprints besides goes to stderr. Keys of models come from the environment \
         (OPENAI_API_KEY, ANTHROPIC_API_KEY).\n\"\"\"\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// A text of one line that cannot end a docstring.
fn in_docstring(text: &str) -> String {
    let line: String = text.trim().chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
    line.replace('\\', "\\\\").replace('"', "\\\"")
}
