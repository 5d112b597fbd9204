//! The walk: from registers and stack memory to return addresses.

use framehop::{
    CacheNative, Error, ExplicitModuleSectionInfo, FrameAddress, MustNotAllocateDuringUnwind, UnwindRegsNative,
    Unwinder, UnwinderNative,
};

use crate::image::{Image, Memory};

#[cfg_attr(target_arch = "x86_64", path = "walk/x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "walk/aarch64.rs")]
mod native;

/// The registers that unwinding starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    pub pc: u64,
    pub sp: u64,
    /// Frame pointer: rbp, x29.
    pub fp: u64,
    /// Link register; 0 where there is none.
    pub lr: u64,
}

/// One frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Where the thread is, or where it will return to.
    pub address: u64,
    /// Inside the instruction that called: what is looked up.
    pub lookup: u64,
}

/// Innermost and outermost frames that are kept of a deep stack.
const INNER: usize = 128;
const OUTER: usize = 32;

/// A stack of bounded size.
#[derive(Clone, Copy, Debug)]
pub struct Trace {
    inner: [Step; INNER],
    outer: [Step; OUTER],
    total: usize,
    rooted: bool,
}

impl Default for Trace {
    fn default() -> Self {
        Self { inner: [Step::default(); INNER], outer: [Step::default(); OUTER], total: 0, rooted: false }
    }
}

impl Trace {
    fn clear(&mut self) {
        (self.total, self.rooted) = (0, false);
    }

    fn push(&mut self, frame: FrameAddress) {
        let step = Step { address: frame.address(), lookup: frame.address_for_lookup() };
        match self.inner.get_mut(self.total) {
            Some(slot) => *slot = step,
            None => self.outer[(self.total - INNER) % OUTER] = step,
        }
        self.total += 1;
    }

    fn last(&self) -> Option<Step> {
        match self.total.checked_sub(1)? {
            at if at < INNER => Some(self.inner[at]),
            at => Some(self.outer[(at - INNER) % OUTER]),
        }
    }

    /// Frames found, those left out included.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Frames left out between [`Trace::inner`] and [`Trace::outer`].
    pub fn elided(&self) -> usize {
        self.total.saturating_sub(INNER + OUTER)
    }

    /// The walk reached the thread's start.
    pub fn rooted(&self) -> bool {
        self.rooted
    }

    /// Innermost frames, innermost first.
    pub fn inner(&self) -> &[Step] {
        &self.inner[..self.total.min(INNER)]
    }

    /// Outermost frames of a deep stack, innermost first.
    pub fn outer(&self) -> impl Iterator<Item = Step> {
        let deep = self.total.saturating_sub(INNER);
        (deep.saturating_sub(OUTER)..deep).map(|at| self.outer[at % OUTER])
    }
}

/// Frames after which a stack is nonsense.
const MAX_FRAMES: usize = 100_000;
/// What no frame pointer can be: a rule that needs it reads nothing and ends the walk.
const NO_FP: u64 = 0xdead_0000_0000_0008;
/// How far above the stack pointer a saved frame pointer is looked for.
const GUESS: u64 = 2048;

/// Unwinds the stacks of one process. Large: keep it on the heap.
pub struct Walker {
    images: Vec<Image>,
    engine: Engine,
    /// Always there; an Option because it is borrowed apart from the rest.
    scratch: Option<Box<Trace>>,
}

struct Engine {
    unwinder: UnwinderNative<Vec<u8>, MustNotAllocateDuringUnwind>,
    cache: CacheNative<MustNotAllocateDuringUnwind>,
}

/// Where a walk stands: the frame it found last, and the registers in it.
#[derive(Clone, Copy)]
struct Point {
    frame: FrameAddress,
    regs: UnwindRegsNative,
}

impl Engine {
    /// Walks on from a frame that is in the trace already; returns where it stopped, unless it came to an end.
    fn walk_on(&mut self, from: Point, word: &mut dyn FnMut(u64) -> Option<u64>, trace: &mut Trace) -> Option<Point> {
        let mut read = |address: u64| word(address).ok_or(());
        let mut at = from;
        while trace.total < MAX_FRAMES {
            let before = at;
            let next = match self.unwinder.unwind_frame(at.frame, &mut at.regs, &mut self.cache, &mut read) {
                Ok(Some(address)) => FrameAddress::from_return_address(address),
                Ok(None) | Err(Error::ReturnAddressIsNull) => None,
                Err(_) => return Some(before),
            };
            at.frame = next?;
            trace.push(at.frame);
        }
        Some(at)
    }
}

