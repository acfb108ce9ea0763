//! Reads the memory fields of a node; every problem is recorded with its place.

use super::window::{Memory, Preset, Wanted};
use super::{SYSTEM, USER};
use crate::diagram::Person;
use crate::nearest::nearest;
use crate::nodes::Fields;

impl Memory {
    /// Reads `memorize_to`, which is `preset` when it is not given, `at_most` and `ignore_person`.
    pub fn read(fields: &mut Fields<'_>, preset: Preset) -> Self {
        Self { ignored: read_ignored(fields), ..Self::of_decision(fields, preset) }
    }

    /// Reads `memorize_to` and `at_most`: what a decision remembers by.
    pub fn of_decision(fields: &mut Fields<'_>, preset: Preset) -> Self {
        let wanted = match fields.text_not_blank("memorize_to") {
            Some(text) => read_wanted(fields, text),
            None => Wanted::Preset(preset),
        };
        let at_most = fields.integer("at_most", 1).and_then(|it| usize::try_from(it).ok());
        Self { wanted, at_most, ignored: Vec::new() }
    }
}

/// A single word in the manner of a preset that is none of them is a slip of the pen: taken as a
/// description it would cost a model call and choose nearly nothing.
fn read_wanted(fields: &mut Fields<'_>, text: String) -> Wanted {
    if let Some(preset) = Preset::parse(&text) {
        return Wanted::Preset(preset);
    }
    let is_shouted = text.trim().chars().all(|it| it.is_ascii_uppercase() || it == '_');
    let is_one_word = is_shouted || text.contains('_') && !text.trim().contains(char::is_whitespace);
    if is_one_word && let Some(near) = nearest(text.trim(), Preset::ALL.map(Preset::name)) {
        let message = format!("`{text}` is not a preset of `memorize_to`");
        fields.problem("E403", "memorize_to", message, format!("did you mean `{near}`?"));
        return Wanted::Preset(Preset::default());
    }
    Wanted::Selected(text)
}

/// Reads `ignore_person`: ids or labels of persons, and `user`, as ids.
fn read_ignored(fields: &mut Fields<'_>) -> Vec<String> {
    let persons = &fields.context().diagram.persons;
    let mut ignored = Vec::new();
    for name in fields.texts("ignore_person", true) {
        match find_party(persons, &name) {
            Some(id) => ignored.push(id.to_owned()),
            None => unknown_party(fields, persons, &name),
        }
    }
    ignored
}

fn find_party<'a>(persons: &'a [Person], name: &'a str) -> Option<&'a str> {
    let by_label = || persons.iter().find(|it| it.label == name);
    let found = persons.iter().find(|it| it.id == name).or_else(by_label).map(|it| it.id.as_str());
    found.or_else(|| [USER, SYSTEM].contains(&name).then_some(name))
}

fn unknown_party(fields: &mut Fields<'_>, persons: &[Person], name: &str) {
    let labels = || persons.iter().map(|it| it.label.as_str());
    let hint = match nearest(name, labels()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the persons are: {}", labels().collect::<Vec<_>>().join(", ")),
    };
    fields.problem("E501", "ignore_person", format!("no person is named `{name}`"), hint);
}
