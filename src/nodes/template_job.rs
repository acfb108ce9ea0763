//! `template_job`: renders a Jinja2 template, as text and to a file (diagrams.md 2.10). What cannot take
//! much time or memory is rendered right here, everything else by the `CodeRunner` port.

mod filters;
mod jinja;
mod straight;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use self::jinja::{Context, Jinja2, render_value, unparsable};
use self::straight::is_straight;
use super::file_format::Encoding;
use super::paths::PathField;
use super::ports::RenderJob;
use super::{Effect, FieldSpec, Fields, Names, Node, NodeContext, NodeType, Outcome, Output, Preset, Shape};
use crate::diagram::NodeKind;
use crate::error::Error;
use crate::limits;

pub(super) static TYPE: NodeType = NodeType {
    kind: NodeKind::TemplateJob,
    summary: "Renders a Jinja2 template over its inputs.",
    fields: &[
        FieldSpec::new("template_content", Shape::Text, "The Jinja2 template; it wins over `template_path`."),
        FieldSpec::new("template_path", Shape::Path, "The file that holds the template."),
        FieldSpec::new("output_path", Shape::Path, "Where the text is written as well."),
        FieldSpec::new("variables", Shape::Map, "Names for the template, below the inputs."),
        FieldSpec::new("engine", Shape::Choice(&["jinja2", "internal"]), "Both words mean the same.")
            .or(Preset::Text("jinja2")),
        FieldSpec::new("preprocessor", Shape::Any, "Kept from other editors; it has no effect."),
    ],
    read,
};

struct TemplateJob {
    source: Source,
    output_path: Option<PathField>,
    variables: Map<String, Value>,
}

enum Source {
    Inline(Arc<str>),
    File(PathField),
    /// It could not be read; the diagram does not run.
    None,
}

fn read(fields: &mut Fields<'_>) -> Box<dyn Node> {
    fields.choice("engine", &["jinja2", "internal"]);
    if fields.tree("preprocessor").is_some() {
        fields.problem("W402", "preprocessor", "`preprocessor` has no effect", "prepare the values in a code_job");
    }
    let variables = fields.object_or_empty("variables");
    check_variables(fields, &variables);
    Box::new(TemplateJob {
        source: read_source(fields),
        output_path: PathField::read(fields, "output_path"),
        variables,
    })
}

fn read_source(fields: &mut Fields<'_>) -> Source {
    let path = PathField::read(fields, "template_path");
    if let Some(text) = fields.text("template_content") {
        if let Err(problem) = jinja::check(&text) {
            broken(fields, "template_content", &problem);
            return Source::None;
        }
        return Source::Inline(text.into());
    }
    if let Some(path) = path {
        if let Some(Err(problem)) = path.content_now(fields, "template_path").map(|text| jinja::check(&text)) {
            broken(fields, "template_path", &problem);
        }
        return Source::File(path);
    }
    if fields.tree("template_path").is_none() && fields.tree("template_content").is_none() {
        fields.missing("template_content");
    }
    Source::None
}

fn check_variables(fields: &mut Fields<'_>, variables: &Map<String, Value>) {
    let mut texts = Vec::new();
    variables.values().for_each(|it| texts_in(it, &mut texts));
    let problems: Vec<String> = texts.iter().filter_map(|text| jinja::check(text).err()).collect();
    for problem in problems {
        broken(fields, "variables", &problem);
    }
}

fn broken(fields: &mut Fields<'_>, key: &'static str, problem: &str) {
    let message = format!("template does not parse: {problem}");
    fields.problem("E602", key, message, "templates are Jinja2: `{{ name }}`, `{% for x in xs %}…{% endfor %}`");
}

