//! Templates of manifests: Jinja2 over `config`, `resource_id`, `api_key`, `secret`, `response`. An undefined
//! name is a failure. In a JSON template, values are written as JSON, and JSON-escaped where they stand inside
//! quotes, so that no value can end the text it belongs to.

mod scan;

use std::sync::LazyLock;

use minijinja::value::{Rest, Serde};
use minijinja::{AutoEscape, Environment, Error as JinjaError, ErrorKind, UndefinedBehavior, Value as Jinja};
use serde_json::{Map, Value};

use self::scan::Tag;
use super::xml;
use crate::error::Error;
use crate::limits;
use crate::nearest::nearest;

/// Instructions one rendering may take: the items of a large reply, a fraction of a second.
const FUEL: u64 = 2_000_000;
/// Deepest recursion of macros and values.
const RECURSION_MAX: usize = 64;
/// Under this name, values are written as JSON.
const JSON_NAME: &str = "template.json";
const TEXT_NAME: &str = "template.txt";
/// Marks a value that stands inside quotes of a JSON template.
const INSIDE_QUOTES: &str = "dipeo_inside_quotes";

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|name| if name == JSON_NAME { AutoEscape::Json } else { AutoEscape::None });
    environment.set_formatter(|out, state, value| match state.auto_escape() {
        AutoEscape::None => Ok(write!(out, "{}", as_text(value)?)?),
        _ => minijinja::escape_formatter(out, state, value),
    });
    environment.set_recursion_limit(RECURSION_MAX);
    environment.set_fuel(Some(FUEL));
    environment.add_filter(INSIDE_QUOTES, inside_quotes);
    environment.add_filter("pick", pick);
    environment.add_filter("separated", separated);
    environment.add_filter("xml_all", |text: String, name: String| xml::all(&text, &name));
    environment.add_filter("xml_text", |text: String, name: String| xml::text(&text, &name));
    environment
});

/// What the names of a template mean. It may hold keys, so it cannot be printed.
#[derive(Clone, Default)]
pub struct Names(Map<String, Value>);

impl Names {
    /// Gives `name` a value.
    pub fn set(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// Whether a path such as `config.title` has a value.
    fn has(&self, path: &str) -> bool {
        let mut parts = path.split('.');
        let mut found = parts.next().and_then(|it| self.0.get(it));
        for part in parts {
            found = match found {
                Some(Value::Object(map)) => map.get(part),
                // What a template takes out of a list or text is not known by name.
                Some(_) => return true,
                None => return false,
            };
        }
        found.is_some()
    }

    /// Every path of names, two levels deep, for "did you mean".
    fn paths(&self) -> Vec<String> {
        let inner = |name: &String, value: &Value| -> Vec<String> {
            value.as_object().map(|it| it.keys().map(|key| format!("{name}.{key}")).collect()).unwrap_or_default()
        };
        self.0.iter().flat_map(|(name, value)| [vec![name.clone()], inner(name, value)].concat()).collect()
    }
}

/// A template that parses.
#[derive(Clone, Debug)]
pub struct Template {
    /// What is rendered: the text as written, with marks for the values inside quotes.
    prepared: String,
    /// Where it stands in the manifest: `operations.create.request.body_template`.
    place: String,
    is_json: bool,
}

impl Template {
    /// Reads a template that renders plain text.
    ///
    /// # Errors
    ///
    /// What is wrong and in which of its lines.
    pub fn text(text: &str, place: &str) -> Result<Self, String> {
        Self::read(text, place, false)
    }

    /// Reads a template that renders JSON.
    ///
    /// # Errors
    ///
    /// As [`Template::text`].
    pub fn json(text: &str, place: &str) -> Result<Self, String> {
        Self::read(text, place, true)
    }

    fn read(text: &str, place: &str, is_json: bool) -> Result<Self, String> {
        let tags = scan::tags(text)?;
        let prepared = if is_json { marked(text, &tags) } else { text.to_owned() };
        let template = Self { prepared, place: place.to_owned(), is_json };
        template.compiled().map_err(|error| sentence(&error))?;
        Ok(template)
    }

