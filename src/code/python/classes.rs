//! Reads class declarations off a text, as data and without running it. Whatever is no declaration is a
//! problem with its place: nothing of the text may be lost unseen.

use ruff_python_ast::{Expr, Number, Operator, Stmt, StmtClassDef, UnaryOp};
use ruff_text_size::Ranged;
use serde_json::Value;

use super::place;
use crate::nodes::ports::SyntaxProblem;
use crate::nodes::ports::classes::{Call, Class, Expression, ExpressionKind, Member};

/// Deepest nesting of one expression; real types nest a handful of times.
const DEPTH_MAX: u32 = 32;

/// What cannot be read: what it is, and its place in bytes.
struct Refused {
    message: String,
    offset: usize,
}

type Read<T> = Result<T, Refused>;

/// Returns the classes of `source` in their order. Needs a deep stack.
///
/// # Errors
///
/// A syntax error, or the first thing that is no declaration, with its place.
pub(in crate::code) fn read(source: &str) -> Result<Vec<Class>, SyntaxProblem> {
    let parsed = ruff_python_parser::parse_module(source).map_err(|error| place::syntax_problem(source, &error))?;
    let classes: Read<Vec<Option<Class>>> = parsed.suite().iter().map(top_level).collect();
    match classes {
        Ok(classes) => Ok(classes.into_iter().flatten().collect()),
        Err(Refused { message, offset }) => {
            let (line, column) = place::line_column(source, offset);
            Err(SyntaxProblem { message, line, column })
        }
    }
}

fn top_level(statement: &Stmt) -> Read<Option<Class>> {
    match statement {
        Stmt::ClassDef(class) => read_class(class).map(Some),
        Stmt::Import(_) | Stmt::ImportFrom(_) | Stmt::Pass(_) => Ok(None),
        Stmt::Expr(it) if it.value.is_string_literal_expr() || is_rebuild(&it.value) => Ok(None),
        other => Err(refused(other, &format!("{} outside of a class", statement_name(other)))),
    }
}

/// `Person.model_rebuild()`, which resolves forward references: here all of them resolve.
fn is_rebuild(expression: &Expr) -> bool {
    let Expr::Call(call) = expression else { return false };
    matches!(&*call.func, Expr::Attribute(it)
        if it.value.is_name_expr() && matches!(it.attr.as_str(), "model_rebuild" | "update_forward_refs"))
}

fn read_class(class: &StmtClassDef) -> Read<Class> {
    let name = class.name.to_string();
    if let Some(decorator) = class.decorator_list.first() {
        return Err(refused(decorator, &format!("the decorator of class `{name}`")));
    }
    if let Some(parameters) = &class.type_params {
        return Err(refused(&**parameters, &format!("the type parameters of class `{name}`")));
    }
    let arguments = class.arguments.as_deref();
    if let Some(keyword) = arguments.and_then(|it| it.keywords.first()) {
        return Err(refused(keyword, &format!("the keyword argument of class `{name}`")));
    }
    let bases = arguments.map(|it| it.args.iter().map(|base| read_value(base, DEPTH_MAX)).collect());
    let doc = class.body.first().and_then(doc_of);
    let members: Read<Vec<Option<Member>>> = class.body.iter().map(|it| read_member(it, &name)).collect();
    Ok(Class {
        bases: bases.unwrap_or_else(|| Ok(Vec::new()))?,
        doc,
        members: members?.into_iter().flatten().collect(),
        offset: class.name.start().to_usize(),
        name,
    })
}

fn doc_of(statement: &Stmt) -> Option<String> {
    let Stmt::Expr(it) = statement else { return None };
    let Expr::StringLiteral(text) = &*it.value else { return None };
    let lines: Vec<&str> = text.value.to_str().trim().lines().map(str::trim).collect();
    Some(lines.join("\n")).filter(|it| !it.is_empty())
}

