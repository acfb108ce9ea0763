//! Slips that keep a whole text from being read, each with what to write: a Markdown fence around it, tabs,
//! texts that need quotes. The parser only knows where it stopped; this looks at the line as an author
//! would. A repair is offered only when the text can be read further with it, which is tried out, so no
//! repair makes a text worse.

mod lines;
mod values;

use super::diagnostic::{Diagnostic, Patch};
use super::load::load;
use super::parse::read_tree;
use super::render::LineIndex;
use super::tree::{Spanned, Tree, TreeKind};

/// What probably went wrong, and the repair.
struct Slip {
    message: String,
    hint: String,
    patch: Patch,
}

impl Slip {
    fn new(message: impl Into<String>, hint: impl Into<String>, patch: Patch) -> Self {
        Self { message: message.into(), hint: hint.into(), patch }
    }
}

/// The words with which other notations begin.
const CHARTS: [&str; 6] = ["graph", "flowchart", "sequenceDiagram", "stateDiagram", "stateDiagram-v2", "digraph"];

/// Explains why `text` could not be read, where more can be said than the parser says.
pub(super) fn explained(text: &str, mut problems: Vec<Diagnostic>) -> Vec<Diagnostic> {
    if let [problem] = problems.as_mut_slice()
        && matches!(problem.code, "E101" | "E102")
    {
        if let Some(word) = chart(text) {
            problem.code = "E102";
            problem.span = LineIndex::new(text).span(text.find(word).unwrap_or(0), word.len());
            problem.message = format!("the text is a chart (`{word}`), not a diagram");
            problem.hint =
                Some("write nodes and connections as YAML; `dipeo://guide/light-format` shows how".to_owned());
            return problems;
        }
        let place = problem.span;
        let slips = lines::slips(text, place).into_iter().chain(values::slips(text, place));
        if let Some(slip) = slips.into_iter().find(|it| reads_further(text, &it.patch, place.offset)) {
            let index = LineIndex::new(text);
            problem.span = index.span(slip.patch.offset, 0);
            problem.message = slip.message;
            problem.hint = Some(slip.hint);
            problem.patch = Some(slip.patch);
        }
        return problems;
    }
    if let Some(problem) = problems.iter_mut().find(|it| it.code == "E103")
        && let Some(patch) = lines::missing_dash(text, problem.span)
        && load(&patched(text, &patch)).is_ok_and(|it| it.tree.is_map())
    {
        problem.hint = Some("begin the second item with `- `, or remove one of the two lines".to_owned());
        problem.patch = Some(patch);
    }
    problems
}

/// The word a chart of another notation begins with, behind a fence if there is one.
fn chart(text: &str) -> Option<&str> {
    let mut lines = text.lines().map(str::trim).filter(|it| !it.is_empty() && !it.starts_with("```"));
    let word = lines.next()?.split_whitespace().next()?;
    CHARTS.contains(&word).then_some(word)
}

/// Whether the text is read beyond `offset` with this repair.
fn reads_further(text: &str, patch: &Patch, offset: usize) -> bool {
    let repaired = patched(text, patch);
    let Err(problems) = read_tree(&repaired) else { return true };
    let left_before = text.len().saturating_sub(offset);
    problems.iter().all(|it| repaired.len().saturating_sub(it.span.offset) < left_before && it.code != "E104")
}

fn patched(text: &str, patch: &Patch) -> String {
    let (head, tail) = (text.get(..patch.offset), text.get(patch.offset + patch.len..));
    format!("{}{}{}", head.unwrap_or_default(), patch.replacement, tail.unwrap_or_default())
}

/// The repair that writes the nodes of a mapping `name: fields` as a list, where only the first line of each
/// has to change.
pub(super) fn nodes_as_list(text: &str, entries: &[(Spanned<String>, Tree)]) -> Option<Patch> {
    let first = entries.first()?.0.span.offset;
    let (mut replacement, mut done) = (String::new(), first);
    for (key, node) in entries {
        let has_fields = matches!(&node.kind, TreeKind::Map(fields) if !fields.is_empty());
        let written = text.get(key.span.offset..key.span.offset + key.span.len)?;
        let head = text.get(key.span.offset..node.span.offset)?;
        if !has_fields || node.get("label").is_some() || !head.trim_start_matches(written).trim().starts_with(':') {
            return None;
        }
        replacement.push_str(text.get(done..key.span.offset)?);
        if text.get(node.span.offset..)?.starts_with('{') {
            replacement.push_str(&format!("- {{label: {written}, "));
            done = node.span.offset + 1;
        } else {
            // What stands between the colon and the first field: the end of the line, a comment.
            let after_colon = key.span.offset + head.find(':')? + 1;
            replacement.push_str(&format!("- label: {written}"));
            done = after_colon;
        }
    }
    let patch = Patch { offset: first, len: done.checked_sub(first)?, replacement };
    let repaired = load(&patched(text, &patch)).ok()?;
    let items = repaired.tree.get("nodes").map(Tree::items).unwrap_or_default();
    let same = |(item, (key, _)): (&Tree, &(Spanned<String>, Tree))| {
        item.get("label").and_then(Tree::as_text) == Some(key.value.as_str())
    };
    (items.len() == entries.len() && items.iter().zip(entries).all(same)).then_some(patch)
}

