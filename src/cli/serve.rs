//! The arguments of `dipeo serve`, and what both servers offer. The servers themselves are started by `main.rs`:
//! they are other adapters.

use clap::Args;

use crate::config::Overrides;

/// What clients of a server find; also `[mcp]` in dipeo.toml.
#[derive(Clone, Debug, Default, Args)]
pub struct OfferedArgs {
    /// Clients only read: they start, answer and save nothing
    #[arg(long)]
    pub read_only: bool,
    /// Clients run only workspace diagrams with such a name, and no content of their own (repeatable)
    #[arg(long, value_name = "GLOB")]
    pub allow_diagrams: Vec<String>,
    /// Which tools there are: core, diagrams (all)
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub toolsets: Vec<String>,
}

impl OfferedArgs {
    /// Sets what was given.
    pub(super) fn put_into(&self, overrides: &mut Overrides) {
        overrides.read_only = self.read_only;
        overrides.allow_diagrams.clone_from(&self.allow_diagrams);
        overrides.toolsets.clone_from(&self.toolsets);
    }
}

/// Example: dipeo serve --port 8000
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example: dipeo serve --port 8000")]
pub struct ServeArgs {
    /// Address to listen on (127.0.0.1)
    #[arg(long, value_name = "ADDRESS")]
    pub host: Option<String>,
    /// Port to listen on (8000; 0 takes a free one)
    #[arg(long)]
    pub port: Option<u16>,
    /// The address others reach it under, for a tunnel; needs a token (dipeo tokens create)
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Another Host to accept
    #[arg(long, value_name = "HOST")]
    pub allow_host: Vec<String>,
    /// Another Origin to accept
    #[arg(long, value_name = "ORIGIN")]
    pub allow_origin: Vec<String>,
    /// full survives a power cut, normal a killed process
    #[arg(long, value_name = "HOW")]
    pub durability: Option<String>,
    #[command(flatten)]
    pub offered: OfferedArgs,
}
