//! Budgets: what model calls may spend, reserved before each call and settled after it, so that calls at the
//! same moment cannot overshoot together.
//!
//! The [`Ledger`] is pure and counts; [`estimate`](estimate::estimate) says what a call can cost at most; a [`Purse`] is what a
//! node pays from: it asks the ledger, waits until what it took is durable, and asks the purse of the node that
//! runs this execution as a child as well. None of them knows who answers or how logs are stored.

mod amount;
pub mod estimate;
mod exceeded;
mod ledger;
mod patience;
pub mod pay;
mod purse;
#[cfg(test)]
mod tests;

pub use self::amount::{Amount, Dimension, Usd};
pub use self::exceeded::{Exceeded, Raise, question_of};
pub use self::ledger::{Entry, Ledger, Limit, Reservation, Scope};
pub use self::patience::within;
pub use self::purse::{Above, Account, Purse, Slot};
