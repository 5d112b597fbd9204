//! What to try next: the decision rules of the project's founding document, word by word where they apply, and the
//! single capture that would settle an open question.

use super::report::{Input, UNKNOWN, Verdict};

pub const SKIP_EVICTION: &str = "restart with debug_skip_eviction: if the hangs stop, the bug is in the eviction or close path; if they go on, it is elsewhere (Open, Getattr, ...)";
pub const SINGLE_THREAD: &str = "restart with debug_fskit_single_thread: the first callback that blocks shows up clearly; if the bug disappears, it is a concurrency issue";
pub const GETATTR: &str = "a high Getattr count suggests Getattr is blocked behind Release";
pub const NO_LOCK_ACROSS_IO: &str =
    "never hold a lock across I/O: take out what is needed, drop the lock, then close or fetch";
pub const DUMP_NOW: &str = "a stack dump taken now would name the holder: fsdiag dump; gdb, eu-stack or py-spy for another daemon (kill -QUIT ends one in Go)";
pub const SECOND_DUMP: &str = "a second dump ten seconds later shows whether it moves";
pub const LOCK_EVENTS: &str = "turn debug_lock_events on: then the log names holders and waiters";
pub const KERNEL_LOOK: &str =
    "fsdiag attach shows what the kernel still waits for: if nothing, these are lost log lines";

pub const FLAG_SKIP: &str = "debug_skip_eviction";
pub const FLAG_SINGLE: &str = "debug_fskit_single_thread";
pub const FLAG_LOCKS: &str = "debug_lock_events";

/// Only `fsd` and its ancestor have debug flags: whoever runs another daemon is not told to set them.
pub(super) fn for_whom_it_is(verdicts: &mut [Verdict], inputs: &[Input]) {
    let others = |input: &Input| {
        let word = input.format.split('-').next();
        word.is_some_and(|word| !matches!(word, "" | "fsd" | "seed" | UNKNOWN))
    };
    if inputs.is_empty() || !inputs.iter().all(others) {
        return;
    }
    for verdict in verdicts {
        verdict.advice.retain(|advice| ![SKIP_EVICTION, SINGLE_THREAD, LOCK_EVENTS].contains(&advice.as_str()));
        verdict.isolate.clear();
    }
}
