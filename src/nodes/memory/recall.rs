//! Fetches the memory of one call: a preset's window, or what the model chooses, as one record that can
//! wait in a question and be read again by any process.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Message;
use super::selection::{self, Ask};
use super::window::{Memory, Preset, Wanted};
use crate::diagram::{Person, Service};
use crate::error::Error;
use crate::nodes::context::NodeContext;
use crate::nodes::ports::Usage;
use crate::nodes::ports::models::Cost;

/// What a person remembers for one call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recalled {
    /// The preset's name, or the text the model chose by.
    pub preset: String,
    /// Ids of the messages shown, oldest first.
    pub window: Vec<String>,
    /// How many messages the execution had.
    pub total: usize,
    /// Whether the model chose.
    pub selected: bool,
    /// What choosing cost.
    #[serde(skip)]
    pub usage: Usage,
    #[serde(skip)]
    pub cost: Cost,
}

impl Recalled {
    /// Returns the messages shown.
    pub fn window<'m>(&self, messages: &'m [Message]) -> Vec<&'m Message> {
        let ids: HashSet<&str> = self.window.iter().map(String::as_str).collect();
        messages.iter().filter(|it| ids.contains(it.id.as_str())).collect()
    }

    /// Returns `meta.memory`: `{preset, shown, total, selected_ids?}`.
    pub fn to_meta(&self) -> Value {
        let mut meta = json!({"preset": self.preset, "shown": self.window.len(), "total": self.total});
        if self.selected {
            meta["selected_ids"] = json!(self.window);
        }
        meta
    }
}

/// Fetches what `person` remembers for the prompt `task`.
///
/// A caller cannot be asked twice within one node, so `service: caller` gets ALL_INVOLVED in place of
/// a selection, and the run's log says so.
///
/// # Errors
///
/// What a model call can fail with, when the model chooses.
pub async fn recall(
    cx: &NodeContext,
    memory: &Memory,
    (person, service): (&Arc<Person>, Service),
    task: &str,
) -> Result<Recalled, Error> {
    let preset = match &memory.wanted {
        Wanted::Preset(preset) => *preset,
        Wanted::Selected(_) if service == Service::Caller => {
            cx.notes.log("warning", caller_note(memory.wanted.name(), &person.label));
            Preset::AllInvolved
        }
        Wanted::Selected(criteria) => {
            let ask = Ask { person, service, memory, criteria, task };
            let (window, usage, cost) = selection::select(cx, &ask, &cx.messages).await?;
            return Ok(recalled(criteria, &window, cx.messages.len(), Some((usage, cost))));
        }
    };
    let window = memory.window(preset, &person.id, &cx.messages);
    Ok(recalled(preset.name(), &window, cx.messages.len(), None))
}

fn recalled(preset: &str, window: &[&Message], total: usize, selection: Option<(Usage, Cost)>) -> Recalled {
    let (usage, cost) = selection.unwrap_or_default();
    Recalled {
        preset: preset.to_owned(),
        window: window.iter().map(|it| it.id.clone()).collect(),
        total,
        selected: selection.is_some(),
        usage,
        cost,
    }
}

fn caller_note(criteria: &str, person: &str) -> String {
    format!(
        "`memorize_to: {criteria}` needs a model of its own to choose; `{person}` is answered by the caller and is shown ALL_INVOLVED"
    )
}
