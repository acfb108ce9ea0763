//! At the limit: what is said, as an error and as a question, and what it takes to go on.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::amount::Dimension;
use super::estimate::Estimate;
use super::ledger::{Entry, Limit, Scope};
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::nodes::output::{BudgetQuestion, PauseReason, Question};

/// Why a call may not be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Exceeded {
    pub scope: Scope,
    pub dimension: Dimension,
    pub limit: u64,
    pub spent: u64,
    pub reserved: u64,
    /// The most the call can cost; `None`: nobody can say.
    pub wanted: Option<u64>,
    pub fails: bool,
    pub human_only: bool,
}

/// Limits to set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Raise {
    pub scope: Scope,
    pub limit: Limit,
}

impl Exceeded {
    /// `spent` and `wanted` of what `entry` limits to `limit`.
    pub(super) fn new(entry: &Entry, dimension: Dimension, limit: u64, (spent, wanted): (u64, Option<u64>)) -> Self {
        Self {
            scope: entry.scope.clone(),
            dimension,
            limit,
            spent,
            reserved: entry.reserved.of(dimension),
            wanted,
            fails: entry.limit.fails,
            human_only: entry.limit.human_only,
        }
    }

    /// The least limit under which the call fits; `None` where none is enough.
    fn needed(&self) -> Option<u64> {
        let more = if self.dimension == Dimension::Seconds { 1 } else { 0 };
        self.wanted.map(|it| self.spent.saturating_add(it).saturating_add(more))
    }

    /// What is said of it: `its next call may cost …`.
    fn sentence(&self) -> String {
        let words = |it: u64| self.dimension.words(it);
        let of = format!("the budget of {} is {}", self.scope.words(), words(self.limit));
        let spent = match self.reserved {
            0 => format!("{} spent", words(self.spent)),
            reserved => format!("{} spent and {} reserved", words(self.spent), words(reserved)),
        };
        match self.wanted {
            _ if self.dimension == Dimension::Seconds => format!("{of}, with {spent}"),
            Some(wanted) => format!("{of}, with {spent}, and the next call may take {}", words(wanted)),
            None => format!("{of}, and nobody can say what the next call may take"),
        }
    }

    /// The error of `label`; `owner` is the execution whose budget it is, `call` the node of it, the person and
    /// the most the call can spend. Without an estimate it is a node that may not begin.
    pub fn to_error(
        &self,
        label: &str,
        owner: &ExecutionId,
        call: Option<(&str, Option<&str>, Option<&Estimate>)>,
    ) -> Error {
        let (node, person, estimate) = call.unwrap_or_default();
        let is_unbounded = |it: &Dimension| estimate.is_some_and(|estimate| estimate.of(*it).is_none());
        let asked = BudgetQuestion {
            execution_id: owner.to_string(),
            scope: self.scope.clone(),
            limit: self.dimension,
            node: node.to_owned(),
            person: person.map(str::to_owned),
            wanted: estimate.map(Estimate::amount).unwrap_or_default(),
            unbounded: [Dimension::Tokens, Dimension::Usd].into_iter().filter(is_unbounded).collect(),
        };
        let details = json!({"budget": asked, "fails": self.fails, "human_only": self.human_only});
        Error::limit("BUDGET_EXCEEDED", format!("`{label}` may not go on: {}", self.sentence()))
            .hint(self.hint())
            .details(details)
    }

    /// The refusal to go on while it still does not fit.
    pub fn still(&self) -> Error {
        let name = self.dimension.name();
        match self.needed() {
            Some(needed) => {
                let (scope, needed_words) = (self.scope.words(), self.dimension.words(needed));
                let figure = self.dimension.figure(needed);
                Error::invalid("INVALID_INPUT", format!("the budget of {scope} is too small: it needs {needed_words}"))
                    .hint(format!("give the new limit as `value`: `{{\"{name}\": {figure}}}` or more"))
                    .details(json!({"needed": {name: figure}}))
            }
            None => {
                let what = format!("no budget of {name} is enough: nobody can say what the call may take");
                Error::invalid("INVALID_INPUT", what).hint("abort the run, or give the node's value with `set_output`")
            }
        }
    }

