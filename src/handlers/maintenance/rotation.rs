//! Which of several backups stay: the newest of each of the last days, weeks, months. Pure.

use std::collections::BTreeSet;

use crate::clock::Timestamp;
use crate::error::Error;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// 1970-01-01 was a Thursday; weeks begin on Monday.
const DAYS_BEFORE_1970: i64 = 3;

/// How many backups stay of each kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rotation(Vec<(usize, Unit)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Day,
    Week,
    Month,
}

impl Rotation {
    /// Reads `7d,4w,12m`.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let part = |part: &str| {
            let unit = match part.chars().last()? {
                'd' => Unit::Day,
                'w' => Unit::Week,
                'm' => Unit::Month,
                _ => return None,
            };
            let count: usize = part[..part.len() - 1].parse().ok()?;
            (count > 0).then_some((count, unit))
        };
        let parts = text.split(',').map(|it| part(it.trim())).collect::<Option<Vec<_>>>();
        parts.map(Self).ok_or_else(|| {
            Error::invalid("INVALID_INPUT", format!("`{text}` does not say which backups to keep"))
                .hint("write days, weeks and months like 7d,4w,12m")
        })
    }

    /// Returns those of `made` that stay; the newest always does.
    pub fn keeps(&self, made: &[Timestamp]) -> BTreeSet<Timestamp> {
        let mut newest_first = made.to_vec();
        newest_first.sort_by(|a, b| b.cmp(a));
        let mut kept: BTreeSet<Timestamp> = newest_first.first().copied().into_iter().collect();
        for (count, unit) in &self.0 {
            let mut periods = BTreeSet::new();
            for at in &newest_first {
                let is_first_of_its_period = periods.insert(period(*at, *unit));
                if periods.len() > *count {
                    break;
                }
                if is_first_of_its_period {
                    kept.insert(*at);
                }
            }
        }
        kept
    }
}

/// Names the day, week or month of a moment, in UTC.
fn period(at: Timestamp, unit: Unit) -> String {
    let days = at.0.div_euclid(DAY_MS);
    match unit {
        Unit::Day => days.to_string(),
        Unit::Week => (days + DAYS_BEFORE_1970).div_euclid(7).to_string(),
        Unit::Month => at.to_rfc3339().chars().take("2026-01".len()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: &str) -> Timestamp {
        Timestamp::parse(&format!("{day}:00:00Z")).expect("a time")
    }

    #[test]
    fn the_newest_of_each_period_stays() {
        // 2026-01-05 is a Monday.
        let made = [
            "2026-01-06T18",
            "2026-01-06T06",
            "2026-01-05T06",
            "2026-01-04T06",
            "2026-01-02T06",
            "2025-12-30T06",
            "2025-12-20T06",
            "2025-11-10T06",
        ];
        for (rotation, want) in [
            ("1d", vec!["2026-01-06T18"]),
            ("3d", vec!["2026-01-06T18", "2026-01-05T06", "2026-01-04T06"]),
            ("2w", vec!["2026-01-06T18", "2026-01-04T06"]),
            ("2m", vec!["2026-01-06T18", "2025-12-30T06"]),
            ("2d, 2w ,9m", vec!["2026-01-06T18", "2026-01-05T06", "2026-01-04T06", "2025-12-30T06", "2025-11-10T06"]),
        ] {
            let kept = Rotation::parse(rotation).expect(rotation).keeps(&made.map(at));
            assert_eq!(kept, want.into_iter().map(at).collect(), "{rotation}");
        }
        assert_eq!(Rotation::parse("7d").expect("reads").keeps(&[]), BTreeSet::new());
    }

    #[test]
    fn what_is_no_rotation_is_refused() {
        for text in ["", "7", "d", "0d", "7x", "7d;4w", "-1d", "7d,", "7é"] {
            assert_eq!(Rotation::parse(text).expect_err(text).code(), "INVALID_INPUT");
        }
    }
}
