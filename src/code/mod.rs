//! Language runtimes for code nodes and expressions.
