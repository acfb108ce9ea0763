//! Keys and addresses of the providers, as they come from the configuration.

use std::path::PathBuf;

use super::prices::Prices;
use crate::config::ModelSettings;
use crate::diagram::Service;
use crate::secret::Secret;

/// Where OpenAI answers unless told otherwise.
pub const OPENAI_BASE_URL: &str = "https://api.openai.com/v1";
/// Where Anthropic answers unless told otherwise.
pub const ANTHROPIC_BASE_URL: &str = "https://api.anthropic.com";
/// Where Gemini answers unless told otherwise.
pub const GEMINI_BASE_URL: &str = "https://generativelanguage.googleapis.com";
/// Where a local Ollama answers unless told otherwise.
pub const OLLAMA_HOST: &str = "http://localhost:11434";

/// Keys and addresses of the providers.
#[derive(Clone, Debug)]
pub struct Settings {
    pub openai: ProviderSettings,
    /// Which of OpenAI's formats is spoken; by the address when absent.
    pub openai_api: Option<OpenAiApi>,
    pub anthropic: ProviderSettings,
    pub gemini: ProviderSettings,
    pub ollama: OllamaSettings,
    pub claude: ClaudeSettings,
    pub prices: Prices,
}

/// A provider with a key.
#[derive(Clone, Debug)]
pub struct ProviderSettings {
    pub base_url: String,
    pub api_key: Option<Secret>,
    /// The model of persons that name none.
    pub default_model: String,
}

/// OpenAI's two formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenAiApi {
    Responses,
    Chat,
}

/// A local Ollama.
#[derive(Clone, Debug)]
pub struct OllamaSettings {
    /// `OLLAMA_HOST`: an address with or without `http://`.
    pub host: String,
}

/// The program `claude`.
#[derive(Clone, Debug)]
pub struct ClaudeSettings {
    /// A path, or a name that is looked for in `PATH`.
    pub program: PathBuf,
    /// The folder it works in.
    pub folder: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        let provider = |service: Service| ProviderSettings {
            base_url: official_base_url(service).unwrap_or_default().to_owned(),
            api_key: None,
            default_model: crate::config::default_model(service).unwrap_or_default().to_owned(),
        };
        Self {
            openai: provider(Service::OpenAi),
            openai_api: None,
            anthropic: provider(Service::Anthropic),
            gemini: provider(Service::Gemini),
            ollama: OllamaSettings { host: OLLAMA_HOST.to_owned() },
            claude: ClaudeSettings { program: PathBuf::from("claude"), folder: PathBuf::from(".") },
            prices: Prices::default(),
        }
    }
}

impl Settings {
    /// The settings of this process.
    pub fn from_config(config: &ModelSettings) -> Self {
        let mut settings = Self::default();
        let given = [
            (&mut settings.openai, &config.openai),
            (&mut settings.anthropic, &config.anthropic),
            (&mut settings.gemini, &config.gemini),
        ];
        for (provider, given) in given {
            provider.api_key = given.api_key.as_ref().and_then(Secret::new);
            if let Some(base_url) = &given.base_url {
                provider.base_url.clone_from(base_url);
            }
            if let Some(model) = &given.model {
                provider.default_model.clone_from(model);
            }
        }
        if let Some(host) = &config.ollama_host {
            settings.ollama.host.clone_from(host);
        }
        settings.openai_api = config.openai_api.as_deref().map(|it| match it {
            "responses" => OpenAiApi::Responses,
            _ => OpenAiApi::Chat,
        });
        settings.prices = Prices::with(&config.prices);
        settings
    }

    /// The same with programs working in `folder`, the root of the workspace.
    #[must_use]
    pub fn in_folder(mut self, folder: PathBuf) -> Self {
        self.claude.folder = folder;
        self
    }

    /// The settings of a service with a key.
    pub(super) fn provider(&self, service: Service) -> Option<&ProviderSettings> {
        match service {
            Service::OpenAi => Some(&self.openai),
            Service::Anthropic => Some(&self.anthropic),
            Service::Gemini => Some(&self.gemini),
            Service::Ollama | Service::ClaudeCode | Service::ClaudeCodeCustom | Service::Caller | Service::Scripted => {
                None
            }
        }
    }
}

/// Where the provider itself answers, for services that have one place.
pub(super) fn official_base_url(service: Service) -> Option<&'static str> {
    match service {
        Service::OpenAi => Some(OPENAI_BASE_URL),
        Service::Anthropic => Some(ANTHROPIC_BASE_URL),
        Service::Gemini => Some(GEMINI_BASE_URL),
        Service::Ollama | Service::ClaudeCode | Service::ClaudeCodeCustom | Service::Caller | Service::Scripted => None,
    }
}
