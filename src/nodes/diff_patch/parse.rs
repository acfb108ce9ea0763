//! Reads unified and git diffs. Pure. Sizes in a diff are only ever compared with what is there, never
//! believed.

/// What a diff says of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FilePatch {
    /// The names in its headers; `None` where there is none, or `/dev/null`.
    pub(super) old_name: Option<String>,
    pub(super) new_name: Option<String>,
    /// It makes the file.
    pub(super) creates: bool,
    /// It removes the file.
    pub(super) deletes: bool,
    /// It begins with `diff --git`.
    pub(super) is_git: bool,
    /// What it says besides its hunks and a text file cannot take: binary content, a new name.
    pub(super) beside: Vec<String>,
    pub(super) is_binary: bool,
    pub(super) hunks: Vec<Hunk>,
}

/// One run of changed lines with its surroundings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hunk {
    /// First old and new line, from 1; 0 in a file without lines.
    pub(super) old_start: usize,
    pub(super) new_start: usize,
    pub(super) lines: Vec<HunkLine>,
}

/// One line of a hunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HunkLine {
    pub(super) kind: LineKind,
    /// Without its line feed.
    pub(super) text: String,
    /// Whether a line feed ends it; the last line of a file may have none.
    pub(super) is_ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineKind {
    Context,
    Delete,
    Insert,
}

/// Why a text is no diff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// Line of the diff, from 1.
    pub(super) line: usize,
    pub(super) message: String,
}

impl Hunk {
    /// How many lines of the old file it covers.
    pub(super) fn n_old(&self) -> usize {
        self.lines.iter().filter(|it| it.kind != LineKind::Insert).count()
    }

    /// How many lines of the new file it covers.
    pub(super) fn n_new(&self) -> usize {
        self.lines.iter().filter(|it| it.kind != LineKind::Delete).count()
    }

    /// The hunk that undoes this one.
    pub(super) fn reversed(mut self) -> Self {
        std::mem::swap(&mut self.old_start, &mut self.new_start);
        for line in &mut self.lines {
            line.kind = match line.kind {
                LineKind::Context => LineKind::Context,
                LineKind::Delete => LineKind::Insert,
                LineKind::Insert => LineKind::Delete,
            };
        }
        self
    }

    /// The hunk as it stands in a diff.
    pub(super) fn to_text(&self) -> String {
        let mut text = format!("@@ -{},{} +{},{} @@\n", self.old_start, self.n_old(), self.new_start, self.n_new());
        for line in &self.lines {
            text.push(match line.kind {
                LineKind::Context => ' ',
                LineKind::Delete => '-',
                LineKind::Insert => '+',
            });
            text.push_str(&line.text);
            text.push_str(if line.is_ended { "\n" } else { "\n\\ No newline at end of file\n" });
        }
        text
    }
}

impl FilePatch {
    /// The patch that undoes this one.
    pub(super) fn reversed(self) -> Self {
        Self {
            old_name: self.new_name,
            new_name: self.old_name,
            creates: self.deletes,
            deletes: self.creates,
            hunks: self.hunks.into_iter().map(Hunk::reversed).collect(),
            ..self
        }
    }

    /// The name of the file it is about.
    pub(super) fn name(&self) -> Option<&str> {
        self.new_name.as_deref().or(self.old_name.as_deref())
    }
}

