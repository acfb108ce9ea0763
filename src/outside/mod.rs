//! The confined file access and, later, the guarded HTTP client that nodes ask for.
