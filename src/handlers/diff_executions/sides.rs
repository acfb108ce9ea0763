//! Finds what is compared: an execution by its id, a diagram by name or file, or a saved version of one.

use super::super::caller::Scope;
use super::super::{App, Caller};
use super::Compared;
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::store::ExecutionRow;

/// One side of a comparison.
pub(super) enum Side {
    Execution(Box<Execution>),
    Diagram { name: String, text: String },
}

/// An execution with the text it ran.
pub(super) struct Execution {
    pub id: ExecutionId,
    pub row: ExecutionRow,
    /// `None`: it is not stored.
    pub text: Option<String>,
}

impl Side {
    /// Finds what `name` stands for.
    ///
    /// # Errors
    ///
    /// `INSUFFICIENT_SCOPE`, `INVALID_EXECUTION_ID`, `EXECUTION_NOT_FOUND`, `DIAGRAM_NOT_FOUND`.
    pub(super) fn find(app: &App, caller: &Caller, name: &str) -> Result<Self, Error> {
        if !name.starts_with("exec_") {
            caller.require(&[Scope::DiagramRead])?;
            return diagram(app, caller, name);
        }
        caller.require(&[Scope::ExecutionRead])?;
        let id = ExecutionId::parse(name)?;
        app.visible(caller, &id)?;
        let store = app.store()?;
        let row = store.execution(&id)?.ok_or_else(|| super::super::wait::not_found(&id))?;
        let text = store.source(row.source_sha256.as_deref().unwrap_or_default())?.map(|it| it.content);
        Ok(Self::Execution(Box::new(Execution { id, row, text })))
    }

    /// What it is called.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Execution(it) => it.id.as_str(),
            Self::Diagram { name, .. } => name,
        }
    }

    /// The diagram; none of an execution whose text is not stored.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Execution(it) => it.text.as_deref(),
            Self::Diagram { text, .. } => Some(text),
        }
    }

    /// What the answer says of it when only diagrams are compared.
    pub(super) fn compared(&self) -> Compared {
        let name = self.name().to_owned();
        match self {
            Self::Execution(it) => Compared {
                name,
                diagram_id: it.row.head.diagram_id.clone(),
                status: Some(it.row.head.status),
                ..Compared::default()
            },
            Self::Diagram { .. } => Compared { name, ..Compared::default() },
        }
    }
}

fn diagram(app: &App, caller: &Caller, name: &str) -> Result<Side, Error> {
    let opened = match caller {
        Caller::Terminal { working_dir } => app.workspace.open_typed(name, working_dir, None),
        Caller::Client(_) => app.workspace.open_named(name, None),
    };
    let text = match (opened, version_of(name)) {
        (Ok(source), _) => source.text,
        (Err(e), Some((diagram, n))) if e.code() == "DIAGRAM_NOT_FOUND" => version(app, diagram, n)?,
        (Err(e), _) => return Err(e),
    };
    Ok(Side::Diagram { name: name.to_owned(), text })
}

/// `NAME@N`.
fn version_of(name: &str) -> Option<(&str, u64)> {
    let (diagram, n) = name.rsplit_once('@')?;
    Some((diagram.strip_prefix("dipeo://diagrams/").unwrap_or(diagram), n.parse().ok()?))
}

fn version(app: &App, name: &str, n: u64) -> Result<String, Error> {
    let store = app.store()?;
    let full = app.workspace.locate(name, None).map(|it| it.name);
    let mut all = Vec::new();
    for diagram in full.iter().map(String::as_str).chain([name]) {
        if all.is_empty() {
            all = store.revisions(diagram)?;
        }
    }
    let found = all.iter().find(|it| it.n == n).map(|it| store.source(&it.sha256)).transpose()?.flatten();
    found.map(|it| it.content).ok_or_else(|| {
        let hint = match all.first() {
            Some(newest) => format!("its revisions are 1 to {}", newest.n),
            None => "only diagrams that were pushed have revisions".to_owned(),
        };
        Error::not_found("DIAGRAM_NOT_FOUND", format!("`{name}` has no revision {n}")).hint(hint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_name_with_a_number() {
        for (name, expected) in [
            ("review@3", Some(("review", 3))),
            ("dipeo://diagrams/team/review@12", Some(("team/review", 12))),
            ("a@b@2", Some(("a@b", 2))),
            ("review", None),
            ("review@x", None),
        ] {
            assert_eq!(version_of(name), expected, "{name}");
        }
    }
}
