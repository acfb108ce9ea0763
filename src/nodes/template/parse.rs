//! Text of a template to its parts. Blocks are kept on a stack of our own, so a hostile text cannot
//! exhaust the program's.

use super::TemplateProblem;
use super::path::Path;

/// Deepest nesting of blocks; rendering recurses that far.
const BLOCK_DEPTH_MAX: usize = 32;

/// One piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    Text(String),
    /// A place for a value; `source` is the tag as written, for when there is none.
    Value {
        path: Path,
        source: String,
    },
    Block(Block),
    /// A place for the secret of this name.
    Secret(String),
}

/// What besides `{{…}}` means something in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Also {
    Nothing,
    /// `{name}` is a place for a value (paths of files).
    SingleBraces,
    /// `${secret:NAME}` is a place for a secret.
    Secrets,
}

/// How a reference to a secret begins.
const SECRET_OPENING: &str = "${secret:";
/// Longest name of a secret.
const SECRET_NAME_LEN_MAX: usize = 64;

/// What a block does with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockKind {
    If,
    Unless,
    Each,
}

/// `{{#kind path}} body {{else}} otherwise {{/kind}}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    pub kind: BlockKind,
    pub path: Path,
    pub body: Vec<Part>,
    pub otherwise: Vec<Part>,
}

impl BlockKind {
    fn name(self) -> &'static str {
        match self {
            Self::If => "if",
            Self::Unless => "unless",
            Self::Each => "each",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::If, Self::Unless, Self::Each].into_iter().find(|it| it.name() == name)
    }
}

/// Reads `text`.
pub fn parse(text: &str, also: Also) -> Result<Vec<Part>, TemplateProblem> {
    let mut parser = Parser { open: Vec::new(), parts: Vec::new(), also };
    let mut at = 0;
    while let Some(found) = text[at..].find("{{").map(|it| at + it) {
        if text[..found].ends_with('\\') {
            parser.text(&text[at..found - 1], at)?;
            parser.push(Part::Text("{{".to_owned()));
            at = found + 2;
            continue;
        }
        parser.text(&text[at..found], at)?;
        let len = tag_len(&text[found..]).ok_or_else(|| never_closed(&text[found..], found))?;
        parser.tag(&text[found..found + len], found)?;
        at = found + len;
    }
    parser.text(&text[at..], at)?;
    parser.end()
}

/// Returns the bytes of the tag that `text` begins with. A comment `{{!-- … --}}` may contain braces.
fn tag_len(text: &str) -> Option<usize> {
    if text.starts_with("{{!--") {
        return text.find("--}}").map(|it| it + 4);
    }
    text.find("}}").map(|it| it + 2)
}

struct Parser {
    /// Blocks that wait for their end, outermost first, with what surrounds each.
    open: Vec<Open>,
    parts: Vec<Part>,
    also: Also,
}

struct Open {
    kind: BlockKind,
    path: Path,
    offset: usize,
    source: String,
    /// The body, once `{{else}}` has been seen.
    body: Option<Vec<Part>>,
    /// The parts before the block.
    before: Vec<Part>,
}

impl Parser {
    fn push(&mut self, part: Part) {
        match (self.parts.last_mut(), part) {
            (Some(Part::Text(last)), Part::Text(text)) => last.push_str(&text),
            (_, part) => self.parts.push(part),
        }
    }

    /// Takes what stands between tags; `offset` is where.
    fn text(&mut self, text: &str, offset: usize) -> Result<(), TemplateProblem> {
        let rest = match self.also {
            Also::Nothing => text,
            Also::SingleBraces => self.single_braces(text),
            Also::Secrets => self.secrets(text, offset)?,
        };
        if !rest.is_empty() {
            self.push(Part::Text(rest.to_owned()));
        }
        Ok(())
    }

