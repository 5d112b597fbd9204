//! Pools: the few threads on which file calls may block, apart by purpose so that none waits for another.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::runtime::{Builder, Runtime};

use crate::observe::locks;

/// Threads that read: what readers wait for.
const READERS: usize = 4;
/// Threads that write behind.
const WRITERS: usize = 2;
/// Threads that unlink and sweep, which takes half a second a gigabyte.
const REMOVERS: usize = 2;
/// Threads that answer who waited for bytes, so that these are copied to the kernel while the next come in.
const ANSWERERS: usize = 2;

/// Longer than any mount lives.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Runtimes are used for their bounded blocking pools only; nobody drives them.
#[derive(Debug)]
pub(super) struct Pools {
    readers: Option<Runtime>,
    writers: Option<Runtime>,
    removers: Option<Runtime>,
    answerers: Option<Runtime>,
    /// Writes that no thread has begun.
    unwritten: Arc<AtomicUsize>,
}

impl Pools {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            readers: pool("fsd-read", READERS)?,
            writers: pool("fsd-write", WRITERS)?,
            removers: pool("fsd-remove", REMOVERS)?,
            answerers: pool("fsd-answer", ANSWERERS)?,
            unwritten: Arc::default(),
        })
    }

    /// Answers, which wait for nothing.
    pub(super) fn answer(&self, work: impl FnOnce() + Send + 'static) {
        run(self.answerers.as_ref(), "answer", work);
    }

    pub(super) fn read(&self, work: impl FnOnce() + Send + 'static) {
        run(self.readers.as_ref(), "disk read", work);
    }

    pub(super) fn write(&self, work: impl FnOnce() + Send + 'static) {
        run(self.writers.as_ref(), "disk write", self.counted(work));
    }

    /// Whether a write waits for a thread.
    pub(super) fn others_write(&self) -> bool {
        self.unwritten.load(Ordering::Relaxed) > 0
    }

    fn counted<T>(&self, work: impl FnOnce() -> T + Send + 'static) -> impl FnOnce() -> T + Send + 'static {
        self.unwritten.fetch_add(1, Ordering::Relaxed);
        let unwritten = Arc::clone(&self.unwritten);
        move || {
            unwritten.fetch_sub(1, Ordering::Relaxed);
            work()
        }
    }

    /// Writes, and tells when it is done; None: the pool is gone.
    pub(super) async fn put<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        answer(self.writers.as_ref(), "disk write", self.counted(work)).await
    }

    pub(super) async fn remove<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        answer(self.removers.as_ref(), "disk remove", work).await
    }
}

/// Threads that have started stay, the first of them from now on: later there may be none to be had.
fn pool(name: &str, threads: usize) -> io::Result<Option<Runtime>> {
    // The pool panics where no thread can be started; a mount says so and does not begin.
    std::thread::Builder::new().name(name.to_owned()).spawn(|| ())?;
    let mut builder = Builder::new_current_thread();
    let pool = builder.max_blocking_threads(threads).thread_keep_alive(FOR_EVER).thread_name(name).build()?;
    drop(pool.handle().spawn_blocking(|| ()));
    Ok(Some(pool))
}

async fn answer<T>(pool: Option<&Runtime>, what: &'static str, work: impl FnOnce() -> T + Send + 'static) -> Option<T>
where
    T: Send + 'static,
{
    pool?.handle().spawn_blocking(move || boundary(what, work)).await.ok()
}

impl Drop for Pools {
    fn drop(&mut self) {
        for pool in [&mut self.readers, &mut self.writers, &mut self.removers, &mut self.answerers] {
            // Never waits: a thread may hang in a disk call.
            pool.take().into_iter().for_each(Runtime::shutdown_background);
        }
    }
}

fn run(pool: Option<&Runtime>, what: &'static str, work: impl FnOnce() + Send + 'static) {
    if let Some(pool) = pool {
        drop(pool.handle().spawn_blocking(move || boundary(what, work)));
    }
}

fn boundary<T>(what: &'static str, work: impl FnOnce() -> T) -> T {
    locks::assert_none_held(what);
    work()
}
