//! Shows one person: of the workspace by id or name, of a diagram as `DIAGRAM#NAME`.

use super::super::caller::Scope;
use super::super::{App, Caller};
use super::list::of_text;
use super::{Person, not_found, principal_of, shown_row};
use crate::error::Error;

/// Shows the person that `person_id` means.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `PERSON_NOT_FOUND`; what the database says.
pub async fn get_person(app: &App, caller: &Caller, person_id: &str) -> Result<Person, Error> {
    caller.require(&[Scope::DiagramRead])?;
    if let Some(store) = app.existing_store()? {
        let by_id = store.person(person_id)?.filter(|it| caller.may_see(it.principal.as_deref()));
        let found = match by_id {
            Some(row) => Some(row),
            None => store.person_named(person_id, principal_of(caller).as_deref())?,
        };
        if let Some(row) = found {
            return shown_row(&row);
        }
    }
    // Names of files and of persons may both hold a `#`.
    for (at, _) in person_id.match_indices('#') {
        let (diagram, name) = (&person_id[..at], &person_id[at + 1..]);
        let Ok(source) = app.workspace.open_named(diagram, None) else { continue };
        if let Some(person) = of_text(&source.diagram_id, &source.text).into_iter().find(|it| it.label == name) {
            return Ok(person);
        }
    }
    Err(not_found(person_id))
}
