//! A reply of a provider, judged: a value, or a failure with what the provider said.

use serde_json::{Value, json};

use super::call::Call;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::integrations::manifest::RetryPolicy;
use crate::integrations::reply;
use crate::nodes::ports::http::HttpReply;
use crate::secret::Secret;

/// Whether the provider did what it was asked to.
pub(super) fn is_success(call: &Call<'_>, reply: &HttpReply) -> bool {
    call.operation.response.success_codes.contains(&reply.status)
}

/// The failure for a reply of another status (diagrams.md 3.8). Nothing in `secrets` stands in it.
pub(super) fn refused(
    call: &Call<'_>,
    policy: &RetryPolicy,
    reply: &HttpReply,
    now: Timestamp,
    secrets: &[Secret],
) -> Error {
    let scrub = |text: String| secrets.iter().fold(text, |text, it| it.scrub(&text));
    let body = reply::decode(&reply.body, reply.header("content-type"));
    let reason = match &body {
        reply::Content::Value(value) => reply::reason(call.operation, value),
        reply::Content::Binary { .. } => None,
    };
    let said = reason.map(|it| format!(": {}", scrub(it))).unwrap_or_default();
    let status = reply.status;
    let message = format!("`{}` answered `{}` with {status}{said}", call.manifest.name, call.operation.name);
    let wished = reply.header("retry-after").and_then(|it| retry_after_ms(it, now));
    let mut details = json!({"status": status, "body": scrub(reply::excerpt(&reply.body))});
    let is_retryable = policy.covers(status);
    if is_retryable {
        details["retry_after_ms"] = policy.delay_ms(call.attempt, wished).into();
    }
    Error::external("HTTP_STATUS", message).hint(hint_for(status, call)).details(details).retryable(is_retryable)
}

fn hint_for(status: u16, call: &Call<'_>) -> String {
    match status {
        401 | 403 => format!("check the key of `{}` and what it may do", call.manifest.name),
        404 => "check the names and ids in `config`".to_owned(),
        429 => "send fewer requests; `rate_limit` of the manifest spaces them".to_owned(),
        300..=399 => "the address has moved; correct `base_url` or `path` of the manifest".to_owned(),
        500..=599 => "the provider has a problem; try again later".to_owned(),
        _ => "the body it answered with stands in the details; a status that is fine belongs to `success_codes`"
            .to_owned(),
    }
}

/// The failure of a request that got no reply, with the pause that the policy wants.
pub(super) fn unanswered(call: &Call<'_>, policy: &RetryPolicy, may_repeat: bool, error: Error) -> Error {
    if error.code() != "HTTP_FAILED" {
        return error;
    }
    let is_retryable = error.is_retryable() && may_repeat;
    let mut details = error.details_value().cloned().unwrap_or_else(|| json!({}));
    if let (true, Value::Object(map)) = (is_retryable, &mut details) {
        map.insert("retry_after_ms".to_owned(), policy.delay_ms(call.attempt, None).into());
    }
    error.details(details).retryable(is_retryable)
}

/// Reads `Retry-After`: seconds, or a date.
fn retry_after_ms(text: &str, now: Timestamp) -> Option<u64> {
    if let Ok(seconds) = text.trim().parse::<u64>() {
        return Some(seconds.saturating_mul(1_000));
    }
    let at = chrono::DateTime::parse_from_rfc2822(text.trim()).ok()?;
    u64::try_from(at.timestamp_millis() - now.0).ok().or(Some(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Timestamp::parse("2026-01-02T03:04:05Z").expect("a date");
        for (text, expected) in [
            ("7", Some(7_000)),
            ("Fri, 02 Jan 2026 03:04:15 GMT", Some(10_000)),
            ("Fri, 02 Jan 2026 03:04:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(retry_after_ms(text, now), expected, "{text}");
        }
    }
}
