//! Which requests are looked at at all: those that name this server, come from no foreign page, and, as long
//! as the server asks nobody for a token, did not come through a proxy. It stops a web page from using the
//! browser to reach a local server, and a tunnel from publishing one by accident.

use std::net::SocketAddr;

use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};

use super::authentication::check_query;
use super::config::HttpConfig;
use super::origin::{Host, Origin, OriginRule, is_loopback_name};
use super::plain::OWN_ROUTES;
use crate::error::Error;

/// Headers that only a proxy adds.
const FORWARDED: [&str; 3] = ["forwarded", "x-forwarded-for", "x-forwarded-host"];

/// The rules for Host, Origin and forwarded headers of one running server.
#[derive(Debug)]
pub struct Guard {
    hosts: Vec<Host>,
    origins: Vec<OriginRule>,
    port: u16,
    allows_forwarded: bool,
    /// Paths that take no parameters.
    bare: Vec<&'static str>,
}

impl Guard {
    /// Makes the rules for a server that listens on `bound`.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` naming the host or origin that is none.
    pub fn new(config: &HttpConfig, bound: SocketAddr) -> Result<Self, Error> {
        let names = config.host_names();
        let hosts = names.iter().map(|it| Host::parse(it).ok_or_else(|| no_host(it))).collect::<Result<_, _>>()?;
        let origins = config
            .allowed_origins
            .iter()
            .cloned()
            .chain(config.public_origin())
            .map(|it| OriginRule::parse(&it).ok_or_else(|| no_origin(&it)))
            .collect::<Result<_, _>>()?;
        let bare = OWN_ROUTES.into_iter().chain(config.routes.iter().copied()).collect();
        Ok(Self { hosts, origins, port: bound.port(), allows_forwarded: config.public_url.is_some(), bare })
    }

    /// Lets a request pass or says why not.
    ///
    /// # Errors
    ///
    /// `TOKEN_IN_QUERY`, `INVALID_INPUT` for a parameter nobody takes, `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED`, `FORWARDED_NOT_ALLOWED`.
    pub fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Error> {
        check_query(uri)?;
        if let Some(query) = uri.query().filter(|it| !it.is_empty() && self.bare.contains(&uri.path())) {
            let name = query.split(['=', '&']).next().unwrap_or_default();
            return Err(Error::invalid(
                "INVALID_INPUT",
                format!("`{}` takes no parameter `{}`", uri.path(), cut(name)),
            )
            .hint("leave everything from the question mark on out of the address"));
        }
        let host = self.host(uri, headers)?;
        let mut origins = headers.get_all(header::ORIGIN).iter();
        if let Some(origin) = origins.next() {
            let text = origin.to_str().unwrap_or_default();
            if origins.next().is_some() || !self.knows_origin(text, &host) {
                return Err(Error::refused(
                    "ORIGIN_NOT_ALLOWED",
                    format!("pages of `{}` may not call this server", cut(text)),
                )
                .hint("add the origin to `CORS_ORIGINS`"));
            }
        }
        match FORWARDED.into_iter().find(|name| headers.contains_key(*name)) {
            Some(name) if !self.allows_forwarded => Err(Error::refused(
                "FORWARDED_NOT_ALLOWED",
                format!("this server is not public, but `{name}` says that a proxy or tunnel passed the request on"),
            )
            .hint("to publish it on purpose start it with `--public-url https://NAME` and `DIPEO_TOKEN`")),
            _ => Ok(()),
        }
    }

    /// Says whether a page of `origin` may read answers; for CORS, after [`Guard::check`] let the request pass.
    pub fn allows_origin(&self, origin: &str, request: &Parts) -> bool {
        self.host(&request.uri, &request.headers).is_ok_and(|host| self.knows_origin(origin, &host))
    }

    /// The name the request addresses this server by.
    fn host(&self, uri: &Uri, headers: &HeaderMap) -> Result<Host, Error> {
        let mut given = headers.get_all(header::HOST).iter();
        // HTTP/2 has the name in the address instead.
        let text = match given.next() {
            Some(value) => value.to_str().unwrap_or_default(),
            None => uri.authority().map_or("", |it| it.as_str()),
        };
        let host = Host::parse(text).filter(|host| given.next().is_none() && self.knows_host(host));
        host.ok_or_else(|| {
            Error::refused("HOST_NOT_ALLOWED", format!("this server does not answer to `{}`", cut(text))).hint(
                "use `localhost` or `127.0.0.1`, or start it with `--allow-host NAME` or `--public-url https://NAME`",
            )
        })
    }

    fn knows_host(&self, host: &Host) -> bool {
        self.hosts.iter().any(|it| it.name == host.name && (it.port.is_none() || it.port == host.port))
    }

