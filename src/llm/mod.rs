//! Model providers, one file each, behind the port `Models`. Which one answers is said by the request's
//! service; keys and addresses come in as [`Settings`], never from the environment. No provider is
//! contacted, and no TLS set up, before the first call that needs it.

mod openai;
mod scripted;

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use self::openai::{Endpoint, OpenAi};
use crate::config::ModelSettings;
use crate::diagram::{Person, Service};
use crate::error::Error;
use crate::nodes::ports::{ModelReply, ModelRequest, Models};
pub use crate::secret::Secret;

/// Where OpenAI answers unless told otherwise.
pub const OPENAI_BASE_URL: &str = "https://api.openai.com/v1";
/// The model of OpenAI for persons that name none.
pub const OPENAI_MODEL: &str = "gpt-4o";
/// Where a local Ollama answers unless told otherwise.
pub const OLLAMA_HOST: &str = "http://localhost:11434";

/// Keys and addresses of the providers.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub openai: OpenAiSettings,
    pub ollama: OllamaSettings,
    /// Keys by the `api_key_id` of persons; they win over the service's own key.
    pub keys: HashMap<String, Secret>,
}

impl Settings {
    /// The settings of this process.
    pub fn from_config(config: &ModelSettings) -> Self {
        let openai = OpenAiSettings::default();
        Self {
            openai: OpenAiSettings {
                base_url: config.openai_base_url.clone().unwrap_or(openai.base_url),
                api_key: config.openai_api_key.as_ref().and_then(Secret::new),
                default_model: config.openai_model.clone().unwrap_or(openai.default_model),
            },
            ollama: config.ollama_host.clone().map_or_else(OllamaSettings::default, |host| OllamaSettings { host }),
            keys: HashMap::new(),
        }
    }
}

/// OpenAI, or anything that speaks its chat-completions format.
#[derive(Clone, Debug)]
pub struct OpenAiSettings {
    /// `OPENAI_BASE_URL`.
    pub base_url: String,
    /// `OPENAI_API_KEY`.
    pub api_key: Option<Secret>,
    /// `OPENAI_MODEL`.
    pub default_model: String,
}

impl Default for OpenAiSettings {
    fn default() -> Self {
        Self { base_url: OPENAI_BASE_URL.to_owned(), api_key: None, default_model: OPENAI_MODEL.to_owned() }
    }
}

/// A local Ollama.
#[derive(Clone, Debug)]
pub struct OllamaSettings {
    /// `OLLAMA_HOST`: an address with or without `http://`.
    pub host: String,
}

impl Default for OllamaSettings {
    fn default() -> Self {
        Self { host: OLLAMA_HOST.to_owned() }
    }
}

/// Every provider of this process.
pub struct Llm {
    settings: Settings,
    openai: OpenAi,
}

impl Llm {
    /// Makes the providers. Nothing is contacted yet.
    pub fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self { settings, openai: OpenAi::default() })
    }

    /// Whether a call of `service` would find a key, or needs none (W504).
    pub fn has_key(&self, service: Service, api_key_id: Option<&str>) -> bool {
        match service {
            Service::OpenAi => !self.openai_needs_key() || self.openai_key(api_key_id).is_some(),
            Service::Ollama | Service::Caller | Service::Scripted => true,
            Service::Anthropic | Service::Gemini => false,
            Service::ClaudeCode | Service::ClaudeCodeCustom => true,
        }
    }

    /// The model that a person of `service` gets when it names none (W505).
    pub fn default_model(&self, service: Service) -> Option<String> {
        (service == Service::OpenAi).then(|| self.settings.openai.default_model.clone())
    }

    /// Another server than OpenAI's may well need no key.
    fn openai_needs_key(&self) -> bool {
        self.settings.openai.base_url.trim_end_matches('/') == OPENAI_BASE_URL
    }

    fn openai_key(&self, api_key_id: Option<&str>) -> Option<&Secret> {
        api_key_id.and_then(|it| self.settings.keys.get(it)).or(self.settings.openai.api_key.as_ref())
    }

    fn openai_endpoint(&self, person: &Person) -> Result<Endpoint, Error> {
        let key = self.openai_key(person.api_key_id.as_deref());
        if key.is_none() && person.base_url.is_none() && self.openai_needs_key() {
            return Err(no_key(person));
        }
        Ok(Endpoint {
            service: Service::OpenAi,
            base_url: person.base_url.clone().unwrap_or_else(|| self.settings.openai.base_url.clone()),
            key: key.cloned(),
            model: own_model(person).unwrap_or(&self.settings.openai.default_model).to_owned(),
        })
    }

    fn ollama_endpoint(&self, person: &Person) -> Result<Endpoint, Error> {
        let Some(model) = own_model(person) else {
            let message = format!("person `{}` names no model, and `ollama` has no default", person.label);
            return Err(Error::external("NO_MODEL", message)
                .hint("give the person a `model`; `ollama list` shows what is installed"));
        };
        let host = person.base_url.as_deref().unwrap_or(&self.settings.ollama.host);
        let key = person.api_key_id.as_ref().and_then(|it| self.settings.keys.get(it)).cloned();
        Ok(Endpoint { service: Service::Ollama, base_url: ollama_base_url(host), key, model: model.to_owned() })
    }
}

