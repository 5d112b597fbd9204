//! The observers' memory: rings and tables, made once, in shared files where there is room for them.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    slice::ChunksExact,
    sync::{
        LazyLock, OnceLock,
        atomic::{
            AtomicU64,
            Ordering::{Relaxed, Release},
        },
    },
};

use fsd_events::{
    ids::RunId,
    layout,
    ring::{self, tables},
};

use crate::platform::{clock, runtime_dir, shared::SharedWords};

use super::{
    journal::{Form, Ring},
    local::ThreadSlot,
};

/// Words of memory that live as long as the process.
pub(super) type Words = &'static [AtomicU64];

/// Sizes of everything; powers of two where slots are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) rings: usize,
    pub(super) ring_slots: usize,
    pub(super) ops: usize,
    pub(super) tasks: usize,
    pub(super) threads: usize,
    pub(super) permits: usize,
}

/// From what is wanted down to what is worth having.
const LADDER: [Sizes; 5] = [
    Sizes { rings: 32, ring_slots: 8192, ops: 4096, tasks: 1024, threads: 256, permits: 1024 },
    Sizes { rings: 24, ring_slots: 2048, ops: 2048, tasks: 512, threads: 256, permits: 512 },
    Sizes { rings: 16, ring_slots: 512, ops: 512, tasks: 256, threads: 128, permits: 256 },
    Sizes { rings: 12, ring_slots: 128, ops: 128, tasks: 64, threads: 64, permits: 64 },
    // Hardly more than the tables: whether this process lives can be seen.
    Sizes { rings: 1, ring_slots: 128, ops: 64, tasks: 16, threads: 64, permits: 16 },
];

impl Sizes {
    fn words(&self) -> [usize; 3] {
        [
            tables::inflight::file_words(self.ops),
            tables::tasks::file_words(self.tasks),
            tables::locks::file_words(self.threads, self.permits),
        ]
    }

    /// Without operations the ring that threads share is enough.
    fn fit(self, form: Form) -> Self {
        let rings = if form == Form::Off { 1 } else { self.rings };
        Self { rings, ..self }
    }

    /// Bytes of all files, each rounded up to whole pages.
    fn bytes(&self) -> u64 {
        let rings = self.rings * page_bytes(ring::file_words(self.ring_slots));
        (rings + self.words().into_iter().map(page_bytes).sum::<usize>()) as u64
    }
}

/// Rings and tables of this process.
pub(super) struct Memory {
    /// The first one is shared by the threads that found no ring of their own.
    pub(super) rings: Vec<Ring>,
    pub(super) inflight: Words,
    pub(super) tasks: Words,
    pub(super) locks: Words,
    pub(super) threads: Vec<ThreadSlot>,
    /// All of it that is shared.
    mappings: Vec<&'static SharedWords>,
    /// Where the files are; None: private, not readable after a crash.
    pub(super) dir: Option<RunDir>,
}

/// The directory of a living run.
pub(super) struct RunDir {
    pub(super) path: PathBuf,
    /// Locked as long as this process lives, so that nobody takes the run for a dead one.
    _alive: File,
}

/// Made by `install`.
static INSTALLED: OnceLock<Memory> = OnceLock::new();
/// Used before `install`, and in unit tests: tables without rings.
static PRIVATE: LazyLock<Memory> = LazyLock::new(|| {
    let sizes = Sizes { rings: 0, ..LADDER[2] };
    Memory::in_heap(sizes, RunId(0), RunId(0))
});

/// The memory to claim rows in.
#[inline]
pub(super) fn current() -> &'static Memory {
    INSTALLED.get().unwrap_or_else(|| &PRIVATE)
}

/// The memory with rings, when there is one.
#[inline]
pub(super) fn installed() -> Option<&'static Memory> {
    INSTALLED.get()
}

/// Every memory that may hold rows: what was claimed before `install` stays where it was.
pub(super) fn every() -> impl Iterator<Item = &'static Memory> {
    INSTALLED.get().into_iter().chain(LazyLock::get(&PRIVATE))
}

/// Makes the memory of this process below `runtime`, as large as half of the room there allows.
///
/// # Errors
/// When there is one already.
pub(super) fn install(runtime: Option<&Path>, run: RunId, mount_run: RunId, form: Form) -> io::Result<&'static Memory> {
    let made = runtime.and_then(|dir| shared(dir, run, mount_run, form));
    let memory = made.unwrap_or_else(|| Memory::in_heap(LADDER[0].fit(form), run, mount_run));
    INSTALLED.set(memory).map_err(|_| io::Error::from(io::ErrorKind::AlreadyExists))?;
    installed().ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Tries the sizes from the largest down. Half of the room stays for the name table and for other mounts.
fn shared(runtime: &Path, run: RunId, mount_run: RunId, form: Form) -> Option<Memory> {
    let path = runtime.join(run.to_string());
    let room = runtime_dir::free_bytes(runtime)? / 2;
    LADDER.iter().map(|sizes| sizes.fit(form)).filter(|sizes| sizes.bytes() <= room).find_map(|sizes| {
        let made = in_files(&path, sizes, run, mount_run);
        made.inspect_err(|_| drop(fs::remove_dir_all(&path))).ok()
    })
}

