//! Whether and how an answer that points elsewhere is followed. To another origin go only headers that
//! cannot be credentials, and no body.

use reqwest::header::{self, HeaderMap, HeaderName};
use reqwest::{Method, Response, StatusCode};

use super::{Hop, failure};
use crate::error::Error;

/// Headers that may be shown to another origin: they say what we want, not who we are.
const HARMLESS: [HeaderName; 5] =
    [header::ACCEPT, header::ACCEPT_LANGUAGE, header::ACCEPT_CHARSET, header::CONTENT_TYPE, header::USER_AGENT];

/// What to do with an answer.
pub(super) enum Step {
    /// It is the answer.
    Done,
    /// Ask there instead.
    Next(Box<Hop>),
}

/// Decides what the answer to `hop` asks for.
///
/// # Errors
///
/// `HTTP_FAILED` when it cannot be followed without giving away what was meant for another.
pub(super) fn follow(hop: Hop, response: &Response) -> Result<Step, Error> {
    let status = response.status();
    let points_elsewhere = matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let Some(location) = response.headers().get(header::LOCATION).filter(|_| points_elsewhere) else {
        return Ok(Step::Done);
    };
    let host = hop.url.host_str().unwrap_or_default().to_owned();
    let hint = "write the final address as `url`";
    let target = std::str::from_utf8(location.as_bytes()).ok().and_then(|it| hop.url.join(it).ok());
    let Some(mut url) = target else {
        return Err(failure::failed(&host, "redirects to something that is no address").hint(hint));
    };
    if !matches!(url.scheme(), "http" | "https") {
        return Err(failure::failed(&host, &format!("redirects to a `{}:` address", url.scheme())).hint(hint));
    }
    let is_same_origin = url.origin() == hop.url.origin();
    let becomes_get = match status {
        StatusCode::SEE_OTHER => hop.method != Method::HEAD,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => hop.method == Method::POST,
        _ => false,
    };
    let (method, body) = if becomes_get { (Method::GET, None) } else { (hop.method, hop.body) };
    if body.is_some() && !is_same_origin {
        return Err(failure::failed(&host, "redirects the request's body to another host").hint(hint));
    }
    let mut headers = hop.headers;
    if becomes_get {
        headers.remove(header::CONTENT_TYPE);
    }
    if !is_same_origin {
        headers = harmless(&headers);
        // Whoever redirects does not say who we are either; these setters only fail for hosts without names.
        let _ = (url.set_username(""), url.set_password(None));
    }
    Ok(Step::Next(Box::new(Hop { method, url, headers, body })))
}

fn harmless(headers: &HeaderMap) -> HeaderMap {
    let kept = headers.iter().filter(|(name, _)| HARMLESS.contains(name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}
