//! The use cases around manifests of providers (surface.md 7).

pub mod find;
pub mod import;
pub mod init;
pub mod list;
pub mod test_operation;
pub mod validate;
