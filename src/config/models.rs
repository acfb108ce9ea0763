//! Settings of model providers: variables over `[models]` and `[prices]` of `dipeo.toml` (surface.md 3.3).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Environment;
use crate::diagram::Service;
use crate::error::Error;

/// Where models are, with which keys, and what they cost.
#[derive(Clone, Default)]
pub struct ModelSettings {
    pub openai: ProviderConfig,
    /// `responses` or `chat`: the format spoken at OpenAI's address, or at the one given in its place.
    pub openai_api: Option<String>,
    pub anthropic: ProviderConfig,
    pub gemini: ProviderConfig,
    pub ollama_host: Option<String>,
    /// `[prices]`: `service/model`, or a pattern that ends in `*`, to its price.
    pub prices: BTreeMap<String, PriceTable>,
}

/// One provider with a key.
#[derive(Clone, Default)]
pub struct ProviderConfig {
    pub base_url: Option<String>,
    pub api_key: Option<String>,
    /// The model of persons that name none.
    pub model: Option<String>,
}

/// A price, in US dollars per million tokens.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceTable {
    pub input: f64,
    pub output: f64,
    /// Input that the provider had kept; as `input` when absent.
    pub cached: Option<f64>,
    /// One web search, in US dollars.
    pub web_search: Option<f64>,
    /// What holds for prompts of more than so many tokens.
    pub long: Option<LongPrice>,
}

/// The price of long prompts.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LongPrice {
    /// In tokens of input.
    pub above: u64,
    pub input: f64,
    pub output: f64,
    pub cached: Option<f64>,
}

/// `[models]` of `dipeo.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelsTable {
    openai_base_url: Option<String>,
    openai_model: Option<String>,
    openai_api: Option<String>,
    anthropic_base_url: Option<String>,
    anthropic_model: Option<String>,
    gemini_base_url: Option<String>,
    gemini_model: Option<String>,
    ollama_host: Option<String>,
}

impl ModelsTable {
    /// Whether it names an address: our keys would be sent there, so it counts only once it is trusted.
    pub(super) fn has_addresses(&self) -> bool {
        [&self.openai_base_url, &self.anthropic_base_url, &self.gemini_base_url].into_iter().any(Option::is_some)
    }
}

impl ModelSettings {
    /// Puts the settings together.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` for two names of one setting with different values, for an unknown `openai_api`, and
    /// for a price that is none.
    pub(super) fn load(
        env: &Environment,
        table: ModelsTable,
        prices: BTreeMap<String, PriceTable>,
    ) -> Result<Self, Error> {
        let own = |name: &str| env.get(name).map(str::to_owned);
        check_api(table.openai_api.as_deref())?;
        prices.iter().try_for_each(|(model, price)| check_price(model, price))?;
        Ok(Self {
            openai: ProviderConfig {
                base_url: own("OPENAI_BASE_URL").or(table.openai_base_url),
                api_key: own("OPENAI_API_KEY"),
                model: own("OPENAI_MODEL").or(table.openai_model),
            },
            openai_api: table.openai_api,
            anthropic: ProviderConfig {
                base_url: own("ANTHROPIC_BASE_URL").or(table.anthropic_base_url),
                api_key: own("ANTHROPIC_API_KEY"),
                model: table.anthropic_model,
            },
            gemini: ProviderConfig {
                base_url: own("GOOGLE_GEMINI_BASE_URL").or(table.gemini_base_url),
                api_key: env.one_of(&["GEMINI_API_KEY", "GOOGLE_API_KEY"])?.map(str::to_owned),
                model: table.gemini_model,
            },
            ollama_host: env.one_of(&["OLLAMA_HOST", "OLLAMA_BASE_URL"])?.map(str::to_owned).or(table.ollama_host),
            prices,
        })
    }

    /// The settings of a service with a key; `None` for services that need none.
    pub fn provider(&self, service: Service) -> Option<&ProviderConfig> {
        match service {
            Service::OpenAi => Some(&self.openai),
            Service::Anthropic => Some(&self.anthropic),
            Service::Gemini => Some(&self.gemini),
            Service::Ollama | Service::ClaudeCode | Service::ClaudeCodeCustom | Service::Caller | Service::Scripted => {
                None
            }
        }
    }

    /// Whether a person of `service` can be called without a secret of its own (W504). Another server than
    /// the provider's may well need no key.
    pub fn has_key(&self, service: Service) -> bool {
        self.provider(service).is_none_or(|it| it.api_key.is_some() || it.base_url.is_some())
    }

