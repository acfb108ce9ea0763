//! The command line as people and scripts meet it: every command of the guide, one JSON document, Markdown, pipes that
//! close, terminals without colour.

mod forms;
mod guide;
mod terminal;
mod watching;

use std::path::Path;

use crate::harness::{self, Workspace};

/// A workspace with the examples and one diagram that has a name.
fn workspace() -> Workspace {
    let workspace = harness::workspace();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for entry in std::fs::read_dir(examples).expect("examples").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        workspace.write(&format!("examples/{name}"), &std::fs::read_to_string(entry.path()).expect("readable"));
    }
    workspace.write("projects/review.light.yaml", REVIEW);
    workspace
}

const REVIEW: &str = "version: light\nname: review\nnodes:\n- {label: start, type: start, custom_data: {a: 1}}\n\
    - {label: make, type: template_job, template_content: 'a is {{ a }}'}\n- {label: end, type: endpoint}\n\
    connections:\n- {from: start, to: make}\n- {from: make, to: end}\n";

/// The words of a line as a shell makes them: blanks part, quotes hold together.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None::<char>);
    for it in line.chars() {
        match (quote, it) {
            (Some(open), it) if it == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(it);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(it),
        }
    }
    words.extend(word);
    words
}
