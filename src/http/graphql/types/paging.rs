//! `limit` and `offset`, which the original declares as floating point numbers.

use crate::error::Error;

/// Entries of a list unless the client says how many.
const LIMIT_DEFAULT: usize = 100;

/// How many entries are wanted; the handler knows how many may be.
///
/// # Errors
///
/// `INVALID_INPUT` for what is no whole number from 0 on.
pub fn limit(limit: Option<f64>) -> Result<usize, Error> {
    limit.map_or(Ok(LIMIT_DEFAULT), |it| whole("limit", it))
}

/// How many of the first entries are left out.
///
/// # Errors
///
/// As [`limit`].
pub fn offset(offset: Option<f64>) -> Result<Option<usize>, Error> {
    offset.map(|it| whole("offset", it)).transpose()
}

fn whole(name: &str, number: f64) -> Result<usize, Error> {
    if number.fract() == 0.0 && (0.0..=1e9).contains(&number) {
        return Ok(number as usize);
    }
    Err(Error::invalid("INVALID_INPUT", format!("`{name}` is {number}")).hint("write a whole number from 0 on"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_numbers_from_zero_on_are_taken() {
        for (given, expected) in
            [(0.0, Some(0)), (20.0, Some(20)), (1.5, None), (-1.0, None), (f64::NAN, None), (1e300, None)]
        {
            assert_eq!(limit(Some(given)).ok(), expected, "{given}");
            assert_eq!(offset(Some(given)).ok(), expected.map(Some), "{given}");
        }
        assert_eq!((limit(None).ok(), offset(None).ok()), (Some(100), Some(None)));
    }
}
