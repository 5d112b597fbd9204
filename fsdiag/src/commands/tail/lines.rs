//! One line of output for each event: short, aligned, coloured by meaning.

use std::collections::VecDeque;

use fsd_events::{
    event::{Body, Event, TaskKind},
    ids::RunId,
    line::stamp,
};

use crate::{
    commands::analyze::quote::Tails,
    engine::{
        fact::{At, Fact, InputId, Key, Place, Remains, Sink, Writer},
        model::Model,
        plural::count,
        veil::veiled,
    },
    formats::Mixed,
    output::paint::{Paint, Tone},
};

/// Longest foreign line that is shown.
const WIDE: usize = 300;
/// From here on a finished operation is shown as slow.
const SLOW_US: u64 = 1_000_000;

/// Turns lines into the model's food and into text.
pub(super) struct Printer {
    paint: Paint,
    quiet: bool,
    /// Until the present is reached only the last few are kept.
    catching_up: bool,
    last: usize,
    kept: VecDeque<String>,
    text: String,
    /// The last lines, where a report will quote them: a rotated file cannot be asked again.
    pub(super) quotes: Option<Tails>,
}

impl Printer {
    pub(super) fn new(paint: Paint, last: usize, quiet: bool, quotes: Option<Tails>) -> Self {
        Self { paint, quiet, catching_up: true, last, kept: VecDeque::new(), text: String::new(), quotes }
    }

    /// Reads a line into the model and keeps what is to be printed of it.
    pub(super) fn take(&mut self, raw: &[u8], mixed: &mut Mixed, model: &mut Model) {
        let before = mixed.counts().events;
        if let Some(quotes) = &mut self.quotes {
            quotes.keep(mixed.counts().lines + 1, raw);
        }
        let mut sink = Shown { model, paint: self.paint, own: None, wanted: !self.quiet };
        mixed.line(raw, &mut sink);
        let own = sink.own.take();
        if self.quiet || mixed.counts().events == before {
            return;
        }
        let line = own.unwrap_or_else(|| foreign(raw));
        self.put(&line);
    }

    /// A message of our own.
    pub(super) fn say(&mut self, message: &str) {
        let line = self.paint.tone(&format!("-- {message}"), Tone::Dim);
        self.put(&line);
    }

    /// Everything that was there at the start is read.
    pub(super) fn caught_up(&mut self) {
        self.catching_up = false;
        for line in self.kept.drain(..) {
            self.text.push_str(&line);
            self.text.push('\n');
        }
    }

    pub(super) fn take_text(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    fn put(&mut self, line: &str) {
        let line = self.paint.line(line);
        if !self.catching_up {
            self.text.push_str(&line);
            self.text.push('\n');
            return;
        }
        self.kept.push_back(line);
        if self.kept.len() > self.last {
            self.kept.pop_front();
        }
    }
}

fn foreign(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    let text = veiled(&text);
    match text.char_indices().nth(WIDE) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.into_owned(),
    }
}

/// The model, and a look at what passes into it.
struct Shown<'m> {
    model: &'m mut Model,
    paint: Paint,
    own: Option<String>,
    wanted: bool,
}

impl Sink for Shown<'_> {
    fn fact(&mut self, fact: Fact) {
        self.model.fact(fact);
    }

    fn writer(&mut self, input: InputId, writer: Option<&Writer>, speaks: bool) {
        self.model.writer(input, writer, speaks);
    }

    fn passed(&mut self, input: InputId, at: At, own: bool) {
        self.model.passed(input, at, own);
    }

    fn event(&mut self, place: Place, event: &Event<'_>) {
        if self.wanted {
            self.own = Some(line(event, self.model, self.paint));
        }
        self.model.event(place, event);
    }

    fn unknown(&mut self, place: Place, run: RunId, seq: u64, wall_us: u64) {
        self.model.unknown(place, run, seq, wall_us);
    }

    fn remains(&mut self, place: Place, remains: Remains) {
        self.model.remains(place, remains);
    }
}

fn line(event: &Event<'_>, model: &Model, paint: Paint) -> String {
    let mut time = Vec::new();
    stamp::write(event.head.ts_us, &mut time);
    let time = String::from_utf8_lossy(&time[11..23]).into_owned();
    let (text, tone) = words(event, model);
    let text = tone.map_or_else(|| text.clone(), |tone| paint.tone(&text, tone));
    format!("{} {text}", paint.tone(&time, Tone::Dim))
}

