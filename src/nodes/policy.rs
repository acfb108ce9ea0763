//! The fields every node may carry: `timeout`, `retry`, `on_error`, `at_most_once`
//! (diagrams.md 2.0), and how long to wait before an attempt.

pub mod repeat;

use std::time::Duration;

use serde_json::Value;

use crate::diagram::Budget;
use crate::error::Error;
use crate::limits;

/// What to do when a node fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// The execution fails.
    Fail,
    /// The error object goes out on the `error` handle and the run goes on.
    Continue,
}

/// How the pause between attempts grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backoff {
    /// Doubles each time, at most 30 s, varied by ±10 %.
    Exponential,
    /// Grows by `delay_ms` each time.
    Linear,
    Fixed,
}

/// How often a failing node is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The first attempt counts.
    pub max_attempts: u32,
    pub delay_ms: u64,
    pub backoff: Backoff,
}

impl Retry {
    /// One attempt.
    pub const NONE: Self = Self { max_attempts: 1, delay_ms: 1_000, backoff: Backoff::Exponential };

    /// Failures of a model's provider are tried three times unless the node says otherwise (diagrams.md 2.3).
    pub const PROVIDER: Self = Self { max_attempts: 3, delay_ms: 1_000, backoff: Backoff::Exponential };

    /// Returns the pause before attempt `attempt` (2 is the first repetition). `spread` in 0..=1 places
    /// an exponential delay between -10 % and +10 %; it comes in so that this stays a pure function.
    pub fn delay(&self, attempt: u32, spread: f64) -> Duration {
        assert!(2 <= attempt, "attempt 1 has no delay");
        let nth = u64::from(attempt - 1);
        let ms = match self.backoff {
            Backoff::Fixed => self.delay_ms,
            Backoff::Linear => self.delay_ms.saturating_mul(nth),
            Backoff::Exponential => self.delay_ms.saturating_mul(1_u64.checked_shl(attempt - 2).unwrap_or(u64::MAX)),
        };
        let ms = ms.min(limits::RETRY_DELAY_MS_MAX);
        if self.backoff != Backoff::Exponential {
            return Duration::from_millis(ms);
        }
        Duration::from_millis(ms).mul_f64(0.9 + 0.2 * spread.clamp(0.0, 1.0))
    }
}

/// The common fields of one node, with its type's defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Of one attempt; `None` = no limit.
    pub timeout: Option<Duration>,
    pub retry: Retry,
    /// Whether the diagram itself gave `retry`: then every failure marked yes in diagrams.md 3.8 is
    /// repeated, not only the provider failures of the type's default.
    pub retry_given: bool,
    pub on_error: OnError,
    pub at_most_once: bool,
    pub strict_templates: bool,
    /// What the node's model calls may spend in one run.
    pub budget: Option<Budget>,
    /// Kept for `mode: mock`.
    pub mock_response: Option<Value>,
}

/// The failure of an attempt that took longer than `limit`.
pub fn timed_out(limit: Duration) -> Error {
    Error::external("NODE_TIMEOUT", format!("the node did not finish within {} s", limit.as_secs_f64()))
        .hint("raise the node's `timeout`, or make its work smaller")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_as_their_backoff_says_and_stop_at_thirty_seconds() {
        let retry = |backoff| Retry { max_attempts: 9, delay_ms: 1_000, backoff };
        let cases = [
            (Backoff::Fixed, 2, 1_000),
            (Backoff::Fixed, 5, 1_000),
            (Backoff::Linear, 2, 1_000),
            (Backoff::Linear, 4, 3_000),
            (Backoff::Exponential, 2, 1_000),
            (Backoff::Exponential, 4, 4_000),
            (Backoff::Exponential, 70, 30_000),
        ];
        for (backoff, attempt, expected_ms) in cases {
            assert_eq!(retry(backoff).delay(attempt, 0.5).as_millis(), expected_ms, "{backoff:?} {attempt}");
        }
    }
}
