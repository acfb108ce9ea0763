//! A recorded call: what was sent and what came back, without keys. A replay answers from it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::manifest::{Auth, Strategy};
use crate::error::Error;
use crate::secret::Secret;

/// Headers that are recorded without their value.
const PRIVATE_HEADERS: [&str; 5] = ["authorization", "cookie", "set-cookie", "proxy-authorization", "x-api-key"];

/// One operation, recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    pub operation: String,
    /// When, or how it came about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What was asked for; a replay asks for the same.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
    /// One per page.
    pub exchanges: Vec<Exchange>,
}

/// A request and its reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    pub request: SentRequest,
    pub response: SeenResponse,
}

/// What was sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentRequest {
    pub method: String,
    pub url: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenResponse {
    pub status: u16,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    #[serde(default)]
    pub body: String,
}

impl Recording {
    /// Reads a recording; `path` is for the message.
    ///
    /// # Errors
    ///
    /// `PARSE_FAILED` with line and column.
    pub fn parse(text: &str, path: &str) -> Result<Self, Error> {
        serde_json::from_str(text).map_err(|error| {
            Error::external("PARSE_FAILED", format!("`{path}` is no recording: {error}"))
                .hint("record it anew with `dipeo integrations test PROVIDER --operation OP --record`")
        })
    }
}

impl Exchange {
    /// The same without any of `secrets`, nor what `auth` and private headers carry.
    #[must_use]
    pub fn scrubbed(mut self, secrets: &[Secret], auth: &Auth) -> Self {
        let scrub = |text: &mut String| {
            for secret in secrets {
                *text = secret.scrub(text);
            }
        };
        for (name, value) in self.request.headers.iter_mut().chain(&mut self.response.headers) {
            let is_private = PRIVATE_HEADERS.contains(&name.to_ascii_lowercase().as_str());
            if is_private || name.eq_ignore_ascii_case(&auth.header) {
                "***".clone_into(value);
            }
            scrub(value);
        }
        for (name, value) in &mut self.request.query {
            if auth.strategy == Strategy::ApiKeyQuery && *name == auth.query_param {
                "***".clone_into(value);
            }
            scrub(value);
        }
        scrub(&mut self.request.url);
        self.request.body.iter_mut().for_each(scrub);
        scrub(&mut self.response.body);
        self
    }

    /// Whether a request is the recorded one. Headers do not count: keys stand there.
    pub fn answers(&self, method: &str, url: &str, query: &[(String, String)], body: Option<&[u8]>) -> bool {
        let same_body = match (&self.request.body, body) {
            (None, None) => true,
            (Some(recorded), Some(sent)) => {
                let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
                recorded.as_bytes() == sent || json(recorded.as_bytes()).is_some_and(|it| Some(it) == json(sent))
            }
            (None, Some(_)) | (Some(_), None) => false,
        };
        // A scrubbed value stands for whatever is sent now.
        let same_query = self.request.query.len() == query.len()
            && self.request.query.iter().zip(query).all(|(a, b)| a.0 == b.0 && (a.1 == b.1 || a.1 == "***"));
        self.request.method == method && self.request.url == url && same_query && same_body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth() -> Auth {
        let text = "name: x\nbase_url: http://x\nauth: {strategy: api_key_query, query_param: other}\noperations: {}\n";
        crate::integrations::read(text).manifest.expect("valid").auth
    }

    fn exchange() -> Exchange {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Exchange {
            request: SentRequest {
                method: "POST".to_owned(),
                url: "https://x.test/sk-canary".to_owned(),
                query: vec![pair("key", "sk-canary"), pair("q", "1")],
                headers: vec![pair("Authorization", "Basic c2s="), pair("X-Other", "a sk-canary")],
                body: Some("{\"a\": \"sk-canary\"}".to_owned()),
            },
            response: SeenResponse {
                status: 200,
                headers: vec![pair("set-cookie", "session=1")],
                body: "echo sk-canary".to_owned(),
            },
        }
    }

    #[test]
    fn nothing_of_a_key_is_recorded() {
        let secret = Secret::new("sk-canary").expect("there is text");
        let text = serde_json::to_string(&exchange().scrubbed(&[secret], &auth())).expect("JSON");
        assert!(!text.contains("canary") && !text.contains("c2s=") && !text.contains("session=1"), "{text}");
    }

    #[test]
    fn a_recording_answers_its_own_request_only() {
        let secret = Secret::new("sk-canary").expect("there is text");
        let recorded = exchange().scrubbed(&[secret], &auth());
        let query = |key: &str, q: &str| vec![("key".to_owned(), key.to_owned()), ("q".to_owned(), q.to_owned())];
        let body = Some(&b"{\"a\":\"***\"}"[..]);
        assert!(recorded.answers("POST", "https://x.test/***", &query("other", "1"), body));
        assert!(!recorded.answers("POST", "https://x.test/***", &query("other", "2"), body));
        assert!(!recorded.answers("GET", "https://x.test/***", &query("other", "1"), body));
        assert!(!recorded.answers("POST", "https://x.test/***", &query("other", "1"), None));
    }
}
