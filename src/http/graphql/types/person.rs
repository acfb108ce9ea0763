//! Persons and the keys they use.

use async_graphql::{Enum, ID, InputObject, SimpleObject};
use serde_json::{Map, Value};

use super::words::{self, LlmService};
use crate::handlers::api_keys::ApiKey;
use crate::handlers::persons::Person;

/// The one type of persons there is.
const PERSON: &str = "person";

/// A person: who a node speaks as.
#[derive(SimpleObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub struct DomainPersonType {
    pub id: ID,
    pub label: String,
    pub llm_config: PersonLlmConfigType,
    #[graphql(name = "type")]
    pub kind: String,
}

/// Which model answers for a person, and as whom.
#[derive(SimpleObject, Clone, Debug)]
#[graphql(name = "PersonLLMConfigType", rename_fields = "snake_case")]
pub struct PersonLlmConfigType {
    pub service: LlmService,
    pub model: String,
    /// The name of a key, never the key; empty when the environment has it or none is needed.
    pub api_key_id: ID,
    pub system_prompt: Option<String>,
    pub prompt_file: Option<String>,
}

/// Which model answers for a person, and as whom.
#[derive(InputObject, Clone, Debug)]
#[graphql(name = "PersonLLMConfigInput", rename_fields = "snake_case")]
pub struct PersonLlmConfigInput {
    pub service: LlmService,
    pub model: String,
    pub api_key_id: ID,
    pub system_prompt: Option<String>,
}

/// A new person.
#[derive(InputObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub struct CreatePersonInput {
    pub label: String,
    pub llm_config: PersonLlmConfigInput,
    #[graphql(name = "type")]
    pub kind: Option<String>,
}

/// What changes of a person.
#[derive(InputObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub struct UpdatePersonInput {
    pub label: Option<String>,
    pub llm_config: Option<PersonLlmConfigInput>,
}

impl PersonLlmConfigInput {
    /// The configuration in the words of a diagram.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        // Written with a hyphen in diagrams.
        let service = words::word(self.service).replace('_', "-");
        fields.insert("service".into(), service.into());
        for (name, text) in [("model", self.model.as_str()), ("api_key_id", self.api_key_id.as_str())] {
            if !text.is_empty() {
                fields.insert(name.into(), text.into());
            }
        }
        if let Some(text) = &self.system_prompt {
            fields.insert("system_prompt".into(), text.clone().into());
        }
        fields
    }
}

impl DomainPersonType {
    /// Reads a person as diagrams in the native form have them: `{label, type?, llm_config}`.
    pub fn of(id: &str, person: &Value) -> Self {
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let config = person.get("llm_config").unwrap_or(person);
        let service = text(config, "service").and_then(|it| words::read(&it));
        Self {
            id: ID::from(id),
            label: text(person, "label").unwrap_or_else(|| id.to_owned()),
            kind: text(person, "type").unwrap_or_else(|| PERSON.to_owned()),
            llm_config: PersonLlmConfigType {
                service: service.unwrap_or(LlmService::Openai),
                model: text(config, "model").unwrap_or_default(),
                api_key_id: ID::from(text(config, "api_key_id").unwrap_or_default()),
                system_prompt: text(config, "system_prompt"),
                prompt_file: text(config, "prompt_file"),
            },
        }
    }
}

impl From<Person> for DomainPersonType {
    fn from(person: Person) -> Self {
        Self {
            id: ID::from(person.id),
            label: person.label,
            kind: PERSON.to_owned(),
            llm_config: PersonLlmConfigType {
                service: person.service.and_then(|it| words::read(&it)).unwrap_or(LlmService::Openai),
                model: person.model.unwrap_or_default(),
                api_key_id: ID::from(person.api_key_id.unwrap_or_default()),
                system_prompt: person.system_prompt,
                prompt_file: person.prompt_file,
            },
        }
    }
}

/// Whose key it is: a model service, or a provider of integrations.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(name = "APIServiceType")]
pub enum ApiServiceType {
    Openai,
    Anthropic,
    Google,
    Gemini,
    Ollama,
    ClaudeCode,
    ClaudeCodeCustom,
    Github,
    Slack,
    Notion,
    Discord,
    /// A provider that has no word here.
    Other,
}

impl ApiServiceType {
    /// The name that handlers know.
    pub fn name(self) -> Option<String> {
        (self != Self::Other).then(|| words::word(self).replace('_', "-"))
    }
}

impl From<ApiKey> for DomainApiKeyType {
    fn from(key: ApiKey) -> Self {
        let service = words::read(&key.service).unwrap_or(ApiServiceType::Other);
        Self { id: ID::from(key.id), label: key.label, service, key: None }
    }
}

/// A stored key, without the key.
#[derive(SimpleObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub struct DomainApiKeyType {
    pub id: ID,
    pub label: String,
    pub service: ApiServiceType,
    /// Always null: a key is never shown.
    pub key: Option<String>,
}

/// A new key.
#[derive(InputObject, Clone)]
#[graphql(rename_fields = "snake_case")]
pub struct CreateApiKeyInput {
    pub label: String,
    pub service: ApiServiceType,
    pub key: String,
}
