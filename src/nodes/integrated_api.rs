//! `integrated_api`: one operation of a provider that a manifest describes (diagrams.md 2.14, surface.md 7).

pub mod call;
pub mod keys;
pub mod providers;

mod answer;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};

use self::call::{Call, Wires, call};
use super::lookup::look_into;
use super::template::JsonTemplate;
use super::{Backoff, Effect, FieldSpec, Fields, Node, NodeContext, NodeType, Outcome, Output, Retry, Shape};
use crate::diagram::NodeKind;
use crate::error::Error;
use crate::integrations::manifest::{RetryPolicy, RetryStrategy, listed};
use crate::integrations::paging::{PAGES_DEFAULT, PAGES_MAX};
use crate::integrations::{Manifest, Operation};
use crate::limits;
use crate::nearest::nearest;

pub(super) static TYPE: NodeType = NodeType {
    kind: NodeKind::IntegratedApi,
    summary: "Calls one operation of a provider that a manifest describes.",
    fields: &[
        FieldSpec::new("provider", Shape::Text, "Name of the provider; `dipeo integrations list` shows them.")
            .required(),
        FieldSpec::new("operation", Shape::Text, "Name of the operation in the provider's manifest.").required(),
        FieldSpec::new("config", Shape::Map, "What the operation's templates call `config`; texts are templates."),
        FieldSpec::new("resource_id", Shape::Template, "What the operation's templates call `resource_id`."),
        FieldSpec::new("api_key_id", Shape::Text, "Name of the secret with the key."),
        FieldSpec::new(
            "max_retries",
            Shape::Whole(0),
            "Attempts after the first; the provider's `retry_policy` otherwise.",
        ),
    ],
    read,
};

/// Why a provider cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderProblem {
    /// Nobody knows it.
    Unknown,
    /// Its manifest is wrong: where, and the first problem.
    Invalid { path: String, problem: String },
}

struct IntegratedApi {
    /// `None` when it could not be read; then the diagram does not run.
    target: Option<Target>,
    config: JsonTemplate,
    resource_id: Option<JsonTemplate>,
    api_key_id: Option<String>,
    max_retries: Option<u32>,
    /// Pages that one attempt may take, as far as the text shows.
    n_pages: u64,
}

/// The operation that is called.
struct Target {
    manifest: Arc<Manifest>,
    /// Its position in the manifest.
    operation_idx: usize,
}

impl Target {
    fn operation(&self) -> &Operation {
        &self.manifest.operations[self.operation_idx]
    }
}

fn read(fields: &mut Fields<'_>) -> Box<dyn Node> {
    let provider = fields.required_text("provider");
    let operation = fields.required_text("operation");
    let api_key_id = fields.text_not_blank("api_key_id");
    let config = fields.object_or_empty("config");
    let target = read_target(fields, provider.trim(), operation.trim());
    if let Some(target) = &target {
        check_key(fields, target, api_key_id.as_deref());
    }
    let n_pages = match config.get("all_pages") {
        Some(Value::Bool(true)) => config.get("max_pages").and_then(Value::as_u64).unwrap_or(PAGES_DEFAULT),
        _ => 1,
    };
    let resource_id = fields.value("resource_id").filter(|it| !it.is_null());
    Box::new(IntegratedApi {
        target,
        config: read_template(fields, "config", &Value::Object(config)),
        resource_id: resource_id.map(|it| read_template(fields, "resource_id", &it)),
        api_key_id,
        max_retries: fields
            .integer("max_retries", 0)
            .map(|it| u32::try_from(it).unwrap_or(u32::MAX).min(limits::ATTEMPTS_MAX - 1)),
        n_pages: n_pages.clamp(1, PAGES_MAX),
    })
}

fn read_template(fields: &mut Fields<'_>, key: &'static str, value: &Value) -> JsonTemplate {
    match JsonTemplate::parse(value) {
        Ok(template) => template,
        Err(problem) => {
            fields.problem("E602", key, format!("`{key}` is no template: {}", problem.message), problem.hint);
            JsonTemplate::Plain(value.clone())
        }
    }
}

fn read_target(fields: &mut Fields<'_>, provider: &str, operation: &str) -> Option<Target> {
    if provider.is_empty() {
        return None;
    }
    let surroundings = fields.context().surroundings;
    let manifest = match surroundings.provider(provider) {
        Ok(manifest) => manifest,
        Err(_) if surroundings.structure_only() => return None,
        Err(ProviderProblem::Unknown) => {
            unknown_provider(fields, provider);
            return None;
        }
        Err(ProviderProblem::Invalid { path, problem }) => {
            let message = format!("the manifest of `{provider}` cannot be used: {path}: {problem}");
            fields.problem("E403", "provider", message, "`dipeo integrations validate` shows every problem");
            return None;
        }
    };
    if operation.is_empty() {
        return None;
    }
    let Some(operation_idx) = manifest.operations.iter().position(|it| it.name == operation) else {
        let message = format!("`{provider}` has no operation `{operation}`");
        fields.problem("E403", "operation", message, manifest.operation_hint(operation));
        return None;
    };
    if let Some(place) = &manifest.operations[operation_idx].refused {
        let message = format!("`{operation}` of `{provider}` asks for code with `{place}`, which is not run");
        fields.problem("E802", "operation", message, "choose another operation, or send the request with an api_job");
        return None;
    }
    if let Some((key, problem)) = manifest.operations[operation_idx].schema_problem() {
        let message = format!("`{key}` of `{operation}` in the manifest of `{provider}` is no JSON Schema: {problem}");
        fields.problem("E604", "operation", message, "`dipeo integrations validate` shows the line");
        return None;
    }
    Some(Target { manifest, operation_idx })
}

