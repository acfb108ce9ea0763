//! What the HTTP server has to be told, and the refusal to expose a server that asks nobody who they are.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::Uri;
use futures_util::future::BoxFuture;

use super::origin::{host_of_name, is_loopback_name};
use crate::config::{Config, LimitSettings};
use crate::error::Error;
use crate::handlers::authenticate::Access;
use crate::handlers::readiness;

/// Names under which a loopback address is reached.
pub const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Origins of the development servers that pages for this server are usually made with.
const DEVELOPMENT_ORIGINS: [&str; 6] = [
    "http://localhost:3000",
    "http://localhost:3001",
    "http://localhost:5173",
    "http://127.0.0.1:3000",
    "http://127.0.0.1:3001",
    "http://127.0.0.1:5173",
];

/// Says whether the application can do its work; asked by `/health/ready`.
pub type Readiness = Arc<dyn Fn() -> BoxFuture<'static, readiness::Response> + Send + Sync>;

/// Counts what is under way, from memory alone; asked by `/health`.
pub type Vitals = Arc<dyn Fn() -> VitalSigns + Send + Sync>;

/// What is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VitalSigns {
    /// Executions that this process runs.
    pub n_running: usize,
    /// Open streams of events, and sockets.
    pub n_streams: usize,
    /// Somebody takes up executions.
    pub keeps_house: bool,
    /// Clients are offered tools.
    pub offers_tools: bool,
}

/// Settings of the HTTP server.
#[derive(Clone)]
pub struct HttpConfig {
    /// Address or name to listen on.
    pub host: String,
    /// Port to listen on; 0 lets the system choose.
    pub port: u16,
    /// Names besides the loopback ones that requests may address this server by, with or without port.
    pub allowed_hosts: Vec<String>,
    /// Origins besides the server's own whose pages may call it: `scheme://name[:port]`, `:*` for any port.
    pub allowed_origins: Vec<String>,
    /// The address that the world reaches this server by, through a proxy or tunnel.
    pub public_url: Option<String>,
    /// Who decides who comes in; absent means that nobody is asked.
    pub access: Option<Arc<Access>>,
    pub limits: LimitSettings,
    /// Paths of the routers handed over, for `GET /` and for the hint of a 404.
    pub routes: Vec<&'static str>,
    /// Other paths of these routers, for the hint of a 404 alone.
    pub hints: Vec<&'static str>,
    /// Absent means always ready.
    pub readiness: Option<Readiness>,
    /// Absent means that nothing is under way.
    pub vitals: Option<Vitals>,
}

impl HttpConfig {
    /// Takes the settings of the process. Pages of the usual development servers may call a local server
    /// unless other origins are set or it is in production (surface.md 3.3).
    pub fn from_config(config: &Config) -> Self {
        let mut http = Self {
            host: config.host.clone(),
            port: config.port,
            allowed_hosts: config.allowed_hosts.clone(),
            allowed_origins: config.allowed_origins.clone(),
            public_url: config.public_url.clone(),
            limits: config.limits,
            ..Self::local(config.port)
        };
        if http.allowed_origins.is_empty() && http.is_local() && !config.is_production {
            http.allowed_origins = DEVELOPMENT_ORIGINS.map(str::to_owned).to_vec();
        }
        http
    }

    /// Settings for this machine alone: loopback, no token.
    pub fn local(port: u16) -> Self {
        Self {
            host: "127.0.0.1".into(),
            port,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            public_url: None,
            access: None,
            limits: LimitSettings::default(),
            routes: Vec::new(),
            hints: Vec::new(),
            readiness: None,
            vitals: None,
        }
    }

    /// Every name this server answers to.
    pub fn host_names(&self) -> Vec<String> {
        let mut names: Vec<String> = LOOPBACK_NAMES.map(str::to_owned).to_vec();
        names.extend(self.allowed_hosts.iter().cloned());
        names.extend(self.public_host());
        names.extend(self.bound_name());
        names
    }

    /// Every origin whose pages may call this server; on a name of its own any port counts as its own here,
    /// the guard in front is stricter.
    pub fn origin_names(&self) -> Vec<String> {
        let own = self.host_names().into_iter().flat_map(|name| {
            let host = host_of_name(&name).unwrap_or_default();
            [format!("http://{host}:*"), format!("https://{host}:*")]
        });
        own.chain(self.allowed_origins.iter().cloned()).collect()
    }

    /// Says whether only this machine can reach the server.
    pub fn is_local(&self) -> bool {
        self.public_url.is_none() && self.allowed_hosts.is_empty() && is_loopback(&self.host)
    }

