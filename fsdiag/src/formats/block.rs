//! Blocks: many lines of fsd's own events at once, read without knowing what came before them, on any thread.

use fsd_events::{
    event::{Body, Enter, Event, Exit},
    ids::RunId,
    line::{Decoded, Decoder, decode},
    op::Op,
};
use memchr::memchr_iter;

use crate::engine::model::{
    block::{Block, Kept, Pair, fits},
    clock::Span,
    gaps::Stretch,
    hash::NumberMap,
    ops::Micros,
};

/// Reads whole lines, each with its line feed. None: not all of them are plain events of one run, or they are better
/// read one by one. `wanted` says by its wall clock time, in microseconds, whether an event counts.
pub fn read(bytes: &[u8], wanted: impl Fn(u64) -> bool) -> Option<Block> {
    let mut reader = Reader::new(u32::try_from(bytes.len()).ok()?);
    let mut decoder = Decoder::default();
    let (mut start, mut lines) = (0, 0);
    for (line, end) in memchr_iter(b'\n', bytes).enumerate() {
        let text = &bytes[start..end];
        if !text.starts_with(b"{\"run\":") {
            return None;
        }
        let Decoded::Event(event) = decoder.decode(text) else { return None };
        if wanted(event.head.ts_us) {
            reader.event(&event, line as u32, start as u32)?;
        }
        (start, lines) = (end + 1, line as u64 + 1);
    }
    (start == bytes.len()).then(|| reader.finish(lines, bytes))?
}

/// What is remembered of a line until the end of the block is known.
struct Step {
    kind: Kind,
    line: u32,
    offset: u32,
}

enum Kind {
    /// The number of its request in the block.
    Enter(u32),
    /// The same; None: it began before the block.
    Exit(Option<u32>),
    Phase(Option<u32>),
    /// An ENTER that nobody answers.
    Unanswered,
    Other,
}

/// A request that began in the block.
struct Request {
    /// Nothing but requests and phases may stand between its ENTER and its EXIT; each other event begins a new era.
    era: u32,
    paired: bool,
}

struct Reader {
    run: Option<RunId>,
    span: Option<Span>,
    numbers: Stretch,
    requests: Vec<Request>,
    pending: NumberMap<u64, u32>,
    steps: Vec<Step>,
    pairs: Vec<Pair>,
    era: u32,
    /// Ids that other events have named so far.
    named: NumberMap<u64, ()>,
    top: u64,
}

/// No era: something is known about that id already.
const NAMED: u32 = u32::MAX;

impl Reader {
    fn new(bytes: u32) -> Self {
        let lines = bytes as usize / 200;
        Self {
            run: None,
            span: None,
            numbers: Stretch::default(),
            requests: Vec::with_capacity(lines / 2),
            pending: NumberMap::default(),
            steps: Vec::with_capacity(lines),
            pairs: Vec::with_capacity(lines / 2),
            era: 0,
            named: NumberMap::default(),
            top: 0,
        }
    }

    fn event(&mut self, event: &Event<'_>, line: u32, offset: u32) -> Option<()> {
        let head = &event.head;
        if *self.run.get_or_insert(head.run) != head.run || !fits(event) {
            return None;
        }
        let at = match &mut self.span {
            Some(span) => span.add(head.mono_us, head.ts_us)?,
            None => {
                self.span = Some(Span::new(head.mono_us, head.ts_us)?);
                Micros::try_from(head.mono_us).ok()?
            }
        };
        self.numbers.saw(head.seq, at).then_some(())?;
        let kind = match &event.body {
            Body::Enter(enter) => self.enter(enter)?,
            Body::Exit(exit) => Kind::Exit(self.exit(exit, at, line)),
            Body::Phase(change) => Kind::Phase(self.pending.get(&change.id.0).copied()),
            other => {
                self.era += 1;
                other.ids(|id| _ = self.named.insert(id.0, ()));
                Kind::Other
            }
        };
        self.steps.push(Step { kind, line, offset });
        Some(())
    }

    fn enter(&mut self, enter: &Enter<'_>) -> Option<Kind> {
        if !enter.op.replied() || enter.op == Op::Destroy {
            return Some(Kind::Unanswered);
        }
        let id = enter.id.0;
        let number = self.requests.len() as u32;
        let known = !self.named.is_empty() && self.named.contains_key(&id);
        self.requests.push(Request { era: if known { NAMED } else { self.era }, paired: false });
        self.top = self.top.max(id);
        self.pending.insert(id, number).is_none().then_some(Kind::Enter(number))
    }

    fn exit(&mut self, exit: &Exit, at: Micros, line: u32) -> Option<u32> {
        let number = self.pending.remove(&exit.id.0)?;
        let request = &mut self.requests[number as usize];
        if request.era == self.era {
            request.paired = true;
            self.pairs.push(Pair::new(exit, at, line));
        }
        Some(number)
    }

    fn finish(mut self, lines: u64, bytes: &[u8]) -> Option<Block> {
        let mut sorted = Sorted { requests: &self.requests, open: 0, entered: 0, first_peak: 0, kept: Vec::new() };
        for step in &self.steps {
            sorted.step(step, bytes)?;
        }
        let Sorted { entered, first_peak, kept, .. } = sorted;
        self.pairs.sort_by_key(|pair| pair.op);
        Some(Block {
            lines,
            run: self.run?,
            numbers: self.numbers,
            span: self.span?,
            entered,
            ids: self.pairs.iter().map(|pair| pair.id).collect(),
            top: self.top,
            pairs: self.pairs,
            peak: first_peak,
            kept,
        })
    }
}

/// The second look, when it is known which requests are pairs.
struct Sorted<'r> {
    requests: &'r [Request],
    open: usize,
    entered: u64,
    first_peak: usize,
    kept: Vec<Kept>,
}

impl Sorted<'_> {
    fn step(&mut self, step: &Step, bytes: &[u8]) -> Option<()> {
        let paired = |number: u32| self.requests[number as usize].paired;
        match step.kind {
            Kind::Enter(number) if paired(number) => {
                self.entered += 1;
                self.open += 1;
                let peak = self.kept.last_mut().map_or(&mut self.first_peak, |kept| &mut kept.peak);
                *peak = (*peak).max(self.open);
            }
            Kind::Exit(Some(number)) if paired(number) => self.open -= 1,
            Kind::Phase(Some(number)) if paired(number) => {}
            Kind::Unanswered => self.entered += 1,
            _ => {
                let rest = &bytes[step.offset as usize..];
                let end = memchr::memchr(b'\n', rest)?;
                let Decoded::Event(event) = decode(&rest[..end]) else { return None };
                let (line, entered, peak) = (step.line, self.entered, self.open);
                self.kept.push(Kept { line, entered, peak, event: event.into_owned() });
                self.entered += u64::from(matches!(step.kind, Kind::Enter(_)));
            }
        }
        Some(())
    }
}
