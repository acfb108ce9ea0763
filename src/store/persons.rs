//! Persons that every diagram may name. Whose they are is kept; what is in them is not read here.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Store;
use super::columns::{Moment, limit};
use super::failure::{Failure, is_taken};
use crate::clock::Timestamp;
use crate::error::Error;

/// A person as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonRow {
    pub id: String,
    /// The name by which diagrams know it.
    pub label: String,
    /// JSON text: everything but the name.
    pub config: String,
    /// Whose it is; everybody's when absent.
    pub principal: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Everything a query of this file selects, in the order [`read_row`] reads it.
const COLUMNS: &str = "id, label, config, principal, created_at, updated_at";

impl Store {
    /// Writes a new person.
    ///
    /// # Errors
    ///
    /// `ALREADY_EXISTS` when its principal has one of this name; failures of the database.
    pub async fn add_person(&self, row: PersonRow) -> Result<(), Error> {
        self.writer.write(move |connection| add(connection, &row)).await
    }

    /// Replaces name and content of the person with the row's id; says whether there is one.
    ///
    /// # Errors
    ///
    /// `ALREADY_EXISTS` when its principal has another one of this name; failures of the database.
    pub async fn change_person(&self, row: PersonRow) -> Result<bool, Error> {
        self.writer.write(move |connection| change(connection, &row)).await
    }

    /// Removes a person; says whether there was one.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub async fn remove_person(&self, id: &str) -> Result<bool, Error> {
        let id = id.to_owned();
        let sql = "DELETE FROM persons WHERE id = ?1";
        self.writer.write(move |connection| Ok(connection.prepare_cached(sql)?.execute([&id])? > 0)).await
    }

    /// Returns the person with this id.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn person(&self, id: &str) -> Result<Option<PersonRow>, Error> {
        self.readers.read(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM persons WHERE id = ?1");
            Ok(connection.prepare_cached(&sql)?.query_row([id], read_row).optional()?)
        })
    }

    /// Returns persons by name: everybody's and, of a principal, theirs first; all without `principal`.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn persons(&self, principal: Option<&str>, n_max: Option<usize>) -> Result<Vec<PersonRow>, Error> {
        self.readers.read(|connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM persons WHERE ?1 IS NULL OR principal IS NULL OR principal = ?1
                  ORDER BY label, principal IS NULL, principal LIMIT ?2"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            Ok(statement.query_map(params![principal, limit(n_max)], read_row)?.collect::<Result<_, _>>()?)
        })
    }

    /// Returns the person of this name that a principal's diagrams mean: their own, else everybody's.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn person_named(&self, label: &str, principal: Option<&str>) -> Result<Option<PersonRow>, Error> {
        self.readers.read(|connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM persons WHERE label = ?1 AND (principal IS NULL OR principal = ?2)
                  ORDER BY principal IS NULL LIMIT 1"
            );
            Ok(connection.prepare_cached(&sql)?.query_row(params![label, principal], read_row).optional()?)
        })
    }
}

fn add(connection: &Connection, row: &PersonRow) -> Result<(), Failure> {
    let sql = format!("INSERT INTO persons ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
    let params = params![row.id, row.label, row.config, row.principal, Moment(row.created_at), Moment(row.updated_at)];
    connection.prepare_cached(&sql)?.execute(params).map_err(|error| taken(error, &row.label))?;
    Ok(())
}

fn change(connection: &Connection, row: &PersonRow) -> Result<bool, Failure> {
    let sql = "UPDATE persons SET label = ?2, config = ?3, updated_at = ?4 WHERE id = ?1";
    let params = params![row.id, row.label, row.config, Moment(row.updated_at)];
    Ok(connection.prepare_cached(sql)?.execute(params).map_err(|error| taken(error, &row.label))? > 0)
}

fn taken(error: rusqlite::Error, label: &str) -> Failure {
    if is_taken(&error) {
        return Error::conflict("ALREADY_EXISTS", format!("there is a person `{label}` already"))
            .hint("choose another name, or change the one that is there")
            .into();
    }
    error.into()
}

fn read_row(row: &Row<'_>) -> Result<PersonRow, rusqlite::Error> {
    Ok(PersonRow {
        id: row.get(0)?,
        label: row.get(1)?,
        config: row.get(2)?,
        principal: row.get(3)?,
        created_at: row.get::<_, Moment>(4)?.0,
        updated_at: row.get::<_, Moment>(5)?.0,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOON, TestStore};
    use super::*;

    fn person(id: &str, label: &str, principal: Option<&str>) -> PersonRow {
        PersonRow {
            id: id.to_owned(),
            label: label.to_owned(),
            config: "{}".to_owned(),
            principal: principal.map(str::to_owned),
            created_at: NOON,
            updated_at: NOON,
        }
    }

    #[tokio::test]
    async fn a_name_is_unique_for_each_principal_and_ones_own_person_comes_first() {
        let test = TestStore::new();
        for (id, label, principal, fits) in [
            ("1", "Writer", None, true),
            ("2", "Writer", None, false),
            ("3", "Writer", Some("ada"), true),
            ("4", "Editor", Some("bob"), true),
            ("4", "Other", None, false),
        ] {
            let code = test.store.add_person(person(id, label, principal)).await.err().map(|it| it.code());
            assert_eq!(code, (!fits).then_some("ALREADY_EXISTS"), "{id} {label}");
        }
        let ids = |rows: Vec<PersonRow>| rows.into_iter().map(|it| it.id).collect::<Vec<_>>().join(" ");
        let list = |principal, n_max| ids(test.store.persons(principal, n_max).expect("reads"));
        assert_eq!([list(None, None), list(Some("ada"), None), list(Some("eve"), None)], ["4 3 1", "3 1", "1"]);
        assert_eq!(list(None, Some(2)), "4 3");
        let named = |label, who| test.store.person_named(label, who).expect("reads").map(|it| it.id);
        assert_eq!(named("Writer", Some("ada")).as_deref(), Some("3"));
        assert_eq!(named("Writer", Some("bob")).as_deref(), Some("1"));
        assert_eq!((named("Editor", Some("ada")), named("Editor", None)), (None, None));
    }

    #[tokio::test]
    async fn a_person_is_changed_and_removed_by_its_id() {
        let test = TestStore::new();
        for (id, label) in [("1", "a"), ("2", "b")] {
            test.store.add_person(person(id, label, None)).await.expect("added");
        }
        let at = NOON.plus_ms(5);
        let renamed = PersonRow { updated_at: at, config: "{\"x\":1}".into(), ..person("1", "c", None) };
        assert!(test.store.change_person(renamed.clone()).await.expect("changed"));
        assert_eq!(test.store.person("1").expect("reads"), Some(renamed));
        assert!(!test.store.change_person(person("9", "z", None)).await.expect("nobody"));
        let clash = test.store.change_person(person("1", "b", None)).await.expect_err("taken");
        assert_eq!(clash.code(), "ALREADY_EXISTS");
        assert!(test.store.remove_person("1").await.expect("removed"));
        assert!(!test.store.remove_person("1").await.expect("gone"));
        assert_eq!(test.another().person("1").expect("reads"), None);
    }
}