/// Collects the texts inside `value` that hold something to render.
fn texts_in<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
    match value {
        Value::String(text) if text.contains('{') => found.push(text),
        Value::Array(items) => items.iter().for_each(|it| texts_in(it, found)),
        Value::Object(map) => map.values().for_each(|it| texts_in(it, found)),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl Node for TemplateJob {
    fn effect(&self) -> Effect {
        if self.output_path.is_some() { Effect::Outside } else { Effect::None }
    }

    fn reads(&self) -> bool {
        matches!(self.source, Source::File(_))
    }

    fn run<'a>(&'a self, cx: &'a NodeContext) -> BoxFuture<'a, Result<Outcome, Error>> {
        Box::pin(async move {
            let job = self.job(self.template(cx).await?, cx);
            let text = if is_straight(&job) { render(&job)? } else { cx.ports.code.render(job).await? };
            let mut output = Output::default();
            if let Some(path) = &self.output_path {
                let path = path.render(cx)?;
                cx.ports.files.write(&path, text.as_bytes(), &cx.rights).await?;
                output.meta.insert("path".to_owned(), path.into());
            }
            output.body = Arc::new(Value::String(text));
            Ok(Outcome::Done(output))
        })
    }
}

impl TemplateJob {
    async fn template(&self, cx: &NodeContext) -> Result<Arc<str>, Error> {
        let path = match &self.source {
            Source::Inline(template) => return Ok(Arc::clone(template)),
            Source::File(path) => path.render(cx)?,
            Source::None => return Err(Error::internal("a template_job without a template")),
        };
        let bytes = cx.ports.files.read(&path, &cx.rights).await?;
        Encoding::Utf8.decode(bytes, &path).map(Into::into)
    }

    /// Names as everywhere; the node's `variables` stand between inputs and execution variables, so one
    /// that an input hides need not be rendered.
    fn job(&self, template: Arc<str>, cx: &NodeContext) -> RenderJob {
        let generated_at = Value::String(cx.started_at.to_rfc3339());
        let mut names = Map::new();
        names.insert("generated_at".to_owned(), generated_at);
        names.extend(cx.names.all());
        add_special(&mut names, cx);
        let inputs_only = Names { variables: Arc::default(), ..cx.names.clone() };
        let mut hiding = inputs_only.all();
        add_special(&mut hiding, cx);
        let mut variables = self.variables.clone();
        variables.retain(|name, _| !hiding.contains_key(name));
        let timeout = cx.timeout.unwrap_or(Duration::from_secs_f64(limits::CODE_TIMEOUT_S));
        RenderJob { template, names, variables, timeout }
    }
}

/// Renders a template right here, whatever it takes; [`limits::TEMPLATE_BYTES_MAX`] bounds only what comes
/// out.
///
/// # Errors
///
/// `TEMPLATE_FAILED` with what is wrong and in which line.
pub fn render(job: &RenderJob) -> Result<String, Error> {
    let mut context = Context::new(&job.names);
    let variables = job.variables.iter().map(|(name, value)| Ok((name.clone(), rendered(value, &context)?)));
    let variables = variables.collect::<Result<Map<_, _>, Error>>()?;
    context.extend(&variables);
    Jinja2::parse(&job.template).map_err(unparsable)?.render(&context)
}

fn add_special(names: &mut Map<String, Value>, cx: &NodeContext) {
    names.insert("inputs".to_owned(), Value::Object(cx.names.inputs.to_map()));
    names.insert("globals".to_owned(), Value::Object(cx.names.globals()));
    names.insert("node_id".to_owned(), Value::String(cx.node_id.to_string()));
}

fn rendered(value: &Value, context: &Context) -> Result<Value, Error> {
    match value {
        Value::String(text) if text.contains('{') => render_value(text, context),
        Value::Array(items) => items.iter().map(|it| rendered(it, context)).collect(),
        Value::Object(map) => {
            let entries = map.iter().map(|(key, it)| Ok((key.clone(), rendered(it, context)?)));
            entries.collect::<Result<Map<_, _>, _>>().map(Value::Object)
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => Ok(value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::harness::{Harness, codes};
    use super::*;

    async fn check(fields: Value, expected: Result<&str, &str>) {
        let harness = Harness::new(NodeKind::TemplateJob, fields.clone())
            .inputs(json!({"default": {"name": "Bob", "html": "<&>"}, "j": "{\"rows\": [{\"a\": 1}, {\"a\": 2}]}", "n": null}))
            .variables(json!({"name": "var", "v": "var", "w": "var"}))
            .file("files/t.j2", "file {{ name }}\n");
        match (harness.body().await, expected) {
            (Ok(value), Ok(text)) => assert_eq!(value, json!(text), "{fields}"),
            (Err(error), Err(part)) => {
                assert_eq!(error.code(), "TEMPLATE_FAILED", "{fields}");
                assert!(error.message().contains(part), "{fields}: {error} lacks {part}");
            }
            (done, expected) => panic!("{fields}: {done:?}, expected {expected:?}"),
        }
    }

    #[tokio::test]
    async fn templates_see_names_variables_and_json_texts() {
        let content = |text: &str| json!({ "template_content": text });
        for (text, expected) in [
            ("Hi {{ default.name }} {{ name }}\n", Ok("Hi Bob Bob\n")),
            ("{{ html }}{{ inputs.default.name }}{{ node_id }}", Ok("<&>Bobnode_0")),
            ("{% for r in j.rows %}{{ r.a }}{% endfor %} {{ j }}", Ok("12 {\"rows\": [{\"a\": 1}, {\"a\": 2}]}")),
            ("a\n{% if v %}\nb\n{% endif %}\n", Ok("a\n\nb\n\n")),
            ("{{ generated_at }}", Ok("2026-01-02T03:04:05.678Z")),
            ("{{ 'aB c'|snake_case }} {{ 'cat'|pluralize }} {{ [1]|json(indent=0) }}", Ok("a_b_c cats [1]")),
            ("{{ nam }}", Err("`nam` is undefined (line 1)")),
            ("{{ default.zip }}", Err("default.zip")),
            ("{% if nope %}x{% endif %}", Err("`nope` is undefined")),
            ("{{ nope|default('d') }}", Ok("d")),
            ("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}", Err("too many steps")),
            ("{% for a in range(9999) %}{{ 'x' * 9999 }}{% endfor %}", Err("larger than")),
            ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", Err("recursion")),
            ("{% include 'other' %}", Err("template")),
        ] {
            check(content(text), expected).await;
        }
    }

    #[tokio::test]
    async fn variables_stand_below_inputs_and_keep_their_types() {
        for (variables, text, expected) in [
            (
                json!({"xs": [1, 2], "who": "{{ name }}!"}),
                "{% for i in xs %}{{ i }},{% endfor %}{{ who }}",
                Ok("1,2,Bob!"),
            ),
            (json!({"name": "below", "v": "node"}), "{{ name }} {{ v }} {{ w }}", Ok("Bob node var")),
            (json!({"r": "{{ j.rows }}"}), "{{ r[1].a }} {{ r|length }}", Ok("2 2")),
            (json!({"d": {"deep": ["{{ name|upper }}"]}}), "{{ d.deep[0] }}", Ok("BOB")),
            (json!({"d": "{{ nope }}"}), "x", Err("`nope` is undefined")),
        ] {
            check(json!({"template_content": text, "variables": variables}), expected).await;
        }
        check(json!({"template_path": "files/t.j2"}), Ok("file Bob\n")).await;
    }

    #[tokio::test]
    async fn the_text_is_written_when_a_path_is_given() {
        let fields = json!({"template_content": "x", "output_path": "files/{name}.txt"});
        let harness = Harness::new(NodeKind::TemplateJob, fields).inputs(json!({"name": "n"}));
        let output = harness.output().await.expect("it renders");
        assert_eq!((harness.node.effect(), &output.meta["path"]), (Effect::Outside, &json!("files/n.txt")));
        assert_eq!(harness.files.text("files/n.txt").as_deref(), Some("x"));
    }

    #[test]
    fn diagnostics_name_each_mistake_once() {
        for (fields, expected) in [
            (json!({}), vec!["E401"]),
            (json!({"template_content": "{% if x %}"}), vec!["E602"]),
            (json!({"template_content": "{{ 2 * }}"}), vec!["E602"]),
            (json!({"template_content": "{{ 'x' * 100000000 }}".repeat(1_000)}), vec![]),
            (json!({"template_content": "** {{ f(a=1, **more) }} {{ 2 ** n * 3 }} **"}), vec![]),
            (json!({"template_content": "x", "variables": {"a": ["{{ x"]}}), vec!["E602"]),
            (json!({"template_content": "x", "engine": "jinja3"}), vec!["E403"]),
            (json!({"template_content": "x", "preprocessor": "p"}), vec!["W402"]),
            (json!({"template_path": "files/none.j2"}), vec!["W502"]),
            (json!({"template_content": "x", "output_path": "../x"}), vec!["E702"]),
        ] {
            assert_eq!(codes(NodeKind::TemplateJob, fields.clone()), expected, "{fields}");
        }
    }
}
