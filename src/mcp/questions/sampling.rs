//! A parked prompt as `sampling/createMessage`, for clients of the older revisions that lend their model to a run
//! which asked for it. The protocol has deprecated this; newer clients answer the prompt with a tool.

#![expect(deprecated, reason = "older clients know no other way")]

use rmcp::model::{
    ClientResult, CreateMessageRequest, CreateMessageRequestParams, Role, SamplingMessage, ServerRequest,
};

use crate::handlers::execution_object::Waiting;

/// What a reply that must fit a schema is asked for with.
const SCHEMA_PROMPT: &str = include_str!("../../../resources/prompts/reply_schema.md");
/// What a reply that was refused is asked for again with.
const AGAIN_PROMPT: &str = include_str!("../../../resources/prompts/reply_refused.md");
/// Longest reply that is asked for, in tokens.
const REPLY_TOKENS_MAX: u32 = 8_192;

/// Makes the request of a parked prompt: system prompt, memory window and prompt as a model would be sent them.
/// `refused` is a reply that did not fit and why. `None` for a question that is no prompt, or has images.
pub fn request(waiting: &Waiting, refused: Option<(&str, &str)>) -> Option<ServerRequest> {
    let mut system = Vec::new();
    let mut messages: Vec<(Role, String)> = Vec::new();
    for message in &waiting.messages {
        if message.get("images").is_some() {
            return None;
        }
        let content = message.get("content")?.as_str()?.to_owned();
        match message.get("role")?.as_str()? {
            "system" => system.push(content),
            "assistant" => messages.push((Role::Assistant, content)),
            _ => messages.push((Role::User, content)),
        }
    }
    let prompt = messages.last_mut().filter(|(role, _)| *role == Role::User)?;
    if let Some(schema) = &waiting.schema {
        prompt.1.push_str(&format!("\n\n{}\n{schema}", SCHEMA_PROMPT.trim_end()));
    }
    if let Some((reply, why)) = refused {
        messages.push((Role::Assistant, reply.to_owned()));
        messages.push((Role::User, format!("{} {why}", AGAIN_PROMPT.trim_end())));
    }
    let messages = messages.into_iter().map(|(role, text)| SamplingMessage::new(role, text)).collect();
    let mut params = CreateMessageRequestParams::new(messages, REPLY_TOKENS_MAX);
    if !system.is_empty() {
        params = params.with_system_prompt(system.join("\n\n"));
    }
    Some(ServerRequest::CreateMessageRequest(CreateMessageRequest::new(params)))
}

/// The text of a reply; `None` when there is none.
pub fn reply(result: &ClientResult) -> Option<String> {
    let ClientResult::CreateMessageResult(result) = result else { return None };
    let texts: Vec<&str> =
        result.message.content.iter().filter_map(|it| it.as_text().map(|it| it.text.as_str())).collect();
    Some(texts.join("\n")).filter(|it| !it.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn waiting(fields: Value) -> Waiting {
        let mut all = json!({
            "node_id": "ask", "label": "ask", "reason": "model", "prompt": "Best tea?", "since": "2026-01-02T03:04:05Z",
            "messages": [
                {"role": "system", "content": "You know tea."},
                {"role": "user", "content": "Hello"},
                {"role": "assistant", "content": "Yes?"},
                {"role": "user", "content": "Best tea?"},
            ],
        });
        all.as_object_mut().expect("a map").extend(fields.as_object().cloned().expect("a map"));
        serde_json::from_value(all).expect("a question")
    }

    fn sent(waiting: &Waiting, refused: Option<(&str, &str)>) -> (Value, Vec<(String, String)>) {
        let request = serde_json::to_value(request(waiting, refused).expect("a request")).expect("JSON");
        assert_eq!(request["method"], "sampling/createMessage");
        let text = |it: &Value| it.as_str().expect("text").to_owned();
        let messages = request["params"]["messages"].as_array().expect("a list").iter();
        let messages = messages.map(|it| (text(&it["role"]), text(&it["content"]["text"]))).collect();
        (request["params"]["systemPrompt"].clone(), messages)
    }

    #[test]
    fn a_prompt_is_sent_with_its_system_prompt_and_memory() {
        let (system, messages) = sent(&waiting(json!({})), None);
        let expected = [("user", "Hello"), ("assistant", "Yes?"), ("user", "Best tea?")];
        assert_eq!(system, "You know tea.");
        assert_eq!(messages, expected.map(|(role, text)| (role.to_owned(), text.to_owned())));
    }

    #[test]
    fn a_schema_stands_in_the_prompt_and_a_refused_reply_is_sent_back_with_the_reason() {
        let asked = waiting(json!({"schema": {"type": "integer"}}));
        let (_, messages) = sent(&asked, Some(("eleven", "it is no integer")));
        assert!(messages[2].1.starts_with("Best tea?\n\n") && messages[2].1.ends_with("\n{\"type\":\"integer\"}"));
        assert_eq!(messages[3], ("assistant".to_owned(), "eleven".to_owned()));
        assert!(messages[4].1.ends_with("it is no integer"), "{messages:?}");
    }

    #[test]
    fn what_cannot_be_said_in_text_stays_parked() {
        let image = json!([{"role": "user", "content": "?", "images": [{"blob": "0", "media_type": "image/png"}]}]);
        for messages in [json!([]), image, json!([{"role": "assistant", "content": "x"}])] {
            assert!(request(&waiting(json!({"messages": messages})), None).is_none(), "{messages}");
        }
    }
}
