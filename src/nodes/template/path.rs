//! Paths of templates: `name.field[0][1:3]["key"][other]` as text, as steps, and walked into a value.
//! Knows nothing of tags, blocks or where names come from.

use std::borrow::Cow;

use serde_json::Value;

use crate::nearest::nearest;
use crate::nodes::lookup::look_into;

/// Deepest nesting of `[path]` inside `[path]`: parsing and walking recurse that far.
const PATH_DEPTH_MAX: usize = 8;

/// A path as written and taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// As written, without outer blanks.
    pub text: String,
    /// The name it begins with; `this` and `@index` … included.
    pub root: String,
    pub steps: Vec<Step>,
    /// Where the root and each step end in `text`.
    ends: Vec<usize>,
}

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `.name` or `["key"]`.
    Name(String),
    /// `[3]`, `[-1]`.
    Index(i64),
    /// `[1:3]`, `[:5]`, `[2:]`.
    Slice(Option<i64>, Option<i64>),
    /// `[name]`: the value of another path is the key or position.
    Path(Box<Path>),
}

impl Path {
    /// Reads a path; `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        Self::parse_within(text, 0)
    }

    fn parse_within(text: &str, depth: usize) -> Option<Self> {
        if depth > PATH_DEPTH_MAX {
            return None;
        }
        let text = text.trim();
        let root_len = name_len(text.strip_prefix('@').unwrap_or(text))?;
        let mut at = root_len + usize::from(text.starts_with('@'));
        let root = text[..at].to_owned();
        if root.starts_with('@') && !matches!(root.as_str(), "@index" | "@first" | "@last" | "@key") {
            return None;
        }
        let (mut steps, mut ends) = (Vec::new(), vec![at]);
        while at < text.len() {
            let rest = &text[at..];
            let (step, len) = match rest.as_bytes()[0] {
                b'.' => {
                    let len = name_len(&rest[1..])?;
                    (Step::Name(rest[1..=len].to_owned()), len + 1)
                }
                b'[' => {
                    let len = bracket_len(rest)?;
                    (Step::parse(&rest[1..len - 1], depth)?, len)
                }
                _ => return None,
            };
            at += len;
            steps.push(step);
            ends.push(at);
        }
        Some(Self { text: text.to_owned(), root, steps, ends })
    }

    /// Returns the path as written up to and including step `n` (0 is the root alone).
    pub fn prefix(&self, n: usize) -> &str {
        &self.text[..self.ends[n]]
    }

    /// Calls `visit` with the root of this path and of every path inside its brackets.
    pub fn for_each_root<'a>(&'a self, visit: &mut impl FnMut(&'a str)) {
        visit(&self.root);
        for step in &self.steps {
            if let Step::Path(inner) = step {
                inner.for_each_root(visit);
            }
        }
    }
}

impl Step {
    fn parse(inside: &str, depth: usize) -> Option<Self> {
        let inside = inside.trim();
        for quote in ['"', '\''] {
            if inside.len() >= 2 && inside.starts_with(quote) && inside.ends_with(quote) {
                return Some(Self::Name(inside[1..inside.len() - 1].to_owned()));
            }
        }
        if let Ok(index) = inside.parse() {
            return Some(Self::Index(index));
        }
        if let Some((from, to)) = inside.split_once(':') {
            return Some(Self::Slice(bound(from)?, bound(to)?));
        }
        Path::parse_within(inside, depth + 1).map(|it| Self::Path(Box::new(it)))
    }
}

/// Reads one side of a slice: `Some(None)` when it is left out.
fn bound(text: &str) -> Option<Option<i64>> {
    match text.trim() {
        "" => Some(None),
        text => text.parse().ok().map(Some),
    }
}

/// Returns the bytes of the name that `text` begins with.
fn name_len(text: &str) -> Option<usize> {
    let end = text.find(|it: char| !(it.is_alphanumeric() || matches!(it, '_' | '$' | '-')));
    Some(end.unwrap_or(text.len())).filter(|it| *it > 0)
}

/// Returns the bytes up to the `]` that closes the `[` which `text` begins with; quotes hide brackets.
fn bracket_len(text: &str) -> Option<usize> {
    let (mut open, mut quote) = (0_usize, None);
    for (at, it) in text.char_indices() {
        match (quote, it) {
            (Some(mark), _) if mark == it => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(it),
            (None, '[') => open += 1,
            (None, ']') => {
                open -= 1;
                if open == 0 {
                    return Some(at + 1);
                }
            }
            (None, _) => {}
        }
    }
    None
}

/// Takes one step into `value`. Texts that are the JSON text of an object or list are looked into.
pub fn step<'v>(value: Cow<'v, Value>, step: &Step) -> Option<Cow<'v, Value>> {
    if let Step::Slice(from, to) = step {
        return slice_text_or_list(&value, *from, *to);
    }
    let value = match value {
        Cow::Borrowed(value) => look_into(value),
        Cow::Owned(value) => match look_into(&value) {
            Cow::Owned(inside) => Cow::Owned(inside),
            Cow::Borrowed(_) => Cow::Owned(value),
        },
    };
    match step {
        Step::Name(name) => by_name(value, name),
        Step::Index(index) => by_index(value, *index),
        // The renderer turns paths into one of the others first; slices are done above.
        Step::Path(_) | Step::Slice(..) => None,
    }
}

