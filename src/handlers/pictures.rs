//! Pictures of an execution, from the store alone: its timeline as SVG, its diagram as Mermaid with what became
//! of each node.

use super::App;
use super::launch::entry;
use crate::diagram::draw::{self, Marks, NodeMark, State};
use crate::diagram::{Diagram, Format, parse};
use crate::engine::event::Event;
use crate::engine::state::ExecutionState;
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::nodes::Published;
use crate::store::ExecutionHead;
use crate::timeline::{Timeline, state_of, svg};

/// Returns the timeline of an execution as SVG. What runs is drawn up to the present moment.
///
/// # Errors
///
/// What the database says.
pub fn timeline(app: &App, id: &ExecutionId, row: &ExecutionHead) -> Result<String, Error> {
    let mut timeline = Timeline::new(row.started_at);
    for row in app.store()?.transitions(id, 0, None)? {
        if let Some(entry) = entry(row)? {
            timeline.apply(&entry.event, entry.node_id.as_deref(), entry.at);
        }
    }
    Ok(svg(&timeline, id.as_str(), app.clock.now()))
}

/// Returns the diagram of an execution as Mermaid text: states and counts at its nodes, thick arrows where values
/// went. It is the text that ran, whatever the file says now.
///
/// # Errors
///
/// `RESOURCE_NOT_FOUND` when the text is not stored or cannot be read any more; what the database says.
pub fn graph(app: &App, id: &ExecutionId) -> Result<String, Error> {
    let store = app.store()?;
    let unknown = |why: &str| {
        Error::not_found("RESOURCE_NOT_FOUND", format!("the diagram of `{id}` cannot be drawn: its text {why}"))
            .hint(format!("`dipeo://executions/{id}/timeline.svg` shows what ran"))
    };
    let sha256 = store.execution(id)?.and_then(|it| it.source_sha256);
    let source = sha256.as_deref().map_or(Ok(None), |it| store.source(it))?;
    let source = source.ok_or_else(|| unknown("is not stored"))?;
    let diagram = parse(&source.content, Format::parse(&source.format)).diagram;
    let diagram = diagram.ok_or_else(|| unknown("cannot be read"))?;
    let mut state = ExecutionState::new();
    let mut passed = Passed::new(&diagram);
    for row in store.transitions(id, 0, None)? {
        if let Some(entry) = entry(row)? {
            let node = entry.node_id.as_deref().and_then(|it| state.node_idx(it));
            state.apply(&entry.event, node, entry.at);
            passed.note(&diagram, &entry.event, entry.node_id.as_deref());
        }
    }
    let nodes = diagram.nodes.iter().map(|it| mark_of(&state, &it.id)).collect();
    let drawn = draw::mermaid_with(&diagram, &Marks { nodes, connections: passed.0 });
    Ok(format!("%% {id}: {}\n{drawn}", state.status.name()))
}

fn mark_of(state: &ExecutionState, node_id: &str) -> NodeMark {
    let node = state.node_idx(node_id).map(|it| &state.nodes[it]);
    node.map_or(NodeMark { state: State::Pending, n_runs: 0 }, |it| NodeMark {
        state: state_of(it.status),
        n_runs: it.started,
    })
}

/// How often each connection carried a value.
struct Passed(Vec<u32>);

impl Passed {
    fn new(diagram: &Diagram) -> Self {
        Self(vec![0; diagram.connections.len()])
    }

    fn note(&mut self, diagram: &Diagram, event: &Event, node_id: Option<&str>) {
        let published = match event {
            Event::NodeCompleted(it) => it.handles,
            Event::NodeError(it) if it.handled => Published::Error,
            _ => return,
        };
        for (connection, count) in diagram.connections.iter().zip(&mut self.0) {
            let leaves = node_id == Some(diagram.nodes[connection.from].id.as_str());
            *count += u32::from(leaves && published.is_on(connection.output));
        }
    }
}
