//! Reads the fields of every node through its type.

use crate::diagram::{Diagnostic, NodeKind};
use crate::nodes::{self, Fields, Node, Policy, ReadContext};

/// A node whose fields have been read.
pub(super) struct ReadNode {
    pub kind: NodeKind,
    pub policy: Policy,
    pub node: Box<dyn Node>,
}

/// Reads every node and adds what is wrong with them to `diagnostics`; `text` is what
/// the diagram was read from. Returns `None` when one of them
/// has a type that is unknown or not supported: then there is nothing to run.
pub(super) fn read_nodes(cx: &ReadContext<'_>, text: &str, diagnostics: &mut Vec<Diagnostic>) -> Option<Vec<ReadNode>> {
    let nodes: Vec<Option<ReadNode>> = (0..cx.diagram.nodes.len())
        .map(|idx| {
            // E202 already says what is wrong with a node of unknown type.
            let kind = cx.diagram.nodes[idx].kind?;
            let (node, problems) = read_node(idx, kind, cx, text);
            diagnostics.extend(problems);
            node
        })
        .collect();
    nodes.into_iter().collect()
}

fn read_node(idx: usize, kind: NodeKind, cx: &ReadContext<'_>, text: &str) -> (Option<ReadNode>, Vec<Diagnostic>) {
    let mut fields = Fields::new(idx, cx).within(text);
    let Some(node_type) = nodes::find(kind) else {
        let message = format!("node type `{}` is not supported by this version", kind.name());
        fields.report(Diagnostic::new("E210", fields.node().span, message).hint(instead_of(kind)));
        return (None, fields.finish_without_unknown());
    };
    let node = (node_type.read)(&mut fields);
    let policy = fields.policy(node.as_ref());
    (Some(ReadNode { kind, policy, node }), fields.finish())
}

/// Says what to use instead of a type that has no implementation.
fn instead_of(kind: NodeKind) -> String {
    let known: Vec<_> = nodes::ALL.iter().map(|it| it.kind.name()).collect();
    match kind {
        NodeKind::IrBuilder => {
            "it belongs to another program's code generator; `typescript_ast` with `output_format: for_codegen`, then \
             a `template_job` over its lists, takes its place (see the example `typescript_codegen`)"
                .to_owned()
        }
        _ => format!("the types it has are {}", known.join(", ")),
    }
}
