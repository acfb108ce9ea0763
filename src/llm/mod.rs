//! Model providers, one file each, behind the port `Models`.
