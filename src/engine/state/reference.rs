//! How a request names what it is about: a node by id or label, one round of it as `<node id>:<round>`, one question
//! of a round as `<node id>:<round>.<number>`. What names its question exactly is never taken for another one.

use super::{ExecutionState, WaitingNode};

/// A node, or one round of it, or one question of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// Position of the node.
    pub node: usize,
    pub iteration: Option<u32>,
    /// Which question of the round, from 1.
    pub number: Option<u32>,
}

impl Named {
    /// Whether it means this question of this round.
    pub fn means(&self, iteration: u32, number: u32) -> bool {
        self.iteration.is_none_or(|it| it == iteration) && self.number.is_none_or(|it| it == number)
    }

    /// Whether it names a round that is over: the node waits in a later one.
    pub fn is_of_earlier_round(&self, waiting: &WaitingNode) -> bool {
        self.iteration.is_some_and(|it| it < waiting.iteration)
    }

    /// Whether it means what the node waits with.
    pub fn means_waiting(&self, waiting: &WaitingNode) -> bool {
        self.means(waiting.iteration, waiting.number)
    }
}

impl WaitingNode {
    /// The name of this question of the node `node_id`, and of no other.
    pub fn name(&self, node_id: &str) -> String {
        name_of(node_id, self.iteration, self.number)
    }
}

/// The exact name of a question.
pub fn name_of(node_id: &str, iteration: u32, number: u32) -> String {
    format!("{node_id}:{iteration}.{number}")
}

impl ExecutionState {
    /// As [`ExecutionState::find`], also for one round of a node, or one question of it.
    pub fn find_named(&self, reference: &str) -> Option<Named> {
        if let Some(node) = self.find(reference) {
            return Some(Named { node, iteration: None, number: None });
        }
        let (node, round) = reference.rsplit_once(':')?;
        let (round, number) = match round.split_once('.') {
            Some((round, number)) => (round, Some(number.parse().ok()?)),
            None => (round, None),
        };
        Some(Named { node: self.node_idx(node)?, iteration: Some(round.parse().ok()?), number })
    }
}
