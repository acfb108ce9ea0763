//! The six tools: one visible list of what `tools/list` shows. What a model reads about each is
//! `tools/<name>.md`; its arguments are the handler's `Request`. How a tool is carried out is in [`super::calls`].

use std::sync::LazyLock;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::{Value, json};

use super::app_page;
use super::schema::{input_schema, output_schema};
use crate::handlers::caller::{Scope, Scopes};
use crate::handlers::execution_object::ExecutionObject;
use crate::handlers::{compile_diagram, control_execution, fetch, run_diagram, search, see_result};
use crate::limits::WAIT_SECONDS_MAX;

/// A tool this server offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolName {
    DipeoRun,
    SeeResult,
    ControlExecution,
    CompileDiagram,
    Search,
    Fetch,
}

/// Every tool, in the order clients see them.
pub const ALL: [ToolName; 6] = [
    ToolName::DipeoRun,
    ToolName::SeeResult,
    ToolName::ControlExecution,
    ToolName::CompileDiagram,
    ToolName::Search,
    ToolName::Fetch,
];

/// What of an execution the output schema of `dipeo_run` names; the first two are always there.
const EXECUTION_SHOWN: &[&str] = &["execution_id", "status", "outputs", "pause_reason", "waiting_for", "error", "next"];

/// The two other tools answer in the same shape; saying it once is enough.
const EXECUTION_SHOWN_AGAIN: &[&str] = &["execution_id", "status", "outputs", "error"];

/// What of a compile result the output schema names; the first three are always there.
const REPORT_SHOWN: &[&str] = &["valid", "errors", "warnings", "pushed_as", "uri"];

static TOOLS: LazyLock<Vec<Tool>> = LazyLock::new(|| ALL.into_iter().map(ToolName::build).collect());

impl ToolName {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::DipeoRun => "dipeo_run",
            Self::SeeResult => "see_result",
            Self::ControlExecution => "control_execution",
            Self::CompileDiagram => "compile_diagram",
            Self::Search => "search",
            Self::Fetch => "fetch",
        }
    }

    /// Reads what [`ToolName::name`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        ALL.into_iter().find(|it| it.name() == text)
    }

    /// The tool as `tools/list` shows it.
    pub fn definition(self) -> &'static Tool {
        &TOOLS[self as usize]
    }

    /// What calling it needs at least; some arguments need more.
    pub fn scopes(self) -> Scopes {
        match self {
            Self::DipeoRun => Scopes::NONE.with(Scope::ExecutionRun),
            Self::SeeResult => Scopes::NONE.with(Scope::ExecutionRead),
            Self::ControlExecution => Scopes::NONE.with(Scope::ExecutionControl),
            Self::CompileDiagram => Scopes::NONE.with(Scope::DiagramRead),
            // They show each caller what is theirs to read; the guide is for everybody.
            Self::Search | Self::Fetch => Scopes::NONE,
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::DipeoRun => include_str!("../../tools/dipeo_run.md"),
            Self::SeeResult => include_str!("../../tools/see_result.md"),
            Self::ControlExecution => include_str!("../../tools/control_execution.md"),
            Self::CompileDiagram => include_str!("../../tools/compile_diagram.md"),
            Self::Search => include_str!("../../tools/search.md"),
            Self::Fetch => include_str!("../../tools/fetch.md"),
        }
        .trim_end()
    }

    fn annotations(self) -> ToolAnnotations {
        let hints = ToolAnnotations::new();
        match self {
            Self::DipeoRun => hints.read_only(false).destructive(true).idempotent(false).open_world(true),
            Self::ControlExecution => hints.read_only(false).destructive(true).idempotent(true).open_world(true),
            Self::CompileDiagram => hints.read_only(false).destructive(false).idempotent(true).open_world(false),
            Self::SeeResult | Self::Search | Self::Fetch => hints.read_only(true).open_world(false),
        }
    }

    fn arguments(self) -> JsonObject {
        let mut schema = match self {
            Self::DipeoRun => input_schema::<run_diagram::Request>(),
            Self::SeeResult => input_schema::<see_result::Request>(),
            Self::ControlExecution => input_schema::<control_execution::Request>(),
            Self::CompileDiagram => input_schema::<compile_diagram::Request>(),
            Self::Search => input_schema::<search::Request>(),
            Self::Fetch => input_schema::<fetch::Request>(),
        };
        if let Some(wait) = schema.get_mut("properties").and_then(|it| it.get_mut("wait_seconds")) {
            wait["maximum"] = Value::from(WAIT_SECONDS_MAX);
        }
        schema
    }

    /// `search` and `fetch` have none: ChatGPT's contract for these two names is one text block.
    fn result(self) -> Option<JsonObject> {
        match self {
            Self::DipeoRun => Some(output_schema::<ExecutionObject>(EXECUTION_SHOWN, 2)),
            Self::SeeResult => Some(output_schema::<ExecutionObject>(EXECUTION_SHOWN_AGAIN, 2)),
            Self::ControlExecution => {
                let mut schema = output_schema::<ExecutionObject>(EXECUTION_SHOWN_AGAIN, 2);
                // A comparison is none of one execution.
                if let Some(Value::Array(forms)) = schema.get_mut("anyOf") {
                    forms.push(json!({"required": ["equal"]}));
                }
                Some(schema)
            }
            Self::CompileDiagram => Some(output_schema::<compile_diagram::Response>(REPORT_SHOWN, 3)),
            Self::Search | Self::Fetch => None,
        }
    }

    /// Whether hosts may show its results on the page.
    fn has_page(self) -> bool {
        match self {
            Self::DipeoRun | Self::SeeResult => true,
            Self::ControlExecution | Self::CompileDiagram | Self::Search | Self::Fetch => false,
        }
    }

    /// The tool for those who may change nothing.
    fn for_readers(self, description: &'static str, schema: JsonObject) -> Tool {
        let hints = ToolAnnotations::new().read_only(true).open_world(false);
        let tool = Tool::new(self.name(), description, schema).with_annotations(hints);
        match self.result() {
            Some(result) => tool.with_raw_output_schema(result.into()),
            None => tool,
        }
    }

    fn build(self) -> Tool {
        let mut tool =
            Tool::new(self.name(), self.description(), self.arguments()).with_annotations(self.annotations());
        if self.has_page() {
            tool = tool.with_meta(app_page::tool_meta());
        }
        match self.result() {
            Some(schema) => tool.with_raw_output_schema(schema.into()),
            None => tool,
        }
    }
}

