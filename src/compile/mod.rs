//! [`Diagram`](crate::diagram::Diagram) to [`Plan`], or all [`Diagnostic`](crate::diagram::Diagnostic)s
//! at once (diagrams.md section 4). Pure: what it needs from outside comes in as `Surroundings`.

pub mod check;
pub mod fix;
pub mod graph;
pub mod patches;
pub mod plan;
pub mod report;

mod budgets;
mod capabilities;
mod collisions;
mod flow;
mod persons;
mod reach;
mod read;
mod terminal;
#[cfg(test)]
mod tests;
mod without_effect;

pub use check::{Compiled, compile, compile_parsed};
pub use fix::{Fixed, Repair, fix};
pub use graph::{EdgeIdx, Graph, GraphEdge, GraphNode, Loop, NodeIdx, NodeSet, Rank};
pub use patches::apply_patches;
pub use plan::{Plan, PlanEdge, PlanNode};
pub use report::{Report, invalid};
