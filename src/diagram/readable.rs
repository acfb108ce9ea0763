//! TODO module readable
