//! Why bytes cannot be had.

use crate::data::origin::OriginError;

/// Why bytes cannot be had.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StoreError {
    /// The reader's own deadline.
    #[error("the bytes did not come before the reader's deadline")]
    Deadline,
    /// The origin's content is no longer this one.
    #[error("changed on the origin: {0}")]
    Changed(String),
    #[error(transparent)]
    Upstream(OriginError),
    /// Not enough room for the temp file.
    #[error("no room for a temp file of {needs} bytes: {free} bytes are free in the budget or on the disk")]
    NoRoom { needs: u64, free: u64 },
    #[error("temp file: {0}")]
    Disk(String),
    /// The store was closed while the reader waited.
    #[error("closed")]
    Closed,
}

impl From<OriginError> for StoreError {
    fn from(error: OriginError) -> Self {
        match error {
            OriginError::Changed { .. } | OriginError::Beyond { .. } => Self::Changed(error.to_string()),
            other => Self::Upstream(other),
        }
    }
}