fn in_files(dir: &Path, sizes: Sizes, run: RunId, mount_run: RunId) -> io::Result<Memory> {
    runtime_dir::make_private(dir)?;
    let alive = create(&dir.join(layout::ALIVE))?;
    alive.try_lock()?;
    let mut mappings = Vec::new();
    let mut memory = Memory::new(sizes, run, mount_run, |name, words| {
        let mapping: &'static SharedWords =
            Box::leak(Box::new(SharedWords::map(&create(&dir.join(name))?, 0, page_bytes(words))?));
        mappings.push(mapping);
        Ok(&mapping.words()[..words])
    })?;
    memory.dir = Some(RunDir { path: dir.to_path_buf(), _alive: alive });
    memory.mappings = mappings;
    Ok(memory)
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Brings in every page of the shared memory, beside the rest, so that no later event waits for one. Not before there
/// is nobody who waits for the start: to clear all pages takes longer than the rest of it.
pub fn populate() {
    let mappings = installed().map_or(&[][..], |memory| &memory.mappings);
    let work = move || mappings.iter().for_each(|mapping| mapping.populate());
    // Without a thread each page comes when it is first used.
    drop(std::thread::Builder::new().name("fsd-populate".to_owned()).spawn(work));
}

fn private(words: usize) -> Words {
    let memory: &'static SharedWords = Box::leak(Box::new(SharedWords::private(words * 8)));
    memory.words()
}

const PAGE: usize = 4096;

fn page_bytes(words: usize) -> usize {
    (words * 8).next_multiple_of(PAGE)
}

impl Memory {
    fn in_heap(sizes: Sizes, run: RunId, mount_run: RunId) -> Self {
        let made = Self::new(sizes, run, mount_run, |_, words| Ok(private(words)));
        made.expect("the heap gives memory or ends the process")
    }

    fn new(
        sizes: Sizes,
        run: RunId,
        mount_run: RunId,
        mut make: impl FnMut(&str, usize) -> io::Result<Words>,
    ) -> io::Result<Self> {
        let mut table = |name: &str, magic: u64, rows: usize, words: usize| {
            make(name, words).inspect(|table| {
                let head = [magic, tables::VERSION, rows as u64, run.0, mount_run.0, std::process::id().into()];
                head.into_iter().zip(table.iter()).for_each(|(value, word)| word.store(value, Relaxed));
            })
        };
        let words = sizes.words();
        let inflight = table(layout::INFLIGHT, tables::inflight::MAGIC, sizes.ops, words[0])?;
        let tasks = table(layout::TASKS, tables::tasks::MAGIC, sizes.tasks, words[1])?;
        let locks = table(layout::LOCKS, tables::locks::MAGIC, sizes.threads, words[2])?;
        locks[tables::locks::PERMIT_ROWS].store(sizes.permits as u64, Relaxed);
        let ring =
            |n| make(&layout::ring_file(n), ring::file_words(sizes.ring_slots)).map(|w| new_ring(w, run, mount_run));
        let rings = (0..sizes.rings).map(ring).collect::<io::Result<Vec<_>>>()?;
        let threads = locks[tables::locks::THREADS_AT..].chunks_exact(tables::locks::THREAD_WORDS);
        let threads = threads.take(sizes.threads).filter_map(|words| words.try_into().ok().map(ThreadSlot::new));
        Ok(Self { rings, inflight, tasks, locks, threads: threads.collect(), mappings: Vec::new(), dir: None })
    }

    /// Stamps the wall clock into every ring: it may have been set since the last time.
    pub(super) fn set_clock(&self) {
        let offset = clock::now_wall_us().wrapping_sub(clock::now_mono_us());
        self.rings.iter().for_each(|ring| ring.words()[ring::header::WALL_OFFSET].store(offset, Relaxed));
    }

    /// Rows of a table behind its header.
    pub(super) fn rows(table: Words, first: usize, row_words: usize) -> ChunksExact<'static, AtomicU64> {
        table.get(first..).unwrap_or_default().chunks_exact(row_words)
    }
}

fn new_ring(words: Words, run: RunId, mount_run: RunId) -> Ring {
    let slots = (words.len() - ring::HEADER_WORDS) / ring::SLOT_WORDS;
    let offset = clock::now_wall_us().wrapping_sub(clock::now_mono_us());
    let head = [
        (ring::header::SLOTS, slots as u64),
        (ring::header::RUN, run.0),
        (ring::header::MOUNT_RUN, mount_run.0),
        (ring::header::WALL_OFFSET, offset),
        (ring::header::VERSION, ring::VERSION),
    ];
    head.into_iter().for_each(|(at, value)| words[at].store(value, Relaxed));
    words[ring::header::MAGIC].store(ring::MAGIC, Release);
    Ring::new(words, slots)
}
