//! The one integration binary; each file is one subject.

mod corpus_compile;
mod corpus_parse;
