//! The port through which nodes keep bytes: images, downloads. A value holds only the reference.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::Error;

/// What stands in a value for bytes (diagrams.md 3.5): `{blob, media_type, size}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRef {
    /// SHA-256 of the bytes, 64 lower-case hex digits.
    pub blob: String,
    pub media_type: String,
    /// In bytes.
    pub size: u64,
}

impl BlobRef {
    /// The reference as a value.
    pub fn to_json(&self) -> Value {
        json!({"blob": self.blob, "media_type": self.media_type, "size": self.size})
    }

    /// Reads a value that is a reference.
    pub fn parse(value: &Value) -> Option<Self> {
        let map = value.as_object()?;
        let blob =
            map.get("blob")?.as_str().filter(|it| it.len() == 64 && it.bytes().all(|b| b.is_ascii_hexdigit()))?;
        Some(Self {
            blob: blob.to_owned(),
            media_type: map.get("media_type")?.as_str()?.to_owned(),
            size: map.get("size")?.as_u64()?,
        })
    }
}

/// Keeps bytes by their content. Kept bytes are durable before the reference is shown to anyone.
pub trait Blobs: Send + Sync {
    /// Keeps `bytes` and returns the reference.
    ///
    /// # Errors
    ///
    /// What the store says (`DATABASE_…`), `TOO_LARGE`.
    fn put(&self, bytes: Vec<u8>, media_type: String) -> BoxFuture<'_, Result<BlobRef, Error>>;

    /// Returns the bytes of a reference.
    ///
    /// # Errors
    ///
    /// `FILE_NOT_FOUND` when they are not kept here.
    fn get<'a>(&'a self, blob: &'a BlobRef) -> BoxFuture<'a, Result<Arc<[u8]>, Error>>;
}

/// Keeps bytes in memory: for tests and mock runs.
#[derive(Default)]
pub struct MemoryBlobs(Mutex<HashMap<String, Arc<[u8]>>>);

impl Blobs for MemoryBlobs {
    fn put(&self, bytes: Vec<u8>, media_type: String) -> BoxFuture<'_, Result<BlobRef, Error>> {
        use sha2::Digest;
        let blob: String = sha2::Sha256::digest(&bytes).iter().map(|it| format!("{it:02x}")).collect();
        let size = bytes.len() as u64;
        let mut kept = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        kept.insert(blob.clone(), bytes.into());
        Box::pin(async move { Ok(BlobRef { blob, media_type, size }) })
    }

    fn get<'a>(&'a self, blob: &'a BlobRef) -> BoxFuture<'a, Result<Arc<[u8]>, Error>> {
        Box::pin(async move {
            let kept = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            kept.get(&blob.blob).cloned().ok_or_else(|| {
                Error::not_found("FILE_NOT_FOUND", format!("no bytes are kept for blob `{}`", blob.blob))
            })
        })
    }
}
