//! Pydantic models as JSON Schema: `text_format` given as Python classes (diagrams.md 3.14). The text is
//! read as data and never run; what has no meaning here is a problem with its place.

mod field;
mod types;

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::{CONTROLS, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::nodes::fields::line_and_column;
use crate::nodes::ports::classes::{Class, Expression, ExpressionKind, Member};
use crate::nodes::ports::{Languages, SyntaxProblem};

/// Most classes of one text; real answers have a handful.
const CLASSES_MAX: usize = 200;
/// Most fields of all models together, inherited ones counted for each heir.
const FIELDS_MAX: usize = 2_000;

/// What cannot be translated, and where it stands, in bytes of the text.
struct Misfit {
    message: String,
    offset: usize,
}

impl Misfit {
    fn new(offset: usize, message: impl Into<String>) -> Self {
        Self { message: message.into(), offset }
    }
}

type Translated<T> = Result<T, Misfit>;

/// Translates Pydantic source to the JSON Schema of its root: the model `Response`, else the first whose name
/// ends so, else the last model.
///
/// # Errors
///
/// The first thing that cannot be translated, with its place inside the text.
pub(super) fn translate(languages: &dyn Languages, source: &str) -> Result<Value, SyntaxProblem> {
    let classes = languages.read_classes(source)?;
    schema_of(&classes).map_err(|Misfit { message, offset }| {
        let (line, column) = line_and_column(source, offset);
        SyntaxProblem { message, line, column }
    })
}

fn schema_of(classes: &[Class]) -> Translated<Value> {
    let declared = Declared::new(classes)?;
    let Some(root) = declared.root() else {
        return Err(Misfit::new(0, "the text defines no model: write `class Response(BaseModel):`"));
    };
    let mut definitions: BTreeMap<&str, (Value, BTreeSet<String>)> = BTreeMap::new();
    for class in classes {
        let mut scope = Scope { declared: &declared, root, references: BTreeSet::new() };
        let schema = scope.class(class)?;
        definitions.insert(&class.name, (schema, scope.references));
    }
    Ok(assemble(classes, root, &definitions))
}

/// The root with the definitions it needs, in the order of the text.
fn assemble(classes: &[Class], root: &str, definitions: &BTreeMap<&str, (Value, BTreeSet<String>)>) -> Value {
    let mut needed: BTreeSet<&str> = BTreeSet::from([root]);
    let mut open = vec![root];
    while let Some((_, references)) = open.pop().and_then(|it| definitions.get(it)) {
        open.extend(references.iter().map(String::as_str).filter(|it| needed.insert(it)));
    }
    needed.remove(root);
    let schema_of = |name: &str| definitions.get(name).map(|it| it.0.clone()).unwrap_or_default();
    let mut schema = schema_of(root);
    let others = classes.iter().filter(|it| needed.contains(it.name.as_str()));
    let others: Map<String, Value> = others.map(|it| (it.name.clone(), schema_of(&it.name))).collect();
    if !others.is_empty() {
        schema["$defs"] = Value::Object(others);
    }
    schema
}

/// What a class is.
enum Kind<'a> {
    /// Its fields are its own after those of these models.
    Model(Vec<&'a Class>),
    /// The values, by member.
    Enumeration(Vec<(&'a str, &'a Value)>),
}

/// The classes of a text by name.
struct Declared<'a> {
    classes: &'a [Class],
    kinds: BTreeMap<&'a str, Kind<'a>>,
}

impl<'a> Declared<'a> {
    fn new(classes: &'a [Class]) -> Translated<Self> {
        if let Some(class) = classes.get(CLASSES_MAX) {
            return Err(Misfit::new(class.offset, format!("there are more than {CLASSES_MAX} classes")));
        }
        let mut declared = Self { classes, kinds: BTreeMap::new() };
        let mut n_fields = 0;
        for class in classes {
            let kind = declared.kind_of(class)?;
            if declared.kinds.contains_key(class.name.as_str()) {
                return Err(Misfit::new(class.offset, format!("class `{}` is defined twice", class.name)));
            }
            declared.kinds.insert(&class.name, kind);
            n_fields += declared.lineage(class).iter().map(|it| it.members.len()).sum::<usize>();
            if n_fields > FIELDS_MAX {
                return Err(Misfit::new(class.offset, format!("there are more than {FIELDS_MAX} fields")));
            }
        }
        Ok(declared)
    }

