//! JavaScript and TypeScript: parsing and stripping of types with one library, running in the sandbox
//! with another. The only module that names either.

pub(super) mod outline;
pub(super) mod parse;
pub(super) mod run;
pub(super) mod strip;
