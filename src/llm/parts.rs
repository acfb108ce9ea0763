//! What the wire formats share: image data, turns in order, counts out of a reply. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::nodes::output::ChatMessage;
use crate::nodes::ports::ModelRequest;
use crate::nodes::ports::blobs::BlobRef;
use crate::nodes::ports::models::ReplyImage;

/// What a conversation that begins with the model's own words begins with: some services want the user's
/// words first.
const BEFORE: &str = "…";

/// Returns the images of `message` with their bytes in base64.
pub(super) fn images<'a>(
    request: &'a ModelRequest,
    message: &'a ChatMessage,
) -> impl Iterator<Item = (&'a BlobRef, String)> {
    message.images.iter().filter_map(|it| Some((it, STANDARD.encode(request.images.get(&it.blob)?))))
}

/// Returns an image as the `data:` address that OpenAI's formats take.
pub(super) fn data_url(image: &BlobRef, base64: &str) -> String {
    format!("data:{};base64,{base64}", image.media_type)
}

/// Reads an image that came as base64; what is none is left out.
pub(super) fn image(media_type: &str, base64: &str) -> Option<ReplyImage> {
    let bytes = STANDARD.decode(base64.trim()).ok().filter(|it| !it.is_empty())?;
    Some(ReplyImage { media_type: media_type.to_owned(), bytes })
}

/// Returns the system texts as one.
pub(super) fn system_text<'a>(request: &'a ModelRequest, more: Option<&'a str>) -> String {
    let system = request.messages.iter().filter(|it| it.role == "system").map(|it| it.content.as_str());
    system.chain(more).collect::<Vec<_>>().join("\n\n")
}

/// Returns the other messages as turns for services that want user and model to alternate and the user to
/// begin: `(whether the model speaks, what is said)`. Blank messages are left out.
pub(super) fn turns(request: &ModelRequest) -> Vec<(bool, Vec<ChatMessage>)> {
    let mut turns: Vec<(bool, Vec<ChatMessage>)> = Vec::new();
    let said = |it: &&ChatMessage| it.role != "system" && !(it.content.trim().is_empty() && it.images.is_empty());
    for message in request.messages.iter().filter(said) {
        let is_model = message.role == "assistant";
        if turns.is_empty() && is_model {
            turns.push((false, vec![ChatMessage::new("user", BEFORE)]));
        }
        match turns.last_mut() {
            Some((speaker, messages)) if *speaker == is_model => messages.push(message.clone()),
            _ => turns.push((is_model, vec![message.clone()])),
        }
    }
    turns
}

/// The count at `pointer`, 0 when there is none.
pub(super) fn count(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

/// The text at `pointer`.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}
