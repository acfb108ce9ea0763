//! Places inside a reply: `""` and `"$"` are the whole, `"/a/0"` is RFC 6901, `"$.a.b"` is read as `/a/b`.

use serde_json::Value;

/// A place inside a JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    /// As written.
    text: String,
    /// RFC 6901.
    pointer: String,
}

impl Pointer {
    /// The whole value.
    pub fn whole() -> Self {
        Self { text: "$".to_owned(), pointer: String::new() }
    }

    /// Reads one of the three forms.
    ///
    /// # Errors
    ///
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let pointer = match text {
            "" | "$" => String::new(),
            _ if text.starts_with('/') => text.to_owned(),
            _ => match text.strip_prefix("$.").or_else(|| text.strip_prefix("$[").map(|_| &text[1..])) {
                Some(path) => from_dotted(path)?,
                None => return Err("write `$`, `/a/0` or `$.a.b`".to_owned()),
            },
        };
        Ok(Self { text: text.to_owned(), pointer })
    }

    /// The value there.
    pub fn find<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        value.pointer(&self.pointer)
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn from_dotted(path: &str) -> Result<String, String> {
    let mut pointer = String::new();
    for part in path.replace('[', ".").split('.').filter(|it| !it.is_empty()) {
        let part = part.strip_suffix(']').unwrap_or(part).trim_matches(['"', '\'']);
        if part.is_empty() || part.contains(['*', '?', '(', '@']) {
            return Err("only names and positions can follow `$`, as in `$.items[0].id`".to_owned());
        }
        pointer.push('/');
        pointer.push_str(&part.replace('~', "~0").replace('/', "~1"));
    }
    Ok(pointer)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_form_finds_its_value() {
        let value = json!({"a": {"b": [1, {"c/d": 2}]}, "": 3});
        for (text, expected) in [
            ("", Some(&value)),
            ("$", Some(&value)),
            ("/a/b/0", Some(&json!(1))),
            ("$.a.b[0]", Some(&json!(1))),
            ("$.a.b.1.c/d", Some(&json!(2))),
            ("/a/b/1/c~1d", Some(&json!(2))),
            ("/", Some(&json!(3))),
            ("$['a']", Some(&value["a"])),
            ("$.nope", None),
        ] {
            assert_eq!(Pointer::parse(text).expect("it reads").find(&value), expected, "{text}");
        }
        for text in ["a.b", "$a", "$.a[*]", "$.a[?(@.b)]"] {
            assert!(Pointer::parse(text).is_err(), "{text}");
        }
    }
}
