//! Formats: every log and dump that can be read, one parser each, from lines to facts.
//!
//! Parsers never fail and never panic, keep a bounded state, and read each line once. [`PARSERS`] is the single
//! list; [`Mixed`] runs all of them over one input, because real files mix formats.

pub mod block;
mod clock;
mod dialect;
mod dump;
mod envelope;
mod gate;
mod hint;
mod leaves;
mod mixed;
mod nodes;
mod object;
mod recent;
mod salvage;
mod scan;
#[cfg(test)]
mod tests;
mod writer;

use crate::engine::{
    fact::{At, Call, Done, Fact, HintKind, Key, Place, Victim, What},
    report::UNKNOWN,
    veil::veiled,
};

pub use gate::Mark;
pub use mixed::{Counts, Mixed};

/// One line without its envelope (container, journal, colour) and without the time it started with.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    pub place: Place,
    pub text: &'a str,
    pub at: At,
    /// The machine whose line it is; empty where its envelope does not tell.
    pub host: &'a str,
}

/// What a parser did with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Not of this format.
    No,
    Yes,
    /// Of this format, but cut or garbled.
    Bad,
    /// Of this format, and it tells no more than that the daemon wrote it at this time.
    Chat(At),
}

impl Taken {
    /// Whether the line is whole, and of this format.
    fn is_own(self) -> bool {
        matches!(self, Self::Yes | Self::Chat(_))
    }
}

/// Turns the lines of one format into facts.
pub trait Parser: Send {
    /// Name of the format in the report.
    fn format(&self) -> &'static str;
    /// What the lines have that it takes while it waits for nothing.
    fn marks(&self) -> &'static [Mark];
    /// Whether it waits for nothing: then it refuses every line without a mark, and nothing changes by that. By a line
    /// that it refuses, with a mark or without, it never begins to wait.
    fn is_idle(&self) -> bool {
        true
    }
    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken;
    /// The file's name tells of which thread its lines are, where they do not say it themselves.
    fn named(&mut self, _tid: u64) {}
    /// No further line is there for now: hands over what was held back to join it with later lines, and goes on.
    fn settle(&mut self, _out: &mut Vec<Fact>) {}
    /// The input has ended.
    fn finish(&mut self, out: &mut Vec<Fact>) {
        self.settle(out);
    }
}

/// One format.
pub struct Entry {
    pub format: &'static str,
    pub make: fn() -> Box<dyn Parser>,
    /// Formats that understand some of these lines better.
    pub yields_to: &'static [&'static str],
    /// The same, once they have seen their own: the lines that those begin with it refuses.
    pub gives_way_to: &'static [&'static str],
    /// Writes a file for each thread: numbers at the end of names are threads then, and no pieces of one log.
    pub by_thread: bool,
}

impl Entry {
    const fn new(format: &'static str, make: fn() -> Box<dyn Parser>) -> Self {
        Self { format, make, yields_to: &[], gives_way_to: &[], by_thread: false }
    }

    const fn yields_to(self, yields_to: &'static [&'static str]) -> Self {
        Self { yields_to, ..self }
    }

    const fn gives_way_to(self, gives_way_to: &'static [&'static str]) -> Self {
        Self { gives_way_to, ..self }
    }

    const fn by_thread(self) -> Self {
        Self { by_thread: true, ..self }
    }
}

