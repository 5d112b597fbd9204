//! Requests that the daemon has read and does not answer: whom it waits for, as far as its sockets tell.

use std::collections::BTreeSet;

use fsd_events::op::{Class, Op};

use super::{Case, age_text, label};
use crate::engine::{
    fact::{Awaited, PendingState},
    plural::count,
    report::{Cause, Confidence, Verdict},
};

pub(super) const MOUNT_BELOW: &str = "find the mount below that hangs: fsdiag mounts";

impl Case<'_> {
    pub(super) fn in_daemon(&self) -> Option<Verdict> {
        let (place, oldest) = self.oldest()?;
        let peers = self.state.daemon.as_ref().map(|(_, d)| d.peers.as_slice()).unwrap_or_default();
        let on_socket = oldest.thread_waits.as_deref().is_some_and(|w| w.contains("(tcp "));
        let server = match (&oldest.thread, &oldest.thread_waits) {
            (Some(thread), Some(waits)) => format!(" Probably its {thread} serves it, in {waits}."),
            _ => String::new(),
        };
        let awaits = self.state.daemon.as_ref().and_then(|(_, d)| d.awaits.as_ref());
        let network = self.outside(on_socket);
        let known = oldest.state == PendingState::InDaemon;
        let took =
            if known { "took it and does not answer" } else { "does not answer; whether it was read is unknown" };
        let sentence = format!(
            "{} is unanswered{}: {} {took}.{server}{network}",
            label(oldest),
            age_text(oldest.age_us),
            self.daemon()
        );
        let speaks = !peers.is_empty() || awaits.is_some();
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
        let next = if self.waits_below() {
            MOUNT_BELOW
        } else {
            "take the daemon's stack dump: the kernel cannot tell what it does inside"
        };
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

    pub(super) fn waits_below(&self) -> bool {
        let awaits = self.state.daemon.as_ref().and_then(|(_, daemon)| daemon.awaits.as_ref());
        awaits.is_some_and(|(_, whom)| *whom == Awaited::Mount)
    }

    /// How many kinds of operations the daemon has and does not answer.
    fn kinds(&self) -> usize {
        self.old(PendingState::InDaemon).iter().map(|(_, p)| p.op).collect::<BTreeSet<Op>>().len()
    }
}
