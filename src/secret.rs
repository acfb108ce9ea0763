//! A secret text that cannot be printed by accident.

use std::fmt;

/// Shortest secret that is looked for in foreign texts; anything shorter would blot out ordinary words.
const SCRUBBED_LEN_MIN: usize = 4;

/// Whether a text that should name a secret is one itself: names are short and readable, keys are neither, and
/// are not to be repeated in messages.
pub fn looks_like_a_key(name: &str) -> bool {
    const NAME_CHARS_MAX: usize = 32;
    ["sk-", "AIza", "xai-"].iter().any(|it| name.starts_with(it)) || name.chars().count() > NAME_CHARS_MAX
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

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_secret_is_trimmed_and_never_printed() {
        let secret = Secret::new(" sk-canary\n").expect("there is text");
        assert_eq!(secret.expose(), "sk-canary");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert_eq!(secret.scrub("Incorrect key sk-canary given"), "Incorrect key *** given");
        assert_eq!(Secret::new(" \n"), None);
    }
}
