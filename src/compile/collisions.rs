//! Input names: two connections that deliver the same one at once (W207), and names that code cannot
//! use (W303).

use std::collections::BTreeMap;

use super::graph::{EdgeIdx, Graph, NodeIdx};
use super::plan::input_key;
use super::reach::{output_group, reachable};
use crate::diagram::kinds::fold;
use crate::diagram::{Connection, ContentType, Diagnostic, Diagram, DiagramNode, Handle, NodeKind};

/// Reports each input name that two connections can deliver at the same moment. Edges of `graph` are
/// the connections of `diagram`, in order.
pub(super) fn check(diagram: &Diagram, graph: &Graph) -> Vec<Diagnostic> {
    let mut only_through = OnlyThrough { diagram, graph, forks: None };
    let mut found = Vec::new();
    for (target, node) in diagram.nodes.iter().enumerate() {
        for (key, edges) in same_keys(diagram, graph, target) {
            if let Some((one, other)) = first_collision(diagram, graph, &mut only_through, &edges) {
                found.push(collision(node, key, &diagram.connections[one], &diagram.connections[other], diagram));
            }
        }
    }
    found
}

/// Groups the connections into `target` that deliver a value by input name.
fn same_keys<'a>(diagram: &'a Diagram, graph: &Graph, target: NodeIdx) -> BTreeMap<&'a str, Vec<EdgeIdx>> {
    let mut groups: BTreeMap<&str, Vec<EdgeIdx>> = BTreeMap::new();
    for &edge in graph.incoming(target) {
        let connection = &diagram.connections[edge];
        if connection.content_type != Some(ContentType::Empty) {
            groups.entry(input_key(connection)).or_default().push(edge);
        }
    }
    groups
}

fn first_collision(
    diagram: &Diagram,
    graph: &Graph,
    only_through: &mut OnlyThrough<'_>,
    edges: &[EdgeIdx],
) -> Option<(EdgeIdx, EdgeIdx)> {
    for (nth, &one) in edges.iter().enumerate() {
        for &other in &edges[nth + 1..] {
            if !never_meet(diagram, graph, one, other) && !only_through.exclude(one, other) {
                return Some((one, other));
            }
        }
    }
    None
}

/// Whether two connections into one node belong to different firings of it: entry and later round of
/// a loop, or the first and a later run of a person_job.
fn never_meet(diagram: &Diagram, graph: &Graph, one: EdgeIdx, other: EdgeIdx) -> bool {
    let (from_one, from_other) = (&diagram.connections[one], &diagram.connections[other]);
    let is_person_job = diagram.nodes[from_one.to].kind == Some(NodeKind::PersonJob);
    let first_and_later = (from_one.input == Handle::First) != (from_other.input == Handle::First);
    is_person_job && first_and_later || graph.is_back_edge(one) != graph.is_back_edge(other)
}

fn collision(node: &DiagramNode, key: &str, one: &Connection, other: &Connection, diagram: &Diagram) -> Diagnostic {
    let source = |it: &Connection| diagram.nodes[it.from].label.clone();
    let (first, last) = (source(one), source(other));
    let message =
        format!("`{first}` and `{last}` can both deliver the input `{key}` of `{}` at the same time", node.label);
    let hint = format!("give one of the connections its own `label`; as it is, the later one, from `{last}`, wins");
    Diagnostic::new("W207", node.span, message).node(&node.id, &node.label).hint(hint)
}

/// Knows which connections hang on exactly one of several outputs that exclude each other. Found out
/// when first asked for: most diagrams have no two connections of one name.
struct OnlyThrough<'a> {
    diagram: &'a Diagram,
    graph: &'a Graph,
    /// Of each connection, the forks it hangs on, in the order of nodes.
    forks: Option<Vec<Vec<(NodeIdx, u8)>>>,
}

impl OnlyThrough<'_> {
    /// Whether some node lets only one of the two connections carry a value.
    fn exclude(&mut self, one: EdgeIdx, other: EdgeIdx) -> bool {
        let (diagram, graph) = (self.diagram, self.graph);
        let forks = self.forks.get_or_insert_with(|| forks(diagram, graph));
        let mut others = forks[other].iter().peekable();
        forks[one].iter().any(|(node, group)| {
            while others.next_if(|(it, _)| it < node).is_some() {}
            others.peek().is_some_and(|(it, other_group)| it == node && other_group != group)
        })
    }
}

/// Returns for each connection the outputs without which it could carry nothing.
fn forks(diagram: &Diagram, graph: &Graph) -> Vec<Vec<(NodeIdx, u8)>> {
    let mut forks = vec![Vec::new(); graph.edges.len()];
    for (node, written) in diagram.nodes.iter().enumerate() {
        let group_of = |edge: EdgeIdx| output_group(written.kind, graph.edges[edge].output);
        let mut groups: Vec<u8> = graph.outgoing(node).iter().map(|&it| group_of(it)).collect();
        groups.sort_unstable();
        groups.dedup();
        if groups.len() < 2 {
            continue;
        }
        for group in groups {
            let belongs = |edge: EdgeIdx| graph.edges[edge].from == node && group_of(edge) == group;
            let without = reachable(graph, |edge| !belongs(edge));
            for (edge, it) in graph.edges.iter().enumerate() {
                if belongs(edge) || !without.contains(it.from) {
                    forks[edge].push((node, group));
                }
            }
        }
    }
    forks
}

/// Reports labels of connections into Python, JavaScript and TypeScript that are no usable names there.
pub(super) fn names_for_code(diagram: &Diagram) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for connection in &diagram.connections {
        let Some(label) = &connection.label else { continue };
        if !binds_names(&diagram.nodes[connection.to]) || is_usable_name(&label.value) {
            continue;
        }
        let message = format!("the input name `{}` cannot be a name in code", label.value);
        let hint = format!(
            "write `inputs[\"{}\"]` in the code, or use a label such as `{}`",
            label.value,
            usable(&label.value)
        );
        let at = format!("connection {}", connection.index);
        found.push(Diagnostic::new("W303", label.span, message).at(at).field("label").hint(hint));
    }
    found
}

/// Whether the code of this node sees its inputs as names; shells get them as `INPUT_…`.
fn binds_names(node: &DiagramNode) -> bool {
    let language = node.field("language").and_then(|it| it.as_text()).map(fold);
    node.kind == Some(NodeKind::CodeJob) && !matches!(language.as_deref(), Some("bash" | "shell"))
}

fn is_usable_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|it| it.is_alphabetic() || it == '_')
        && chars.all(|it| it.is_alphanumeric() || it == '_')
        && !matches!(name, "inputs" | "globals" | "node_id" | "result")
}

/// Turns a label into a name that code can use.
fn usable(label: &str) -> String {
    let name: String = label.chars().map(|it| if it.is_alphanumeric() { it } else { '_' }).collect();
    if is_usable_name(&name) { name } else { format!("input_{name}") }
}