impl std::fmt::Debug for Walker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walker").field("images", &self.images.len()).finish_non_exhaustive()
    }
}

impl Walker {
    /// Takes the images of the process; allocates.
    pub fn new(mut images: Vec<Image>) -> Self {
        let mut unwinder = UnwinderNative::new();
        for image in &mut images {
            let (index, frames) = (std::mem::take(&mut image.index), std::mem::take(&mut image.frames));
            if frames.bytes.is_empty() {
                continue;
            }
            let info = ExplicitModuleSectionInfo {
                eh_frame_svma: Some(frames.at),
                eh_frame: Some(frames.bytes),
                eh_frame_hdr_svma: Some(index.at),
                eh_frame_hdr: Some(index.bytes),
                ..ExplicitModuleSectionInfo::default()
            };
            unwinder.add_module(framehop::Module::new(String::new(), image.range.clone(), image.base, info));
        }
        let engine = Engine { unwinder, cache: CacheNative::new_in() };
        Self { images, engine, scratch: Some(Box::default()) }
    }

    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// Number of the image that covers `address`, and the offset from its base.
    pub fn locate(&self, address: u64) -> Option<(usize, u64)> {
        let at = self.images.iter().position(|image| image.range.contains(&address))?;
        Some((at, address.wrapping_sub(self.images[at].base)))
    }

    /// Walks from known registers. `word` reads eight bytes of the stack.
    pub fn walk(&mut self, from: &Registers, word: &mut dyn FnMut(u64) -> Option<u64>, trace: &mut Trace) {
        let _stopped = self.start(from, word, trace);
    }

    /// Returns where the walk stopped, unless it came to an end.
    fn start(
        &mut self,
        from: &Registers,
        word: &mut dyn FnMut(u64) -> Option<u64>,
        trace: &mut Trace,
    ) -> Option<Point> {
        trace.clear();
        let frame = FrameAddress::from_instruction_pointer(from.pc);
        trace.push(frame);
        let stopped = self.engine.walk_on(Point { frame, regs: native::unwind_regs(from) }, word, trace);
        trace.rooted = stopped.is_none() && self.ends_well(trace);
        stopped
    }

    fn ends_well(&self, trace: &Trace) -> bool {
        trace.last().is_some_and(|last| self.starts_threads(last.lookup))
    }

    /// An end of the walk proves nothing (a frame pointer of 0 ends it too): the last frame must be one that
    /// threads start in, the C library or the program's entry.
    fn starts_threads(&self, address: u64) -> bool {
        let Some((at, _)) = self.locate(address) else { return false };
        let image = &self.images[at];
        let starter = |image: &Image| {
            let name = image.path.rsplit('/').next().unwrap_or_default();
            ["libc.so", "libc-2", "libpthread", "ld-linux", "ld-musl", "libc.musl"].iter().any(|p| name.starts_with(p))
        };
        let entry = image.entry..image.entry + 64;
        starter(image) || entry.contains(&address) || !self.images.iter().any(starter)
    }

    /// Walks a thread of which only sp and pc are known, because it sleeps in the kernel.
    ///
    /// Most code does not need the frame pointer; the precompiled std does. At the frame that does, each word above
    /// its stack pointer that looks like a saved frame pointer below a return address is tried, and the longest walk
    /// that reaches the thread's start is kept.
    pub fn walk_blocked(
        &mut self,
        pc: u64,
        sp: u64,
        word: &mut dyn FnMut(u64) -> Option<u64>,
        code: &dyn Memory,
        trace: &mut Trace,
    ) {
        let from = Registers { pc, sp, fp: NO_FP, lr: native::blocked_lr(sp, word) };
        let Some(stopped) = self.start(&from, word, trace) else { return };
        let Some(mut guess) = self.scratch.take() else { return };
        let found = trace.total;
        let sp = stopped.regs.sp();
        for at in (sp & !7..sp + GUESS).step_by(8) {
            let returns = word(at + 8).filter(|to| self.locate(*to).is_some() && native::follows_call(*to, code));
            if returns.is_none() {
                continue;
            }
            *guess = *trace;
            guess.total = found;
            let stopped = self.engine.walk_on(native::with_fp(stopped, at), word, &mut guess);
            guess.rooted = stopped.is_none() && self.ends_well(&guess);
            if guess.rooted && (!trace.rooted || guess.total > trace.total) {
                *trace = *guess;
            }
        }
        self.scratch = Some(guess);
    }
}
