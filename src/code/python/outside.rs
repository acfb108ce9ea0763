//! What sandboxed Python asks the outside for. It is told the time; everything else is refused.

use monty_types::{
    ExcType, ExtFunctionResult, MontyDate, MontyDateTime, MontyException, MontyObject, MontyTimeZone, OsFunctionCall,
};

/// How the message of a refusal begins; the rest says what was refused.
pub(in crate::code) const REFUSAL: &str = "the sandbox refuses ";

/// Answers one request of a program. `now_ms` is the time at the start of its job; without a time
/// zone it is told UTC.
pub(in crate::code) fn answer(request: &OsFunctionCall, now_ms: i64) -> ExtFunctionResult {
    match request {
        OsFunctionCall::DateToday => ExtFunctionResult::Return(today(now_ms)),
        OsFunctionCall::DateTimeNow(zone) => ExtFunctionResult::Return(now(now_ms, zone.as_ref())),
        other => {
            let message = format!("{REFUSAL}`{}`", other.name());
            ExtFunctionResult::Error(MontyException::new(ExcType::PermissionError, Some(message)))
        }
    }
}

fn today(now_ms: i64) -> MontyObject {
    let date = at(now_ms, 0);
    MontyObject::Date(MontyDate { year: date.year, month: date.month, day: date.day })
}

fn now(now_ms: i64, zone: Option<&MontyTimeZone>) -> MontyObject {
    let mut moment = at(now_ms, zone.map_or(0, |it| it.offset_seconds));
    moment.offset_seconds = zone.map(|it| it.offset_seconds);
    moment.timezone_name = zone.and_then(|it| it.name.clone());
    MontyObject::DateTime(moment)
}

fn at(now_ms: i64, offset_s: i32) -> MontyDateTime {
    use chrono::{Datelike, Timelike};
    let shifted = chrono::DateTime::from_timestamp_millis(now_ms.saturating_add(i64::from(offset_s) * 1_000));
    let moment = shifted.unwrap_or_default().naive_utc();
    let small = |n: u32| u8::try_from(n).unwrap_or_default();
    MontyDateTime {
        year: moment.year(),
        month: small(moment.month()),
        day: small(moment.day()),
        hour: small(moment.hour()),
        minute: small(moment.minute()),
        second: small(moment.second()),
        microsecond: moment.nanosecond() / 1_000 % 1_000_000,
        offset_seconds: None,
        timezone_name: None,
    }
}
