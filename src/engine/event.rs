//! Transitions: what happens to an execution, one row each (diagrams.md 5.3).

use serde::{Deserialize, Serialize};

/// The status of an execution or of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Pending,
    Running,
    Paused,
    Completed,
    Failed,
    Aborted,
    Skipped,
    MaxiterReached,
}

impl Status {
    /// The word stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
            Self::Skipped => "skipped",
            Self::MaxiterReached => "maxiter_reached",
        }
    }

    /// Reads what [`Status::name`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Pending,
            Self::Running,
            Self::Paused,
            Self::Completed,
            Self::Failed,
            Self::Aborted,
            Self::Skipped,
            Self::MaxiterReached,
        ]
        .into_iter()
        .find(|it| it.name() == text)
    }

    /// Whether an execution of this status has ended.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Aborted)
    }
}

/// One event of an execution.
#[derive(Clone, Debug)]
pub enum Event {}
