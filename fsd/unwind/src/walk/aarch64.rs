//! aarch64: registers for the unwinder, and what a call looks like.

use framehop::UnwindRegsNative;

use super::{Point, Registers};
use crate::image::Memory;

pub(super) fn unwind_regs(from: &Registers) -> UnwindRegsNative {
    UnwindRegsNative::new(from.lr, from.sp, from.fp)
}

/// A thread in a system call wrapper has its caller in the frame record at the stack pointer.
pub(super) fn blocked_lr(sp: u64, word: &mut dyn FnMut(u64) -> Option<u64>) -> u64 {
    word(sp + 8).unwrap_or(0)
}

/// The same place with another frame pointer.
pub(super) fn with_fp(mut point: Point, fp: u64) -> Point {
    point.regs.set_fp(fp);
    point
}

/// Whether the instruction before `to` is `bl` or `blr`.
pub(super) fn follows_call(to: u64, code: &dyn Memory) -> bool {
    let mut before = [0; 4];
    let got = to.checked_sub(4).map_or(0, |from| code.read(from, &mut before));
    let word = u32::from_le_bytes(before);
    got == 4 && (word & 0xfc00_0000 == 0x9400_0000 || word & 0xffff_fc1f == 0xd63f_0000)
}
