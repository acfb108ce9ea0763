//! The one integration test binary: every file of this folder is a module here.

mod schedule_model;
mod schedule_random;
