//! Conversations: what a model is sent, what is handed over from person to person, and the value that
//! a person publishes on `conversation_state` connections. Pure.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Message, SYSTEM, USER};
use crate::diagram::Person;
use crate::nodes::content;
use crate::nodes::lookup::Inputs;
use crate::nodes::output::ChatMessage;

/// A message that came with an input instead of from the store. `from` and `to` may be empty: a text
/// that was made a conversation knows neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handed {
    pub from: String,
    pub to: String,
    pub content: String,
}

/// Returns what the inputs hand over to `person`: messages of conversations that are not in `window`
/// and neither from nor to the person itself, each id once.
pub fn handed_over(inputs: &Inputs, window: &[&Message], person: &str) -> Vec<Handed> {
    let mut seen: HashSet<&str> = window.iter().map(|it| it.id.as_str()).collect();
    let mut handed = Vec::new();
    let messages = conversations(inputs).filter_map(|(_, it)| it.get("messages")?.as_array()).flatten();
    for message in messages {
        let text = |key: &str| message.get(key).and_then(Value::as_str).unwrap_or_default();
        let (from, to, id) = (text("from"), text("to"), text("id"));
        let is_own = from == person || to == person;
        if is_own || (!id.is_empty() && !seen.insert(id)) {
            continue;
        }
        let content = message.get("content").map(content::as_text).unwrap_or_default();
        handed.push(Handed { from: from.to_owned(), to: to.to_owned(), content });
    }
    handed
}

/// Returns the inputs that are conversations.
fn conversations(inputs: &Inputs) -> impl Iterator<Item = (&str, &Value)> {
    inputs.iter().map(|(key, value)| (key, value.as_ref())).filter(|(_, value)| content::is_conversation(value))
}

/// Returns everything `person` is sent, in order: system prompt, window, what is handed over, prompt.
pub fn sent(
    person: &Person,
    persons: &[Arc<Person>],
    (window, handed): (&[&Message], &[Handed]),
    prompt: &str,
) -> Vec<ChatMessage> {
    let system = person.system_prompt.as_deref().filter(|it| !it.trim().is_empty());
    let shown = |from: &str, to: &str, content: &str| shown(&person.id, persons, (from, to), content);
    system
        .map(|it| ChatMessage::new("system", it))
        .into_iter()
        .chain(window.iter().map(|it| shown(&it.from, &it.to, &it.content)))
        .chain(handed.iter().map(|it| shown(&it.from, &it.to, &it.content)))
        .chain([ChatMessage::new("user", prompt)])
        .collect()
}

/// Shows one message to `person`: its own words as `assistant`, what was said to it as `user`, all else
/// as `user` with the name of who said it, or to whom.
fn shown(person: &str, persons: &[Arc<Person>], (from, to): (&str, &str), content: &str) -> ChatMessage {
    if from == person {
        return ChatMessage::new("assistant", content);
    }
    if to == person {
        return ChatMessage::new("user", content);
    }
    if is_person(from) {
        return ChatMessage::new("user", format!("[{}]: {content}", label(persons, from)));
    }
    if is_person(to) {
        return ChatMessage::new("user", format!("[to {}]: {content}", label(persons, to)));
    }
    ChatMessage::new("user", content)
}

fn is_person(party: &str) -> bool {
    !matches!(party, "" | SYSTEM | USER)
}

/// Returns the label of the person with this id; any other party is called by its id.
pub fn label<'a>(persons: &'a [Arc<Person>], id: &'a str) -> &'a str {
    persons.iter().find(|it| it.id == id).map_or(id, |it| it.label.as_str())
}

/// The newest call of a person, as it is published before it is stored.
pub struct Turn<'a> {
    pub person_id: &'a str,
    pub model: Option<&'a str>,
    pub prompt: &'a str,
    pub prompt_id: String,
    pub reply: &'a str,
    pub reply_id: String,
}

