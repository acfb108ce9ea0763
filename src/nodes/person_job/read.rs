//! Reads the fields of a person_job; every problem is recorded with its place.

use super::PersonJob;
use super::prompt::Prompts;
use super::schema::ReplyFormat;
use crate::diagram::{ContentType, Tree, TreeKind};
use crate::limits;
use crate::nodes::batch::Batch;
use crate::nodes::memory::window::{Memory, Preset};
use crate::nodes::{Fields, Node};

/// Highest `temperature` that services take.
const TEMPERATURE_MAX: f64 = 2.0;

pub(super) fn read(fields: &mut Fields<'_>) -> Box<dyn Node> {
    refuse_tools(fields);
    let batch = Batch::read(fields);
    let publishes_conversation = fields.outgoing().any(|it| it.content_type == Some(ContentType::ConversationState));
    Box::new(PersonJob {
        person: fields.person("person"),
        prompts: Prompts::read(fields),
        memory: Memory::read(fields, Preset::default()),
        format: ReplyFormat::read(fields),
        max_iteration: read_max_iteration(fields),
        temperature: read_temperature(fields),
        max_tokens: fields.integer("max_tokens", 1).and_then(|it| u64::try_from(it).ok()),
        // Nobody can ask a list of replies for their conversation.
        publishes_conversation: publishes_conversation && batch.is_none(),
        batch,
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
