//! Where every entry and item of a YAML text begins and ends, so that one can be changed and the rest left
//! alone. The parser's events give the scalars; what stands between them is found here.

use serde_yaml::granit_parser::{Event, Options, Parser, ScalarStyle, Span as ParserSpan};

use crate::limits::DIAGRAM_DEPTH_MAX;

/// One value of the text: bytes `start..end`, without a comment behind it.
#[derive(Debug)]
pub(super) struct Extent {
    pub start: usize,
    pub end: usize,
    pub shape: Shape,
}

#[derive(Debug)]
pub(super) enum Shape {
    /// Nothing is written: `key:` alone.
    Empty,
    Scalar,
    /// A text in a block, `|` or `>`.
    Block,
    Map {
        is_flow: bool,
        entries: Vec<Entry>,
    },
    List {
        is_flow: bool,
        items: Vec<Item>,
    },
}

/// One entry of a mapping.
#[derive(Debug)]
pub(super) struct Entry {
    pub name: String,
    pub key_start: usize,
    /// Behind the `:`, or behind the key where there is none.
    pub after: usize,
    pub value: Extent,
}

/// One item of a list.
#[derive(Debug)]
pub(super) struct Item {
    /// Where its dash stands; in brackets where the item begins.
    pub dash: usize,
    pub value: Extent,
}

impl Entry {
    pub(super) fn end(&self) -> usize {
        self.value.end.max(self.after)
    }
}

/// The text holds something whose place cannot be told, such as a key with an anchor.
#[derive(Debug)]
pub(super) struct Unclear;

/// Finds the extents of a text that can be read.
pub(super) fn extents(text: &str) -> Result<Extent, Unclear> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.flow_nesting_limit = DIAGRAM_DEPTH_MAX;
    options.block_nesting_limit = DIAGRAM_DEPTH_MAX;
    options.simple_key_max_lookahead = text.len().max(1);
    let mut events = Vec::new();
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, place) = next.map_err(|_| Unclear)?;
        let is_frame =
            matches!(event, Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd);
        if !is_frame {
            events.push((event, place));
        }
    }
    let begin = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut finder = Finder { text, events: events.into_iter() };
    let (event, place) = finder.events.next().ok_or(Unclear)?;
    let first_line_is_content = !text[begin..].trim_start().starts_with("---") && !text[begin..].starts_with('%');
    if !first_line_is_content {
        return Err(Unclear);
    }
    finder.value(&event, &place, begin, None)
}

struct Finder<'a, I> {
    text: &'a str,
    events: I,
}

impl<'a, I: Iterator<Item = (Event<'a>, ParserSpan)>> Finder<'a, I> {
    /// Finds the value of `event`, which is written behind `after`; `column` is that of its key or dash.
    fn value(
        &mut self,
        event: &Event<'_>,
        place: &ParserSpan,
        after: usize,
        column: Option<usize>,
    ) -> Result<Extent, Unclear> {
        let range = place.byte_range().ok_or(Unclear)?;
        let start = skip(self.text, after);
        match event {
            Event::Scalar(_, ScalarStyle::Literal | ScalarStyle::Folded, ..) => {
                let header = start + self.text[start..].find(['|', '>']).ok_or(Unclear)?;
                Ok(Extent { start, end: block_end(self.text, header, column), shape: Shape::Block })
            }
            // The parser calls what is not written `~`.
            Event::Scalar(value, ScalarStyle::Plain, ..)
                if value.is_empty() || value == "~" && self.text.get(range.clone()) != Some("~") =>
            {
                Ok(Extent { start: after, end: after, shape: Shape::Empty })
            }
            Event::Scalar(..) | Event::Alias(_) => {
                let end = range.start + self.text.get(range).ok_or(Unclear)?.trim_end().len();
                if start >= end {
                    return Err(Unclear);
                }
                Ok(Extent { start, end, shape: Shape::Scalar })
            }
            Event::MappingStart(..) => self.map(start),
            Event::SequenceStart(..) => self.list(start),
            _ => Err(Unclear),
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, ParserSpan), Unclear> {
        self.events.next().ok_or(Unclear)
    }

    fn map(&mut self, start: usize) -> Result<Extent, Unclear> {
        let open = skip_decoration(self.text, start);
        let is_flow = self.text[open..].starts_with('{');
        let mut end = if is_flow { open + 1 } else { open };
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, place) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let entry = self.entry(&event, &place, end, is_flow)?;
            end = entry.end();
            entries.push(entry);
        }
        if is_flow {
            end = close(self.text, end, '}')?;
        }
        Ok(Extent { start, end, shape: Shape::Map { is_flow, entries } })
    }

    fn entry(&mut self, key: &Event<'_>, place: &ParserSpan, after: usize, is_flow: bool) -> Result<Entry, Unclear> {
        let Event::Scalar(name, style, ..) = key else { return Err(Unclear) };
        let range = place.byte_range().ok_or(Unclear)?;
        let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
        let key_start = skip_separator(self.text, after, is_flow);
        // A long key stands behind a `?`, and its colon may stand on the next line.
        let is_explicit = self.text[key_start..].starts_with("? ");
        let name_start = if is_explicit { skip(self.text, key_start + 1) } else { key_start };
        // A key with an anchor or a tag, or no key at all.
        if is_block || name_start != range.start || range.is_empty() {
            return Err(Unclear);
        }
        let key_end = range.start + self.text.get(range).ok_or(Unclear)?.trim_end().len();
        let blanks = self.text[key_end..].len() - self.text[key_end..].trim_start_matches([' ', '\t']).len();
        let colon = if is_explicit { skip(self.text, key_end) } else { key_end + blanks };
        let has_colon = self.text[colon..].starts_with(':');
        if !has_colon && !is_flow {
            return Err(Unclear);
        }
        let after = if has_colon { colon + 1 } else { key_end };
        let (event, place) = self.next()?;
        let value = self.value(&event, &place, after, Some(column(self.text, key_start)))?;
        Ok(Entry { name: name.to_string(), key_start, after, value })
    }

    fn list(&mut self, start: usize) -> Result<Extent, Unclear> {
        let open = skip_decoration(self.text, start);
        let is_flow = self.text[open..].starts_with('[');
        let mut end = if is_flow { open + 1 } else { open };
        let mut items: Vec<Item> = Vec::new();
        loop {
            let (event, place) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                break;
            }
            let dash = skip_separator(self.text, end, is_flow);
            if !is_flow && !self.text[dash..].starts_with('-') {
                return Err(Unclear);
            }
            let after = if is_flow { dash } else { dash + 1 };
            let value = self.value(&event, &place, after, Some(column(self.text, dash)))?;
            end = value.end.max(after);
            items.push(Item { dash, value });
        }
        if is_flow {
            end = close(self.text, end, ']')?;
        }
        Ok(Extent { start, end, shape: Shape::List { is_flow, items } })
    }
}

