//! What an edit did, as a unified diff: from the patch the program recorded, else from the whole file before
//! it, else from the texts alone.

use serde_json::Value;

use crate::nodes::diff_patch::unified_diff;

/// A diff, and whether its places in the file are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) diff: String,
    pub(super) is_placed: bool,
}

/// One replacement.
struct Replacement<'i> {
    old: &'i str,
    new: &'i str,
    all: bool,
}

/// Returns the diff of an Edit or MultiEdit of `path`.
///
/// # Errors
///
/// Why there is none.
pub(super) fn diff(path: &str, input: &Value, details: Option<&Value>) -> Result<Edit, String> {
    if let Some(diff) = details.and_then(|it| from_patch(path, it.get("structuredPatch")?)) {
        return Ok(Edit { diff, is_placed: true });
    }
    let replacements = replacements(input).ok_or("it has no old and new text")?;
    if let Some(original) = details.and_then(|it| it.get("originalFile")?.as_str()) {
        let after = replace(original, &replacements)?;
        let diff = unified_diff(original, &after, path);
        return if diff.is_empty() { Err("it changed nothing".to_owned()) } else { Ok(Edit { diff, is_placed: true }) };
    }
    let mut text = String::new();
    for it in &replacements {
        let lines =
            |text: &str| if text.is_empty() || text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") };
        let diff = unified_diff(&lines(it.old), &lines(it.new), path);
        // The headers of the first are those of all.
        text.push_str(if text.is_empty() { &diff } else { diff.find("@@").map_or("", |at| &diff[at..]) });
    }
    if text.is_empty() { Err("it changed nothing".to_owned()) } else { Ok(Edit { diff: text, is_placed: false }) }
}

/// `[{oldStart, oldLines, newStart, newLines, lines}]`.
fn from_patch(path: &str, patch: &Value) -> Option<String> {
    let hunks = patch.as_array().filter(|it| !it.is_empty())?;
    let mut diff = format!("--- a/{path}\n+++ b/{path}\n");
    for hunk in hunks {
        let number = |key: &str| hunk.get(key).and_then(Value::as_u64);
        let lines = hunk.get("lines")?.as_array()?;
        diff.push_str(&format!(
            "@@ -{},{} +{},{} @@\n",
            number("oldStart")?,
            number("oldLines")?,
            number("newStart")?,
            number("newLines")?
        ));
        for line in lines {
            diff.push_str(line.as_str()?);
            diff.push('\n');
        }
    }
    Some(diff)
}

fn replacements(input: &Value) -> Option<Vec<Replacement<'_>>> {
    let items: Vec<&Value> = match input.get("edits") {
        Some(Value::Array(edits)) => edits.iter().collect(),
        _ => vec![input],
    };
    let replacements = items.into_iter().map(|it| {
        Some(Replacement {
            old: it.get("old_string")?.as_str()?,
            new: it.get("new_string")?.as_str()?,
            all: it.get("replace_all") == Some(&Value::Bool(true)),
        })
    });
    replacements.collect::<Option<Vec<_>>>().filter(|it| !it.is_empty())
}

fn replace(original: &str, replacements: &[Replacement<'_>]) -> Result<String, String> {
    let mut text = original.to_owned();
    for it in replacements {
        if it.old.is_empty() && text.is_empty() {
            text = it.new.to_owned();
        } else if it.old.is_empty() || !text.contains(it.old) {
            return Err("its old text is not in the file".to_owned());
        } else if it.all {
            text = text.replace(it.old, it.new);
        } else {
            text = text.replacen(it.old, it.new, 1);
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_best_source_of_a_diff_is_taken() {
        let input = json!({"old_string": "b", "new_string": "B"});
        let patch = json!([{"oldStart": 2, "oldLines": 1, "newStart": 2, "newLines": 1, "lines": ["-b", "+B"]}]);
        let head = "--- a/x\n+++ b/x\n";
        for (input, details, expected, is_placed) in [
            (input.clone(), json!({"structuredPatch": patch, "originalFile": "?"}), "@@ -2,1 +2,1 @@\n-b\n+B\n", true),
            (
                input.clone(),
                json!({"structuredPatch": [], "originalFile": "a\nb\n"}),
                "@@ -1,2 +1,2 @@\n a\n-b\n+B\n",
                true,
            ),
            (input.clone(), json!({"structuredPatch": [{"lines": [1]}]}), "@@ -1,1 +1,1 @@\n-b\n+B\n", false),
            (
                json!({"edits": [{"old_string": "a", "new_string": "c", "replace_all": true}, {"old_string": "cb", "new_string": "d"}]}),
                json!({"originalFile": "ab\na\n"}),
                "@@ -1,2 +1,2 @@\n-ab\n-a\n+d\n+c\n",
                true,
            ),
            (
                json!({"edits": [{"old_string": "a", "new_string": "c"}, {"old_string": "b\n", "new_string": ""}]}),
                json!(null),
                "@@ -1,1 +1,1 @@\n-a\n+c\n@@ -1,1 +0,0 @@\n-b\n",
                false,
            ),
        ] {
            let edit = Edit { diff: format!("{head}{expected}"), is_placed };
            assert_eq!(diff("x", &input, Some(&details)), Ok(edit), "{input} {details}");
        }
    }

    #[test]
    fn an_edit_without_effect_has_no_diff() {
        for (input, details, reason) in [
            (json!({}), json!(null), "no old and new text"),
            (json!({"edits": []}), json!(null), "no old and new text"),
            (json!({"old_string": "a", "new_string": "a"}), json!(null), "changed nothing"),
            (json!({"old_string": "z", "new_string": "a"}), json!({"originalFile": "b"}), "not in the file"),
        ] {
            let error = diff("x", &input, Some(&details)).expect_err("no diff");
            assert!(error.contains(reason), "{input}: {error}");
        }
    }
}
