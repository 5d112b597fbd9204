//! Lanes: one request from ENTER to its one answer.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{SyncSender, sync_channel},
};

use fsd_events::op::Op;

use crate::{
    kernel::fs::{Ask, AskBytes, AskOpen, Errno, Fs, Opened},
    names::handles::Backing,
    observe::{Span, Target, journal, locks},
};

use super::{
    backing,
    convert::{self, Answer, AnswerBytes, Refuse},
};

/// An operation under way: it owns the span and the reply, so that it can neither answer without EXIT nor end
/// without an answer.
pub(super) struct Call<R: Refuse> {
    open: Option<(Span, R)>,
    /// Dropped with the call: whoever waits at the other end goes on then.
    _done: Option<SyncSender<()>>,
}

impl<R: Refuse> Call<R> {
    fn finish(&mut self, answer: impl FnOnce(R) -> (u32, u64)) {
        let Some((span, reply)) = self.open.take() else { return };
        locks::assert_none_held("reply");
        #[cfg(feature = "failpoints")]
        if lost(span.op()) {
            std::mem::forget(reply);
            return span.exit(0, 0);
        }
        #[cfg(feature = "failpoints")]
        die(&span);
        let (errno, bytes) = answer(reply);
        span.exit(errno, bytes);
    }

    fn refuse(&mut self, errno: Errno) {
        self.finish(|reply| {
            reply.refuse(errno);
            (errno.code().unsigned_abs(), 0)
        });
    }

    fn span(&self) -> &Span {
        &self.open.as_ref().expect("an answer consumes the call").0
    }
}

/// The fail point `reply::lost`, with the operation's name or without one for all: the kernel never hears.
#[cfg(feature = "failpoints")]
fn lost(op: Op) -> bool {
    fail::fail_point!("reply::lost", |which| which.is_none_or(|name| name == op.name()));
    false
}

/// The fail point `handover::die`, with names of operations and `+` between: everything is done, and nothing said. What
/// the kernel sends again is answered, or no worker would ever live.
#[cfg(feature = "failpoints")]
fn die(span: &Span) {
    fail::fail_point!("handover::die", |which: Option<String>| {
        if !span.resent() && which.is_some_and(|names| names.split('+').any(|name| name == span.op().name())) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
        }
    });
}

impl<R: Refuse> Drop for Call<R> {
    fn drop(&mut self) {
        if let Some((span, _)) = &self.open {
            journal::invariant("an operation ended without an answer", span.op().name());
            self.refuse(Errno::EIO);
        }
    }
}

impl<T, R: Answer<T>> Ask<T> for Call<R> {
    fn span(&self) -> &Span {
        Call::span(self)
    }

    fn answer(mut self, got: Result<T, Errno>) {
        match got {
            Ok(value) => self.finish(|reply| (0, reply.answer(value))),
            Err(errno) => self.refuse(errno),
        }
    }
}

impl<R: AnswerBytes> AskBytes for Call<R> {
    fn span(&self) -> &Span {
        Call::span(self)
    }

    fn answer_bytes(mut self, got: Result<&[u8], Errno>) {
        match got {
            Ok(bytes) => self.finish(|reply| {
                reply.bytes(bytes);
                (0, bytes.len() as u64)
            }),
            Err(errno) => self.refuse(errno),
        }
    }
}

/// An OPEN, which may hand a file to the kernel.
pub(super) struct OpenCall {
    pub(super) call: Call<fuser::ReplyOpen>,
    /// As the kernel sent it, with the resend bit.
    pub(super) unique: u64,
    pub(super) passthrough: bool,
    /// Past the kernel's cache.
    pub(super) direct: bool,
}

impl Ask<Opened> for OpenCall {
    fn span(&self) -> &Span {
        self.call.span()
    }

    fn answer(mut self, got: Result<Opened, Errno>) {
        match got {
            Ok(opened) => self.call.finish(|reply| {
                convert::opened(reply, self.unique, &opened, self.direct);
                (0, 0)
            }),
            Err(errno) => self.call.refuse(errno),
        }
    }
}

impl AskOpen for OpenCall {
    fn back(&self, file: &std::fs::File) -> Option<Backing> {
        let (_, reply) = self.call.open.as_ref().filter(|_| self.passthrough)?;
        backing::give(reply, file)
    }
}

/// How callbacks are run.
#[derive(Debug)]
pub(super) struct Lanes {
    pub(super) fs: Fs,
    /// A callback returns when it has answered.
    pub(super) single: bool,
}

impl Lanes {
    /// Records ENTER, then does `work`, which answers now or later. A panic becomes EIO.
    pub(super) fn run<R: Refuse>(&self, op: Op, target: &Target<'_>, reply: R, work: impl FnOnce(&Fs, Call<R>)) {
        let span = Span::enter(op, target);
        let scope = span.scope();
        #[cfg(feature = "failpoints")]
        fail::fail_point!("callback::enter");
        let (done, wait) = if self.single { sync_channel(0) } else { return self.work(span, reply, None, work) };
        self.work(span, reply, Some(done), work);
        drop(scope);
        // Nothing is ever sent: this ends when the call has been answered and dropped.
        let _ = wait.recv();
    }

    fn work<R: Refuse>(&self, span: Span, reply: R, done: Option<SyncSender<()>>, work: impl FnOnce(&Fs, Call<R>)) {
        let name = span.op().name();
        let call = Call { open: Some((span, reply)), _done: done };
        if catch_unwind(AssertUnwindSafe(|| work(&self.fs, call))).is_err() {
            journal::invariant("panic in a callback", name);
        }
    }

    /// An operation that the kernel wants no answer to.
    pub(super) fn note(op: Op, target: &Target<'_>) {
        Span::enter(op, target).exit(0, 0);
    }
}
