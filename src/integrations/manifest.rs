//! What a manifest says, typed. Made by [`super::read()`].

use serde_json::{Map, Value};

use super::schema::Schema;
use super::template::Template;
use crate::nearest::nearest;

/// One provider.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub name: String,
    pub version: String,
    pub description: Option<String>,
    /// `http` or `https`, without a slash at its end.
    pub base_url: String,
    /// Of one request, in seconds.
    pub default_timeout_s: f64,
    pub default_headers: Vec<(String, Template)>,
    pub auth: Auth,
    /// `None`: the usual one, for methods that may be repeated.
    pub retry: Option<RetryPolicy>,
    pub rate_limit: Option<RateLimit>,
    /// In file order.
    pub operations: Vec<Operation>,
    pub webhook_events: Vec<WebhookEvent>,
    pub metadata: Map<String, Value>,
}

impl Manifest {
    /// Returns the operation of this name.
    pub fn operation(&self, name: &str) -> Option<&Operation> {
        self.operations.iter().find(|it| it.name == name)
    }

    /// Says what to write instead of the unknown operation `name`.
    pub fn operation_hint(&self, name: &str) -> String {
        let names = || self.operations.iter().map(|it| it.name.as_str());
        match nearest(name, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("`{}` has: {}", self.name, listed(names())),
        }
    }

    /// The environment variables that may hold its key, the first one preferred.
    pub fn key_variables(&self) -> [String; 2] {
        let stem: String = self
            .name
            .chars()
            .map(|it| if it.is_ascii_alphanumeric() { it.to_ascii_uppercase() } else { '_' })
            .collect();
        [format!("{stem}_API_KEY"), format!("{stem}_TOKEN")]
    }
}

/// Names in a hint; a long list is cut.
pub fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN_MAX: usize = 20;
    let names: Vec<&str> = names.collect();
    match names.len().checked_sub(SHOWN_MAX) {
        Some(more) if more > 0 => format!("{} and {more} more", names[..SHOWN_MAX].join(", ")),
        _ => names.join(", "),
    }
}

/// How requests prove who sends them.
#[derive(Clone, Debug)]
pub struct Auth {
    pub strategy: Strategy,
    /// Header of `api_key_header`, and of the bearer strategies.
    pub header: String,
    /// Of `api_key_query`.
    pub query_param: String,
    /// Makes the header's or parameter's value of `api_key`.
    pub format: Template,
    /// Of `oauth2_client_credentials`.
    pub token_endpoint: Option<String>,
    pub scopes: Vec<String>,
}

/// The kinds of [`Auth`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    ApiKeyHeader,
    ApiKeyQuery,
    OAuth2Bearer,
    /// The key is `user:password`.
    Basic,
    /// The key is `client_id:client_secret`.
    OAuth2ClientCredentials,
    None,
}

impl Strategy {
    /// The names in manifests.
    pub const NAMES: &[&str] =
        &["api_key_header", "api_key_query", "oauth2_bearer", "basic", "oauth2_client_credentials", "none"];

    /// Reads one of [`Strategy::NAMES`].
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "api_key_header" => Some(Self::ApiKeyHeader),
            "api_key_query" => Some(Self::ApiKeyQuery),
            "oauth2_bearer" => Some(Self::OAuth2Bearer),
            "basic" => Some(Self::Basic),
            "oauth2_client_credentials" => Some(Self::OAuth2ClientCredentials),
            "none" => Some(Self::None),
            _ => None,
        }
    }

    /// The name in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::ApiKeyHeader => "api_key_header",
            Self::ApiKeyQuery => "api_key_query",
            Self::OAuth2Bearer => "oauth2_bearer",
            Self::Basic => "basic",
            Self::OAuth2ClientCredentials => "oauth2_client_credentials",
            Self::None => "none",
        }
    }

    /// Whether a request needs a key.
    pub fn needs_key(self) -> bool {
        self != Self::None
    }
}

/// When a failed request is sent again, and after how long.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    pub strategy: RetryStrategy,
    /// Beside the first attempt.
    pub max_retries: u32,
    pub base_delay_ms: u64,
    pub max_delay_ms: u64,
    pub retry_on_status: Vec<u16>,
}

/// How the pause between two attempts grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryStrategy {
    ExponentialBackoff,
    Fixed,
    None,
}

impl RetryStrategy {
    /// The name in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::ExponentialBackoff => "exponential_backoff",
            Self::Fixed => "fixed",
            Self::None => "none",
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            strategy: RetryStrategy::ExponentialBackoff,
            max_retries: 3,
            base_delay_ms: 300,
            max_delay_ms: 30_000,
            retry_on_status: vec![429, 500, 502, 503, 504],
        }
    }
}

impl RetryPolicy {
    /// How long to wait after attempt `attempt` (1 is the first) failed; `wished_ms` is the server's
    /// `Retry-After`, which wins.
    pub fn delay_ms(&self, attempt: u32, wished_ms: Option<u64>) -> u64 {
        let own = match self.strategy {
            RetryStrategy::None => 0,
            RetryStrategy::Fixed => self.base_delay_ms,
            RetryStrategy::ExponentialBackoff => {
                self.base_delay_ms.saturating_mul(1_u64.checked_shl(attempt.saturating_sub(1)).unwrap_or(u64::MAX))
            }
        };
        wished_ms.unwrap_or(own).min(self.max_delay_ms)
    }

