//! `person_job` nodes: prompts, with what stands in their files, and the exact memory presets.

use super::{Call, Reading, asks_for_tools};
use crate::diagram::Person;
use crate::export::outline;
use crate::export::parts::Part;
use crate::nodes::memory::window::Preset;
use crate::nodes::memory::{SYSTEM, USER};

pub(super) fn call(reading: &mut Reading<'_, '_>) -> Option<Call> {
    let person = reading.fields.person("person").and_then(|it| reading.export.plan.persons.get(it).cloned());
    let Some(person) = person else {
        reading.refuse("its person is not part of the diagram");
        return None;
    };
    reading.reasons.extend(outline::reasons_of(&person));
    // An answer from a script takes no time, so it needs no thread, and its runs are the same every time.
    let mut call =
        Call { is_slow: !answers_at_once(&person), ..Call::new("run_person_job", &[Part::Http, Part::Persons]) };
    call.add("person", Some(person.id.clone()));
    call.add("default_prompt", prompt(reading, "prompt_file", ["default_prompt", "resolved_prompt"]));
    call.add("first_only_prompt", prompt(reading, "first_prompt_file", ["first_only_prompt", "resolved_first_prompt"]));
    memory(reading, &mut call);
    call.add("temperature", reading.fields.number("temperature", f64::NEG_INFINITY));
    call.add("max_tokens", reading.fields.integer("max_tokens", 1));
    refuse_what_needs_dipeo(reading);
    Some(call)
}

fn answers_at_once(person: &Person) -> bool {
    let replies = person.script.replies.iter().flatten();
    person.service == Some(crate::diagram::Service::Scripted)
        && replies.into_iter().all(|it| it.get("delay_ms").is_none())
}

/// Reads one prompt: its file wins over the inline text, that over the legacy field. Blank is absent.
fn prompt(reading: &mut Reading<'_, '_>, file_key: &'static str, inline_keys: [&'static str; 2]) -> Option<String> {
    let [inline, legacy] = inline_keys.map(|key| reading.fields.text_not_blank(key));
    let Some(file) = reading.fields.text_not_blank(file_key) else { return inline.or(legacy) };
    let text = reading.export.surroundings.prompt_file(&file).ok();
    if text.is_none() {
        reading.refuse(format!("its prompt file `{file}` was not found"));
    }
    text
}

fn memory(reading: &mut Reading<'_, '_>, call: &mut Call) {
    let wanted = reading.fields.text_not_blank("memorize_to");
    match wanted.as_deref().map(Preset::parse) {
        Some(Some(preset)) => call.add("memorize_to", Some(preset.name())),
        Some(None) => reading.refuse("`memorize_to` with words asks a model to choose; only the presets are exported"),
        None => {}
    }
    call.add("at_most", reading.fields.integer("at_most", 1));
    let persons = &reading.export.plan.persons;
    let id = |name: String| {
        let found = persons.iter().find(|it| it.id == name).or_else(|| persons.iter().find(|it| it.label == name));
        found.map(|it| it.id.clone()).or_else(|| [USER, SYSTEM].contains(&name.as_str()).then_some(name))
    };
    let ignored: Vec<String> = reading.fields.texts("ignore_person", true).into_iter().filter_map(id).collect();
    call.add("ignore_person", Some(ignored).filter(|it| !it.is_empty()));
}

fn refuse_what_needs_dipeo(reading: &mut Reading<'_, '_>) {
    if reading.fields.tree("tools").is_some_and(asks_for_tools) {
        reading.refuse("`tools` need dipeo");
    }
    if reading.fields.boolean("batch", false) {
        reading.refuse("`batch` is not exported");
    }
    let is_text = |it: &serde_json::Value| it.as_str().is_some_and(|it| it.trim().is_empty()) || it.is_null();
    let has_format = reading.fields.value("text_format").is_some_and(|it| !is_text(&it))
        || reading.fields.text_not_blank("text_format_file").is_some();
    if has_format {
        reading.refuse("`text_format` needs a validator of JSON Schema, which Python's standard library lacks");
    }
}