impl Models for Llm {
    fn call(&self, request: ModelRequest) -> BoxFuture<'_, Result<ModelReply, Error>> {
        Box::pin(async move {
            let person = &request.person;
            match request.service {
                Service::Scripted => scripted::call(&request).await,
                Service::OpenAi => {
                    require_address(&request)?;
                    self.openai.call(&self.openai_endpoint(person)?, &request).await
                }
                Service::Ollama => {
                    require_address(&request)?;
                    self.openai.call(&self.ollama_endpoint(person)?, &request).await
                }
                Service::Caller => Err(Error::internal("`caller` is a question, not a model call")),
                Service::Anthropic | Service::Gemini | Service::ClaudeCode | Service::ClaudeCodeCustom => {
                    Err(not_supported(person, request.service))
                }
            }
        })
    }
}

fn own_model(person: &Person) -> Option<&str> {
    person.model.as_deref().filter(|it| !it.trim().is_empty())
}

/// Makes ring the TLS implementation of this process, once. Whoever builds an HTTP client calls it first.
pub fn install_tls() {
    crate::tls::install();
}

/// A person's own `base_url` is sent our key and may name any machine, so a diagram that a client sent
/// cannot use one.
fn require_address(request: &ModelRequest) -> Result<(), Error> {
    let rights = &request.rights;
    match &request.person.base_url {
        Some(base_url) if !rights.private_network => {
            let message = format!(
                "person `{}` may not use its own `base_url` `{base_url}` in a {} diagram",
                request.person.label,
                rights.origin.name()
            );
            Err(Error::refused("HOST_NOT_ALLOWED", message)
                .hint("remove `base_url`, or let a person allow it with `dipeo trust NAME`"))
        }
        _ => Ok(()),
    }
}

/// `OLLAMA_HOST` is what the server listens on: often without a scheme, or every address at once.
fn ollama_base_url(host: &str) -> String {
    let host = host.trim().trim_end_matches('/');
    let url = if host.contains("://") { host.to_owned() } else { format!("http://{host}") };
    let url = url.replacen("://0.0.0.0", "://127.0.0.1", 1);
    if url.ends_with("/v1") { url } else { format!("{url}/v1") }
}

fn no_key(person: &Person) -> Error {
    let secret = match &person.api_key_id {
        Some(id) => format!("no secret is named `{id}` and the variable `OPENAI_API_KEY` is not set"),
        None => "the variable `OPENAI_API_KEY` is not set".to_owned(),
    };
    Error::external("NO_MODEL", format!("person `{}` has no key for `openai`: {secret}", person.label))
        .hint("set `OPENAI_API_KEY`, or run with `models: caller`, which needs no key")
}

fn not_supported(person: &Person, service: Service) -> Error {
    let message =
        format!("person `{}` uses `{}`, which is not supported by this version", person.label, service.name());
    Error::external("NO_MODEL", message).hint(
        "run with `models: caller`, or use `service: openai` with the `base_url` of a server that speaks its format",
    )
}
