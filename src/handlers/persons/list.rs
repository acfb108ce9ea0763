//! Lists persons: those of the workspace, then those of diagrams.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::caller::Scope;
use super::super::{App, Caller};
use super::{Person, shown, shown_row};
use crate::diagram::parse;
use crate::error::Error;

/// How many.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// At most so many (100, up to 1000).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<usize>,
    /// Leave those of diagrams out.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub workspace_only: bool,
}

/// The persons found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub persons: Vec<Person>,
    /// Whether there are more.
    pub has_more: bool,
}

/// Lists persons: of the workspace by name, of diagrams by the path of their file.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `INVALID_INPUT` for a limit out of range; what the database says.
pub async fn list_persons(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    caller.require(&[Scope::DiagramRead])?;
    let limit = request.limit.unwrap_or(100);
    if !(1..=1_000).contains(&limit) {
        return Err(
            Error::invalid("INVALID_INPUT", format!("`limit` is {limit}")).hint("write a number from 1 to 1000")
        );
    }
    let rows = match app.existing_store()? {
        Some(store) => store.persons(caller.only_of().as_deref(), Some(limit + 1))?,
        None => Vec::new(),
    };
    let mut persons = rows.iter().map(shown_row).collect::<Result<Vec<_>, _>>()?;
    if !request.workspace_only {
        for found in app.workspace.list() {
            if persons.len() > limit {
                break;
            }
            // What cannot be read has no persons to show; listing diagrams says why.
            let Ok(source) = app.workspace.open_named(&found.relative, None) else { continue };
            persons.extend(of_text(&found.name, &source.text));
        }
    }
    let has_more = persons.len() > limit;
    persons.truncate(limit);
    Ok(Response { persons, has_more })
}

/// The persons of a diagram.
pub(super) fn of_text(diagram_id: &str, text: &str) -> Vec<Person> {
    let diagram = parse(text, None).diagram.filter(|it| !it.nodes.is_empty());
    let persons = diagram.map(|it| it.persons).unwrap_or_default();
    let of_diagram = |it| Person { diagram_id: Some(diagram_id.to_owned()), ..it };
    persons.iter().map(|it| of_diagram(shown(format!("{diagram_id}#{}", it.label), it))).collect()
}
