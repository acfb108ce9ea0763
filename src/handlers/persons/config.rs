//! Reads what a person is made of with the same words, and the same problems, as in a diagram.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::super::surroundings::World;
use super::super::{App, Caller};
use crate::compile::compile;
use crate::diagram::{Format, Person, Service, parse};
use crate::error::Error;
use crate::nodes::{Origin, Rights};

/// Longest name, in characters.
const LABEL_CHARS_MAX: usize = 100;
/// Where a client's `prompt_file` must be.
const PROMPTS: &str = "files/prompts";

/// Reads a person that was checked when it was stored.
pub(super) fn as_written(label: &str, config: &Map<String, Value>) -> Option<Person> {
    let persons = parse(&text(label, config), Some(Format::Light)).diagram?.persons;
    persons.into_iter().next().filter(|it| it.label == label)
}

/// A diagram that names the person once.
fn text(label: &str, config: &Map<String, Value>) -> String {
    json!({
        "version": "light",
        "persons": {label: config},
        "nodes": [
            {"label": "start", "type": "start"},
            {"label": "ask", "type": "person_job", "person": label, "default_prompt": "?", "max_iteration": 1},
        ],
        "connections": [{"from": "start", "to": "ask"}],
    })
    .to_string()
}

/// Checks a person that `caller` wants to keep.
///
/// # Errors
///
/// `INVALID_NAME`; `INVALID_INPUT` with every problem; `PERMISSION_REQUIRED` for what a client may not set.
pub(super) fn check(app: &App, caller: &Caller, label: &str, config: &Map<String, Value>) -> Result<Person, Error> {
    check_label(label)?;
    let rights = Rights::of(Origin::Local, true, false);
    let world = World { structure_only: true, ..World::of(&app.config, (&app.languages, &app.ports), None, rights) };
    let text = text(label, config);
    let compiled = compile(&text, Some(Format::Light), &world);
    let problems: Vec<String> = compiled.diagnostics.iter().map(|it| format!("{} {}", it.code, it.message)).collect();
    let person = compiled.diagram.and_then(|it| it.persons.into_iter().find(|it| it.label == label));
    match person {
        Some(person) if problems.is_empty() => {
            if let Caller::Client(_) = caller {
                check_client(app, &person)?;
            }
            Ok(person)
        }
        _ => {
            let hints = compiled.diagnostics.iter().find_map(|it| it.hint.clone());
            let message = match problems.is_empty() {
                true => format!("`{label}` cannot be the name of a person"),
                false => problems.join("; "),
            };
            Err(Error::invalid("INVALID_INPUT", message)
                .hint(hints.unwrap_or_else(|| "`dipeo://guide` shows what a person may have".to_owned()))
                .details(json!({ "problems": problems })))
        }
    }
}

fn check_label(label: &str) -> Result<(), Error> {
    let is_fine = !label.is_empty()
        && label.trim() == label
        && label.chars().count() <= LABEL_CHARS_MAX
        && !label.starts_with("__")
        && !label.chars().any(char::is_control);
    if is_fine {
        return Ok(());
    }
    let shown: String = label.chars().filter(|it| !it.is_control()).take(LABEL_CHARS_MAX).collect();
    Err(Error::invalid("INVALID_NAME", format!("`{shown}` is no name of a person"))
        .hint(format!("use one line of 1 to {LABEL_CHARS_MAX} characters without blanks around it")))
}

/// Refuses what only a person at the terminal may set.
fn check_client(app: &App, person: &Person) -> Result<(), Error> {
    let refused = |what: &str| {
        Err(Error::refused("PERMISSION_REQUIRED", format!("a client may not give a person {what}"))
            .hint("write the person into a diagram, which a person at the terminal may trust"))
    };
    if person.base_url.is_some() {
        return refused("a `base_url`: keys would be sent there");
    }
    if matches!(person.service, Some(Service::ClaudeCode | Service::ClaudeCodeCustom)) {
        return refused("a service that is a program of this machine");
    }
    if let Some(file) = &person.prompt_file
        && !is_prompt(app, &file.value)
    {
        return refused("a `prompt_file` outside of files/prompts");
    }
    if let Some(id) = &person.api_key_id {
        let all = app.ports.secrets.list()?;
        let is_its_key = |service: &str| Service::parse(service) == person.service;
        if !all.iter().any(|it| it.name == *id && it.service.as_deref().is_some_and(is_its_key)) {
            let service = person.service.map(Service::name).unwrap_or_default();
            let message = format!("`api_key_id` names no key of `{service}`");
            return Err(Error::not_found("SECRET_NOT_FOUND", message)
                .hint("`getApiKeys` lists the keys; without `api_key_id` the key of the service is used"));
        }
    }
    Ok(())
}

/// Whether a prompt file is one of files/prompts, which is the last place that is looked in.
fn is_prompt(app: &App, name: &str) -> bool {
    let name = name.strip_prefix("files/prompts/").unwrap_or(name);
    let folder = app.workspace.root().join(PROMPTS);
    let is_plain = Path::new(name).components().all(|it| matches!(it, std::path::Component::Normal(_)));
    let found = folder.join(name).canonicalize().ok().zip(folder.canonicalize().ok());
    is_plain && found.is_some_and(|(file, folder)| file.is_file() && file.starts_with(folder))
}
