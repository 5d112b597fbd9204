//! Chunk: bytes of a content in memory, shared and unchanging.

use std::ops::{Deref, Range};

use bytes::Bytes;

use crate::platform::pages::Filled;

#[derive(Clone, Debug)]
pub(super) enum Chunk {
    /// As it came from the network.
    Frame(Bytes),
    /// Copied into a block of the slab.
    Block(Filled),
}

impl Chunk {
    /// A part of it; offsets count from its own start.
    pub(super) fn slice(&self, part: Range<usize>) -> Self {
        match self {
            Self::Frame(bytes) => Self::Frame(bytes.slice(part)),
            Self::Block(filled) => Self::Block(filled.slice(part)),
        }
    }

    /// Takes in what lies directly behind it in memory; false when `next` does not.
    pub(super) fn join(&mut self, next: &Self) -> bool {
        match (self, next) {
            (Self::Block(one), Self::Block(two)) => one.join(two),
            _ => false,
        }
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Frame(bytes) => bytes,
            Self::Block(filled) => filled,
        }
    }
}

impl From<Bytes> for Chunk {
    fn from(bytes: Bytes) -> Self {
        Self::Frame(bytes)
    }
}
