//! Proofs of who somebody is: tokens that this program makes, and those of an authorization server. It must
//! not know what anybody may do: that is [`crate::handlers::caller`]'s.

pub mod api_token;
mod jwks;
pub mod jwt;
mod key;
