//! Names of providers and operations: words in lower case, joined by `_`.

use std::collections::HashSet;

use crate::limits;

/// Longest name of an operation, in characters.
const CHARS_MAX: usize = 100;

/// The names given so far.
#[derive(Default)]
pub(super) struct Taken(HashSet<String>);

impl Taken {
    /// Names an operation: by its id, else by method and path; a name that is taken gets `_2`, `_3` …
    pub fn name(&mut self, id: Option<&str>, method: &str, path: &str) -> String {
        let stem = id.map(snake_case).filter(|it| !it.is_empty());
        let stem = stem.unwrap_or_else(|| snake_case(&format!("{method} {path}")));
        let stem: String = stem.chars().take(CHARS_MAX).collect();
        let mut name = stem.clone();
        let mut nth = 2;
        while !self.0.insert(name.clone()) {
            name = format!("{stem}_{nth}");
            nth += 1;
        }
        name
    }
}

/// The name of a provider from a document's title.
pub(super) fn provider(title: &str) -> String {
    let name: String = snake_case(title).chars().filter(char::is_ascii).take(limits::PROVIDER_NAME_BYTES_MAX).collect();
    let name = name.trim_matches('_');
    if name.is_empty() { "api".to_owned() } else { name.to_owned() }
}

/// `findPetsByID` and `find pets-by ID` are `find_pets_by_id`.
pub(super) fn snake_case(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut words = vec![String::new()];
    for (at, it) in chars.iter().enumerate() {
        if !it.is_alphanumeric() {
            words.push(String::new());
            continue;
        }
        let before = at.checked_sub(1).and_then(|at| chars.get(at));
        let after_small = before.is_some_and(|it| it.is_lowercase() || it.is_numeric());
        let ends_capitals =
            before.is_some_and(|it| it.is_uppercase()) && chars.get(at + 1).is_some_and(|it| it.is_lowercase());
        if it.is_uppercase() && (after_small || ends_capitals) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.extend(it.to_lowercase());
        }
    }
    words.retain(|it| !it.is_empty());
    words.join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_in_lower_case_and_taken_once() {
        for (text, expected) in [
            ("findPets", "find_pets"),
            ("find pet by id", "find_pet_by_id"),
            ("get-board", "get_board"),
            ("listHTTPServersV2", "list_http_servers_v2"),
            ("/pets/{id}", "pets_id"),
            ("  ", ""),
        ] {
            assert_eq!(snake_case(text), expected, "{text}");
        }
        let mut taken = Taken::default();
        let given = [
            (Some("getX"), "get", "/"),
            (Some("get_x"), "get", "/"),
            (None, "put", "/a/{b}"),
            (Some("--"), "put", "/a/b"),
        ];
        let names = given.map(|(id, method, path)| taken.name(id, method, path));
        assert_eq!(names, ["get_x", "get_x_2", "put_a_b", "put_a_b_2"]);
        assert_eq!(
            (provider("Discord HTTP API (Preview)").as_str(), provider("日本").as_str()),
            ("discord_http_api_preview", "api")
        );
    }
}
