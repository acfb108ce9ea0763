//! Looks at the installation: one file per check, and the list below.

mod database;
mod interpreters;
mod keys;
mod models;
mod port;
mod sandbox;
mod settings;
mod versions;

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{App, Caller};
use crate::error::Error;

/// Looks at one thing.
type Check = for<'a> fn(&'a App) -> BoxFuture<'a, Part>;

/// Every check, in the order in which it is shown.
const CHECKS: &[(&str, Check)] = &[
    ("versions", |app| Box::pin(versions::check(app))),
    ("settings", |app| Box::pin(settings::check(app))),
    ("database", |app| Box::pin(database::check(app))),
    ("keys", |app| Box::pin(keys::check(app))),
    ("models", |app| Box::pin(models::check(app))),
    ("port", |app| Box::pin(port::check(app))),
    ("sandbox", |app| Box::pin(sandbox::check(app))),
    ("interpreters", |app| Box::pin(interpreters::check(app))),
];

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    /// Whether nothing has to be done.
    pub ok: bool,
    pub checks: Vec<Checked>,
}

/// One check and what it found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Checked {
    pub name: String,
    #[serde(flatten)]
    pub part: Part,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    pub facts: Vec<Fact>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub findings: Vec<Finding>,
}

/// Something that is so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fact {
    pub name: String,
    pub value: String,
    /// Where a setting comes from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<String>,
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Part {
    fn fact(&mut self, name: &str, value: impl ToString) {
        self.facts.push(Fact { name: name.to_owned(), value: value.to_string(), from: None });
    }

    fn finding(&mut self, message: impl Into<String>, hint: impl Into<String>) {
        self.findings.push(Finding { message: message.into(), hint: hint.into() });
    }

    fn failure(&mut self, error: &Error) {
        let hint = error.hint_text().unwrap_or("see the log with `--debug`");
        self.finding(format!("{} {}", error.code(), error.message()), hint);
    }
}

/// Looks at everything. Nothing is changed: a database is opened for reading alone.
///
/// # Errors
///
/// `PERMISSION_REQUIRED` for a client.
pub async fn doctor(app: &App, caller: &Caller) -> Result<Response, Error> {
    if !matches!(caller, Caller::Terminal { .. }) {
        return Err(Error::refused(
            "PERMISSION_REQUIRED",
            "only a person at the terminal may look at the installation",
        )
        .hint("ask the person to run `dipeo doctor`"));
    }
    let mut checks = Vec::new();
    for (name, check) in CHECKS {
        checks.push(Checked { name: (*name).to_owned(), part: check(app).await });
    }
    Ok(Response { ok: checks.iter().all(|it| it.part.findings.is_empty()), checks })
}
