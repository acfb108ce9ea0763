//! Applies hunks to the bytes of a file. Pure: what fits is made, what does not is listed with the reason.

use super::parse::{Hunk, HunkLine, LineKind};

/// How closely a hunk has to fit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fit {
    /// A hunk is looked for so many lines before and behind its place.
    pub(super) fuzz: usize,
    /// Runs of blanks are equal, those at the end of a line do not count.
    pub(super) ignore_whitespace: bool,
}

/// A file after its hunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Patched {
    pub(super) bytes: Vec<u8>,
    pub(super) n_applied: usize,
    pub(super) rejected: Vec<Rejected>,
}

/// A hunk that did not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rejected {
    /// Position among the hunks.
    pub(super) idx: usize,
    pub(super) reason: String,
}

/// Applies `hunks` in their order to `before`.
pub(super) fn apply(before: &[u8], hunks: &[Hunk], fit: Fit) -> Patched {
    let lines: Vec<&[u8]> = before.split_inclusive(|it| *it == b'\n').collect();
    let adds_cr = has_cr_lf(&lines) && !hunks.iter().flat_map(|it| &it.lines).any(|it| it.text.ends_with('\r'));
    let comparison = Comparison { lines: &lines, fit, adds_cr };
    let mut patched = Patched { bytes: Vec::with_capacity(before.len()), n_applied: 0, rejected: Vec::new() };
    // Everything before this line is written; how far the last hunk was from its place.
    let (mut next, mut shift) = (0_usize, 0_isize);
    for (idx, hunk) in hunks.iter().enumerate() {
        // A hunk without old lines stands behind the line it names.
        let written = if hunk.n_old() == 0 { hunk.old_start } else { hunk.old_start.saturating_sub(1) };
        match comparison.find(hunk, written.saturating_add_signed(shift), next) {
            Ok(at) => {
                shift = signed(at) - signed(written);
                lines[next..at].iter().for_each(|it| push(&mut patched.bytes, it, comparison.line_end()));
                next = comparison.write(hunk, at, &mut patched.bytes);
                patched.n_applied += 1;
            }
            Err(reason) => patched.rejected.push(Rejected { idx, reason }),
        }
    }
    lines[next..].iter().for_each(|it| push(&mut patched.bytes, it, comparison.line_end()));
    patched
}

/// Whether every line of a file ends with CR LF.
fn has_cr_lf(lines: &[&[u8]]) -> bool {
    let mut ended = lines.iter().filter(|it| it.ends_with(b"\n")).peekable();
    ended.peek().is_some() && ended.all(|it| it.ends_with(b"\r\n"))
}

fn signed(value: usize) -> isize {
    isize::try_from(value).unwrap_or(isize::MAX)
}

/// Adds a line; one that nothing ended is ended first.
fn push(bytes: &mut Vec<u8>, line: &[u8], line_end: &[u8]) {
    if bytes.last().is_some_and(|it| *it != b'\n') {
        bytes.extend_from_slice(line_end);
    }
    bytes.extend_from_slice(line);
}

struct Comparison<'f> {
    lines: &'f [&'f [u8]],
    fit: Fit,
    /// The file has CR LF and the diff knows nothing of it.
    adds_cr: bool,
}