    /// Takes the text up to its last `{name}` and returns the rest.
    fn single_braces<'t>(&mut self, text: &'t str) -> &'t str {
        let mut rest = text;
        while let Some((before, inside, after)) = single_brace(rest) {
            self.push(Part::Text(before.to_owned()));
            match Path::parse(inside) {
                Some(path) => self.push(Part::Value { path, source: format!("{{{inside}}}") }),
                None => self.push(Part::Text(format!("{{{inside}}}"))),
            }
            rest = after;
        }
        rest
    }

    /// Takes the text up to its last reference and returns the rest.
    fn secrets<'t>(&mut self, text: &'t str, offset: usize) -> Result<&'t str, TemplateProblem> {
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(SECRET_OPENING) {
            let at = offset + text.len() - rest.len() + before.len();
            let closed = after.split_once('}');
            let (name, after) = closed.unwrap_or((after, ""));
            if closed.is_none() || !is_secret_name(name) {
                let shown: String = name.chars().take(30).collect();
                let hint = "write `${secret:NAME}`; a name is letters, digits, `_`, `-` and `.`, never a template";
                return Err(problem(format!("`{SECRET_OPENING}{shown}` names no secret"), hint, at));
            }
            if !before.is_empty() {
                self.push(Part::Text(before.to_owned()));
            }
            self.push(Part::Secret(name.to_owned()));
            rest = after;
        }
        Ok(rest)
    }

    fn tag(&mut self, source: &str, offset: usize) -> Result<(), TemplateProblem> {
        let inside = source[2..source.len() - 2].trim();
        if inside.starts_with('!') {
            return Ok(());
        }
        if let Some(name) = inside.strip_prefix('/') {
            return self.close(name.trim(), source, offset);
        }
        if let Some(opening) = inside.strip_prefix('#') {
            return self.open(opening.trim(), source, offset);
        }
        if inside == "else" {
            return self.otherwise(offset);
        }
        let Some(path) = Path::parse(inside) else { return Err(no_path(inside, source, offset)) };
        self.push(Part::Value { path, source: source.to_owned() });
        Ok(())
    }

    fn open(&mut self, opening: &str, source: &str, offset: usize) -> Result<(), TemplateProblem> {
        let (name, path) = opening.split_once(char::is_whitespace).unwrap_or((opening, ""));
        let Some(kind) = BlockKind::parse(name) else {
            return Err(problem(format!("`{source}` is no block"), "blocks are #if, #unless and #each", offset));
        };
        let Some(path) = Path::parse(path) else {
            let hint = format!("write `{{{{#{name} some.path}}}}`; comparisons belong into a condition node");
            return Err(problem(format!("`{source}` needs one path"), hint, offset));
        };
        if self.open.len() == BLOCK_DEPTH_MAX {
            let message = format!("blocks are nested more than {BLOCK_DEPTH_MAX} deep at `{source}`");
            return Err(problem(message, "use fewer blocks inside each other", offset));
        }
        let before = std::mem::take(&mut self.parts);
        self.open.push(Open { kind, path, offset, source: source.to_owned(), body: None, before });
        Ok(())
    }

    fn otherwise(&mut self, offset: usize) -> Result<(), TemplateProblem> {
        match self.open.last_mut() {
            Some(open) if open.body.is_none() => {
                open.body = Some(std::mem::take(&mut self.parts));
                Ok(())
            }
            Some(_) => Err(problem("a second `{{else}}` in one block", "remove one of them", offset)),
            None => Err(problem("`{{else}}` stands outside of a block", "put it between #if and /if", offset)),
        }
    }

    fn close(&mut self, name: &str, source: &str, offset: usize) -> Result<(), TemplateProblem> {
        let Some(open) = self.open.pop() else {
            let hint = format!("open it with `{{{{#{name} path}}}}` or remove it");
            return Err(problem(format!("`{source}` closes nothing"), hint, offset));
        };
        if open.kind.name() != name {
            let hint = format!("write `{{{{/{}}}}}` first", open.kind.name());
            return Err(problem(format!("`{source}` does not close `{}`", open.source), hint, offset));
        }
        let last = std::mem::replace(&mut self.parts, open.before);
        let (body, otherwise) = match open.body {
            Some(body) => (body, last),
            None => (last, Vec::new()),
        };
        self.push(Part::Block(Block { kind: open.kind, path: open.path, body, otherwise }));
        Ok(())
    }

    fn end(mut self) -> Result<Vec<Part>, TemplateProblem> {
        match self.open.pop() {
            None => Ok(self.parts),
            Some(open) => {
                let hint = format!("add `{{{{/{}}}}}` where it ends", open.kind.name());
                Err(problem(format!("`{}` is never closed", open.source), hint, open.offset))
            }
        }
    }
}

