//! The label: what an event calls a lock, put together without allocating.

use std::io::Write;

use super::{entry::Name, slow};

/// A class's name, `#` and the longest key.
const ROOM: usize = 88;

/// The name of the class, and `#` with the key where locks of the class are told apart by one: `store#17`.
pub(in super::super) struct Label {
    bytes: [u8; ROOM],
    len: usize,
}

impl Label {
    pub(in super::super) fn of(class: &str, key: u64) -> Self {
        let mut bytes = [0; ROOM];
        let mut rest = &mut bytes[..];
        let cut = if key == 0 { write!(rest, "{class}") } else { write!(rest, "{class}#{key}") };
        let len = if cut.is_ok() { ROOM - rest.len() } else { 0 };
        Self { bytes, len }
    }

    pub(super) fn of_lock(name: Name) -> Self {
        Self::of(slow::class_name(name), name.key)
    }

    pub(in super::super) fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_of_one_class_are_told_apart_by_their_keys() {
        assert_eq!(Label::of("handles", 0).as_str(), "handles");
        assert_eq!(Label::of("store", 17).as_str(), "store#17");
        let longest = "c".repeat(64);
        assert_eq!(Label::of(&longest, u64::MAX).as_str(), format!("{longest}#{}", u64::MAX));
    }
}
