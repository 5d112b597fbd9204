//! Requests that the daemon has read and does not answer: whom it waits for, as far as its sockets tell.

use std::collections::BTreeSet;

use fsd_events::op::{Class, Op};

use super::{Case, age_text, inside::Inside, is_outside, label, on_socket};
use crate::engine::{
    fact::{Awaited, Awaits, Pending, PendingState, Serving},
    plural::count,
    report::{Cause, Confidence, Verdict},
};

const DUMP: &str = "take the daemon's stack dump: the kernel cannot tell what it does inside";

impl Case<'_> {
    pub(super) fn in_daemon(&self) -> Option<Verdict> {
        let (place, oldest) = self.oldest()?;
        let peers = self.state.daemon.as_ref().map(|(_, d)| d.peers.as_slice()).unwrap_or_default();
        let on_socket = oldest.server.as_ref().is_some_and(on_socket);
        let known = oldest.state == PendingState::InDaemon;
        let took =
            if known { "took it and does not answer" } else { "does not answer; whether it was read is unknown" };
        let sentence = format!(
            "{} is unanswered{}: {} {took}.{}{}",
            label(oldest),
            age_text(oldest.age_us),
            self.daemon(),
            served(oldest),
            self.outside(oldest)
        );
        let awaits = self.awaits(oldest).is_some();
        let speaks = !peers.is_empty() || awaits;
        let seen = on_socket || oldest.server.as_ref().is_some_and(|server| server.sure && is_outside(server));
        let upstream = seen || speaks || matches!(oldest.op.class(), Class::Data) || oldest.op == Op::Readdir;
        let (cause, confidence) = match (upstream, seen, known) {
            (true, true, true) => (Cause::UpstreamStall, Confidence::High),
            (true, _, true) if speaks => (Cause::UpstreamStall, Confidence::Medium),
            // Nobody outside is spoken to, and content is not all that stands still.
            (true, ..) if !speaks && self.kinds() > 1 => (Cause::LockPileup, Confidence::Low),
            (true, ..) => (Cause::UpstreamStall, Confidence::Low),
            (false, ..) => (Cause::LostReply, Confidence::Low),
        };
        let verdict = self.verdict(cause, confidence, sentence, Some(oldest));
        Some(self.citing(verdict, &[*place], &[self.elsewhere(oldest).unwrap_or(DUMP)]))
    }

    /// A request that the daemon has read and nobody in it works on.
    pub(super) fn forgotten(&self) -> Option<Verdict> {
        let (at, daemon) = self.state.daemon.as_ref().filter(|(_, daemon)| daemon.at_rest)?;
        let (place, oldest) = self.oldest().filter(|(_, p)| p.state == PendingState::InDaemon && !may_wait(p.op))?;
        let sentence = format!(
            "{} is unanswered{}: {} took it, and nobody in it works on it: all its threads ({}) read the device, or have slept at a lock since before it was sent. The reply was lost, or never written.",
            label(oldest),
            age_text(oldest.age_us),
            self.daemon(),
            daemon.threads
        );
        let verdict = self.verdict(Cause::LostReply, Confidence::High, sentence, Some(oldest));
        let advice = "look for a path through that callback which returns without a reply, or lost the request it was to answer later";
        Some(self.citing(verdict, &[*place, *at], &[advice]))
    }

    /// Whom the thread of a request waits for; where no thread is known, whom any other waits for.
    fn awaits<'p>(&'p self, of: &'p Pending) -> Option<&'p Awaits> {
        let any = self.state.daemon.as_ref().and_then(|(_, daemon)| daemon.awaits.as_ref());
        of.server.as_ref().and_then(|server| server.awaits.as_ref()).or(any)
    }

    /// Whom the daemon waits for outside, in a sentence of its own, unless the thread of the request tells it.
    pub(super) fn outside(&self, of: &Pending) -> String {
        let Some((_, daemon)) = &self.state.daemon else { return String::new() };
        if of.server.as_ref().is_some_and(|server| on_socket(server) || server.awaits.is_some()) {
            return String::new();
        }
        match (daemon.peers.first(), &daemon.awaits) {
            (Some(peer), None | Some(Awaits { whom: Awaited::Process, .. })) => {
                format!(" It has {}, the first to {peer}.", count(daemon.peers.len(), "TCP connection"))
            }
            (_, Some(awaits)) => format!(" Its {} waits for {}.", awaits.thread, whom(awaits)),
            (None, None) => String::new(),
        }
    }

    /// Where to look on, where the daemon waits for what is not inside of it.
    pub(super) fn elsewhere(&self, of: &Pending) -> Option<&'static str> {
        let whom = self.awaits(of)?.whom;
        let below = whom == Awaited::Mount;
        below
            .then_some("find the mount below that hangs: fsdiag mounts")
            .or(Inside::of(whom).map(|inside| inside.advice))
    }

    /// How many kinds of operations the daemon has and does not answer.
    fn kinds(&self) -> usize {
        self.old(PendingState::InDaemon).iter().map(|(_, p)| p.op).collect::<BTreeSet<Op>>().len()
    }
}

/// Who serves a request, and where that thread waits.
fn served(pending: &Pending) -> String {
    let Some(Serving { thread, waits, sure, .. }) = &pending.server else { return String::new() };
    let its = if *sure { "Its" } else { "Probably its" };
    let whom = waits_for(pending).map(|whom| format!(": it waits for {whom}")).unwrap_or_default();
    format!(" {its} {thread} serves it, in {waits}{whom}.")
}

/// Whom the thread of a request waits for, in words.
pub(super) fn waits_for(pending: &Pending) -> Option<String> {
    pending.server.as_ref()?.awaits.as_ref().map(whom)
}

/// The server whose answer the thread of a request waits for.
pub(super) fn peer(pending: &Pending) -> Option<&str> {
    let (_, peer) = pending.server.as_ref()?.waits.split_once("(tcp ")?;
    peer.split([' ', ')']).next()
}

fn whom(awaits: &Awaits) -> String {
    let at = awaits.below.as_deref().map(|point| format!(", at {point}")).unwrap_or_default();
    let whom = match (awaits.whom, Inside::of(awaits.whom)) {
        (_, Some(inside)) => inside.whom,
        (Awaited::Mount, _) => "another FUSE mount",
        _ => "the process at the other end of a socket or pipe",
    };
    format!("{whom}{at}")
}

/// Whether an answer may wait for what others ask.
fn may_wait(op: Op) -> bool {
    matches!(op, Op::Setlkw | Op::Poll)
}