    /// Renders to a text.
    ///
    /// # Errors
    ///
    /// `TEMPLATE_FAILED` naming what is undefined.
    pub fn render(&self, names: &Names) -> Result<String, Error> {
        let template = self.compiled().map_err(|it| self.failed(&it, names))?;
        let mut out = Limited(Vec::new());
        template.render_captured_to(Jinja::from(Serde(&names.0)), &mut out).map_err(|it| self.failed(&it, names))?;
        String::from_utf8(out.0).map_err(|error| Error::internal("a template rendered no text").source(error))
    }

    /// Renders to a value: one expression keeps its type, everything else is a text.
    ///
    /// # Errors
    ///
    /// As [`Template::render`].
    pub fn render_value(&self, names: &Names) -> Result<Value, Error> {
        let Some(expression) = self.only_expression() else { return self.render(names).map(Value::String) };
        let compiled = ENVIRONMENT.compile_expression(expression).map_err(|it| self.failed(&it, names))?;
        let value = compiled.eval(Jinja::from(Serde(&names.0))).map_err(|it| self.failed(&it, names))?;
        if value.is_undefined() {
            return Err(self.failed(&JinjaError::from(ErrorKind::UndefinedError), names));
        }
        serde_json::to_value(&value).map_err(|error| {
            Error::invalid("TEMPLATE_FAILED", format!("`{}` of the manifest gives no JSON value", self.place))
                .hint("render a text, number, boolean, list or mapping")
                .source(error)
        })
    }

    /// The names of `secret.NAME` that it uses.
    pub fn secrets(&self) -> Vec<String> {
        let used = self.undeclared();
        let mut names: Vec<String> =
            used.iter().filter_map(|it| it.strip_prefix("secret.")).map(str::to_owned).collect();
        names.sort();
        names
    }

    fn undeclared(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.compiled().map(|it| it.undeclared_variables(true).into_iter().collect()).unwrap_or_default();
        names.sort();
        names
    }

    fn compiled(&self) -> Result<minijinja::Template<'_, '_>, JinjaError> {
        ENVIRONMENT.template_from_named_str(if self.is_json { JSON_NAME } else { TEXT_NAME }, &self.prepared)
    }

    fn only_expression(&self) -> Option<&str> {
        let text = self.prepared.trim();
        match scan::tags(text).ok()?.as_slice() {
            [tag] if tag.is_value && tag.start == 0 && tag.end == text.len() => {
                Some(text[2..text.len() - 2].trim_matches(['-', '+']).trim())
            }
            _ => None,
        }
    }

    fn failed(&self, error: &JinjaError, names: &Names) -> Error {
        let place = &self.place;
        let undefined: Vec<String> = match error.kind() {
            ErrorKind::UndefinedError => self.undeclared().into_iter().filter(|it| !names.has(it)).collect(),
            _ => Vec::new(),
        };
        if undefined.is_empty() {
            let what = match error.kind() {
                ErrorKind::OutOfFuel => "it takes too many steps".to_owned(),
                ErrorKind::WriteFailure => format!("it renders more than {} bytes", limits::TEMPLATE_BYTES_MAX),
                _ => sentence(error),
            };
            return Error::invalid("TEMPLATE_FAILED", format!("`{place}` of the manifest cannot be rendered: {what}"))
                .hint("correct the template in the provider's manifest");
        }
        let known = names.paths();
        let near: Vec<&str> = undefined.iter().filter_map(|it| nearest(it, known.iter().map(String::as_str))).collect();
        let hint = match near.as_slice() {
            [] => format!("give `{}`, or write `|default('')` in the manifest", undefined.join("`, `")),
            near => format!("did you mean `{}`?", near.join("`, `")),
        };
        let message = format!("`{}` is undefined and `{place}` needs it", undefined.join("`, `"));
        Error::invalid("TEMPLATE_FAILED", message).hint(hint)
    }
}

/// Sends every value that stands inside quotes through the filter that escapes it.
fn marked(text: &str, tags: &[Tag]) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut is_quoted = false;
    let mut at = 0;
    for tag in tags {
        is_quoted = scan::quoted_after(&text[at..tag.start], is_quoted);
        out.push_str(&text[at..tag.start]);
        let written = &text[tag.start..tag.end];
        if tag.is_value && is_quoted {
            let inside = &written[2..written.len() - 2];
            let (open, inside) = match inside.strip_prefix(['-', '+']) {
                Some(rest) => (&inside[..1], rest),
                None => ("", inside),
            };
            let (inside, close) = match inside.strip_suffix(['-', '+']) {
                Some(rest) => (rest, &inside[rest.len()..]),
                None => (inside, ""),
            };
            out.push_str(&format!("{{{{{open} ({inside})|{INSIDE_QUOTES} {close}}}}}"));
        } else {
            out.push_str(written);
        }
        at = tag.end;
    }
    out.push_str(&text[at..]);
    out
}