    fn kind_of(&self, class: &'a Class) -> Translated<Kind<'a>> {
        let names: Vec<(&str, &Expression)> = class.bases.iter().map(|it| (name_of(it), it)).collect();
        if names.iter().any(|(name, _)| matches!(*name, "Enum" | "IntEnum" | "StrEnum")) {
            return enumeration(class).map(Kind::Enumeration);
        }
        let mut parents = Vec::new();
        for (name, base) in &names {
            match self.kinds.get(name) {
                Some(Kind::Model(_)) => parents.extend(self.classes.iter().find(|it| it.name == *name)),
                Some(Kind::Enumeration(_)) => {
                    return Err(Misfit::new(base.offset, format!("class `{}` cannot extend an Enum", class.name)));
                }
                None if *name == "BaseModel" => {}
                None => {
                    let message = format!("class `{}` extends `{name}`, which is no model defined above", class.name);
                    return Err(Misfit::new(base.offset, message));
                }
            }
        }
        if names.is_empty() {
            let message = format!("class `{0}` is no model: write `class {0}(BaseModel):`", class.name);
            return Err(Misfit::new(class.offset, message));
        }
        Ok(Kind::Model(parents))
    }

    /// The model and those it extends, the farthest first, each once.
    fn lineage(&self, class: &'a Class) -> Vec<&'a Class> {
        let mut found: Vec<&Class> = Vec::new();
        let mut open = vec![class];
        while let Some(class) = open.pop() {
            if found.iter().any(|it| it.name == class.name) {
                continue;
            }
            found.push(class);
            if let Some(Kind::Model(parents)) = self.kinds.get(class.name.as_str()) {
                open.extend(parents);
            }
        }
        found.reverse();
        found
    }

    fn root(&self) -> Option<&'a str> {
        let models = || {
            let is_model = |it: &&Class| matches!(self.kinds.get(it.name.as_str()), Some(Kind::Model(_)));
            self.classes.iter().filter(is_model).map(|it| it.name.as_str())
        };
        models()
            .find(|it| *it == "Response")
            .or_else(|| models().find(|it| it.ends_with("Response")))
            .or_else(|| models().next_back())
    }

    /// The value that `Color.red` means.
    fn enum_value(&self, name: &str) -> Option<&'a Value> {
        let (class, member) = name.split_once('.')?;
        match self.kinds.get(class)? {
            Kind::Enumeration(members) => members.iter().find(|(name, _)| *name == member).map(|it| it.1),
            Kind::Model(_) => None,
        }
    }
}

fn enumeration(class: &Class) -> Translated<Vec<(&str, &Value)>> {
    let mut members = Vec::new();
    for member in &class.members {
        let value = match (&member.annotation, member.value.as_ref().map(|it| &it.kind)) {
            (None, Some(ExpressionKind::Constant(value))) => value,
            _ => {
                let message = format!("`{}` of Enum `{}` has no plain value", member.name, class.name);
                return Err(Misfit::new(member.offset, message));
            }
        };
        members.push((member.name.as_str(), value));
    }
    if members.is_empty() {
        return Err(Misfit::new(class.offset, format!("Enum `{}` has no values", class.name)));
    }
    Ok(members)
}

/// What one class is translated with.
struct Scope<'a> {
    declared: &'a Declared<'a>,
    root: &'a str,
    /// Classes it names.
    references: BTreeSet<String>,
}

impl<'a> Scope<'a> {
    fn class(&mut self, class: &'a Class) -> Translated<Value> {
        let declared = self.declared;
        let mut schema = Map::new();
        if let Some(doc) = &class.doc {
            schema.insert("description".into(), doc.as_str().into());
        }
        match declared.kinds.get(class.name.as_str()) {
            Some(Kind::Enumeration(members)) => {
                let values: Vec<Value> = members.iter().map(|(_, value)| (*value).clone()).collect();
                schema.extend(types::one_of(values));
            }
            Some(Kind::Model(_)) | None => schema.extend(self.model(class)?),
        }
        Ok(Value::Object(schema))
    }

