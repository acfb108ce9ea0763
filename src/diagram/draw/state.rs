//! What became of a node, in the words and signs that every picture of an execution shares.

/// A node's state as a picture shows it. Colour never stands alone: each has a sign and a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Pending,
    Running,
    Waiting,
    Completed,
    Failed,
    Aborted,
    Skipped,
    MaxiterReached,
}

impl State {
    /// Every state, in the order of their beginnings.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Running,
        Self::Waiting,
        Self::Completed,
        Self::Failed,
        Self::Aborted,
        Self::Skipped,
        Self::MaxiterReached,
    ];

    /// The word shown; also a class name in style sheets.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
            Self::Skipped => "skipped",
            Self::MaxiterReached => "maxiter_reached",
        }
    }

    /// A sign that tells it from the others without colour; none of them is drawn as a coloured emoji.
    pub fn sign(self) -> char {
        match self {
            Self::Pending => '○',
            Self::Running => '▸',
            Self::Waiting => '‖',
            Self::Completed => '✓',
            Self::Failed => '✗',
            Self::Aborted => '⊘',
            Self::Skipped => '–',
            Self::MaxiterReached => '↺',
        }
    }
}
