//! Pools: the few threads on which file calls may block, apart by purpose so that none waits for another.

use std::io;

use tokio::runtime::{Builder, Runtime};

use crate::observe::locks;

/// Threads that read: what readers wait for.
const READERS: usize = 4;
/// Threads that write behind.
const WRITERS: usize = 2;
/// Threads that unlink and sweep, which takes half a second a gigabyte.
const REMOVERS: usize = 2;

/// Runtimes are used for their bounded blocking pools only; nobody drives them.
#[derive(Debug)]
pub(super) struct Pools {
    readers: Option<Runtime>,
    writers: Option<Runtime>,
    removers: Option<Runtime>,
}

impl Pools {
    pub(super) fn new() -> io::Result<Self> {
        let pool = |name: &str, threads| {
            Builder::new_current_thread().max_blocking_threads(threads).thread_name(name).build().map(Some)
        };
        let (readers, writers) = (pool("fsd-read", READERS)?, pool("fsd-write", WRITERS)?);
        Ok(Self { readers, writers, removers: pool("fsd-remove", REMOVERS)? })
    }

    pub(super) fn read(&self, work: impl FnOnce() + Send + 'static) {
        run(self.readers.as_ref(), "disk read", work);
    }

    pub(super) fn write(&self, work: impl FnOnce() + Send + 'static) {
        run(self.writers.as_ref(), "disk write", work);
    }

    /// Writes, and tells when it is done; None: the pool is gone.
    pub(super) async fn put<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        answer(self.writers.as_ref(), "disk write", work).await
    }

    pub(super) async fn remove<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        answer(self.removers.as_ref(), "disk remove", work).await
    }
}

async fn answer<T>(pool: Option<&Runtime>, what: &'static str, work: impl FnOnce() -> T + Send + 'static) -> Option<T>
where
    T: Send + 'static,
{
    pool?.handle().spawn_blocking(move || boundary(what, work)).await.ok()
}

impl Drop for Pools {
    fn drop(&mut self) {
        for pool in [&mut self.readers, &mut self.writers, &mut self.removers] {
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