/// Returns the names of the secrets that `parts` have places for, each as often as it stands there.
pub fn secrets(parts: &[Part]) -> Vec<&str> {
    let mut names = Vec::new();
    for part in parts {
        match part {
            Part::Text(_) | Part::Value { .. } => {}
            Part::Secret(name) => names.push(name.as_str()),
            Part::Block(block) => {
                names.extend(secrets(&block.body));
                names.extend(secrets(&block.otherwise));
            }
        }
    }
    names
}

/// Whether `name` is one a secret may have: a letter, then letters, digits, `_`, `-` and `.`. Names of
/// providers and old ids of keys are such names too.
pub fn is_secret_name(name: &str) -> bool {
    let is_part = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'-' | b'.');
    name.len() <= SECRET_NAME_LEN_MAX
        && name.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)
        && name.bytes().all(is_part)
}

/// Returns what stands before, in and after the first `{…}` of `text`.
fn single_brace(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('{')?;
    let (inside, after) = rest.split_once('}')?;
    Some((before, inside, after))
}

fn problem(message: impl Into<String>, hint: impl Into<String>, offset: usize) -> TemplateProblem {
    TemplateProblem { message: message.into(), hint: hint.into(), offset }
}

fn never_closed(text: &str, offset: usize) -> TemplateProblem {
    let shown: String = text.chars().take(30).collect();
    problem(
        format!("`{shown}` has no closing braces"),
        "close the tag with `}}`; write `\\{{` for literal braces",
        offset,
    )
}

fn no_path(inside: &str, source: &str, offset: usize) -> TemplateProblem {
    let hint = if inside.starts_with("else ") {
        "put an #if block inside the else part"
    } else if inside.starts_with('{') {
        "write two braces; nothing is escaped"
    } else if inside.contains('|') || inside.contains('(') {
        "prompts have no filters or calls; use a template_job for those"
    } else {
        "a path is like `name.field[0]`; write `\\{{` for literal braces"
    };
    problem(format!("`{source}` is no path"), hint, offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_templates_name_the_tag_and_say_what_to_write() {
        for (text, message, hint) in [
            ("{{#if x}}never", "`{{#if x}}` is never closed", "add `{{/if}}`"),
            ("a {{/if}}", "`{{/if}}` closes nothing", "open it"),
            ("{{#if x}}{{/each}}", "`{{/each}}` does not close `{{#if x}}`", "`{{/if}}` first"),
            ("{{#with x}}{{/with}}", "`{{#with x}}` is no block", "#each"),
            ("{{#if a == 1}}{{/if}}", "`{{#if a == 1}}` needs one path", "condition node"),
            ("{{else}}", "outside of a block", "#if"),
            ("{{#if x}}{{else}}{{else}}{{/if}}", "second `{{else}}`", "remove"),
            ("{{name", "has no closing braces", "`}}`"),
            ("{{}}", "`{{}}` is no path", "literal"),
            ("{{x | upper}}", "is no path", "template_job"),
            ("{{{x}}}", "is no path", "two braces"),
            ("{{#if x}}{{else if y}}{{/if}}", "is no path", "inside the else part"),
        ] {
            let problem = parse(text, Also::Nothing).expect_err(text);
            assert!(problem.message.contains(message), "{text}: {}", problem.message);
            assert!(problem.hint.contains(hint), "{text}: {}", problem.hint);
        }
    }

    #[test]
    fn references_to_secrets_are_places_only_where_they_are_asked_for() {
        let text = "Bearer ${secret:KEY_1} {{x}}${secret:B}";
        let secret = |name: &str| Part::Secret(name.to_owned());
        let parts = parse(text, Also::Secrets).expect("it parses");
        assert_eq!((&parts[0], &parts[1]), (&Part::Text("Bearer ".into()), &secret("KEY_1")));
        assert_eq!((parts.len(), &parts[4]), (5, &secret("B")));
        assert!(!parse(text, Also::Nothing).expect("it parses").contains(&secret("B")));
        for (text, offset) in [("ab${secret:}", 2), ("${secret:1key}", 0), ("x ${secret:{{n}}}", 2), ("${secret:A", 0)]
        {
            assert_eq!(parse(text, Also::Secrets).expect_err(text).offset, offset, "{text}");
        }
    }

    #[test]
    fn ten_thousand_open_blocks_are_refused_and_not_followed() {
        let text = "{{#each x}}".repeat(10_000);
        assert!(parse(&text, Also::Nothing).expect_err("too deep").message.contains("more than 32 deep"));
    }
}
