//! Goroutines: the blocks that every Go dump consists of, `debug=2` and SIGQUIT, and the counted ones of `debug=1`.

use super::{Draft, hand_over, locks};
use crate::{
    engine::fact::{Fact, Frame, Name, Thread},
    formats::{Line, Taken, recent::Recent, scan},
};
use fsd_events::op::Op;

/// Whether the goroutine that writes the dump comes first in it, as in those of pprof: it is the only one that runs, so
/// another one that does writes another dump.
fn is_by_a_writer(draft: &Draft) -> bool {
    let first = draft.dump.threads.first().and_then(|thread| thread.frames.first());
    first.is_some_and(|frame| frame.function.ends_with(".writeGoroutineStacks"))
}

/// Reads goroutine blocks into a dump.
pub(super) struct Goroutines {
    format: &'static str,
    draft: Option<Draft>,
    /// A frame's function was read, its place comes next.
    expects_place: bool,
    /// The line before began a goroutine.
    begun: bool,
    /// Each line has an empty one behind it, as some ways of pasting leave them, and so many stand here.
    spaced: bool,
    blanks: u8,
    /// What goroutines stand in, and where: at the same few places.
    functions: Recent<Name>,
    places: Recent<(Name, Option<u32>)>,
    /// Functions and files of `debug=1`.
    names: Recent<Name>,
    /// `debug=1`: how many records were read.
    records: u64,
}

impl Goroutines {
    pub(super) fn new(format: &'static str) -> Self {
        let (functions, places, names) = (Recent::default(), Recent::default(), Recent::default());
        let (begun, spaced, blanks) = (false, false, 0);
        Self { format, draft: None, expects_place: false, begun, spaced, blanks, functions, places, names, records: 0 }
    }

    pub(super) fn is_reading(&self) -> bool {
        self.draft.is_some()
    }

    pub(super) fn threads(&mut self) -> &mut [Thread] {
        self.draft.as_mut().map_or(&mut [], |draft| &mut draft.dump.threads)
    }

    /// Begins a dump at this line, so that its facts point here.
    pub(super) fn begin(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) {
        self.hand_over(out);
        self.draft = Some(Draft::start(line, self.format));
        (self.spaced, self.records) = (false, 0);
    }

    pub(super) fn hand_over(&mut self, out: &mut Vec<Fact>) {
        if let Some(draft) = self.draft.as_mut().filter(|_| self.expects_place) {
            draft.dump.truncated = true;
        }
        self.expects_place = false;
        self.close();
        hand_over(&mut self.draft, out);
    }

