//! The one integration binary.

mod corpus_parse;
