//! Names of servers and origins of pages, read from headers and settings. Pure.

use axum::http::Uri;
use axum::http::uri::Authority;

/// A server's name, lower case, with the port when one was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    pub name: String,
    pub port: Option<u16>,
}

impl Host {
    /// Reads `name`, `name:port` or `[address]:port`.
    pub fn parse(text: &str) -> Option<Self> {
        if text.contains(['@', '/', ' ']) {
            return None;
        }
        let authority: Authority = text.parse().ok()?;
        // The port of an authority is absent as well when it is out of range.
        let after_name = &authority.as_str()[authority.host().len()..];
        let port = match after_name.strip_prefix(':') {
            Some(digits) => Some(digits.parse().ok()?),
            None => None,
        };
        Some(Self { name: authority.host().trim_end_matches('.').to_ascii_lowercase(), port })
    }
}

/// Where a page came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub scheme: String,
    pub host: Host,
}

impl Origin {
    /// Reads `scheme://name[:port]` as browsers write it; `null` and everything else is no origin.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let uri: Uri = text.parse().ok()?;
        uri.scheme_str()?;
        Some(Self { scheme: scheme.to_ascii_lowercase(), host: Host::parse(rest)? })
    }

    /// The port, given or implied.
    pub fn port(&self) -> Option<u16> {
        self.host.port.or(match self.scheme.as_str() {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        })
    }
}

/// An origin a setting allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginRule {
    origin: Origin,
    any_port: bool,
}

impl OriginRule {
    /// Reads `scheme://name[:port]` or `scheme://name:*`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_end_matches('/');
        let (base, any_port) = text.strip_suffix(":*").map_or((text, false), |base| (base, true));
        let origin = Origin::parse(base)?;
        (!any_port || origin.host.port.is_none()).then_some(Self { origin, any_port })
    }

    /// Says whether the rule allows `origin`.
    pub fn allows(&self, origin: &Origin) -> bool {
        self.origin.scheme == origin.scheme
            && self.origin.host.name == origin.host.name
            && (self.any_port || self.origin.port() == origin.port())
    }
}

/// Says whether `name` always means this machine.
pub fn is_loopback_name(name: &str) -> bool {
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

/// The name in `name[:port]`, without the port.
pub fn host_of_name(text: &str) -> Option<String> {
    Host::parse(text).map(|it| it.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_with_and_without_a_port() {
        for (text, expected) in [
            ("LOCALHOST:80", Some(("localhost", Some(80)))),
            ("[::1]:8000", Some(("[::1]", Some(8000)))),
            ("[::1]", Some(("[::1]", None))),
            ("a.example.", Some(("a.example", None))),
            ("localhost:99999", None),
            ("localhost@evil", None),
            ("evil/localhost", None),
            ("", None),
            ("a b", None),
        ] {
            let host = Host::parse(text);
            assert_eq!(host.as_ref().map(|it| (it.name.as_str(), it.port)), expected, "{text}");
        }
    }

    #[test]
    fn a_rule_allows_its_scheme_name_and_port_only() {
        for (rule, origin, expected) in [
            ("http://localhost:3000", "http://localhost:3000", true),
            ("http://localhost:3000", "http://localhost:3001", false),
            ("http://localhost:3000", "https://localhost:3000", false),
            ("http://localhost:*", "http://localhost:9", true),
            ("https://app.example", "https://app.example", true),
            ("https://app.example", "https://app.example:443", true),
            ("https://app.example", "https://app.example:8443", false),
            ("https://app.example/", "https://APP.example", true),
            ("https://app.example", "https://app.example.evil", false),
        ] {
            let rule = OriginRule::parse(rule).expect(rule);
            assert_eq!(rule.allows(&Origin::parse(origin).expect(origin)), expected, "{rule:?} {origin}");
        }
    }

    #[test]
    fn what_is_no_origin_is_not_read() {
        for text in ["null", "", "*", "localhost", "http://", "http://a/b", "http://u@a", "http://a b"] {
            assert_eq!(Origin::parse(text), None, "{text}");
        }
        for text in ["*", "http://a:1:*", "app.example"] {
            assert_eq!(OriginRule::parse(text), None, "{text}");
        }
    }
}
