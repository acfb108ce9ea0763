//! What a node type says of its fields, once: the JSON Schema of the light format, the order and the
//! left-out defaults of written diagrams, and the forms of an editor are made from it. A test holds each
//! list against what the type's `read` asks for.

/// One field of a node type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FieldSpec {
    pub key: &'static str,
    pub shape: Shape,
    pub is_required: bool,
    /// The value that is the same as leaving the field out.
    pub preset: Preset,
    /// One sentence for people and models.
    pub about: &'static str,
}

/// What a field may hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    Text,
    /// A text in which `{{name}}` is replaced.
    Template,
    /// A path relative to the workspace.
    Path,
    /// A whole number of at least this.
    Whole(i64),
    /// A number greater than this.
    Above(f64),
    Bool,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A text, or a list of texts.
    Texts,
    Map,
    List,
    /// The label of a person.
    Person,
    Any,
}

/// The value a field has when it is not written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Preset {
    None,
    Bool(bool),
    Whole(i64),
    Number(f64),
    Text(&'static str),
}

impl FieldSpec {
    /// An optional field without a default.
    pub const fn new(key: &'static str, shape: Shape, about: &'static str) -> Self {
        Self { key, shape, is_required: false, preset: Preset::None, about }
    }

    /// The same field, required.
    #[must_use]
    pub const fn required(self) -> Self {
        Self { is_required: true, ..self }
    }

    /// The same field with a default.
    #[must_use]
    pub const fn or(self, preset: Preset) -> Self {
        Self { preset, ..self }
    }
}
