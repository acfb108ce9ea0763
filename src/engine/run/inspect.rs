//! What a node would see if it ran now: the log is replayed and nothing started, so looking changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use super::{Launch, Run};
use crate::compile::NodeIdx;
use crate::engine::event::Status;
use crate::engine::journal::{Batch, Journal, Ticket};
use crate::error::Error;
use crate::nodes::ports::Ports;

/// An execution, looked at from one of its nodes or from none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inspection {
    pub node: Option<Inspected>,
    /// Names that every node sees.
    pub variables: Map<String, Value>,
    /// Labels of the nodes that start next, if nothing holds them.
    pub ready: Vec<String>,
    /// Labels of the nodes that have begun and not completed: they run, wait, or are held.
    pub under_way: Vec<String>,
    /// Labels of the nodes before which it pauses.
    pub breakpoints: Vec<String>,
}

/// A node, and what it would see.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspected {
    pub node_id: String,
    pub label: String,
    pub kind: &'static str,
    pub status: Status,
    /// Which of its runs this is, from 1.
    pub iteration: u32,
    pub inputs: Map<String, Value>,
    /// Input name to `<label>:<iteration>` of the completion it came from.
    pub sources: BTreeMap<String, String>,
    /// Labels of the nodes that can still bring it something.
    pub waits_for: Vec<String>,
    /// The value it was given instead of its next run.
    pub given: Option<Value>,
}

/// Looks at an execution from the node that `reference` names, else from the only one that waits or is next.
///
/// # Errors
///
/// `NODE_NOT_FOUND`; `CONTENT_TYPE` when an input cannot be converted as its connection asks.
pub fn inspect(launch: Launch, ports: Arc<Ports>, reference: Option<&str>) -> Result<Inspection, Error> {
    let (mut run, _) = Run::replayed(launch, Arc::new(Unwritten), ports);
    let ready = run.schedule.ready();
    let under_way: Vec<NodeIdx> = run.live.keys().copied().collect();
    let node = match reference {
        Some(reference) => Some(run.named(reference)?),
        None => match (under_way.as_slice(), ready.as_slice()) {
            ([only], []) | ([], [only]) => Some(*only),
            _ => None,
        },
    };
    let mut variables = Map::clone(&run.variables);
    variables.extend(Map::clone(&run.exposed));
    let labels = |nodes: &[NodeIdx]| nodes.iter().map(|it| run.plan.nodes[*it].label.to_string()).collect();
    let all: Vec<NodeIdx> = (0..run.plan.nodes.len()).collect();
    let breakpoints: Vec<NodeIdx> = all.into_iter().filter(|it| run.is_breakpoint(*it)).collect();
    let (ready, under_way, breakpoints) = (labels(&ready), labels(&under_way), labels(&breakpoints));
    let node = node.map(|it| run.inspected(it)).transpose()?;
    Ok(Inspection { node, variables, ready, under_way, breakpoints })
}

impl Run {
    fn named(&self, reference: &str) -> Result<NodeIdx, Error> {
        self.state.find(reference).ok_or_else(|| {
            let labels: Vec<&str> = self.plan.nodes.iter().map(|it| &*it.label).collect();
            Error::not_found("NODE_NOT_FOUND", format!("the diagram has no node `{reference}`"))
                .hint(format!("its nodes are: {}", labels.join(", ")))
        })
    }

    fn inspected(&mut self, node: NodeIdx) -> Result<Inspected, Error> {
        let awaited = self.schedule.awaited_edges(node).into_iter().map(|it| self.plan.graph.edges[it].from);
        let waits_for = awaited.map(|it| self.plan.nodes[it].label.to_string()).collect();
        let (iteration, inputs, sources) = match self.live.remove(&node) {
            Some(live) => (live.iteration, live.inputs, live.sources),
            None => {
                // This run is thrown away, so it may take the tokens that lie there.
                let edges = self.schedule.restore_start(node);
                let (inputs, sources) = self.take_inputs(&edges);
                (self.schedule.started(node), inputs?, sources)
            }
        };
        let named = |source: String| match source.rsplit_once(':') {
            Some((id, nth)) => {
                let label = self.state.node_idx(id).map_or(id, |it| &*self.plan.nodes[it].label);
                format!("{label}:{nth}")
            }
            None => source,
        };
        let (state, plan_node) = (&self.state.nodes[node], &self.plan.nodes[node]);
        Ok(Inspected {
            node_id: plan_node.id.to_string(),
            label: plan_node.label.to_string(),
            kind: plan_node.kind.name(),
            status: state.status,
            iteration,
            inputs: inputs.to_map(),
            sources: sources.into_iter().map(|(key, source)| (key, named(source))).collect(),
            waits_for,
            given: state.given.clone(),
        })
    }
}

/// The journal of a run that is only looked at.
struct Unwritten;

impl Journal for Unwritten {
    fn append(&self, _: Batch) -> BoxFuture<'_, Result<Ticket, Error>> {
        std::future::ready(Err(Error::internal("a run that is only looked at wrote something"))).boxed()
    }
}
