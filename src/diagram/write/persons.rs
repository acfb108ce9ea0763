//! Persons: what is written of one, and under which key.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::number;
use super::sections::given;
use crate::diagram::budget::{Budget, Price};
use crate::diagram::model::{Person, WhenExhausted};

/// Returns what a person's mapping holds besides id and label, in its order.
pub fn fields(person: &Person) -> Map<String, Value> {
    let when_exhausted = match person.script.when_exhausted {
        WhenExhausted::Fail => None,
        WhenExhausted::RepeatLast => Some("repeat_last"),
        WhenExhausted::Cycle => Some("cycle"),
    };
    let text = |it: &Option<String>| it.clone().map(Value::from);
    given([
        ("service", person.service.map(|it| it.name().into())),
        ("model", text(&person.model)),
        ("api_key_id", text(&person.api_key_id)),
        ("base_url", text(&person.base_url)),
        ("system_prompt", text(&person.system_prompt)),
        ("prompt_file", person.prompt_file.as_ref().map(|it| it.value.as_str().into())),
        ("temperature", person.temperature.map(number)),
        ("max_tokens", person.max_tokens.map(Value::from)),
        ("tools", person.tools.as_ref().map(|it| it.to_json())),
        ("budget", person.budget.as_ref().map(Budget::to_json)),
        ("price", person.price.map(Price::to_json)),
        ("replies", person.script.replies.clone().map(Value::Array)),
        ("selections", person.script.selections.clone().map(Value::Array)),
        ("when_exhausted", when_exhausted.map(Value::from)),
    ])
}

/// Returns each person's key and mapping as light and readable write them.
///
/// The key is the label, with `id` where that differs. A label that another person has too, or that cannot
/// be a key, gives way to the id, and that to a made-up name.
pub(super) fn by_label(persons: &[Person]) -> Vec<(String, Map<String, Value>)> {
    let mut used = HashSet::new();
    let mut keyed = Vec::new();
    for person in persons {
        let free = |key: &str| !key.starts_with("__") && !used.contains(key);
        let (label, id) = (person.label.as_str(), person.id.as_str());
        let key = if free(label) && (id == label || is_clean(id)) {
            label.to_owned()
        } else if free(id) && (id == label || is_clean(label)) {
            id.to_owned()
        } else {
            made_up(persons, &used)
        };
        let names =
            [("id", id), ("label", label)].into_iter().filter(|it| it.1 != key && (it.0 == "id" || label != key));
        let mut map: Map<String, Value> = names.map(|(name, value)| (name.to_owned(), value.into())).collect();
        map.extend(fields(person));
        used.insert(key.clone());
        keyed.push((key, map));
    }
    keyed
}

/// Returns each person's key and mapping as native has them: the key is the id.
pub(super) fn by_id(persons: &[Person]) -> Map<String, Value> {
    let entry = |person: &Person| {
        let mut map = Map::new();
        let key = super::native::key(&person.id);
        if key != person.id {
            map.insert("id".to_owned(), person.id.as_str().into());
        }
        // A label that is not clean can only have come from the key, which says it again.
        if is_clean(&person.label) {
            map.insert("label".to_owned(), person.label.as_str().into());
        }
        map.insert("llm_config".to_owned(), Value::Object(fields(person)));
        (key, Value::Object(map))
    };
    persons.iter().map(entry).collect()
}

/// Whether a name comes back as it is when it stands as a value: those are trimmed, and blank ones absent.
fn is_clean(name: &str) -> bool {
    !name.is_empty() && name.trim() == name
}

fn made_up(persons: &[Person], used: &HashSet<String>) -> String {
    let is_free = |key: &String| !used.contains(key) && persons.iter().all(|it| it.id != *key && it.label != *key);
    (1..).map(|n| format!("person_{n}")).find(is_free).expect("there are more numbers than persons")
}
