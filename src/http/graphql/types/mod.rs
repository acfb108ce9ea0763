//! The types of the schema, by subject. Field names and words are the original's; what is ours is added, never
//! renamed.

pub mod diagram;
pub mod execution;
pub mod paging;
pub mod person;
pub mod provider;
pub mod results;
pub mod scalars;
pub mod words;
