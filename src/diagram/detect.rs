//! Which format a text has, by its content (diagrams.md 1.4).

use super::diagnostic::Diagnostic;
use super::draft::key_span;
use super::kinds::Format;
use super::load::looks_like_json;
use super::render::spelled_like;
use super::tree::{Span, Tree, TreeKind};
use crate::nearest::nearest;

/// How the format was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Detected {
    pub format: Format,
    /// Whether the content shows it; otherwise `format` is only what is assumed.
    pub is_shown: bool,
    /// Whether `version` or `format` says it.
    pub is_tagged: bool,
}

/// Finds the format of a text that was read as `tree`.
///
/// A text that begins with `{` is native, unless its tag says light or readable: then it is that
/// format written in JSON, as programs do.
///
/// # Errors
///
/// E105: the tag is no format, or `version` and `format` name two.
pub(super) fn detect(text: &str, tree: &Tree) -> Result<Detected, Box<Diagnostic>> {
    let tagged = tag(text, tree)?;
    let shown = tagged.or_else(|| looks_like_json(text).then_some(Format::Native)).or_else(|| by_sections(tree));
    Ok(Detected { format: shown.unwrap_or(Format::Light), is_shown: shown.is_some(), is_tagged: tagged.is_some() })
}

/// Guesses the format of a text that could not be read.
pub(super) fn guess(text: &str) -> Format {
    if looks_like_json(text) {
        return Format::Native;
    }
    let mut by_section = None;
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.split('#').next().unwrap_or_default().trim().trim_matches(['"', '\'']);
        match key {
            "version" | "format" if Format::parse(value).is_some() => {
                return Format::parse(value).unwrap_or(Format::Light);
            }
            "flow" => by_section = by_section.or(Some(Format::Readable)),
            "connections" => by_section = by_section.or(Some(Format::Light)),
            "arrows" => by_section = by_section.or(Some(Format::Native)),
            _ => {}
        }
    }
    by_section.unwrap_or(Format::Light)
}

/// The format that the sections show.
pub(super) fn by_sections(tree: &Tree) -> Option<Format> {
    [("flow", Format::Readable), ("connections", Format::Light), ("arrows", Format::Native)]
        .into_iter()
        .find(|(key, _)| tree.get(key).is_some())
        .map(|(_, format)| format)
}

fn tag(text: &str, tree: &Tree) -> Result<Option<Format>, Box<Diagnostic>> {
    let format = named(text, tree, "format")?;
    let version = match format {
        // Beside `format` a `version` is the version of the diagram.
        Some(_) => tree.get("version").and_then(Tree::as_text).and_then(Format::parse),
        None => named(text, tree, "version")?,
    };
    match (format, version) {
        (Some(format), Some(version)) if format != version => {
            let message = format!("`format` says {} and `version` says {}", format.name(), version.name());
            Err(unknown(key_span(tree, "version"), message, "remove one of the two"))
        }
        _ => Ok(format.or(version)),
    }
}

fn named(text: &str, tree: &Tree, key: &str) -> Result<Option<Format>, Box<Diagnostic>> {
    let Some(value) = tree.get(key).filter(|it| !it.is_null()) else { return Ok(None) };
    let name = value.as_text().unwrap_or_default().trim();
    if let Some(format) = Format::parse(name) {
        return Ok(Some(format));
    }
    // `version: 1.0.0` is the version of the diagram, which has no format tag then.
    let is_number = matches!(value.kind, TreeKind::Number(_)) || name.starts_with(|it: char| it.is_ascii_digit());
    if key == "version" && (is_number || looks_like_json(text)) {
        return Ok(None);
    }
    let message = match value.as_text() {
        Some(name) => format!("`{key}: {name}` is not a format"),
        None => format!("`{key}` is {}, not a format", value.kind_name()),
    };
    let mut diagnostic = unknown(value.span, message, "write light, readable or native");
    if let Some(near) = nearest(name, [Format::Light, Format::Readable, Format::Native].map(Format::name)) {
        let replacement = spelled_like(super::render::source(text, value.span), near);
        *diagnostic = diagnostic.hint(format!("did you mean `{near}`?")).patch(value.span, replacement);
    }
    diagnostic.at = Some(key.to_owned());
    Err(diagnostic)
}

fn unknown(span: Span, message: String, hint: &str) -> Box<Diagnostic> {
    Box::new(Diagnostic::new("E105", span, message).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagram::parse;

    /// Returns the format found and the codes of E105 and W102.
    fn found(text: &str, asked: Option<Format>) -> (Option<Format>, Vec<&'static str>) {
        let parsed = parse(text, asked);
        let codes = parsed.diagnostics.iter().map(|it| it.code).filter(|it| ["E105", "W102"].contains(it)).collect();
        assert_eq!(parsed.diagram.is_none(), parsed.diagnostics.iter().any(|it| it.code < "E106"), "{text}");
        (parsed.format, codes)
    }

    #[test]
    fn the_content_shows_the_format() {
        use Format::{Light, Native, Readable};
        for (text, format, codes) in [
            ("version: light\n", Light, vec![]),
            ("version: Readable\n", Readable, vec![]),
            ("format: readable\nversion: 1.0.0\n", Readable, vec![]),
            ("format: native\nnodes: []\n", Native, vec![]),
            ("flow: []\nnodes: []\n", Readable, vec!["W102"]),
            ("connections: []\n", Light, vec!["W102"]),
            ("arrows: []\n", Native, vec![]),
            ("nodes: []\n", Light, vec!["W102"]),
            ("version: 2\nnodes: []\n", Light, vec!["W102"]),
            ("{}", Native, vec![]),
            ("{\"nodes\": [], \"version\": \"v2\"}", Native, vec![]),
            ("{\"version\": \"light\", \"nodes\": []}", Light, vec![]),
            ("{version: light, nodes: []}", Light, vec![]),
            ("version: heavy\nflow: []\n", Readable, vec!["E105"]),
            ("version: [light]\n", Light, vec!["E105"]),
            ("format: light\nversion: readable\n", Light, vec!["E105"]),
        ] {
            assert_eq!(found(text, None), (Some(format), codes), "{text}");
        }
    }

    #[test]
    fn a_flag_decides_only_where_the_content_shows_nothing() {
        use Format::{Light, Native, Readable};
        for (text, asked, format, codes) in [
            ("nodes: []\n", Readable, Readable, vec!["W102"]),
            ("nodes: []\n", Native, Native, vec![]),
            ("version: light\n", Light, Light, vec![]),
            ("version: light\n", Readable, Light, vec!["E105"]),
            ("flow: []\n", Light, Readable, vec!["E105"]),
            ("{}", Light, Native, vec!["E105"]),
        ] {
            assert_eq!(found(text, Some(asked)), (Some(format), codes), "{text} as {}", asked.name());
        }
    }

    #[test]
    fn a_text_that_cannot_be_read_still_has_a_format() {
        for (text, format) in [
            ("- a\n", Format::Light),
            ("{\"a\": ", Format::Native),
            ("version: readable  # tag\nnodes: [\n", Format::Readable),
            ("flow:\n- [\n", Format::Readable),
            ("", Format::Light),
        ] {
            assert_eq!(found(text, None).0, Some(format), "{text}");
        }
    }

    #[test]
    fn a_misspelt_tag_has_a_repair() {
        let parsed = parse("version: ligth\nnodes: []\n", None);
        assert_eq!(parsed.diagnostics[0].patch.as_ref().map(|it| it.replacement.as_str()), Some("light"));
    }
}
