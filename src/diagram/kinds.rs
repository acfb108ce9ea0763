//! The closed vocabularies of a diagram: node types, handles, content types, services, formats
//! (diagrams.md 1.0). Names are matched without regard to case; `-` and blanks read as `_`.

/// Folds a name as the enums are matched: lower case, `-` and blanks become `_`, trimmed.
pub fn fold(text: &str) -> String {
    text.trim().chars().map(|it| if it == '-' || it == ' ' { '_' } else { it.to_ascii_lowercase() }).collect()
}

/// The type of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NodeKind {
    Start,
    PersonJob,
    Condition,
    CodeJob,
    ApiJob,
    Endpoint,
    Db,
    UserResponse,
    Hook,
    TemplateJob,
    JsonSchemaValidator,
    TypescriptAst,
    SubDiagram,
    IntegratedApi,
    IrBuilder,
    DiffPatch,
    McpTool,
    Command,
}

impl NodeKind {
    /// Every type, in the order of the reference.
    pub const ALL: [Self; 18] = [
        Self::Start,
        Self::PersonJob,
        Self::Condition,
        Self::CodeJob,
        Self::ApiJob,
        Self::Endpoint,
        Self::Db,
        Self::UserResponse,
        Self::Hook,
        Self::TemplateJob,
        Self::JsonSchemaValidator,
        Self::TypescriptAst,
        Self::SubDiagram,
        Self::IntegratedApi,
        Self::IrBuilder,
        Self::DiffPatch,
        Self::McpTool,
        Self::Command,
    ];

    /// The name as written in diagrams.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::PersonJob => "person_job",
            Self::Condition => "condition",
            Self::CodeJob => "code_job",
            Self::ApiJob => "api_job",
            Self::Endpoint => "endpoint",
            Self::Db => "db",
            Self::UserResponse => "user_response",
            Self::Hook => "hook",
            Self::TemplateJob => "template_job",
            Self::JsonSchemaValidator => "json_schema_validator",
            Self::TypescriptAst => "typescript_ast",
            Self::SubDiagram => "sub_diagram",
            Self::IntegratedApi => "integrated_api",
            Self::IrBuilder => "ir_builder",
            Self::DiffPatch => "diff_patch",
            Self::McpTool => "mcp_tool",
            Self::Command => "command",
        }
    }

    /// Reads a type name; folds it first. The legacy names `end`, `person_batch_job` and
    /// `personbatchjob` are the caller's business (they change fields too).
    pub fn parse(text: &str) -> Option<Self> {
        let folded = fold(text);
        Self::ALL.into_iter().find(|it| it.name() == folded)
    }

    /// The handles a connection may end at.
    pub fn inputs(self) -> &'static [Handle] {
        match self {
            Self::Start => &[],
            Self::PersonJob => &[Handle::Default, Handle::First],
            _ => &[Handle::Default],
        }
    }

    /// The handles a connection may begin at.
    pub fn outputs(self) -> &'static [Handle] {
        match self {
            Self::Start => &[Handle::Default],
            Self::Endpoint => &[],
            Self::Condition => &[Handle::CondTrue, Handle::CondFalse, Handle::Error],
            Self::Hook | Self::DiffPatch => &[Handle::Default, Handle::Success, Handle::Error],
            Self::TypescriptAst => &[Handle::Default, Handle::Results, Handle::Error],
            _ => &[Handle::Default, Handle::Error],
        }
    }
}

/// A place on a node where connections begin or end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Handle {
    Default,
    First,
    CondTrue,
    CondFalse,
    Success,
    Results,
    Error,
}

impl Handle {
    /// Every handle.
    pub const ALL: [Self; 7] =
        [Self::Default, Self::First, Self::CondTrue, Self::CondFalse, Self::Success, Self::Results, Self::Error];

    /// The name as written in diagrams.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::First => "first",
            Self::CondTrue => "condtrue",
            Self::CondFalse => "condfalse",
            Self::Success => "success",
            Self::Results => "results",
            Self::Error => "error",
        }
    }

    /// Reads a handle of a node of type `kind` (`None` = unknown type: every handle is accepted).
    /// Folds case, drops a leading `_`; `true`/`yes` and `false`/`no` are branches of a condition.
    pub fn parse(text: &str, kind: Option<NodeKind>) -> Option<Self> {
        let folded = text.trim().to_ascii_lowercase();
        let name = folded.strip_prefix('_').unwrap_or(&folded);
        if matches!(kind, Some(NodeKind::Condition) | None) {
            match name {
                "true" | "yes" => return Some(Self::CondTrue),
                "false" | "no" => return Some(Self::CondFalse),
                _ => {}
            }
        }
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// How a connection converts the value it carries (diagrams.md 3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContentType {
    RawText,
    Object,
    ConversationState,
    Empty,
    Generic,
    Variable,
    Binary,
}

