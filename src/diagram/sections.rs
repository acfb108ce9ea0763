//! TODO module sections