impl Comparison<'_> {
    /// Returns the line, from 0, where `hunk` fits: the nearest to `wanted`, not before `first`.
    fn find(&self, hunk: &Hunk, wanted: usize, first: usize) -> Result<usize, String> {
        let old: Vec<&HunkLine> = hunk.lines.iter().filter(|it| it.kind != LineKind::Insert).collect();
        // The places where it would lie within the rest of the file, and how far off they are.
        let range = self.lines.len().checked_sub(old.len()).filter(|last| first <= *last).map(|last| first..=last);
        if let Some(range) = range {
            let nearest = wanted.abs_diff(wanted.clamp(*range.start(), *range.end()));
            let farthest = wanted.abs_diff(*range.start()).max(wanted.abs_diff(*range.end()));
            // Nothing tells one place from another when there is nothing to compare.
            let fuzz = if old.is_empty() { 0 } else { self.fit.fuzz };
            let places = (nearest..=farthest.min(fuzz))
                .flat_map(|it| [wanted.checked_add(it), wanted.checked_sub(it)].into_iter().flatten());
            for at in places.filter(|it| range.contains(it)) {
                if old.iter().zip(&self.lines[at..]).all(|(old, line)| self.is_same(old, line)) {
                    return Ok(at);
                }
            }
        }
        Err(self.reason(&old, wanted, first))
    }

    fn reason(&self, old: &[&HunkLine], wanted: usize, first: usize) -> String {
        if wanted < first {
            return format!("line {} was already changed by another hunk", wanted + 1);
        }
        let differs = old
            .iter()
            .enumerate()
            .find(|(n, it)| self.lines.get(wanted.saturating_add(*n)).is_none_or(|line| !self.is_same(it, line)));
        let Some((n, expected)) = differs else {
            return format!("the file ends before line {}", wanted.saturating_add(1));
        };
        let number = wanted.saturating_add(n).saturating_add(1);
        match self.lines.get(number - 1) {
            Some(found) => {
                let found = String::from_utf8_lossy(found);
                format!("line {number} is `{}`, not `{}`", excerpt(&found), excerpt(&expected.text))
            }
            None => format!("the file ends before line {number}, which is `{}` in the diff", excerpt(&expected.text)),
        }
    }

    fn is_same(&self, old: &HunkLine, line: &[u8]) -> bool {
        let (text, is_ended) = match line.strip_suffix(b"\n") {
            Some(text) => (text, true),
            None => (line, false),
        };
        if text == old.text.as_bytes() && is_ended == old.is_ended {
            return true;
        }
        // Diffs written by hand do not know whether a line feed ends the last line.
        let without_cr = if self.adds_cr { text.strip_suffix(b"\r").unwrap_or(text) } else { text };
        without_cr == old.text.as_bytes() || (self.fit.ignore_whitespace && same_words(without_cr, old.text.as_bytes()))
    }

    /// Writes the new lines of `hunk`, which fits at `at`, and returns the first line behind it.
    fn write(&self, hunk: &Hunk, at: usize, bytes: &mut Vec<u8>) -> usize {
        let mut next = at;
        for line in &hunk.lines {
            match line.kind {
                // What is not changed stays as it is in the file.
                LineKind::Context => {
                    push(bytes, self.lines[next], self.line_end());
                    next += 1;
                }
                LineKind::Delete => next += 1,
                LineKind::Insert => {
                    push(bytes, line.text.as_bytes(), self.line_end());
                    if line.is_ended {
                        bytes.extend_from_slice(self.line_end());
                    }
                }
            }
        }
        next
    }

    fn line_end(&self) -> &'static [u8] {
        if self.adds_cr { b"\r\n" } else { b"\n" }
    }
}

/// Whether two lines are the same but for runs of blanks and those at the end.
fn same_words(a: &[u8], b: &[u8]) -> bool {
    let is_blank = |it: &u8| it.is_ascii_whitespace();
    let starts_blank = |it: &[u8]| it.first().is_some_and(is_blank) && !it.iter().all(is_blank);
    let words = |it: &'_ [u8]| {
        it.split(|it| it.is_ascii_whitespace()).filter(|it| !it.is_empty()).map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    starts_blank(a) == starts_blank(b) && words(a) == words(b)
}

