//! `[retention]` of `dipeo.toml`: how long executions are kept.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use crate::error::Error;

/// How long executions are kept unless `retention.executions_days` says otherwise, in days (platform.md 16.2).
const EXECUTIONS_DAYS: u32 = 90;
/// So many of each diagram stay however old they are (`retention.keep_per_diagram`; platform.md 16.2).
const KEEP_PER_DIAGRAM: u64 = 20;
/// The statuses that rules may be given for: executions end with these.
const STATUSES: [&str; 3] = ["completed", "failed", "aborted"];

/// How long executions are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionSettings {
    /// Absent: none is too old.
    pub executions_days: Option<u32>,
    /// Absent: any number may stay.
    pub max_executions: Option<u64>,
    pub keep_per_diagram: u64,
    /// Rules of single statuses besides, by the word of the status.
    pub by_status: BTreeMap<String, StatusRetention>,
}

/// How long executions of one status are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusRetention {
    pub days: Option<u32>,
    /// At most so many, the newest.
    pub keep: Option<u64>,
}

impl Default for RetentionSettings {
    fn default() -> Self {
        Self {
            executions_days: Some(EXECUTIONS_DAYS),
            max_executions: None,
            keep_per_diagram: KEEP_PER_DIAGRAM,
            by_status: BTreeMap::new(),
        }
    }
}

/// In one line, as the log has it.
impl fmt::Display for RetentionSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.executions_days.map_or("off".to_owned(), |it| it.to_string());
        write!(f, "executions_days = {days}, keep_per_diagram = {}", self.keep_per_diagram)?;
        if let Some(max) = self.max_executions {
            write!(f, ", max_executions = {max}")?;
        }
        for word in self.by_status.keys() {
            write!(f, ", status.{word}")?;
        }
        Ok(())
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RetentionTable {
    executions_days: Option<NumberOrOff>,
    max_executions: Option<NumberOrOff>,
    keep_per_diagram: Option<u64>,
    #[serde(default)]
    status: BTreeMap<String, StatusTable>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusTable {
    days: Option<u32>,
    keep: Option<u64>,
}

/// A number from 1 on, or `"off"`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "toml::Value")]
struct NumberOrOff(Option<u32>);

impl TryFrom<toml::Value> for NumberOrOff {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        match &value {
            toml::Value::String(word) if word == "off" => Ok(Self(None)),
            // Nought would delete everything that has ended.
            toml::Value::Integer(n) if *n >= 1 => {
                u32::try_from(*n).map(|it| Self(Some(it))).map_err(|_| format!("`{n}` is too large"))
            }
            other => {
                let shown = match other {
                    toml::Value::String(word) => format!("\"{word}\""),
                    toml::Value::Integer(n) => n.to_string(),
                    other => other.type_str().to_owned(),
                };
                Err(format!("`{shown}` is neither a number from 1 on nor \"off\""))
            }
        }
    }
}

impl RetentionTable {
    /// Checks the words and fills in what is not said.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` for a status that executions do not end with.
    pub fn settings(self) -> Result<RetentionSettings, Error> {
        if let Some(word) = self.status.keys().find(|it| !STATUSES.contains(&it.as_str())) {
            return Err(Error::invalid("INVALID_INPUT", format!("`retention.status.{word}` names no status"))
                .hint("executions end as completed, failed or aborted"));
        }
        let default = RetentionSettings::default();
        let by_status = self.status.into_iter();
        Ok(RetentionSettings {
            executions_days: self.executions_days.map_or(default.executions_days, |it| it.0),
            max_executions: self.max_executions.and_then(|it| it.0).map(u64::from),
            keep_per_diagram: self.keep_per_diagram.unwrap_or(default.keep_per_diagram),
            by_status: by_status.map(|(word, it)| (word, StatusRetention { days: it.days, keep: it.keep })).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        let table: RetentionTable = toml::from_str(text).map_err(|e| e.message().to_owned())?;
        table.settings().map(|it| it.to_string()).map_err(|e| e.message().to_owned())
    }

    #[test]
    fn what_is_not_said_is_ninety_days_and_twenty_of_each_diagram() {
        for (text, want) in [
            ("", "executions_days = 90, keep_per_diagram = 20"),
            ("executions_days = \"off\"", "executions_days = off, keep_per_diagram = 20"),
            ("executions_days = 7\nkeep_per_diagram = 0", "executions_days = 7, keep_per_diagram = 0"),
            ("max_executions = 1000", "executions_days = 90, keep_per_diagram = 20, max_executions = 1000"),
            ("max_executions = \"off\"", "executions_days = 90, keep_per_diagram = 20"),
            ("status.failed = {days = 7, keep = 100}", "executions_days = 90, keep_per_diagram = 20, status.failed"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (text, part) in [
            ("executions_days = 0", "`0` is neither"),
            ("executions_days = -1", "`-1` is neither"),
            ("executions_days = \"never\"", "\"never\""),
            ("executions_days = 9999999999", "too large"),
            ("max_executions = 1.5", "`float` is neither"),
            ("days = 1", "unknown field `days`"),
            ("status.running = {days = 1}", "`retention.status.running` names no status"),
            ("status.failed = {day = 1}", "unknown field `day`"),
        ] {
            let message = read(text).expect_err(text);
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
