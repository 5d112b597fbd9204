//! The walk: from registers and stack memory to return addresses.

use framehop::{CacheNative, Error, ExplicitModuleSectionInfo, MustNotAllocateDuringUnwind, Unwinder, UnwinderNative};

use crate::{
    image::{Image, Memory},
    walk::native::unwind_regs,
};

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
#[derive(Clone, Debug)]
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

    fn push(&mut self, step: Step) {
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
    unwinder: UnwinderNative<Vec<u8>, MustNotAllocateDuringUnwind>,
    cache: CacheNative<MustNotAllocateDuringUnwind>,
    scratch: Box<Trace>,
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
        Self { images, unwinder, cache: CacheNative::new_in(), scratch: Box::default() }
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
        trace.clear();
        let mut read = |address: u64| word(address).ok_or(());
        let mut frames = self.unwinder.iter_frames(from.pc, unwind_regs(from), &mut self.cache, &mut read);
        let ended = loop {
            match frames.next() {
                Ok(Some(frame)) if trace.total < MAX_FRAMES => {
                    trace.push(Step { address: frame.address(), lookup: frame.address_for_lookup() });
                }
                Ok(Some(_)) => break false,
                Ok(None) | Err(Error::ReturnAddressIsNull) => break true,
                Err(_) => break false,
            }
        };
        trace.rooted = ended && trace.last().is_some_and(|last| self.starts_threads(last.lookup));
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
    /// Most code does not need the frame pointer; the precompiled std does. Where the walk without one ends early,
    /// each word near the stack pointer that looks like a saved frame pointer below a return address is tried, and
    /// the longest walk that reaches the thread's start is kept.
    pub fn walk_blocked(
        &mut self,
        pc: u64,
        sp: u64,
        word: &mut dyn FnMut(u64) -> Option<u64>,
        code: &dyn Memory,
        trace: &mut Trace,
    ) {
        let from = Registers { pc, sp, fp: NO_FP, lr: native::blocked_lr(sp, word) };
        self.walk(&from, word, trace);
        if trace.rooted {
            return;
        }
        let mut guess = std::mem::take(&mut self.scratch);
        for at in (sp & !7..sp + GUESS).step_by(8) {
            let returns = word(at + 8).filter(|to| self.locate(*to).is_some() && native::follows_call(*to, code));
            if returns.is_none() {
                continue;
            }
            self.walk(&Registers { fp: at, ..from }, word, &mut guess);
            if guess.rooted && (!trace.rooted || guess.total > trace.total) {
                trace.clone_from(&guess);
            }
        }
        self.scratch = guess;
    }
}
