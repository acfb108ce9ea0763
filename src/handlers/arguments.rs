//! What an adapter was given, checked against the schema that its clients were shown: every problem at once, with
//! the nearest known name for one that is not known. It must not know what the arguments mean.

use jsonschema::Validator;
use jsonschema::error::{TypeKind, ValidationError, ValidationErrorKind};
use serde_json::{Value, json};

use crate::error::Error;
use crate::nearest::nearest;

/// Longest part of a bad value that a message repeats, in characters.
const SHOWN_CHARS_MAX: usize = 60;
/// Most problems of one request that are told.
const PROBLEMS_MAX: usize = 50;

/// The arguments that a tool, a route or a command takes.
pub struct Arguments {
    /// Whose arguments they are: `dipeo_run`.
    of: String,
    names: Vec<String>,
    validator: Validator,
}

/// Something that is wrong with one argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Empty when the problem is about all of them.
    pub argument: String,
    pub message: String,
}

impl Arguments {
    /// Reads the schema of an object.
    ///
    /// # Errors
    ///
    /// `INTERNAL` for a schema that is none.
    pub fn new(of: &str, schema: &Value) -> Result<Self, Error> {
        let validator = jsonschema::validator_for(schema)
            .map_err(|e| Error::internal(format!("the schema of `{of}` is broken")).source(e.to_string()))?;
        let properties = schema.get("properties").and_then(Value::as_object);
        let names = properties.into_iter().flatten().map(|(name, _)| name.clone()).collect();
        Ok(Self { of: of.to_owned(), names, validator })
    }

    /// The names they may have.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Says everything that is wrong.
    pub fn problems(&self, given: &Value) -> Vec<Problem> {
        if self.validator.is_valid(given) {
            return Vec::new();
        }
        self.validator.iter_errors(given).flat_map(|it| self.explain(&it)).take(PROBLEMS_MAX).collect()
    }

    fn explain(&self, error: &ValidationError<'_>) -> Vec<Problem> {
        let at = error.instance_path().as_str().trim_start_matches('/').replace('/', ".");
        let about = |message: String| vec![Problem { argument: at.clone(), message }];
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                unexpected.iter().map(|name| self.unknown(name)).collect()
            }
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                vec![Problem { argument: name.to_owned(), message: format!("argument `{name}` is missing") }]
            }
            ValidationErrorKind::Type { kind: TypeKind::Single(kind) } => {
                about(format!("`{at}` must be of type {kind}, not {}", shown(error.instance())))
            }
            ValidationErrorKind::Type { kind: TypeKind::Multiple(kinds) } => {
                let kinds: Vec<String> = kinds.into_iter().map(|it| it.to_string()).filter(|it| it != "null").collect();
                about(format!("`{at}` must be of type {}, not {}", kinds.join(" or "), shown(error.instance())))
            }
            ValidationErrorKind::Enum { options } => {
                let words: Vec<&str> = options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                about(format!("`{at}` must be one of {}, not {}", words.join(", "), shown(error.instance())))
            }
            ValidationErrorKind::Maximum { limit } => {
                about(format!("`{at}` must be at most {limit}, not {}", shown(error.instance())))
            }
            ValidationErrorKind::Minimum { limit } => {
                about(format!("`{at}` must be at least {limit}, not {}", shown(error.instance())))
            }
            // The library's sentence is right for all others, but may repeat a value of any length.
            _ => about(format!("`{at}`: {}", cut(&error.to_string()))),
        }
    }

    /// The problem of a name that there is not.
    pub fn unknown(&self, name: &str) -> Problem {
        let mut message = format!("there is no argument `{}`", cut(name));
        if let Some(near) = nearest(name, self.names()) {
            message.push_str(&format!(", did you mean `{near}`?"));
        }
        Problem { argument: name.to_owned(), message }
    }

    /// The refusal that tells all problems.
    pub fn refusal(&self, problems: &[Problem]) -> Error {
        let texts: Vec<&str> = problems.iter().map(|it| it.message.as_str()).collect();
        let list: Vec<Value> =
            problems.iter().map(|it| json!({"argument": cut(&it.argument), "message": it.message})).collect();
        let names = self.names().collect::<Vec<_>>().join(", ");
        let hint = if names.is_empty() {
            format!("`{}` takes no arguments", self.of)
        } else {
            format!("arguments of `{}`: {names}", self.of)
        };
        Error::invalid("INVALID_INPUT", texts.join("; ")).hint(hint).details(json!({"problems": list}))
    }
}

fn shown(value: &Value) -> String {
    format!("`{}`", cut(&value.to_string()))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
