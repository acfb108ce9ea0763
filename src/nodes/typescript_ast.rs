//! `typescript_ast`: lists what TypeScript sources declare (diagrams.md 2.12). The parsing is done by the
//! `CodeRunner` port; here it is decided which sources there are and how the lists are arranged.

mod shape;
mod sources;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use self::shape::{OutputFormat, Shaping};
use self::sources::{Source, SourceField};
use super::ports::outline::{OutlineJob, OutlineOptions, Pattern};
use super::{FieldSpec, Fields, Node, NodeContext, NodeType, Outcome, Output, Preset, Shape};
use crate::diagram::NodeKind;
use crate::error::Error;
use crate::limits;

pub(super) static TYPE: NodeType = NodeType {
    kind: NodeKind::TypescriptAst,
    summary: "Lists the interfaces, types, enums and more that TypeScript sources declare.",
    fields: FIELDS,
    read,
};

/// The input that holds the sources of a batch unless `batch_input_key` names another.
const BATCH_INPUT_KEY: &str = "sources";

const FIELDS: &[FieldSpec] = &[
    FieldSpec::new("source", Shape::Text, "A path of the workspace or TypeScript text; without it an input gives it."),
    FieldSpec::new(
        "extract_patterns",
        Shape::Texts,
        "What to list: interface, type, enum (the default), class, function, const, export.",
    ),
    FieldSpec::new("include_jsdoc", Shape::Bool, "Take the JSDoc comments along.").or(Preset::Bool(false)),
    FieldSpec::new("parse_mode", Shape::Choice(PARSE_MODES), "Whether the source is a module or a script.")
        .or(Preset::Text("module")),
    FieldSpec::new("transform_enums", Shape::Bool, "Make the members of an enum a map from name to value.")
        .or(Preset::Bool(false)),
    FieldSpec::new("flatten_output", Shape::Bool, "Make one list of all patterns, in the order of the source.")
        .or(Preset::Bool(false)),
    FieldSpec::new("output_format", Shape::Choice(OutputFormat::NAMES), "How the result is arranged.")
        .or(Preset::Text("standard")),
    FieldSpec::new("batch", Shape::Bool, "Parse several sources at once.").or(Preset::Bool(false)),
    FieldSpec::new("batch_input_key", Shape::Text, "The name that gives the sources of a batch.")
        .or(Preset::Text(BATCH_INPUT_KEY)),
];

const PARSE_MODES: &[&str] = &["module", "script"];

struct TypescriptAst {
    source: Option<SourceField>,
    patterns: Vec<Pattern>,
    jsdoc: bool,
    is_script: bool,
    shaping: Shaping,
    /// The name that gives the sources of a batch; absent: there is one source.
    batch_key: Option<String>,
}

fn read(fields: &mut Fields<'_>) -> Box<dyn Node> {
    let source = SourceField::read(fields);
    let patterns = read_patterns(fields);
    let jsdoc = fields.boolean("include_jsdoc", false);
    let is_script = fields.choice("parse_mode", PARSE_MODES) == Some("script");
    let shaping = Shaping {
        enums_as_maps: fields.boolean("transform_enums", false),
        flat: fields.boolean("flatten_output", false),
        format: fields.choice("output_format", OutputFormat::NAMES).and_then(OutputFormat::parse).unwrap_or_default(),
    };
    let batch_key = read_batch_key(fields);
    if source.is_none() && fields.incoming().next().is_none() && fields.tree("source").is_none() {
        fields.missing("source");
    }
    Box::new(TypescriptAst { source, patterns, jsdoc, is_script, shaping, batch_key })
}

fn read_patterns(fields: &mut Fields<'_>) -> Vec<Pattern> {
    if fields.tree("extract_patterns").is_none() {
        return vec![Pattern::Interface, Pattern::Type, Pattern::Enum];
    }
    let mut patterns = Vec::new();
    for word in fields.texts("extract_patterns", true) {
        match Pattern::parse(&word) {
            Some(pattern) if patterns.contains(&pattern) => {}
            Some(pattern) => patterns.push(pattern),
            None => {
                let names = Pattern::ALL.map(Pattern::name);
                let hint = match crate::nearest::nearest(&word, names) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("write some of: {}", names.join(", ")),
                };
                fields.problem("E403", "extract_patterns", format!("`{word}` is no pattern to extract"), hint);
            }
        }
    }
    patterns
}

fn read_batch_key(fields: &mut Fields<'_>) -> Option<String> {
    let is_batch = fields.boolean("batch", false);
    let key = fields.text_not_blank("batch_input_key");
    if is_batch {
        return Some(key.unwrap_or_else(|| BATCH_INPUT_KEY.to_owned()));
    }
    // The default, written out, is no mistake.
    if key.is_some_and(|it| it != BATCH_INPUT_KEY) {
        let hint = "add `batch: true`, or remove it";
        fields.problem("W402", "batch_input_key", "`batch_input_key` has no effect without `batch: true`", hint);
    }
    None
}

impl Node for TypescriptAst {
    fn reads(&self) -> bool {
        self.source.is_some()
    }

    fn run<'a>(&'a self, cx: &'a NodeContext) -> BoxFuture<'a, Result<Outcome, Error>> {
        Box::pin(async move {
            let Some(key) = &self.batch_key else {
                let source = sources::only(self.source.as_ref(), cx).await?;
                return Ok(Outcome::Done(Output::value(self.outline(source, cx).await?)));
            };
            let mut results = Map::new();
            for (name, source) in sources::batch(self.source.as_ref(), key, cx).await? {
                let value = self.outline(source, cx).await.map_err(|error| in_source(&name, error))?;
                results.insert(name, value);
            }
            Ok(Outcome::Done(Output::value(Value::Object(results))))
        })
    }
}

impl TypescriptAst {
    async fn outline(&self, source: Source, cx: &NodeContext) -> Result<Value, Error> {
        let options = OutlineOptions {
            patterns: self.patterns.clone(),
            is_script: self.is_script,
            jsdoc: self.jsdoc,
            path: source.path.clone(),
        };
        let timeout = cx.timeout.unwrap_or(Duration::from_secs_f64(limits::CODE_TIMEOUT_S));
        let job = OutlineJob { source: Arc::from(source.text), options: options.clone(), timeout };
        let outline = cx.ports.code.outline(job).await.map_err(|error| match &source.path {
            Some(path) => in_source(path, error),
            None => error,
        })?;
        Ok(self.shaping.arrange(outline, &options))
    }
}

/// Names the source in an error that speaks of its lines, unless it is named already.
fn in_source(name: &str, error: Error) -> Error {
    let prefix = format!("`{name}`: ");
    if error.code() != "PARSE_FAILED" || error.message().starts_with(&prefix) {
        return error;
    }
    let mut named = Error::new(error.kind(), "PARSE_FAILED", format!("{prefix}{}", error.message()));
    if let Some(hint) = error.hint_text() {
        named = named.hint(hint);
    }
    match error.details_value() {
        Some(details) => named.details(details.clone()),
        None => named,
    }
}
