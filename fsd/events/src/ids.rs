//! Identifiers as newtypes, so that an inode can never be taken for a file handle.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Bit that the kernel sets in `unique` when a request is sent again to a new worker (`FUSE_UNIQUE_RESEND`).
pub const RESEND_BIT: u64 = 1 << 63;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// Operation, task or pseudo-task: one space of ids, unique within a run.
    OpId
}
number! {
    /// Node id as the kernel knows it.
    Ino
}
number! {
    /// File handle: the `unique` of the OPEN that made it, without the resend bit.
    Fh
}
number! {
    /// Request id of the kernel, without the resend bit.
    Unique
}

/// One worker process (`run`) or one mount (`mount_run`): random, 16 hex digits in text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl RunId {
    /// Reads what `Display` wrote; None for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok().map(Self))?
    }
}

/// Splits a `unique` from the kernel into the id and whether it was sent again.
pub fn split_unique(raw: u64) -> (Unique, bool) {
    (Unique(raw & !RESEND_BIT), raw & RESEND_BIT != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_survive_text() {
        assert_eq!(RunId::parse(&RunId(0xab).to_string()), Some(RunId(0xab)));
        assert_eq!(RunId::parse("zz"), None);
    }

    #[test]
    fn the_resend_bit_is_split_off() {
        assert_eq!(split_unique(RESEND_BIT | 8), (Unique(8), true));
        assert_eq!(split_unique(8), (Unique(8), false));
    }
}
