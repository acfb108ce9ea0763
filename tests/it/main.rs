//! The one integration binary.

mod code;
