//! The handshake: what we ask the kernel for, one by one, because an unknown flag would cost all the others.

use std::{
    fmt::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use fuser::{InitFlags, KernelConfig, Request};

/// Largest WRITE; none is ever taken, but the kernel sizes its READs by it too.
const MAX_WRITE: u32 = 1 << 20;

/// What every mount wants. Never AUTO_INVAL_DATA: a changed time would freeze `stat` behind a stalled READ.
const WANTED: [InitFlags; 5] = [
    InitFlags::FUSE_PARALLEL_DIROPS,
    InitFlags::FUSE_EXPLICIT_INVAL_DATA,
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_READDIRPLUS_AUTO,
    InitFlags::FUSE_HAS_RESEND,
];

/// What the configuration wants from INIT, and what came of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes {
    pub(super) all_callbacks: bool,
    pub(super) passthrough: bool,
    pub(super) max_background: u16,
    pub(super) outcome: Arc<Outcome>,
}

#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) minor: AtomicU32,
    pub(super) offered: AtomicU64,
    pub(super) taken: AtomicU64,
    pub(super) passthrough: AtomicBool,
}

/// True when complete files may be handed to the kernel.
pub(super) fn negotiate(config: &mut KernelConfig, wishes: &Wishes) -> bool {
    let mut taken = InitFlags::empty();
    for flag in WANTED {
        if config.add_capabilities(flag).is_ok() {
            taken |= flag;
        }
    }
    // Depth 2: the temp file may be on an overlay.
    let passthrough = wishes.passthrough
        && config.add_capabilities(InitFlags::FUSE_PASSTHROUGH).is_ok()
        && config.set_max_stack_depth(2).is_ok();
    if passthrough {
        taken |= InitFlags::FUSE_PASSTHROUGH;
    }
    let background = wishes.max_background.max(1);
    // None of these has a value that fails; the kernel cuts them to its own limits.
    let _ = config.set_max_background(background);
    let _ = config.set_congestion_threshold(background);
    let _ = config.set_max_write(MAX_WRITE);
    let outcome = &wishes.outcome;
    outcome.minor.store(config.kernel_abi().1, Ordering::Relaxed);
    outcome.offered.store(config.capabilities().bits(), Ordering::Relaxed);
    outcome.taken.store(taken.bits(), Ordering::Relaxed);
    outcome.passthrough.store(passthrough, Ordering::Relaxed);
    passthrough
}

/// How many inodes a batched FORGET names; None for a single one. fuser takes batches apart before anybody sees
/// them and does not show the operation, except in the text of the request.
pub(super) fn batch(req: &Request) -> Option<u64> {
    let mut text = Text::default();
    // Longer text than there is room for is cut: the wanted fields come first.
    let _ = write!(text, "{req:?}");
    parse_batch(text.as_str())
}

const HEADER: u64 = 40;
const BATCH_HEADER: u64 = 8;
const BATCH_ITEM: u64 = 16;

fn parse_batch(text: &str) -> Option<u64> {
    let field = |name: &str| {
        let rest = &text[text.find(name)? + name.len()..];
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse::<u64>().ok()
    };
    let opcode = field("opcode: ")?;
    let length = field("len: ")?;
    (opcode == u64::from(fsd_events::op::Op::BatchForget.opcode()))
        .then(|| length.saturating_sub(HEADER + BATCH_HEADER) / BATCH_ITEM)
}

/// A little text on the stack.
struct Text {
    bytes: [u8; 128],
    used: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self { bytes: [0; 128], used: 0 }
    }
}

impl Text {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.used]).unwrap_or_default()
    }
}

impl Write for Text {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = &mut self.bytes[self.used..];
        let count = part.len().min(room.len());
        room[..count].copy_from_slice(&part.as_bytes()[..count]);
        self.used += count;
        if count == part.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_told_from_a_single_forget() {
        let header = |len, opcode| {
            format!("Request {{ header: fuse_in_header {{ len: {len}, opcode: {opcode}, unique: 8, nodeid: 0 }} }}")
        };
        assert_eq!(parse_batch(&header(48 + 3 * 16, 42)), Some(3));
        assert_eq!(parse_batch(&header(48, 2)), None);
        assert_eq!(parse_batch("something else"), None);
    }
}
