//! What several tests of this module share.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::handlers::App;

/// An application for tests of the protocol, which never reach a handler's work.
pub fn app() -> Arc<App> {
    Arc::new(App {})
}

/// Compares `value` with a committed file; with `UPDATE=1` in the environment the file is rewritten.
pub fn assert_same_as_file(path: &str, value: &Value) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = serde_json::to_string_pretty(value).expect("a value is always JSON") + "\n";
    if std::env::vars().any(|(name, value)| name == "UPDATE" && value == "1") {
        std::fs::create_dir_all(file.parent().expect("a file has a folder")).expect("folder can be made");
        std::fs::write(&file, &text).expect("file can be written");
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == text, "`{path}` differs from the code; run the test with UPDATE=1 and look at the change");
}
