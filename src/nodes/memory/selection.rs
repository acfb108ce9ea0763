//! Choosing memory by a model: any `memorize_to` that is no preset is a description of what to keep, and
//! one extra call of the person's own model lists the messages that fit it (diagrams.md 3.12).

use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value, json};

use super::Message;
use super::conversation::label;
use super::window::{Memory, newest};
use crate::diagram::{Person, Service};
use crate::error::Error;
use crate::nodes::content;
use crate::nodes::context::NodeContext;
use crate::nodes::lookup::Names;
use crate::nodes::output::ChatMessage;
use crate::nodes::ports::models::Cost;
use crate::nodes::ports::{ModelRequest, Purpose, Usage};
use crate::nodes::template::Template;

/// Characters of each candidate that the model sees.
const CANDIDATE_CHARS_MAX: usize = 250;
/// Characters of the task that the model sees.
const TASK_CHARS_MAX: usize = 1_200;

static PROMPT: LazyLock<Template> = LazyLock::new(|| {
    Template::parse(include_str!("../../../resources/prompts/memory_selection.md"))
        .expect("the prompt is part of the program and a test parses it")
});

/// Who asks for which messages.
pub struct Ask<'a> {
    pub person: &'a Arc<Person>,
    pub service: Service,
    pub memory: &'a Memory,
    /// The text of `memorize_to`.
    pub criteria: &'a str,
    /// The rendered prompt that the memory is for.
    pub task: &'a str,
}

/// Asks the person's model which messages to keep and returns them, oldest first. Nothing is asked
/// when there is nothing to choose from.
///
/// # Errors
///
/// What the model call can fail with. A reply that names no known message keeps none.
pub async fn select<'m>(
    cx: &NodeContext,
    ask: &Ask<'_>,
    messages: &'m [Message],
) -> Result<(Vec<&'m Message>, Usage, Cost), Error> {
    let candidates = ask.memory.candidates(messages);
    if candidates.is_empty() {
        return Ok((candidates, Usage::default(), Cost::default()));
    }
    let prompt = PROMPT.render(&Names::default(), &prompt_values(cx, ask, &candidates))?.text;
    let purpose = Purpose::Selection { n_candidates: candidates.len() };
    let request = cx.model_request((ask.person, ask.service), vec![ChatMessage::new("user", prompt)], purpose);
    let reply = cx.call_model(ModelRequest { temperature: Some(0.0), ..request }).await?;
    let is_kept = kept(&reply.text, &candidates);
    let window = candidates.into_iter().zip(is_kept).filter_map(|(it, is_kept)| is_kept.then_some(it)).collect();
    Ok((newest(window, ask.memory.at_most), reply.usage, reply.cost))
}

fn prompt_values(cx: &NodeContext, ask: &Ask<'_>, candidates: &[&Message]) -> Map<String, Value> {
    let shown: Vec<Value> = candidates
        .iter()
        .map(|it| {
            let text = beginning(&it.content, CANDIDATE_CHARS_MAX).replace(['\r', '\n'], " ");
            json!({"id": it.id, "sender": label(&cx.persons, &it.from), "text": text})
        })
        .collect();
    let values = json!({
        "person": ask.person.label,
        "candidates": shown,
        "task": beginning(ask.task, TASK_CHARS_MAX),
        "criteria": ask.criteria,
        "limit": ask.memory.at_most,
    });
    match values {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn beginning(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}

/// Says for each candidate whether `reply` keeps it: a JSON list of ids (or of positions from 1), the
/// same under `message_ids`, else every known id that stands in the text.
fn kept(reply: &str, candidates: &[&Message]) -> Vec<bool> {
    let listed = content::json_in(reply).and_then(|it| match it {
        Value::Array(items) => Some(items),
        Value::Object(mut map) => match map.remove("message_ids") {
            Some(Value::Array(items)) => Some(items),
            _ => None,
        },
        _ => None,
    });
    let is_named = |position: usize, message: &Message| match &listed {
        Some(items) => items.iter().any(|it| match it {
            Value::String(id) => id.trim() == message.id,
            Value::Number(number) => number.as_u64() == u64::try_from(position).ok(),
            _ => false,
        }),
        None => stands_in(reply, &message.id),
    };
    candidates.iter().enumerate().map(|(idx, it)| is_named(idx + 1, it)).collect()
}

/// Whether `id` stands in `text` as a whole: `n:1:1` is not in `n:1:12`.
fn stands_in(text: &str, id: &str) -> bool {
    let is_part = |it: Option<char>| it.is_some_and(|it| it.is_alphanumeric() || matches!(it, '_' | ':'));
    text.match_indices(id).any(|(at, found)| {
        !is_part(text[..at].chars().next_back()) && !is_part(text[at + found.len()..].chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::super::window::tests::call;
    use super::*;

    fn check(reply: &str, expected: &str) {
        let mut messages = Vec::new();
        call(&mut messages, "Ann", "n", "q1", "r1");
        call(&mut messages, "Ann", "n2", "q2", "r2");
        messages[3].id = "n2:1:12".to_owned();
        let candidates: Vec<&Message> = messages.iter().collect();
        let kept = kept(reply, &candidates);
        let shown: Vec<_> =
            candidates.iter().zip(kept).filter_map(|(it, kept)| kept.then_some(it.content.as_str())).collect();
        assert_eq!(shown.join(" "), expected, "{reply}");
    }

    #[test]
    fn the_selection_is_read_from_lists_objects_and_plain_text() {
        for (reply, expected) in [
            (r#"["n:1:2", "n2:1:1", "unknown"]"#, "r1 q2"),
            (r#"{"message_ids": ["n:1:1"]}"#, "q1"),
            ("```json\n[\"n:1:1\"]\n```", "q1"),
            ("[2, 4]", "r1 r2"),
            ("[]", ""),
            ("I would keep n:1:1 and (n2:1:12).", "q1 r2"),
            ("None of them.", ""),
            ("[0, -1, 99, null]", ""),
        ] {
            check(reply, expected);
        }
    }

    #[test]
    fn the_prompt_parses() {
        let rendered = PROMPT.render(&Names::default(), &Map::new());
        assert!(rendered.is_ok());
    }
}
