//! Values of constants: what is written as literals becomes JSON, everything else stays its text.

use oxc::ast::ast::{
    ArrayExpressionElement, Expression, ObjectExpression, ObjectPropertyKind, PropertyKind, UnaryOperator,
};
use oxc::span::GetSpan;
use serde_json::{Map, Value};

/// Deepest nesting of a value; deeper ones stay text, so that every reader of the JSON can take it.
const DEPTH_MAX: usize = 16;

/// Returns the value of `expression`.
pub(super) fn value(source: &str, expression: &Expression<'_>) -> Value {
    read(source, expression, DEPTH_MAX)
}

fn read(source: &str, expression: &Expression<'_>, depth_left: usize) -> Value {
    let text = || Value::from(expression.span().source_text(source));
    let Some(deeper) = depth_left.checked_sub(1) else { return text() };
    match expression.get_inner_expression() {
        Expression::StringLiteral(it) => it.value.as_str().into(),
        Expression::NumericLiteral(it) => number(it.value),
        Expression::BooleanLiteral(it) => it.value.into(),
        Expression::NullLiteral(_) => Value::Null,
        Expression::TemplateLiteral(it) => match it.single_quasi() {
            Some(plain) => plain.as_str().into(),
            None => text(),
        },
        Expression::UnaryExpression(it) if it.operator == UnaryOperator::UnaryNegation => match &it.argument {
            Expression::NumericLiteral(it) => number(-it.value),
            _ => text(),
        },
        Expression::ArrayExpression(it) => {
            let items = it.elements.iter().map(|element| match element {
                ArrayExpressionElement::Elision(_) => Value::Null,
                ArrayExpressionElement::SpreadElement(it) => it.span.source_text(source).into(),
                other => other.as_expression().map_or(Value::Null, |it| read(source, it, deeper)),
            });
            items.collect()
        }
        Expression::ObjectExpression(it) => object(source, it, deeper).map_or_else(text, Value::Object),
        _ => text(),
    }
}

/// A map, unless something in it only shows when the code runs.
fn object(source: &str, object: &ObjectExpression<'_>, depth_left: usize) -> Option<Map<String, Value>> {
    let mut map = Map::new();
    for property in &object.properties {
        let ObjectPropertyKind::ObjectProperty(it) = property else { return None };
        if it.kind != PropertyKind::Init || (it.computed && it.key.static_name().is_none()) {
            return None;
        }
        let value = if it.method { it.span.source_text(source).into() } else { read(source, &it.value, depth_left) };
        map.insert(it.key.static_name()?.into_owned(), value);
    }
    Some(map)
}

/// Returns the type that a constant without annotation shows: that of `as` and `satisfies`, or of a plain literal.
pub(super) fn type_of(source: &str, expression: &Expression<'_>) -> Option<String> {
    match expression {
        Expression::TSAsExpression(it) => match it.type_annotation.span().source_text(source) {
            // The narrowest type of the value, which has no name.
            "const" => type_of(source, &it.expression),
            written => Some(written.to_owned()),
        },
        Expression::TSSatisfiesExpression(it) => Some(it.type_annotation.span().source_text(source).to_owned()),
        Expression::StringLiteral(_) | Expression::TemplateLiteral(_) => Some("string".to_owned()),
        Expression::NumericLiteral(_) => Some("number".to_owned()),
        Expression::BooleanLiteral(_) => Some("boolean".to_owned()),
        _ => None,
    }
}

/// A number as JSON: whole ones without a fraction; what JSON has no number for is null.
pub(super) fn number(value: f64) -> Value {
    /// Largest whole number that a float holds exactly.
    const EXACT_MAX: f64 = 9_007_199_254_740_991.0;
    if value.fract() == 0.0 && value.abs() <= EXACT_MAX { Value::from(value as i64) } else { Value::from(value) }
}
