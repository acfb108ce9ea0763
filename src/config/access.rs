//! Settings of who may come in and what they find: `[auth]` and `[mcp]` of `dipeo.toml`, variables and flags.

use glob::Pattern;
use serde::Deserialize;
use url::Url;

use super::{Environment, Overrides, Tasks};
use crate::error::Error;
use crate::limits;
use crate::nearest::nearest;
use crate::secret::Secret;

/// Shortest `JWT_SECRET`, in bytes: the size of the digest that signs with it (RFC 7518, 3.2).
pub const JWT_SECRET_BYTES_MIN: usize = 32;

/// How clients of the HTTP server say who they are.
#[derive(Clone, Default)]
pub struct AuthSettings {
    /// `DIPEO_TOKEN`: whoever shows it is the owner.
    pub token: Option<Secret>,
    /// Ask everybody even where nobody else could come in.
    pub required: bool,
    /// The authorization server whose tokens are accepted.
    pub issuer: Option<String>,
    /// Where its keys are; `https`, or a loopback address.
    pub jwks_url: Option<Url>,
    /// What tokens must be meant for; absent means the public URL with `/mcp`.
    pub audience: Option<String>,
    /// Signs tokens of other programs of the same owner (HS256).
    pub jwt_secret: Option<Secret>,
    /// Issuer and audience of tokens signed with `jwt_secret`.
    pub jwt_issuer: Option<String>,
    pub jwt_audience: Option<String>,
}

impl AuthSettings {
    /// Whether any setting names somebody who could come in.
    pub fn has_any(&self) -> bool {
        self.token.is_some() || self.jwks_url.is_some() || self.jwt_secret.is_some()
    }

    pub(super) fn load(env: &Environment, file: AuthTable) -> Result<Self, Error> {
        const KEYS: &str = "DIPEO_AUTH_JWKS_URL";
        let text = |names: &[&str], own: Option<String>| -> Result<Option<String>, Error> {
            Ok(env.one_of(names)?.map(str::to_owned).or(own))
        };
        let settings = Self {
            token: env.get("DIPEO_TOKEN").and_then(Secret::new),
            required: flag(env, "DIPEO_AUTH_REQUIRED")?.unwrap_or(file.required),
            issuer: text(&["DIPEO_AUTH_ISSUER"], file.issuer)?,
            jwks_url: match env.get(KEYS) {
                Some(text) => Some(keys_url(KEYS, text)?),
                None => file.jwks_url.map(|it| keys_url("auth.jwks_url", &it)).transpose()?,
            },
            audience: text(&["DIPEO_AUTH_AUDIENCE"], file.audience)?,
            jwt_secret: env.one_of(&["JWT_SECRET", "JWT_SECRET_KEY"])?.and_then(Secret::new),
            jwt_issuer: text(&["JWT_ISSUER"], None)?,
            jwt_audience: text(&["JWT_AUDIENCE"], None)?,
        };
        if settings.jwks_url.is_some() && settings.issuer.is_none() {
            return Err(Error::invalid("INVALID_INPUT", "`auth.jwks_url` is set, but not `auth.issuer`")
                .hint("name the authorization server whose tokens are accepted, as its tokens have it in `iss`"));
        }
        if settings.issuer.is_some() && settings.jwks_url.is_none() {
            return Err(Error::invalid("INVALID_INPUT", "`auth.issuer` is set, but not `auth.jwks_url`")
                .hint("give the address of its keys; its metadata names it as `jwks_uri`"));
        }
        Ok(settings)
    }
}

/// `[auth]` of `dipeo.toml`. All but `required` counts only after `dipeo trust --config`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AuthTable {
    required: bool,
    issuer: Option<String>,
    jwks_url: Option<String>,
    audience: Option<String>,
}

impl AuthTable {
    /// Whether it would let somebody in.
    pub fn opens(&self) -> bool {
        self.issuer.is_some() || self.jwks_url.is_some() || self.audience.is_some()
    }
}

/// A part of the surface that can be switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toolset {
    /// The six tools.
    Core,
    /// Workspace diagrams as tools of their own.
    Diagrams,
}

impl Toolset {
    pub const ALL: [Self; 2] = [Self::Core, Self::Diagrams];

