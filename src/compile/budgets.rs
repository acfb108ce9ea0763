//! What can be said of budgets when compiling: calls that a budget of money or tokens refuses, because nobody
//! can say before what they cost (W507).

use crate::diagram::{Budget, Diagnostic, Diagram, Person, Service};
use crate::nodes::Surroundings;

/// Reports the persons whose calls have no bound where their sum is limited.
pub(super) fn check(diagram: &Diagram, surroundings: &dyn Surroundings) -> Vec<Diagnostic> {
    let of_run = diagram.settings.budget.as_ref();
    diagram.persons.iter().filter_map(|it| unbounded(it, of_run, surroundings)).collect()
}

fn unbounded(person: &Person, of_run: Option<&Budget>, surroundings: &dyn Surroundings) -> Option<Diagnostic> {
    let budgets = || [of_run, person.budget.as_ref()].into_iter().flatten();
    let (limits_usd, limits_tokens) = (budgets().any(|it| it.usd.is_some()), budgets().any(|it| it.tokens.is_some()));
    if !limits_usd && !limits_tokens {
        return None;
    }
    let is_program = matches!(person.service, Some(Service::ClaudeCode | Service::ClaudeCodeCustom));
    let (why, hint) = if is_program {
        ("it is a program that calls models as often as it likes", "limit its `calls` and `seconds` instead")
    } else if person.tools.is_some() {
        ("what its `tools` find and make has no bound", "leave out `tools`, or limit `calls` and `seconds` instead")
    } else if limits_usd && !surroundings.is_priced(person) {
        ("no price is known for its model", "give its price under `[prices]` in dipeo.toml, or limit `tokens` instead")
    } else {
        return None;
    };
    let message = format!("the budget refuses every call of `{}`: {why}", person.label);
    Some(Diagnostic::new("W507", person.span, message).at(&person.label).field("budget").hint(hint))
}