fn read_member(statement: &Stmt, class: &str) -> Read<Option<Member>> {
    match statement {
        Stmt::Pass(_) => Ok(None),
        Stmt::Expr(it) if it.value.is_string_literal_expr() || it.value.is_ellipsis_literal_expr() => Ok(None),
        Stmt::AnnAssign(it) => {
            let value = it.value.as_deref().map(|value| read_value(value, DEPTH_MAX)).transpose()?;
            let annotation = Some(read_type(&it.annotation, DEPTH_MAX)?);
            member(&it.target, annotation, value).map(Some)
        }
        Stmt::Assign(it) => match it.targets.as_slice() {
            [target] => member(target, None, Some(read_value(&it.value, DEPTH_MAX)?)).map(Some),
            _ => Err(refused(statement, &format!("several names at once in class `{class}`"))),
        },
        Stmt::FunctionDef(it) => {
            Err(Refused { message: cannot(&format!("the method `{}`", it.name)), offset: it.name.start().to_usize() })
        }
        Stmt::ClassDef(it) => {
            let what = format!("the class `{}` within a class", it.name);
            Err(Refused { message: cannot(&what), offset: it.name.start().to_usize() })
        }
        other => Err(refused(other, &format!("{} in class `{class}`", statement_name(other)))),
    }
}

fn member(target: &Expr, annotation: Option<Expression>, value: Option<Expression>) -> Read<Member> {
    let Expr::Name(name) = target else { return Err(refused(target, "a target that is no name")) };
    Ok(Member { name: name.id.to_string(), annotation, value, offset: target.start().to_usize() })
}

/// Reads an annotation: a text in it is the type it spells, except in `Literal`.
fn read_type(expression: &Expr, depth: u32) -> Read<Expression> {
    match expression {
        Expr::StringLiteral(text) => {
            let offset = expression.start().to_usize();
            let misspelt = || Refused { message: cannot("the text in quotes, which spells no type,"), offset };
            let deeper = depth.checked_sub(1).ok_or_else(|| too_deep(expression))?;
            let parsed = ruff_python_parser::parse_expression(text.value.to_str().trim()).map_err(|_| misspelt())?;
            let mut inner = read_type(parsed.expr(), deeper).map_err(|it| Refused { offset, ..it })?;
            relocate(&mut inner, offset);
            Ok(inner)
        }
        Expr::Subscript(it) => {
            let deeper = depth.checked_sub(1).ok_or_else(|| too_deep(expression))?;
            let generic = read_name(&it.value)?;
            let is_literal =
                matches!(&generic.kind, ExpressionKind::Name(it) if it.rsplit('.').next() == Some("Literal"));
            let read = |it: &Expr| if is_literal { read_value(it, deeper) } else { read_type(it, deeper) };
            let arguments = match &*it.slice {
                Expr::Tuple(tuple) => tuple.elts.iter().map(read).collect::<Read<Vec<_>>>()?,
                one => vec![read(one)?],
            };
            Ok(at(expression, ExpressionKind::Generic(Box::new(generic), arguments)))
        }
        Expr::BinOp(_) => read_union(expression, depth),
        Expr::NoneLiteral(_) => Ok(at(expression, ExpressionKind::Constant(Value::Null))),
        Expr::Name(_) | Expr::Attribute(_) => read_name(expression),
        other => Err(refused(other, &format!("{} as a type", expression_name(other)))),
    }
}

/// `a | b | c`, which leans to the left and may be as long as the text.
fn read_union(expression: &Expr, depth: u32) -> Read<Expression> {
    let deeper = depth.checked_sub(1).ok_or_else(|| too_deep(expression))?;
    let mut members = Vec::new();
    let mut rest = expression;
    while let Expr::BinOp(it) = rest {
        if it.op != Operator::BitOr {
            return Err(refused(rest, "a calculation as a type"));
        }
        members.push(read_type(&it.right, deeper)?);
        rest = &it.left;
    }
    members.push(read_type(rest, deeper)?);
    members.reverse();
    Ok(at(expression, ExpressionKind::Union(members)))
}

fn read_name(expression: &Expr) -> Read<Expression> {
    let mut parts = Vec::new();
    let mut rest = expression;
    while let Expr::Attribute(it) = rest {
        parts.push(it.attr.as_str());
        rest = &it.value;
    }
    let Expr::Name(first) = rest else { return Err(refused(rest, expression_name(rest))) };
    parts.push(first.id.as_str());
    parts.reverse();
    Ok(at(expression, ExpressionKind::Name(parts.join("."))))
}

