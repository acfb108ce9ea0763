//! Text to a [`Tree`], YAML 1.2 and JSON alike, with a place for every value. It reads the parser's
//! events in one loop, so time and memory stay bounded on any input and nothing recurses with it.
//! Must not know what a diagram is.

mod faults;
mod frames;
pub(super) mod scalar;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use serde_yaml::granit_parser::{ErrorKind, Event, Options, Parser, ScalarStyle, ScanError, Span as ParserSpan, Tag};

use super::diagnostic::Diagnostic;
use super::render::{LineIndex, excerpt};
use super::tree::{Span, Spanned, Tree, TreeKind};
use crate::limits::{DIAGRAM_BYTES_MAX, DIAGRAM_DEPTH_MAX, DIAGRAM_VALUES_MAX};
use faults::{Problem, bad_key, duplicate_key, not_one_mapping, syntax_hint, too_deep, too_large, unknown_tag};
use frames::{Anchored, Content, Key, Open, OpenMap};
use scalar::{Plain, read_plain};

/// How large a text may be, and what messages call it.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// `diagram`, `manifest` …
    pub what: &'static str,
    pub bytes_max: usize,
    /// After aliases are expanded.
    pub values_max: usize,
}

impl Bounds {
    /// Those of a diagram (E104).
    pub const DIAGRAM: Self = Self { what: "diagram", bytes_max: DIAGRAM_BYTES_MAX, values_max: DIAGRAM_VALUES_MAX };

    /// Most text that aliases may add, in bytes: without it 10,000 aliases of one long text would fill
    /// the memory within the other limits.
    fn alias_bytes_max(self) -> usize {
        4 * self.bytes_max
    }
}

/// A text that could be read.
#[derive(Debug)]
pub struct Loaded {
    /// Always a mapping.
    pub tree: Tree,
    /// Numbers that are not what they look like (W104).
    pub warnings: Vec<Diagnostic>,
}

/// Reads `text`. Keys that begin with `__` are left out at every level.
///
/// # Errors
///
/// E101 to E104; of these only E103 can stand more than once.
pub(super) fn load(text: &str) -> Result<Loaded, Vec<Diagnostic>> {
    load_within(text, Bounds::DIAGRAM)
}

/// Reads a text that is no diagram: any YAML or JSON mapping within `bounds`.
///
/// # Errors
///
/// E101 to E104; of these only E103 can stand more than once.
pub fn load_within(text: &str, bounds: Bounds) -> Result<Loaded, Vec<Diagnostic>> {
    check_size(text, bounds)?;
    let mut loader = Loader::new(text, bounds);
    match loader.run() {
        Ok(tree) if loader.duplicates.is_empty() => Ok(Loaded { tree, warnings: loader.warnings }),
        Ok(_) => Err(loader.duplicates),
        Err(problem) => Err(vec![*problem]),
    }
}

/// Checks that `text` is JSON and not only YAML that looks like it.
///
/// # Errors
///
/// E101 with the message of the JSON parser.
pub(super) fn check_json(text: &str) -> Result<(), Vec<Diagnostic>> {
    check_size(text, Bounds::DIAGRAM)?;
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Err(error) = serde_json::from_str::<serde_json::Value>(body) else { return Ok(()) };
    let index = LineIndex::new(text);
    let (line, column) = (u32::try_from(error.line()).unwrap_or(1), u32::try_from(error.column()).unwrap_or(1));
    // The JSON parser counts bytes within the line, and calls the place before the first one column 0.
    let line_start = index.offset(line, 1).unwrap_or(text.len());
    let offset = line_start + usize::try_from(column.saturating_sub(1)).unwrap_or(0);
    let full = error.to_string();
    let message = full.rsplit_once(" at line ").map_or(full.as_str(), |(message, _)| message);
    Err(vec![
        Diagnostic::new("E101", index.span(offset, 0), format!("this is not JSON: {message}"))
            .hint("a text that begins with `{` is read as native JSON; YAML begins with `version: light`"),
    ])
}

