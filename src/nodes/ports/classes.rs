//! Class declarations of Python as data: what a parser reads off a text that is never run. It must not
//! know what the classes are for.

/// One class.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    pub name: String,
    /// The classes in parentheses after the name.
    pub bases: Vec<Expression>,
    /// The first text in the body, without indentation.
    pub doc: Option<String>,
    pub members: Vec<Member>,
    /// Of the name, in bytes of the text.
    pub offset: usize,
}

/// One line of the body of a class.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub name: String,
    /// `name: annotation`; absent in `name = value`.
    pub annotation: Option<Expression>,
    pub value: Option<Expression>,
    pub offset: usize,
}

/// An expression as far as declarations need it.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    pub kind: ExpressionKind,
    /// In bytes of the text.
    pub offset: usize,
}

/// What an expression is.
#[derive(Clone, Debug, PartialEq)]
pub enum ExpressionKind {
    /// `List`, `typing.List`: dots included.
    Name(String),
    /// A text, number, boolean or null.
    Constant(serde_json::Value),
    Ellipsis,
    List(Vec<Expression>),
    Dict(Vec<(Expression, Expression)>),
    /// `name[arguments]`.
    Generic(Box<Expression>, Vec<Expression>),
    /// `a | b | c`.
    Union(Vec<Expression>),
    Call(Box<Call>),
}

/// `function(positional, name=value)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub function: Expression,
    pub positional: Vec<Expression>,
    pub named: Vec<(String, Expression)>,
}