    pub(super) fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        // Whoever quotes a dump indents it anew: what a line is like tells what it is.
        let (text, inner) = (line.text, scan::unindented(line.text));
        if inner.starts_with("goroutine ") {
            if let Some(header) = Header::read(inner) {
                return self.header(line, &header, out);
            }
            if let Some(rest) = text.strip_prefix("goroutine profile: total ") {
                self.begin(line, out);
                return if scan::num(rest).is_some() { Taken::Yes } else { Taken::Bad };
            }
        }
        if self.draft.is_none() {
            return Taken::No;
        }
        let Some(first) = text.as_bytes().first() else {
            self.spaced |= self.begun;
            self.blanks = self.blanks.saturating_add(1);
            if !self.spaced || self.blanks > 1 {
                self.close();
            }
            return Taken::No;
        };
        (self.begun, self.blanks) = (false, 0);
        // Most lines are those of frames, and none of these.
        match first {
            b'0'..=b'9' | b'#' => self.in_profile(line).unwrap_or_else(|| self.in_block(inner)),
            _ => self.in_block(inner),
        }
    }

    /// What stands in the blocks of `debug=1` only.
    fn in_profile(&mut self, line: &Line<'_>) -> Option<Taken> {
        if let Some((count, _)) = scan::num(line.text).filter(|(_, rest)| rest.starts_with(" @ 0x")) {
            return Some(self.record(line, count));
        }
        if let Some(rest) = line.text.strip_prefix("#\t") {
            return Some(self.counted_frame(rest));
        }
        line.text.starts_with("# labels: ").then_some(Taken::Yes)
    }

    fn header(&mut self, line: &Line<'_>, header: &Header<'_>, out: &mut Vec<Fact>) -> Taken {
        self.close();
        let begins = |draft: &Draft| draft.has(header.number) || header.state == "running" && is_by_a_writer(draft);
        if self.draft.as_ref().is_none_or(begins) {
            self.begin(line, out);
        }
        let thread = Thread {
            label: super::numbered("goroutine ", header.number),
            number: header.number,
            state: Some(header.state.into()),
            since_us: header.minutes.map(|minutes| minutes * 60_000_000),
            blur_us: header.minutes.map_or(0, |_| ROUND_US),
            ..Thread::default()
        };
        if let Some(draft) = &mut self.draft {
            draft.thread(line, thread);
        }
        (self.expects_place, self.begun, self.blanks) = (false, true, 0);
        Taken::Yes
    }

    /// `15 @ 0x437556 0x44625e`: that many goroutines stand at the same place.
    fn record(&mut self, line: &Line<'_>, count: u64) -> Taken {
        self.close();
        self.records += 1;
        let number = self.records;
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let label = super::numbered("goroutine record ", number);
        if let Some(draft) = &mut self.draft {
            draft.thread(line, Thread { label, number, count, ..Thread::default() });
        }
        Taken::Yes
    }

    /// `0x45d984 sync.runtime_SemacquireMutex+0x24 runtime/sema.go:77`, between tabs.
    fn counted_frame(&mut self, rest: &str) -> Taken {
        let mut parts = rest.split('\t').filter(|part| !part.is_empty());
        let (Some(_), Some(function)) = (parts.next(), parts.next()) else { return Taken::Bad };
        let function = scan::rsplit(function, "+0x").map_or(function, |(name, _)| name);
        let place = parts.next().map(super::file_and_line);
        let (file, line) = (place.map(|(file, _)| self.names.name(file)), place.and_then(|(_, line)| line));
        if let Some(draft) = &mut self.draft {
            draft.frame(Frame { function: self.names.name(function), file, line, ..Frame::default() });
        }
        Taken::Yes
    }

    fn in_block(&mut self, text: &str) -> Taken {
        let Some(draft) = self.draft.as_mut().filter(|draft| draft.in_thread) else { return Taken::No };
        // No place ends so, and every frame's first line does.
        let place = Some(text).filter(|text| !text.ends_with(')'));
        if let Some((file, line)) = place.and_then(|place| self.places.made(place, at)) {
            // That of a creator is not kept.
            if let Some(frame) = draft.last_frame().filter(|_| self.expects_place) {
                (frame.file, frame.line) = (Some(file), line);
            }
            self.expects_place = false;
            return Taken::Yes;
        }
        if let Some(creator) = text.strip_prefix("created by ") {
            if let Some(thread) = draft.current() {
                thread.created_by = Some(creator.into());
            }
            self.expects_place = false;
            return Taken::Yes;
        }
        if text.starts_with("...") || text.starts_with("goroutine running on other thread") {
            return Taken::Yes;
        }
        // Other lines that end like a call have words before the bracket.
        let Some((function, args)) = call(text).filter(|(function, _)| !function.ends_with(' ')) else {
            return Taken::No;
        };
        let plain = |function: &str| is_function(function).then(|| function.into());
        let Some(function) = self.functions.made(function, plain) else { return Taken::No };
        draft.frame(Frame { function, args: args.into(), ..Frame::default() });
        self.expects_place = true;
        Taken::Yes
    }

    /// The block of the last goroutine is complete.
    fn close(&mut self) {
        let Some(thread) = self.draft.as_mut().and_then(Draft::current) else { return };
        thread.waits_for = locks::goroutine(thread.state.as_deref().unwrap_or(""), &thread.frames);
        if let Some(draft) = &mut self.draft {
            draft.in_thread = false;
        }
    }
}