    fn hint(&self) -> String {
        let name = self.dimension.name();
        match (self.needed(), self.fails) {
            (None, _) => format!(
                "a budget of {name} takes persons whose calls have a bound and a price: give the model one under \
                 `[prices]` in dipeo.toml, leave out `tools`, or limit `calls` and `seconds` instead"
            ),
            (Some(_), true) => "raise the budget, or write `on_limit: pause` to be asked".to_owned(),
            (Some(needed), false) => {
                format!(
                    "`resume` with `{{\"{name}\": {}}}` or more goes on, `abort` ends the run",
                    self.dimension.figure(needed)
                )
            }
        }
    }
}

/// The question that stands for a refusal, when the budget says to ask.
pub fn question_of(error: &Error) -> Option<Question> {
    if error.code() != "BUDGET_EXCEEDED" {
        return None;
    }
    let details = error.details_value()?;
    if details.get("fails").and_then(Value::as_bool).unwrap_or(true) {
        return None;
    }
    let asked = serde_json::from_value(details.get("budget")?.clone()).ok()?;
    let prompt = match error.hint_text() {
        Some(hint) => format!("{}. {hint}", error.message()),
        None => error.message().to_owned(),
    };
    Some(Question {
        human_only: details.get("human_only").and_then(Value::as_bool).unwrap_or(false),
        budget: Some(asked),
        ..Question::new(PauseReason::Budget, prompt)
    })
}

impl Raise {
    /// Reads what somebody gives with `resume`: higher limits for `entry`, in the words of a budget.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` for what is no higher budget.
    pub fn read(entry: &Entry, value: &Value) -> Result<Self, Error> {
        // A form can only give a text.
        let text = value.as_str().and_then(|it| serde_json::from_str(it).ok());
        let value = text.as_ref().unwrap_or(value);
        let figures = value.as_object().filter(|it| !it.is_empty()).ok_or_else(|| {
            Error::invalid("INVALID_INPUT", format!("`{value}` is no budget"))
                .hint("give the new limit as `value`, such as `{\"usd\": 0.1}`")
        })?;
        let mut limit = Limit::default();
        for (key, figure) in figures {
            let (dimension, amount) = read_figure(key, figure)?;
            let before = entry.limit.get(dimension).ok_or_else(|| {
                Error::invalid("INVALID_INPUT", format!("the budget of {} does not limit `{key}`", entry.scope.words()))
                    .hint(format!("it limits {}", shown(&entry.limit.figures())))
            })?;
            if amount < before {
                let what = format!("`{key}: {figure}` is below the present {}", dimension.words(before));
                return Err(Error::invalid("INVALID_INPUT", what).hint("a budget can only be raised"));
            }
            limit.set(dimension, amount);
        }
        Ok(Self { scope: entry.scope.clone(), limit })
    }
}

/// Reads one figure of a budget that somebody gives.
///
/// # Errors
///
/// `INVALID_INPUT`.
pub(super) fn read_figure(key: &str, figure: &Value) -> Result<(Dimension, u64), Error> {
    let dimension = Dimension::ALL.into_iter().find(|it| it.name() == key).ok_or_else(|| {
        let key: String = key.chars().take(60).collect();
        Error::invalid("INVALID_INPUT", format!("a budget has no `{key}`"))
            .hint("it has usd, tokens, calls and seconds")
    })?;
    let amount = dimension.read(figure).ok_or_else(|| {
        Error::invalid("INVALID_INPUT", format!("`{key}` is {figure}"))
            .hint("write a number above 0, a whole one for tokens and calls")
    })?;
    Ok((dimension, amount))
}

fn shown(figures: &Map<String, Value>) -> String {
    Value::Object(figures.clone()).to_string()
}
