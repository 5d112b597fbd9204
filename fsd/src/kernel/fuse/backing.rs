//! Backing files: complete files that the kernel reads by itself, also when an earlier worker gave them to it.

use std::{fs::File, io, mem, os::fd::OwnedFd, sync::Arc};

use fsd_events::ids::Fh;
use fuser::{BackingId, FopenFlags, ReplyOpen};

use crate::{names::handles::Backing, platform::mounting};

/// Hands `file` to the kernel; None when it cannot take it.
pub(super) fn give(reply: &ReplyOpen, file: &File) -> Option<Backing> {
    // The kernel says no without the right, for stacked file systems and the like: then it reads through us.
    let backing = reply.open_backing(file).ok()?;
    let id = number(&format!("{backing:?}"))?;
    Some(Backing { id, keep: Arc::new(backing) })
}

/// The number of a backing file: fuser shows it in its text alone, and a later worker needs it.
fn number(text: &str) -> Option<u32> {
    let digits = &text[text.find("backing_id: ")? + "backing_id: ".len()..];
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// A backing file that an earlier worker gave to the kernel.
#[derive(Debug)]
pub(super) struct Adopted {
    device: Arc<OwnedFd>,
    id: u32,
}

/// Takes a backing file over from an earlier worker.
pub(super) fn adopt(device: &Arc<OwnedFd>, id: u32) -> Backing {
    Backing { id, keep: Arc::new(Adopted { device: Arc::clone(device), id }) }
}

impl Adopted {
    /// Answers an OPEN with it. fuser knows only backing files of its own, so the answer is written past it.
    fn answer(&self, unique: u64, fh: Fh, flags: FopenFlags) -> io::Result<()> {
        let mut message = Vec::with_capacity(32);
        message.extend(32_u32.to_ne_bytes());
        message.extend(0_i32.to_ne_bytes());
        message.extend(unique.to_ne_bytes());
        message.extend(fh.0.to_ne_bytes());
        message.extend((flags | FopenFlags::FOPEN_PASSTHROUGH).bits().to_ne_bytes());
        message.extend(self.id.to_ne_bytes());
        nix::unistd::write(&*self.device, &message)?;
        Ok(())
    }
}

impl Drop for Adopted {
    fn drop(&mut self) {
        // The connection may be gone, and every backing file with it.
        drop(mounting::close_backing(&*self.device, self.id));
    }
}

/// Answers an OPEN with a backing file; gives the reply back when that is not possible.
pub(super) fn answer(
    reply: ReplyOpen,
    unique: u64,
    fh: Fh,
    flags: FopenFlags,
    backing: &Backing,
) -> Result<(), ReplyOpen> {
    if let Some(own) = backing.keep.downcast_ref::<BackingId>() {
        reply.opened_passthrough(fuser::FileHandle(fh.0), flags, own);
        return Ok(());
    }
    match backing.keep.downcast_ref::<Adopted>().map(|adopted| adopted.answer(unique, fh, flags)) {
        Some(Ok(())) => {
            // Answered already: dropping it would answer again.
            mem::forget(reply);
            Ok(())
        }
        _ => Err(reply),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_read_from_the_text_and_from_no_other() {
        assert_eq!(number("BackingId { channel: (Weak), backing_id: 17 }"), Some(17));
        assert_eq!(number("BackingId"), None);
    }
}
