//! The persons of the workspace as a diagram finds them when it is compiled.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::config;
use crate::diagram::Person;
use crate::error::Error;
use crate::store::Store;

/// Before the name, where what was read for an execution is kept with it.
const KEPT_AS: &str = "persons/";

/// The persons that a principal's diagrams may name.
#[derive(Clone, Default)]
pub struct WorkspacePersons {
    store: Option<Arc<Store>>,
    principal: Option<String>,
}

/// A person as it is kept with an execution: taking that over later finds the same one.
#[derive(Serialize, Deserialize)]
struct Kept {
    label: String,
    config: Map<String, Value>,
}

impl WorkspacePersons {
    /// Those of `principal` and everybody's; without a database there are none.
    pub fn new(store: Option<Arc<Store>>, principal: Option<String>) -> Self {
        Self { store, principal }
    }

    /// Finds the person that `name` means, as text to be kept; also by the old form `person_<name>`.
    pub fn find(&self, name: &str) -> Option<String> {
        let store = self.store.as_ref()?;
        let name = name.trim();
        let found = store.person_named(name, self.principal.as_deref()).and_then(|found| match found {
            Some(row) => Ok(Some(row)),
            None => self.by_old_name(store, name),
        });
        let row = usable(found)?;
        let config = serde_json::from_str(&row.config).ok()?;
        serde_json::to_string(&Kept { label: row.label, config }).ok()
    }

    fn by_old_name(&self, store: &Store, name: &str) -> Result<Option<crate::store::PersonRow>, Error> {
        let Some(rest) = name.strip_prefix("person_") else { return Ok(None) };
        let all = store.persons(Some(self.principal.as_deref().unwrap_or_default()), None)?;
        Ok(all.into_iter().find(|it| it.label.replace(' ', "_") == rest))
    }

    /// The names that may be meant.
    pub fn names(&self) -> Vec<String> {
        let Some(store) = &self.store else { return Vec::new() };
        let all = store.persons(Some(self.principal.as_deref().unwrap_or_default()), None);
        usable(all.map(Some)).unwrap_or_default().into_iter().map(|it| it.label).collect()
    }
}

/// A database that does not answer has nobody to offer; the diagram says whom it misses.
fn usable<T>(found: Result<Option<T>, Error>) -> Option<T> {
    found.unwrap_or_else(|error| {
        tracing::warn!("the persons of the workspace cannot be read: {}", error.chain());
        None
    })
}

/// The key under which a person is kept with what else compiling read.
pub fn kept_as(name: &str) -> String {
    format!("{KEPT_AS}{}", name.trim())
}

/// Reads a kept person.
pub fn read_kept(text: &str) -> Option<Person> {
    let kept: Kept = serde_json::from_str(text).ok()?;
    config::as_written(&kept.label, &kept.config)
}

/// The persons among the texts that are kept with an execution.
pub fn kept_with(texts: &BTreeMap<String, String>) -> impl Iterator<Item = Person> + '_ {
    texts.iter().filter(|(name, _)| name.starts_with(KEPT_AS)).filter_map(|(_, text)| read_kept(text))
}
