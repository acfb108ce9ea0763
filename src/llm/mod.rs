//! Model providers behind the port `Models`: one file per wire format, all over one transport. Which one
//! answers is said by the request's service; keys and addresses come in as [`Settings`], never from the
//! environment. No provider is contacted, and no TLS set up, before the first call that needs it.

mod anthropic;
mod available;
mod chat;
mod claude_code;
mod draft;
mod endpoint;
mod failure;
mod frames;
mod gate;
mod gemini;
mod parts;
mod prices;
mod responses;
mod schema;
mod scripted;
mod settings;
mod transport;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tracing::Instrument;

use self::endpoint::{Endpoint, Wire};
pub use self::prices::Prices;
use self::settings::official_base_url;
pub use self::settings::{
    ANTHROPIC_BASE_URL, ClaudeSettings, GEMINI_BASE_URL, OLLAMA_HOST, OPENAI_BASE_URL, OllamaSettings, OpenAiApi,
    ProviderSettings, Settings,
};
use self::transport::Transport;
use crate::diagram::{Person, Service};
use crate::error::Error;
use crate::meter;
use crate::nodes::ports::models::Cost;
use crate::nodes::ports::secrets::{NoSecrets, Secrets};
use crate::nodes::ports::{ModelReply, ModelRequest, Models, Usage};
pub use crate::secret::Secret;
use crate::secret::looks_like_a_key;
use crate::spans;

/// Every provider of this process.
pub struct Llm {
    settings: Settings,
    secrets: Arc<dyn Secrets>,
    transport: Transport,
}

/// The key for one call, and what the log should say of it.
struct Key {
    key: Option<Secret>,
    warning: Option<String>,
}

impl Llm {
    /// Makes the providers for a place without secrets. Nothing is contacted yet.
    pub fn new(settings: Settings) -> Arc<Self> {
        Self::with_secrets(settings, Arc::new(NoSecrets))
    }

    /// Makes the providers; `secrets` are what persons may name as `api_key_id`.
    pub fn with_secrets(settings: Settings, secrets: Arc<dyn Secrets>) -> Arc<Self> {
        Arc::new(Self { settings, secrets, transport: Transport::default() })
    }

    async fn answer(&self, request: &ModelRequest) -> Result<ModelReply, Error> {
        match request.service {
            Service::Scripted => {
                let mut reply = scripted::call(request).await?;
                reply.cost = match request.person.price {
                    Some(price) => prices::pretended(price, reply.usage),
                    None => self.settings.prices.cost(request.service, false, &reply),
                };
                Ok(reply)
            }
            Service::OpenAi | Service::Anthropic | Service::Gemini | Service::Ollama => self.over_http(request).await,
            Service::ClaudeCode | Service::ClaudeCodeCustom => {
                let mut reply = claude_code::call(&self.settings.claude, request).await?;
                if reply.cost == Cost::Unpriced {
                    reply.cost = self.settings.prices.cost(request.service, false, &reply);
                }
                Ok(reply)
            }
            Service::Caller => Err(Error::internal("`caller` is a question, not a model call")),
        }
    }

    async fn over_http(&self, request: &ModelRequest) -> Result<ModelReply, Error> {
        require_address(request)?;
        let Key { key, warning } = self.key(request)?;
        let endpoint = self.endpoint(request, key)?;
        let mut reply = self.transport.call(&endpoint, request).await?;
        reply.cost = self.settings.prices.cost(request.service, endpoint.is_official, &reply);
        reply.warnings.extend(warning);
        Ok(reply)
    }

    /// The secret that the person names, else the key of the service.
    fn key(&self, request: &ModelRequest) -> Result<Key, Error> {
        let service_key = self.settings.provider(request.service).and_then(|it| it.api_key.clone());
        let Some(id) = request.person.api_key_id.as_deref().filter(|it| !it.trim().is_empty()) else {
            return Ok(Key { key: service_key, warning: None });
        };
        // A diagram that a client sent gets no secrets, whatever it calls them.
        let may_name = request.rights.private_network;
        if may_name && let Some(secret) = self.secrets.find(id)? {
            return Ok(Key { key: Some(secret), warning: None });
        }
        let variable = request.service.key_variable().unwrap_or("no key");
        let why = if may_name { "no secret is named so" } else { "a submitted diagram may not use secrets" };
        let id = shown_id(id);
        let warning = service_key.as_ref().map(|_| format!("`api_key_id` is `{id}`, but {why}: `{variable}` is used"));
        Ok(Key { key: service_key, warning })
    }

    /// The address that answers, and whether it is the provider's own.
    fn address(&self, service: Service, person: &Person) -> (String, bool) {
        let provider = self.settings.provider(service);
        let given = person.base_url.as_deref().or(provider.map(|it| it.base_url.as_str()));
        let base_url = base_url(service, given.unwrap_or(&self.settings.ollama.host));
        let is_official = official_base_url(service).is_some_and(|it| self::base_url(service, it) == base_url);
        (base_url, is_official)
    }

    fn model(&self, service: Service, person: &Person) -> Option<String> {
        let default_model = self.settings.provider(service).map(|it| it.default_model.as_str());
        own_model(person).or(default_model.filter(|it| !it.is_empty())).map(str::to_owned)
    }

    fn endpoint(&self, request: &ModelRequest, key: Option<Secret>) -> Result<Endpoint, Error> {
        let (service, person) = (request.service, &*request.person);
        let (base_url, is_official) = self.address(service, person);
        // Another server than the provider's may well need no key.
        if key.is_none() && is_official {
            return Err(no_key(person, service));
        }
        let model = self.model(service, person).ok_or_else(|| no_model(person, service))?;
        let wire = self.wire(request, is_official);
        Ok(Endpoint { service, base_url, key, model, wire, is_official })
    }