/// Returns the places of the comments of `text`, as far as it can be read; JSON has none.
pub fn comments(text: &str) -> Vec<Span> {
    if check_size(text, Bounds::DIAGRAM).is_err() || check_json(text).is_ok() {
        return Vec::new();
    }
    let mut options = Options::default();
    options.set_emit_comments(true);
    options.flow_nesting_limit = DIAGRAM_DEPTH_MAX;
    options.block_nesting_limit = DIAGRAM_DEPTH_MAX;
    let events = Parser::new_from_str_with_options(text, options).map_while(Result::ok);
    events.filter(|(event, _)| matches!(event, Event::Comment(..))).map(|(_, place)| place_of(&place)).collect()
}

fn check_size(text: &str, bounds: Bounds) -> Result<(), Vec<Diagnostic>> {
    if text.len() <= bounds.bytes_max {
        return Ok(());
    }
    let place = Span { line: 1, column: 1, offset: 0, len: 0 };
    let message = format!("the {} has {} bytes, more than {}", bounds.what, text.len(), bounds.bytes_max);
    Err(vec![too_large(place, message, "move long texts into files, or parts into sub-diagrams")])
}

struct Loader<'a> {
    text: &'a str,
    bounds: Bounds,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    /// Anchors whose collection is still open: an alias to one would contain itself.
    unfinished: HashSet<usize>,
    n_values: usize,
    alias_bytes: usize,
    root: Option<Tree>,
    duplicates: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl<'a> Loader<'a> {
    fn new(text: &'a str, bounds: Bounds) -> Self {
        Self {
            text,
            bounds,
            open: Vec::new(),
            anchors: HashMap::new(),
            unfinished: HashSet::new(),
            n_values: 0,
            alias_bytes: 0,
            root: None,
            duplicates: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn run(&mut self) -> Result<Tree, Problem> {
        let mut options = Options::default();
        options.set_emit_comments(false);
        options.flow_nesting_limit = DIAGRAM_DEPTH_MAX;
        options.block_nesting_limit = DIAGRAM_DEPTH_MAX;
        if looks_like_json(self.text) {
            // JSON has no limit for the length of a key.
            options.simple_key_max_lookahead = self.bounds.bytes_max;
        }
        for next in Parser::new_from_str_with_options(self.text, options) {
            let (event, place) = next.map_err(|error| self.syntax_error(&error))?;
            self.take(event, &place)?;
        }
        match self.root.take() {
            Some(tree) if tree.is_map() => Ok(tree),
            Some(tree) => Err(not_one_mapping(tree.span, format!("the text is {}, not one mapping", tree.kind_name()))),
            None => {
                let place = Span { line: 1, column: 1, offset: 0, len: 0 };
                Err(not_one_mapping(place, "the text is empty".to_owned()))
            }
        }
    }

    fn take(&mut self, event: Event<'_>, place: &ParserSpan) -> Result<(), Problem> {
        let span = place_of(place);
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(not_one_mapping(span, "the text holds more than one document".to_owned()))
            }
            Event::Scalar(value, style, anchor, tag) => self.scalar(&value, style, anchor, tag.as_deref(), span),
            Event::SequenceStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq", span)?;
                self.begin(span, anchor, Content::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), "map", span)?;
                self.begin(span, anchor, Content::Map(OpenMap::default()))
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, span),
            _ => Ok(()),
        }
    }

    fn begin(&mut self, span: Span, anchor: usize, content: Content) -> Result<(), Problem> {
        let span = Span { len: 0, ..span };
        if self.awaits_key() {
            return Err(bad_key(span, "a list or mapping cannot be a key"));
        }
        if self.open.len() >= DIAGRAM_DEPTH_MAX {
            return Err(too_deep(span));
        }
        self.count(1, span)?;
        if anchor != 0 {
            self.unfinished.insert(anchor);
        }
        self.open.push(Open { span, anchor, content });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Problem> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let kind = match open.content {
            Content::List(items) => TreeKind::List(items),
            Content::Map(map) => TreeKind::Map(map.finish()),
        };
        let tree = Tree { span: open.span, kind };
        self.unfinished.remove(&open.anchor);
        self.remember(open.anchor, &tree);
        self.attach(tree)
    }

    fn scalar(
        &mut self,
        value: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<(), Problem> {
        let is_text_tag = tag.is_some_and(|it| it.is_yaml_core_schema_tag("str"));
        if let Some(tag) = tag
            && !tag.is_yaml_core_schema()
        {
            return Err(unknown_tag(tag, span));
        }
        if self.awaits_key() {
            self.check_indentation(span)?;
            let is_plain = style == ScalarStyle::Plain && !is_text_tag;
            return self.key(value, is_plain, anchor, span);
        }
        let kind = if style == ScalarStyle::Plain && !is_text_tag {
            self.plain(value, span)?
        } else {
            TreeKind::Text(value.to_owned())
        };
        self.count(1, span)?;
        let tree = Tree { span, kind };
        self.remember(anchor, &tree);
        self.attach(tree)
    }

    fn plain(&mut self, value: &str, span: Span) -> Result<TreeKind, Problem> {
        match read_plain(value) {
            Plain::Value(kind) => Ok(kind),
            Plain::Surprising(kind, message) => {
                let hint = "write it in quotes if it is a text, or as a plain decimal number";
                let mut warning = Diagnostic::new("W104", span, message).hint(hint);
                if let Some(Key::Named(key)) = self.open_map().and_then(|it| it.key.as_ref()) {
                    warning = warning.field(&key.value);
                }
                self.warnings.push(warning);
                Ok(kind)
            }
            Plain::NotFinite => {
                let message = format!("`{}` is not a number that JSON can hold", faults::shortened(value));
                Err(Box::new(Diagnostic::new("E101", span, message).hint("write it in quotes if it is a text")))
            }
        }
    }

    fn key(&mut self, name: &str, is_plain: bool, anchor: usize, span: Span) -> Result<(), Problem> {
        if is_plain && matches!(read_plain(name), Plain::Value(TreeKind::Null)) {
            return Err(bad_key(span, "a key is missing before `:`"));
        }
        self.remember(anchor, &Tree { span, kind: TreeKind::Text(name.to_owned()) });
        let Some(Open { content: Content::Map(map), .. }) = self.open.last_mut() else { return Ok(()) };
        map.key = Some(if is_plain && name == "<<" {
            Key::Merge
        } else if name.starts_with("__") {
            Key::Ignored
        } else if let Some(first) = map.lines.get(name) {
            self.duplicates.push(duplicate_key(name, *first, span));
            Key::Ignored
        } else {
            map.lines.insert(name.to_owned(), span.line);
            Key::Named(Spanned { value: name.to_owned(), span })
        });
        Ok(())
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Problem> {
        let is_key = self.awaits_key();
        let Some(anchored) = self.anchors.get(&anchor) else {
            let message = if self.unfinished.contains(&anchor) { "an alias contains itself" } else { "unknown alias" };
            return Err(Box::new(Diagnostic::new("E101", span, message).hint("write the value out")));
        };
        if is_key {
            let Some(name) = anchored.tree.as_text().map(str::to_owned) else {
                return Err(bad_key(span, "only an alias of a text can be a key"));
            };
            return self.key(&name, false, 0, span);
        }
        let (n_values, n_bytes, depth) = (anchored.n_values, anchored.n_bytes, anchored.depth);
        if self.open.len() + depth > DIAGRAM_DEPTH_MAX {
            return Err(too_deep(span));
        }
        self.count(n_values, span)?;
        self.alias_bytes += n_bytes;
        let alias_bytes_max = self.bounds.alias_bytes_max();
        if self.alias_bytes > alias_bytes_max {
            let message = format!("aliases add more than {alias_bytes_max} bytes");
            return Err(Box::new(too_large(span, message, "use fewer aliases, or files")));
        }
        let tree = self.anchors[&anchor].tree.clone();
        self.attach(tree)
    }

    fn attach(&mut self, tree: Tree) -> Result<(), Problem> {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(tree);
            return Ok(());
        };
        match &mut open.content {
            Content::List(items) => items.push(tree),
            Content::Map(map) => match map.key.take() {
                Some(Key::Named(key)) => map.entries.push((key, tree)),
                Some(Key::Merge) => map.merge(tree)?,
                Some(Key::Ignored) | None => {}
            },
        }
        Ok(())
    }

    fn remember(&mut self, anchor: usize, tree: &Tree) {
        if anchor != 0 {
            self.anchors.insert(anchor, Anchored::new(tree.clone()));
        }
    }

    fn count(&mut self, n_values: usize, span: Span) -> Result<(), Problem> {
        self.n_values += n_values;
        if self.n_values <= self.bounds.values_max {
            return Ok(());
        }
        let message = format!("the {} has more than {} values", self.bounds.what, self.bounds.values_max);
        Err(Box::new(too_large(span, message, "move data into files, or parts into sub-diagrams")))
    }

    fn open_map(&self) -> Option<&OpenMap> {
        match &self.open.last()?.content {
            Content::Map(map) => Some(map),
            Content::List(_) => None,
        }
    }

    fn awaits_key(&self) -> bool {
        self.open_map().is_some_and(|it| it.key.is_none())
    }

    /// The parser lets a tab stand before the first key of a text; then nothing below lines up.
    fn check_indentation(&self, span: Span) -> Result<(), Problem> {
        // Within `{…}` tabs are fine, and a line may be long and hold all keys of the text.
        if self.text[self.open.last().map_or(0, |it| it.span.offset)..].starts_with('{') {
            return Ok(());
        }
        let before = &self.text[..span.offset];
        let line_start = before.rfind(['\n', '\r']).map_or(0, |it| it + 1);
        let indentation = &before[line_start..];
        if !indentation.contains('\t') || !indentation.trim().is_empty() {
            return Ok(());
        }
        let place = Span { line: span.line, column: 1, offset: line_start, len: indentation.len() };
        Err(Box::new(Diagnostic::new("E101", place, "a tab stands in the indentation").hint("indent with blanks")))
    }

    fn check_tag(&self, tag: Option<&Tag>, expected: &str, span: Span) -> Result<(), Problem> {
        match tag {
            Some(tag) if !tag.is_yaml_core_schema_tag(expected) => Err(unknown_tag(tag, span)),
            _ => Ok(()),
        }
    }

    fn syntax_error(&self, error: &ScanError) -> Problem {
        let mark = error.marker();
        let index = LineIndex::new(self.text);
        let span = index.span(mark.byte_offset().unwrap_or(self.text.len()), 0);
        if *error.kind() == ErrorKind::RecursionLimitExceeded {
            return too_deep(span);
        }
        let hint = syntax_hint(error.kind(), excerpt(self.text, span));
        Box::new(Diagnostic::new("E101", span, error.info()).hint(hint))
    }
}

/// Whether a text begins as JSON does; by the rule of diagrams.md 1.4 it is native then.
pub(super) fn looks_like_json(text: &str) -> bool {
    text.trim_start_matches(['\u{feff}', ' ', '\t', '\n', '\r']).starts_with('{')
}

fn place_of(place: &ParserSpan) -> Span {
    let range = place.byte_range().unwrap_or_default();
    Span {
        line: u32::try_from(place.start.line()).unwrap_or(u32::MAX),
        column: u32::try_from(place.start.col() + 1).unwrap_or(u32::MAX),
        offset: range.start,
        len: range.len(),
    }
}
