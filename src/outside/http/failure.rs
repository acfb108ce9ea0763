//! Failures of requests, in sentences of ours. Addresses may carry keys and passwords, so only the host is
//! ever named.

use std::time::Duration;

use url::Url;

use super::client::NotPublic;
use crate::error::Error;
use crate::limits;

/// `HTTP_FAILED`: "`host` …".
pub(super) fn failed(host: &str, what: &str) -> Error {
    Error::external("HTTP_FAILED", format!("`{host}` {what}"))
}

/// A request that cannot be made as it is.
pub(super) fn malformed(what: &str) -> Error {
    Error::external("HTTP_FAILED", what).hint("correct the node's fields, or the values its templates put in")
}

pub(super) fn no_address(problem: url::ParseError) -> Error {
    malformed(&format!("the `url` is no web address: {problem}")).hint("write it as `https://host/path`")
}

pub(super) fn scheme(scheme: &str) -> Error {
    malformed(&format!("`{scheme}:` addresses cannot be called")).hint("use `https://` or `http://`")
}

pub(super) fn timed_out(host: &str, limit: Duration) -> Error {
    failed(host, &format!("did not answer within {} s", limit.as_secs_f64()))
        .hint("raise the node's `timeout`, or try again later")
        .retryable(true)
}

pub(super) fn too_large(url: &Url) -> Error {
    let host = url.host_str().unwrap_or_default();
    failed(host, &format!("answered with more than {} bytes", limits::HTTP_REPLY_BYTES_MAX))
        .hint("ask for less, for example a page at a time")
}

/// A connection that could not be made, or was lost.
pub(super) fn of_connection(url: &Url, error: reqwest::Error) -> Error {
    let host = url.host_str().unwrap_or_default();
    if is_refusal(&error) {
        return Error::refused("HOST_NOT_ALLOWED", format!("`{host}` leads to an address that is not public"))
            .hint("this diagram may reach public addresses only; a person can allow more with `dipeo trust NAME`");
    }
    // The address may carry a password, so it stays out of the log too.
    let error = error.without_url();
    if error.is_builder() {
        return malformed("the request has parts that no request may have").source(error);
    }
    let (what, hint) = if error.is_timeout() {
        ("did not take the connection in time", "check the address and the network")
    } else if error.is_connect() {
        ("cannot be reached", "check the address and the network")
    } else {
        ("broke the connection off", "try again later")
    };
    failed(host, what).hint(hint).source(error).retryable(true)
}

fn is_refusal(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<NotPublic>() {
            return true;
        }
        next = error.source();
    }
    false
}
