//! Which failures are tried again, and when (diagrams.md 3.8).

use std::time::Duration;

use crate::error::Error;

/// Codes a given `retry` repeats. For the others a repetition cannot change anything; items of a batch have
/// been repeated one by one before `BATCH_ITEM_FAILED`.
const REPEATED_WHEN_GIVEN: [&str; 11] = [
    "CODE_FAILED",
    "LLM_FAILED",
    "HTTP_FAILED",
    "REPLY_INVALID",
    "DECISION_UNCLEAR",
    "HTTP_STATUS",
    "FILE_NOT_FOUND",
    "FILE_FAILED",
    "TOOL_FAILED",
    "HOOK_FAILED",
    "SUB_DIAGRAM_FAILED",
];
/// Of these, the error itself says whether another try may help: a refused key stays refused.
const DECIDED_BY_THE_ERROR: [&str; 3] = ["LLM_FAILED", "HTTP_FAILED", "HTTP_STATUS"];

/// Whether `error` may be tried again: by the node's own `retry`, else by its type's default, which only
/// covers failures of the provider.
pub fn may_repeat(error: &Error, retry_given: bool) -> bool {
    let decided_by_the_error = DECIDED_BY_THE_ERROR.contains(&error.code());
    if retry_given && !decided_by_the_error {
        return REPEATED_WHEN_GIVEN.contains(&error.code());
    }
    decided_by_the_error && error.is_retryable()
}

/// The delay a provider asked for (`details.retry_after_ms`), at most the longest we wait.
pub fn wished_delay(error: &Error) -> Option<Duration> {
    let ms = error.details_value()?.get("retry_after_ms")?.as_u64()?;
    Some(Duration::from_millis(ms.min(crate::limits::RETRY_DELAY_MS_MAX)))
}

/// Spreads the repetitions of different nodes over ±10 % without a random number: the same run waits the
/// same again.
pub fn spread(node: usize, attempt: u32) -> f64 {
    let mixed =
        (node as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(u64::from(attempt).wrapping_mul(0xD1B5_4A32));
    f64::from(u32::try_from(mixed >> 40 & 0xFFFF).unwrap_or(0)) / 65_535.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_another_try_can_change_is_repeated() {
        let cases = [
            (Error::external("LLM_FAILED", "overloaded").retryable(true), false, true),
            (Error::external("LLM_FAILED", "bad key"), true, false),
            (Error::external("CODE_FAILED", "boom").retryable(true), false, false),
            (Error::external("CODE_FAILED", "boom"), true, true),
            (Error::external("NODE_TIMEOUT", "slow"), true, false),
            (Error::external("REPLY_INVALID", "no age"), true, true),
            (Error::external("REPLY_INVALID", "no age"), false, false),
        ];
        for (error, given, expected) in cases {
            assert_eq!(may_repeat(&error, given), expected, "{error:?} given {given}");
        }
    }
}