    /// The model of a person that names none (W505).
    pub fn default_model(&self, service: Service) -> Option<&str> {
        self.provider(service).and_then(|it| it.model.as_deref()).or_else(|| default_model(service))
    }
}

/// The model of `service` for persons that name none, unless the settings name another one.
pub fn default_model(service: Service) -> Option<&'static str> {
    match service {
        Service::OpenAi => Some("gpt-4o"),
        Service::Anthropic => Some("claude-sonnet-4-6"),
        Service::Gemini => Some("gemini-flash-latest"),
        Service::Ollama | Service::ClaudeCode | Service::ClaudeCodeCustom | Service::Caller | Service::Scripted => None,
    }
}

fn check_api(api: Option<&str>) -> Result<(), Error> {
    match api {
        None | Some("responses" | "chat") => Ok(()),
        Some(other) => Err(Error::invalid("INVALID_INPUT", format!("`models.openai_api` is `{other}`"))
            .hint("write `responses` or `chat` in dipeo.toml")),
    }
}

fn check_price(model: &str, price: &PriceTable) -> Result<(), Error> {
    let long = price.long.as_ref();
    let amounts = [Some(price.input), Some(price.output), price.cached, price.web_search];
    let more = [long.map(|it| it.input), long.map(|it| it.output), long.and_then(|it| it.cached)];
    match amounts.into_iter().chain(more).flatten().find(|it| !it.is_finite() || *it < 0.0) {
        None => Ok(()),
        Some(amount) => Err(Error::invalid("INVALID_INPUT", format!("the price of `{model}` has the amount {amount}"))
            .hint("write amounts from 0 in US dollars per million tokens in `[prices]` of dipeo.toml")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Config, Overrides};
    use super::*;

    fn load(pairs: &[(&str, &str)], file: &str, home: &Path) -> Result<Config, Error> {
        let dir = tempfile::tempdir().expect("temporary folder");
        std::fs::write(dir.path().join("dipeo.toml"), file).expect("written");
        let home = home.display().to_string();
        let mut all = vec![("DIPEO_HOME", home.as_str())];
        all.extend_from_slice(pairs);
        Config::load(&Overrides::default(), &Environment::of(&all), dir.path())
    }

    const NOWHERE: &str = "/nonexistent/home";

    #[test]
    fn a_key_has_two_names_and_they_must_agree() {
        let both = [("GEMINI_API_KEY", "a"), ("GOOGLE_API_KEY", "b")];
        let error = load(&both, "", Path::new(NOWHERE)).err().expect("contradiction");
        assert!(error.message().contains("`GEMINI_API_KEY` and `GOOGLE_API_KEY`"), "{error}");
        let config = load(&both[1..], "", Path::new(NOWHERE)).expect("one name is enough");
        assert_eq!(config.models.gemini.api_key.as_deref(), Some("b"));
        assert!(config.models.has_key(Service::Gemini) && !config.models.has_key(Service::Anthropic));
        assert!(config.models.has_key(Service::ClaudeCode), "needs none");
    }

    #[test]
    fn addresses_of_a_workspace_count_only_once_the_file_is_trusted() {
        let file = "[models]\nanthropic_base_url = \"https://elsewhere.example\"\nanthropic_model = \"m\"\n";
        let config = load(&[], file, Path::new(NOWHERE)).expect("valid file");
        assert_eq!(config.models.anthropic.base_url, None);
        assert_eq!(config.models.default_model(Service::Anthropic), Some("m"), "a model is no address");
        assert!(config.warnings.iter().any(|it| it.contains("addresses of model providers")), "{:?}", config.warnings);
        let home = tempfile::tempdir().expect("a home");
        let grant = serde_json::json!([{"sha256": super::super::sha256(file)}]);
        std::fs::write(super::super::grants_path(home.path()), grant.to_string()).expect("written");
        let config = load(&[], file, home.path()).expect("valid file");
        assert_eq!(config.models.anthropic.base_url.as_deref(), Some("https://elsewhere.example"));
    }

    #[test]
    fn settings_that_mean_nothing_are_refused() {
        for (file, needle) in [
            ("[models]\nopenai_api = \"grpc\"\n", "`models.openai_api` is `grpc`"),
            ("[prices.m]\ninput = -1.0\noutput = 1.0\n", "the price of `m` has the amount -1"),
            ("[prices.m]\ninput = 1.0\n", "dipeo.toml line"),
            ("[prices.m]\ninput = 1.0\noutput = 1.0\nper_call = 2.0\n", "dipeo.toml line"),
        ] {
            let error = load(&[], file, Path::new(NOWHERE)).err().expect(needle);
            assert!(error.message().contains(needle), "{error}");
        }
    }
}
