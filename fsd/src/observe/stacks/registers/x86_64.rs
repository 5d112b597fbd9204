//! x86_64: rip, rsp and rbp out of a signal context.

use fsd_unwind::Registers;

pub(in crate::observe::stacks) fn of(context: &libc::ucontext_t) -> Registers {
    let at = |register: libc::c_int| context.uc_mcontext.gregs[register as usize].cast_unsigned();
    Registers { pc: at(libc::REG_RIP), sp: at(libc::REG_RSP), fp: at(libc::REG_RBP), lr: 0 }
}
