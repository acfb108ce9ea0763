//! The one integration binary.

mod llm;
