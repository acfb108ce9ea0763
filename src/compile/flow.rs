//! What can only be seen on the whole graph: where a run begins, what it never comes to, loops that
//! nothing ends, branches that lead nowhere (diagrams.md 4.2, E207 and W202-W211 but W207).

use super::graph::{Graph, NodeIdx};
use super::reach::{reachable, starts_by_itself};
use super::read::ReadNode;
use crate::diagram::{Diagnostic, Diagram, DiagramNode, Handle, NodeKind};
use crate::nodes::OnError;

/// Checks the whole of a diagram whose parts are sound. `nodes` are its nodes in order.
pub(super) fn check(diagram: &Diagram, graph: &Graph, nodes: &[ReadNode]) -> Vec<Diagnostic> {
    let mut found = beginnings(diagram, graph);
    found.extend(dead_branches(diagram, graph));
    found.extend(endless_loops(diagram, graph));
    found.extend(prompts_in_loops(diagram, graph, nodes));
    found.extend(error_connections(diagram, graph, nodes));
    found
}

fn about(code: &'static str, node: &DiagramNode, message: String, hint: &str) -> Diagnostic {
    Diagnostic::new(code, node.span, message).node(&node.id, &node.label).hint(hint)
}

fn about_all(code: &'static str, diagram: &Diagram, message: &str, hint: &str) -> Diagnostic {
    let span = diagram.nodes.first().map_or_else(Default::default, |it| it.span);
    Diagnostic::new(code, span, message).at("nodes").hint(hint)
}

/// E207, W202, W203 and W204: where a run begins and what it never comes to.
fn beginnings(diagram: &Diagram, graph: &Graph) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let is_start = |idx: NodeIdx| diagram.nodes[idx].kind == Some(NodeKind::Start);
    if !(0..diagram.nodes.len()).any(is_start) {
        let hint = "add a node of type `start`; the input of a run is visible as variables all the same";
        found.push(about_all("W202", diagram, "the diagram has no start node", hint));
    }
    if !(0..diagram.nodes.len()).any(|it| starts_by_itself(graph, it)) {
        let message = "nothing can start: every node has an incoming connection";
        let hint = "add a node of type `start` and connect it to the node that comes first";
        found.push(about_all("E207", diagram, message, hint));
        return found;
    }
    let reached = reachable(graph, |_| true);
    for (idx, node) in diagram.nodes.iter().enumerate() {
        if starts_by_itself(graph, idx) && !is_start(idx) {
            let message = format!("nothing leads to `{}`, so it runs once at the beginning", node.label);
            found.push(about("W203", node, message, "connect something to it, or remove it"));
        } else if !reached.contains(idx) {
            let message = format!("`{}` can never run: nothing that starts leads to it", node.label);
            found.push(about("W204", node, message, "connect it to something that a start leads to"));
        }
    }
    found
}

/// W205: branches of conditions that nothing is connected to.
fn dead_branches(diagram: &Diagram, graph: &Graph) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    // W204 already says of the others that they never run.
    let reached = reachable(graph, |_| true);
    for (idx, node) in diagram.nodes.iter().enumerate() {
        if node.kind != Some(NodeKind::Condition) || !reached.contains(idx) {
            continue;
        }
        for branch in [Handle::CondTrue, Handle::CondFalse] {
            if graph.outgoing(idx).iter().any(|&it| graph.edges[it].output == branch) {
                continue;
            }
            let message = format!("nothing is connected to `{}[{}]`", node.label, branch.name());
            found.push(about(
                "W205",
                node,
                message,
                "the run ends there on this branch; connect it if that is not meant",
            ));
        }
    }
    found
}

/// W206: loops that only the limits would end. What ends a loop is a condition, a person_job with
/// `max_iteration` or a way that only a failure takes, so without these nothing may go round.
fn endless_loops(diagram: &Diagram, graph: &Graph) -> Vec<Diagnostic> {
    let ends_loops = |idx: NodeIdx| {
        let node = &diagram.nodes[idx];
        node.kind == Some(NodeKind::Condition) || node.field("max_iteration").is_some_and(|it| !it.is_null())
    };
    let endless =
        graph.edges.iter().filter(|it| !ends_loops(it.from) && !ends_loops(it.to) && it.output != Handle::Error);
    let rest = Graph::new(graph.nodes.clone(), endless.copied().collect());
    let loops = rest.strongly_connected().iter().filter(|it| rest.innermost_loop(it[0]).is_some());
    loops
        .map(|members| {
            let mut names: Vec<&str> =
                rest.cycle_through(members[0]).into_iter().map(|it| diagram.nodes[it].label.as_str()).collect();
            names.extend(names.first().copied());
            let message = format!("nothing ends the loop `{}`", names.join(" -> "));
            let hint = "put a condition into it, or a person_job with `max_iteration`; otherwise the iteration limit fails the run";
            about("W206", &diagram.nodes[members[0]], message, hint)
        })
        .collect()
}

/// W209: a first prompt alone, in a loop.
fn prompts_in_loops(diagram: &Diagram, graph: &Graph, nodes: &[ReadNode]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (idx, node) in diagram.nodes.iter().enumerate() {
        let traits = nodes[idx].node.traits();
        if traits.only_first_prompt && traits.max_iteration != Some(1) && graph.innermost_loop(idx).is_some() {
            let message = format!("`{}` has only a first prompt, which serves every round of its loop", node.label);
            found.push(about("W209", node, message, "add `default_prompt` for the later rounds, or use it instead"));
        }
    }
    found
}

/// W210 and W211: `on_error` and the `error` connection contradict each other.
fn error_connections(diagram: &Diagram, graph: &Graph, nodes: &[ReadNode]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (idx, node) in diagram.nodes.iter().enumerate() {
        let Some(on_error) = node.field("on_error").filter(|it| !it.is_null()) else { continue };
        let is_connected = graph.outgoing(idx).iter().any(|&it| graph.edges[it].output == Handle::Error);
        let (code, message, hint) = match nodes[idx].policy.on_error {
            OnError::Fail if is_connected => (
                "W210",
                format!("`{}` has an `error` connection that `on_error: fail` never uses", node.label),
                "remove `on_error: fail`, or the connection",
            ),
            OnError::Continue if !is_connected => (
                "W211",
                format!("a failure of `{}` would be lost: nothing is connected to its `error` handle", node.label),
                "connect `error`, or remove `on_error: continue`",
            ),
            OnError::Fail | OnError::Continue => continue,
        };
        let diagnostic = Diagnostic::new(code, on_error.span, message).node(&node.id, &node.label);
        found.push(diagnostic.field("on_error").hint(hint));
    }
    found
}