    /// Whether a reply of this status is worth another attempt.
    pub fn covers(&self, status: u16) -> bool {
        self.strategy != RetryStrategy::None && self.retry_on_status.contains(&status)
    }
}

/// How many requests may be sent in which time.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimit {
    pub algorithm: Algorithm,
    pub capacity: u32,
    pub refill_per_sec: f64,
    pub window_size_sec: f64,
}

/// The kinds of [`RateLimit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    TokenBucket,
    SlidingWindow,
    FixedWindow,
    LeakyBucket,
    None,
}

impl Algorithm {
    /// The name in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::TokenBucket => "token_bucket",
            Self::SlidingWindow => "sliding_window",
            Self::FixedWindow => "fixed_window",
            Self::LeakyBucket => "leaky_bucket",
            Self::None => "none",
        }
    }
}

/// One thing a provider can do.
#[derive(Clone, Debug)]
pub struct Operation {
    pub name: String,
    /// In upper case.
    pub method: String,
    /// Begins with `/`; `{param}` stands for a value.
    pub path: String,
    pub description: Option<String>,
    pub required_scopes: Vec<String>,
    /// In seconds.
    pub timeout_s: Option<f64>,
    pub rate_limit: Option<RateLimit>,
    pub request: RequestPart,
    pub response: ResponsePart,
    pub pagination: Option<Pagination>,
    /// Why it cannot run here: it asks for code.
    pub refused: Option<String>,
}

impl Operation {
    /// The first of its schemas that is none, by its key, and why.
    pub fn schema_problem(&self) -> Option<(&'static str, String)> {
        let schemas = [
            ("request.body_schema", &self.request.body_schema),
            ("request.query_params_schema", &self.request.query_schema),
            ("response.schema", &self.response.schema),
        ];
        schemas.into_iter().find_map(|(key, schema)| Some((key, schema.as_ref()?.problem()?)))
    }

    /// Whether sending it twice is the same as sending it once (RFC 9110, 9.2.2).
    pub fn is_idempotent(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS")
    }
}

/// What is sent.
#[derive(Clone, Debug, Default)]
pub struct RequestPart {
    pub body_schema: Option<Schema>,
    pub body: Option<BodyTemplate>,
    pub query_schema: Option<Schema>,
    pub query: Vec<(String, Template)>,
    pub headers: Vec<(String, Template)>,
    pub path_params: Vec<(String, Template)>,
}

/// The template of a body.
#[derive(Clone, Debug)]
pub enum BodyTemplate {
    /// Renders the JSON text.
    Text(Template),
    /// A value in which every text is a template; a text that is one `{{ … }}` keeps its type.
    Value(ValueTemplate),
}

/// A JSON value with templates in it.
#[derive(Clone, Debug)]
pub enum ValueTemplate {
    Plain(Value),
    Text(Template),
    List(Vec<ValueTemplate>),
    Map(Vec<(String, ValueTemplate)>),
}

/// What comes back.
#[derive(Clone, Debug)]
pub struct ResponsePart {
    pub success_codes: Vec<u16>,
    pub pointer: super::pointer::Pointer,
    pub schema: Option<Schema>,
    pub error_pointer: Option<super::pointer::Pointer>,
    /// Renders JSON of `response`.
    pub transform: Option<Template>,
}

/// How the rest of a long answer is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Pagination {
    pub kind: PagingKind,
    pub limit_param: Option<String>,
    pub offset_param: String,
    pub page_param: String,
    pub cursor_param: String,
    pub cursor_path: Option<super::pointer::Pointer>,
    pub has_more_path: Option<super::pointer::Pointer>,
    pub default_limit: u32,
}

/// The kinds of [`Pagination`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PagingKind {
    OffsetLimit,
    PageNumber,
    Cursor,
    LinkHeader,
    NextToken,
}

/// An event that the provider announces by a webhook.
#[derive(Clone, Debug)]
pub struct WebhookEvent {
    pub name: String,
    pub description: Option<String>,
    pub payload_schema: Option<Schema>,
    pub example_payload: Option<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_follow_the_strategy_and_the_server_wins() {
        let policy = |strategy| RetryPolicy { strategy, max_delay_ms: 1_000, ..RetryPolicy::default() };
        for (strategy, attempt, wished, expected) in [
            (RetryStrategy::ExponentialBackoff, 1, None, 300),
            (RetryStrategy::ExponentialBackoff, 2, None, 600),
            (RetryStrategy::ExponentialBackoff, 90, None, 1_000),
            (RetryStrategy::Fixed, 5, None, 300),
            (RetryStrategy::Fixed, 1, Some(700), 700),
            (RetryStrategy::ExponentialBackoff, 1, Some(5_000), 1_000),
        ] {
            assert_eq!(policy(strategy).delay_ms(attempt, wished), expected, "{strategy:?} {attempt} {wished:?}");
        }
        assert!(!policy(RetryStrategy::None).covers(429));
    }

    #[test]
    fn a_long_list_of_names_is_cut() {
        let names: Vec<String> = (0..25).map(|it| format!("op{it}")).collect();
        let text = listed(names.iter().map(String::as_str));
        assert!(text.starts_with("op0, op1") && text.ends_with("op19 and 5 more"), "{text}");
        assert_eq!(listed(["a", "b"].into_iter()), "a, b");
    }
}
