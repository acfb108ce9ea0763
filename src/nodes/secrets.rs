//! References to secrets in fields: `${secret:NAME}`. They are found in what the author wrote when the
//! diagram is compiled, before any template is rendered, and resolved last, inside the effect. A value
//! that comes in through a template is never looked at for references.

use serde_json::{Map, Value};

use super::context::NodeContext;
use super::fields::Fields;
use super::template::{Insert, Template, TemplateProblem, is_secret_name, only_value, render_marked};
use crate::diagram::Diagnostic;
use crate::error::Error;
use crate::secret::Secret;

/// What stands for a secret where an address or body is shown.
const SHOWN: &str = "***";

/// A text with templates and references.
#[derive(Clone, Debug, PartialEq)]
pub struct SecretText(Template);

/// A JSON value in which every text may have templates and references.
#[derive(Clone, Debug, PartialEq)]
pub enum SecretJson {
    Plain(Value),
    Text(SecretText),
    List(Vec<SecretJson>),
    Map(Vec<(String, SecretJson)>),
}

/// A text with its secrets, for the one who sends it.
pub struct Resolved {
    pub text: String,
    /// The same with `***` for each secret.
    pub shown: String,
}

impl SecretText {
    /// Reads `text`, which stands in field `key`: E602 when it does not parse, E508 for a secret that is not
    /// there, E701 when the diagram may use none.
    pub fn read(fields: &mut Fields<'_>, key: &'static str, text: &str) -> Option<Self> {
        match SecretJson::read(fields, key, &Value::from(text))? {
            SecretJson::Text(text) => Some(text),
            SecretJson::Plain(_) | SecretJson::List(_) | SecretJson::Map(_) => None,
        }
    }

    /// Returns the text for a running node, secrets included.
    ///
    /// # Errors
    ///
    /// As [`super::template::render`]; `TRUST_REQUIRED`, `SECRET_NOT_FOUND`, and what the store says.
    pub fn render(&self, cx: &NodeContext, extra: &Map<String, Value>) -> Result<Resolved, Error> {
        let (rendered, inserts) = render_marked(cx, &self.0, extra)?;
        let (mut text, mut shown) = (String::with_capacity(rendered.len()), String::with_capacity(rendered.len()));
        let mut done = 0;
        for insert in inserts {
            let Insert::Secret { at, name } = insert else { continue };
            for out in [&mut text, &mut shown] {
                out.push_str(&rendered[done..at]);
            }
            text.push_str(resolve(cx, &name)?.expose());
            shown.push_str(SHOWN);
            done = at;
        }
        for out in [&mut text, &mut shown] {
            out.push_str(&rendered[done..]);
        }
        Ok(Resolved { text, shown })
    }
}

impl SecretJson {
    /// Reads `value`, which stands in field `key`, as [`SecretText::read`] does.
    pub fn read(fields: &mut Fields<'_>, key: &'static str, value: &Value) -> Option<Self> {
        let found = match Self::parse(value) {
            Ok(found) => found,
            Err(problem) => {
                let message = format!("template does not parse: {}", problem.message);
                fields.problem("E602", key, message, problem.hint);
                return None;
            }
        };
        let mut names = found.names();
        names.sort_unstable();
        names.dedup();
        check(fields, key, &names);
        Some(found)
    }

    /// Reads the value of field `key`, if there is one.
    pub fn of_field(fields: &mut Fields<'_>, key: &'static str) -> Option<Self> {
        let value = fields.value(key).filter(|it| !it.is_null())?;
        Self::read(fields, key, &value)
    }

    /// Returns the value for a running node, secrets included. A text that is only `{{x}}` keeps the type
    /// of x.
    ///
    /// # Errors
    ///
    /// As [`SecretText::render`].
    pub fn render(&self, cx: &NodeContext, extra: &Map<String, Value>) -> Result<Value, Error> {
        match self {
            Self::Plain(value) => Ok(value.clone()),
            Self::Text(text) => match only_value(cx, &text.0, extra)? {
                Some(value) => Ok(value),
                None => Ok(Value::String(text.render(cx, extra)?.text)),
            },
            Self::List(items) => items.iter().map(|it| it.render(cx, extra)).collect(),
            Self::Map(entries) => {
                let entries = entries.iter().map(|(key, it)| Ok((key.clone(), it.render(cx, extra)?)));
                entries.collect::<Result<Map<_, _>, _>>().map(Value::Object)
            }
        }
    }