    fn model(&mut self, class: &'a Class) -> Translated<Map<String, Value>> {
        // A field keeps its place when an heir declares it again.
        let mut members: Vec<&Member> = Vec::new();
        for member in self.declared.lineage(class).into_iter().flat_map(|it| &it.members) {
            match members.iter_mut().find(|it| it.name == member.name) {
                Some(known) => *known = member,
                None => members.push(member),
            }
        }
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for member in members {
            let field = self.field(class, member)?;
            if field.is_required {
                required.push(Value::from(field.name.as_str()));
            }
            if properties.insert(field.name.clone(), field.schema).is_some() {
                let message = format!("two fields of `{}` are named `{}`", class.name, field.name);
                return Err(Misfit::new(member.offset, message));
            }
        }
        let mut schema = Map::new();
        schema.insert("type".into(), "object".into());
        schema.insert("properties".into(), Value::Object(properties));
        if !required.is_empty() {
            schema.insert("required".into(), Value::Array(required));
        }
        Ok(schema)
    }

    /// A reference to a class of the text; the root is the schema itself.
    fn reference(&mut self, name: &str) -> Value {
        self.references.insert(name.to_owned());
        if name == self.root {
            return json!({"$ref": "#"});
        }
        // Python lets names have letters that a reference must not.
        json!({"$ref": format!("#/$defs/{}", utf8_percent_encode(name, CONTROLS))})
    }
}

/// The name an expression is, without the module it comes from; empty for anything else.
fn name_of(expression: &Expression) -> &str {
    match &expression.kind {
        ExpressionKind::Name(name) => without_module(name),
        _ => "",
    }
}