fn by_name<'v>(value: Cow<'v, Value>, name: &str) -> Option<Cow<'v, Value>> {
    match value {
        Cow::Borrowed(Value::Object(map)) => map.get(name).map(Cow::Borrowed),
        Cow::Owned(Value::Object(mut map)) => map.remove(name).map(Cow::Owned),
        list => match (name.parse(), &*list) {
            (Ok(index), Value::Array(_)) => by_index(list, index),
            _ => None,
        },
    }
}

fn by_index(value: Cow<'_, Value>, index: i64) -> Option<Cow<'_, Value>> {
    let position = |len: usize| {
        let from_end = usize::try_from(index.unsigned_abs()).ok()?;
        if index < 0 { len.checked_sub(from_end) } else { Some(from_end) }
    };
    match value {
        Cow::Borrowed(Value::Array(items)) => items.get(position(items.len())?).map(Cow::Borrowed),
        Cow::Owned(Value::Array(mut items)) => {
            let at = position(items.len()).filter(|it| *it < items.len())?;
            Some(Cow::Owned(items.swap_remove(at)))
        }
        value => match &*value {
            Value::String(text) => {
                let at = position(text.chars().count())?;
                text.chars().nth(at).map(|it| Cow::Owned(Value::String(it.to_string())))
            }
            Value::Object(map) => map.get(&index.to_string()).map(|it| Cow::Owned(it.clone())),
            _ => None,
        },
    }
}

/// A text that holds a JSON list is sliced as that list; one that holds an object is a text like others.
fn slice_text_or_list<'v>(value: &Value, from: Option<i64>, to: Option<i64>) -> Option<Cow<'v, Value>> {
    let inside = look_into(value);
    let sliced = if inside.is_array() { slice(&inside, from, to) } else { slice(value, from, to) };
    sliced.map(Cow::Owned)
}

fn slice(value: &Value, from: Option<i64>, to: Option<i64>) -> Option<Value> {
    let range = |len: usize| {
        let place = |bound: i64| {
            let size = usize::try_from(bound.unsigned_abs()).unwrap_or(usize::MAX);
            if bound < 0 { len.saturating_sub(size) } else { size.min(len) }
        };
        let from = from.map_or(0, place);
        (from, to.map_or(len, place).max(from))
    };
    match value {
        Value::Array(items) => {
            let (from, to) = range(items.len());
            Some(Value::Array(items[from..to].to_vec()))
        }
        Value::String(text) => {
            let (from, to) = range(text.chars().count());
            Some(Value::String(text.chars().skip(from).take(to - from).collect()))
        }
        _ => None,
    }
}

/// Returns the field of `value` that is nearest to what `step` asks for.
pub fn near_field(value: &Value, step: &Step) -> Option<String> {
    let (Value::Object(map), Step::Name(name)) = (look_into(value).into_owned(), step) else { return None };
    nearest(name, map.keys().map(String::as_str)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_are_names_and_steps_and_nothing_else() {
        for (text, steps) in [
            ("a", 0),
            (" a.b-c.$d ", 2),
            ("xs[0][-1][1:3][:5][2:][:]", 6),
            ("m[\"a ] b\"]['c']", 2),
            ("xs[deep.n[k]]", 1),
            ("@index", 0),
            ("größe.1", 1),
        ] {
            assert_eq!(Path::parse(text).map(|it| it.steps.len()), Some(steps), "{text}");
        }
        for text in [
            "", "a b", "a..b", "a[", "a]", "a[]", "a[1", ".a", "{a", "a|upper", "@other", "a.@index", "\"a\"", "a[1:b]",
        ] {
            assert_eq!(Path::parse(text), None, "{text}");
        }
        assert_eq!(Path::parse(&format!("a{}{}", "[a".repeat(5_000), "]".repeat(5_000))), None);
    }

    #[test]
    fn steps_reach_into_lists_maps_texts_and_json_texts() {
        let value = json!({"xs": [1, 2, 3], "t": "añb", "j": "{\"k\": [7]}", "m": {"1": "one"}});
        let at = |path: &str| {
            let path = Path::parse(&format!("root.{path}")).expect("a path");
            path.steps.iter().try_fold(Cow::Borrowed(&value), |value, it| step(value, it)).map(Cow::into_owned)
        };
        for (path, expected) in [
            ("xs[0]", Some(json!(1))),
            ("xs[-1]", Some(json!(3))),
            ("xs.1", Some(json!(2))),
            ("xs[3]", None),
            ("xs[-4]", None),
            ("xs[1:]", Some(json!([2, 3]))),
            ("xs[-2:9]", Some(json!([2, 3]))),
            ("xs[2:1]", Some(json!([]))),
            ("t[1]", Some(json!("ñ"))),
            ("t[:2]", Some(json!("añ"))),
            ("j.k[0]", Some(json!(7))),
            ("m[1]", Some(json!("one"))),
            ("xs.len", None),
            ("xs[9223372036854775807]", None),
            ("xs[-9223372036854775808]", None),
        ] {
            assert_eq!(at(path), expected, "{path}");
        }
    }
}
