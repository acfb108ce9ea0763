//! The two HTTP clients: one for diagrams that may reach every address, one whose names resolve to public
//! addresses only and that uses no proxy.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;

use crate::error::Error;
use crate::nodes::addresses::is_public;

/// How long connecting may take; the whole request has a limit of its own.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const USER_AGENT: &str = concat!("dipeo/", env!("CARGO_PKG_VERSION"));

/// Finds the addresses of a name.
pub trait LookUp: Send + Sync {
    /// Returns every address of `name`; their ports are of no account.
    fn look_up(&self, name: &str) -> BoxFuture<'static, std::io::Result<Vec<SocketAddr>>>;
}

/// Asks the system.
pub struct SystemNames;

impl LookUp for SystemNames {
    fn look_up(&self, name: &str) -> BoxFuture<'static, std::io::Result<Vec<SocketAddr>>> {
        let name = name.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
    }
}

/// Says that a name leads to an address that may not be reached. It travels inside the client's error.
#[derive(Debug)]
pub(super) struct NotPublic;

impl std::fmt::Display for NotPublic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the name leads to an address that is not public")
    }
}

impl std::error::Error for NotPublic {}

/// Resolves names for a client; what it returns is exactly what is connected to.
pub(super) struct Resolver {
    pub(super) names: Arc<dyn LookUp>,
    pub(super) public_only: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.names.look_up(name.as_str());
        let public_only = self.public_only;
        Box::pin(async move {
            let addresses = found.await?;
            // One private address among public ones is how a name server tries its luck.
            if public_only && !addresses.iter().all(|it| is_public(it.ip())) {
                return Err(NotPublic.into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

pub(super) struct Clients {
    names: Arc<dyn LookUp>,
    open: OnceLock<Result<Client, String>>,
    guarded: OnceLock<Result<Client, String>>,
}

impl Clients {
    pub(super) fn new(names: Arc<dyn LookUp>) -> Self {
        Self { names, open: OnceLock::new(), guarded: OnceLock::new() }
    }

    /// The client for diagrams that may, or may not, reach private addresses.
    pub(super) fn get(&self, private_network: bool) -> Result<&Client, Error> {
        let slot = if private_network { &self.open } else { &self.guarded };
        let made = slot.get_or_init(|| self.make(private_network).map_err(|it| it.to_string()));
        made.as_ref().map_err(|it| {
            Error::external("HTTP_FAILED", "no HTTP client can be made on this machine")
                .hint("TLS needs the system's root certificates: install the package `ca-certificates`")
                .source(it.clone())
        })
    }

    fn make(&self, private_network: bool) -> reqwest::Result<Client> {
        crate::tls::install();
        let resolver = Resolver { names: Arc::clone(&self.names), public_only: !private_network };
        let builder = Client::builder()
            // Every hop is checked before it is followed, so the client itself follows none.
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(USER_AGENT)
            .dns_resolver(Arc::new(resolver));
        // A proxy would connect in our place, to whatever address it finds.
        if private_network { builder.build() } else { builder.no_proxy().build() }
    }
}
