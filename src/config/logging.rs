//! Settings of the log: variables alone, since it begins before anything else is read.

use std::path::{Path, PathBuf};

use tracing::level_filters::LevelFilter;

use super::Environment;
use crate::error::Error;
use crate::nearest::nearest;

/// The words for levels, the least talkative first (surface.md 3.3).
const LEVELS: [(&str, LevelFilter); 5] = [
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// What is logged, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    pub level: LevelFilter,
    pub format: LogFormat,
    pub folder: PathBuf,
    /// Whether somebody asked for this folder: then it is made.
    pub is_folder_named: bool,
}

impl LogSettings {
    pub(super) fn load(env: &Environment, workspace: &Path) -> Result<Self, Error> {
        let named = env.get("DIPEO_LOGS_DIR");
        const LEVEL: [&str; 2] = ["DIPEO_LOG_LEVEL", "LOG_LEVEL"];
        Ok(Self {
            level: match env.one_of(&LEVEL)? {
                Some(text) => level(env.name_of(&LEVEL), text)?,
                None => LevelFilter::INFO,
            },
            format: match env.get("LOG_FORMAT") {
                None => LogFormat::Text,
                Some(text) => format(text)?,
            },
            folder: named.map_or_else(|| workspace.join(".dipeo/logs"), |it| workspace.join(it)),
            is_folder_named: named.is_some(),
        })
    }

    /// The word of the level.
    pub fn level_name(&self) -> &'static str {
        LEVELS.iter().find(|it| it.1 == self.level).map_or("off", |it| it.0)
    }

    /// The word of the format.
    pub fn format_name(&self) -> &'static str {
        match self.format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
    }
}

fn level(name: &str, text: &str) -> Result<LevelFilter, Error> {
    let folded = text.trim().to_ascii_lowercase();
    // Word used by others.
    let folded = if folded == "warning" { "warn" } else { folded.as_str() };
    LEVELS.iter().find(|it| it.0 == folded).map(|it| it.1).ok_or_else(|| {
        let names = LEVELS.map(|it| it.0);
        let near = nearest(folded, names).map_or_else(String::new, |it| format!("; did you mean `{it}`?"));
        Error::invalid("INVALID_INPUT", format!("`{name}` is `{text}`, which is no level{near}"))
            .hint(format!("write one of {}", names.join(", ")))
    })
}

fn format(text: &str) -> Result<LogFormat, Error> {
    match text.trim().to_ascii_lowercase().as_str() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(Error::invalid("INVALID_INPUT", format!("`LOG_FORMAT` is `{text}`")).hint("write text or json")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(pairs: &[(&str, &str)]) -> Result<LogSettings, Error> {
        LogSettings::load(&Environment::of(pairs), Path::new("/work"))
    }

    #[test]
    fn the_variables_decide() {
        let plain = load(&[]).expect("defaults");
        let expected = LogSettings {
            level: LevelFilter::INFO,
            format: LogFormat::Text,
            folder: "/work/.dipeo/logs".into(),
            is_folder_named: false,
        };
        assert_eq!(plain, expected);
        let set = [("LOG_LEVEL", "Warning"), ("LOG_FORMAT", "JSON"), ("DIPEO_LOGS_DIR", "/var/log/dipeo")];
        let set = load(&set).expect("valid");
        assert_eq!((set.level_name(), set.format_name(), set.is_folder_named), ("warn", "json", true));
        assert_eq!(set.folder, Path::new("/var/log/dipeo"));
    }

    #[test]
    fn what_is_no_level_or_format_is_refused() {
        for (name, value, part) in [
            ("DIPEO_LOG_LEVEL", "inof", "did you mean `info`?"),
            ("LOG_LEVEL", "loud", "`loud`"),
            ("LOG_FORMAT", "xml", "`xml`"),
        ] {
            let error = load(&[(name, value)]).expect_err(value);
            assert!(error.message().contains(part) && error.hint_text().is_some(), "{error}");
        }
        assert!(load(&[("DIPEO_LOG_LEVEL", "info"), ("LOG_LEVEL", "debug")]).is_err());
    }
}
