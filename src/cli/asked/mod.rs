//! Where commands ask: the handlers of this process, or those of a server elsewhere (`--server URL`). A command calls
//! the same function either way and prints what comes back.

mod diagrams;
mod executions;
mod follow;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::args::Command;
use super::{Context, mcp::McpArgs};
use crate::config::Config;
use crate::error::Error;

/// Carries a use case out on a server: its name and request as JSON, the response as JSON.
pub type Ask = Arc<dyn Fn(&'static str, Value) -> BoxFuture<'static, Result<Value, Error>> + Send + Sync>;

/// A server elsewhere.
#[derive(Clone)]
pub struct Remote {
    /// As the user gave it.
    pub address: String,
    pub ask: Ask,
}

/// Returns the address of the server that carries this command out; `None` when this process does. A command that
/// cannot be carried out elsewhere works here, unless `--server` asked for the other thing.
///
/// # Errors
///
/// `INVALID_INPUT` for such a command with `--server`.
pub fn remote_address<'a>(config: &'a Config, command: &Command) -> Result<Option<&'a str>, Error> {
    let Some(address) = config.server.as_deref() else { return Ok(None) };
    let Some(hint) = only_here(command) else { return Ok(Some(address)) };
    if config.named.server {
        return Err(Error::invalid("INVALID_INPUT", "this command cannot be carried out by another server").hint(hint));
    }
    Ok(None)
}

/// Why a command is carried out by this process alone, as what to do about it; `None` for one that a server can carry
/// out. Every command is named, so that a new one must say where it belongs.
fn only_here(command: &Command) -> Option<&'static str> {
    match command {
        Command::Run(_)
        | Command::Results(_)
        | Command::Metrics(_)
        | Command::Watch(_)
        | Command::Answer(_)
        | Command::Pause(_)
        | Command::Resume(_)
        | Command::Cancel(_)
        | Command::Control(_)
        | Command::Fork(_)
        | Command::Replay(_)
        | Command::Diff(_)
        | Command::Compile(_)
        | Command::Stats(_)
        | Command::List(_)
        | Command::History(_)
        | Command::Restore(_) => None,
        Command::Serve(_) | Command::Mcp(McpArgs { command: None, .. }) | Command::Drain => {
            Some("this command is a server itself: leave `--server URL` out")
        }
        Command::Monitor(_) => Some("open the address of that server in a browser"),
        Command::Secrets(_) | Command::Tokens(_) | Command::Trust(_) | Command::Maintenance(_) => {
            Some("what only a person may do is done at the terminal of the server's machine")
        }
        Command::Convert(_)
        | Command::Edit(_)
        | Command::Ask(_)
        | Command::Export(_)
        | Command::Integrations(_)
        | Command::Dipeocc(_)
        | Command::Mcp(McpArgs { command: Some(_), .. })
        | Command::Doctor(_)
        | Command::Config(_)
        | Command::Completions(_)
        | Command::Man(_) => {
            Some("it works with what is on this machine: leave `--server` out, or use it on the server's machine")
        }
    }
}

impl Remote {
    async fn response<T: DeserializeOwned>(&self, name: &'static str, request: &impl Serialize) -> Result<T, Error> {
        let request = serde_json::to_value(request)
            .map_err(|error| Error::internal("the request has no JSON form").source(error))?;
        let response = (self.ask)(name, request).await?;
        serde_json::from_value(response).map_err(|error| {
            Error::external("SERVER_UNREACHABLE", format!("the answer of `{}` cannot be read", self.address))
                .hint("use the same version of dipeo on both sides")
                .source(error)
        })
    }
}

impl Context<'_> {
    /// Asks the server elsewhere, where there is one, else this process: `here` does nothing until it is awaited.
    async fn asked<T: DeserializeOwned>(
        &self,
        name: &'static str,
        request: &impl Serialize,
        here: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match &self.remote {
            None => here.await,
            Some(remote) => remote.response(name, request).await,
        }
    }
}