/// Reads a default, a literal, an argument.
fn read_value(expression: &Expr, depth: u32) -> Read<Expression> {
    let deeper = depth.checked_sub(1).ok_or_else(|| too_deep(expression))?;
    let all = |items: &[Expr]| items.iter().map(|it| read_value(it, deeper)).collect::<Read<Vec<_>>>();
    let kind = match expression {
        Expr::StringLiteral(it) => ExpressionKind::Constant(it.value.to_str().into()),
        Expr::BooleanLiteral(it) => ExpressionKind::Constant(it.value.into()),
        Expr::NoneLiteral(_) => ExpressionKind::Constant(Value::Null),
        Expr::EllipsisLiteral(_) => ExpressionKind::Ellipsis,
        Expr::NumberLiteral(it) => ExpressionKind::Constant(number(expression, &it.value, false)?),
        Expr::UnaryOp(it) if it.op == UnaryOp::USub => match &*it.operand {
            Expr::NumberLiteral(number_literal) => {
                ExpressionKind::Constant(number(expression, &number_literal.value, true)?)
            }
            _ => return Err(refused(expression, "a calculation")),
        },
        Expr::List(it) => ExpressionKind::List(all(&it.elts)?),
        Expr::Tuple(it) => ExpressionKind::List(all(&it.elts)?),
        Expr::Dict(it) => {
            let mut entries = Vec::with_capacity(it.items.len());
            for item in &it.items {
                let Some(key) = &item.key else { return Err(refused(&item.value, "`**` in a dict")) };
                entries.push((read_value(key, deeper)?, read_value(&item.value, deeper)?));
            }
            ExpressionKind::Dict(entries)
        }
        Expr::Call(it) => {
            let mut named = Vec::with_capacity(it.arguments.keywords.len());
            for keyword in &it.arguments.keywords {
                let Some(name) = &keyword.arg else { return Err(refused(&keyword.value, "`**` in a call")) };
                named.push((name.to_string(), read_value(&keyword.value, deeper)?));
            }
            let function = read_name(&it.func)?;
            ExpressionKind::Call(Box::new(Call { function, positional: all(&it.arguments.args)?, named }))
        }
        Expr::Name(_) | Expr::Attribute(_) => return read_name(expression),
        other => return Err(refused(other, expression_name(other))),
    };
    Ok(at(expression, kind))
}

fn number(expression: &Expr, number: &Number, is_negative: bool) -> Read<Value> {
    let value = match number {
        Number::Int(it) => it.as_i64().map(|it| if is_negative { -it } else { it }).map(Value::from),
        Number::Float(it) => serde_json::Number::from_f64(if is_negative { -it } else { *it }).map(Value::from),
        Number::Complex { .. } => None,
    };
    value.ok_or_else(|| refused(expression, "a number that JSON does not have"))
}

fn at(expression: &Expr, kind: ExpressionKind) -> Expression {
    Expression { kind, offset: expression.start().to_usize() }
}

/// A type spelled in quotes stands where its quotes stand.
fn relocate(expression: &mut Expression, offset: usize) {
    expression.offset = offset;
    match &mut expression.kind {
        ExpressionKind::Generic(generic, arguments) => {
            generic.offset = offset;
            arguments.iter_mut().for_each(|it| relocate(it, offset));
        }
        ExpressionKind::Union(members) => members.iter_mut().for_each(|it| relocate(it, offset)),
        ExpressionKind::Name(_)
        | ExpressionKind::Constant(_)
        | ExpressionKind::Ellipsis
        | ExpressionKind::List(_)
        | ExpressionKind::Dict(_)
        | ExpressionKind::Call(_) => {}
    }
}

fn refused(place: &impl Ranged, what: &str) -> Refused {
    Refused { message: cannot(what), offset: place.start().to_usize() }
}

fn too_deep(expression: &Expr) -> Refused {
    refused(expression, &format!("nesting deeper than {DEPTH_MAX}"))
}

fn cannot(what: &str) -> String {
    format!("{what} cannot be translated")
}

fn statement_name(statement: &Stmt) -> &'static str {
    match statement {
        Stmt::FunctionDef(_) => "a function",
        Stmt::Assign(_) | Stmt::AnnAssign(_) | Stmt::AugAssign(_) | Stmt::TypeAlias(_) => "an assignment",
        Stmt::Expr(_) => "an expression",
        Stmt::If(_) | Stmt::For(_) | Stmt::While(_) | Stmt::Match(_) | Stmt::Try(_) | Stmt::With(_) => {
            "a statement with a block"
        }
        _ => "a statement",
    }
}

