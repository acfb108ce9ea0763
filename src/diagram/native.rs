//! TODO module native
