//! Filters that templates have beyond the usual ones: spellings of names, and JSON.

use minijinja::value::{Kwargs, Serde};
use minijinja::{Environment, Error, ErrorKind};
use serde_json::Value;

use crate::nodes::content::pretty;

/// Adds the filters to `environment`.
pub fn add(environment: &mut Environment<'static>) {
    environment.add_filter("snake_case", |text: String| lower(&text, "_"));
    environment.add_filter("kebab_case", |text: String| lower(&text, "-"));
    environment.add_filter("pascal_case", |text: String| pascal(&text));
    environment.add_filter("camel_case", |text: String| camel(&text));
    environment.add_filter("ts_to_python", |text: String| ts_to_python(&text, 0));
    environment.add_filter("pluralize", |text: String| plural(&text));
    environment.add_filter("json", json);
}

/// `x|json` is JSON with indent 2, `x|json(indent=0)` in one line.
fn json(value: Serde<Value>, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    options.assert_all_used()?;
    match indent {
        None | Some(2) => Ok(pretty(&value)),
        Some(0) => Ok(value.to_string()),
        Some(other) => Err(Error::new(ErrorKind::InvalidOperation, format!("json indents by 0 or 2, not {other}"))),
    }
}

/// Splits a name at everything that is no letter or digit, and where a capital begins a new word.
fn words(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut words = vec![String::new()];
    for (at, it) in chars.iter().enumerate() {
        if !it.is_alphanumeric() {
            words.push(String::new());
            continue;
        }
        let before = at.checked_sub(1).and_then(|at| chars.get(at));
        let after_small = before.is_some_and(|it| it.is_lowercase() || it.is_numeric());
        // `HTTPServer` is `HTTP` and `Server`.
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
    words
}

fn lower(text: &str, separator: &str) -> String {
    words(text).join(separator)
}

fn pascal(text: &str) -> String {
    words(text).iter().map(|it| capitalized(it)).collect()
}

fn camel(text: &str) -> String {
    let words = words(text);
    let rest = words.iter().skip(1).map(|it| capitalized(it)).collect::<String>();
    words.first().cloned().unwrap_or_default() + &rest
}

fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|it| it.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn plural(text: &str) -> String {
    let lower = text.to_lowercase();
    let ends = |endings: &[&str]| endings.iter().any(|it| lower.ends_with(it));
    if lower.is_empty() {
        String::new()
    } else if ends(&["s", "x", "z", "ch", "sh"]) {
        format!("{text}es")
    } else if lower.ends_with('y') && !ends(&["ay", "ey", "iy", "oy", "uy"]) {
        format!("{}ies", &text[..text.len() - 1])
    } else {
        format!("{text}s")
    }
}

/// Deepest nesting of a TypeScript type that is translated.
const TYPE_DEPTH_MAX: usize = 32;

/// Translates a TypeScript type to the Python annotation of the same meaning; what it does not know is
/// taken for a class of that name.
fn ts_to_python(text: &str, depth: usize) -> String {
    let text = text.trim();
    if depth > TYPE_DEPTH_MAX {
        return "Any".to_owned();
    }
    let inner = |it: &str| ts_to_python(it, depth + 1);
    let alternatives = split_outside(text, '|');
    if alternatives.len() > 1 {
        return union(&alternatives, depth);
    }
    if let Some(item) = text.strip_suffix("[]") {
        return format!("List[{}]", inner(item));
    }
    if let Some(inside) = text.strip_prefix('(').and_then(|it| it.strip_suffix(')')) {
        return inner(inside);
    }
    if let Some((name, arguments)) = text.strip_suffix('>').and_then(|it| it.split_once('<')) {
        let arguments: Vec<String> = split_outside(arguments, ',').iter().map(|it| inner(it)).collect();
        return match (name.trim(), arguments.as_slice()) {
            ("Array" | "ReadonlyArray", [item]) => format!("List[{item}]"),
            ("Record" | "Map", [key, value]) => format!("Dict[{key}, {value}]"),
            ("Set", [item]) => format!("Set[{item}]"),
            ("Promise" | "Readonly" | "Required", [item]) => item.clone(),
            ("Partial", [item]) => format!("Optional[{item}]"),
            (other, arguments) => format!("{other}[{}]", arguments.join(", ")),
        };
    }
    match text {
        "string" => "str".to_owned(),
        "number" => "float".to_owned(),
        "boolean" | "true" | "false" => "bool".to_owned(),
        "null" | "undefined" | "void" | "never" => "None".to_owned(),
        "any" | "unknown" => "Any".to_owned(),
        "object" => "Dict[str, Any]".to_owned(),
        "Date" => "datetime".to_owned(),
        "bigint" => "int".to_owned(),
        _ if text.starts_with(['"', '\'']) => format!("Literal[{text}]"),
        _ if text.parse::<f64>().is_ok() => format!("Literal[{text}]"),
        _ if text.starts_with('{') => "Dict[str, Any]".to_owned(),
        other => other.to_owned(),
    }
}

fn union(alternatives: &[&str], depth: usize) -> String {
    let mut types: Vec<String> = Vec::new();
    for alternative in alternatives.iter().filter(|it| !it.trim().is_empty()) {
        let translated = ts_to_python(alternative, depth + 1);
        if !types.contains(&translated) {
            types.push(translated);
        }
    }
    let is_optional = types.iter().any(|it| it == "None");
    types.retain(|it| it != "None");
    let whole = match types.as_slice() {
        [] => return "None".to_owned(),
        [only] => only.clone(),
        several => format!("Union[{}]", several.join(", ")),
    };
    if is_optional { format!("Optional[{whole}]") } else { whole }
}

/// Splits at `separator` where it stands outside of brackets and quotes.
fn split_outside(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start, mut open, mut quote) = (Vec::new(), 0, 0_i32, None);
    for (at, it) in text.char_indices() {
        match (quote, it) {
            (Some(mark), _) if mark == it => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(it),
            (None, '<' | '(' | '[' | '{') => open += 1,
            (None, '>' | ')' | ']' | '}') => open -= 1,
            (None, _) if it == separator && open == 0 => {
                parts.push(&text[start..at]);
                start = at + it.len_utf8();
            }
            (None, _) => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelled_in_every_case() {
        for (text, snake, camel_cased, pascal_cased) in [
            ("userName", "user_name", "userName", "UserName"),
            ("HTTPServer v2", "http_server_v2", "httpServerV2", "HttpServerV2"),
            ("a-b_c", "a_b_c", "aBC", "ABC"),
            ("", "", "", ""),
            ("größeÄndern", "größe_ändern", "größeÄndern", "GrößeÄndern"),
        ] {
            assert_eq!(lower(text, "_"), snake);
            assert_eq!(camel(text), camel_cased);
            assert_eq!(pascal(text), pascal_cased);
        }
        assert_eq!(lower("userName", "-"), "user-name");
    }

    #[test]
    fn types_become_annotations_and_words_plurals() {
        for (text, expected) in [
            ("string", "str"),
            ("number[]", "List[float]"),
            ("Array<string | null>", "List[Optional[str]]"),
            ("Record<string, User[]>", "Dict[str, List[User]]"),
            ("\"a\" | \"b|c\"", "Union[Literal[\"a\"], Literal[\"b|c\"]]"),
            ("(string | number)[]", "List[Union[str, float]]"),
            ("Foo", "Foo"),
            ("", ""),
        ] {
            assert_eq!(ts_to_python(text, 0), expected, "{text}");
        }
        assert!(ts_to_python(&"Array<".repeat(10_000), 0).len() < 100_000);
        for (text, expected) in
            [("node", "nodes"), ("box", "boxes"), ("city", "cities"), ("day", "days"), ("y", "ies"), ("", "")]
        {
            assert_eq!(plural(text), expected, "{text}");
        }
    }
}
