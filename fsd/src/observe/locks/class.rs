//! The class: one declaration of a lock, with its name and its place in the order.

use std::sync::{
    OnceLock,
    atomic::{
        AtomicUsize,
        Ordering::{AcqRel, Relaxed},
    },
};

use fsd_events::{
    event::{LockKind, LockMode},
    ring::tables::{
        Tag,
        locks::{CLASS_WORDS, CLASSES, CLASSES_AT},
    },
};

use super::{
    super::memory::{self, Memory},
    Rank,
};

/// One declaration of a lock: its name in events and its place in the order.
#[derive(Debug)]
pub struct Class {
    name: &'static str,
    rank: Rank,
    /// From 1; 0 when there were too many classes to number.
    number: OnceLock<u16>,
}

/// Every class that has a lock, at its number less one.
static ALL: [OnceLock<&'static Class>; CLASSES] = [const { OnceLock::new() }; CLASSES];

impl Class {
    pub const fn new(name: &'static str, rank: Rank) -> Self {
        Self { name, rank, number: OnceLock::new() }
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn rank(&self) -> Rank {
        self.rank
    }

    /// The class of that number.
    pub(super) fn numbered(number: u16) -> Option<&'static Self> {
        ALL.get(usize::from(number).checked_sub(1)?)?.get().copied()
    }

    /// How entries name a lock of this class.
    pub(super) fn tag(&'static self, kind: LockKind) -> u64 {
        let class = *self.number.get_or_init(|| self.register());
        Tag { class, kind, mode: LockMode::Read, rank: self.rank as u8 }.pack()
    }

    fn register(&'static self) -> u16 {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let index = NEXT.fetch_add(1, AcqRel);
        let Some(place) = ALL.get(index) else { return 0 };
        // The index is new, so nobody else has the place.
        let _taken = place.set(self);
        memory::every().for_each(|memory| write_name(memory, index, self.name));
        u16::try_from(index + 1).unwrap_or(0)
    }
}

/// Writes the names of the classes that are known already into new memory.
pub(in super::super) fn publish(memory: &Memory) {
    for (index, class) in ALL.iter().enumerate() {
        if let Some(class) = class.get() {
            write_name(memory, index, class.name);
        }
    }
}

fn write_name(memory: &Memory, index: usize, name: &str) {
    let at = CLASSES_AT + index * CLASS_WORDS;
    for (to, from) in memory.locks[at..at + CLASS_WORDS].iter().zip(name.as_bytes().chunks(8)) {
        let mut bytes = [0; 8];
        bytes[..from.len()].copy_from_slice(from);
        to.store(u64::from_ne_bytes(bytes), Relaxed);
    }
}