/// Every foreign format; fsd's own events are read before them. A line goes to the first parser that takes it; one
/// whose lines another format reads better names that format.
pub const PARSERS: &[Entry] = &[
    Entry::new("fsd-stacks", dump::fsd_stacks::parser),
    Entry::new("seed-log", dialect::seed_log::parser),
    Entry::new("libfuse-debug", dialect::libfuse_debug::parser),
    Entry::new("bazil-fuse", dialect::bazil_fuse::parser),
    Entry::new("rclone", dialect::rclone::parser).gives_way_to(&["bazil-fuse"]),
    Entry::new("mountpoint-s3", dialect::mountpoint_s3::parser),
    Entry::new("fuser-debug", dialect::fuser_debug::parser).yields_to(&["mountpoint-s3"]),
    Entry::new("go-fuse", dialect::go_fuse::parser),
    Entry::new("gcsfuse", dialect::gcsfuse::parser),
    Entry::new("juicefs-accesslog", dialect::juicefs_accesslog::parser),
    Entry::new("sshfs-debug", dialect::sshfs_debug::parser).gives_way_to(&["libfuse-debug"]),
    Entry::new("loggedfs", dialect::loggedfs::parser),
    Entry::new("glusterfs", dialect::glusterfs::parser),
    Entry::new("s3fs", dialect::s3fs::parser),
    Entry::new("fusepy", dialect::fusepy::parser),
    Entry::new("kernel-trace", dialect::kernel_trace::parser),
    Entry::new("strace", dialect::strace::parser).by_thread(),
    Entry::new("hung-task", dialect::hung_task::parser),
    Entry::new("seed-stacks", dump::seed_stacks::parser),
    Entry::new("go-panic", dump::go_panic::parser),
    Entry::new("go-stacks", dump::go_stacks::parser).gives_way_to(&["seed-stacks", "go-panic"]),
    Entry::new("gdb", dump::gdb::parser),
    Entry::new("eu-stack", dump::eu_stack::parser),
    Entry::new("jstack", dump::jstack::parser),
    Entry::new("py-spy", dump::py_spy::parser),
    Entry::new("python-faulthandler", dump::python_faulthandler::parser),
    Entry::new("rust-panic", dump::rust_panic::parser),
    Entry::new("tokio-dump", dump::tokio_dump::parser),
    Entry::new("proc-stacks", dump::proc_stacks::parser),
    Entry::new("glusterfs-statedump", dump::glusterfs_statedump::parser),
    Entry::new("ceph-requests", dump::ceph_requests::parser),
    Entry::new(UNKNOWN, dialect::ending::parser),
];

impl Line<'_> {
    fn fact(&self, what: What) -> Fact {
        Fact { place: self.place, at: self.at, what }
    }

    fn enter(&self, call: Call, out: &mut Vec<Fact>) -> Taken {
        out.push(self.fact(What::Enter(call.boxed())));
        Taken::Yes
    }

    fn exit(&self, done: Done, out: &mut Vec<Fact>) -> Taken {
        out.push(self.fact(What::Exit(done)));
        Taken::Yes
    }

    fn session(&self, banner: &str, workers: Option<u32>, out: &mut Vec<Fact>) -> Taken {
        let banner = snippet(banner);
        out.push(self.fact(What::Session { pid: None, run: None, workers, banner }));
        Taken::Yes
    }

    fn end(&self, crash: bool, out: &mut Vec<Fact>) -> Taken {
        let text = snippet(self.text);
        out.push(self.fact(What::SessionEnd { crash, text, victim: None }));
        Taken::Yes
    }

    /// Somebody else tells that this one died.
    fn death(&self, victim: Victim, out: &mut Vec<Fact>) -> Taken {
        let victim = Victim { host: self.host.into(), ..victim };
        let text = snippet(self.text);
        out.push(self.fact(What::SessionEnd { crash: true, text, victim: Some(victim) }));
        Taken::Yes
    }

    fn hint(&self, kind: HintKind, path: Option<&str>, out: &mut Vec<Fact>) -> Taken {
        let text = snippet(hint::message(self.text));
        out.push(self.fact(What::Hint { kind, key: None, path: path.map(Into::into), text }));
        Taken::Yes
    }

    /// Makes a hint of this line if it tells a cause; the line is taken either way.
    fn telling(&self, path: Option<&str>, out: &mut Vec<Fact>) -> Taken {
        self.telling_by(self.text, path, out)
    }

    /// The same where only these words of it can tell: what stands before them is a name.
    fn telling_by(&self, words: &str, path: Option<&str>, out: &mut Vec<Fact>) -> Taken {
        match hint::of(words) {
            Some(kind) => self.hint(kind, path, out),
            None => Taken::Chat(self.at),
        }
    }
}

/// An end of which nothing but the request is known.
fn done(key: Key) -> Done {
    Done { key, op: None, us: None, errno: None, bytes: None }
}

/// The begin of a line's text, as it may be shown.
fn snippet(text: &str) -> Box<str> {
    /// Longest copy in a fact, bytes; a URL may be long before there is little left of it.
    const LONGEST: usize = 300;
    const URL: usize = 8192;
    scan::clip(&veiled(scan::clip(text, URL)), LONGEST).into()
}

/// Most requests, threads or nodes that one parser remembers.
const REMEMBERED: usize = 1 << 16;