fn inside_quotes(value: &Jinja) -> Result<Jinja, JinjaError> {
    if value.is_undefined() {
        return Err(JinjaError::from(ErrorKind::UndefinedError));
    }
    let quoted = Value::String(as_text(value)?).to_string();
    Ok(Jinja::from_safe_string(quoted[1..quoted.len() - 1].to_owned()))
}

/// `config|pick('a', 'b')`: the entries of these names that are there.
fn pick(value: Serde<Value>, names: Rest<String>) -> Jinja {
    let mut picked = Map::new();
    for name in names.iter() {
        if let Some(found) = value.get(name) {
            picked.insert(name.clone(), found.clone());
        }
    }
    Jinja::from(Serde(&Value::Object(picked)))
}

/// `config.tags|separated(',')`: the items of a list in one text; anything else as it is.
fn separated(value: Serde<Value>, separator: String) -> Jinja {
    let Value::Array(items) = &*value else { return Jinja::from(Serde(&*value)) };
    let items: Vec<String> = items.iter().map(super::request::as_text).collect();
    Jinja::from(items.join(&separator))
}

/// Text as it is, null as nothing, everything else in its JSON spelling.
fn as_text(value: &Jinja) -> Result<String, JinjaError> {
    if let Some(text) = value.as_str() {
        return Ok(text.to_owned());
    }
    if value.is_none() {
        return Ok(String::new());
    }
    let json = serde_json::to_value(value)
        .map_err(|it| JinjaError::new(ErrorKind::BadSerialization, "this is no JSON value").with_source(it))?;
    Ok(json.to_string())
}

fn sentence(error: &JinjaError) -> String {
    let what = error.detail().map(str::to_owned).unwrap_or_else(|| error.kind().to_string());
    error.line().map_or(what.clone(), |line| format!("{what} (line {line} of it)"))
}

/// Takes output up to the limit.
struct Limited(Vec<u8>);

impl std::io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > limits::TEMPLATE_BYTES_MAX {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(config: Value) -> Names {
        let mut names = Names::default();
        names.set("config", config);
        names
    }

