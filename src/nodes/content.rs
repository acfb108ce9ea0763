//! Content types: how a connection converts what it carries, and text forms of values
//! (diagrams.md 3.5).
