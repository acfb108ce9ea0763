//! A secret text that cannot be printed by accident, and what blots secrets out of foreign texts.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

/// Shortest secret that is looked for in foreign texts; anything shorter would blot out ordinary words.
pub const SCRUBBED_LEN_MIN: usize = 4;
/// What stands in a secret's place.
const BLOT: &str = "***";

/// Whether a text that should name a secret is one itself: names are short and readable, keys are neither, and
/// are not to be repeated in messages.
pub fn looks_like_a_key(name: &str) -> bool {
    const NAME_CHARS_MAX: usize = 32;
    begins_like_a_key(name) || name.chars().count() > NAME_CHARS_MAX
}

/// Whether a text begins as the keys of the known providers do, and our own tokens.
pub fn begins_like_a_key(text: &str) -> bool {
    ["sk-", "AIza", "xai-", "dpo_"].iter().any(|it| text.starts_with(it))
}

/// A key. `Debug` and `Display` show `***`; only [`Secret::expose`] gives the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a key as it came from a file or variable, without the blanks and line breaks around it;
    /// `None` when nothing is left.
    pub fn new(text: impl AsRef<str>) -> Option<Self> {
        let trimmed = text.as_ref().trim();
        (!trimmed.is_empty()).then(|| Self(trimmed.to_owned()))
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns `text` with every occurrence of the secret blotted out.
    pub fn scrub(&self, text: &str) -> String {
        if self.0.len() < SCRUBBED_LEN_MIN {
            return text.to_owned();
        }
        text.replace(&self.0, "***")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Every secret that was resolved, to be kept out of what is recorded and shown.
#[derive(Default)]
pub struct Scrubber {
    /// Whether there is anything to look for: most runs resolve no secret.
    is_armed: AtomicBool,
    /// Each secret as it is and as encodings write it, the longest first.
    forms: RwLock<Vec<String>>,
}

impl Scrubber {
    /// Adds a secret, also as JSON, URLs and base64 write it.
    pub fn add(&self, secret: &Secret) {
        let new = forms_of(secret.expose());
        let mut forms = self.forms.write().unwrap_or_else(PoisonError::into_inner);
        for form in new {
            if !forms.contains(&form) {
                forms.push(form);
            }
        }
        // A secret that contains another one is blotted out as a whole.
        forms.sort_by_key(|it| std::cmp::Reverse(it.len()));
        self.is_armed.store(!forms.is_empty(), Ordering::Release);
    }

    /// Whether no secret was added.
    pub fn is_idle(&self) -> bool {
        !self.is_armed.load(Ordering::Acquire)
    }

    /// The length of the longest text that is looked for, in bytes.
    pub fn longest(&self) -> usize {
        self.forms.read().unwrap_or_else(PoisonError::into_inner).first().map_or(0, String::len)
    }

    /// Returns `text` without secrets.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut clean = Cow::Borrowed(text);
        if self.is_idle() {
            return clean;
        }
        for form in self.forms.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if clean.contains(form.as_str()) {
                clean = Cow::Owned(clean.replace(form.as_str(), BLOT));
            }
        }
        clean
    }

    /// Blots secrets out of a text in place.
    pub fn scrub(&self, text: &mut String) {
        if let Cow::Owned(clean) = self.text(text) {
            *text = clean;
        }
    }

    /// Blots secrets out of every text, key and number inside `value`.
    pub fn scrub_value(&self, value: &mut Value) {
        if self.is_idle() {
            return;
        }
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => {
                if let Cow::Owned(clean) = self.text(&number.to_string()) {
                    *value = Value::String(clean);
                }
            }
            Value::String(text) => self.scrub(text),
            Value::Array(items) => items.iter_mut().for_each(|it| self.scrub_value(it)),
            Value::Object(map) => self.scrub_map(map),
        }
    }

    /// As [`Scrubber::scrub_value`], for a map.
    pub fn scrub_map(&self, map: &mut Map<String, Value>) {
        if self.is_idle() {
            return;
        }
        map.values_mut().for_each(|it| self.scrub_value(it));
        if map.keys().any(|it| matches!(self.text(it), Cow::Owned(_))) {
            let entries = std::mem::take(map).into_iter();
            *map = entries.map(|(key, it)| (self.text(&key).into_owned(), it)).collect();
        }
    }
}

/// Returns how a secret may be written by whoever was sent it.
fn forms_of(secret: &str) -> Vec<String> {
    if secret.len() < SCRUBBED_LEN_MIN {
        return Vec::new();
    }
    let in_json = |text: &str| {
        let quoted = Value::from(text).to_string();
        quoted[1..quoted.len() - 1].to_owned()
    };
    let (once, percent) = (in_json(secret), utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string());
    let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let mut forms = vec![secret.to_owned(), in_json(&once), once, percent.to_lowercase(), percent, form];
    forms.extend([STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD].map(|it| it.encode(secret)));
    forms.retain(|it| it.len() >= SCRUBBED_LEN_MIN);
    forms
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_is_trimmed_and_never_printed() {
        let secret = Secret::new(" sk-canary\n").expect("there is text");
        assert_eq!(secret.expose(), "sk-canary");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert_eq!(secret.scrub("Incorrect key sk-canary given"), "Incorrect key *** given");
        assert_eq!(Secret::new(" \n"), None);
    }

    #[test]
    fn a_scrubber_finds_a_secret_in_every_spelling_and_nothing_else() {
        let scrubber = Scrubber::default();
        assert!(scrubber.is_idle());
        scrubber.add(&Secret::new("p\"a ss/1+ü").expect("there is text"));
        scrubber.add(&Secret::new("p\"a ss/1+ü-longer").expect("there is text"));
        scrubber.add(&Secret::new("90210777").expect("there is text"));
        scrubber.add(&Secret::new("abc").expect("there is text"));
        for (text, expected) in [
            ("say p\"a ss/1+ü.", "say ***."),
            ("p\"a ss/1+ü-longer", "***"),
            (r#"{"a":"p\"a ss/1+ü"}"#, r#"{"a":"***"}"#),
            (r#"{"a":"{\"b\":\"p\\\"a ss/1+ü\"}"}"#, r#"{"a":"{\"b\":\"***\"}"}"#),
            ("?q=p%22a%20ss%2F1%2B%C3%BC&x", "?q=***&x"),
            ("?q=p%22a+ss%2F1%2B%C3%BC&x", "?q=***&x"),
            ("Basic cCJhIHNzLzErw7w=", "Basic ***"),
            ("too short to look for: abc", "too short to look for: abc"),
        ] {
            assert_eq!(scrubber.text(text), expected, "{text}");
        }
        let mut value = json!({"p\"a ss/1+ü": [{"n": 90210777, "m": 902, "t": "x 90210777 y"}], "k": true});
        scrubber.scrub_value(&mut value);
        assert_eq!(value, json!({"***": [{"n": "***", "m": 902, "t": "x *** y"}], "k": true}));
    }
}
