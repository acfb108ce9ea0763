//! The enums. Handlers speak in words of lower case; here the same words are in upper case.

use async_graphql::{Enum, EnumType};

/// The value of the enum that stands for a word of a handler.
pub fn read<T: EnumType>(word: &str) -> Option<T> {
    let wanted = word.to_ascii_uppercase().replace(['-', ' '], "_");
    T::items().iter().find(|it| it.name == wanted).map(|it| it.value)
}

/// The word of a handler that a value of the enum stands for.
pub fn word<T: EnumType>(value: T) -> String {
    let name = T::items().iter().find(|it| it.value == value).map_or("", |it| it.name);
    name.to_ascii_lowercase()
}

/// The status of an execution or of a node.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Pending,
    Running,
    Paused,
    Completed,
    Failed,
    Aborted,
    Skipped,
    MaxiterReached,
}

/// What happens to an execution: the phases of its log.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    ExecutionStarted,
    ExecutionCompleted,
    ExecutionError,
    NodeStarted,
    NodeCompleted,
    NodeError,
    NodeOutput,
    ExecutionLog,
    InteractivePrompt,
    InteractiveResponse,
    NodeSkipped,
    NodeRetry,
    ExecutionPaused,
    ExecutionResumed,
    ExecutionAborted,
    ToolCallStarted,
    ToolCallFinished,
    Message,
    Token,
    /// A control action was carried out.
    Control,
    /// A part of a budget was taken for a call.
    BudgetReserved,
    /// What the call really spent.
    BudgetSettled,
}

/// What travels over a connection.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    RawText,
    ConversationState,
    Object,
    Empty,
    Generic,
    Variable,
    Binary,
}

/// A place on a node where connections begin or end.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandleLabel {
    Default,
    First,
    Condtrue,
    Condfalse,
    Success,
    Error,
    Results,
}

/// Whether connections end or begin at a handle.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandleDirection {
    Input,
    Output,
}

/// What a handle takes.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataType {
    Any,
    String,
    Number,
    Boolean,
    Object,
    Array,
}

/// The type of a node.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeType {
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

/// Who answers for a person.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(name = "LLMService")]
pub enum LlmService {
    Openai,
    Anthropic,
    ClaudeCode,
    ClaudeCodeCustom,
    Google,
    Gemini,
    Ollama,
    /// Whoever runs the diagram.
    Caller,
    /// The diagram itself.
    Scripted,
}

/// A form in which a diagram is written.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(name = "DiagramFormatGraphQL")]
pub enum DiagramFormat {
    Native,
    Light,
    Readable,
    /// Whatever the text is.
    Yaml,
    /// As `NATIVE`.
    Json,
}

impl DiagramFormat {
    /// The name that handlers know; none to find it out.
    pub fn name(self) -> Option<String> {
        match self {
            Self::Native | Self::Json => Some("native".to_owned()),
            Self::Light => Some("light".to_owned()),
            Self::Readable => Some("readable".to_owned()),
            Self::Yaml => None,
        }
    }

    /// The name of a format to write; of those that are detected it is the usual one.
    pub fn target(self) -> String {
        self.name().unwrap_or_else(|| "light".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        assert_eq!(read::<Status>("maxiter_reached"), Some(Status::MaxiterReached));
        assert_eq!(read::<LlmService>("claude-code-custom"), Some(LlmService::ClaudeCodeCustom));
        assert_eq!(read::<LlmService>("openai"), Some(LlmService::Openai));
        assert_eq!(read::<HandleLabel>("condtrue"), Some(HandleLabel::Condtrue));
        assert_eq!(read::<NodeType>("json_schema_validator"), Some(NodeType::JsonSchemaValidator));
        assert_eq!(read::<NodeType>("nothing"), None);
        assert_eq!(word(NodeType::TypescriptAst), "typescript_ast");
        assert_eq!(word(Status::MaxiterReached), "maxiter_reached");
    }

    #[test]
    fn every_node_type_of_diagrams_is_one_here() {
        for kind in crate::diagram::NodeKind::ALL {
            assert!(read::<NodeType>(kind.name()).is_some(), "{}", kind.name());
        }
        for service in crate::diagram::Service::ALL {
            assert!(read::<LlmService>(service.name()).is_some(), "{}", service.name());
        }
    }
}
