//! How long executions may run when whoever starts them does not say: variables (surface.md 3.3).

use super::Environment;
use crate::error::Error;
use crate::limits::RUN_TIMEOUT_S;

/// Running time of an execution that REST, GraphQL or a trigger starts, in seconds.
const EXECUTION_S: f64 = 3_600.0;
/// Longest limit that may be set, in seconds: a year.
const LONGEST_S: f64 = 31_536_000.0;

/// Limits of running time, in seconds, by the way an execution is started.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeoutSettings {
    /// Over plain HTTP.
    pub execution_s: f64,
    /// Over MCP.
    pub mcp_s: f64,
}

impl Default for TimeoutSettings {
    fn default() -> Self {
        Self { execution_s: EXECUTION_S, mcp_s: RUN_TIMEOUT_S }
    }
}

impl TimeoutSettings {
    pub(super) fn load(env: &Environment) -> Result<Self, Error> {
        let default = Self::default();
        Ok(Self {
            execution_s: seconds(env, "EXECUTION_TIMEOUT")?.unwrap_or(default.execution_s),
            mcp_s: seconds(env, "MCP_DEFAULT_TIMEOUT")?.unwrap_or(default.mcp_s),
        })
    }
}

fn seconds(env: &Environment, name: &str) -> Result<Option<f64>, Error> {
    let Some(text) = env.get(name) else { return Ok(None) };
    let seconds = text.trim().parse::<f64>().ok().filter(|it| *it > 0.0 && *it <= LONGEST_S);
    seconds.map(Some).ok_or_else(|| {
        Error::invalid("INVALID_INPUT", format!("`{name}` is `{text}`")).hint("write a number of seconds above 0")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_of_seconds_above_nothing() {
        let load = |pairs: &[(&str, &str)]| TimeoutSettings::load(&Environment::of(pairs));
        assert_eq!(load(&[]).expect("defaults"), TimeoutSettings { execution_s: 3_600.0, mcp_s: 300.0 });
        let set = load(&[("EXECUTION_TIMEOUT", "60"), ("MCP_DEFAULT_TIMEOUT", "0.5")]).expect("valid");
        assert_eq!(set, TimeoutSettings { execution_s: 60.0, mcp_s: 0.5 });
        for text in ["0", "-1", "NaN", "inf", "ten", "99999999999"] {
            let error = load(&[("EXECUTION_TIMEOUT", text)]).expect_err(text);
            assert!(error.message().contains("`EXECUTION_TIMEOUT`"), "{error}");
        }
    }
}
