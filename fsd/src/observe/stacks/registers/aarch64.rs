//! aarch64: pc, sp, x29 and x30 out of a signal context.

use fsd_unwind::Registers;

pub(in crate::observe::stacks) fn of(context: &libc::ucontext_t) -> Registers {
    let machine = &context.uc_mcontext;
    Registers { pc: machine.pc, sp: machine.sp, fp: machine.regs[29], lr: machine.regs[30] }
}