/// `compile_diagram` for those who may save nothing: it checks, and changes nothing.
static CHECK_ONLY: LazyLock<Tool> = LazyLock::new(|| {
    let tool = ToolName::CompileDiagram;
    let mut schema = tool.arguments();
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.shift_remove("push_as");
    }
    tool.for_readers(tool.description(), schema)
});

/// `control_execution` for those who may steer nothing: it looks into executions and compares them.
static LOOK_ONLY: LazyLock<Tool> = LazyLock::new(|| {
    let tool = ToolName::ControlExecution;
    let mut schema = tool.arguments();
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.retain(|name, _| ["execution_id", "action", "node", "value"].contains(&name.as_str()));
        properties.insert("action".into(), json!({"type": "string", "enum": ["inspect", "diff"]}));
        properties.insert("value".into(), json!({"description": "`diff`: the other execution's id."}));
    }
    tool.for_readers(
        "Looks into an execution: `inspect` shows what a node sees, `diff` compares it with another.",
        schema,
    )
});

/// The tools that somebody with these scopes may use, in the same order as [`all`].
pub fn allowed(scopes: Scopes) -> Vec<Tool> {
    let shown = |tool: ToolName| match tool {
        ToolName::CompileDiagram if !scopes.has(Scope::DiagramWrite) => CHECK_ONLY.clone(),
        ToolName::ControlExecution if !scopes.has(Scope::ExecutionControl) => LOOK_ONLY.clone(),
        _ => tool.definition().clone(),
    };
    let looks = |tool: ToolName| tool == ToolName::ControlExecution && scopes.has(Scope::ExecutionRead);
    ALL.into_iter().filter(|it| scopes.covers(it.scopes()) || looks(*it)).map(shown).collect()
}

/// All tools as clients see them.
pub fn all() -> &'static [Tool] {
    &TOOLS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::tests::assert_same_as_file;

    #[test]
    fn the_list_is_what_the_golden_file_says_and_smaller_than_6_kb() {
        let list = json!({"tools": all()});
        assert_same_as_file("tests/golden/tools_list.json", &list);
        let size_bytes = list.to_string().len();
        assert!(size_bytes < 6 * 1024, "tools/list has {size_bytes} bytes");
    }

    #[test]
    fn no_diagram_can_take_the_name_of_a_tool() {
        assert_eq!(crate::handlers::diagram_tools::OWN_NAMES, ALL.map(ToolName::name));
    }

    #[test]
    fn each_description_is_short_and_each_name_reads_back() {
        for tool in ALL {
            assert_eq!(ToolName::parse(tool.name()), Some(tool));
            assert_eq!(tool.definition().name, tool.name());
            let n_chars = tool.description().chars().count();
            assert!((1..=900).contains(&n_chars), "{} has {n_chars}", tool.name());
        }
    }

    #[test]
    fn each_caller_sees_the_tools_they_may_use_and_readers_see_only_readers() {
        let names = |scopes: Scopes| allowed(scopes).iter().map(|it| it.name.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(allowed(Scopes::ALL), all());
        assert_eq!(names(Scopes::READ), "see_result control_execution compile_diagram search fetch");
        assert_eq!(names(Scopes::NONE), "search fetch");
        for tool in allowed(Scopes::READ) {
            assert_eq!(tool.annotations.as_ref().and_then(|it| it.read_only_hint), Some(true), "{}", tool.name);
            assert!(!json!(tool.input_schema).to_string().contains("push_as"), "{}", tool.name);
        }
        let looking = &allowed(Scopes::READ)[1];
        let actions = looking.input_schema["properties"]["action"]["enum"].as_array().expect("a choice").clone();
        for action in actions {
            let call = json!({"name": looking.name, "arguments": {"action": action}});
            let needed = crate::mcp::scopes::needed("tools/call", &call).into_iter().collect::<Scopes>();
            assert!(Scopes::READ.covers(needed), "{action} is offered to readers");
        }
        assert_eq!(names(Scopes::NONE.with(Scope::ExecutionControl)), "control_execution search fetch");
    }

    #[test]
    fn the_text_of_dipeo_run_says_how_long_a_handle_lives() {
        assert!(ToolName::DipeoRun.description().contains("kept"));
    }

    #[test]
    fn every_shown_property_exists_in_the_response() {
        for tool in ALL {
            let Some(schema) = tool.definition().output_schema.as_ref() else { continue };
            for (name, property) in schema["properties"].as_object().expect("an object") {
                assert!(name == "error" || property.get("type").is_some(), "{} does not know `{name}`", tool.name());
            }
        }
    }
}
