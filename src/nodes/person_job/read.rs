//! Reads the fields of a person_job; every problem is recorded with its place.

use super::PersonJob;
use super::prompt::Prompts;
use super::schema::ReplyFormat;
use crate::diagram::{ContentType, Diagnostic, Person, Tree, TreeKind};
use crate::limits;
use crate::nearest::nearest;
use crate::nodes::memory::window::{Memory, Preset, Wanted};
use crate::nodes::memory::{SYSTEM, USER};
use crate::nodes::{Fields, Node};

/// Highest `temperature` that services take.
const TEMPERATURE_MAX: f64 = 2.0;

pub(super) fn read(fields: &mut Fields<'_>) -> Box<dyn Node> {
    refuse_tools(fields);
    refuse_batch(fields);
    let publishes_conversation = fields.outgoing().any(|it| it.content_type == Some(ContentType::ConversationState));
    Box::new(PersonJob {
        person: fields.person("person"),
        prompts: Prompts::read(fields),
        memory: read_memory(fields),
        format: ReplyFormat::read(fields),
        max_iteration: read_max_iteration(fields),
        temperature: read_temperature(fields),
        max_tokens: fields.integer("max_tokens", 1).and_then(|it| u64::try_from(it).ok()),
        publishes_conversation,
    })
}

fn read_max_iteration(fields: &mut Fields<'_>) -> u32 {
    let given = fields.integer("max_iteration", 1);
    given.map_or(limits::PERSON_ITERATIONS_DEFAULT, |it| u32::try_from(it).unwrap_or(u32::MAX))
}

fn read_temperature(fields: &mut Fields<'_>) -> Option<f64> {
    let value = fields.number("temperature", f64::NEG_INFINITY)?;
    if (0.0..=TEMPERATURE_MAX).contains(&value) {
        return Some(value);
    }
    let message = format!("`temperature` is {value}, which is out of range");
    fields.problem("E404", "temperature", message, "write a number from 0 to 2");
    None
}

fn read_memory(fields: &mut Fields<'_>) -> Memory {
    let wanted = match fields.text_not_blank("memorize_to") {
        Some(text) => read_wanted(fields, text),
        None => Wanted::Preset(Preset::default()),
    };
    let at_most = fields.integer("at_most", 1).and_then(|it| usize::try_from(it).ok());
    Memory { wanted, at_most, ignored: read_ignored(fields) }
}

/// A single word in the manner of a preset that is none of them is a slip of the pen: taken as a
/// description it would cost a model call and choose nearly nothing.
fn read_wanted(fields: &mut Fields<'_>, text: String) -> Wanted {
    if let Some(preset) = Preset::parse(&text) {
        return Wanted::Preset(preset);
    }
    let is_one_word = text.contains('_') && !text.trim().contains(char::is_whitespace);
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

fn refuse_tools(fields: &mut Fields<'_>) {
    let Some(tree) = fields.tree("tools") else { return };
    if asks_for_none(tree) {
        return;
    }
    let hint = "remove `tools`; put what the tool would find into the prompt, or use `service: caller` and let the \
                caller use its own tools";
    fields.problem("E406", "tools", "`tools` of a person are not supported by this version", hint);
}

fn asks_for_none(tree: &Tree) -> bool {
    match &tree.kind {
        TreeKind::Null | TreeKind::Bool(false) => true,
        TreeKind::Text(text) => matches!(text.trim().to_ascii_lowercase().as_str(), "" | "none"),
        TreeKind::List(items) => items.iter().all(asks_for_none),
        TreeKind::Map(_) => matches!(tree.get("enabled").map(|it| &it.kind), Some(TreeKind::Bool(false))),
        TreeKind::Bool(true) | TreeKind::Number(_) => false,
    }
}

/// Reads the batch fields, so that they are no unknown fields, and refuses a node that asks for a batch.
fn refuse_batch(fields: &mut Fields<'_>) {
    let is_batch = fields.boolean("batch", false);
    fields.text("batch_input_key");
    fields.boolean("batch_parallel", true);
    fields.integer("max_concurrent", 1);
    fields.choice("on_item_error", &["fail", "continue"]);
    if !is_batch {
        return;
    }
    let node = fields.node();
    let span = node.field("batch").map_or(node.span, |it| it.span);
    let message = "`batch: true` is not supported by this version";
    let hint = "let a loop with a condition work through the list, or put the whole list into one prompt";
    fields.report(Diagnostic::new("E403", span, message).field("batch").hint(hint));
}