/// Returns the conversation a person publishes: its window for this call, the prompt and the reply.
/// What was handed to it is not in it.
pub fn published(window: &[&Message], turn: &Turn<'_>) -> Value {
    let message = |id: &str, from: &str, to: &str, role: &str, content: &str| json!({"id": id, "from": from, "to": to, "role": role, "content": content});
    let mut messages: Vec<Value> =
        window.iter().map(|it| message(&it.id, &it.from, &it.to, &it.role, &it.content)).collect();
    messages.push(message(&turn.prompt_id, SYSTEM, turn.person_id, "user", turn.prompt));
    messages.push(message(&turn.reply_id, turn.person_id, SYSTEM, "assistant", turn.reply));
    json!({
        "messages": messages,
        "last_message": turn.reply,
        "person_id": turn.person_id,
        "model": turn.model,
    })
}

/// Returns the names that only prompts know (diagrams.md 3.9), those of them that `is_used` says the prompt
/// uses: histories are not copied for nothing.
pub fn prompt_names(
    inputs: &Inputs,
    messages: &[Message],
    persons: &[Arc<Person>],
    is_used: impl Fn(&str) -> bool,
) -> Map<String, Value> {
    let mut names = Map::new();
    let mut add = |name: String, value: &dyn Fn() -> Value| {
        if is_used(&name) {
            names.insert(name, value());
        }
    };
    for (key, it) in conversations(inputs) {
        add(format!("{key}_messages"), &|| it.get("messages").cloned().unwrap_or_default());
        add(format!("{key}_last_message"), &|| content::last_message(it).into());
    }
    let global =
        |it: &Message| json!({"from": label(persons, &it.from), "to": label(persons, &it.to), "content": it.content});
    add("global_conversation".into(), &|| messages.iter().map(global).collect());
    add("global_message_count".into(), &|| messages.len().into());
    names
}

#[cfg(test)]
mod tests {
    use super::super::window::tests::call;
    use super::*;
    use crate::diagram::{Script, Span};

    fn person(id: &str, label: &str) -> Arc<Person> {
        Arc::new(Person {
            id: id.to_owned(),
            label: label.to_owned(),
            service: None,
            model: None,
            api_key_id: None,
            base_url: None,
            system_prompt: Some("  ".to_owned()),
            prompt_file: None,
            temperature: None,
            max_tokens: None,
            tools: None,
            budget: None,
            price: None,
            script: Script::default(),
            span: Span::default(),
        })
    }

    /// What `p` is sent when this conversation is handed to it and its window holds `n:1:1`.
    fn check(handed: Value, expected: &str) {
        let mut messages = Vec::new();
        call(&mut messages, "q", "n", "asked", "said");
        let window = [&messages[0]];
        let mut inputs = Inputs::default();
        inputs.insert("plain", Arc::new(json!("no conversation")));
        inputs.insert("default", Arc::new(json!({"messages": handed, "last_message": ""})));
        let persons = [person("p", "Pat"), person("q", "Quin")];
        let handed = handed_over(&inputs, &window, "p");
        let sent = sent(&persons[0], &persons, (&window, &handed), "prompt");
        let shown: Vec<_> = sent.iter().map(|it| format!("{}: {}", it.role, it.content)).collect();
        assert_eq!(shown.join(" | "), format!("user: [to Quin]: asked{expected} | user: prompt"));
    }

    #[test]
    fn handed_over_messages_are_shown_by_who_said_them_and_once() {
        let message = |id: &str, from: &str, to: &str| json!({"id": id, "from": from, "to": to, "content": id});
        for (handed, expected) in [
            (json!([]), ""),
            (json!([{"role": "assistant", "content": "plain text"}]), " | user: plain text"),
            (json!([{"role": "system", "content": "obey"}]), " | user: obey"),
            (json!([message("n:1:1", "system", "q"), message("n:1:2", "q", "system")]), " | user: [Quin]: n:1:2"),
            (json!([message("x", "q", "system"), message("x", "q", "system")]), " | user: [Quin]: x"),
            (json!([message("x", "p", "system"), message("y", "system", "p"), message("z", "q", "p")]), ""),
            (json!([message("x", "user", "system"), message("y", "guest", "system")]), " | user: x | user: [guest]: y"),
            (json!([{"content": 42}, {"content": {"a": 1}}]), " | user: 42 | user: {\n  \"a\": 1\n}"),
        ] {
            check(handed, expected);
        }
    }
}
