//! Requests that the daemon has read and does not answer: whom it waits for, as far as its sockets tell.

use std::collections::BTreeSet;

use fsd_events::op::{Class, Op};

use super::{Case, age_text, label};
use crate::engine::{
    fact::{Awaited, PendingState},
    plural::count,
    report::{Cause, Confidence, Verdict},
};

const DUMP: &str = "take the daemon's stack dump: the kernel cannot tell what it does inside";

impl Case<'_> {
    pub(super) fn in_daemon(&self) -> Option<Verdict> {
        let (place, oldest) = self.oldest()?;
        let peers = self.state.daemon.as_ref().map(|(_, d)| d.peers.as_slice()).unwrap_or_default();
        let on_socket = oldest.thread_waits.as_deref().is_some_and(|w| w.contains("(tcp "));
        let inside = oldest.thread_waits.as_deref().and_then(inside);
        let server = match (&oldest.thread, &oldest.thread_waits) {
            (Some(thread), Some(waits)) => {
                let whom = inside.map(|inside| format!(": it waits for {}", inside.whom)).unwrap_or_default();
                format!(" Probably its {thread} serves it, in {waits}{whom}.")
            }
            _ => String::new(),
        };
        let awaits = self.state.daemon.as_ref().and_then(|(_, d)| d.awaits.as_ref());
        let network = self.outside(on_socket || inside.is_some());
        let known = oldest.state == PendingState::InDaemon;
        let took =
            if known { "took it and does not answer" } else { "does not answer; whether it was read is unknown" };
        let sentence = format!(
            "{} is unanswered{}: {} {took}.{server}{network}",
            label(oldest),
            age_text(oldest.age_us),
            self.daemon()
        );
        let speaks = !peers.is_empty() || awaits.is_some() || inside.is_some();
        let upstream = on_socket || speaks || matches!(oldest.op.class(), Class::Data) || oldest.op == Op::Readdir;
        let (cause, confidence) = match (upstream, on_socket, known) {
            (true, true, true) => (Cause::UpstreamStall, Confidence::High),
            (true, _, true) if speaks => (Cause::UpstreamStall, Confidence::Medium),
            // Nobody outside is spoken to, and content is not all that stands still.
            (true, ..) if !speaks && self.kinds() > 1 => (Cause::LockPileup, Confidence::Low),
            (true, ..) => (Cause::UpstreamStall, Confidence::Low),
            (false, ..) => (Cause::LostReply, Confidence::Low),
        };
        let verdict = self.verdict(cause, confidence, sentence, Some(oldest));
        let next = self.elsewhere(inside).unwrap_or(DUMP);
        Some(self.citing(verdict, &[*place], &[next]))
    }

    /// Whom the daemon waits for outside, in a sentence of its own; `on_socket`: its connection is told already.
    pub(super) fn outside(&self, on_socket: bool) -> String {
        let Some((_, daemon)) = &self.state.daemon else { return String::new() };
        match (daemon.peers.first(), &daemon.awaits) {
            (_, Some((thread, Awaited::Mount))) => format!(" Its {thread} waits for another FUSE mount."),
            (Some(peer), _) if !on_socket => {
                format!(" It has {}, the first to {peer}.", count(daemon.peers.len(), "TCP connection"))
            }
            (None, Some((thread, Awaited::Process))) => {
                format!(" Its {thread} waits for the process at the other end of a socket or pipe.")
            }
            _ => String::new(),
        }
    }

    /// Where to look on, where the daemon waits for what is not inside of it.
    pub(super) fn elsewhere(&self, inside: Option<&Inside>) -> Option<&'static str> {
        let awaits = self.state.daemon.as_ref().and_then(|(_, daemon)| daemon.awaits.as_ref());
        let below = awaits.is_some_and(|(_, whom)| *whom == Awaited::Mount);
        below.then_some("find the mount below that hangs: fsdiag mounts").or(inside.map(|inside| inside.advice))
    }

    /// How many kinds of operations the daemon has and does not answer.
    fn kinds(&self) -> usize {
        self.old(PendingState::InDaemon).iter().map(|(_, p)| p.op).collect::<BTreeSet<Op>>().len()
    }
}

/// Whom a thread waits for in the kernel, where it is no descriptor.
pub(super) struct Inside {
    pub whom: &'static str,
    pub advice: &'static str,
    /// Functions of the kernel, or how they begin.
    frames: &'static [&'static str],
}

const INSIDE: &[Inside] = &[
    Inside {
        whom: "a process that it has started",
        advice: "see what the process does that the daemon has started, and waits for: ps --ppid",
        frames: &["do_wait", "kernel_wait4", "kernel_waitid"],
    },
    Inside {
        whom: "the file system or the disk below",
        advice: "see why that does not answer (fsfreeze, a failing disk, a dead server): no debugger gets hold of a thread that waits there",
        frames: &[
            "percpu_rwsem_wait",
            "mnt_want_write",
            "io_schedule",
            "folio_wait",
            "wait_on_buffer",
            "wait_on_page",
            "jbd2_",
            "rpc_wait",
            "nfs_wait",
            "blk_mq_",
            "submit_bio_wait",
        ],
    },
];

/// The same of the innermost functions of a thread, as they are told.
pub(super) fn inside(waits: &str) -> Option<&'static Inside> {
    // A mount below is told by itself.
    let fuse = |frame: &str| frame.starts_with("fuse_") || frame == "request_wait_answer";
    let within =
        |inside: &&Inside| waits.split(" < ").any(|frame| inside.frames.iter().any(|start| frame.starts_with(start)));
    INSIDE.iter().find(within).filter(|_| !waits.split(" < ").any(fuse))
}