    /// The name in flags and settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Diagrams => "diagrams",
        }
    }

    fn parse(text: &str) -> Result<Self, Error> {
        let names = Self::ALL.map(Self::name);
        Self::ALL.into_iter().find(|it| it.name() == text).ok_or_else(|| {
            let near = nearest(text, names).map(|it| format!("; did you mean `{it}`?")).unwrap_or_default();
            Error::invalid("INVALID_INPUT", format!("there is no toolset `{text}`{near}"))
                .hint(format!("toolsets: {}", names.join(", ")))
        })
    }
}

/// What clients find.
#[derive(Clone, Debug)]
pub struct McpSettings {
    /// Nobody may change or start anything, whatever their token says.
    pub read_only: bool,
    /// Names of the diagrams that clients may run, as globs; empty allows all, and inline content.
    pub allow_diagrams: Vec<Pattern>,
    /// Whether long runs become tasks.
    pub tasks: Tasks,
    toolsets: Vec<Toolset>,
}

impl Default for McpSettings {
    fn default() -> Self {
        Self { read_only: false, allow_diagrams: Vec::new(), tasks: Tasks::default(), toolsets: Toolset::ALL.to_vec() }
    }
}

impl McpSettings {
    /// Whether clients are offered this toolset.
    pub fn has(&self, toolset: Toolset) -> bool {
        self.toolsets.contains(&toolset)
    }

    /// The words of the toolsets that clients are offered.
    pub fn toolset_names(&self) -> Vec<&'static str> {
        self.toolsets.iter().map(|it| it.name()).collect()
    }

    /// Whether a client may run the workspace diagram of this name.
    pub fn allows(&self, name: &str) -> bool {
        self.allow_diagrams.is_empty() || self.allow_diagrams.iter().any(|it| it.matches(name))
    }

    /// `located` adds to an error about a key of the file where it stands.
    pub(super) fn load(
        overrides: &Overrides,
        file: McpTable,
        located: impl Fn(&str, Error) -> Error,
    ) -> Result<Self, Error> {
        let globs = match overrides.allow_diagrams.as_slice() {
            [] => patterns(&file.allow_diagrams).map_err(|e| located("mcp.allow_diagrams", e))?,
            flags => patterns(flags)?,
        };
        let toolsets = match overrides.toolsets.as_slice() {
            [] => toolsets(&file.toolsets).map_err(|e| located("mcp.toolsets", e))?,
            flags => toolsets(flags)?,
        };
        Ok(Self {
            read_only: overrides.read_only || file.read_only,
            allow_diagrams: globs,
            tasks: file.tasks,
            toolsets: if toolsets.is_empty() { Toolset::ALL.to_vec() } else { toolsets },
        })
    }
}

/// `[mcp]` of `dipeo.toml`; every key takes something away, so it always counts.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct McpTable {
    read_only: bool,
    allow_diagrams: Vec<String>,
    toolsets: Vec<String>,
    tasks: Tasks,
}

/// How much clients of the HTTP server may do at once. Those of a principal count where clients are asked who
/// they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    pub concurrent_requests: usize,
    pub concurrent_per_principal: usize,
    pub open_streams: usize,
    pub streams_per_principal: usize,
    pub requests_per_minute: u32,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            concurrent_requests: limits::CONCURRENT_REQUESTS,
            concurrent_per_principal: limits::CONCURRENT_PER_PRINCIPAL,
            open_streams: limits::OPEN_STREAMS,
            streams_per_principal: limits::STREAMS_PER_PRINCIPAL,
            requests_per_minute: limits::REQUESTS_PER_MINUTE,
        }
    }
}

impl LimitSettings {
    /// Refuses a limit that lets nothing through, or more than can be counted.
    pub(super) fn checked(self) -> Result<Self, Error> {
        let all = [
            ("concurrent_requests", self.concurrent_requests),
            ("concurrent_per_principal", self.concurrent_per_principal),
            ("open_streams", self.open_streams),
            ("streams_per_principal", self.streams_per_principal),
            ("requests_per_minute", usize::try_from(self.requests_per_minute).unwrap_or(usize::MAX)),
        ];
        match all.into_iter().find(|(_, n)| !(1..=1_000_000).contains(n)) {
            None => Ok(self),
            Some((name, n)) => Err(Error::invalid("INVALID_INPUT", format!("`limits.{name}` is {n}"))
                .hint("write a number from 1 to 1000000")),
        }
    }
}

fn toolsets(names: &[String]) -> Result<Vec<Toolset>, Error> {
    names.iter().map(|it| Toolset::parse(it.trim())).collect()
}

