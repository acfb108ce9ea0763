//! The `persons` section of all three formats: a mapping, or a list of one-key mappings, or a list of
//! mappings with an `id`. Must not know where the models behind a service are.

use std::collections::HashMap;

use super::budget::{self, Price};
use super::diagnostic::Diagnostic;
use super::draft::Draft;
use super::entries::{Entries, Range};
use super::kinds::Service;
use super::model::{Person, Script, WhenExhausted};
use super::tree::{Span, Spanned, Tree, TreeKind};

/// Fields that are often indented one level too little and then read as persons.
const FIELDS: [&str; 10] = [
    "service",
    "model",
    "api_key_id",
    "system_prompt",
    "prompt_file",
    "temperature",
    "max_tokens",
    "tools",
    "llm_config",
    "budget",
];

const SERVICE_ALIASES: [&str; 5] = ["chatgpt", "gpt", "claude", "google", "llama"];

/// Reads the section; what is not a person is E106 and left out.
pub(super) fn read(tree: Option<&Tree>, draft: &mut Draft<'_>) -> Vec<Person> {
    let Some(tree) = tree.filter(|it| !it.is_null()) else { return Vec::new() };
    let mut persons = Vec::new();
    match &tree.kind {
        TreeKind::Map(entries) => {
            let mut rest = entries.as_slice();
            while let [(key, config), others @ ..] = rest {
                let (fields, after) = others.split_at(n_unindented(key, config, others));
                if fields.is_empty() {
                    persons.extend(entry(key, config, draft));
                } else {
                    persons.push(unindented(key, fields, draft));
                }
                rest = after;
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

/// How many of `others` are fields of the person `key`, which has none below it.
fn n_unindented(key: &Spanned<String>, config: &Tree, others: &[(Spanned<String>, Tree)]) -> usize {
    if !config.is_null() || FIELDS.contains(&key.value.as_str()) {
        return 0;
    }
    others.iter().take_while(|(key, value)| FIELDS.contains(&key.value.as_str()) && !value.is_map()).count()
}

/// Reads a person whose fields stand beside its name instead of below it: one problem for each.
fn unindented(name: &Spanned<String>, fields: &[(Spanned<String>, Tree)], draft: &mut Draft<'_>) -> Person {
    for (key, value) in fields {
        let message = format!("`{}` stands beside the person `{}` it belongs to", key.value, name.value);
        let diagnostic = Diagnostic::new("E106", key.span, message).at(&key.value);
        let mut diagnostic = diagnostic.hint(format!("indent `{}` under its person, one level deeper", key.value));
        // Lines of its own value would have to move along.
        if !draft.source(value.span).contains('\n') && key.span.column > 1 {
            diagnostic = diagnostic.patch(Span { len: 0, ..key.span }, "  ");
        }
        draft.report(diagnostic);
    }
    let config = Tree { span: name.span, kind: TreeKind::Map(fields.to_vec()) };
    person(name, &config, draft)
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
        budget: budget::field(&mut fields),
        price: price(&mut fields, service),
        script: script(&mut fields),
        span: key.span,
        label,
    };
    refuse_keys(&mut fields);
    fields.finish();
    person
}

/// A diagram is stored and shown, so a key in it is a key lost.
fn refuse_keys(fields: &mut Entries<'_, '_, '_>) {
    for name in ["api_key", "apikey", "key", "openai_api_key", "anthropic_api_key"] {
        if fields.tree(name).is_some() {
            let span = fields.key_span(name);
            let message = format!("a key has no place in a diagram: `{name}` has no effect");
            let hint =
                "remove it; set the variable of the service (OPENAI_API_KEY …), or name a secret with `api_key_id`";
            fields.report(name, Diagnostic::new("W401", span, message).hint(hint));
        }
    }
}

fn service(fields: &mut Entries<'_, '_, '_>) -> Option<Service> {
    let Some(text) = fields.text("service") else { return Some(Service::OpenAi) };
    let found = Service::parse(&text.value);
    if found.is_none() {
        let names = Service::ALL.map(Service::name);
        let diagnostic = Diagnostic::new("E506", text.span, format!("`{}` is not a known service", text.value));
        let name = Spanned { value: text.value.as_str(), span: text.span };
        let otherwise = format!("write one of: {}", names.join(", "));
        let diagnostic = match service_of_model(&text.value) {
            Some((service, model)) => {
                diagnostic.hint(format!("write `service: {}` and `model: {model}`", service.name()))
            }
            None => fields.draft().near(diagnostic, &name, names.into_iter().chain(SERVICE_ALIASES), &otherwise),
        };
        fields.report("service", diagnostic);
    }
    found
}

/// The service a model belongs to, where a model stands in the place of a service, with its own name.
fn service_of_model(text: &str) -> Option<(Service, &str)> {
    let text = text.trim();
    if let Some((service, model)) = text.split_once('/') {
        return Service::parse(service).map(|it| (it, model));
    }
    let of = |prefixes: &[&str]| prefixes.iter().any(|it| text.starts_with(it));
    let service = if of(&["gpt-", "o1-", "o3-", "o4-"]) {
        Service::OpenAi
    } else if of(&["claude-3", "claude-4", "claude-opus", "claude-sonnet", "claude-haiku"]) {
        Service::Anthropic
    } else if of(&["gemini-"]) {
        Service::Gemini
    } else {
        return None;
    };
    Some((service, text))
}

/// A price is for the stand-in alone: what a real model costs is not the diagram's to say.
fn price(fields: &mut Entries<'_, '_, '_>, service: Option<Service>) -> Option<Price> {
    let price = budget::price(fields)?;
    if service == Some(Service::Scripted) {
        return Some(price);
    }
    let span = fields.key_span("price");
    let diagnostic = Diagnostic::new("W402", span, "`price` has no effect: only a scripted person has one");
    fields.report("price", diagnostic.hint("remove it; prices of models stand under `[prices]` in dipeo.toml"));
    None
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagram::parse;
    use crate::diagram::testing::light_problems;

    fn persons(section: &str) -> Vec<Person> {
        let text = format!("version: light\npersons:\n{section}\nnodes: [{{label: s, type: start}}]\n");
        parse(&text, None).diagram.unwrap().persons
    }

    #[test]
    fn a_mapping_and_both_kinds_of_list_are_the_same() {
        for section in [
            "  Bot: {service: gpt, model: '', system_prompt: hi, temperature: 0, max_tokens: 5}",
            "- Bot: {service: openai, system_prompt: hi, temperature: 0.0, max_tokens: 5.0}",
            "- {id: Bot, llm_config: {service: chatgpt, system_prompt: hi, temperature: 0, max_tokens: 5}}",
        ] {
            let found = persons(section).remove(0);
            assert_eq!((found.id.as_str(), found.label.as_str()), ("Bot", "Bot"), "{section}");
            assert_eq!((found.service, found.model), (Some(Service::OpenAi), None), "{section}");
            assert_eq!(found.system_prompt.as_deref(), Some("hi"), "{section}");
            assert_eq!((found.temperature, found.max_tokens), (Some(0.0), Some(5)), "{section}");
        }
    }

    #[test]
    fn a_script_has_replies_selections_and_an_end() {
        let found =
            persons("  B: {service: scripted, replies: [a, {json: {b: 1}}], selections: [[2]], when_exhausted: cycle}");
        let script = &found[0].script;
        assert_eq!(script.replies.as_ref().map(Vec::len), Some(2));
        assert_eq!((script.selections.as_ref().map(Vec::len), script.when_exhausted), (Some(1), WhenExhausted::Cycle));
        assert_eq!(persons("  B: {id: x}")[0].service, Some(Service::OpenAi));
    }

    #[test]
    fn problems_of_persons_stand_where_they_are() {
        for (section, expected) in [
            ("  P: openai", vec!["E106 P 3:3"]),
            ("  P: {model: m}\n  api_key_id: k", vec!["E106 api_key_id 4:3"]),
            ("  P:\n  service: openai", vec!["E106 service 4:3"]),
            ("- P:\n  service: openai", vec!["E106 P 3:3"]),
            ("- P: openai", vec!["E106 P 3:3"]),
            ("- 5", vec!["E106 persons 3:3"]),
            ("  5", vec!["E106 persons 3:3"]),
            ("  P: {service: opnai}", vec!["E506 P 3:16"]),
            ("  P: {model: 5}", vec!["E402 P 3:14"]),
            ("  P: {temperature: hot}", vec!["E402 P 3:20"]),
            ("  P: {temperature: '0.5'}", vec!["W104 P 3:20"]),
            ("  P: {max_tokens: 0}", vec!["E404 P 3:19"]),
            ("  P: {max_tokens: 1.5}", vec!["E404 P 3:19"]),
            ("  P: {replies: hi}", vec!["E402 P 3:16"]),
            ("  P: {when_exhausted: stop}", vec!["E403 P 3:23"]),
            ("  P: {sytem_prompt: x}", vec!["W401 P 3:7"]),
            ("  P: {budget: 5}", vec!["E402 P 3:15"]),
            ("  P: {budget: {usd: 1, cals: 2}}", vec!["W401 budget 3:24"]),
            ("  P: {service: scripted, price: {input: 1, output: -1}}", vec!["E404 price 3:52"]),
            ("  P: {service: scripted, price: 3}", vec!["E402 P 3:33"]),
            ("  P: {service: ollama, price: {input: 1, output: 1}}", vec!["W402 P 3:24"]),
            ("  P: {id: x}\n  Q: {id: x}", vec!["E206 x 4:3"]),
        ] {
            let text = format!("persons:\n{section}\nnodes: [{{label: s, type: start}}]\n");
            assert_eq!(light_problems(&text), expected, "{section}");
        }
    }
}
