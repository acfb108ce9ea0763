//! The outside as nodes may reach it: files confined to the workspace. Implements the ports of `nodes`;
//! knows nothing of engines, stores or adapters.

mod confine;
mod detach;
pub mod files;

pub use detach::spawn_detached;
pub use files::WorkspaceFiles;
