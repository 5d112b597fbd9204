//! A block of one run's events, folded without knowing what came before it; the result is as if read line by line.
//!
//! Most requests begin and end within a block, with nothing but other requests in between. Such a pair leaves a
//! latency, and how many of them were open at once. Everything else is kept and folded one by one, when it is the
//! block's turn. Where that would not give the same result, the block is refused and its lines are read one by one.

use fsd_events::{
    event::{Body, Event, Exit},
    ids::RunId,
    op::Op,
};

use super::{Model, clock::Span, gaps::Stretch, ops::Micros, session::Session};
use crate::engine::fact::{InputId, Key, Place};

/// What a block of lines amounts to.
#[derive(Debug)]
pub struct Block {
    pub lines: u64,
    pub run: RunId,
    pub numbers: Stretch,
    pub span: Span,
    /// ENTERs in it.
    pub entered: u64,
    /// Ids of the pairs.
    pub ids: Vec<u64>,
    /// Greatest of them.
    pub top: u64,
    pub pairs: Vec<Pair>,
    /// Most pairs open at once before the first kept event.
    pub peak: usize,
    pub kept: Vec<Kept>,
}

/// A request that began and ended in the block.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    pub op: Op,
    pub id: u64,
    pub us: u64,
    pub errno: u32,
    pub at: Micros,
    /// Of its end, from 0 within the block.
    pub line: u32,
}

/// An event that is folded on its own.
#[derive(Debug)]
pub struct Kept {
    /// From 0 within the block.
    pub line: u32,
    /// ENTERs before it.
    pub entered: u64,
    /// Most pairs open at once from here to the next kept event.
    pub peak: usize,
    pub event: Event<'static>,
}

impl Pair {
    pub fn new(exit: &Exit, at: Micros, line: u32) -> Self {
        Self { op: exit.op, id: exit.id.0, us: exit.us, errno: exit.errno, at, line }
    }
}

/// Whether an event may stand in a block at all; the others change more than a request or a lock.
pub fn fits(event: &Event<'_>) -> bool {
    let special = match &event.body {
        Body::Start(_) | Body::Handover(_) | Body::Stall(_) => true,
        Body::Enter(enter) => enter.resent,
        _ => false,
    };
    !event.carried && !special
}

impl Model {
    /// Folds a block whose first line is `first`; false: nothing was done, its lines must be read one by one.
    pub fn block(&mut self, input: InputId, first: u64, block: &Block) -> bool {
        let Some(at) = self.by_run.get(&block.run.0).copied() else { return false };
        if !self.sessions[at].can_take(block) {
            return false;
        }
        self.last_run = Some((block.run, at));
        self.sessions[at].take_block(input, first, block);
        true
    }
}

impl Session {
    fn can_take(&self, block: &Block) -> bool {
        self.has_entered()
            && self.clock.is_before(&block.span)
            && !self.sequence.knows_any(&block.numbers)
            && (self.top < block.ids.iter().copied().min().unwrap_or(u64::MAX)
                || !block.ids.iter().any(|id| *id <= self.top && self.knows_id(*id)))
    }

    fn knows_id(&self, id: u64) -> bool {
        self.open.contains_key(&Key::Num(id)) || self.mentions(id)
    }

    fn take_block(&mut self, input: InputId, first: u64, block: &Block) {
        self.sequence.saw_stretch(&block.numbers);
        self.clock.pass(&block.span);
        let before = self.entered;
        self.peaked(block.peak);
        for kept in &block.kept {
            self.entered = before + kept.entered;
            let place = Place { input, line: first + u64::from(kept.line), part: 0 };
            let at = Micros::try_from(kept.event.head.mono_us).ok();
            self.take_own(place, at, &kept.event.body);
            self.peaked(kept.peak);
        }
        self.entered = before + block.entered;
        self.top = self.top.max(block.top);
        for pair in &block.pairs {
            let place = Place { input, line: first + u64::from(pair.line), part: 0 };
            self.completed(pair.op, Key::Num(pair.id), Some(pair.at), Some(pair.us), Some(pair.errno), place);
        }
    }

    fn peaked(&mut self, peak: usize) {
        self.max_open = self.max_open.max(self.open.len() + peak);
    }
}
