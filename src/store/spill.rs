//! Cuts large values out of JSON text and puts them back. It must not know where either is kept.
//!
//! The smallest value that is large enough goes, so that a text of five megabytes is the same one whether a node
//! publishes it alone or inside an object. What is left of an object or list goes too when it is still large.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

/// How the string begins that stands for a value that was cut out; 64 hex digits and a quote follow. It is read
/// as `@sha256:…`, but no JSON that we write spells an `@` like this, so no value of a user is taken for one.
const MARK: &str = "\"\\u0040sha256:";
/// The same as ordinary JSON spells it.
const MARK_AS_TEXT: &str = "\"@sha256:";
/// Hex digits of a SHA-256.
const DIGITS: usize = 64;

/// A text without its large values.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spilled {
    pub text: String,
    pub values: Vec<LargeValue>,
}

/// A value that was cut out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LargeValue {
    /// Of `content`, in lower-case hex.
    pub sha256: String,
    /// JSON text; may itself have values cut out of it.
    pub content: String,
}

/// Cuts the values of at least `bytes_min` out of `text`, but never all of it. `None` when there are none, or
/// when it is no JSON.
pub(super) fn spill(text: &str, bytes_min: usize) -> Option<Spilled> {
    if text.len() < bytes_min && !text.contains(MARK) {
        return None;
    }
    let mut cutter =
        Cutter { bytes_min, text: String::new(), values: Vec::new(), open: Vec::new(), has_changed: false };
    cutter.read(text)?;
    cutter.has_changed.then_some(Spilled { text: cutter.text, values: cutter.values })
}

struct Cutter {
    bytes_min: usize,
    /// What is left so far.
    text: String,
    values: Vec<LargeValue>,
    /// Where the open lists and objects begin in `text`.
    open: Vec<usize>,
    has_changed: bool,
}

impl Cutter {
    fn read(&mut self, text: &str) -> Option<()> {
        let mut rest = text;
        while let Some(at) = rest.find(['"', '{', '[', '}', ']']) {
            let (plain, from) = rest.split_at(at);
            self.text.push_str(plain);
            let n_bytes = if from.starts_with('"') { string_bytes(from)? } else { 1 };
            let (token, after) = from.split_at(n_bytes);
            match token.as_bytes()[0] {
                b'"' => self.string(token),
                b'{' | b'[' => {
                    self.open.push(self.text.len());
                    self.text.push_str(token);
                }
                _ => {
                    self.text.push_str(token);
                    let begin = self.open.pop()?;
                    if !self.open.is_empty() && self.text.len() - begin >= self.bytes_min {
                        let content = self.text.split_off(begin);
                        self.cut(content);
                    }
                }
            }
            rest = after;
        }
        self.text.push_str(rest);
        self.open.is_empty().then_some(())
    }

    fn string(&mut self, literal: &str) {
        let literal = match literal.strip_prefix(MARK) {
            // Somebody else's JSON may spell it so; the value stays the same.
            Some(rest) => {
                self.has_changed = true;
                Cow::Owned(format!("{MARK_AS_TEXT}{rest}"))
            }
            None => Cow::Borrowed(literal),
        };
        if !self.open.is_empty() && literal.len() >= self.bytes_min {
            self.cut(literal.into_owned());
        } else {
            self.text.push_str(&literal);
        }
    }

    fn cut(&mut self, content: String) {
        let sha256 = hex::encode(Sha256::digest(content.as_bytes()));
        self.text.push_str(MARK);
        self.text.push_str(&sha256);
        self.text.push('"');
        self.has_changed = true;
        self.values.push(LargeValue { sha256, content });
    }
}

