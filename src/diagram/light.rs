//! TODO module light
