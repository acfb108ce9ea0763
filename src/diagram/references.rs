//! TODO module references
