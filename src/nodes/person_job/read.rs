//! Reads the fields of a person_job; every problem is recorded with its place.

use super::PersonJob;
use super::prompt::Prompts;
use super::schema::ReplyFormat;
use crate::diagram::ContentType;
use crate::limits;
use crate::nodes::batch::Batch;
use crate::nodes::memory::window::{Memory, Preset};
use crate::nodes::ports::models::ModelTool;
use crate::nodes::{Fields, Node, model_tools};

/// Highest `temperature` that services take.
const TEMPERATURE_MAX: f64 = 2.0;

pub(super) fn read(fields: &mut Fields<'_>) -> Box<dyn Node> {
    let person = fields.person("person");
    let tools = read_tools(fields, person);
    let batch = Batch::read(fields);
    let publishes_conversation = fields.outgoing().any(|it| it.content_type == Some(ContentType::ConversationState));
    Box::new(PersonJob {
        person,
        prompts: Prompts::read(fields),
        memory: Memory::read(fields, Preset::default()),
        format: ReplyFormat::read(fields),
        max_iteration: read_max_iteration(fields),
        temperature: read_temperature(fields),
        max_tokens: fields.integer("max_tokens", 1).and_then(|it| u64::try_from(it).ok()),
        tools,
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

/// Reads the node's `tools`; without any the person's own hold.
fn read_tools(fields: &mut Fields<'_>, person: Option<usize>) -> Vec<ModelTool> {
    let person = person.and_then(|it| fields.context().diagram.persons.get(it));
    let Some(tools) = fields.tree("tools") else {
        return person.and_then(|it| it.tools.as_ref()).map(model_tools::read).unwrap_or_default();
    };
    let label = &fields.node().label;
    for problem in model_tools::problems(tools, label, person.and_then(|it| it.service)) {
        fields.report(problem);
    }
    model_tools::read(tools)
}
