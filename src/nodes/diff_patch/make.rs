//! Makes unified diffs. Every header counts the lines that stand below it.

use similar::{ChangeTag, TextDiff};

use super::parse::{Hunk, HunkLine, LineKind};

/// Lines around a change that a diff shows.
const RADIUS: usize = 3;

/// Returns the unified diff that makes `after` of `before`, with `name` in its headers; empty when they are
/// equal.
pub fn unified_diff(before: &str, after: &str, name: &str) -> String {
    let hunks = hunks(before, after, RADIUS);
    if hunks.is_empty() {
        return String::new();
    }
    let body: String = hunks.iter().map(Hunk::to_text).collect();
    format!("--- a/{name}\n+++ b/{name}\n{body}")
}

/// Returns the hunks of that diff, with `radius` lines around each change.
pub(super) fn hunks(before: &str, after: &str, radius: usize) -> Vec<Hunk> {
    let before: Vec<&str> = before.split_inclusive('\n').collect();
    let after: Vec<&str> = after.split_inclusive('\n').collect();
    let lines: Vec<HunkLine> =
        TextDiff::from_slices(&before, &after).iter_all_changes().map(|it| line(it.tag(), it.value())).collect();
    let is_change = |it: &HunkLine| it.kind != LineKind::Context;
    let mut hunks = Vec::new();
    // Lines of either file above the next line to look at.
    let (mut at, mut n_old, mut n_new) = (0, 0, 0);
    while let Some(first) = lines[at..].iter().position(is_change).map(|it| it + at) {
        let start = first.saturating_sub(radius).max(at);
        (n_old, n_new) = (n_old + start - at, n_new + start - at);
        let mut end = first + 1;
        // A change that is near joins the hunk.
        while let Some(next) = lines[end..].iter().position(is_change).filter(|it| *it <= 2 * radius) {
            end += next + 1;
        }
        end = (end + radius).min(lines.len());
        let mut hunk = Hunk { old_start: 0, new_start: 0, lines: lines[start..end].to_vec() };
        // A hunk without lines of a file names the line above it.
        hunk.old_start = n_old + usize::from(hunk.n_old() > 0);
        hunk.new_start = n_new + usize::from(hunk.n_new() > 0);
        (n_old, n_new) = (n_old + hunk.n_old(), n_new + hunk.n_new());
        hunks.push(hunk);
        at = end;
    }
    hunks
}

fn line(tag: ChangeTag, value: &str) -> HunkLine {
    let kind = match tag {
        ChangeTag::Equal => LineKind::Context,
        ChangeTag::Delete => LineKind::Delete,
        ChangeTag::Insert => LineKind::Insert,
    };
    let (text, is_ended) = match value.strip_suffix('\n') {
        Some(text) => (text, true),
        None => (value, false),
    };
    HunkLine { kind, text: text.to_owned(), is_ended }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_that_are_near_share_a_hunk() {
        let lines = |changed: &[usize]| -> String {
            (1..=20).map(|it| if changed.contains(&it) { format!("{it}!\n") } else { format!("{it}\n") }).collect()
        };
        for (changed, headers) in [
            (&[][..], ""),
            (&[1], "@@ -1,4 +1,4 @@"),
            (&[10], "@@ -7,7 +7,7 @@"),
            (&[5, 12], "@@ -2,14 +2,14 @@"),
            (&[5, 13], "@@ -2,7 +2,7 @@ @@ -10,7 +10,7 @@"),
            (&[20], "@@ -17,4 +17,4 @@"),
        ] {
            let diff = unified_diff(&lines(&[]), &lines(changed), "x");
            let found: Vec<&str> = diff.lines().filter(|it| it.starts_with("@@")).collect();
            assert_eq!(found.join(" "), headers, "{changed:?}");
        }
        assert_eq!(unified_diff("", "a", "x"), "--- a/x\n+++ b/x\n@@ -0,0 +1,1 @@\n+a\n\\ No newline at end of file\n");
        assert_eq!(unified_diff("a\n", "", "x"), "--- a/x\n+++ b/x\n@@ -1,1 +0,0 @@\n-a\n");
    }
}
