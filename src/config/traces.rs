//! Whether traces are sent: the variables that every program with OpenTelemetry has. Only whether they are set is read
//! here; the libraries read what they say.

use super::Environment;

/// Whether traces are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceSettings {
    /// A collector is named, and nothing turns traces off.
    pub is_wanted: bool,
    /// The service has a name of its own.
    pub is_named: bool,
}

impl TraceSettings {
    pub(super) fn load(env: &Environment) -> Self {
        let is = |name: &str, word: &str| env.get(name).is_some_and(|it| it.trim().eq_ignore_ascii_case(word));
        let collectors = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
        let is_off = is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none");
        let names_service = |text: &str| text.split(',').any(|it| it.trim().starts_with("service.name="));
        Self {
            is_wanted: !is_off && collectors.iter().any(|it| env.get(it).is_some()),
            is_named: env.get("OTEL_SERVICE_NAME").is_some()
                || env.get("OTEL_RESOURCE_ATTRIBUTES").is_some_and(names_service),
        }
    }

    /// In a word, for those who look for the setting.
    pub fn describe(self) -> &'static str {
        match (self.is_wanted, cfg!(feature = "otel")) {
            (true, true) => "sent",
            (true, false) => "wanted, but this build has no `otel` feature",
            (false, _) => "off",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_wanted_when_a_collector_is_named() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
        let of = |pairs: &[(&str, &str)]| {
            let settings = TraceSettings::load(&Environment::of(pairs));
            (settings.is_wanted, settings.is_named)
        };
        for (pairs, expected) in [
            (&[][..], (false, false)),
            (&[endpoint], (true, false)),
            (&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://a"), ("OTEL_SERVICE_NAME", "x")], (true, true)),
            (&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")], (false, false)),
            (&[endpoint, ("OTEL_TRACES_EXPORTER", "none")], (false, false)),
            (&[endpoint, ("OTEL_RESOURCE_ATTRIBUTES", "a=b, service.name=x")], (true, true)),
            (&[endpoint, ("OTEL_RESOURCE_ATTRIBUTES", "a=b")], (true, false)),
        ] {
            assert_eq!(of(pairs), expected, "{pairs:?}");
        }
    }
}
