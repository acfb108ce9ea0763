//! What can be said of persons when compiling: prompt files, keys, models, tools their service lacks.

use crate::diagram::{Diagnostic, Diagram, Person, Service};
use crate::nodes::fields::references::find_person;
use crate::nodes::{Surroundings, model_tools, prompt_file_hint};
use crate::secret::looks_like_a_key;

/// Adds the persons of the workspace that nodes name and the diagram does not have itself, each where it is named
/// first.
pub(super) fn adopt(diagram: &mut Diagram, surroundings: &dyn Surroundings) {
    for node in &diagram.nodes {
        let Some((name, span)) = node.field("person").and_then(|it| Some((it.as_text()?, it.span))) else { continue };
        if name.trim().is_empty() || find_person(&diagram.persons, name).is_some() {
            continue;
        }
        diagram.persons.extend(surroundings.person(name).map(|it| it.placed_at(span)));
    }
}

/// Says which tools of the diagram's own persons their service does not have.
pub(super) fn tools(diagram: &Diagram) -> Vec<Diagnostic> {
    let of_person = |person: &Person| {
        let tools = person.tools.iter().flat_map(|it| model_tools::problems(it, &person.label, person.service));
        tools.map(|it| it.at(&person.label)).collect::<Vec<_>>()
    };
    diagram.persons.iter().flat_map(of_person).collect()
}

/// Checks every person.
pub(super) fn check(diagram: &Diagram, surroundings: &dyn Surroundings) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for person in &diagram.persons {
        if !surroundings.structure_only() {
            found.extend(prompt_file_missing(person, surroundings));
            found.extend(model_not_given(person, surroundings));
            found.extend(key_missing(person, surroundings));
        }
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