fn excerpt(text: &str) -> String {
    /// Longest line quoted in a reason, in characters.
    const CHARS_MAX: usize = 80;
    let text = text.trim_end_matches(['\r', '\n']);
    let short: String = text.chars().take(CHARS_MAX).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::make::hunks;
    use super::super::parse::parse;
    use super::*;

    const EXACT: Fit = Fit { fuzz: 0, ignore_whitespace: false };
    const USUAL: Fit = Fit { fuzz: 2, ignore_whitespace: false };

    fn patched(before: &str, diff: &str, fit: Fit, is_strict: bool) -> (String, Vec<String>) {
        let files = parse(diff, is_strict).unwrap_or_else(|it| panic!("{diff}: {it:?}"));
        let done = apply(before.as_bytes(), &files[0].hunks, fit);
        (String::from_utf8(done.bytes).expect("text"), done.rejected.into_iter().map(|it| it.reason).collect())
    }

    #[test]
    fn hunks_are_found_near_their_place_and_keep_what_they_do_not_change() {
        let diff = "@@ -2,3 +2,3 @@\n b\n-c\n+C\n d\n";
        let ignoring = Fit { fuzz: 0, ignore_whitespace: true };
        for (before, fit, expected) in [
            ("a\nb\nc\nd\n", EXACT, "a\nb\nC\nd\n"),
            ("b\nc\nd\n", USUAL, "b\nC\nd\n"),
            ("x\ny\na\nb\nc\nd\ne", USUAL, "x\ny\na\nb\nC\nd\ne"),
            // The nearest of two places, the later one first.
            ("b\nc\nd\nb\nc\nd\n", Fit { fuzz: 9, ..EXACT }, "b\nC\nd\nb\nc\nd\n"),
            ("a\nb \nc\t\nd\n", ignoring, "a\nb \nC\nd\n"),
            // Line ends of the file, and a last line that nothing ends.
            ("a\r\nb\r\nc\r\nd\r\n", EXACT, "a\r\nb\r\nC\r\nd\r\n"),
            ("a\nb\nc\nd", EXACT, "a\nb\nC\nd"),
        ] {
            assert_eq!(patched(before, diff, fit, true), (expected.to_owned(), vec![]), "{before:?}");
        }
    }

    #[test]
    fn a_line_that_nothing_ends_is_ended_before_another_follows() {
        assert_eq!(patched("a", "@@ -1 +1,2 @@\n a\n+b\n", EXACT, true).0, "a\nb\n");
        assert_eq!(patched("", "@@ -0,0 +1 @@\n+b\n\\ No newline at end of file\n", EXACT, true).0, "b");
        assert_eq!(patched("a\nb\n", "@@ -1,0 +2 @@\n+x\n", EXACT, true).0, "a\nx\nb\n");
    }

    #[test]
    fn what_does_not_fit_is_rejected_with_the_reason() {
        for (before, diff, expected) in [
            ("a\nx\n", "@@ -1,2 +1,2 @@\n a\n-b\n+c\n", "line 2 is `x`, not `b`"),
            ("a\n", "@@ -1,2 +1,2 @@\n a\n-b\n+c\n", "the file ends before line 2, which is `b` in the diff"),
            ("a\n", "@@ -7,0 +8 @@\n+c\n", "the file ends before line 8"),
            ("a\n b\n", "@@ -2 +2 @@\n-b\n+c\n", "line 2 is ` b`, not `b`"),
        ] {
            assert_eq!(patched(before, diff, USUAL, true), (before.to_owned(), vec![expected.to_owned()]), "{diff}");
        }
        // Out of order: the second one comes too late, the third fits again.
        let diff = "@@ -3 +3 @@\n-c\n+C\n@@ -1 +1 @@\n-a\n+A\n@@ -5 +5 @@\n-e\n+E\n";
        let expected = ("a\nb\nC\nd\nE\n".to_owned(), vec!["line 1 was already changed by another hunk".to_owned()]);
        assert_eq!(patched("a\nb\nc\nd\ne\n", diff, USUAL, false), expected);
    }

    #[test]
    fn impossible_numbers_cost_nothing() {
        let diff = "@@ -4294967295 +4294967295 @@\n-a\n+b\n";
        let (text, rejected) = patched("a\n", diff, Fit { fuzz: 1_000, ..EXACT }, true);
        assert_eq!((text.as_str(), rejected.len()), ("a\n", 1));
        assert_eq!(patched("a\n", "@@ -0 +0 @@\n-a\n+b\n", EXACT, true).0, "b\n");
    }

    /// Texts of few different lines, so that they have some in common, ended in every way there is.
    fn text() -> impl Strategy<Value = String> {
        let line = prop_oneof!["[abc]{0,2}", Just("-- x".to_owned()), Just("+++ y".to_owned()), Just(" \t".to_owned())];
        (prop::collection::vec((line, 0..8_u8), 0..24), any::<bool>(), any::<bool>()).prop_map(
            |(lines, ended, crlf)| {
                let end = |style: u8| if crlf && style != 0 { "\r\n" } else { "\n" };
                let mut text: String = lines.iter().map(|(line, style)| format!("{line}{}", end(*style))).collect();
                if !ended {
                    text.truncate(text.trim_end_matches(['\r', '\n']).len());
                }
                text
            },
        )
    }

    proptest! {
        #[test]
        fn a_diff_makes_the_new_text_and_reversed_the_old_one(a in text(), b in text(), radius in 1..4_usize) {
            let made = hunks(&a, &b, radius);
            prop_assume!(!made.is_empty());
            let diff: String = made.iter().map(Hunk::to_text).collect();
            let files = parse(&diff, true).map_err(|it| TestCaseError::fail(format!("{it:?} in {diff:?}")))?;
            prop_assert_eq!(&files[0].hunks, &made, "{:?}", diff);
            let there = apply(a.as_bytes(), &files[0].hunks, EXACT);
            prop_assert_eq!(String::from_utf8_lossy(&there.bytes), b.as_str(), "{:?}", diff);
            prop_assert!(there.rejected.is_empty());
            let back = apply(b.as_bytes(), &files[0].clone().reversed().hunks, EXACT);
            prop_assert_eq!(String::from_utf8_lossy(&back.bytes), a.as_str(), "{:?}", diff);
        }

        #[test]
        fn a_diff_still_fits_when_lines_come_before_it(a in text(), b in text(), n_before in 0..3_usize) {
            let made = hunks(&a, &b, 99);
            prop_assume!(!made.is_empty() && !a.is_empty());
            // Nothing in the file is like these lines, so only the shift is right.
            let before = "zz\n".repeat(n_before);
            let done = apply(format!("{before}{a}").as_bytes(), &made, Fit { fuzz: 2, ignore_whitespace: false });
            prop_assert_eq!(String::from_utf8_lossy(&done.bytes), format!("{before}{b}"));
        }
    }
}