fn expression_name(expression: &Expr) -> &'static str {
    match expression {
        Expr::Call(_) => "a call",
        Expr::Lambda(_) => "a lambda",
        Expr::FString(_) | Expr::TString(_) => "a text with values in it",
        Expr::BytesLiteral(_) => "bytes",
        Expr::Set(_) => "a set",
        Expr::ListComp(_) | Expr::SetComp(_) | Expr::DictComp(_) | Expr::Generator(_) => "a comprehension",
        Expr::Subscript(_) => "a subscript",
        Expr::List(_) | Expr::Tuple(_) => "a list",
        Expr::NumberLiteral(_) | Expr::BooleanLiteral(_) => "a value",
        Expr::Starred(_) => "`*`",
        _ => "this expression",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::deep_stack;
    use crate::limits::CODE_BYTES_MAX;

    fn problem(source: &str) -> SyntaxProblem {
        deep_stack::run(|| read(source)).unwrap().unwrap_err()
    }

    #[test]
    fn declarations_are_read_as_data() {
        let source = "from typing import *\n\"\"\"Of people.\"\"\"\nclass A(BaseModel):\n    \"\"\"One.\"\"\"\n    \
                      x: 'List[A]' = Field([], max_length=-2)\n    ...\nA.model_rebuild()\n";
        let classes = deep_stack::run(|| read(source)).unwrap().unwrap();
        assert_eq!(classes.len(), 1);
        assert_eq!((classes[0].name.as_str(), classes[0].doc.as_deref()), ("A", Some("One.")));
        let member = &classes[0].members[0];
        let ExpressionKind::Generic(generic, arguments) = &member.annotation.as_ref().unwrap().kind else {
            panic!("{member:?}")
        };
        let quote_at = source.find("'List").unwrap();
        assert_eq!((&generic.kind, generic.offset), (&ExpressionKind::Name("List".into()), quote_at));
        assert_eq!((&arguments[0].kind, arguments[0].offset), (&ExpressionKind::Name("A".into()), quote_at));
        let ExpressionKind::Call(call) = &member.value.as_ref().unwrap().kind else { panic!("{member:?}") };
        assert_eq!(call.named[0].1.kind, ExpressionKind::Constant(Value::from(-2)));
    }

    #[test]
    fn what_is_no_declaration_is_named_with_its_place() {
        for (source, message, line, column) in [
            ("x = 1", "an assignment outside of a class cannot be translated", 1, 1),
            ("import os\nos.remove('a')", "an expression outside of a class cannot be translated", 2, 1),
            ("class A(B):\n  def f(self): pass", "the method `f` cannot be translated", 2, 7),
            ("class A(B):\n  class C: pass", "the class `C` within a class cannot be translated", 2, 9),
            ("@d\nclass A(B): pass", "the decorator of class `A` cannot be translated", 1, 1),
            ("class A[T](B): pass", "the type parameters of class `A` cannot be translated", 1, 8),
            ("class A(B, m=C): pass", "the keyword argument of class `A` cannot be translated", 1, 12),
            ("class A(B):\n  x: int = f(lambda: 1)", "a lambda cannot be translated", 2, 14),
            ("class A(B):\n  x: [int]", "a list as a type cannot be translated", 2, 6),
            ("class A(B):\n  x: int + str", "a calculation as a type cannot be translated", 2, 6),
            ("class A(B):\n  x: 'a b'", "the text in quotes, which spells no type, cannot be translated", 2, 6),
            ("class A(B):\n  x: int = 1j", "a number that JSON does not have cannot be translated", 2, 12),
            ("class A(B):\n  x: int = f(**y)", "`**` in a call cannot be translated", 2, 16),
        ] {
            let found = problem(source);
            assert_eq!((found.message.as_str(), found.line, found.column), (message, line, column), "{source}");
        }
    }

    #[test]
    fn long_chains_and_deep_nesting_are_problems_and_no_overflow() {
        let in_class = |body: &str| format!("class A(B):\n  x: {body}");
        let long = |link: &str| link.repeat((CODE_BYTES_MAX - 100) / link.len());
        for body in [
            format!("int{}", long("+1")),
            format!("a{}[", long(".b")),
            long("List["),
            format!("int = {}", long("[")),
            format!("{}int{}", "List[".repeat(100), "]".repeat(100)),
            format!("int = {}{}", "[".repeat(100), "]".repeat(100)),
            format!("int = f{}", long("()")),
            format!("a{}", long("[0]")),
        ] {
            assert!(deep_stack::run(|| read(&in_class(&body))).unwrap().is_err(), "{}", &body[..20]);
        }
        let wide = in_class(&format!("int{}", long("|int")));
        assert!(deep_stack::run(|| read(&wide)).unwrap().is_ok());
    }
}
