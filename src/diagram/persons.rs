//! The `persons` section of all three formats: a mapping, or a list of one-key mappings, or a list of
//! mappings with an `id`. Must not know where the models behind a service are.

use std::collections::HashMap;

use super::diagnostic::Diagnostic;
use super::draft::Draft;
use super::entries::{Entries, Range};
use super::kinds::Service;
use super::model::{Person, Script, WhenExhausted};
use super::tree::{Spanned, Tree, TreeKind};

/// Fields that are often indented one level too little and then read as persons.
const FIELDS: [&str; 9] = [
    "service",
    "model",
    "api_key_id",
    "system_prompt",
    "prompt_file",
    "temperature",
    "max_tokens",
    "tools",
    "llm_config",
];

const SERVICE_ALIASES: [&str; 5] = ["chatgpt", "gpt", "claude", "google", "llama"];

/// Reads the section; what is not a person is E106 and left out.
pub(super) fn read(tree: Option<&Tree>, draft: &mut Draft<'_>) -> Vec<Person> {
    let Some(tree) = tree.filter(|it| !it.is_null()) else { return Vec::new() };
    let mut persons = Vec::new();
    match &tree.kind {
        TreeKind::Map(entries) => {
            for (key, config) in entries {
                persons.extend(entry(key, config, draft));
            }
        }
        TreeKind::List(items) => {
            for item in items {
                persons.extend(list_item(item, draft));
            }
        }
        _ => draft.wrong_shape(
            "persons",
            tree.span,
            format!("`persons` is {}, not a mapping", tree.kind_name()),
            "write `persons:` and below it `Name: {service: openai}`",
        ),
    }
    check_duplicates(&persons, draft);
    persons
}

fn list_item(item: &Tree, draft: &mut Draft<'_>) -> Option<Person> {
    if let [(key, config)] = item.entries()
        && (config.is_map() || config.is_null() || key.value != "id" && key.value != "label")
    {
        return entry(key, config, draft);
    }
    let named = ["id", "label", "name"].iter().find_map(|it| item.get(it));
    if let Some(name) = named.and_then(|it| Some(Spanned { value: draft.scalar_text(it)?, span: it.span })) {
        return Some(person(&name, item, draft));
    }
    let (name, span) = match item.entries().first() {
        Some((key, _)) => (key.value.clone(), key.span),
        None => ("persons".to_owned(), item.span),
    };
    let hint = format!("indent the fields below `{name}:`");
    draft.wrong_shape(&name, span, format!("`{name}` is not one person with its fields"), hint);
    None
}

fn entry(key: &Spanned<String>, config: &Tree, draft: &mut Draft<'_>) -> Option<Person> {
    if config.is_map() || config.is_null() && !FIELDS.contains(&key.value.as_str()) {
        return Some(person(key, config, draft));
    }
    let name = &key.value;
    let message = format!("person `{name}` is {}, not a mapping", config.kind_name());
    let mut diagnostic = Diagnostic::new("E106", key.span, message).at(name);
    let service = config.as_text().and_then(Service::parse);
    diagnostic = match service {
        _ if FIELDS.contains(&name.as_str()) => {
            diagnostic.hint(format!("indent `{name}` under its person, one level deeper"))
        }
        Some(service) => {
            let repaired = format!("{{service: {}}}", service.name());
            diagnostic.hint(format!("write `{name}: {repaired}`")).patch(config.span, repaired)
        }
        None => diagnostic.hint(format!("write `{name}: {{service: openai}}`")),
    };
    draft.report(diagnostic);
    None
}

fn person(key: &Spanned<String>, config: &Tree, draft: &mut Draft<'_>) -> Person {
    let label_tree = config.get("label").and_then(|it| draft.scalar_text(it));
    let id_tree = config.get("id").and_then(|it| draft.scalar_text(it));
    let label = label_tree.unwrap_or_else(|| key.value.clone());
    let mut fields = Entries::new(draft, &label, config);
    for known in ["id", "label", "name", "type"] {
        fields.tree(known);
    }
    fields.lift("llm_config");
    let service = service(&mut fields);
    let person = Person {
        id: id_tree.unwrap_or_else(|| key.value.clone()),
        service,
        model: fields.text("model").map(|it| it.value),
        api_key_id: fields.text("api_key_id").map(|it| it.value),
        base_url: fields.text("base_url").map(|it| it.value),
        system_prompt: fields.text("system_prompt").map(|it| it.value),
        prompt_file: fields.text("prompt_file"),
        temperature: fields.number("temperature", Range::NotNegative),
        max_tokens: fields.integer("max_tokens", 1),
        tools: fields.tree("tools").filter(|it| it.as_text() != Some("")).cloned(),
        script: script(&mut fields),
        span: key.span,
        label,
    };
    fields.finish();
    person
}

fn service(fields: &mut Entries<'_, '_, '_>) -> Option<Service> {
    let Some(text) = fields.text("service") else { return Some(Service::OpenAi) };
    let found = Service::parse(&text.value);
    if found.is_none() {
        let names = Service::ALL.map(Service::name);
        let diagnostic = Diagnostic::new("E506", text.span, format!("`{}` is not a known service", text.value));
        let name = Spanned { value: text.value.as_str(), span: text.span };
        let otherwise = format!("write one of: {}", names.join(", "));
        let diagnostic = fields.draft().near(diagnostic, &name, names.into_iter().chain(SERVICE_ALIASES), &otherwise);
        fields.report("service", diagnostic);
    }
    found
}

fn script(fields: &mut Entries<'_, '_, '_>) -> Script {
    let when_exhausted = match fields.choice("when_exhausted", &["fail", "repeat_last", "cycle"]) {
        Some("repeat_last") => WhenExhausted::RepeatLast,
        Some("cycle") => WhenExhausted::Cycle,
        _ => WhenExhausted::Fail,
    };
    Script { replies: fields.list("replies"), selections: fields.list("selections"), when_exhausted }
}

fn check_duplicates(persons: &[Person], draft: &mut Draft<'_>) {
    let mut lines: HashMap<&str, u32> = HashMap::new();
    for person in persons {
        let id = person.id.as_str();
        let Some(first) = lines.insert(id, person.span.line) else { continue };
        let message = format!("two persons have the id `{id}`, in lines {first} and {}", person.span.line);
        draft.report(Diagnostic::new("E206", person.span, message).at(id).hint("rename one of them"));
    }
}
