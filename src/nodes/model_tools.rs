//! `tools` of persons and person_jobs: what is asked for, and which service has it (diagrams.md 3.14).

use super::ports::models::ModelTool;
use crate::diagram::kinds::fold;
use crate::diagram::{Diagnostic, Service, Tree, TreeKind};

/// Reads a name or one of its aliases.
pub fn parse(name: &str) -> Option<ModelTool> {
    match fold(name.trim()).as_str() {
        "websearch" | "web_search" | "web_search_preview" => Some(ModelTool::WebSearch),
        "image" | "image_generation" => Some(ModelTool::Image),
        _ => None,
    }
}

/// Returns the tools that `tools` asks for, each once; what is none was reported by [`problems`].
pub fn read(tools: &Tree) -> Vec<ModelTool> {
    let mut found = Vec::new();
    for tool in entries(tools).filter_map(|it| parse(named(it)?.as_text()?)) {
        if !found.contains(&tool) {
            found.push(tool);
        }
    }
    found
}

/// Returns what is wrong with `tools` of `who`, a person or node that `service` answers for.
pub fn problems(tools: &Tree, who: &str, service: Option<Service>) -> Vec<Diagnostic> {
    entries(tools).filter_map(|it| problem(it, who, service)).map(|it| it.field("tools")).collect()
}

/// The entries that are neither `none` nor switched off.
fn entries(tools: &Tree) -> impl Iterator<Item = &Tree> {
    let listed = if let TreeKind::List(items) = &tools.kind { items.as_slice() } else { std::slice::from_ref(tools) };
    listed.iter().filter(|it| !is_off(it))
}

fn is_off(tool: &Tree) -> bool {
    match &tool.kind {
        TreeKind::Null | TreeKind::Bool(false) => true,
        TreeKind::Text(text) => matches!(fold(text.trim()).as_str(), "" | "none"),
        TreeKind::Map(_) => tool.get("enabled").is_some_and(|it| it.kind == TreeKind::Bool(false)),
        TreeKind::List(_) | TreeKind::Bool(true) | TreeKind::Number(_) => false,
    }
}

/// Where the name of a tool stands.
fn named(tool: &Tree) -> Option<&Tree> {
    if tool.is_map() { tool.get("type") } else { Some(tool) }
}

fn problem(tool: &Tree, who: &str, service: Option<Service>) -> Option<Diagnostic> {
    let Some((name, span)) = named(tool).and_then(|it| Some((it.as_text()?, it.span))) else {
        let message = format!("`{who}` has an entry of `tools` that names no tool");
        return Some(Diagnostic::new("E402", tool.span, message).hint("write `websearch` or `image`"));
    };
    let Some(known) = parse(name) else {
        let message = format!("`{who}` cannot use the tool `{name}`: no tool servers are configured");
        return Some(Diagnostic::new("E406", span, message).hint("write `websearch` or `image`, or remove it"));
    };
    if let Some(service) = service.filter(|it| !offers(*it, known)) {
        let message = format!("`{who}` cannot use the tool `{name}`: its service is `{}`", service.name());
        return Some(Diagnostic::new("E406", span, message).hint(hint(known)));
    }
    let config = tool.get("config").filter(|it| !it.is_null())?;
    let message = format!("`config` of the tool `{name}` has no effect");
    Some(Diagnostic::new("W402", config.span, message).hint("remove it"))
}

fn hint(tool: ModelTool) -> &'static str {
    match tool {
        ModelTool::WebSearch => "web search needs openai, anthropic, gemini or claude-code",
        ModelTool::Image => "images need openai or gemini",
    }
}

/// Whether `service` has `tool`. A caller brings its own tools, and a script needs none.
fn offers(service: Service, tool: ModelTool) -> bool {
    match service {
        Service::Caller | Service::Scripted | Service::OpenAi | Service::Gemini => true,
        Service::Anthropic | Service::ClaudeCode | Service::ClaudeCodeCustom => tool == ModelTool::WebSearch,
        Service::Ollama => false,
    }
}
