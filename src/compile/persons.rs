//! What can be said of persons when compiling: prompt files, keys, models, tools their service lacks.

use crate::diagram::kinds::fold;
use crate::diagram::{Diagnostic, Diagram, Person, Service, Span, Tree, TreeKind};
use crate::nodes::{Surroundings, prompt_file_hint};

/// Checks every person.
pub(super) fn check(diagram: &Diagram, surroundings: &dyn Surroundings) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for person in &diagram.persons {
        if !surroundings.structure_only() {
            found.extend(prompt_file_missing(person, surroundings));
            found.extend(model_not_given(person, surroundings));
            found.extend(key_missing(person, surroundings));
        }
        let tools = person.tools.iter().flat_map(|tools| tools_lacking(person, tools));
        found.extend(tools.map(|it| it.at(&person.label)));
    }
    found
}

/// Returns the persons with what their prompt files say as their system prompts.
pub(super) fn complete(diagram: &Diagram, surroundings: &dyn Surroundings) -> Vec<Person> {
    let mut persons = diagram.persons.clone();
    for person in &mut persons {
        let file = person.prompt_file.as_ref().and_then(|it| surroundings.prompt_file(&it.value).ok());
        person.system_prompt = file.or_else(|| person.system_prompt.take());
    }
    persons
}

fn prompt_file_missing(person: &Person, surroundings: &dyn Surroundings) -> Option<Diagnostic> {
    let file = person.prompt_file.as_ref()?;
    let searched = surroundings.prompt_file(&file.value).err()?;
    // No place was searched for a path that leaves the workspace.
    let diagnostic = match searched.as_slice() {
        [] => Diagnostic::new("E702", file.span, format!("prompt file `{}` leaves the workspace", file.value)),
        _ => Diagnostic::new("E504", file.span, format!("prompt file `{}` was not found", file.value)),
    };
    Some(diagnostic.at(&person.label).field("prompt_file").hint(prompt_file_hint(&searched)))
}

fn model_not_given(person: &Person, surroundings: &dyn Surroundings) -> Option<Diagnostic> {
    let service = person.service.filter(|it| !matches!(it, Service::Caller | Service::Scripted))?;
    if person.model.as_ref().is_some_and(|it| !it.trim().is_empty()) {
        return None;
    }
    let hint = match surroundings.default_model(service) {
        Some(model) => format!("write `model: {model}`, the default of {} here, or another one", service.name()),
        None => format!("write `model:`; {} has no default here", service.name()),
    };
    let diagnostic = Diagnostic::new("W505", person.span, format!("`{}` names no model", person.label));
    Some(diagnostic.at(&person.label).field("model").hint(hint))
}

fn key_missing(person: &Person, surroundings: &dyn Surroundings) -> Option<Diagnostic> {
    let service = person.service?;
    let variable = service.key_variable()?;
    if surroundings.has_key(service, person.api_key_id.as_deref()) {
        return None;
    }
    let message = format!("there is no key for `{}`, the service of `{}`", service.name(), person.label);
    let hint = match person.api_key_id.as_deref() {
        Some(id) if looks_like_a_key(id) => format!(
            "`api_key_id` holds a key where the name of a secret belongs: remove it and set {variable}, or use \
             `models: caller`"
        ),
        Some(id) => format!("set {variable} or the secret `{id}`; a run with `models: caller` needs no key"),
        None => format!("set {variable}; a run with `models: caller` needs no key"),
    };
    Some(Diagnostic::new("W504", person.span, message).at(&person.label).hint(hint))
}

/// Names of secrets are short and readable; keys are neither, and are not to be repeated in messages.
fn looks_like_a_key(id: &str) -> bool {
    const NAME_CHARS_MAX: usize = 32;
    ["sk-", "AIza", "xai-"].iter().any(|it| id.starts_with(it)) || id.chars().count() > NAME_CHARS_MAX
}

/// E406 for each tool that `tools`, written at `person` itself, asks for: the service may lack it, and
/// this version gives persons no tools at all. A node's own `tools` are read by its type.
fn tools_lacking(person: &Person, tools: &Tree) -> Vec<Diagnostic> {
    let Some(service) = person.service else { return Vec::new() };
    let asked: Vec<_> = match &tools.kind {
        TreeKind::List(items) => items.iter().filter_map(tool_name).collect(),
        _ => tool_name(tools).into_iter().collect(),
    };
    let refuse = |(name, span): (&str, Span)| {
        let (why, hint) = if offers(service, name) {
            ("tools of persons are not supported by this version".to_owned(), "remove `tools`")
        } else {
            let hint = "web search needs openai, anthropic or gemini; images need openai or gemini";
            (format!("its service is `{}`", service.name()), hint)
        };
        let message = format!("`{}` cannot use the tool `{name}`: {why}", person.label);
        Diagnostic::new("E406", span, message).field("tools").hint(hint)
    };
    asked.into_iter().map(refuse).collect()
}

/// Reads one entry of `tools`: a name other than `none`, or a mapping with `type` that is not off.
fn tool_name(tool: &Tree) -> Option<(&str, Span)> {
    if tool.get("enabled").is_some_and(|it| it.kind == TreeKind::Bool(false)) {
        return None;
    }
    let named = if tool.is_map() { tool.get("type")? } else { tool };
    let name = named.as_text()?;
    (!matches!(fold(name).as_str(), "" | "none")).then_some((name, named.span))
}

/// Whether `service` has `tool`. Names other than the built-in tools are tool servers, which do not
/// depend on the service; a caller brings its own tools and a script needs none.
fn offers(service: Service, tool: &str) -> bool {
    if matches!(service, Service::Caller | Service::Scripted) {
        return true;
    }
    match fold(tool).as_str() {
        "websearch" | "web_search" | "web_search_preview" => {
            matches!(service, Service::OpenAi | Service::Anthropic | Service::Gemini)
        }
        "image" | "image_generation" => matches!(service, Service::OpenAi | Service::Gemini),
        _ => true,
    }
}
