//! Runs plans. [`schedule`] decides purely which node may fire; [`run`] is the one loop of an
//! execution: node done -> transitions appended -> the schedule says what may fire -> it starts.
//! The engine records through [`Journal`]; `store` implements it.

mod ending;
pub mod event;
pub mod fork;
pub mod journal;
pub mod run;
pub mod schedule;
pub mod state;

pub use event::{Event, Status};
pub use journal::{Batch, Journal, Projection, Recording, Summary, Ticket, Transition};
