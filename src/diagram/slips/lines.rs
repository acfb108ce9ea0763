//! Slips of whole lines: what does not belong to the text, and what stands at the wrong place.

use super::Slip;
use crate::diagram::diagnostic::Patch;
use crate::diagram::tree::Span;

/// Keys whose values are texts that are often long.
const LONG_TEXTS: [&str; 11] = [
    "code",
    "default_prompt",
    "first_only_prompt",
    "prompt",
    "system_prompt",
    "template_content",
    "text_format",
    "judge_by",
    "command",
    "body",
    "diff",
];

/// The beginnings of the lines a diagram consists of.
const SECTIONS: [&str; 7] = ["version:", "format:", "nodes:", "connections:", "flow:", "persons:", "{"];

/// Returns what may be wrong around `place`, the likeliest first.
pub(super) fn slips(text: &str, place: Span) -> Vec<Slip> {
    let found = [
        fence(text),
        tabs(text, place),
        comment(text, place),
        long_text(text, place),
        item(text, place),
        indentation(text, place),
    ];
    found.into_iter().flatten().collect()
}

/// One line of a text.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    /// Where it begins, in bytes.
    pub start: usize,
    /// Without its end.
    pub text: &'a str,
}

impl<'a> Line<'a> {
    /// The line that holds `offset`.
    pub(super) fn at(text: &'a str, offset: usize) -> Self {
        let offset = offset.min(text.len());
        let start = text.as_bytes()[..offset].iter().rposition(|it| *it == b'\n').map_or(0, |it| it + 1);
        let rest = text.get(start..).unwrap_or_default();
        Self { start, text: rest.lines().next().unwrap_or_default() }
    }

    /// The nearest line before this one that holds something.
    pub(super) fn before(self, text: &'a str) -> Option<Self> {
        let mut line = self;
        loop {
            line = Self::at(text, line.start.checked_sub(1)?);
            let shown = line.text.trim();
            if !shown.is_empty() && !shown.starts_with('#') {
                return Some(line);
            }
        }
    }

    /// Its blanks and tabs at the beginning, in bytes.
    fn indentation(self) -> usize {
        self.text.len() - self.text.trim_start().len()
    }

    /// Where its first key begins: behind the dash of an item.
    fn key_column(self) -> usize {
        let body = self.text.trim_start();
        let key = body.strip_prefix('-').filter(|it| it.starts_with(' ')).map_or(body, str::trim_start);
        self.text.len() - key.len()
    }
}

/// A Markdown fence: first the line that opens it and what stands before, then what closes it.
fn fence(text: &str) -> Option<Slip> {
    let mut start = 0;
    let line = text.split_inclusive('\n').find_map(|line| {
        let at = start;
        start += line.len();
        line.starts_with("```").then_some((at, line))
    });
    let (at, line) = line?;
    let is_in_diagram = text[..at].lines().any(|it| SECTIONS.iter().any(|section| it.starts_with(section)));
    let hint = "leave out the lines with ``` and what stands outside of them";
    Some(if is_in_diagram {
        let patch = Patch { offset: at, len: text.len() - at, replacement: String::new() };
        Slip::new("a Markdown fence ends here, which is no part of the diagram", hint, patch)
    } else {
        let patch = Patch { offset: 0, len: at + line.len(), replacement: String::new() };
        Slip::new("a Markdown fence stands around the diagram", hint, patch)
    })
}

/// Tabs as indentation: two blanks for each, from the first such line to the last.
fn tabs(text: &str, place: Span) -> Option<Slip> {
    let here = Line::at(text, place.offset).start;
    let mut start = 0;
    let lines = text.split_inclusive('\n').map(|line| {
        let at = start;
        start += line.len();
        (at, &line[..line.len() - line.trim_start_matches([' ', '\t']).len()])
    });
    // Behind blanks a tab may be part of a long text; in the line that does not read it is not.
    let with_tabs = lines.filter(|(at, blanks)| blanks.starts_with('\t') || *at == here && blanks.contains('\t'));
    let places: Vec<(usize, &str)> = with_tabs.collect();
    let (&(first, _), &(last, last_blanks)) = (places.first()?, places.last()?);
    let (mut replacement, mut done) = (String::new(), first);
    for (at, blanks) in &places {
        replacement.push_str(text.get(done..*at)?);
        replacement.push_str(&blanks.replace('\t', "  "));
        done = at + blanks.len();
    }
    let patch = Patch { offset: first, len: last + last_blanks.len() - first, replacement };
    Some(Slip::new("a tab stands in the indentation", "indent with blanks, not with tabs", patch))
}

fn comment(text: &str, place: Span) -> Option<Slip> {
    let line = Line::at(text, place.offset);
    line.text.trim_start().strip_prefix("//")?;
    let patch = Patch { offset: line.start + line.indentation(), len: 2, replacement: "#".to_owned() };
    Some(Slip::new("`//` begins no comment here", "begin a comment with `#`", patch))
}

/// `code:` and the code below it, without the `|` that makes it one text.
fn long_text(text: &str, place: Span) -> Option<Slip> {
    let here = Line::at(text, place.offset);
    let mut line = here;
    while line.start == here.start || line.indentation() >= here.indentation() {
        line = line.before(text)?;
    }
    let key = line.text.trim_end().strip_suffix(':')?.trim_start().trim_start_matches("- ");
    if !LONG_TEXTS.contains(&key) {
        return None;
    }
    let patch = Patch { offset: line.start + line.text.trim_end().len(), len: 0, replacement: " |".to_owned() };
    Some(Slip::new(format!("`{key}` is a text of several lines without `|`"), format!("write `{key}: |`"), patch))
}

/// `{…}` among items that begin with a dash.
fn item(text: &str, place: Span) -> Option<Slip> {
    let line = Line::at(text, place.offset);
    let above = line.before(text)?;
    if !line.text.trim_start().starts_with('{') || !above.text.trim_start().starts_with("- ") {
        return None;
    }
    let patch = Patch { offset: line.start + above.indentation(), len: 0, replacement: "- ".to_owned() };
    Some(Slip::new("this is no item of a list: its dash is missing", "begin it with `- `", patch))
}

/// A key that stands one blank beside the one above it.
fn indentation(text: &str, place: Span) -> Option<Slip> {
    let line = Line::at(text, place.offset);
    let above = line.before(text)?;
    let (is, should_be) = (line.indentation(), above.key_column());
    if is.abs_diff(should_be) != 1 || !line.text.contains(':') {
        return None;
    }
    let patch = Patch { offset: line.start, len: is, replacement: " ".repeat(should_be) };
    let hint = format!("begin it in column {}, below the line before", should_be + 1);
    Some(Slip::new("this line is indented by one blank too many or too few", hint, patch))
}

/// The repair for two items run into one: the second `label` or `from` begins with a dash.
pub(super) fn missing_dash(text: &str, key: Span) -> Option<Patch> {
    let line = Line::at(text, key.offset);
    let at = key.offset.checked_sub(2)?;
    let begins_an_item = matches!(text.get(key.offset..key.offset + key.len), Some("label" | "from"));
    let is_first_of_line = text.get(line.start..key.offset)?.bytes().all(|it| it == b' ') && line.start <= at;
    (begins_an_item && is_first_of_line).then(|| Patch { offset: at, len: 2, replacement: "- ".to_owned() })
}