fn without_module(name: &str) -> &str {
    let modules = ["typing.", "typing_extensions.", "pydantic.", "enum.", "t."];
    modules.iter().find_map(|it| name.strip_prefix(it)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::{Code, Settings};
    use crate::limits::CODE_BYTES_MAX;

    fn translated(source: &str) -> Result<Value, SyntaxProblem> {
        translate(&*Code::new(Settings::new(Vec::new(), ".".into())), source)
    }

    /// The schema of the one field `x` of a model, with whether it is required.
    #[track_caller]
    fn field(line: &str) -> (Value, bool) {
        let classes = "class Color(str, Enum):\n    red = 'r'\n    blue = 'b'\nclass Item(BaseModel):\n    n: int\n";
        let schema = translated(&format!("{classes}class Response(BaseModel):\n    {line}\n")).unwrap();
        (schema["properties"]["x"].clone(), schema["required"] == json!(["x"]))
    }

    #[test]
    fn each_type_has_its_schema() {
        let nothing = json!({"type": "null"});
        for (written, expected) in [
            ("str", json!({"type": "string"})),
            ("int", json!({"type": "integer"})),
            ("float", json!({"type": "number"})),
            ("bool", json!({"type": "boolean"})),
            ("Any", json!({})),
            ("None", nothing.clone()),
            ("list", json!({"type": "array"})),
            ("List[int]", json!({"type": "array", "items": {"type": "integer"}})),
            ("typing.List['int']", json!({"type": "array", "items": {"type": "integer"}})),
            ("dict[str, Any]", json!({"type": "object", "additionalProperties": {}})),
            ("Optional[int]", json!({"anyOf": [{"type": "integer"}, nothing]})),
            ("int | None", json!({"anyOf": [{"type": "integer"}, nothing]})),
            ("Union[int, str | None, int]", json!({"anyOf": [{"type": "integer"}, {"type": "string"}, nothing]})),
            ("Union[int]", json!({"type": "integer"})),
            ("Literal['a', 'b', 'a']", json!({"type": "string", "enum": ["a", "b"]})),
            ("Literal[1, -2]", json!({"type": "integer", "enum": [1, -2]})),
            ("Literal['a', 1, None]", json!({"enum": ["a", 1, null]})),
            ("Item", json!({"$ref": "#/$defs/Item"})),
            ("List['Response']", json!({"type": "array", "items": {"$ref": "#"}})),
            ("Optional[Color]", json!({"anyOf": [{"$ref": "#/$defs/Color"}, nothing]})),
        ] {
            assert_eq!(field(&format!("x: {written}")), (expected, true), "{written}");
        }
    }

    #[test]
    fn defaults_and_limits_are_kept() {
        for (line, expected, is_required) in [
            ("x: int = 3", json!({"type": "integer", "default": 3}), false),
            ("x: float = -0.5", json!({"type": "number", "default": -0.5}), false),
            ("x: List[str] = []", json!({"type": "array", "items": {"type": "string"}, "default": []}), false),
            ("x: dict = {'a': [1, True]}", json!({"type": "object", "default": {"a": [1, true]}}), false),
            ("x: Color = Color.blue", json!({"$ref": "#/$defs/Color", "default": "b"}), false),
            ("x: int = ...", json!({"type": "integer"}), true),
            (
                "x: int = Field(..., ge=0, lt=10)",
                json!({"type": "integer", "minimum": 0, "exclusiveMaximum": 10}),
                true,
            ),
            (
                "x: str = Field('a', min_length=1, max_length=5, pattern='^a', description='Why')",
                json!({
                    "type": "string", "default": "a", "minLength": 1, "maxLength": 5, "pattern": "^a",
                    "description": "Why",
                }),
                false,
            ),
            (
                "x: Optional[float] = pydantic.Field(default=None, gt=0, le=1)",
                json!({
                    "anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": 1}, {"type": "null"}],
                    "default": null,
                }),
                false,
            ),
            (
                "x: list[int] = Field(default_factory=list, min_length=2)",
                json!({"type": "array", "items": {"type": "integer"}, "default": [], "minItems": 2}),
                false,
            ),
        ] {
            assert_eq!(field(line), (expected, is_required), "{line}");
        }
        let schema = translated("class A(BaseModel):\n    x: int = Field(alias='the x')").unwrap();
        assert_eq!(
            schema,
            json!({"type": "object", "properties": {"the x": {"type": "integer"}}, "required": ["the x"]})
        );
    }

    #[test]
    fn the_root_is_the_response_and_carries_what_it_needs() {
        let model = |name: &str, body: &str| format!("class {name}(BaseModel):\n    {body}\n");
        let (a, b) = (model("A", "a: int"), model("B", "b: int"));
        for (source, expected) in [
            (a.clone() + &b, "b"),
            (model("Response", "r: int") + &a, "r"),
            (model("UserResponse", "u: int") + &model("OtherResponse", "o: int") + &a, "u"),
            (model("UserResponse", "u: int") + &model("Response", "r: int") + &a, "r"),
            (a + "class E(Enum):\n    x = 1\n", "a"),
        ] {
            let schema = translated(&source).unwrap();
            let keys: Vec<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!((keys, schema.get("$defs")), (vec![expected], None), "{source}");
        }
    }

    #[test]
    fn models_nest_recur_and_inherit() {
        let source = "from __future__ import annotations\nfrom pydantic import BaseModel, Field\n\n\
                      class Kind(Enum):\n    \"\"\"Of a tag.\"\"\"\n    div = 'div'\n    p = 'p'\n\n\
                      class Tag(BaseModel):\n    # comments are not read\n    kind: Kind\n    children: List[\"Tag\"] = []\n\n\
                      class Named(BaseModel):\n    name: str\n    id: int\n\n\
                      Tag.model_rebuild()  # enables recursion\n\n\
                      class Response(Named):\n    \"\"\"A page.\n    Of tags.\n    \"\"\"\n    root: Tag\n    id: str = ''\n";
        let schema = translated(source).unwrap();
        assert_eq!(
            schema,
            json!({
                "description": "A page.\nOf tags.",
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "id": {"type": "string", "default": ""},
                    "root": {"$ref": "#/$defs/Tag"},
                },
                "required": ["name", "root"],
                "$defs": {
                    "Kind": {"description": "Of a tag.", "type": "string", "enum": ["div", "p"]},
                    "Tag": {
                        "type": "object",
                        "properties": {
                            "kind": {"$ref": "#/$defs/Kind"},
                            "children": {"type": "array", "items": {"$ref": "#/$defs/Tag"}, "default": []},
                        },
                        "required": ["kind"],
                    },
                },
            })
        );
        let validator = jsonschema::validator_for(&schema).unwrap();
        let page = |kind: &str| json!({"name": "a", "root": {"kind": "div", "children": [{"kind": kind}]}});
        assert!(validator.is_valid(&page("p")));
        assert!(!validator.is_valid(&page("h1")));
    }

    #[test]
    fn what_cannot_be_translated_is_named_with_its_place() {
        let model = |line: &str| format!("class A(BaseModel):\n    {line}");
        for (source, message, line, column) in [
            (model("x: datetime"), "the type `datetime` cannot be translated", 2, 8),
            (model("x: Sting"), "the type `Sting` cannot be translated", 2, 8),
            (model("x: flaot"), "the type `flaot` cannot be translated; did you mean `float`?", 2, 8),
            (model("x: tuple[int, str]"), "the type `tuple` cannot be translated", 2, 8),
            (model("x: Dict[int, str]"), "keys of JSON are texts: write `Dict[str, …]`", 2, 13),
            (model("x: List[int, str]"), "`List` has the wrong number of types in its brackets", 2, 8),
            (model("x: Literal[y]"), "`Literal` takes texts, numbers, booleans and None", 2, 16),
            (model("x = 3"), "`x` of `A` has no type: write `x: …`", 2, 5),
            (model("x: int = f()"), "a call of `f` as a value cannot be translated", 2, 14),
            (model("x: int = y"), "`y` as a value cannot be translated", 2, 14),
            (
                model("x: int = Field(min_lenght=1)"),
                "`min_lenght` of `Field` cannot be translated; did you mean `min_length`?",
                2,
                31,
            ),
            (model("x: int = Field(min_length=1)"), "`min_length` does not fit the type of `x`", 2, 31),
            (model("x: str = Field(max_length=-1)"), "`max_length` must be a whole number from 0", 2, 31),
            (model("x: str = Field(ge=1)"), "`ge` does not fit the type of `x`", 2, 23),
            (model("x: str = Field(1, 2)"), "`Field` takes one value without a name", 2, 23),
            (model("x: list = Field(default_factory=set)"), "`default_factory` may be `list` or `dict`", 2, 37),
            (model("x: int\n    y: int = Field(alias='x')"), "two fields of `A` are named `x`", 3, 5),
            ("class A:\n    x: int".into(), "class `A` is no model: write `class A(BaseModel):`", 1, 7),
            ("class A(B):\n    x: int".into(), "class `A` extends `B`, which is no model defined above", 1, 9),
            ("class A(A):\n    x: int".into(), "class `A` extends `A`, which is no model defined above", 1, 9),
            (model("x: int\nclass A(BaseModel): pass"), "class `A` is defined twice", 3, 7),
            ("class E(Enum):\n    a = auto()".into(), "`a` of Enum `E` has no plain value", 2, 5),
            ("class E(Enum): pass".into(), "Enum `E` has no values", 1, 7),
            ("".into(), "the text defines no model: write `class Response(BaseModel):`", 1, 1),
            ("import os".into(), "the text defines no model: write `class Response(BaseModel):`", 1, 1),
        ] {
            let problem = translated(&source).unwrap_err();
            assert_eq!((problem.message.as_str(), problem.line, problem.column), (message, line, column), "{source}");
        }
        assert_eq!(translated("class A(BaseModel)\n    x: int").unwrap_err().line, 1);
    }

    #[test]
    fn hostile_texts_are_problems_or_schemas_in_little_space() {
        let many_classes: String = (0..300).map(|it| format!("class A{it}(BaseModel): pass\n")).collect();
        assert!(translated(&many_classes).unwrap_err().message.contains("200 classes"));
        let many_fields: String = (0..2_001).map(|it| format!("    f{it}: int\n")).collect();
        assert!(
            translated(&format!("class A(BaseModel):\n{many_fields}")).unwrap_err().message.contains("2000 fields")
        );
        let heirs: String = (1..150).map(|it| format!("class A{it}(A{}): pass\n", it - 1)).collect();
        let fields: String = (0..50).map(|it| format!("    f{it}: int\n")).collect();
        let grown = translated(&format!("class A0(BaseModel):\n{fields}{heirs}"));
        assert!(grown.unwrap_err().message.contains("2000 fields"));
        let literals: Vec<String> = (0..9_000).map(|it| it.to_string()).collect();
        let wide = translated(&format!("class A(BaseModel):\n    x: Literal[{}]", literals.join(","))).unwrap();
        assert_eq!(wide["properties"]["x"]["enum"].as_array().map(Vec::len), Some(9_000));
        assert!(translated(&"x".repeat(CODE_BYTES_MAX + 1)).is_err());
        let named_in_greek = translated("class Ω(BaseModel):\n    x: int\nclass R(BaseModel):\n    o: Ω").unwrap();
        let validator = jsonschema::validator_for(&named_in_greek).unwrap();
        assert!(!validator.is_valid(&json!({"o": {"x": "no number"}})));
    }
}
