//! Text of any format to a [`Diagram`]: detects the format from the content and reads it.

use super::detect::{Detected, by_sections, detect, guess};
use super::draft::Draft;
use super::load::{check_json, load, looks_like_json};
use super::tree::{Span, Tree};
use super::{Diagnostic, Diagram, Format, light, native, readable};

/// What came out of a text: the diagram as far as it could be read, and every problem.
#[derive(Debug, Default)]
pub struct Parsed {
    /// `None` when nothing could be read (E101-E105).
    pub diagram: Option<Diagram>,
    /// The format the content shows, also when nothing else could be read.
    pub format: Option<Format>,
    /// Every problem found, in the order of their places.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads `text`; `asked` is the format an explicit flag names (E105 when the content contradicts it).
///
/// Takes bounded time, memory and stack on any text.
pub fn parse(text: &str, asked: Option<Format>) -> Parsed {
    let (tree, warnings) = match read_tree(text) {
        Ok(loaded) => loaded,
        Err(diagnostics) => return nothing(guess(text), diagnostics),
    };
    let detected = match detect(text, &tree) {
        Ok(detected) => detected,
        Err(diagnostic) => return nothing(by_sections(&tree).unwrap_or_else(|| guess(text)), vec![*diagnostic]),
    };
    if let Some(asked) = asked.filter(|it| detected.is_shown && *it != detected.format) {
        return nothing(detected.format, vec![contradiction(asked, detected.format)]);
    }
    let format = asked.unwrap_or(detected.format);
    let mut draft = Draft::new(text, format);
    draft.diagnostics = warnings;
    if let Some(warning) = missing_tag(&tree, format, detected) {
        draft.report(warning);
    }
    let diagram = read_diagram(&tree, &mut draft);
    let mut diagnostics = draft.diagnostics;
    diagnostics.sort_by_key(|it| it.span.offset);
    let is_readable = !diagnostics.iter().any(|it| it.code == "E104");
    Parsed { diagram: is_readable.then_some(diagram), format: Some(format), diagnostics }
}

fn read_diagram(tree: &Tree, draft: &mut Draft<'_>) -> Diagram {
    match draft.format {
        Format::Light => light::read(tree, draft),
        Format::Readable => readable::read(tree, draft),
        Format::Native => native::read(tree, draft),
    }
}

/// A text that begins with `{` must be JSON, unless it is light or readable in YAML's own braces.
fn read_tree(text: &str) -> Result<(Tree, Vec<Diagnostic>), Vec<Diagnostic>> {
    if !looks_like_json(text) {
        return load(text).map(|it| (it.tree, it.warnings));
    }
    let Err(not_json) = check_json(text) else { return load(text).map(|it| (it.tree, it.warnings)) };
    match load(text) {
        Ok(loaded) if detect(text, &loaded.tree).is_ok_and(|it| it.format != Format::Native) => {
            Ok((loaded.tree, loaded.warnings))
        }
        Err(diagnostics) if diagnostics.iter().all(|it| it.code == "E104") => Err(diagnostics),
        _ => Err(not_json),
    }
}

fn nothing(format: Format, diagnostics: Vec<Diagnostic>) -> Parsed {
    Parsed { diagram: None, format: Some(format), diagnostics }
}

fn contradiction(asked: Format, found: Format) -> Diagnostic {
    let place = Span { line: 1, column: 1, offset: 0, len: 0 };
    let message = format!("the format asked for is {}, and the text is {}", asked.name(), found.name());
    Diagnostic::new("E105", place, message).hint(format!("ask for {}, or for none", found.name()))
}

/// Native needs no tag: its first character says what it is.
fn missing_tag(tree: &Tree, format: Format, detected: Detected) -> Option<Diagnostic> {
    if detected.is_tagged || format == Format::Native {
        return None;
    }
    let place = Span { line: 1, column: 1, offset: 0, len: 0 };
    // A `version` that is there already is the version of the diagram.
    let key = if tree.get("version").is_some() { "format" } else { "version" };
    let line = format!("{key}: {}", format.name());
    let diagnostic = Diagnostic::new("W102", place, "the text does not name its format").at("version");
    let diagnostic = diagnostic.hint(format!("begin with `{line}`"));
    let first = tree.entries().first().map(|(key, _)| key.span).filter(|it| it.column == 1);
    Some(match first {
        Some(first) => diagnostic.patch(Span { len: 0, ..first }, format!("{line}\n")),
        None => diagnostic,
    })
}