/// The collector stamps a goroutine that it finds waiting with the time of its own round before, and it comes round
/// every two minutes, or sooner: so much less may it have waited.
const ROUND_US: u64 = 120_000_000;

/// `goroutine 18 gp=0xc0 m=3 [chan receive, 5 minutes, locked to thread]:`.
struct Header<'a> {
    number: u64,
    state: &'a str,
    minutes: Option<u64>,
}

impl<'a> Header<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix("goroutine ")?;
        let (number, rest) = scan::num(rest)?;
        let (registers, rest) = scan::split(rest, "[")?;
        if !(registers == " " || scan::has(registers, "gp=") || scan::has(registers, "m=")) {
            return None;
        }
        // Labels may hold brackets of their own: the last one closes.
        let (inside, tail) = scan::rsplit(rest, "]:")?;
        if !tail.trim().is_empty() {
            return None;
        }
        let inside = scan::split(inside, " labels:{").map_or(inside, |(state, _)| state);
        let (state, more) = scan::split(inside, ", ").unwrap_or((inside, ""));
        let state = state.strip_suffix(" (scan)").unwrap_or(state);
        let minutes = Some(more).filter(|more| !more.is_empty());
        let minutes = minutes.and_then(|m| m.split(", ").find_map(|part| part.strip_suffix(" minutes")?.parse().ok()));
        Some(Self { number, state, minutes })
    }
}

/// `/src/main.go:13 +0x75`: file and line of a frame. A path may have spaces.
fn at(text: &str) -> Option<(Name, Option<u32>)> {
    let place = scan::split(text, " +0x").map_or(text, |(place, _)| place).trim_end();
    let (file, line) = scan::rsplit(place, ":")?;
    let number = !line.is_empty() && line.bytes().all(|b| b.is_ascii_digit());
    let (name, line) = super::file_and_line(place);
    (number && memchr::memchr2(b'.', b'/', file.as_bytes()).is_some()).then(|| (name.into(), line))
}

/// `main.(*cache).release(0xc0000b0000?)`: function and arguments.
fn call(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_suffix(')')?;
    let open = scan::rfind(inner, "(")?;
    Some((&inner[..open], &inner[open + 1..]))
}

fn is_function(text: &str) -> bool {
    !text.is_empty() && !scan::has(text, " ") && scan::has(text, ".")
}

/// The callback that a goroutine of a cgofuse daemon runs.
pub(super) fn callback(thread: &Thread) -> Option<Op> {
    thread.frames.iter().find_map(|frame| {
        let name = scan::after(&frame.function, "cgofuse/fuse.host").or_else(|| {
            let (_, method) = scan::split(&frame.function, "/fs.(*FS).")?;
            method.starts_with(|c: char| c.is_ascii_uppercase()).then_some(method)
        })?;
        scan::op(name.split('.').next().unwrap_or(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_every_go_version_are_read() {
        for (text, number, state, minutes) in [
            ("goroutine 18 [chan receive]:", 18, "chan receive", None),
            ("goroutine 146 [select, 8817 minutes]:", 146, "select", Some(8817)),
            ("goroutine 1 gp=0xc000002380 m=nil [IO wait (scan), 2 minutes, locked to thread]:", 1, "IO wait", Some(2)),
            (r#"goroutine 8 [running labels:{"a": "x]: y"}]:"#, 8, "running", None),
            ("goroutine 7 [sync.RWMutex.RLock]:", 7, "sync.RWMutex.RLock", None),
        ] {
            let header = Header::read(text).expect(text);
            assert_eq!((header.number, header.state, header.minutes), (number, state, minutes), "{text}");
        }
        for text in ["goroutine profile: total 17", "goroutine x [a]:", "goroutine 1 [running]: and more"] {
            assert!(Header::read(text).is_none(), "{text}");
        }
    }
}
