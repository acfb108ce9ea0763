//! Text of any format to a [`Diagram`]: detects the format from the content and reads it.

use super::detect::{Detected, by_sections, detect, guess};
use super::draft::Draft;
use super::load::{check_json, load, looks_like_json};
use super::tree::{Span, Tree};
use super::{Diagnostic, Diagram, Format, light, native, readable, slips};

/// What came out of a text: the diagram as far as it could be read, and every problem.
#[derive(Clone, Debug, Default)]
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
        Err(diagnostics) => return nothing(guess(text), slips::explained(text, diagnostics)),
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
pub(super) fn read_tree(text: &str) -> Result<(Tree, Vec<Diagnostic>), Vec<Diagnostic>> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SAMPLES: [&str; 3] = [
        "version: light\npersons:\n  P: {service: scripted, replies: [a]}\nnodes:\n- {label: s, type: start, custom_data: {n: 1}}\n\
         - {label: c, type: condition, expression: 'n > 1', position: {x: 1, y: 2}}\n- label: e\n  type: endpoint\n  retry.max: 3\n\
         connections:\n- {from: s, to: c}\n- {from: 'c[condtrue]', to: e, label: x, content_type: raw_text}\n- {from: c_condfalse, to: e}\n",
        "version: readable\nnodes:\n- S [start] @(1,2):\n- 'W (a)': {person: P, default_prompt: hi}\n- E: {save_to_file: yes}\n\
         flow:\n- S -> W (a) (raw_text)(t)\n- W (a): [E, to \"E\" as \"object\"]\n",
        "{\"nodes\": {\"a_1\": {\"type\": \"start\", \"data\": {\"label\": \"s\"}}}, \"arrows\": [{\"source\": \"a_1_default_output\", \
         \"target\": \"a_1_default_input\"}], \"handles\": [{\"id\": \"a_1_x_input\"}], \"persons\": {\"p\": {\"llm_config\": {}}}}",
    ];

    /// Every place must lie within the text, and every repair must be applicable.
    fn check_places(text: &str) {
        for asked in [None, Some(Format::Light), Some(Format::Readable), Some(Format::Native)] {
            for it in parse(text, asked).diagnostics {
                assert!(it.span.line >= 1 && it.span.column >= 1, "{it:?}");
                assert!(text.get(it.span.offset..it.span.offset + it.span.len).is_some(), "{it:?}");
                if let Some(patch) = &it.patch {
                    assert!(text.get(patch.offset..patch.offset + patch.len).is_some(), "{it:?}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn arbitrary_text_never_panics(text in "\\PC{0,80}|[\\x00-\\x7f]{0,80}") {
            check_places(&text);
        }

        #[test]
        fn text_made_of_yaml_pieces_never_panics(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "nodes:", "flow:", "connections:", "arrows:", "persons:", "version: light", "version: readable", "- ", "\n",
                    "\n  ", "{", "}", "[", "]", ": ", ", ", "label: ", "type: ", "start", "&a ", "*a", "<<: ", "\"", "'", "| ",
                    "to \"x\" ", "a -> b", "(x)", "@(1,2)", "é", "\t", "#", "---\n", "...", "? ", "!!str ", "007", "a.b.c: 1", "null",
                ]),
                0..40,
            )
        ) {
            check_places(&pieces.concat());
        }

        #[test]
        fn samples_with_a_piece_cut_out_or_doubled_never_panic(
            sample in prop::sample::select(SAMPLES.to_vec()), start in 0_usize..700, len in 0_usize..40, doubled: bool,
        ) {
            let characters: Vec<char> = sample.chars().collect();
            let start = start.min(characters.len());
            let end = (start + len).min(characters.len());
            let head = if doubled { &characters[..end] } else { &characters[..start] };
            let tail = if doubled { &characters[start..] } else { &characters[end..] };
            check_places(&head.iter().chain(tail).collect::<String>());
        }
    }

    #[test]
    fn problems_come_in_the_order_of_their_places() {
        let text = "nodes:\n- {label: a, type: strat}\nconnections:\n- {from: x, to: a}\npersons:\n  P: 5\n";
        let lines: Vec<_> = parse(text, None).diagnostics.iter().map(|it| (it.code, it.span.line)).collect();
        assert_eq!(lines, [("W102", 1), ("E202", 2), ("E301", 4), ("E106", 6)]);
    }

    #[test]
    fn hostile_diagrams_are_read_without_overflow_and_with_short_words() {
        let label = "x".repeat(300_000);
        let fan = format!(
            "version: readable\nnodes:\n- c [condition]:\n- e [endpoint]:\nflow:\n- c:{}\n",
            "\n  - e".repeat(4_000)
        );
        for (name, text) in [
            ("one source, many destinations", fan.clone()),
            ("the same with a long label", fan.replace("- c", &format!("- {label}"))),
            ("dots", format!("version: light\nnodes: [{{label: a, type: start, {}b: 1}}]\n", "a.".repeat(200_000))),
            (
                "underscores",
                format!(
                    "version: light\nnodes: [{{label: a}}]\nconnections: [{{from: {}, to: a}}]\n",
                    "_".repeat(500_000)
                ),
            ),
            ("groups", format!("version: readable\nnodes: [a]\nflow: [a: 'b {}']\n", "(x)".repeat(300_000))),
            ("parentheses", format!("version: readable\nnodes: [a]\nflow: [a: 'b {}']\n", ")".repeat(900_000))),
            (
                "unknown keys",
                format!("version: light\n{}", (0..3_000).map(|it| format!("key{it}: 1\n")).collect::<String>()),
            ),
            (
                "unknown person fields",
                format!(
                    "version: light\npersons: {{P: {{{}}}}}\n",
                    (0..3_000).map(|it| format!("key{it}: 1, ")).collect::<String>()
                ),
            ),
            (
                "one line of JSON",
                format!("{{\"nodes\": [{}1]}}", "{\"id\": 1, \"data\": {\"label\": \"a\"}},".repeat(900)),
            ),
            (
                "many fields",
                format!(
                    "version: light\nnodes: [{{label: 5, type: start, {}}}]\n",
                    (0..3_000).map(|it| format!("f.k{it}: 1, ")).collect::<String>()
                ),
            ),
        ] {
            let parsed = parse(&text, None);
            assert!(!parsed.diagnostics.is_empty(), "{name}");
            for it in parsed.diagnostics {
                let longest =
                    it.message.len().max(it.hint.map_or(0, |it| it.len())).max(it.at.map_or(0, |it| it.len()));
                assert!(longest < 1_000, "{name}: {longest}");
            }
        }
    }
}