    fn knows_origin(&self, text: &str, host: &Host) -> bool {
        let Some(origin) = Origin::parse(text) else { return false };
        let is_web = matches!(origin.scheme.as_str(), "http" | "https");
        let is_same = is_web && origin.host == *host;
        let is_own = origin.scheme == "http" && is_loopback_name(&origin.host.name) && origin.port() == Some(self.port);
        is_same || is_own || self.origins.iter().any(|it| it.allows(&origin))
    }
}

fn no_host(text: &str) -> Error {
    Error::invalid("INVALID_INPUT", format!("`{text}` is not the name of a server")).hint("write `NAME` or `NAME:PORT`")
}

fn no_origin(text: &str) -> Error {
    Error::invalid("INVALID_INPUT", format!("`{text}` is not an origin"))
        .hint("write `http://NAME:PORT`, with `*` as port for any; a lone `*` would allow every page of the web")
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    const FINE: &str = "fine";

    fn check(config: &HttpConfig, headers: &[(&str, &str)]) -> String {
        let guard = Guard::new(config, "127.0.0.1:8000".parse().expect("an address")).expect("rules");
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).expect("a name"),
                HeaderValue::from_str(value).expect("a value"),
            );
        }
        guard.check(&Uri::from_static("/mcp"), &map).map_or_else(|it| it.code().to_owned(), |()| FINE.to_owned())
    }

    #[test]
    fn a_local_server_answers_to_loopback_names_and_its_own_pages_only() {
        let mut config = HttpConfig::local(8000);
        config.allowed_origins = vec!["http://localhost:3000".into()];
        for (headers, expected) in [
            (&[("host", "localhost:8000")][..], FINE),
            (&[("host", "127.0.0.1")], FINE),
            (&[("host", "[::1]:8000")], FINE),
            (&[], "HOST_NOT_ALLOWED"),
            (&[("host", "")], "HOST_NOT_ALLOWED"),
            (&[("host", "evil.example")], "HOST_NOT_ALLOWED"),
            (&[("host", "localhost.evil.example")], "HOST_NOT_ALLOWED"),
            (&[("host", "localhost"), ("host", "evil.example")], "HOST_NOT_ALLOWED"),
            (&[("host", "0.0.0.0:8000")], "HOST_NOT_ALLOWED"),
            (&[("host", "localhost:8000"), ("origin", "http://localhost:8000")], FINE),
            (&[("host", "localhost:8000"), ("origin", "http://127.0.0.1:8000")], FINE),
            (&[("host", "localhost:8000"), ("origin", "http://localhost:3000")], FINE),
            (&[("host", "localhost:8000"), ("origin", "http://localhost:3001")], "ORIGIN_NOT_ALLOWED"),
            (&[("host", "localhost:8000"), ("origin", "https://evil.example")], "ORIGIN_NOT_ALLOWED"),
            (&[("host", "localhost:8000"), ("origin", "null")], "ORIGIN_NOT_ALLOWED"),
            (
                &[("host", "localhost:8000"), ("origin", "http://localhost:8000"), ("origin", "http://evil")],
                "ORIGIN_NOT_ALLOWED",
            ),
            (&[("host", "localhost"), ("forwarded", "for=1.2.3.4")], "FORWARDED_NOT_ALLOWED"),
            (&[("host", "localhost"), ("x-forwarded-for", "1.2.3.4")], "FORWARDED_NOT_ALLOWED"),
            (&[("host", "localhost"), ("x-forwarded-host", "a")], "FORWARDED_NOT_ALLOWED"),
        ] {
            assert_eq!(check(&config, headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_published_server_answers_to_its_public_name_through_a_proxy() {
        let mut config = HttpConfig::local(8000);
        config.public_url = Some("https://dipeo.example".into());
        for (headers, expected) in [
            (&[("host", "dipeo.example"), ("x-forwarded-for", "1.2.3.4")][..], FINE),
            (&[("host", "dipeo.example"), ("origin", "https://dipeo.example")], FINE),
            (&[("host", "127.0.0.1:8000"), ("origin", "https://dipeo.example")], FINE),
            (&[("host", "other.example")], "HOST_NOT_ALLOWED"),
            (&[("host", "dipeo.example"), ("origin", "https://other.example")], "ORIGIN_NOT_ALLOWED"),
        ] {
            assert_eq!(check(&config, headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_setting_that_is_no_name_or_allows_the_whole_web_is_refused() {
        let bound = "127.0.0.1:1".parse().expect("an address");
        let mut config = HttpConfig::local(1);
        config.allowed_origins = vec!["*".into()];
        assert_eq!(Guard::new(&config, bound).expect_err("too much").code(), "INVALID_INPUT");
        config.allowed_origins.clear();
        config.allowed_hosts = vec!["https://a".into()];
        assert_eq!(Guard::new(&config, bound).expect_err("no name").code(), "INVALID_INPUT");
    }
}
