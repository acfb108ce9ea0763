//! The four changes of a YAML text that edits are made of: set an entry, remove one, add an item, remove one.
//! Each changes only the lines it must, and none is taken for granted: the text is read again, and must hold
//! exactly what was wanted.

use serde_json::{Map, Value};

use super::Refused;
use super::extent::{Entry, Extent, Item, Shape, column, extents, line_end, line_start, skip};
use crate::diagram::load::{check_json, load};
use crate::diagram::write::{in_block, in_flow, literal};

/// Longest line that a new item in braces may make, in characters.
const LINE_CHARS_MAX: usize = 120;
/// Longest key that may stand before a `:`, in bytes.
const KEY_BYTES_MAX: usize = 500;

/// One step of a path into the text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Key(String),
    Item(usize),
}

/// One change. The path leads to the mapping or list that is changed.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Set(Vec<Step>, String, Value),
    Remove(Vec<Step>, String),
    Push(Vec<Step>, Value),
    RemoveItem(Vec<Step>, usize),
}

/// Makes one change.
pub(super) fn make(text: &str, change: &Change) -> Result<String, Refused> {
    let mut wanted = value_of(text)?;
    apply(&mut wanted, change).ok_or_else(Refused::unclear)?;
    let root = extents(text).map_err(|_| Refused::unclear())?;
    let edited =
        Splicer { text, is_json: check_json(text).is_ok() }.splice(&root, change).ok_or_else(Refused::unclear)?;
    // An anchor used elsewhere, a tag, a layout not thought of: better refused than wrong.
    if value_of(&edited).is_ok_and(|it| it == wanted) { Ok(edited) } else { Err(Refused::unclear()) }
}

/// Returns what the text holds.
pub(super) fn value_of(text: &str) -> Result<Value, Refused> {
    load(text).map(|it| it.tree.to_json()).map_err(|problems| {
        let first = problems.first().map(|it| it.message.clone()).unwrap_or_default();
        Refused::new(format!("the diagram cannot be read: {first}"), "correct it first")
    })
}

/// Makes the change on the value.
fn apply(root: &mut Value, change: &Change) -> Option<()> {
    let (Change::Set(path, ..) | Change::Remove(path, _) | Change::Push(path, _) | Change::RemoveItem(path, _)) =
        change;
    let mut target = root;
    for step in path {
        target = match step {
            Step::Key(key) => target.get_mut(key)?,
            Step::Item(at) => target.get_mut(at)?,
        };
    }
    match change {
        Change::Set(_, key, value) => drop(target.as_object_mut()?.insert(key.clone(), value.clone())),
        Change::Remove(_, key) => drop(target.as_object_mut()?.shift_remove(key)?),
        Change::Push(_, value) => target.as_array_mut()?.push(value.clone()),
        Change::RemoveItem(_, at) => {
            let list = target.as_array_mut()?;
            (*at < list.len()).then(|| list.remove(*at))?;
        }
    }
    Some(())
}

struct Splicer<'a> {
    text: &'a str,
    /// The text is JSON and is to stay JSON.
    is_json: bool,
}