    /// OpenAI itself speaks Responses; other servers at its place speak chat completions unless the settings
    /// say otherwise. Tools are there in Responses alone, so a call with tools always uses it.
    fn wire(&self, request: &ModelRequest, is_official: bool) -> &'static dyn Wire {
        match request.service {
            Service::Anthropic => &anthropic::ANTHROPIC,
            Service::Gemini => &gemini::GEMINI,
            Service::OpenAi => {
                let by_address = if is_official { OpenAiApi::Responses } else { OpenAiApi::Chat };
                match self.settings.openai_api.unwrap_or(by_address) {
                    _ if !request.tools.is_empty() => &responses::RESPONSES,
                    OpenAiApi::Responses => &responses::RESPONSES,
                    OpenAiApi::Chat if is_official => &chat::CHAT_OF_OPENAI,
                    OpenAiApi::Chat => &chat::CHAT,
                }
            }
            Service::Ollama | Service::ClaudeCode | Service::ClaudeCodeCustom | Service::Caller | Service::Scripted => {
                &chat::CHAT
            }
        }
    }
}

impl Models for Llm {
    fn call(&self, request: ModelRequest) -> BoxFuture<'_, Result<ModelReply, Error>> {
        Box::pin(async move {
            let span = spans::model_call(request.service.name(), request.person.model.as_deref());
            let answer = self.answer(&request).instrument(span.clone()).await;
            count(request.service, &answer);
            match &answer {
                Ok(reply) => spans::replied(&span, reply.model.as_deref(), (reply.usage.input, reply.usage.output)),
                Err(error) => spans::fail(&span, error.code()),
            }
            answer
        })
    }

    fn available<'a>(
        &'a self,
        service: Service,
        api_key_id: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        Box::pin(self.models_of(service, api_key_id))
    }

    fn price(&self, request: &ModelRequest, usage: Usage) -> Cost {
        let (service, person) = (request.service, &*request.person);
        if service == Service::Scripted {
            return match person.price {
                Some(price) => prices::pretended(price, usage),
                None => {
                    let model = own_model(person).unwrap_or(scripted::MODEL);
                    self.settings.prices.most(service, false, model, usage)
                }
            };
        }
        let (_, is_official) = self.address(service, person);
        let Some(model) = self.model(service, person) else { return Cost::Unpriced };
        self.settings.prices.most(service, is_official, &model, usage)
    }
}

/// Counts a call. A script may give its model any name, so all of them count as one.
fn count(service: Service, answer: &Result<ModelReply, Error>) {
    let Some(meters) = meter::on() else { return };
    meters.models().call(service.name(), answer.is_ok());
    let Ok(reply) = answer else { return };
    let model = if service == Service::Scripted { scripted::MODEL } else { reply.model.as_deref().unwrap_or_default() };
    let used = meter::Used {
        input_tokens: reply.usage.input,
        output_tokens: reply.usage.output,
        cached_tokens: reply.usage.cached,
        cost_usd: match reply.cost {
            Cost::Usd(cost) => Some(cost),
            Cost::NotBilled | Cost::Unpriced => None,
        },
        is_unpriced: reply.cost == Cost::Unpriced,
    };
    meters.models().used(model, used);
}

/// The name of a secret, unless somebody put the key itself there.
fn shown_id(id: &str) -> &str {
    if looks_like_a_key(id) { "***" } else { id }
}

fn own_model(person: &Person) -> Option<&str> {
    person.model.as_deref().map(str::trim).filter(|it| !it.is_empty())
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

/// Returns the address below which the paths of the service's format are, whether or not `given` names the
/// version. `OLLAMA_HOST` is what a server listens on: often without a scheme, or every address at once.
fn base_url(service: Service, given: &str) -> String {
    let given = given.trim().trim_end_matches('/');
    let with_version = |url: &str, version: &str| {
        let has_version = url.rsplit('/').next().is_some_and(|it| it.starts_with("v1"));
        if has_version { url.to_owned() } else { format!("{url}/{version}") }
    };
    match service {
        Service::Anthropic => with_version(given, "v1"),
        Service::Gemini => with_version(given, "v1beta"),
        Service::Ollama => {
            let url = if given.contains("://") { given.to_owned() } else { format!("http://{given}") };
            with_version(&url.replacen("://0.0.0.0", "://127.0.0.1", 1), "v1")
        }
        Service::OpenAi | Service::ClaudeCode | Service::ClaudeCodeCustom | Service::Caller | Service::Scripted => {
            given.to_owned()
        }
    }
}

fn no_key(person: &Person, service: Service) -> Error {
    let variable = service.key_variable().unwrap_or("the key");
    let missing = match person.api_key_id.as_deref().filter(|it| !it.trim().is_empty()) {
        Some(id) => {
            let id = shown_id(id);
            format!("no secret is named `{id}` and the variable `{variable}` is not set")
        }
        None => format!("the variable `{variable}` is not set"),
    };
    Error::external("NO_MODEL", format!("person `{}` has no key for `{}`: {missing}", person.label, service.name()))
        .hint(format!("set `{variable}`, or run with `models: caller`, which needs no key"))
}

fn no_model(person: &Person, service: Service) -> Error {
    let message = format!("person `{}` names no model, and `{}` has no default", person.label, service.name());
    Error::external("NO_MODEL", message).hint("give the person a `model`; `ollama list` shows what is installed")
}
