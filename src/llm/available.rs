//! Asks a provider which models it has: the cheapest call there is, and so also the test of a key.

use std::time::Duration;

use serde_json::Value;

use super::endpoint::Endpoint;
use super::failure;
use super::{Llm, base_url, shown_id};
use crate::diagram::Service;
use crate::error::Error;
use crate::secret::Secret;

/// How long one provider may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most pages that are read: a list without end must not keep anybody waiting.
const PAGES_MAX: usize = 10;

impl Llm {
    /// Returns the names of the models that `service` offers to this key, as it lists them.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` for a service that has no list, `SECRET_NOT_FOUND`, `NO_MODEL` without a key, `LLM_FAILED`.
    pub(super) async fn models_of(&self, service: Service, api_key_id: Option<&str>) -> Result<Vec<String>, Error> {
        let endpoint = self.endpoint_of(service, self.key_named(service, api_key_id)?)?;
        let listed = async {
            let (mut names, mut after) = (Vec::new(), None);
            for _ in 0..PAGES_MAX {
                let page = self.transport.get(&endpoint, &path(service, after.as_deref())).await?;
                names.extend(names_in(&endpoint, &page)?);
                after = next_page(&page);
                if after.is_none() {
                    break;
                }
            }
            Ok(names)
        };
        let too_slow = |_| failure::failed(&endpoint, "takes longer than 10 s to list its models");
        tokio::time::timeout(PATIENCE, listed).await.map_err(too_slow)?
    }

    fn key_named(&self, service: Service, api_key_id: Option<&str>) -> Result<Option<Secret>, Error> {
        let Some(id) = api_key_id.map(str::trim).filter(|it| !it.is_empty()) else {
            return Ok(self.settings.provider(service).and_then(|it| it.api_key.clone()));
        };
        match self.secrets.find(id)? {
            Some(secret) => Ok(Some(secret)),
            None => Err(Error::not_found("SECRET_NOT_FOUND", format!("no secret is named `{}`", shown_id(id)))
                .hint("`dipeo secrets list` shows their names")),
        }
    }

    fn endpoint_of(&self, service: Service, key: Option<Secret>) -> Result<Endpoint, Error> {
        let wire: &'static dyn super::endpoint::Wire = match service {
            Service::OpenAi | Service::Ollama => &super::chat::CHAT,
            Service::Anthropic => &super::anthropic::ANTHROPIC,
            Service::Gemini => &super::gemini::GEMINI,
            Service::ClaudeCode | Service::ClaudeCodeCustom | Service::Caller | Service::Scripted => {
                return Err(Error::invalid("INVALID_INPUT", format!("`{}` has no list of models", service.name()))
                    .hint("ask openai, anthropic, gemini or ollama"));
            }
        };
        let given = self.settings.provider(service).map_or(&self.settings.ollama.host, |it| &it.base_url);
        let base_url = base_url(service, given);
        let official = super::settings::official_base_url(service);
        let is_official = official.is_some_and(|it| super::base_url(service, it) == base_url);
        if key.is_none() && is_official {
            let variable = service.key_variable().unwrap_or("its key");
            return Err(Error::external("NO_MODEL", format!("there is no key for `{}`", service.name()))
                .hint(format!("set `{variable}`, or name a key with `api_key_id`")));
        }
        Ok(Endpoint { service, base_url, key, model: String::new(), wire, is_official })
    }
}

/// Where the list is, below the base address.
fn path(service: Service, after: Option<&str>) -> String {
    let query = |pairs: &[(&str, &str)]| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(pairs);
        format!("/models?{}", query.finish())
    };
    match (service, after) {
        (Service::Anthropic, None) => query(&[("limit", "1000")]),
        (Service::Anthropic, Some(after)) => query(&[("limit", "1000"), ("after_id", after)]),
        (Service::Gemini, None) => query(&[("pageSize", "1000")]),
        (Service::Gemini, Some(after)) => query(&[("pageSize", "1000"), ("pageToken", after)]),
        _ => "/models".to_owned(),
    }
}

/// Reads one page: `data[].id` of OpenAI, Anthropic and Ollama, `models[].name` of Gemini.
fn names_in(endpoint: &Endpoint, page: &Value) -> Result<Vec<String>, Error> {
    let (list, key) = if endpoint.service == Service::Gemini { ("models", "name") } else { ("data", "id") };
    // An Ollama without a model has null for a list.
    let items = match page.get(list) {
        Some(Value::Array(items)) => items.as_slice(),
        Some(Value::Null) => &[],
        _ => {
            return Err(failure::failed(endpoint, "answered with something that is no list of models")
                .hint(format!("check that the address speaks {}", endpoint.wire.format_name())));
        }
    };
    let name = |it: &Value| Some(it.get(key)?.as_str()?.trim_start_matches("models/").to_owned());
    Ok(items.iter().filter_map(name).collect())
}

fn next_page(page: &Value) -> Option<String> {
    let text = |key: &str| page.get(key).and_then(Value::as_str).filter(|it| !it.is_empty()).map(str::to_owned);
    let goes_on = page.get("has_more").and_then(Value::as_bool).unwrap_or(false);
    text("nextPageToken").or_else(|| text("last_id").filter(|_| goes_on))
}