fn words(event: &Event<'_>, model: &Model) -> (String, Option<Tone>) {
    let carried = if event.carried { " (carried)" } else { "" };
    match &event.body {
        Body::Enter(e) => {
            let path = e.path.as_deref().unwrap_or("");
            let range = e.off.map(|off| format!(" @{off}+{}", e.len.unwrap_or(0))).unwrap_or_default();
            (format!("{:<11} #{:<8} ENTER {path}{range}{carried}", e.op.name(), e.id.0), None)
        }
        Body::Exit(e) => {
            let path = path_of(model, e.id.0);
            let errno = if e.errno > 0 { format!(" errno {}", e.errno) } else { String::new() };
            let tone = match () {
                () if e.us >= SLOW_US => Some(Tone::Warn),
                () if e.errno > 0 => Some(Tone::Warn),
                () => Some(Tone::Dim),
            };
            (format!("{:<11} #{:<8} EXIT  {} after {}{errno}", e.op.name(), e.id.0, path, micros(e.us)), tone)
        }
        Body::Phase(p) => {
            (format!("{:<11} #{:<8} now in {} {}", "", p.id.0, p.phase.name(), p.detail), Some(Tone::Dim))
        }
        Body::Lock(l) => {
            let text = format!(
                "{:<11} #{:<8} {} {} `{}` ({})",
                "lock",
                l.id.0,
                l.step.name(),
                micros(l.us),
                l.lock,
                l.mode.name()
            );
            (text, (l.us >= SLOW_US).then_some(Tone::Warn))
        }
        Body::Beat(b) => {
            let all: u64 = b.inflight.iter().map(|(_, n)| n).sum();
            let kernel = b.kernel_waiting.map_or_else(|| String::from("?"), |n| n.to_string());
            let text = format!(
                "beat: {all} in flight, oldest {}, kernel waits for {kernel}, lost {}",
                micros(b.oldest_us),
                b.lost
            );
            (text, Some(Tone::Dim))
        }
        Body::Stall(s) => (format!("STALL: {}", count(s.ops.len(), "operation")), Some(Tone::Bad)),
        Body::StallEnd(_) => (String::from("the stall is over"), Some(Tone::Good)),
        Body::Invariant { what, detail } => (format!("invariant broken: {what}: {detail}"), Some(Tone::Warn)),
        Body::FlagChange { flag, value } => (format!("{} = {value}", flag.name()), Some(Tone::Bold)),
        Body::Start(s) => {
            (format!("fsd {} (pid {}) serves {} from {}", s.version, s.pid, s.mount, s.source), Some(Tone::Bold))
        }
        Body::Stop { reason } => (format!("fsd ends: {reason}"), Some(Tone::Bold)),
        Body::Handover(h) => (
            format!(
                "hand-over to run {} ({}): {}, {} sent again",
                h.new_run,
                h.cause,
                h.result,
                count(h.resent, "request")
            ),
            Some(Tone::Bold),
        ),
        Body::Task(_) | Body::TaskEnd(_) | Body::Progress(_) | Body::Wait(_) | Body::WaitEnd(_) => {
            (background(&event.body), Some(Tone::Dim))
        }
        Body::Interrupt { unique, .. } => (format!("the client of request {unique} was signalled"), Some(Tone::Warn)),
    }
}

fn background(body: &Body<'_>) -> String {
    match body {
        Body::Task(t) => format!("{:<11} #{:<8} begins {}", t.task.name(), t.id.0, t.path.as_deref().unwrap_or("")),
        Body::TaskEnd(t) => format!(
            "{:<11} #{:<8} ends after {}: {}",
            t.task.map_or("task", TaskKind::name),
            t.id.0,
            micros(t.us),
            t.outcome
        ),
        Body::Progress(p) => format!("{:<11} #{:<8} {} of {} bytes, {}", "progress", p.id.0, p.have, p.want, p.state),
        Body::Wait(w) => format!("{:<11} #{:<8} waits for bytes {}-{}", "", w.id.0, w.need.0, w.need.1),
        Body::WaitEnd(w) => format!("{:<11} #{:<8} has its bytes after {}", "", w.id.0, micros(w.us)),
        _ => String::new(),
    }
}

fn path_of(model: &Model, id: u64) -> String {
    let open = model.sessions.iter().rev().find_map(|s| s.open.get(&Key::Num(id)));
    open.and_then(|o| o.call.path.as_deref().map(str::to_owned)).unwrap_or_default()
}

pub(super) fn micros(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{:.1} s", us as f64 / 1e6),
    }
}
