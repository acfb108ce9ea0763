//! Text to [`Manifest`], or every problem with its line.

mod operation;

pub(super) use operation::params_of;

use serde_json::Value;
use url::Url;

use super::manifest::{Algorithm, Auth, Manifest, RateLimit, RetryPolicy, RetryStrategy, Strategy, WebhookEvent};
use super::section::{Schemas, Section};
use super::template::Template;
use crate::diagram::{Bounds, Diagnostic, Severity, load_within};
use crate::limits;

/// What a manifest must not ask for: it carries no code here.
const CODE_KEYS: [&str; 4] = ["pre_request_hook", "post_response_hook", "hooks_module", "custom_handler"];

/// A manifest as far as it could be read.
#[derive(Debug)]
pub struct Read {
    /// `None` when something is wrong beside operations that ask for code.
    pub manifest: Option<Manifest>,
    /// In file order; E… is an error, W… a warning.
    pub diagnostics: Vec<Diagnostic>,
}

impl Read {
    /// Whether nothing is wrong.
    pub fn is_valid(&self) -> bool {
        self.diagnostics.iter().all(|it| it.severity() == Severity::Warning)
    }
}

/// Reads a manifest, YAML or JSON, and checks everything in it.
pub fn read(text: &str) -> Read {
    read_with(text, Schemas::Now)
}

/// Reads a manifest to use it: as [`read`], but a schema is looked at only when its operation is called.
pub fn read_to_use(text: &str) -> Read {
    read_with(text, Schemas::WhenNeeded)
}

fn read_with(text: &str, schemas: Schemas) -> Read {
    let bounds =
        Bounds { what: "manifest", bytes_max: limits::MANIFEST_BYTES_MAX, values_max: limits::MANIFEST_VALUES_MAX };
    let loaded = match load_within(text, bounds) {
        Ok(loaded) => loaded,
        Err(problems) => {
            return Read { manifest: None, diagnostics: problems.into_iter().map(of_a_manifest).collect() };
        }
    };
    let mut diagnostics = loaded.warnings;
    let manifest = read_manifest(Section::new(&loaded.tree, String::new(), schemas, &mut diagnostics));
    diagnostics.sort_by_key(|it| it.span.offset);
    let is_usable = diagnostics.iter().all(|it| it.code == "E802" || it.severity() == Severity::Warning);
    Read { manifest: is_usable.then_some(manifest), diagnostics }
}

/// Hints of the parser speak of diagrams.
fn of_a_manifest(mut problem: Diagnostic) -> Diagnostic {
    if problem.code == "E102" {
        problem.hint =
            Some("a manifest is one mapping; begin with `name:`, `base_url:`, `auth:`, `operations:`".into());
    }
    problem
}

fn read_manifest(mut top: Section<'_, '_>) -> Manifest {
    let name = read_name(&mut top);
    let mut refused = refused_code(&mut top);
    let auth = read_auth(&mut top, &mut refused);
    let manifest = Manifest {
        name,
        version: top.text("version").unwrap_or_else(|| "1.0.0".to_owned()),
        description: top.text("description"),
        base_url: read_base_url(&mut top),
        default_timeout_s: top.number("default_timeout", 0.1, 300.0).unwrap_or(30.0),
        default_headers: top.templates("default_headers"),
        auth,
        retry: read_retry(&mut top),
        rate_limit: read_rate_limit(&mut top, "rate_limit"),
        operations: operation::read_all(&mut top, refused.as_deref()),
        webhook_events: read_webhook_events(&mut top),
        metadata: top.map("metadata"),
    };
    if top.tree("schemas_directory").is_some() {
        let message = "`schemas_directory` has no effect".to_owned();
        top.problem("W402", "schemas_directory", message, "write each schema into the manifest itself");
    }
    top.finish();
    manifest
}

fn read_name(top: &mut Section<'_, '_>) -> String {
    let name = top.required_text("name", "my_service");
    let is_plain = name.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'-'));
    if !is_plain || name.len() > limits::PROVIDER_NAME_BYTES_MAX {
        let message = format!("`{name}` cannot be the name of a provider");
        top.problem("E403", "name", message, "write letters, digits, `_` and `-` only");
    }
    name
}

fn read_base_url(top: &mut Section<'_, '_>) -> String {
    let text = top.required_text("base_url", "https://api.example.com");
    if text.is_empty() {
        return text;
    }
    if let Err(problem) = check_base_url(&text) {
        let message = format!("`base_url` cannot be used: {problem}");
        top.problem("E403", "base_url", message, "write `https://` and a host, and a path if all operations share it");
    }
    text.trim_end_matches('/').to_owned()
}

/// Checks an address that paths are appended to.
///
/// # Errors
///
/// What is wrong with it.
pub fn check_base_url(text: &str) -> Result<(), String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("it is no http or https address".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it holds credentials, which belong to `auth`".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it has a query or fragment".to_owned());
    }
    Ok(())
}

/// Reports what asks for code and says so.
fn refused_code(section: &mut Section<'_, '_>) -> Option<String> {
    let mut refused = None;
    for key in CODE_KEYS {
        if section.tree(key).is_some() {
            let place = section.place(key);
            let message = format!("`{place}` asks for code, and manifests carry none here");
            section.problem("E802", key, message, "do it with `response.transform`, or in a code_job after the call");
            refused = Some(place);
        }
    }
    refused
}