/// Reads a diff. A strict reader wants hunks in order whose headers tell the truth; another one takes the
/// lines as they are.
///
/// # Errors
///
/// The first line that does not fit, or that there is no hunk at all.
pub(super) fn parse(diff: &str, is_strict: bool) -> Result<Vec<FilePatch>, Problem> {
    let mut lines: Vec<&str> = diff.split('\n').collect();
    if lines.last().is_some_and(|it| it.is_empty()) {
        lines.pop();
    }
    // The diff itself was written with CR LF, not only the file it speaks of.
    if lines.iter().rev().skip(1).all(|it| it.ends_with('\r')) && diff.contains("\r\n") {
        lines.iter_mut().for_each(|it| *it = it.strip_suffix('\r').unwrap_or(it));
    }
    let mut reader = Reader { lines, at: 0, is_strict, files: Vec::new() };
    while reader.at < reader.lines.len() {
        reader.step()?;
    }
    let files = reader.files;
    if files.iter().all(|it| it.hunks.is_empty() && !it.is_binary && !it.creates && !it.deletes) {
        let what = files.iter().flat_map(|it| &it.beside).next();
        let message = what.map_or("there is no hunk in the diff".to_owned(), |it| format!("the diff only has {it}"));
        return Err(Problem { line: 1, message });
    }
    Ok(files)
}

struct Reader<'d> {
    lines: Vec<&'d str>,
    at: usize,
    is_strict: bool,
    files: Vec<FilePatch>,
}

impl<'d> Reader<'d> {
    /// Reads one line outside of hunks, or a hunk.
    fn step(&mut self) -> Result<(), Problem> {
        let line = self.lines[self.at];
        if line.starts_with("diff --git ") {
            self.files.push(FilePatch { is_git: true, ..FilePatch::default() });
        } else if self.is_file_header(self.at) {
            self.file_header(line);
            self.at += 1;
        } else if line.starts_with("@@ ") || line.starts_with("@@\t") || line == "@@" {
            return self.hunk();
        } else if let Some(file) = self.files.last_mut() {
            beside(file, line);
        } else if line.starts_with("Binary files ") {
            self.files.push(FilePatch { is_binary: true, ..FilePatch::default() });
        }
        self.at += 1;
        Ok(())
    }

    fn is_file_header(&self, at: usize) -> bool {
        let starts = |at: usize, prefix| self.lines.get(at).is_some_and(|it: &&str| it.starts_with(prefix));
        starts(at, "--- ") && starts(at + 1, "+++ ")
    }

    fn file_header(&mut self, old_line: &str) {
        let (old, new) = (name_in(old_line), name_in(self.lines[self.at + 1]));
        let continues_git =
            |it: &&mut FilePatch| it.is_git && it.hunks.is_empty() && it.old_name.is_none() && it.new_name.is_none();
        let file = match self.files.last_mut().filter(continues_git) {
            Some(file) => file,
            None => {
                self.files.push(FilePatch::default());
                let last = self.files.len() - 1;
                &mut self.files[last]
            }
        };
        file.creates |= old.is_none();
        file.deletes |= new.is_none();
        (file.old_name, file.new_name) = (old, new);
    }

    fn hunk(&mut self) -> Result<(), Problem> {
        let header_at = self.at;
        let header = Header::parse(self.lines[header_at])
            .ok_or_else(|| self.problem(header_at, "the header is not like `@@ -1,3 +1,4 @@`"))?;
        self.at += 1;
        let mut lines = Vec::new();
        if self.is_strict {
            self.counted_lines(&header, header_at, &mut lines)?;
        } else {
            self.lines_as_they_are(&mut lines);
        }
        let hunk = Hunk { old_start: header.old_start, new_start: header.new_start, lines };
        if self.files.is_empty() {
            self.files.push(FilePatch::default());
        }
        let is_strict = self.is_strict;
        let problem = |message| Problem { line: header_at + 1, message };
        let Some(file) = self.files.last_mut() else { return Ok(()) };
        if let Some(before) = file.hunks.last().filter(|_| is_strict)
            && hunk.old_start < before.old_start.saturating_add(before.n_old())
        {
            return Err(problem("the hunk begins before the end of the one above it".to_owned()));
        }
        file.hunks.push(hunk);
        Ok(())
    }

