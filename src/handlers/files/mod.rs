//! Files that clients bring and prompts that they look at, all below the workspace's `files/`.

pub mod prompts;
pub mod upload_diagram;
pub mod upload_file;

mod place;
