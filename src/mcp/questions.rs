//! Questions that an execution asks while a call waits for it.

pub mod form;