    fn parse(value: &Value) -> Result<Self, TemplateProblem> {
        match value {
            Value::String(text) => Ok(Self::Text(SecretText(Template::parse_with_secrets(text)?))),
            Value::Array(items) => items.iter().map(Self::parse).collect::<Result<_, _>>().map(Self::List),
            Value::Object(map) => {
                let entries = map.iter().map(|(key, it)| Ok((key.clone(), Self::parse(it)?)));
                entries.collect::<Result<_, _>>().map(Self::Map)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(Self::Plain(value.clone())),
        }
    }

    fn names(&self) -> Vec<&str> {
        match self {
            Self::Plain(_) => Vec::new(),
            Self::Text(text) => text.0.secrets(),
            Self::List(items) => items.iter().flat_map(Self::names).collect(),
            Self::Map(entries) => entries.iter().flat_map(|(_, it)| it.names()).collect(),
        }
    }
}

/// Reports what is wrong with the secrets that field `key` refers to.
fn check(fields: &mut Fields<'_>, key: &'static str, names: &[&str]) {
    let surroundings = fields.context().surroundings;
    let span = fields.node().field(key).map_or(fields.node().span, |it| it.span);
    for name in names {
        if let Err(refusal) = surroundings.rights().require_secrets(name) {
            let hint = refusal.hint_text().unwrap_or_default();
            fields.report(Diagnostic::new("E701", span, refusal.message()).field(key).hint(hint));
        } else if !surroundings.structure_only() && !surroundings.has_secret(name) {
            let message = format!("no secret is named `{name}`");
            let hint = format!("a person stores it with `dipeo secrets set {name}`");
            fields.report(Diagnostic::new("E508", span, message).field(key).hint(hint));
        }
    }
}

/// Returns the secret `name` for a running node; from now on it is blotted out of what the run records.
///
/// # Errors
///
/// `TRUST_REQUIRED` when the diagram may use none, `SECRET_NOT_FOUND`, and what the store says.
pub fn resolve(cx: &NodeContext, name: &str) -> Result<Secret, Error> {
    cx.rights.require_secrets(name)?;
    let found = if is_secret_name(name) { cx.ports.secrets.find(name)? } else { None };
    found.ok_or_else(|| {
        Error::not_found("SECRET_NOT_FOUND", format!("no secret is named `{name}`"))
            .hint(format!("a person stores it with `dipeo secrets set {name}`"))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::super::harness::{Harness, MemorySecrets, World, diagnostics, diagram};
    use super::super::rights::{Origin, Rights};
    use super::*;
    use crate::diagram::NodeKind;

    fn harness(inputs: Value) -> Harness {
        let mut harness = Harness::new(NodeKind::Start, json!({})).inputs(inputs);
        let ports = Arc::get_mut(&mut harness.cx.ports).expect("not shared yet");
        ports.secrets = MemorySecrets::of(&[("KEY", "canary-1"), ("OTHER", "canary-2")]);
        harness
    }

    #[test]
    fn references_are_resolved_after_templates_and_only_where_the_author_wrote_them() {
        let harness = harness(json!({"x": "${secret:OTHER}", "xs": [1, 2], "yes": true}));
        let value = json!({
            "head": "Bearer ${secret:KEY} for {{x}}",
            "typed": "{{xs}}",
            "loop": "{{#each xs}}{{this}}=${secret:KEY};{{/each}}",
            "off": "{{#unless yes}}${secret:OTHER}{{/unless}}",
            "list": [1, "${secret:KEY}${secret:OTHER}"],
        });
        let found = SecretJson::parse(&value).expect("it parses");
        let expected = json!({
            "head": "Bearer canary-1 for ${secret:OTHER}",
            "typed": [1, 2],
            "loop": "1=canary-1;2=canary-1;",
            "off": "",
            "list": [1, "canary-1canary-2"],
        });
        assert_eq!(found.render(&harness.cx, &Map::new()).expect("it renders"), expected);
        let text = SecretText(Template::parse_with_secrets("a ${secret:KEY} {{x}}").expect("it parses"));
        let resolved = text.render(&harness.cx, &Map::new()).expect("it renders");
        assert_eq!(resolved.shown, "a *** ${secret:OTHER}");
        assert_eq!(harness.cx.ports.secrets.scrubber().text("canary-1 canary-2"), "*** ***");
    }

    #[test]
    fn a_secret_that_is_not_there_or_not_allowed_is_refused_when_compiled_and_when_run() {
        let fields = json!({"url": "https://example.com/${secret:NONE}"});
        let seen = |rights: Rights| {
            let world = World { rights, ..World::default() };
            let found = diagnostics(&diagram(NodeKind::ApiJob, fields.clone()), &world);
            found.into_iter().map(|it| (it.code, it.hint.unwrap_or_default())).collect::<Vec<_>>()
        };
        let local = Rights::of(Origin::Local, true, false);
        let submitted = Rights::of(Origin::Submitted, true, false);
        assert_eq!(seen(local), [("E508", "a person stores it with `dipeo secrets set NONE`".to_owned())]);
        let refused = seen(submitted.clone());
        assert!(refused.len() == 1 && refused[0].0 == "E701" && refused[0].1.contains("dipeo trust"), "{refused:?}");

        let mut harness = harness(json!({}));
        assert_eq!(resolve(&harness.cx, "NONE").expect_err("unknown").code(), "SECRET_NOT_FOUND");
        harness.cx.rights = Arc::new(submitted);
        assert_eq!(resolve(&harness.cx, "KEY").expect_err("refused").code(), "TRUST_REQUIRED");
        harness.cx.rights = Arc::new(Rights::of(Origin::Submitted, true, true));
        assert_eq!(resolve(&harness.cx, "KEY").expect("trusted").expose(), "canary-1");
    }
}
