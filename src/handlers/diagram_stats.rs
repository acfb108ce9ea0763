//! Counts what a diagram consists of, on its compiled plan (diagrams.md 5.2).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::opened::{Opened, open};
use super::{App, Caller};
use crate::compile::report::{self, Capabilities, Report};
use crate::compile::{Compiled, Graph, NodeIdx, Plan};
use crate::diagram::NodeKind;
use crate::error::Error;

/// What to count.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Name or path of a diagram.
    pub diagram: String,
    /// `light`, `readable` or `native`; detected when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub format_type: Option<String>,
}

/// The figures of a diagram.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub diagram_id: String,
    pub nodes: usize,
    pub connections: usize,
    /// Node type to how many, in the order in which they first appear.
    pub types: Map<String, Value>,
    /// Labels.
    pub persons: Vec<String>,
    pub conditions: usize,
    /// The labels of each strongly connected component with a cycle, in file order.
    pub loops: Vec<Vec<String>>,
    /// Nodes on the longest path; a loop is gone through once.
    pub depth: usize,
    /// Labels.
    pub endpoints: Vec<String>,
    /// Labels of nodes that no start leads to.
    pub unreachable: Vec<String>,
    /// What it would touch when run.
    pub capabilities: Capabilities,
}

/// Compiles a diagram and counts.
///
/// # Errors
///
/// `DIAGRAM_NOT_FOUND`, `INVALID_FORMAT`, `INVALID_DIAGRAM`: what does not compile has no plan.
pub async fn diagram_stats(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    let Opened { source, compiled, .. } = open(app, caller, &request.diagram, request.format_type.as_deref())?;
    let Compiled { plan: Some(plan), capabilities, .. } = &compiled else {
        return Err(report::invalid(&Report::new(&compiled, &source.text)));
    };
    let of_kind = |kind: NodeKind| (0..plan.nodes.len()).filter(move |it| plan.nodes[*it].kind == kind);
    Ok(Response {
        diagram_id: source.diagram_id,
        nodes: plan.nodes.len(),
        connections: plan.edges.len(),
        types: types(plan),
        persons: plan.persons.iter().map(|it| it.label.clone()).collect(),
        conditions: of_kind(NodeKind::Condition).count(),
        loops: cyclic(&plan.graph).into_iter().map(|it| labels(plan, it)).collect(),
        depth: depth(&plan.graph),
        endpoints: labels(plan, of_kind(NodeKind::Endpoint)),
        unreachable: labels(plan, unreachable(&plan.graph)),
        capabilities: capabilities.clone().unwrap_or_default(),
    })
}

fn labels(plan: &Plan, nodes: impl IntoIterator<Item = NodeIdx>) -> Vec<String> {
    nodes.into_iter().map(|it| plan.nodes[it].label.to_string()).collect()
}

fn types(plan: &Plan) -> Map<String, Value> {
    let mut types = Map::new();
    for node in &plan.nodes {
        let count = types.get(node.kind.name()).and_then(Value::as_u64).unwrap_or(0);
        types.insert(node.kind.name().to_owned(), (count + 1).into());
    }
    types
}

/// Strongly connected components with more than one node, or with one that leads to itself, in file order.
fn cyclic(graph: &Graph) -> Vec<Vec<NodeIdx>> {
    let leads_to_itself = |node: NodeIdx| graph.outgoing(node).iter().any(|it| graph.edges[*it].to == node);
    let is_cyclic = |it: &&Vec<NodeIdx>| 1 < it.len() || it.iter().any(|node| leads_to_itself(*node));
    let mut found: Vec<Vec<NodeIdx>> = graph.strongly_connected().iter().filter(is_cyclic).cloned().collect();
    found.sort();
    found
}

/// Nodes on the longest path over forward connections, which have no cycle.
fn depth(graph: &Graph) -> usize {
    let n_nodes = graph.nodes.len();
    let forward = |edges: &[usize]| edges.iter().copied().filter(|it| !graph.is_back_edge(*it)).collect::<Vec<_>>();
    let mut missing: Vec<usize> = (0..n_nodes).map(|it| forward(graph.incoming(it)).len()).collect();
    let mut depths = vec![1; n_nodes];
    let mut ready: Vec<NodeIdx> = (0..n_nodes).filter(|it| missing[*it] == 0).collect();
    while let Some(node) = ready.pop() {
        for edge in forward(graph.outgoing(node)) {
            let to = graph.edges[edge].to;
            depths[to] = depths[to].max(depths[node] + 1);
            missing[to] -= 1;
            if missing[to] == 0 {
                ready.push(to);
            }
        }
    }
    depths.into_iter().max().unwrap_or(0)
}

/// Nodes that nothing leads to which fires by itself.
fn unreachable(graph: &Graph) -> Vec<NodeIdx> {
    let all = 0..graph.nodes.len();
    let begins: Vec<NodeIdx> = all.clone().filter(|it| graph.incoming(*it).is_empty()).collect();
    all.filter(|it| !begins.iter().any(|begin| graph.reaches(*begin, *it))).collect()
}
