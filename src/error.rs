//! The one error type that crosses module borders. It must not know any adapter: adapters read
//! [`Error::kind`] and translate it, never the message.

use std::fmt;

use serde_json::{Map, Value};

use crate::secret::Scrubber;

/// Who has to act on an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The caller sent something wrong; the same request fails again.
    Invalid,
    /// What was named does not exist, or the caller may not see it.
    NotFound,
    /// The request is fine but clashes with the present state.
    Conflict,
    /// Policy or missing rights; the hint names the setting.
    Refused,
    /// A limit of size, rate or number was reached.
    Limit,
    /// Something outside this process failed: model, network, disk.
    External,
    /// A bug in this program.
    Internal,
}

impl ErrorKind {
    const ALL: [Self; 7] =
        [Self::Invalid, Self::NotFound, Self::Conflict, Self::Refused, Self::Limit, Self::External, Self::Internal];

    /// The word between two programs of ours.
    pub fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::Limit => "limit",
            Self::External => "external",
            Self::Internal => "internal",
        }
    }

    /// Reads what [`ErrorKind::name`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == text)
    }

    /// Returns the exit code of the command line (table in the module `cli`'s documentation).
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Invalid | Self::Refused => 2,
            Self::NotFound => 3,
            Self::Conflict => 4,
            Self::Limit => 5,
            Self::External => 6,
            Self::Internal => 70,
        }
    }

    /// Returns the HTTP status that REST and the plain routes answer with.
    pub fn http_status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Refused => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::Limit => 429,
            Self::External => 502,
            Self::Internal => 500,
        }
    }
}

/// A failure with a stable code, one line that says what failed and one that says what to do.
///
/// `Display` prints the message alone; [`Error::chain`] joins the sources for the log.
pub struct Error(Box<Parts>);

#[derive(Debug)]
struct Parts {
    kind: ErrorKind,
    code: &'static str,
    message: String,
    hint: Option<String>,
    details: Option<Value>,
    retryable: bool,
    exception: Option<String>,
    cause: Option<Value>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Makes an error of `kind`. `code` is stable and upper case; `message` is lower case without a
    /// full stop, with the offending value in backticks.
    pub fn new(kind: ErrorKind, code: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            kind,
            code,
            message: message.into(),
            hint: None,
            details: None,
            retryable: false,
            exception: None,
            cause: None,
            source: None,
        }))
    }

    /// The caller sent something wrong.
    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, code, message)
    }

    /// Something named does not exist.
    pub fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, code, message)
    }

    /// The request clashes with the present state.
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, code, message)
    }

    /// Policy forbids it; give a hint that names the setting.
    pub fn refused(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, code, message)
    }

    /// A limit was reached.
    pub fn limit(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Limit, code, message)
    }

    /// Something outside failed.
    pub fn external(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::External, code, message)
    }

    /// A bug of ours, code `INTERNAL`.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, "INTERNAL", message)
            .hint("this is a bug of dipeo: please report it with the line from the log")
    }

    /// Adds the line that says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds machine-readable particulars; third-party text belongs here and nowhere else.
    #[must_use]
    pub fn details(mut self, details: Value) -> Self {
        self.0.details = Some(details);
        self
    }

    /// Marks a failure that a node's `retry` may try again (diagrams.md 3.8).
    #[must_use]
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.0.retryable = retryable;
        self
    }

    /// Names the exception type of user code (`type` in the error object).
    #[must_use]
    pub fn exception(mut self, exception: impl Into<String>) -> Self {
        self.0.exception = Some(exception.into());
        self
    }

    /// Adds the error object of what was called and failed.
    #[must_use]
    pub fn cause(mut self, cause: Value) -> Self {
        self.0.cause = Some(cause);
        self
    }

    /// Adds the library error behind this one; it only reaches the log.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Blots the secrets that `scrubber` knows out of everything that is shown of this error. Its source only
    /// reaches the log, which is scrubbed as a text.
    #[must_use]
    pub fn scrubbed(mut self, scrubber: &Scrubber) -> Self {
        if scrubber.is_idle() {
            return self;
        }
        scrubber.scrub(&mut self.0.message);
        [&mut self.0.hint, &mut self.0.exception].into_iter().flatten().for_each(|it| scrubber.scrub(it));
        [&mut self.0.details, &mut self.0.cause].into_iter().flatten().for_each(|it| scrubber.scrub_value(it));
        self
    }

    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// The line that says what failed.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The line that says what to do.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Machine-readable particulars.
    pub fn details_value(&self) -> Option<&Value> {
        self.0.details.as_ref()
    }

    /// Whether a node's `retry` may try again.
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// Returns the error object of surface.md 1.3 without its envelope:
    /// `{code, message, hint?, type?, details?, cause?}`.
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("code".into(), self.0.code.into());
        object.insert("message".into(), self.0.message.clone().into());
        if let Some(hint) = &self.0.hint {
            object.insert("hint".into(), hint.clone().into());
        }
        if let Some(exception) = &self.0.exception {
            object.insert("type".into(), exception.clone().into());
        }
        if let Some(details) = &self.0.details {
            object.insert("details".into(), details.clone());
        }
        if let Some(cause) = &self.0.cause {
            object.insert("cause".into(), cause.clone());
        }
        Value::Object(object)
    }

    /// Returns the message and every source below it in one line, for the log.
    pub fn chain(&self) -> String {
        let mut text = format!("{}: {}", self.0.code, self.0.message);
        let mut next = std::error::Error::source(self);
        while let Some(source) = next {
            text.push_str(": ");
            text.push_str(&source.to_string());
            next = source.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|it| it as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_json_form_leaves_out_what_is_absent() {
        let bare = Error::invalid("INVALID_INPUT", "`x` is no number");
        assert_eq!(bare.to_json(), json!({"code": "INVALID_INPUT", "message": "`x` is no number"}));
    }

    #[test]
    fn the_chain_names_every_source_once() {
        let io = std::io::Error::other("disk gone");
        let error = Error::external("FILE_FAILED", "cannot write `a.txt`").source(io);
        assert_eq!(error.chain(), "FILE_FAILED: cannot write `a.txt`: disk gone");
        assert_eq!(error.to_string(), "cannot write `a.txt`");
    }
}
