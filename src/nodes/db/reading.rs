//! Reading: one file as its value, several as a map from path to value.

use serde_json::{Map, Value};

use super::lines::LineRange;
use super::{Db, keys};
use crate::error::Error;
use crate::nodes::NodeContext;
use crate::nodes::file_format::{FileFormat, suffix};
use crate::nodes::lookup::look_into;

impl Db {
    pub(super) async fn read_files(&self, cx: &NodeContext) -> Result<Value, Error> {
        let mut found = Map::new();
        let mut has_pattern = false;
        for path in &self.paths {
            let path = path.render(cx)?;
            if self.is_pattern(&path, cx).await {
                has_pattern = true;
                for file in cx.ports.files.glob(&path, &cx.rights).await? {
                    let value = self.read_file(&file, cx).await?;
                    found.insert(file, value);
                }
            } else {
                let value = self.read_file(&path, cx).await?;
                if !self.is_list {
                    return Ok(value);
                }
                found.insert(path, value);
            }
        }
        if has_pattern || self.is_list {
            found.sort_keys();
            return Ok(Value::Object(found));
        }
        Err(Error::internal("a db node without a file"))
    }

    /// Whether `path` is a pattern; a file that is literally named like it wins.
    async fn is_pattern(&self, path: &str, cx: &NodeContext) -> bool {
        self.glob && path.contains(['*', '?', '[']) && !cx.ports.files.exists(path, &cx.rights).await
    }

    async fn read_file(&self, path: &str, cx: &NodeContext) -> Result<Value, Error> {
        let bytes = match (cx.ports.files.read(path, &cx.rights).await, &self.missing_value) {
            (Ok(bytes), _) => bytes,
            (Err(error), Some(value)) if error.code() == "FILE_NOT_FOUND" => return Ok(value.clone()),
            (Err(error), _) => return Err(error),
        };
        if let Some(media_type) = media_type(path).filter(|_| self.format.is_none() && self.lines.is_none()) {
            return Ok(cx.ports.blobs.put(bytes, media_type.to_owned()).await?.to_json());
        }
        let text = self.encoding.decode(bytes, path)?;
        let value = match &self.lines {
            Some(ranges) => Value::String(LineRange::select(ranges, &text)),
            None => self.pick(self.reading_format(path).decode(&text, path)?, path)?,
        };
        Ok(if self.serialize_json { Value::String(value.to_string()) } else { value })
    }

    /// Without `format` only `.json` is read as what it is, and with `keys` the other formats that have keys.
    fn reading_format(&self, path: &str) -> FileFormat {
        match self.format {
            Some(format) => format,
            None if !self.keys.is_empty() || suffix(path) == "json" => FileFormat::of_suffix(path),
            None => FileFormat::Text,
        }
    }

    fn pick(&self, value: Value, path: &str) -> Result<Value, Error> {
        if self.keys.is_empty() {
            return Ok(value);
        }
        let inside = look_into(&value);
        if !inside.is_object() && !inside.is_array() {
            let message = format!("`{path}` has no keys: it holds neither a mapping nor a list");
            return Err(Error::external("FILE_FAILED", message).hint("give `format: json` or `yaml`, or remove `keys`"));
        }
        let at = |key: &String| keys::get(&inside, key).cloned().unwrap_or_default();
        match self.keys.as_slice() {
            [key] => Ok(at(key)),
            keys => Ok(Value::Object(keys.iter().map(|key| (key.clone(), at(key))).collect())),
        }
    }
}

/// What a file that is no text holds, by its suffix: its value is a reference to its bytes.
fn media_type(path: &str) -> Option<&'static str> {
    Some(match suffix(path).as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "pdf" => "application/pdf",
        "mp3" => "audio/mpeg",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        "zip" => "application/zip",
        _ => return None,
    })
}