fn patterns(texts: &[String]) -> Result<Vec<Pattern>, Error> {
    texts.iter().map(|it| pattern(it)).collect()
}

fn pattern(text: &str) -> Result<Pattern, Error> {
    Pattern::new(text).map_err(|e| {
        Error::invalid("INVALID_INPUT", format!("`{text}` is no pattern of names: {}", e.msg))
            .hint("write a name, with `*` for anything: `reports/*`")
    })
}

fn flag(env: &Environment, name: &str) -> Result<Option<bool>, Error> {
    let Some(text) = env.get(name) else { return Ok(None) };
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(Some(true)),
        "0" | "false" | "no" | "off" => Ok(Some(false)),
        _ => Err(Error::invalid("INVALID_INPUT", format!("`{name}` is `{text}`")).hint("write true or false")),
    }
}

/// Keys that came over an open line would let anybody on the way sign tokens.
fn keys_url(name: &str, text: &str) -> Result<Url, Error> {
    let url = Url::parse(text).ok().filter(|it| {
        let is_loopback = match it.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        it.scheme() == "https" || it.scheme() == "http" && is_loopback
    });
    url.ok_or_else(|| {
        Error::invalid("INVALID_INPUT", format!("`{name}` is `{text}`"))
            .hint("give an `https://` address, or `http://` on this machine")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mcp(overrides: &Overrides, file: &str) -> Result<McpSettings, Error> {
        McpSettings::load(overrides, toml::from_str(file).expect("valid"), |_, e| e)
    }

    #[test]
    fn flags_win_over_the_file_and_what_neither_names_is_all_there() {
        let flags = |names: &[&str]| Overrides {
            toolsets: names.iter().map(|it| (*it).to_owned()).collect(),
            allow_diagrams: names.iter().map(|_| "reports/*".to_owned()).collect(),
            ..Overrides::default()
        };
        let all = mcp(&Overrides::default(), "").expect("valid");
        assert!(all.has(Toolset::Core) && all.has(Toolset::Diagrams) && all.allows("anything") && !all.read_only);
        let file = "read_only = true\nallow_diagrams = ['a']\ntoolsets = ['diagrams']";
        let filed = mcp(&Overrides::default(), file).expect("valid");
        assert!(filed.read_only && filed.has(Toolset::Diagrams) && !filed.has(Toolset::Core));
        assert!(filed.allows("a") && !filed.allows("reports/b"));
        let flagged = mcp(&flags(&["core"]), file).expect("valid");
        assert!(flagged.has(Toolset::Core) && !flagged.has(Toolset::Diagrams));
        assert!(flagged.allows("reports/b") && !flagged.allows("a"));
    }

    #[test]
    fn what_is_misspelt_is_refused_with_what_there_is() {
        let error = mcp(&Overrides { toolsets: vec!["cor".into()], ..Overrides::default() }, "").expect_err("unknown");
        assert_eq!(error.message(), "there is no toolset `cor`; did you mean `core`?");
        assert_eq!(error.hint_text(), Some("toolsets: core, diagrams"));
        let error = mcp(&Overrides { allow_diagrams: vec!["a[".into()], ..Overrides::default() }, "");
        assert!(error.expect_err("no pattern").message().contains("`a[`"));
    }

    #[test]
    fn an_authorization_server_needs_both_its_name_and_a_safe_address_of_its_keys() {
        let load = |pairs: &[(&str, &str)]| AuthSettings::load(&Environment::of(pairs), AuthTable::default());
        let issuer = ("DIPEO_AUTH_ISSUER", "https://login.example");
        for url in ["http://login.example/keys", "ftp://localhost/k", "keys", "http://10.0.0.1/k"] {
            assert!(load(&[issuer, ("DIPEO_AUTH_JWKS_URL", url)]).is_err(), "{url}");
        }
        for url in ["https://login.example/keys", "http://127.0.0.1:9/k", "http://[::1]/k", "http://localhost/k"] {
            assert!(load(&[issuer, ("DIPEO_AUTH_JWKS_URL", url)]).expect(url).has_any());
        }
        assert!(load(&[issuer]).is_err() && load(&[("DIPEO_AUTH_JWKS_URL", "https://a/k")]).is_err());
        assert!(load(&[("DIPEO_AUTH_REQUIRED", "maybe")]).is_err());
        assert!(load(&[("DIPEO_AUTH_REQUIRED", "Yes")]).expect("a flag").required);
    }
}
