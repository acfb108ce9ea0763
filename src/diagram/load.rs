//! TODO module load
