//! What an HTTP answer is worth: JSON, text, or bytes that are kept elsewhere; or a failure.

use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::error::Error;
use crate::nodes::context::NodeContext;
use crate::nodes::ports::http::HttpReply;

/// Characters of an answer that a failure shows.
const EXCERPT_CHARS_MAX: usize = 600;

/// Reads the body: parsed JSON, text for text types, else a reference to the bytes. No body is null.
///
/// # Errors
///
/// `PARSE_FAILED` when it says that it is JSON and is not; what the keeper of bytes says.
pub(in crate::nodes) async fn decode(cx: &NodeContext, reply: HttpReply) -> Result<Value, Error> {
    let content_type = reply.header("content-type").unwrap_or_default().to_owned();
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if reply.body.is_empty() {
        return Ok(if is_text(&media_type) { Value::String(String::new()) } else { Value::Null });
    }
    if is_json(&media_type) {
        return serde_json::from_slice(&reply.body).map_err(|problem| not_json(&reply, &problem));
    }
    if is_text(&media_type) {
        return Ok(Value::String(text_of(&reply.body, &content_type)));
    }
    if media_type.is_empty()
        && let Ok(text) = std::str::from_utf8(&reply.body)
    {
        let parsed: Option<Value> = serde_json::from_str(text).ok();
        return Ok(parsed.filter(|it| it.is_object() || it.is_array()).unwrap_or_else(|| text.into()));
    }
    let media_type = if media_type.is_empty() { "application/octet-stream".to_owned() } else { media_type };
    Ok(cx.ports.blobs.put(reply.body, media_type).await?.to_json())
}

/// The failure of an answer whose status is not accepted.
pub(super) fn status_failure(cx: &NodeContext, method: &str, url: &str, reply: &HttpReply) -> Error {
    let status = reply.status;
    let mut details = json!({"status": status, "url": url, "body": excerpt(&reply.body)});
    if let Some(ms) = retry_after_ms(reply, cx.ports.clock.now()) {
        details["retry_after_ms"] = ms.into();
    }
    let place = url.split(['?', '#']).next().unwrap_or_default();
    let place: String = place.chars().take(200).collect();
    let hint = match status {
        300..=399 => "write the final address as `url`, or list the status in `accept_status`",
        401 | 403 => "check the key: `auth_type`, `auth_config` and the secret they name",
        404 => "check the address; `accept_status` can let 404 through",
        408 | 425 | 429 | 500..=599 => "try again later, or give the node a longer `retry`",
        _ => "see what the server says in the details; `accept_status` lists what is taken as an answer",
    };
    Error::external("HTTP_STATUS", format!("`{method} {place}` answered with status {status}"))
        .hint(hint)
        .details(details)
        .retryable(matches!(status, 408 | 425 | 429 | 500..=599))
}

fn not_json(reply: &HttpReply, problem: &serde_json::Error) -> Error {
    Error::external("PARSE_FAILED", "the answer says that it is JSON, and is not")
        .hint("see the beginning of the answer in the details")
        .details(json!({"status": reply.status, "body": excerpt(&reply.body), "problem": problem.to_string()}))
}

fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(EXCERPT_CHARS_MAX).collect()
}

fn is_json(media_type: &str) -> bool {
    media_type == "application/json" || media_type == "text/json" || media_type.ends_with("+json")
}

fn is_text(media_type: &str) -> bool {
    const OTHERS: [&str; 8] = [
        "application/xml",
        "application/javascript",
        "application/x-javascript",
        "application/x-ndjson",
        "application/yaml",
        "application/x-yaml",
        "application/x-www-form-urlencoded",
        "application/sql",
    ];
    media_type.starts_with("text/") || media_type.ends_with("+xml") || OTHERS.contains(&media_type)
}

/// Decodes UTF-8, or Latin-1 when the server says so.
fn text_of(body: &[u8], content_type: &str) -> String {
    let charset = content_type.to_ascii_lowercase();
    let is_latin = ["iso-8859-1", "latin1", "us-ascii"].iter().any(|it| charset.contains(it));
    if is_latin && std::str::from_utf8(body).is_err() {
        return body.iter().map(|it| char::from(*it)).collect();
    }
    let text = String::from_utf8_lossy(body);
    text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned()
}

/// Reads `Retry-After`: seconds, or a date.
fn retry_after_ms(reply: &HttpReply, now: Timestamp) -> Option<u64> {
    let text = reply.header("retry-after")?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return (0.0..=86_400.0).contains(&seconds).then_some((seconds * 1_000.0) as u64);
    }
    let at = chrono::DateTime::parse_from_rfc2822(text).ok()?;
    u64::try_from(Timestamp(at.timestamp_millis()).since_ms(now)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Timestamp::parse("2026-01-02T03:04:05Z").expect("a moment");
        for (text, expected) in [
            ("3", Some(3_000)),
            ("0.5", Some(500)),
            ("Fri, 02 Jan 2026 03:04:25 GMT", Some(20_000)),
            ("Fri, 02 Jan 2026 03:04:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
        ] {
            let headers = vec![("retry-after".to_owned(), text.to_owned())];
            let reply = HttpReply { status: 429, headers, body: Vec::new(), duration: Default::default() };
            assert_eq!(retry_after_ms(&reply, now), expected, "{text}");
        }
    }
}
