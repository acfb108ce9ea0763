//! Writes a diagram in another format, or as a picture, and says what that leaves out.

use std::io::Write;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::run_diagram::format_of;
use crate::compile::{Compiled, Report, invalid};
use crate::diagram::write::{meaning, write};
use crate::diagram::{Diagram, Format, Parsed, comments, draw, parse};
use crate::error::Error;
use crate::nodes::known_fields;

/// Problems of reading that say that something of the text has no place in a diagram.
const LEFT_OUT: [&str; 6] = ["W101", "W301", "W305", "W402", "W403", "W506"];

/// What to convert, and into what.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// A whole diagram as text.
    pub content: String,
    /// `light`, `readable` or `native`; detected when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from_format: Option<String>,
    /// `light`, `readable`, `native`, `mermaid` or `dot`; by the suffix of `output` when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to_format: Option<String>,
    /// The file to write; none: the text is only returned.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub output: Option<PathBuf>,
    /// Anything that is left out is an error.
    #[serde(default)]
    pub strict: bool,
    /// Write over a file that exists.
    #[serde(default)]
    pub force: bool,
}

/// The converted text.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Response {
    /// What the text was.
    pub from_format: &'static str,
    /// What it is now.
    pub to_format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<PathBuf>,
    /// The text, unless it went into a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// What the new text does not have.
    pub losses: Vec<Loss>,
}

/// Something of the old text that the new one does not have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Loss {
    /// The diagnostic that says so, if there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// Line of the old text, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    pub message: String,
}

/// What a diagram can be written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Text(Format),
    Mermaid,
    Dot,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::Text(format) => format.name(),
            Self::Mermaid => "mermaid",
            Self::Dot => "dot",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "mermaid" => Some(Self::Mermaid),
            "dot" => Some(Self::Dot),
            other => Format::parse(other).map(Self::Text),
        }
    }

    /// By the suffix of a file; plain YAML is light, plain JSON native.
    fn of_file(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        let rows = [
            (&[".readable.yaml", ".readable.yml"][..], Self::Text(Format::Readable)),
            (&[".yaml", ".yml"], Self::Text(Format::Light)),
            (&[".json"], Self::Text(Format::Native)),
            (&[".mmd", ".mermaid"], Self::Mermaid),
            (&[".dot", ".gv"], Self::Dot),
        ];
        rows.into_iter().find(|(suffixes, _)| suffixes.iter().any(|it| name.ends_with(it))).map(|(_, target)| target)
    }
}

/// Converts a diagram. Whether it would compile does not matter, as long as it can be read whole.
///
/// # Errors
///
/// `INVALID_FORMAT`, `INVALID_DIAGRAM` when reading it finds an error, `CONVERSION_LOSS` (strict),
/// `ALREADY_EXISTS` for the output without `force`, `TOO_LARGE`, `FILE_FAILED`.
pub fn convert_diagram(request: &Request) -> Result<Response, Error> {
    let target = target_of(request)?;
    let parsed = parse(&request.content, format_of(request.from_format.as_deref())?);
    let losses = losses(&parsed, &request.content, target);
    let (format, diagram) = whole(parsed, &request.content)?;
    let text = match target {
        Target::Text(format) => written(&diagram, format)?,
        Target::Mermaid => draw::mermaid(&diagram),
        Target::Dot => draw::dot(&diagram),
    };
    if let (true, Some(first)) = (request.strict, losses.first()) {
        let message = format!("as {} the diagram loses {}: {}", target.name(), counted(losses.len()), first.message);
        return Err(Error::invalid("CONVERSION_LOSS", message)
            .hint("convert without `--strict`, or remove it from the diagram first")
            .details(serde_json::json!({ "losses": losses })));
    }
    if let Some(output) = &request.output {
        save(output, &text, request.force)?;
    }
    let content = request.output.is_none().then_some(text);
    let output = request.output.clone();
    Ok(Response { from_format: format.name(), to_format: target.name(), output, content, losses })
}

