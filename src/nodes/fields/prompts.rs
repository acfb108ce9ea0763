//! Prompts that stand in files of their own.

use super::{Fields, prompt_file_hint};
use crate::nodes::template::Template;

impl Fields<'_> {
    /// Reads the prompt in `file`, which `key` names: E504 when it is not there, E702 when it is not to be
    /// read, E602 when it does not parse.
    pub fn prompt_file(&mut self, key: &'static str, file: &str) -> Option<Template> {
        let surroundings = self.cx.surroundings;
        if surroundings.structure_only() {
            return None;
        }
        match surroundings.prompt_file(file) {
            Ok(text) => self.template(key, &text),
            Err(searched) => {
                let hint = prompt_file_hint(&searched);
                // No place was searched for a path that leaves the workspace.
                match searched.as_slice() {
                    [] => self.problem("E702", key, format!("prompt file `{file}` leaves the workspace"), hint),
                    _ => self.problem("E504", key, format!("prompt file `{file}` is not there"), hint),
                }
                None
            }
        }
    }
}