    #[test]
    fn values_inside_quotes_cannot_leave_them() {
        let config = json!({"t": "a\"b\\\n", "n": 3, "l": ["x"], "b": true, "z": null});
        for (text, expected) in [
            (r#"{"t": "{{ config.t }}"}"#, json!({"t": "a\"b\\\n"})),
            (r#"{"t": "<{{- config.t|upper -}} >"}"#, json!({"t": "<A\"B\\\n>"})),
            (r#"{"t": {{ config.t }}, "n": {{ config.n }}}"#, json!({"t": "a\"b\\\n", "n": 3})),
            (r#"{"t": {{ config.t|tojson }}, "l": {{ config.l }}}"#, json!({"t": "a\"b\\\n", "l": ["x"]})),
            (
                r#"{"t": "\"{{ config.n }}", "u": {{ config.b }}, "z": {{ config.z }}}"#,
                json!({"t": "\"3", "u": true, "z": null}),
            ),
            (r#"{"t": "{{ 'a}}"' }}", "u": "{% if config.b %}y{% endif %}"}"#, json!({"t": "a}}\"", "u": "y"})),
            (r#"{{ config|pick('n', 'q', 'l') }}"#, json!({"n": 3, "l": ["x"]})),
            (r#"[{% for it in config.l %}"{{ it }}"{% endfor %}]"#, json!(["x"])),
        ] {
            let rendered = Template::json(text, "body").expect(text).render(&names(config.clone())).expect(text);
            assert_eq!(serde_json::from_str::<Value>(&rendered).expect(&rendered), expected, "{text}");
        }
    }

    #[test]
    fn one_expression_keeps_its_type_and_text_has_json_spelling() {
        let config = json!({"n": 3, "l": [1, 2], "b": true});
        for (text, expected) in [
            ("{{ config.n }}", json!(3)),
            ("{{- config.l -}}", json!([1, 2])),
            ("{{ config.q|default(7) }}", json!(7)),
            ("{{ config.n }}{{ config.b }}", json!("3true")),
            ("x{{ config.l }}", json!("x[1,2]")),
            ("plain", json!("plain")),
        ] {
            let template = Template::text(text, "query").expect(text);
            assert_eq!(template.render_value(&names(config.clone())).expect(text), expected, "{text}");
        }
    }

    #[test]
    fn undefined_names_are_failures_that_say_what_is_missing() {
        for (text, missing, hint) in [
            ("{{ config.titel }}", "`config.titel`", "config.title"),
            ("a {{ api_key }}", "`api_key`", "give `api_key`"),
            ("{{ config.nothing_like_it }} {{ config.title }}", "`config.nothing_like_it` is", "|default"),
        ] {
            let template = Template::text(text, "operations.x.path").expect(text);
            let outcome = if text.starts_with('a') {
                template.render(&names(json!({"title": 1}))).map(Value::from)
            } else {
                template.render_value(&names(json!({"title": 1})))
            };
            let error = outcome.expect_err(text);
            assert_eq!(error.code(), "TEMPLATE_FAILED");
            assert!(error.message().contains(missing) && error.message().contains("operations.x.path"), "{error}");
            assert!(error.hint_text().is_some_and(|it| it.contains(hint)), "{error:?}");
        }
        let error = Template::json("\"{{ config.q }}\"", "b")
            .expect("parses")
            .render(&names(json!({})))
            .expect_err("undefined");
        assert!(error.message().contains("`config.q` is undefined"), "{error}");
    }

    #[test]
    fn secrets_are_known_before_rendering() {
        let template = Template::text("{{ secret.HOOK }}/{{ secret.A ~ config.x }}", "h").expect("it parses");
        assert_eq!(template.secrets(), ["A", "HOOK"]);
    }

    #[test]
    fn hostile_templates_are_refused_or_stopped() {
        for text in [
            "{{ a",
            "{% if a %}",
            &format!("{{{{ a{} }}}}", ".b".repeat(4_000)),
            &"{% if a %}".repeat(200),
            &format!("{{{{ {}a }}}}", "(".repeat(4_000)),
        ] {
            assert!(Template::text(text, "x").is_err(), "{}", &text[..20.min(text.len())]);
        }
        for text in [
            "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
            "{% for a in range(9999) %}{{ config.t * 9999 }}{% endfor %}",
            "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        ] {
            let outcome = Template::text(text, "x").expect(text).render(&names(json!({"t": "x"})));
            assert_eq!(outcome.expect_err(text).code(), "TEMPLATE_FAILED");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_leaves_its_quotes(text in ".{0,40}", n in proptest::num::i64::ANY) {
            let template = Template::json(r#"{"a": "<{{ config.t }}>", "b": {{ config.t }}, "n": {{ config.n }}}"#, "body").expect("it parses");
            let rendered = template.render(&names(json!({"t": text, "n": n}))).expect("it renders");
            let value: Value = serde_json::from_str(&rendered).expect("JSON");
            proptest::prop_assert_eq!(value, json!({"a": format!("<{text}>"), "b": text, "n": n}));
        }

        #[test]
        fn any_text_is_a_template_or_a_problem(text in "[a-z{}%#'\"|. ()\\[\\]+*~-]{0,60}") {
            for parsed in [Template::text(&text, "x"), Template::json(&text, "x")].into_iter().flatten() {
                let _ = (parsed.render(&names(json!({"a": 1}))), parsed.render_value(&names(json!({"a": "x"}))), parsed.secrets());
            }
        }
    }
}
