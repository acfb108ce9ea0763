//! Reads the fields of a sub_diagram; every problem is recorded with its place.

use serde_json::Value;

use super::mapping::Mapping;
use super::{SubDiagram, Which, shown};
use crate::diagram::Format;
use crate::nodes::batch::Batch;
use crate::nodes::{ChildFile, Fields, Node};

pub(super) fn read(fields: &mut Fields<'_>) -> Box<dyn Node> {
    let format = fields.choice("diagram_format", &["light", "readable", "native"]).and_then(Format::parse);
    let batch = Batch::read(fields);
    let is_awaited = fields.boolean("wait_for_completion", true);
    Box::new(SubDiagram {
        diagram: read_diagram(fields, format),
        format,
        input_mapping: Mapping::read(fields, "input_mapping"),
        output_mapping: Mapping::read(fields, "output_mapping"),
        passes_variables: fields.boolean("pass_input_data", false),
        is_isolated: fields.boolean("isolate_conversation", false),
        ignores_if_child: fields.boolean("ignore_if_sub", false),
        is_awaited,
        batch,
    })
}

fn read_diagram(fields: &mut Fields<'_>, format: Option<Format>) -> Which {
    let data = fields.tree("diagram_data").map(|it| it.to_json());
    let name = fields.text_not_blank("diagram_name");
    match (data, name) {
        (Some(Value::String(text)), _) => Which::Text(text),
        // JSON is YAML, so a mapping is a text that every reader takes.
        (Some(map @ Value::Object(_)), _) => Which::Text(map.to_string()),
        (Some(other), _) => {
            let message = format!("`diagram_data` must be a diagram, not {}", shown(&other));
            fields.problem("E402", "diagram_data", message, "write the diagram as a mapping or as a text");
            Which::None
        }
        (None, Some(name)) => read_name(fields, &name, format),
        (None, None) => {
            fields.missing("diagram_name");
            Which::None
        }
    }
}

fn read_name(fields: &mut Fields<'_>, name: &str, format: Option<Format>) -> Which {
    let Some(template) = fields.template("diagram_name", name) else { return Which::None };
    let surroundings = fields.context().surroundings;
    let literal = template.literal().map(str::trim).filter(|_| !surroundings.structure_only());
    match literal.map(|name| (name.to_owned(), surroundings.child_diagram(name, format))) {
        None | Some((_, ChildFile::Found)) => {}
        Some((name, ChildFile::Itself)) => {
            let message = format!("`{name}` is this diagram itself");
            fields.problem("W503", "diagram_name", message, "make sure that a condition ends the recursion");
        }
        Some((name, ChildFile::NotFound { places, near })) => {
            let hint = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None if places.is_empty() => "write a name inside the workspace, relative and without `..`".to_owned(),
                None => format!("looked in {}", places.join(", ")),
            };
            fields.problem("E505", "diagram_name", format!("there is no diagram `{name}`"), hint);
        }
    }
    Which::Named(template)
}