    fn counted_lines(&mut self, header: &Header, header_at: usize, found: &mut Vec<HunkLine>) -> Result<(), Problem> {
        let (mut n_old, mut n_new) = (header.n_old, header.n_new);
        while n_old > 0 || n_new > 0 {
            let Some(line) = self.lines.get(self.at).copied() else {
                let message = format!("{n_old} old and {n_new} new lines are missing at the end of the hunk");
                return Err(self.problem(header_at, message));
            };
            if self.mark(line, found) {
                continue;
            }
            let Some(read) = HunkLine::parse(line) else {
                let message = "a line of a hunk begins with a blank, `+` or `-`";
                return Err(self.problem(self.at, message));
            };
            let (takes_old, takes_new) = (read.kind != LineKind::Insert, read.kind != LineKind::Delete);
            if (takes_old && n_old == 0) || (takes_new && n_new == 0) {
                return Err(self.problem(header_at, "the header and the lines of the hunk do not add up"));
            }
            n_old -= usize::from(takes_old);
            n_new -= usize::from(takes_new);
            found.push(read);
            self.at += 1;
        }
        if let Some(line) = self.lines.get(self.at).copied() {
            self.mark(line, found);
        }
        match self.lines.get(self.at) {
            Some(line) if is_surplus(line) && !self.is_file_header(self.at) => {
                Err(self.problem(header_at, "the hunk has more lines than its header says"))
            }
            _ => Ok(()),
        }
    }

    fn lines_as_they_are(&mut self, found: &mut Vec<HunkLine>) {
        // Lines without even a blank count as empty ones, but not behind the hunk.
        let mut n_sure = 0;
        while let Some(line) = self.lines.get(self.at).copied() {
            if self.is_file_header(self.at) || line == "-- " {
                break;
            }
            if self.mark(line, found) {
                continue;
            }
            let Some(read) = HunkLine::parse(line) else { break };
            found.push(read);
            if !line.is_empty() {
                n_sure = found.len();
            }
            self.at += 1;
        }
        found.truncate(n_sure);
    }

    /// Takes the line that says of the one before it that no line feed ends it.
    fn mark(&mut self, line: &str, found: &mut [HunkLine]) -> bool {
        let Some(last) = found.last_mut().filter(|_| line.starts_with('\\')) else { return false };
        last.is_ended = false;
        self.at += 1;
        true
    }

    fn problem(&self, at: usize, message: impl Into<String>) -> Problem {
        Problem { line: at + 1, message: message.into() }
    }
}

impl HunkLine {
    fn parse(line: &str) -> Option<Self> {
        let (kind, text) = match line.as_bytes().first() {
            // Editors and models drop the blank of an empty line.
            None => (LineKind::Context, ""),
            Some(b' ') => (LineKind::Context, &line[1..]),
            Some(b'-') => (LineKind::Delete, &line[1..]),
            Some(b'+') => (LineKind::Insert, &line[1..]),
            Some(_) => return None,
        };
        Some(Self { kind, text: text.to_owned(), is_ended: true })
    }
}

/// Whether a line behind a hunk looks like one of its own. `-- ` begins the signature of a mail.
fn is_surplus(line: &str) -> bool {
    line.starts_with([' ', '+']) || (line.starts_with('-') && line != "-- " && line != "--")
}

/// Takes what a git header says besides names.
fn beside(file: &mut FilePatch, line: &str) {
    if line.starts_with("GIT binary patch") || line.starts_with("Binary files ") {
        file.is_binary = true;
    } else if file.is_git && file.hunks.is_empty() {
        file.creates |= line.starts_with("new file mode ");
        file.deletes |= line.starts_with("deleted file mode ");
        for prefix in ["rename from ", "copy from ", "new mode "] {
            if line.starts_with(prefix) {
                file.beside.push(format!("`{line}`"));
            }
        }
    }
}

/// `@@ -1,3 +1,4 @@ anything`.
struct Header {
    old_start: usize,
    n_old: usize,
    new_start: usize,
    n_new: usize,
}

impl Header {
    fn parse(line: &str) -> Option<Self> {
        let (ranges, _) = line.strip_prefix("@@")?.trim_start().split_once("@@")?;
        let (old, new) = ranges.trim_end().split_once(' ')?;
        let (old_start, n_old) = range(old.strip_prefix('-')?)?;
        let (new_start, n_new) = range(new.trim_start().strip_prefix('+')?)?;
        Some(Self { old_start, n_old, new_start, n_new })
    }
}

