//! `db`: reads, writes, appends to and updates files of the workspace (diagrams.md 2.7).

mod keys;
mod lines;
mod reading;
mod writing;

use futures_util::future::BoxFuture;
use serde_json::Value;

use super::file_format::{Encoding, FileFormat};
use super::paths::PathField;
use super::{Effect, FieldSpec, Fields, Node, NodeContext, NodeType, Outcome, Output, Preset, Shape};
use crate::diagram::{NodeKind, Tree, TreeKind};
use crate::error::Error;
use lines::LineRange;

pub(super) static TYPE: NodeType = NodeType {
    kind: NodeKind::Db,
    summary: "Reads, writes, appends to or updates files of the workspace.",
    fields: &[
        FieldSpec::new("operation", Shape::Choice(Operation::NAMES), "What to do with the file.")
            .or(Preset::Text("read")),
        FieldSpec::new("file", Shape::Texts, "The file; for `read` also several, or a pattern.").required(),
        FieldSpec::new("format", Shape::Choice(FileFormat::NAMES), "What the file holds; by its suffix if absent."),
        FieldSpec::new("content", Shape::Any, "What `write` and `append` write, as it stands; else an input gives it."),
        FieldSpec::new("keys", Shape::Texts, "Dotted keys to read, or to set with `update`."),
        FieldSpec::new("lines", Shape::Any, "Lines to read, from 1: `3`, `2:5`, `:5`, also several."),
        FieldSpec::new("missing_value", Shape::Any, "What a missing file reads as; it fails if absent."),
        FieldSpec::new("glob", Shape::Bool, "Whether `*`, `**`, `?` and `[abc]` in a path are patterns.")
            .or(Preset::Bool(true)),
        FieldSpec::new("serialize_json", Shape::Bool, "Whether the value is given as JSON text.")
            .or(Preset::Bool(false)),
        FieldSpec::new("encoding", Shape::Choice(Encoding::NAMES), "How the file encodes text.")
            .or(Preset::Text("utf-8")),
        FieldSpec::new("sub_type", Shape::Text, "Kept from other editors: `file` or `fixed_prompt`; it has no effect."),
        FieldSpec::new("collection", Shape::Any, "Kept from other editors; it has no effect."),
        FieldSpec::new("query", Shape::Any, "Kept from other editors; it has no effect."),
        FieldSpec::new("data", Shape::Any, "Kept from other editors; it has no effect."),
    ],
    read,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Read,
    Write,
    Append,
    Update,
}

impl Operation {
    const NAMES: &[&str] = &["read", "write", "append", "update"];

    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Append => "append",
            Self::Update => "update",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::Append, Self::Update].into_iter().find(|it| it.name() == name)
    }
}

struct Db {
    operation: Operation,
    paths: Vec<PathField>,
    /// Whether `file` is a list: then a read gives a map even for one path.
    is_list: bool,
    /// Absent: by the file's suffix, as each operation says.
    format: Option<FileFormat>,
    encoding: Encoding,
    /// What to write, as it stands in the diagram.
    content: Option<Value>,
    keys: Vec<String>,
    lines: Option<Vec<LineRange>>,
    /// What a missing file reads as; absent: it fails.
    missing_value: Option<Value>,
    glob: bool,
    serialize_json: bool,
}

fn read(fields: &mut Fields<'_>) -> Box<dyn Node> {
    let operation = fields.choice("operation", Operation::NAMES).and_then(Operation::parse);
    let format = fields.choice("format", FileFormat::NAMES).and_then(FileFormat::parse);
    let encoding = fields.choice("encoding", Encoding::NAMES).and_then(Encoding::parse);
    let (paths, is_list) = read_paths(fields, operation);
    // Absent means `read`; a word that is none has been reported and means nothing more.
    let meant = operation.or_else(|| fields.tree("operation").is_none().then_some(Operation::Read));
    let content = read_content(fields, meant);
    let lines = read_lines(fields, format);
    let keys = fields.texts("keys", true);
    if lines.is_some() && !keys.is_empty() {
        fields.problem("E405", "lines", "`keys` and `lines` exclude each other", "keep one of them");
    }
    if operation == Some(Operation::Update) && keys.is_empty() {
        fields.missing("keys");
    }
    let missing_value = fields.is_given("missing_value").then(|| fields.value("missing_value").unwrap_or_default());
    report_without_effect(fields);
    Box::new(Db {
        operation: operation.unwrap_or(Operation::Read),
        paths,
        is_list,
        format,
        encoding: encoding.unwrap_or_default(),
        content,
        keys,
        lines,
        missing_value,
        glob: fields.boolean("glob", true),
        serialize_json: fields.boolean("serialize_json", false),
    })
}

