//! Code: the executable and its libraries, as far as they were mapped when somebody last looked.

use std::io;

use fsd_unwind::{Walker, image, maps};

use super::system::Own;

/// What unwinding needs of everything that is mapped.
pub(super) struct Code {
    pub(super) walker: Walker,
    /// Of the files that were mapped.
    mapped: u64,
}

impl Code {
    /// Reads what is mapped now.
    ///
    /// # Errors
    /// When the address space cannot be read.
    pub(super) fn load() -> io::Result<Self> {
        let text = std::fs::read("/proc/self/maps")?;
        Ok(Self { walker: Walker::new(image::load(&text, &Own)), mapped: sum(&text) })
    }

    pub(super) fn mapped(&self) -> u64 {
        self.mapped
    }

    /// None while the same files are mapped as when `known` was made.
    pub(super) fn other_than(known: u64) -> Option<Self> {
        let text = std::fs::read("/proc/self/maps").ok()?;
        (sum(&text) != known).then(Self::load)?.ok()
    }
}

/// Of where each file begins and what it is called.
fn sum(text: &[u8]) -> u64 {
    let files = maps::parse(text).filter(|mapping| mapping.offset == 0 && mapping.path.first() == Some(&b'/'));
    files.fold(0xcbf2_9ce4_8422_2325, |sum, mapping| {
        let start = mapping.start.to_le_bytes();
        let bytes = start.iter().chain(mapping.path);
        bytes.fold(sum, |sum: u64, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
    })
}
