//! Pictures of a diagram as text for other tools: Mermaid and Graphviz. They go one way only: what a node
//! does is not in them.

mod dot;
mod mermaid;

pub use dot::dot;
pub use mermaid::mermaid;

use super::kinds::{Handle, NodeKind};
use super::model::{Connection, DiagramNode};

/// What stands on a connection: the handle it leaves from unless that is the usual one, its label, and the
/// handle it enters at unless that is the usual one.
fn words(connection: &Connection) -> String {
    let leaves = match connection.output {
        Handle::Default => None,
        Handle::CondTrue => Some("true"),
        Handle::CondFalse => Some("false"),
        other => Some(other.name()),
    };
    let enters = (connection.input != Handle::Default).then(|| connection.input.name());
    let label = connection.label.as_ref().map(|it| it.value.as_str());
    leaves.into_iter().chain(label).chain(enters).collect::<Vec<_>>().join(", ")
}

fn kind_name(node: &DiagramNode) -> &'static str {
    node.kind.map_or("unknown", NodeKind::name)
}

/// Removes what no picture can show: control characters and line ends become blanks.
fn on_one_line(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagram::{Diagram, parse};

    fn diagram() -> Diagram {
        let text = "version: light
name: A \"quoted\" \\ name
nodes:
- {label: start, type: start}
- {label: 'end \"it\" <b> #1 `x` \\', type: condition, expression: x}
- {label: Writer, type: person_job}
- {label: done, type: endpoint}
connections:
- {from: start, to: 'end \"it\" <b> #1 `x` \\', label: 'a|b'}
- {from: 'end \"it\" <b> #1 `x` \\[condtrue]', to: 'Writer[first]'}
- {from: 'end \"it\" <b> #1 `x` \\[condfalse]', to: done}
- {from: 'Writer[error]', to: done, label: why}
";
        parse(text, None).diagram.expect("it reads")
    }

    #[test]
    fn mermaid_quotes_what_would_be_syntax() {
        let expected = "flowchart TD
    n0([\"start<br/>start\"])
    n1{\"end #quot;it#quot; #lt;b#gt; #35;1 #96;x#96; \\<br/>condition\"}
    n2[\"Writer<br/>person_job\"]
    n3([\"done<br/>endpoint\"])
    n0 -->|\"a|b\"| n1
    n1 -->|\"true, first\"| n2
    n1 -->|\"false\"| n3
    n2 -.->|\"error, why\"| n3
";
        assert_eq!(mermaid(&diagram()), expected);
    }

    #[test]
    fn dot_quotes_what_would_be_syntax() {
        let expected = r##"digraph "A \"quoted\" \\ name" {
    rankdir=TB;
    node [shape=box, style=rounded];
    n0 [label="start\nstart", shape=oval];
    n1 [label="end \"it\" <b> #1 `x` \\\ncondition", shape=diamond];
    n2 [label="Writer\nperson_job"];
    n3 [label="done\nendpoint", shape=oval];
    n0 -> n1 [label="a|b"];
    n1 -> n2 [label="true, first"];
    n1 -> n3 [label="false"];
    n2 -> n3 [label="error, why", style=dashed];
}
"##;
        assert_eq!(dot(&diagram()), expected);
    }

    #[test]
    fn line_ends_in_names_do_not_end_a_line_of_the_picture() {
        let text = "version: light\nname: \"a\\nb\"\nnodes:\n- {label: s, type: start}\n- {label: e, type: endpoint}\n\
                    connections:\n- {from: s, to: e, label: \"x\\n--> y\"}\n";
        let diagram = parse(text, None).diagram.expect("it reads");
        assert!(mermaid(&diagram).contains("n0 -->|\"x --#gt; y\"| n1"), "{}", mermaid(&diagram));
        assert!(dot(&diagram).starts_with("digraph \"a b\" {"), "{}", dot(&diagram));
        assert!(dot(&diagram).contains("label=\"x --> y\""), "{}", dot(&diagram));
    }
}