/// `12,3`, or `12` for one line.
fn range(text: &str) -> Option<(usize, usize)> {
    let number = |text: &str| {
        let is_plain = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
        is_plain.then(|| text.parse::<u32>().ok()).flatten().map(|it| it as usize)
    };
    match text.split_once(',') {
        Some((start, n)) => Some((number(start)?, number(n)?)),
        None => Some((number(text)?, 1)),
    }
}

/// The name in `--- a/name<tab>time`; `None` for `/dev/null`.
fn name_in(line: &str) -> Option<String> {
    let text = line.get(4..)?;
    let text = text.split('\t').next().unwrap_or(text).trim_end();
    if text == "/dev/null" {
        return None;
    }
    Some(unquoted(text))
}

/// Git puts names with unusual bytes between quotes, with escapes as in C.
fn unquoted(text: &str) -> String {
    let Some(inside) = text.strip_prefix('"').and_then(|it| it.strip_suffix('"')) else { return text.to_owned() };
    let mut bytes = Vec::with_capacity(inside.len());
    let mut rest = inside.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'\\' {
            bytes.push(first);
            continue;
        }
        let n_octal = rest.iter().take(3).take_while(|it| (b'0'..=b'7').contains(*it)).count();
        if n_octal == 3 {
            let value = rest[..3].iter().fold(0_u32, |value, it| value * 8 + u32::from(it - b'0'));
            bytes.push(u8::try_from(value).unwrap_or(b'?'));
            rest = &rest[3..];
        } else if let Some((&escaped, after)) = rest.split_first() {
            rest = after;
            bytes.push(match escaped {
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                other => other,
            });
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The files of a diff: names, what happens to them, and the hunks written again.
    fn shown(diff: &str, is_strict: bool) -> Result<Vec<String>, (usize, String)> {
        let files = parse(diff, is_strict).map_err(|it| (it.line, it.message))?;
        let show = |it: &FilePatch| {
            let name = |it: &Option<String>| it.clone().unwrap_or_else(|| "-".to_owned());
            let what = match (it.creates, it.deletes) {
                (true, _) => " new",
                (_, true) => " gone",
                _ => "",
            };
            let hunks: String = it.hunks.iter().map(Hunk::to_text).collect();
            format!("{} {}{what}\n{hunks}", name(&it.old_name), name(&it.new_name))
        };
        Ok(files.iter().map(show).collect())
    }

    #[test]
    fn usual_diffs_are_read_whole() {
        let hunk = "@@ -1,2 +1,2 @@\n a\n-b\n+c\n";
        let twice = "@@ -1,1 +1,1 @@\n-a\n+b\n@@ -9,1 +9,2 @@\n c\n+d\n";
        for (diff, expected) in [
            (format!("--- a/x\t2024-01-01\n+++ b/x\n{hunk}"), vec![format!("a/x b/x\n{hunk}")]),
            (format!("Index: x\n====\n--- x\n+++ x\n{hunk}"), vec![format!("x x\n{hunk}")]),
            (hunk.to_owned(), vec![format!("- -\n{hunk}")]),
            (format!("Sure:\n```diff\n--- a/x\n+++ b/x\n{hunk}```\n"), vec![format!("a/x b/x\n{hunk}")]),
            (
                "diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n@@ -1 +1 @@ fn f() {\n-a\n+b\n@@ -9 +9,2 @@\n c\n+d\n"
                    .to_owned(),
                vec![format!("a/x b/x\n{twice}")],
            ),
            (
                format!("diff --git a/n b/n\nnew file mode 100644\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\ndiff --git a/x b/x\n--- a/x\n+++ b/x\n{hunk}-- \n2.39\n"),
                vec!["- b/n new\n@@ -0,0 +1,1 @@\n+x\n".to_owned(), format!("a/x b/x\n{hunk}")],
            ),
            ("--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n".to_owned(), vec!["a/x - gone\n@@ -1,1 +0,0 @@\n-x\n".to_owned()]),
            (
                "--- \"a/\\303\\244 \\\"x\\\"\"\n+++ b/y z\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n".to_owned(),
                vec!["a/ä \"x\" b/y z\n@@ -1,1 +1,1 @@\n-a\n\\ No newline at end of file\n+a\n".to_owned()],
            ),
            // A removed line `-- x` is no header.
            ("@@ -1,2 +1 @@\n--- x\n-y\n+++ z\n".to_owned(), vec!["- -\n@@ -1,2 +1,1 @@\n--- x\n-y\n+++ z\n".to_owned()]),
            // Written with CR LF throughout; and a file with CR LF in a diff without.
            (format!("--- a/x\n+++ b/x\n{hunk}").replace('\n', "\r\n"), vec![format!("a/x b/x\n{hunk}")]),
            ("--- x\n+++ x\n@@ -1 +1 @@\n-a\r\n+b\r\n".to_owned(), vec!["x x\n@@ -1,1 +1,1 @@\n-a\r\n+b\r\n".to_owned()]),
            // The blank of an empty line is missing.
            ("@@ -1,3 +1,2 @@\n a\n\n-b\n".to_owned(), vec!["- -\n@@ -1,3 +1,2 @@\n a\n \n-b\n".to_owned()]),
        ] {
            assert_eq!(shown(&diff, true), Ok(expected), "{diff}");
        }
    }

    #[test]
    fn a_strict_reader_says_where_a_diff_is_wrong() {
        for (diff, line, part) in [
            ("", 1, "no hunk"),
            ("hello\nworld", 1, "no hunk"),
            ("diff --git a/x b/y\nsimilarity index 100%\nrename from x\nrename to y\n", 1, "only has `rename from x`"),
            (
                "--- a\n+++ b\n@@ -1,999999999 +1,999999999 @@\n a\n",
                3,
                "999999998 old and 999999998 new lines are missing",
            ),
            ("@@ -99999999999999999999 +1 @@\n", 1, "the header is not like"),
            ("@@ -1,-3 +1 @@\n", 1, "the header is not like"),
            ("@@ ... @@\n-a\n", 1, "the header is not like"),
            ("@@ -1 +1 @@\n-a\n+b\n+c\n", 1, "more lines than its header says"),
            ("@@ -1 +1,2 @@\n-a\n-b\n+c\n", 1, "do not add up"),
            ("@@ -1,2 +1 @@\n-a\n*b\n", 3, "begins with a blank"),
            ("@@ -5 +5 @@\n-a\n+b\n@@ -2 +2 @@\n-c\n+d\n", 4, "before the end of the one above"),
            ("@@ -1,3 +1,3 @@\n a\n b\n c\n@@ -3 +3 @@\n-c\n+d\n", 5, "before the end of the one above"),
        ] {
            let (at, message) = shown(diff, true).expect_err(diff);
            assert!(at == line && message.contains(part), "{diff}: line {at}: {message}");
        }
    }

    #[test]
    fn another_reader_takes_the_lines_as_they_are() {
        for (diff, expected) in [
            ("@@ -1,9 +1,9 @@\n a\n-b\n+c\n\n\n", "- -\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n"),
            ("@@ -5 +5 @@\n-a\n@@ -2,7 +2 @@\n c\n\n+d\n```", "- -\n@@ -5,1 +5,0 @@\n-a\n@@ -2,2 +2,3 @@\n c\n \n+d\n"),
        ] {
            assert_eq!(shown(diff, false), Ok(vec![expected.to_owned()]), "{diff}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "([ +@\\-\\\\a-c0-9,\r\n]|@@ -1 [+]1 @@\n|--- a\n[+]{3} b\n|diff --git a b\n){0,60}") {
            let _ = parse(&text, true);
            let _ = parse(&text, false);
        }
    }
}
