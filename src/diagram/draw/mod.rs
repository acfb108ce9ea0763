//! Pictures of a diagram as text for other tools: Mermaid and Graphviz. They go one way only: what a node
//! does is not in them.

mod dot;
mod mermaid;
mod state;

pub use dot::dot;
pub use mermaid::{Marks, NodeMark, mermaid, mermaid_with};
pub use state::State;

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

/// Removes what no picture can show: control characters and line ends become blanks; what is invisible or turns
/// the direction of what follows is dropped.
pub fn on_one_line(text: &str) -> String {
    let visible = text.chars().filter(|it| !is_invisible(*it));
    visible.map(|it| if it.is_control() || is_separator(it) { ' ' } else { it }).collect()
}

fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Ends a line for some readers, or is no character of XML.
fn is_separator(character: char) -> bool {
    matches!(character, '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}')
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
    fn a_picture_of_an_execution_has_states_counts_and_thick_arrows_where_values_went() {
        let mark = |state, n_runs| NodeMark { state, n_runs };
        let marks = Marks {
            nodes: vec![mark(State::Completed, 1), mark(State::Completed, 3), mark(State::Running, 2)],
            connections: vec![1, 3, 0, 0],
        };
        let expected = "flowchart TD
    n0([\"start<br/>start<br/>✓ completed\"]):::completed
    n1{\"end #quot;it#quot; #lt;b#gt; #35;1 #96;x#96; \\<br/>condition<br/>✓ completed ×3\"}:::completed
    n2[\"Writer<br/>person_job<br/>▸ running ×2\"]:::running
    n3([\"done<br/>endpoint<br/>○ pending\"]):::pending
    n0 ==>|\"a|b\"| n1
    n1 ==>|\"true, first ×3\"| n2
    n1 -->|\"false\"| n3
    n2 -.->|\"error, why\"| n3
    classDef pending fill:#ffffff,stroke:#8c959f,color:#59636e
    classDef running fill:#ddf4ff,stroke:#0969da,color:#0a3069,stroke-width:3px
    classDef completed fill:#dafbe1,stroke:#1a7f37,color:#044f1e
";
        assert_eq!(mermaid_with(&diagram(), &marks), expected);
    }

    #[test]
    fn no_label_leaves_its_place_in_a_picture() {
        for hostile in [
            "x\"]; click n0 \"javascript:alert(1)\"",
            "</svg><script>alert(1)</script>",
            "\u{202e}gnp.exe\u{2066}",
            "a\n    n9 --> n8",
            &"long".repeat(2_500),
        ] {
            let text = "version: light\nnodes:\n- {label: s, type: start}\n- {label: e, type: endpoint}\n\
                        connections:\n- {from: s, to: e, label: x}\n";
            let mut diagram = parse(text, None).diagram.expect("it reads");
            diagram.nodes[0].label = hostile.to_owned();
            diagram.connections[0].label.as_mut().expect("a label").value = hostile.to_owned();
            let drawn = mermaid_with(&diagram, &Marks::default());
            assert_eq!(drawn.lines().count(), 5, "{drawn}");
            assert!(drawn.len() < 1_200, "{}", drawn.len());
            for (line, n_quotes) in drawn.lines().zip([0, 2, 2, 2, 0]) {
                assert_eq!(line.matches('"').count(), n_quotes, "{line}");
                assert!(!line.contains("<script") && !line.contains(['\u{202e}', '\u{2066}']), "{line}");
            }
        }
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