fn target_of(request: &Request) -> Result<Target, Error> {
    let known = "write light, readable, native, mermaid or dot";
    match (&request.to_format, &request.output) {
        (Some(name), _) => Target::parse(name).ok_or_else(|| {
            Error::invalid("INVALID_FORMAT", format!("`{name}` is no format to convert to")).hint(known)
        }),
        (None, Some(output)) => Target::of_file(output).ok_or_else(|| {
            let message = format!("the name `{}` does not show which format to write", output.display());
            Error::invalid("INVALID_FORMAT", message).hint("add `--to-format`, or a suffix such as `.light.yaml`")
        }),
        (None, None) => Err(Error::invalid("INVALID_FORMAT", "no format to convert to is given").hint(known)),
    }
}

/// Returns the diagram if nothing of it was dropped while reading.
fn whole(parsed: Parsed, text: &str) -> Result<(Format, Diagram), Error> {
    let Parsed { diagram, format, diagnostics } = parsed;
    let is_whole = !diagnostics.iter().any(|it| it.code.starts_with('E'));
    match (format, diagram) {
        (Some(format), Some(diagram)) if is_whole => Ok((format, diagram)),
        (format, diagram) => {
            let compiled = Compiled { diagram, format, diagnostics, plan: None, capabilities: None };
            Err(invalid(&Report::new(&compiled, text)))
        }
    }
}

/// Writes the diagram and reads it again: what comes back must say the same.
///
/// # Errors
///
/// `TOO_LARGE`; `INTERNAL` when it says something else.
pub(super) fn written(diagram: &Diagram, format: Format) -> Result<String, Error> {
    let text = write(diagram, format, &known_fields);
    let back = parse(&text, Some(format));
    if back.diagnostics.iter().any(|it| it.code == "E104") {
        return Err(Error::limit("TOO_LARGE", format!("written as {} the diagram would be too large", format.name()))
            .hint("move parts into sub-diagrams, or long texts into files"));
    }
    let is_same = back.diagram.is_some_and(|it| meaning(&it, &known_fields) == meaning(diagram, &known_fields));
    if is_same {
        return Ok(text);
    }
    Err(Error::internal(format!("written as {} the diagram does not come back as it was", format.name())))
}

fn losses(parsed: &Parsed, text: &str, target: Target) -> Vec<Loss> {
    let left_out = parsed.diagnostics.iter().filter(|it| LEFT_OUT.contains(&it.code));
    let mut losses: Vec<Loss> = left_out
        .map(|it| Loss { code: Some(it.code.to_owned()), line: Some(it.span.line), message: it.message.clone() })
        .collect();
    let comments = comments(text);
    if let Some(first) = comments.first() {
        let message = match comments.len() {
            1 => "a comment is not carried over".to_owned(),
            n => format!("{n} comments are not carried over"),
        };
        losses.push(Loss { code: None, line: Some(first.line), message });
    }
    if !matches!(target, Target::Text(_)) {
        let message = "a picture shows names, types and connections; everything else is left out".to_owned();
        losses.push(Loss { code: None, line: None, message });
    }
    losses
}

fn counted(n: usize) -> String {
    if n == 1 { "one thing".to_owned() } else { format!("{n} things, first") }
}

