//! The use cases around manifests of providers (surface.md 7).

pub mod describe;
pub mod execute;
pub mod find;
pub mod import;
pub mod init;
pub mod list;
pub mod reload;
pub mod statistics;
pub mod test_operation;
pub mod try_operation;
pub mod validate;
