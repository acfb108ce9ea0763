//! Manifests as text: what `init` and `openapi-import` write.

use serde_json::Value;

use crate::error::Error;

/// Returns `manifest` as YAML.
///
/// # Errors
///
/// `INTERNAL` when a value cannot be written.
pub fn to_yaml(manifest: &Value) -> Result<String, Error> {
    // Long texts stay on one line: folding them changes what a reader greps for.
    let options = serde_yaml::ser_options! { min_fold_chars: usize::MAX };
    serde_yaml::to_string_with_options(manifest, options)
        .map_err(|error| Error::internal("the manifest cannot be written").source(error))
}
