//! Images that go to a model with the prompt, and images that come back.

use serde_json::{Value, json};

use crate::error::Error;
use crate::nodes::NodeContext;
use crate::nodes::ports::blobs::BlobRef;
use crate::nodes::ports::models::{ImageBytes, ReplyImage};

/// Returns the images among the inputs, each once: references, alone, in a list, or under `images`.
pub(super) fn of_inputs(cx: &NodeContext) -> Vec<BlobRef> {
    let mut found: Vec<BlobRef> = Vec::new();
    for (_, value) in cx.names.inputs.iter() {
        for reference in references(value) {
            if !reference.media_type.starts_with("image/") {
                let shown = &reference.media_type;
                cx.notes.log("warning", format!("an input of type `{shown}` is no image and is not sent along"));
            } else if !found.contains(&reference) {
                found.push(reference);
            }
        }
    }
    found
}

fn references(value: &Value) -> Vec<BlobRef> {
    match value {
        Value::Array(items) => items.iter().filter_map(BlobRef::parse).collect(),
        Value::Object(map) => match map.get("images") {
            Some(Value::Array(items)) => items.iter().filter_map(BlobRef::parse).collect(),
            _ => BlobRef::parse(value).into_iter().collect(),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// Fetches the bytes of `images`.
///
/// # Errors
///
/// `FILE_NOT_FOUND` when bytes are not kept any more.
pub(super) async fn bytes_of(cx: &NodeContext, images: &[BlobRef]) -> Result<ImageBytes, Error> {
    let mut bytes = ImageBytes::default();
    for image in images {
        bytes.insert(image.blob.clone(), cx.ports.blobs.get(image).await?);
    }
    Ok(bytes)
}

/// Keeps what a model made and returns the references.
///
/// # Errors
///
/// What the store says.
pub(super) async fn keep(cx: &NodeContext, images: Vec<ReplyImage>) -> Result<Vec<Value>, Error> {
    let mut kept = Vec::new();
    for image in images {
        kept.push(cx.ports.blobs.put(image.bytes, image.media_type).await?.to_json());
    }
    Ok(kept)
}

/// The value of a reply with images: one image alone is its reference.
pub(super) fn value(text: &str, images: &[Value]) -> Value {
    match images {
        [only] if text.trim().is_empty() => only.clone(),
        images => json!({"text": text, "images": images}),
    }
}