fn read_auth(top: &mut Section<'_, '_>, refused: &mut Option<String>) -> Auth {
    let Some(mut section) = top.section("auth") else {
        top.missing("auth", "{strategy: none}");
        return auth_of(Strategy::None);
    };
    let is_custom = section.tree("strategy").and_then(|it| it.as_text()) == Some("custom");
    let strategy = if is_custom {
        let message = "`auth.strategy: custom` asks for code, and manifests carry none here".to_owned();
        section.problem("E802", "strategy", message, format!("write one of: {}", Strategy::NAMES.join(", ")));
        refused.get_or_insert_with(|| "auth.strategy".to_owned());
        Strategy::None
    } else {
        if section.tree("strategy").is_none() {
            section.missing("strategy", "none");
        }
        section.choice("strategy", Strategy::NAMES).and_then(Strategy::parse).unwrap_or(Strategy::None)
    };
    let mut auth = auth_of(strategy);
    if let Some(format) = section.template("format") {
        auth.format = format;
    }
    if let Some(header) = section.text("header") {
        if !is_header_name(&header) {
            section.problem("E403", "header", format!("`{header}` is no header name"), "write letters, digits and `-`");
        }
        auth.header = header;
    }
    if let Some(param) = section.text("query_param") {
        auth.query_param = param;
    }
    auth.scopes = section.texts("scopes");
    auth.token_endpoint = section.text("token_endpoint");
    if let Some(endpoint) = &auth.token_endpoint
        && let Err(problem) = check_base_url(endpoint)
    {
        let message = format!("`auth.token_endpoint` cannot be used: {problem}");
        section.problem("E403", "token_endpoint", message, "write the whole https address");
    }
    if strategy == Strategy::OAuth2ClientCredentials && auth.token_endpoint.is_none() {
        section.missing("token_endpoint", "https://auth.example.com/token");
    }
    section.finish();
    auth
}

fn auth_of(strategy: Strategy) -> Auth {
    let header = if strategy == Strategy::ApiKeyHeader { "X-API-Key" } else { "Authorization" };
    let format = match strategy {
        Strategy::OAuth2Bearer | Strategy::OAuth2ClientCredentials => "Bearer {{ api_key }}",
        Strategy::ApiKeyHeader | Strategy::ApiKeyQuery | Strategy::Basic | Strategy::None => "{{ api_key }}",
    };
    let format = Template::text(format, "auth.format");
    Auth {
        strategy,
        header: header.to_owned(),
        query_param: "api_key".to_owned(),
        format: format.expect("our own template parses"),
        token_endpoint: None,
        scopes: Vec::new(),
    }
}

/// Whether a text can be the name of a header (RFC 9110, 5.6.2).
pub(super) fn is_header_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|it| it.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&it))
}

fn read_retry(top: &mut Section<'_, '_>) -> Option<RetryPolicy> {
    let mut section = top.section("retry_policy")?;
    let preset = RetryPolicy::default();
    let strategy = match section.choice("strategy", &["exponential_backoff", "fixed", "none"]) {
        Some("fixed") => RetryStrategy::Fixed,
        Some("none") => RetryStrategy::None,
        _ => RetryStrategy::ExponentialBackoff,
    };
    let longest = limits::RETRY_DELAY_MS_MAX as u32;
    let policy = RetryPolicy {
        strategy,
        max_retries: section.whole("max_retries", 0, 10).unwrap_or(preset.max_retries),
        base_delay_ms: section.whole("base_delay_ms", 0, longest).map_or(preset.base_delay_ms, u64::from),
        max_delay_ms: section.whole("max_delay_ms", 0, longest).map_or(preset.max_delay_ms, u64::from),
        retry_on_status: section.statuses("retry_on_status").unwrap_or(preset.retry_on_status),
    };
    section.finish();
    Some(policy)
}

fn read_rate_limit(section: &mut Section<'_, '_>, key: &'static str) -> Option<RateLimit> {
    let mut section = section.section(key)?;
    let names = ["token_bucket", "sliding_window", "fixed_window", "leaky_bucket", "none"];
    let algorithm = match section.choice("algorithm", &names) {
        Some("sliding_window") => Algorithm::SlidingWindow,
        Some("fixed_window") => Algorithm::FixedWindow,
        Some("leaky_bucket") => Algorithm::LeakyBucket,
        Some("none") => Algorithm::None,
        _ => Algorithm::TokenBucket,
    };
    let limit = RateLimit {
        algorithm,
        capacity: section.whole("capacity", 1, 1_000_000).unwrap_or(50),
        refill_per_sec: section.number("refill_per_sec", 0.000_1, 1_000_000.0).unwrap_or(1.0),
        window_size_sec: section.number("window_size_sec", 0.001, 86_400.0).unwrap_or(60.0),
    };
    section.finish();
    Some(limit)
}

fn read_webhook_events(top: &mut Section<'_, '_>) -> Vec<WebhookEvent> {
    let Some(tree) = top.tree("webhook_events") else { return Vec::new() };
    if tree.items().is_empty() {
        let message = format!("`webhook_events` must be a list, not {}", tree.kind_name());
        top.problem("E402", "webhook_events", message, "write `- name: …` for each event");
    }
    let mut events = Vec::new();
    for (idx, tree) in tree.items().iter().enumerate() {
        let mut section = top.below(tree, format!("webhook_events[{idx}]"));
        events.push(WebhookEvent {
            name: section.required_text("name", "issue.created"),
            description: section.text("description"),
            payload_schema: section.schema("payload_schema"),
            example_payload: section.tree("example_payload").map(|it| it.to_json()).filter(|it| *it != Value::Null),
        });
        section.finish();
    }
    events
}

#[cfg(test)]
mod tests;
