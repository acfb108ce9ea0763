//! The scalars besides the usual ones.

use async_graphql::{Context, InputValueError, InputValueResult, Scalar, ScalarType, Value};

use crate::error::Error;
use crate::http::graphql::uploads::{Files, Incoming};

/// Any JSON value.
pub type Json = async_graphql::Json<serde_json::Value>;

/// A time of day and date by RFC 3339, such as `2026-01-31T12:00:00Z`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DateTime(pub String);

#[Scalar(name = "DateTime")]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => Ok(Self(text)),
            other => Err(InputValueError::expected_type(other)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

/// A file of a multipart request (the GraphQL multipart request convention).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upload(usize);

/// What stands in a variable instead of its file.
pub const PLACE: &str = "#__graphql_file__:";

#[Scalar(name = "Upload")]
impl ScalarType for Upload {
    fn parse(value: Value) -> InputValueResult<Self> {
        let number = match &value {
            Value::String(text) => text.strip_prefix(PLACE).and_then(|it| it.parse().ok()),
            _ => None,
        };
        number.map(Self).ok_or_else(|| InputValueError::custom("send the file in a multipart request"))
    }

    fn to_value(&self) -> Value {
        Value::Null
    }
}

impl Upload {
    /// Takes the file.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` when the request has none of that number, or another field took it.
    pub fn take(self, context: &Context<'_>) -> Result<Incoming, Error> {
        context.data_unchecked::<Files>().take(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_that_the_request_gave_stands_for_a_file() {
        assert_eq!(Upload::parse(Value::from("#__graphql_file__:0")).expect("a number"), Upload(0));
        for text in ["#__graphql_file__:x", "#__graphql_file__:-1", "#__graphql_file__:99999999999999999999", "0", ""] {
            assert!(Upload::parse(Value::from(text)).is_err(), "{text}");
        }
        assert!(Upload::parse(Value::Null).is_err());
    }
}
