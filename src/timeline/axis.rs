//! Durations as people read them, and a time axis with round steps.

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Steps between marks of an axis, in milliseconds; above the last one it doubles.
const STEPS: &[i64] = &[
    1,
    2,
    5,
    10,
    20,
    50,
    100,
    200,
    500,
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    5 * DAY,
    10 * DAY,
];

/// Marks of an axis at most, without the one at its beginning.
const MARKS_MAX: i64 = 7;

/// Returns the marks of an axis of `span_ms`, in milliseconds from its beginning, the first at 0.
pub fn marks(span_ms: i64) -> Vec<i64> {
    let span_ms = span_ms.max(1);
    let fits = |step: i64| span_ms / step <= MARKS_MAX;
    let mut step = STEPS.iter().copied().find(|it| fits(*it)).unwrap_or(20 * DAY);
    while !fits(step) {
        step = step.saturating_mul(2);
    }
    (0..=span_ms / step).map(|it| it * step).collect()
}

/// Returns a duration in its two largest units: `850 ms`, `1.2 s`, `2 min 5 s`, `3 d 4 h`.
pub fn duration(ms: i64) -> String {
    let ms = ms.max(0);
    match ms {
        0..SECOND => format!("{ms} ms"),
        // Rounded to tenths; 59.95 s and more would read as 60.
        SECOND..MINUTE => {
            let tenths = (ms / 100).min(599);
            if tenths % 10 == 0 { format!("{} s", tenths / 10) } else { format!("{}.{} s", tenths / 10, tenths % 10) }
        }
        MINUTE..HOUR => two_units(ms, (MINUTE, "min"), (SECOND, "s")),
        HOUR..DAY => two_units(ms, (HOUR, "h"), (MINUTE, "min")),
        _ => two_units(ms, (DAY, "d"), (HOUR, "h")),
    }
}

fn two_units(ms: i64, (large, large_name): (i64, &str), (small, small_name): (i64, &str)) -> String {
    match ms % large / small {
        0 => format!("{} {large_name}", ms / large),
        rest => format!("{} {large_name} {rest} {small_name}", ms / large),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_reads_in_its_two_largest_units() {
        for (ms, expected) in [
            (-5, "0 ms"),
            (0, "0 ms"),
            (999, "999 ms"),
            (1_000, "1 s"),
            (1_250, "1.2 s"),
            (59_999, "59.9 s"),
            (60_000, "1 min"),
            (125_000, "2 min 5 s"),
            (3 * HOUR + 4 * MINUTE + 5_000, "3 h 4 min"),
            (3 * DAY + 59 * MINUTE, "3 d"),
            (i64::MAX, "106751991167 d 7 h"),
        ] {
            assert_eq!(duration(ms), expected, "{ms}");
        }
    }

    #[test]
    fn an_axis_has_few_marks_at_round_steps_whatever_its_length() {
        for (span_ms, expected) in [
            (0, "0 ms, 1 ms"),
            (7, "0 ms, 1 ms, 2 ms, 3 ms, 4 ms, 5 ms, 6 ms, 7 ms"),
            (1_234, "0 ms, 200 ms, 400 ms, 600 ms, 800 ms, 1 s, 1.2 s"),
            (90_000, "0 ms, 15 s, 30 s, 45 s, 1 min, 1 min 15 s, 1 min 30 s"),
            (30 * DAY, "0 ms, 5 d, 10 d, 15 d, 20 d, 25 d, 30 d"),
        ] {
            let marks: Vec<String> = marks(span_ms).into_iter().map(duration).collect();
            assert_eq!(marks.join(", "), expected, "{span_ms}");
        }
        for span_ms in [1, 8, 9_999, 1_000 * DAY, i64::MAX] {
            assert!(marks(span_ms).len() <= 8, "{span_ms}");
        }
    }
}