impl ContentType {
    /// Every content type.
    pub const ALL: [Self; 7] = [
        Self::RawText,
        Self::Object,
        Self::ConversationState,
        Self::Empty,
        Self::Generic,
        Self::Variable,
        Self::Binary,
    ];

    /// The name as written in diagrams.
    pub fn name(self) -> &'static str {
        match self {
            Self::RawText => "raw_text",
            Self::Object => "object",
            Self::ConversationState => "conversation_state",
            Self::Empty => "empty",
            Self::Generic => "generic",
            Self::Variable => "variable",
            Self::Binary => "binary",
        }
    }

    /// Other names of content types.
    pub const ALIASES: [&str; 3] = ["text", "json", "conversation"];

    /// Reads a name or one of the aliases `text`, `json`, `conversation`.
    pub fn parse(text: &str) -> Option<Self> {
        match fold(text).as_str() {
            "text" => Some(Self::RawText),
            "json" => Some(Self::Object),
            "conversation" => Some(Self::ConversationState),
            folded => Self::ALL.into_iter().find(|it| it.name() == folded),
        }
    }
}

/// Who answers for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    OpenAi,
    Anthropic,
    Gemini,
    Ollama,
    ClaudeCode,
    ClaudeCodeCustom,
    Caller,
    Scripted,
}

impl Service {
    /// Every service.
    pub const ALL: [Self; 8] = [
        Self::OpenAi,
        Self::Anthropic,
        Self::Gemini,
        Self::Ollama,
        Self::ClaudeCode,
        Self::ClaudeCodeCustom,
        Self::Caller,
        Self::Scripted,
    ];

    /// Other names of services.
    pub const ALIASES: [&str; 11] =
        ["chatgpt", "gpt", "gpt-4", "gpt-3.5", "claude", "google", "llama", "mistral", "gemma", "phi", "claude-sdk"];

    /// The name as written in diagrams.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Ollama => "ollama",
            Self::ClaudeCode => "claude-code",
            Self::ClaudeCodeCustom => "claude-code-custom",
            Self::Caller => "caller",
            Self::Scripted => "scripted",
        }
    }

    /// The variable with the key of this service; `None` for services that need no key.
    pub fn key_variable(self) -> Option<&'static str> {
        match self {
            Self::OpenAi => Some("OPENAI_API_KEY"),
            Self::Anthropic => Some("ANTHROPIC_API_KEY"),
            Self::Gemini => Some("GEMINI_API_KEY"),
            Self::Ollama | Self::ClaudeCode | Self::ClaudeCodeCustom | Self::Caller | Self::Scripted => None,
        }
    }

    /// Reads a name or one of the aliases of diagrams.md 1.0.
    pub fn parse(text: &str) -> Option<Self> {
        match fold(text).as_str() {
            "chatgpt" | "gpt" | "gpt_4" | "gpt_3.5" => Some(Self::OpenAi),
            "claude" => Some(Self::Anthropic),
            "google" => Some(Self::Gemini),
            "llama" | "mistral" | "gemma" | "phi" => Some(Self::Ollama),
            "claude_sdk" => Some(Self::ClaudeCode),
            folded => Self::ALL.into_iter().find(|it| fold(it.name()) == folded),
        }
    }
}

/// The text form of a diagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    Light,
    Readable,
    Native,
}

impl Format {
    /// The name as written in flags and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Readable => "readable",
            Self::Native => "native",
        }
    }

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Light, Self::Readable, Self::Native].into_iter().find(|it| it.name() == fold(text))
    }

    /// The file suffix a stored diagram of this format gets.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Light => ".light.yaml",
            Self::Readable => ".readable.yaml",
            Self::Native => ".native.json",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_matched_without_regard_to_case_and_separators() {
        for (text, kind) in
            [("START", NodeKind::Start), ("person-job", NodeKind::PersonJob), ("Code Job", NodeKind::CodeJob)]
        {
            assert_eq!(NodeKind::parse(text), Some(kind), "{text}");
        }
        assert_eq!(NodeKind::parse("persn_job"), None);
        assert_eq!(Service::parse("claude_code"), Some(Service::ClaudeCode));
        assert_eq!(Service::parse("GPT-4"), Some(Service::OpenAi));
        assert_eq!(ContentType::parse("JSON"), Some(ContentType::Object));
    }

    #[test]
    fn every_alias_is_understood() {
        assert_eq!(Service::ALIASES.map(Service::parse).iter().filter(|it| it.is_none()).count(), 0);
        assert_eq!(ContentType::ALIASES.map(ContentType::parse).iter().filter(|it| it.is_none()).count(), 0);
    }

    #[test]
    fn true_and_yes_mean_condtrue_on_a_condition_only() {
        assert_eq!(Handle::parse("Yes", Some(NodeKind::Condition)), Some(Handle::CondTrue));
        assert_eq!(Handle::parse("_CondFalse", Some(NodeKind::Condition)), Some(Handle::CondFalse));
        assert_eq!(Handle::parse("yes", Some(NodeKind::CodeJob)), None);
    }
}