    /// Refuses what would expose the server to others without asking who they are.
    ///
    /// # Errors
    ///
    /// `AUTHENTICATION_REQUIRED` naming the setting; `INVALID_INPUT` for a `public_url` that is none; failures of
    /// the database that holds the tokens.
    pub fn check(&self) -> Result<(), Error> {
        if self.public_url.is_some() && self.public_host().is_none() {
            let text = self.public_url.as_deref().unwrap_or_default();
            return Err(Error::invalid("INVALID_INPUT", format!("`{text}` is not the URL of a server"))
                .hint("write `--public-url https://NAME` without a path"));
        }
        if self.has_a_way_in()? {
            return Ok(());
        }
        if self.asks_everybody()? && self.is_local() {
            return Err(Error::refused("AUTHENTICATION_REQUIRED", "clients must show a token, but there is none")
                .hint("run `dipeo tokens create`, or `dipeo tokens forget` where dead tokens are all there is"));
        }
        if self.is_local() {
            return Ok(());
        }
        let (flag, what) = match (&self.public_url, self.allowed_hosts.first()) {
            (Some(url), _) => (format!("--public-url {url}"), "publishes"),
            (None, Some(name)) => (format!("--allow-host {name}"), "opens"),
            (None, None) => (format!("--host {}", self.host), "opens"),
        };
        Err(Error::refused("AUTHENTICATION_REQUIRED", format!("`{flag}` {what} a server that asks nobody for a token"))
            .hint(format!("run `dipeo tokens create`, set `DIPEO_TOKEN` to a long random text, or leave `{flag}` out")))
    }

    /// Whether somebody could come in if everybody was asked.
    pub(super) fn has_a_way_in(&self) -> Result<bool, Error> {
        self.access.as_ref().map_or(Ok(false), |it| it.has_a_way_in())
    }

    fn asks_everybody(&self) -> Result<bool, Error> {
        self.access.as_ref().map_or(Ok(false), |it| it.is_required())
    }

    /// The name in `public_url`, when it is `http(s)://NAME[:PORT]`.
    fn public_host(&self) -> Option<String> {
        let uri: Uri = self.public_url.as_deref()?.parse().ok()?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        let has_path = !matches!(uri.path(), "" | "/") || uri.query().is_some();
        let authority = uri.authority().filter(|it| !it.as_str().contains('@'))?;
        (is_http && !has_path).then(|| authority.as_str().to_owned())
    }

    /// The origin of `public_url`.
    pub(super) fn public_origin(&self) -> Option<String> {
        self.public_host()?;
        self.public_url.as_deref().map(|it| it.trim_end_matches('/').to_owned())
    }

    /// The address listened on, when it is one that can be dialled.
    fn bound_name(&self) -> Option<String> {
        match self.host.parse::<IpAddr>() {
            Ok(address) if address.is_unspecified() || address.is_loopback() => None,
            Ok(IpAddr::V6(address)) => Some(format!("[{address}]")),
            Ok(IpAddr::V4(address)) => Some(address.to_string()),
            Err(_) => (!is_loopback(&self.host)).then(|| self.host.clone()),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    is_loopback_name(host) || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|it| it.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(host: &str, allowed: &[&str], public: Option<&str>) -> HttpConfig {
        HttpConfig {
            host: host.into(),
            allowed_hosts: allowed.iter().map(|it| (*it).to_owned()).collect(),
            public_url: public.map(str::to_owned),
            ..HttpConfig::local(0)
        }
    }

    #[test]
    fn a_server_that_others_reach_needs_a_token() {
        for (host, allowed, public, flag) in [
            ("0.0.0.0", &[][..], None, "--host 0.0.0.0"),
            ("192.168.1.5", &[], None, "--host 192.168.1.5"),
            ("::", &[], None, "--host ::"),
            ("myhost", &[], None, "--host myhost"),
            ("127.0.0.1", &["box.lan"], None, "--allow-host box.lan"),
            ("127.0.0.1", &[], Some("https://a.example"), "--public-url https://a.example"),
        ] {
            let error = config(host, allowed, public).check().expect_err(flag);
            assert_eq!(error.code(), "AUTHENTICATION_REQUIRED");
            assert!(error.message().contains(flag) && error.hint_text().is_some_and(|it| it.contains("DIPEO_TOKEN")));
        }
        for host in ["127.0.0.1", "localhost", "::1", "[::1]", "127.3.2.1"] {
            config(host, &[], None).check().expect(host);
        }
    }

    #[test]
    fn a_public_url_is_a_server_and_nothing_more() {
        for bad in ["a.example", "ftp://a", "https://a/b", "https://u@a", "https://a?x", ""] {
            assert_eq!(config("127.0.0.1", &[], Some(bad)).check().expect_err(bad).code(), "INVALID_INPUT");
        }
        for good in ["https://a.example", "https://a.example/", "http://a:81"] {
            let error = config("127.0.0.1", &[], Some(good)).check().expect_err("nobody could come in");
            assert_eq!(error.code(), "AUTHENTICATION_REQUIRED", "{good}");
        }
    }

    #[test]
    fn the_names_are_the_loopback_ones_and_what_was_configured() {
        let names = config("192.168.1.5", &["box.lan"], Some("https://a.example")).host_names();
        assert_eq!(names, ["localhost", "127.0.0.1", "[::1]", "box.lan", "a.example", "192.168.1.5"]);
        assert_eq!(config("0.0.0.0", &[], None).host_names(), LOOPBACK_NAMES);
    }
}
