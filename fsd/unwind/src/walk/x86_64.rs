//! x86_64: registers for the unwinder, and what a call looks like.

use framehop::UnwindRegsNative;

use super::{Point, Registers};
use crate::image::Memory;

pub(super) fn unwind_regs(from: &Registers) -> UnwindRegsNative {
    UnwindRegsNative::new(from.pc, from.sp, from.fp)
}

/// There is no link register.
pub(super) fn blocked_lr(_sp: u64, _word: &mut dyn FnMut(u64) -> Option<u64>) -> u64 {
    0
}

/// The same place with another frame pointer.
pub(super) fn with_fp(mut point: Point, fp: u64) -> Point {
    point.regs.set_bp(fp);
    point
}

/// Whether the instruction before `to` is a call: `e8 rel32`, or `ff /2` in its five lengths.
pub(super) fn follows_call(to: u64, code: &dyn Memory) -> bool {
    let mut before = [0; 7];
    let got = to.checked_sub(7).map_or(0, |from| code.read(from, &mut before));
    let indirect = |length: usize| before[7 - length] == 0xff && before[8 - length] & 0x38 == 0x10;
    got == 7 && (before[2] == 0xe8 || [2, 3, 4, 6, 7].into_iter().any(indirect))
}
