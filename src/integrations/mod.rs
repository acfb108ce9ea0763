//! Manifests of providers (surface.md 7): what an API offers, as data. Text to [`Manifest`] with every
//! problem and its line; a request built from an operation and a `config`; a reply mapped to a value; pages
//! and paces. Pure: no I/O and no clock. What sends requests is `nodes::integrated_api`.

pub mod manifest;
pub mod openapi;
pub mod pace;
pub mod paging;
pub mod pointer;
pub mod read;
pub mod recording;
pub mod reply;
pub mod request;
pub mod schema;
pub mod shipped;
pub mod template;
pub mod write;

mod section;
mod xml;

pub use manifest::{Auth, Manifest, Operation, Strategy};
pub use read::{read, read_to_use};
