//! The outside as nodes may reach it: files confined to the workspace, other
//! machines by guarded HTTP. Implements the ports of `nodes`;
//! knows nothing of engines, stores or adapters.

pub mod browser;
mod confine;
mod detach;
pub mod files;
pub mod http;
mod secrets;

pub use detach::spawn_detached;
pub use files::WorkspaceFiles;
pub use http::GuardedHttp;
pub use secrets::UserSecrets;
