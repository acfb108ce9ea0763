//! Outlines of TypeScript sources: what a `typescript_ast` node asks the `CodeRunner` for.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A kind of declaration that an outline may list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    Interface,
    Type,
    Enum,
    Class,
    Function,
    Const,
    Export,
}

impl Pattern {
    /// Every pattern, in the order of the reference.
    pub const ALL: [Self; 7] =
        [Self::Interface, Self::Type, Self::Enum, Self::Class, Self::Function, Self::Const, Self::Export];

    /// The word of `extract_patterns` and of results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Interface => "interface",
            Self::Type => "type",
            Self::Enum => "enum",
            Self::Class => "class",
            Self::Function => "function",
            Self::Const => "const",
            Self::Export => "export",
        }
    }

    /// The word for several of them.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Interface => "interfaces",
            Self::Type => "types",
            Self::Enum => "enums",
            Self::Class => "classes",
            Self::Function => "functions",
            Self::Const => "consts",
            Self::Export => "exports",
        }
    }

    /// Reads either word without regard to case; `constant` and `constants` are consts.
    pub fn parse(text: &str) -> Option<Self> {
        let folded = text.trim().to_ascii_lowercase();
        if matches!(folded.as_str(), "constant" | "constants") {
            return Some(Self::Const);
        }
        Self::ALL.into_iter().find(|it| it.name() == folded || it.plural() == folded)
    }
}

/// One source to outline.
#[derive(Clone, Debug)]
pub struct OutlineJob {
    pub source: Arc<str>,
    pub options: OutlineOptions,
    pub timeout: Duration,
}

/// How a source is read and what of it is listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutlineOptions {
    pub patterns: Vec<Pattern>,
    /// A script, not a module: no top-level `import`, `export`, `await`.
    pub is_script: bool,
    /// Take the JSDoc comments along.
    pub jsdoc: bool,
    /// Where the source came from; its suffix tells JSX and declaration files.
    pub path: Option<String>,
}

/// The top-level declarations of a source, in its order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outline {
    pub items: Vec<OutlineItem>,
    /// `{from, names, isTypeOnly}` of each import.
    pub imports: Vec<Value>,
    pub n_lines: u32,
}

/// One declaration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutlineItem {
    pub pattern: Pattern,
    /// First and last line, from 1.
    pub line: u32,
    pub end_line: u32,
    /// `name`, and what this kind of declaration has.
    pub facts: Map<String, Value>,
}