#[cfg(test)]
mod tests {
    use crate::diagram::parse;
    use crate::diagram::testing::repaired;

    /// What the first problem of `text` says, and the text with its repair.
    #[track_caller]
    fn check(text: &str, message: &str, expected: &str) {
        let parsed = parse(text, None);
        let first = &parsed.diagnostics[0];
        assert!(first.message.contains(message), "{first:?}");
        assert_eq!(repaired(text), expected, "{first:?}");
    }

    const NODES: &str = "nodes:\n- {label: s, type: start}\n";

    #[test]
    fn a_fence_is_taken_away_first_its_beginning_then_its_end() {
        let plain = format!("version: light\n{NODES}");
        for (before, after, rest) in [("```yaml\n", "```\n", "```\n"), ("Sure:\n\n```\n", "```\nBye", "```\nBye")] {
            check(&format!("{before}{plain}{after}"), "fence", &format!("{plain}{rest}"));
        }
        check(&format!("{plain}```\nBye"), "fence", &plain);
        check("```json\n{\"nodes\": []}\n```", "fence", "{\"nodes\": []}\n```");
        check("{\"nodes\": []}\n```", "fence", "{\"nodes\": []}\n");
    }

    #[test]
    fn a_text_that_needs_quotes_gets_them() {
        for (line, message, expected) in [
            ("- {label: a[b], type: start}", "quotes", "- {label: \"a[b]\", type: start}"),
            ("- {label: %a, type: start}", "quotes", "- {label: \"%a\", type: start}"),
            ("- {label: a, note: {{b}} c, type: start}", "quotes", "- {label: a, note: \"{{b}} c\", type: start}"),
            ("- {label: a, note: “b {{c}}”}", "quotes", "- {label: a, note: \"b {{c}}\"}"),
            ("- label: a\n  note: b: c  # d", "quotes", "- label: a\n  note: \"b: c\"  # d"),
            ("- label: a\n  note: {{b}}", "quotes", "- label: a\n  note: \"{{b}}\""),
            ("- label: a\n  note: \"b", "quote", "- label: a\n  note: \"b\""),
            ("- {label: a:, type: start}", "colon", "- {label: a, type: start}"),
        ] {
            let text = |line: &str| format!("version: light\n{NODES}{line}\n");
            check(&text(line), message, &text(expected));
        }
    }

    #[test]
    fn lines_that_stand_wrong_are_set_right() {
        for (lines, message, expected) in [
            ("- label: a\n   type: start", "indented", "- label: a\n  type: start"),
            ("- label: a\n\ttype: start", "tab", "- label: a\n  type: start"),
            ("// b\n- label: a", "comment", "# b\n- label: a"),
            ("{label: a, type: start}", "item of a list", "- {label: a, type: start}"),
            (
                "- label: a\n  type: start\n  label: b\n  type: end",
                "stands in line",
                "- label: a\n  type: start\n- label: b\n  type: end",
            ),
            (
                "- label: a\n  code:\n    x = 1\n    y = {1: 2}",
                "several lines",
                "- label: a\n  code: |\n    x = 1\n    y = {1: 2}",
            ),
        ] {
            let text = |line: &str| format!("version: light\n{NODES}{line}\n");
            check(&text(lines), message, &text(expected));
        }
    }

    #[test]
    fn what_only_its_author_can_repair_has_no_repair() {
        for line in ["- label: a\n      deep: start", "- {label: \"a", "- ["] {
            let parsed = parse(&format!("version: light\n{NODES}{line}\n"), None);
            assert_eq!((parsed.diagnostics[0].code, &parsed.diagnostics[0].patch), ("E101", &None), "{line}");
        }
    }

    #[test]
    fn characters_of_several_bytes_stand_anywhere() {
        for line in ["\u{feff}a: b: c", "é: a: b", "- {label: é“: a, 🦀: “b: c}", "\u{2028}: \u{a0}: \u{feff}x"]
        {
            let text = format!("\u{feff}version: light\n{NODES}{line}\n");
            assert!(parse(&text, None).diagnostics.iter().all(|it| !it.message.is_empty()), "{line}");
        }
    }

    #[test]
    fn charts_are_called_so() {
        for text in ["graph TD\n  A --> B\n", "```mermaid\nflowchart LR\n  A --> B\n```\n", "digraph {\n a -> b\n}\n"] {
            let found = &parse(text, None).diagnostics[0];
            assert_eq!((found.code, found.message.contains("chart"), &found.patch), ("E102", true, &None), "{text}");
        }
    }

    #[test]
    fn nodes_of_a_mapping_become_a_list() {
        for (nodes, expected) in [
            (
                "  s: {type: start}\n  'e f': {type: endpoint}\n",
                Some("  - {label: s, type: start}\n  - {label: 'e f', type: endpoint}\n"),
            ),
            (
                "  s: # first\n    type: start\n  e:\n    type: endpoint\n",
                Some("  - label: s # first\n    type: start\n  - label: e\n    type: endpoint\n"),
            ),
            ("  s:\n      type: start\n", None),
            ("  s:\n  e: {type: endpoint}\n", None),
        ] {
            let text = |nodes: &str| format!("version: light\nnodes:\n{nodes}connections: []\n");
            assert_eq!(repaired(&text(nodes)), text(expected.unwrap_or(nodes)), "{nodes}");
        }
    }
}