impl Splicer<'_> {
    fn splice(&self, root: &Extent, change: &Change) -> Option<String> {
        match change {
            Change::Set(path, key, value) => match find(root, path)? {
                Extent { shape: Shape::Map { is_flow, entries }, .. } => {
                    match entries.iter().find(|it| it.name == *key) {
                        Some(entry) => self.replace(entry, *is_flow, value),
                        None => self.insert(find(root, path)?, *is_flow, entries, key, value),
                    }
                }
                _ => None,
            },
            Change::Remove(path, key) => {
                let Extent { shape: Shape::Map { is_flow, entries }, .. } = find(root, path)? else { return None };
                let at = entries.iter().position(|it| it.name == *key)?;
                if entries.len() == 1 && !is_flow {
                    return self.replace_at(root, path, &Value::Object(Map::new()));
                }
                let spans: Vec<(usize, usize)> = entries.iter().map(|it| (it.key_start, it.end())).collect();
                if *is_flow { self.remove_flow(&spans, at) } else { self.remove_lines(&spans, at) }
            }
            Change::Push(path, value) => match find(root, path)? {
                Extent { shape: Shape::List { is_flow: true, items }, .. } if items.is_empty() && path.len() == 1 => {
                    self.replace_at(root, path, &Value::Array(vec![value.clone()]))
                }
                Extent { shape: Shape::List { is_flow: true, items }, start, .. } => {
                    Some(self.push_flow(*start, items.last().map(|it| it.value.end), &self.inline(value, true)?))
                }
                Extent { shape: Shape::List { is_flow: false, items }, .. } => self.push_block(items, value),
                _ => None,
            },
            Change::RemoveItem(path, at) => {
                let Extent { shape: Shape::List { is_flow, items }, .. } = find(root, path)? else { return None };
                items.get(*at)?;
                if items.len() == 1 && !is_flow {
                    return self.replace_at(root, path, &Value::Array(Vec::new()));
                }
                let spans: Vec<(usize, usize)> =
                    items.iter().map(|it| (it.dash, it.value.end.max(it.dash + 1))).collect();
                if *is_flow { self.remove_flow(&spans, *at) } else { self.remove_lines(&spans, *at) }
            }
        }
    }

    /// Replaces the whole mapping or list at `path`, which is the value of an entry.
    fn replace_at(&self, root: &Extent, path: &[Step], value: &Value) -> Option<String> {
        let (Some(Step::Key(key)), parent) = (path.last(), &path[..path.len().checked_sub(1)?]) else { return None };
        let Extent { shape: Shape::Map { is_flow, entries }, .. } = find(root, parent)? else { return None };
        self.replace(entries.iter().find(|it| it.name == *key)?, *is_flow, value)
    }

    /// Gives an entry another value. A comment behind a value on one line stays.
    fn replace(&self, entry: &Entry, is_flow: bool, value: &Value) -> Option<String> {
        let column = column(self.text, entry.key_start);
        let (head, body) = self.rendered(value, is_flow, column)?;
        let old = &entry.value;
        let is_block =
            matches!(old.shape, Shape::Block | Shape::Map { is_flow: false, .. } | Shape::List { is_flow: false, .. });
        // Of a block all lines go, and what stood between the key and them; so does a line end before a value
        // that becomes a block.
        let breaks = self.text[entry.after..old.start].contains('\n');
        let start = if is_block || head.is_empty() || breaks && !body.is_empty() { entry.after } else { old.start };
        let colon = if self.text[..entry.after].ends_with(':') { "" } else { ":" };
        let space = if start == entry.after && !head.is_empty() { " " } else { "" };
        let stop = line_end(self.text, old.end);
        let (before, beside, below) = (&self.text[..start], &self.text[old.end..stop], &self.text[stop..]);
        Some(format!("{before}{colon}{space}{head}{beside}{body}{below}"))
    }

    fn insert(&self, map: &Extent, is_flow: bool, entries: &[Entry], key: &str, value: &Value) -> Option<String> {
        if is_flow {
            let pair = format!("{}: {}", self.key(key, true)?, self.inline(value, true)?);
            return Some(self.push_flow(map.start, entries.last().map(Entry::end), &pair));
        }
        let (first, last) = (entries.first()?, entries.last()?);
        let column = column(self.text, first.key_start);
        let (head, body) = self.rendered(value, false, column)?;
        let space = if head.is_empty() { "" } else { " " };
        let entry = format!("{}:{space}{head}{body}", self.key(key, false)?);
        Some(self.add_line(last.end(), column, &entry))
    }

    fn push_flow(&self, start: usize, last_end: Option<usize>, new: &str) -> String {
        let (at, comma) = match last_end {
            Some(end) => (end, ", "),
            None => (start + 1, ""),
        };
        format!("{}{comma}{new}{}", &self.text[..at], &self.text[at..])
    }

    fn push_block(&self, items: &[Item], value: &Value) -> Option<String> {
        let last = items.last()?;
        let column = column(self.text, last.dash);
        let new = format!("- {}", self.item(value, column)?);
        Some(self.add_line(last.value.end.max(last.dash + 1), column, &new))
    }

    /// Adds `new` on a line below the one on which `end` stands.
    fn add_line(&self, end: usize, column: usize, new: &str) -> String {
        let at = line_end(self.text, end);
        format!("{}{}{}{new}{}", &self.text[..at], self.newline(), " ".repeat(column), &self.text[at..])
    }

    /// Removes one of several entries or items of a block, with their lines.
    fn remove_lines(&self, spans: &[(usize, usize)], at: usize) -> Option<String> {
        let (start, end) = *spans.get(at)?;
        let begin = line_start(self.text, start);
        let stop = line_end(self.text, end);
        let after = &self.text[stop..];
        if self.text[begin..start].trim_matches(' ').is_empty() {
            let rest = after.strip_prefix("\r\n").or_else(|| after.strip_prefix('\n')).unwrap_or(after);
            // The last line of a text that ends without a line end: the one before ends it.
            let before = &self.text[..begin];
            let shorter = before.strip_suffix('\n').map(|it| it.strip_suffix('\r').unwrap_or(it));
            let before = if after.is_empty() { shorter.unwrap_or(before) } else { before };
            return Some(format!("{before}{rest}"));
        }
        // It stands behind the dash of the mapping: the next one moves up if nothing is in between.
        let (next, _) = *spans.get(at + 1)?;
        let is_next_line = self.text[end..next].chars().all(|it| matches!(it, ' ' | '\n' | '\r'));
        let rest = if is_next_line { next } else { end };
        Some(format!("{}{}", &self.text[..start], &self.text[rest..]))
    }

    /// Removes an entry or item within braces or brackets, with one comma.
    fn remove_flow(&self, spans: &[(usize, usize)], at: usize) -> Option<String> {
        let (start, end) = *spans.get(at)?;
        let is_plain = |from: usize, to: usize| !self.text[from..to].contains('#');
        let (from, to) = match (at.checked_sub(1).map(|it| spans[it].1), spans.get(at + 1)) {
            (_, Some((next, _))) if is_plain(end, *next) => (start, *next),
            (Some(before), None) if is_plain(before, start) => (before, end),
            _ => {
                let comma = skip(self.text, end);
                (start, if self.text[comma..].starts_with(',') && is_plain(end, comma) { comma + 1 } else { end })
            }
        };
        Some(format!("{}{}", &self.text[..from], &self.text[to..]))
    }

    /// What stands behind `key:` and the lines below it, for a key in `column`.
    fn rendered(&self, value: &Value, is_flow: bool, column: usize) -> Option<(String, String)> {
        // A section of its own, such as the first connections, is a list with dashes.
        if let (Value::Array(items), 0, false, false) = (value, column, is_flow, self.is_json)
            && items.iter().any(Value::is_object)
        {
            let items = items.iter().map(|it| Some(format!("{}- {}", self.newline(), self.item(it, 0)?)));
            return Some((String::new(), items.collect::<Option<String>>()?));
        }
        let block = if is_flow { None } else { value.as_str().and_then(literal) };
        let Some((header, lines)) = block else { return Some((self.inline(value, is_flow)?, String::new())) };
        let indent = " ".repeat(column + 2);
        let line = |it: &str| {
            let newline = self.newline();
            if it.is_empty() { newline.to_owned() } else { format!("{newline}{indent}{it}") }
        };
        Some((header.to_owned(), lines.map(line).collect()))
    }

    /// A new item behind its dash in `column`: in braces if it fits, else as a block.
    fn item(&self, value: &Value, column: usize) -> Option<String> {
        let Value::Object(map) = value else { return self.inline(value, false) };
        let is_short = |it: &Value| it.as_str().is_none_or(|it| !it.contains('\n'));
        let inline = self.inline(value, true)?;
        if map.is_empty() || map.values().all(is_short) && inline.chars().count() + column + 2 <= LINE_CHARS_MAX {
            return Some(inline);
        }
        let separator = format!("{}{}", self.newline(), " ".repeat(column + 2));
        let entry = |(key, value): (&String, &Value)| {
            let (head, body) = self.rendered(value, false, column + 2)?;
            Some(format!("{}: {head}{body}", self.key(key, false)?))
        };
        Some(map.iter().map(entry).collect::<Option<Vec<_>>>()?.join(&separator))
    }

    /// A value on one line; `is_flow` within braces or brackets.
    fn inline(&self, value: &Value, is_flow: bool) -> Option<String> {
        if self.is_json {
            return Some(value.to_string());
        }
        match value {
            Value::Array(items) => {
                let items = items.iter().map(|it| self.inline(it, true)).collect::<Option<Vec<_>>>()?;
                Some(format!("[{}]", items.join(", ")))
            }
            Value::Object(map) => {
                let pair = |(key, value): (&String, &Value)| {
                    Some(format!("{}: {}", self.key(key, true)?, self.inline(value, true)?))
                };
                Some(format!("{{{}}}", map.iter().map(pair).collect::<Option<Vec<_>>>()?.join(", ")))
            }
            scalar if is_flow => Some(in_flow(scalar)),
            scalar => Some(in_block(scalar)),
        }
    }

    fn key(&self, key: &str, is_flow: bool) -> Option<String> {
        if self.is_json {
            return Some(Value::from(key).to_string());
        }
        let spelled = if is_flow { in_flow(&key.into()) } else { in_block(&key.into()) };
        (spelled.len() <= KEY_BYTES_MAX).then_some(spelled)
    }

    fn newline(&self) -> &'static str {
        if self.text.contains("\r\n") { "\r\n" } else { "\n" }
    }
}

/// Finds the value at `path`.
fn find<'e>(root: &'e Extent, path: &[Step]) -> Option<&'e Extent> {
    path.iter().try_fold(root, |at, step| match (&at.shape, step) {
        (Shape::Map { entries, .. }, Step::Key(key)) => entries.iter().find(|it| it.name == *key).map(|it| &it.value),
        (Shape::List { items, .. }, Step::Item(nth)) => items.get(*nth).map(|it| &it.value),
        _ => None,
    })
}