/// Writes the file; without `force` only where there is none.
fn save(path: &Path, text: &str, force: bool) -> Result<(), Error> {
    let mut options = std::fs::OpenOptions::new();
    if force {
        options.write(true).create(true).truncate(true)
    } else {
        options.write(true).create_new(true)
    };
    let outcome = options.open(path).and_then(|mut it| it.write_all(text.as_bytes()));
    outcome.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Error::conflict("ALREADY_EXISTS", format!("`{}` exists", path.display()))
            .hint("add `--force` to write over it"),
        _ => Error::external("FILE_FAILED", format!("cannot write `{}`: {}", path.display(), error.kind()))
            .hint("check that its folder exists and may be written")
            .source(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIGHT: &str = "version: light\n# why\nnodes:\n- {label: s, type: start} # begins\n- {label: e, type: endpoint}\n\
                         connections:\n- {from: s, to: e, lable: x}\n";

    fn request(content: &str, to_format: &str) -> Request {
        Request { content: content.to_owned(), to_format: Some(to_format.to_owned()), ..Request::default() }
    }

    #[test]
    fn what_the_new_text_does_not_have_is_said() {
        let response = convert_diagram(&request(LIGHT, "readable")).expect("it converts");
        let expected = "version: readable\nnodes:\n- s [start]: {}\n- e [endpoint]: {}\nflow:\n- s: {to: e}\n";
        assert_eq!(response.content.as_deref(), Some(expected));
        let losses: Vec<_> =
            response.losses.iter().map(|it| (it.code.as_deref(), it.line, it.message.as_str())).collect();
        let expected = [
            (Some("W301"), Some(7), "a connection has no key `lable`"),
            (None, Some(2), "2 comments are not carried over"),
        ];
        assert_eq!(losses, expected);
    }

    #[test]
    fn strict_refuses_to_lose_anything_and_writes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let output = folder.path().join("x.native.json");
        let strict = Request { strict: true, output: Some(output.clone()), ..request(LIGHT, "native") };
        assert_eq!(convert_diagram(&strict).expect_err("it would lose comments").code(), "CONVERSION_LOSS");
        assert!(!output.exists());
        let plain = LIGHT.replace("# why\n", "").replace(" # begins", "").replace(", lable: x", "");
        let strict = Request { content: plain, ..strict };
        assert_eq!(convert_diagram(&strict).expect("nothing is lost").losses, []);
        assert!(output.exists());
    }

    #[test]
    fn a_file_that_exists_is_written_over_only_when_forced() {
        let folder = tempfile::tempdir().expect("a folder");
        let output = folder.path().join("x.dot");
        std::fs::write(&output, "mine").expect("written");
        let careful = Request { output: Some(output.clone()), to_format: None, ..request(LIGHT, "") };
        assert_eq!(convert_diagram(&careful).expect_err("it exists").code(), "ALREADY_EXISTS");
        assert_eq!(std::fs::read_to_string(&output).expect("there"), "mine");
        convert_diagram(&Request { force: true, ..careful }).expect("it converts");
        assert!(std::fs::read_to_string(&output).expect("there").starts_with("digraph"));
    }

    #[test]
    fn what_cannot_be_read_whole_is_not_converted() {
        for (content, to, expected) in [
            (LIGHT.replace("to: e", "to: f"), "readable", "INVALID_DIAGRAM"),
            (LIGHT.replace("type: start", "type: strat"), "readable", "INVALID_DIAGRAM"),
            ("nodes: [".to_owned(), "native", "INVALID_DIAGRAM"),
            (LIGHT.to_owned(), "toolhub", "INVALID_FORMAT"),
            ("x: ".repeat(1_000_000), "light", "INVALID_DIAGRAM"),
        ] {
            assert_eq!(convert_diagram(&request(&content, to)).expect_err("refused").code(), expected, "{to}");
        }
        let flag = Request { from_format: Some("native".to_owned()), ..request(LIGHT, "light") };
        assert_eq!(convert_diagram(&flag).expect_err("it is light").code(), "INVALID_DIAGRAM");
    }

    #[test]
    fn the_suffix_of_the_output_shows_the_format() {
        for (name, expected) in [
            ("a.light.yaml", Some("light")),
            ("a.yml", Some("light")),
            ("a.readable.yaml", Some("readable")),
            ("a.native.json", Some("native")),
            ("a.JSON", Some("native")),
            ("a.mmd", Some("mermaid")),
            ("a.dot", Some("dot")),
            ("a.txt", None),
        ] {
            assert_eq!(Target::of_file(Path::new(name)).map(Target::name), expected, "{name}");
        }
    }
}
