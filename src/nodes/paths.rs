//! Fields that name files of the workspace: templates in which `{name}` stands for a value. What can be
//! told of a literal path without looking at the disk is told here (E702); the `Files` port decides.

use std::path::{Component, Path};

use serde_json::Map;

use super::context::NodeContext;
use super::fields::Fields;
use super::rights::{FileScope, Rights};
use super::template::{Template, render};
use crate::diagram::Diagnostic;
use crate::error::Error;

/// A path that may hold templates.
#[derive(Clone, Debug, PartialEq)]
pub struct PathField(Template);

impl PathField {
    /// Reads the path in field `key`, if there is one: E602 when its template does not parse, E702 when it
    /// leaves what the diagram may touch.
    pub fn read(fields: &mut Fields<'_>, key: &'static str) -> Option<Self> {
        let text = fields.text_not_blank(key)?;
        Self::of(fields, key, &text)
    }

    /// Reads `text`, which stands in field `key`, as [`PathField::read`] does.
    pub fn of(fields: &mut Fields<'_>, key: &'static str, text: &str) -> Option<Self> {
        match Template::parse_path(text) {
            Ok(template) => {
                if let Some(path) = template.literal() {
                    check_literal(fields, key, path);
                }
                Some(Self(template))
            }
            Err(problem) => {
                fields.problem("E602", key, format!("path does not parse: {}", problem.message), problem.hint);
                None
            }
        }
    }

    /// The path when it is the same in every run.
    pub fn literal(&self) -> Option<&str> {
        self.0.literal()
    }

    /// Returns the path for a running node.
    ///
    /// # Errors
    ///
    /// As [`render`].
    pub fn render(&self, cx: &NodeContext) -> Result<String, Error> {
        render(cx, &self.0, &Map::new())
    }

    /// Returns the content of a file that some node needs, if it is there when the diagram is compiled.
    /// Says W502 when it is not.
    pub fn content_now(&self, fields: &mut Fields<'_>, key: &'static str) -> Option<String> {
        let surroundings = fields.context().surroundings;
        let path = self.literal().filter(|_| !surroundings.structure_only())?;
        if !is_inside(path, surroundings.rights()) {
            return None;
        }
        let content = surroundings.file(path);
        if content.is_none() {
            fields.problem(
                "W502",
                key,
                format!("file `{path}` is not there yet"),
                "check the path, which is relative to the workspace, or let an earlier node write it",
            );
        }
        content
    }
}

fn check_literal(fields: &mut Fields<'_>, key: &'static str, path: &str) {
    let surroundings = fields.context().surroundings;
    // The root is not known here; an absolute path inside it is one whose file can be seen.
    let is_seen = Path::new(path).is_absolute() && surroundings.file(path).is_some();
    if is_seen || is_inside(path, surroundings.rights()) {
        return;
    }
    let (message, hint) = match surroundings.rights().files {
        FileScope::Workspace => {
            (format!("path `{path}` leaves the workspace"), "write a path relative to the workspace, without `..`")
        }
        FileScope::FilesFolder => (
            format!("path `{path}` leaves the folder `files/`"),
            "write a path below `files/`; a person can allow the whole workspace with `dipeo trust NAME`",
        ),
    };
    let span = fields.node().field(key).map_or(fields.node().span, |it| it.span);
    fields.report(Diagnostic::new("E702", span, message).field(key).hint(hint));
}

/// Whether a relative path stays in what `rights` allow as far as its text shows.
fn is_inside(path: &str, rights: &Rights) -> bool {
    let mut parts = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => parts.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    let Some(first) = parts.first() else { return false };
    let in_scope = match rights.files {
        FileScope::Workspace => true,
        FileScope::FilesFolder => *first == "files",
    };
    in_scope && !first.eq_ignore_ascii_case(".dipeo") && !path.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nodes::rights::Origin;

    #[test]
    fn a_literal_path_shows_whether_it_leaves_the_workspace() {
        let whole = Rights::of(Origin::Local, true, false);
        let narrow = Rights::of(Origin::Submitted, true, false);
        for (path, in_whole, in_narrow) in [
            ("files/a.txt", true, true),
            ("./files/*/b.txt", true, true),
            ("other/a.txt", true, false),
            ("../x", false, false),
            ("files/../../x", false, false),
            ("/etc/x", false, false),
            (".dipeo/state.db", false, false),
            (".", false, false),
        ] {
            assert_eq!((is_inside(path, &whole), is_inside(path, &narrow)), (in_whole, in_narrow), "{path}");
        }
    }
}