/// Bytes between the beginning of the line and `at`.
pub(super) fn column(text: &str, at: usize) -> usize {
    at - line_start(text, at)
}

pub(super) fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |it| it + 1)
}

/// Where the line of `at` ends, without its line end.
pub(super) fn line_end(text: &str, at: usize) -> usize {
    let end = text[at..].find('\n').map_or(text.len(), |it| at + it);
    if text[at..end].ends_with('\r') { end - 1 } else { end }
}

/// Skips blanks, line ends and comments.
pub(super) fn skip(text: &str, mut at: usize) -> usize {
    loop {
        at += text[at..].len() - text[at..].trim_start_matches([' ', '\t', '\n', '\r']).len();
        let is_comment =
            text[at..].starts_with('#') && (at == 0 || text[..at].ends_with([' ', '\t', '\n', '\r', '\u{feff}']));
        if !is_comment {
            return at;
        }
        at = text[at..].find('\n').map_or(text.len(), |it| at + it);
    }
}

fn skip_separator(text: &str, at: usize, is_flow: bool) -> usize {
    let at = skip(text, at);
    if is_flow && text[at..].starts_with(',') { skip(text, at + 1) } else { at }
}

/// Skips anchors and tags.
fn skip_decoration(text: &str, mut at: usize) -> usize {
    while text[at..].starts_with(['&', '!']) {
        at = text[at..].find([' ', '\t', '\n', '\r']).map_or(text.len(), |it| at + it);
        at = skip(text, at);
    }
    at
}

/// Returns the place behind the closing bracket; a comma may stand before it.
fn close(text: &str, at: usize, bracket: char) -> Result<usize, Unclear> {
    let at = skip_separator(text, at, true);
    if text[at..].starts_with(bracket) { Ok(at + 1) } else { Err(Unclear) }
}

/// Returns where a block text ends whose header stands at `header`: before the first line that is not blank
/// and not deeper than its key or dash. Blank lines at its end count only where the header keeps them.
fn block_end(text: &str, header: usize, column: Option<usize>) -> usize {
    let first_line_end = line_end(text, header);
    let words = text[header..first_line_end].split('#').next().unwrap_or_default();
    let keeps = words.contains('+');
    let mut end = header + words.trim_end().len();
    let mut at = header + text[header..].find('\n').map_or(text[header..].len(), |it| it + 1);
    while at < text.len() {
        let stop = line_end(text, at);
        let line = &text[at..stop];
        let is_blank = line.trim_matches([' ', '\t']).is_empty();
        let indent = line.len() - line.trim_start_matches(' ').len();
        if !is_blank && column.is_some_and(|it| indent <= it) {
            break;
        }
        if !is_blank || keeps || indent > column.unwrap_or(0) + 1 {
            end = stop;
        }
        at = text[at..].find('\n').map_or(text.len(), |it| at + it + 1);
    }
    end
}