/// Length of the string that `text` begins with, quotes included; `None` when it does not end.
fn string_bytes(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    loop {
        at += bytes.get(at..)?.iter().position(|it| matches!(it, b'"' | b'\\'))?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Whether anything was cut out of `text`.
pub(super) fn is_spilled(text: &str) -> bool {
    next_mark(text, 0).is_some()
}

/// Puts back what was cut out of `text`; `find` returns the content of a value.
///
/// # Errors
///
/// What `find` says.
pub(super) fn whole<E>(text: String, find: &mut impl FnMut(&str) -> Result<String, E>) -> Result<String, E> {
    let mut result = String::new();
    let mut done = 0;
    while let Some((begin, sha256)) = next_mark(&text, done) {
        result.push_str(&text[done..begin]);
        result.push_str(&whole(find(sha256)?, find)?);
        done = begin + MARK.len() + DIGITS + 1;
    }
    if done == 0 {
        return Ok(text);
    }
    result.push_str(&text[done..]);
    Ok(result)
}

/// The next mark from `from` on: where it begins, and the hash in it.
fn next_mark(text: &str, from: usize) -> Option<(usize, &str)> {
    text[from..].match_indices(MARK).map(|(at, _)| from + at).find_map(|begin| {
        // A quote behind a backslash does not begin a string: it stands in one.
        let begins_string = begin == 0 || text.as_bytes()[begin - 1] != b'\\';
        let rest = &text[begin + MARK.len()..];
        let sha256 = rest.get(..DIGITS).filter(|it| it.bytes().all(|it| it.is_ascii_hexdigit()))?;
        (begins_string && rest[DIGITS..].starts_with('"')).then_some((begin, sha256))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// Larger than a mark, as every useful limit is.
    const MIN: usize = 100;

    fn back(spilled: Spilled) -> String {
        let kept: HashMap<String, String> = spilled.values.into_iter().map(|it| (it.sha256, it.content)).collect();
        whole(spilled.text, &mut |sha256: &str| kept.get(sha256).cloned().ok_or("lost")).expect("all are there")
    }

    #[test]
    fn the_smallest_large_value_goes_and_comes_back_byte_for_byte() {
        let long = "é\"\\\n".repeat(20);
        let numbers: Vec<u32> = (1000..1020).collect();
        for (what, value, n_cut) in [
            ("nothing large", json!({"a": [1, 2, {"b": "short"}], "c": null}), 0),
            ("one text", json!({"a": long}), 1),
            ("a text twice", json!({"a": long, "b": [long]}), 2),
            ("a list of small values", json!({"v": 1, "list": numbers}), 1),
            ("an object of two large texts", json!({"o": {"a": long, "b": long}}), 3),
            ("deep inside", json!({"o": {"a": {"b": {"c": long}}}}), 1),
            ("a long key", json!({"o": {long.clone(): 1}}), 1),
            ("a text alone", json!(long), 0),
            ("a list alone", json!(numbers), 0),
        ] {
            let text = value.to_string();
            let spilled = spill(&text, MIN);
            assert_eq!(spilled.as_ref().map_or(0, |it| it.values.len()), n_cut, "{what}: {spilled:?}");
            if let Some(spilled) = spilled {
                assert!(serde_json::from_str::<Value>(&spilled.text).is_ok(), "{what}: {}", spilled.text);
                assert!(is_spilled(&spilled.text) && !is_spilled(&text), "{what}");
                assert_eq!(back(spilled), text, "{what}");
            }
        }
    }

    #[test]
    fn the_same_value_is_the_same_wherever_it_stands() {
        let long = "x".repeat(MIN);
        let shas = |value: Value| -> Vec<String> {
            spill(&value.to_string(), MIN).expect("cut").values.into_iter().map(|it| it.sha256).collect()
        };
        let alone = shas(json!({"output": {"body": long}}));
        assert_eq!(alone, shas(json!({"outputs": {"end": long}, "seq": 7})));
        assert_eq!(alone, shas(json!([1, [2, [long]]])));
    }

    #[test]
    fn a_value_that_looks_like_a_mark_stays_a_value() {
        let sha256 = "ab".repeat(32);
        for text in [
            format!("{{\"a\":\"@sha256:{sha256}\"}}"),
            format!("{{\"a\":\"say \\\"\\u0040sha256:{sha256}\\\"\"}}"),
            format!("{{\"a\":\"\\u0040sha256:{sha256}\"}}"),
        ] {
            let kept = spill(&text, 1_000).map_or(text.clone(), |it| it.text);
            assert!(!is_spilled(&kept), "{kept}");
            let read = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
            assert_eq!(read(&kept), read(&text));
        }
    }

    #[test]
    fn what_is_no_json_is_left_alone() {
        for text in ["{\"a\":\"never ends", "}{", "[[[", "{\"a\\"] {
            assert_eq!(spill(&format!("{text}{}", " ".repeat(MIN)), MIN), None, "{text}");
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<i64>().prop_map(Value::from), ".{0,60}".prop_map(Value::from)];
        leaf.prop_recursive(5, 60, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map(".{0,50}", inner, 0..6)
                    .prop_map(|it| Value::Object(it.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_comes_back_byte_for_byte(value in values()) {
            let text = value.to_string();
            if let Some(spilled) = spill(&text, MIN) {
                prop_assert!(serde_json::from_str::<Value>(&spilled.text).is_ok());
                prop_assert_eq!(back(spilled), text);
            }
        }
    }
}