fn unknown_provider(fields: &mut Fields<'_>, provider: &str) {
    let names = fields.context().surroundings.provider_names();
    let known = || names.iter().map(String::as_str);
    let hint = match nearest(provider, known()) {
        _ if provider.starts_with("mcp_") => {
            "tools of tool servers are not called by this node; use `mcp_tool`".to_owned()
        }
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}; `dipeo integrations init` writes a manifest", listed(known())),
    };
    fields.problem("E403", "provider", format!("no provider is named `{provider}`"), hint);
}

/// A key belongs to the person who runs the program, not to whoever sent the diagram.
fn check_key(fields: &mut Fields<'_>, target: &Target, api_key_id: Option<&str>) {
    let surroundings = fields.context().surroundings;
    let manifest = &target.manifest;
    let needs_secrets = !crate::integrations::request::secrets_of(manifest, target.operation()).is_empty();
    if !manifest.auth.strategy.needs_key() && !needs_secrets {
        if api_key_id.is_some() {
            let message = format!("`{}` needs no key, so `api_key_id` has no effect", manifest.name);
            fields.problem("W402", "api_key_id", message, "remove it");
        }
        return;
    }
    if !keys::may_use(surroundings.rights()) {
        let message = format!("`{}` needs a key, which a submitted diagram may not use", manifest.name);
        fields.problem("E701", "provider", message, "a person can allow it with `dipeo trust NAME`");
        return;
    }
    let is_needed = manifest.auth.strategy.needs_key() && !surroundings.structure_only();
    if is_needed && !surroundings.has_provider_key(manifest, api_key_id) {
        let message = format!("there is no key for `{}`", manifest.name);
        fields.problem("W504", "provider", message, keys::hint(manifest, api_key_id));
    }
}

impl Node for IntegratedApi {
    fn effect(&self) -> Effect {
        Effect::Outside
    }

    fn mocked(&self, _: &str) -> Option<Value> {
        Some(json!({"mock": true}))
    }

    fn timeout_default(&self) -> Option<f64> {
        let own = self
            .target
            .as_ref()
            .map_or(limits::HTTP_TIMEOUT_S, |it| it.operation().timeout_s.unwrap_or(it.manifest.default_timeout_s));
        // Pages come one after the other.
        Some(own * self.n_pages as f64)
    }

    fn retry_default(&self) -> Retry {
        let policy = self.target.as_ref().map(policy_of).unwrap_or_default();
        let backoff = match policy.strategy {
            RetryStrategy::ExponentialBackoff => Backoff::Exponential,
            RetryStrategy::Fixed | RetryStrategy::None => Backoff::Fixed,
        };
        let n_retries = match policy.strategy {
            RetryStrategy::None => 0,
            RetryStrategy::ExponentialBackoff | RetryStrategy::Fixed => self.max_retries.unwrap_or(policy.max_retries),
        };
        Retry { max_attempts: n_retries + 1, delay_ms: policy.base_delay_ms, backoff }
    }

    fn run<'a>(&'a self, cx: &'a NodeContext) -> BoxFuture<'a, Result<Outcome, Error>> {
        Box::pin(async move {
            let target =
                self.target.as_ref().ok_or_else(|| Error::internal("an integrated_api without an operation"))?;
            let key = keys::find(&target.manifest, self.api_key_id.as_deref(), &cx.ports, &cx.rights)?;
            let request = Call {
                manifest: &target.manifest,
                operation: target.operation(),
                config: self.config(cx)?,
                resource_id: self.resource_id(cx)?,
                key,
                timeout: self.timeout(cx, target),
                attempt: cx.attempt,
                idempotency_key: format!("{}:{}:{}", cx.execution_id, cx.node_id, cx.iteration),
            };
            let done = call(&request, &Wires::of(&cx.ports, &cx.rights)).await?;
            let mut output = Output::value(done.value);
            output.meta = done.meta;
            Ok(Outcome::Done(output))
        })
    }
}

impl IntegratedApi {
    /// `config` of the node, below the map of the input `default`, below the other inputs by name.
    fn config(&self, cx: &NodeContext) -> Result<Map<String, Value>, Error> {
        let Value::Object(mut config) = self.config.render(cx, &Map::new())? else { return Ok(Map::new()) };
        for (name, value) in cx.names.inputs.iter() {
            match (name, look_into(value).as_ref()) {
                ("default", Value::Object(map)) => config.extend(map.clone()),
                // A signal or a text without a name says nothing of any key.
                ("default", _) => {}
                (_, _) => {
                    config.insert(name.to_owned(), Value::clone(value));
                }
            }
        }
        Ok(config)
    }

    fn resource_id(&self, cx: &NodeContext) -> Result<Option<Value>, Error> {
        self.resource_id.as_ref().map(|it| it.render(cx, &Map::new())).transpose()
    }

    /// Of one request.
    fn timeout(&self, cx: &NodeContext, target: &Target) -> Duration {
        let own = target.operation().timeout_s.unwrap_or(target.manifest.default_timeout_s);
        let own = Duration::try_from_secs_f64(own).unwrap_or(Duration::from_secs(30));
        cx.timeout.map_or(own, |it| if self.n_pages > 1 { it.min(own) } else { it })
    }
}

/// The manifest's own policy, else the usual one for what may be repeated, and for a refusal for haste.
fn policy_of(target: &Target) -> RetryPolicy {
    call::retry_policy(&target.manifest, target.operation())
}

#[cfg(test)]
mod tests;