fn read_paths(fields: &mut Fields<'_>, operation: Option<Operation>) -> (Vec<PathField>, bool) {
    let is_list = fields.tree("file").is_some_and(|it| matches!(it.kind, TreeKind::List(_)));
    let texts = fields.texts("file", false);
    let is_blank = |it: &Tree| match &it.kind {
        TreeKind::Text(text) => text.trim().is_empty(),
        _ => is_list && it.items().is_empty(),
    };
    if fields.tree("file").is_none_or(is_blank) {
        fields.missing("file");
    }
    if texts.len() > 1 && operation.is_some_and(|it| it != Operation::Read) {
        fields.problem("E402", "file", "only `read` takes several files", "name one file");
    }
    let paths = texts
        .iter()
        .filter(|it| !it.trim().is_empty())
        .filter_map(|text| PathField::of(fields, "file", text))
        .collect();
    (paths, is_list)
}

fn read_content(fields: &mut Fields<'_>, operation: Option<Operation>) -> Option<Value> {
    let content = fields.tree("content")?.to_json();
    // One that is misspelt is reported already.
    let operation = if fields.tree("operation").is_none() { Some(Operation::Read) } else { operation };
    if let Some(operation @ (Operation::Read | Operation::Update)) = operation {
        let message = format!("`content` has no effect with `operation: {}`", operation.name());
        fields.problem("W402", "content", message, "remove it; `update` takes its value from an input");
    }
    Some(content)
}

fn read_lines(fields: &mut Fields<'_>, format: Option<FileFormat>) -> Option<Vec<LineRange>> {
    let written = fields.tree("lines")?.to_json();
    if matches!(format, Some(FileFormat::Json | FileFormat::Yaml | FileFormat::Csv)) {
        fields.problem("E405", "lines", "`lines` reads text only", "remove `format` or `lines`");
    }
    match LineRange::parse_all(&written) {
        Ok(ranges) => Some(ranges),
        Err(part) => {
            let hint = "write `3`, `2:5`, `2:` or `:5`, also several with commas; lines count from 1";
            fields.problem("E402", "lines", format!("`{part}` is no range of lines"), hint);
            None
        }
    }
}

fn report_without_effect(fields: &mut Fields<'_>) {
    let sub_type = fields.text("sub_type");
    if let Some(sub_type) = sub_type.filter(|it| it != "file" && it != "fixed_prompt") {
        fields.problem("W402", "sub_type", format!("`sub_type: {sub_type}` has no effect"), "db nodes work on files");
    }
    for key in ["collection", "query", "data"] {
        if fields.tree(key).is_some() {
            fields.problem("W402", key, format!("`{key}` has no effect on files"), "remove it");
        }
    }
}

impl Node for Db {
    fn effect(&self) -> Effect {
        match self.operation {
            Operation::Read => Effect::None,
            Operation::Write | Operation::Append | Operation::Update => Effect::Outside,
        }
    }

    fn reads(&self) -> bool {
        true
    }

    fn run<'a>(&'a self, cx: &'a NodeContext) -> BoxFuture<'a, Result<Outcome, Error>> {
        Box::pin(async move {
            let value = match self.operation {
                Operation::Read => self.read_files(cx).await?,
                Operation::Write => self.write(cx).await?,
                Operation::Append => self.append(cx).await?,
                Operation::Update => self.update(cx).await?,
            };
            Ok(Outcome::Done(Output::value(value)))
        })
    }
}

#[cfg(test)]
mod tests;
