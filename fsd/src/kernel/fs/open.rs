//! Open and release: a handle and its store come together, and part without anybody waiting.

use std::{
    convert::Infallible,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use fsd_events::{
    event::TaskKind,
    ids::{Fh, Ino, OpId},
    names::ROOT,
};

use crate::{
    data::{
        closer::Detached,
        store::{Content, Store, StoreError},
    },
    names::{
        handles::{Backing, Joined, Released},
        tree::FileInfo,
    },
    observe::{
        journal,
        tasks::{self, Spec},
    },
    platform::clock,
};

use super::{Ask, AskOpen, Caller, Errno, Fs, Opened, attr};

/// A disk opens a file within that time, or the file is read through the daemon.
const DISK_OPENS: Duration = Duration::from_millis(200);

/// Flags of open(2) that matter to a read-only file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFlags(pub i32);

impl OpenFlags {
    fn writes(self) -> bool {
        self.0 & libc::O_ACCMODE != libc::O_RDONLY || self.0 & libc::O_TRUNC != 0
    }

    /// Past the kernel's cache.
    #[must_use]
    pub fn direct(self) -> bool {
        self.0 & libc::O_DIRECT != 0
    }

    /// The kernel opens it to run it (`FMODE_EXEC`).
    fn executes(self) -> bool {
        self.0 & 0x20 != 0
    }
}

impl Fs {
    pub fn open<A: AskOpen>(&self, ask: A, caller: Caller, ino: Ino, fh: Fh, flags: OpenFlags) {
        if flags.writes() {
            return ask.answer(Err(Errno::EROFS));
        }
        if self.inner.tree.is_forsaken(ino) {
            return ask.answer(Err(Errno::ESTALE));
        }
        let want = if flags.executes() { attr::MAY_EXECUTE } else { attr::MAY_READ };
        let fs = self.clone();
        self.known(ask, Ask::span, ino, move |ask, got| {
            let permitted = got.and_then(|file| fs.file_entry(ino, &file).attr.permit(caller, want).map(|()| file));
            match permitted {
                Ok(file) => fs.open_known(ask, ino, fh, &file),
                Err(errno) => ask.answer(Err(errno)),
            }
        });
    }

    fn open_known<A: AskOpen>(&self, ask: A, ino: Ino, fh: Fh, file: &FileInfo) {
        if file.unversioned && !self.inner.handles.is_used(ino) {
            // It may have become another since its last close, and no page of what it was is used.
            self.inner.parts.stores.forget(ino.0);
        }
        let by = ask.span().id();
        match self.store_on_disk(ino, file, by) {
            Ok(store) if store.is_opening() => self.open_with_disk(ask, ino, fh, file.clone(), store),
            Ok(store) => self.open_with(ask, ino, fh, file, &store),
            Err(_) if self.give_up_kept(by) > 0 => self.open_after_closing(ask, ino, fh, file.clone()),
            Err(why) => self.open_with(ask, ino, fh, file, &self.store_in_memory(ino, file, by, why)),
        }
    }

    /// The same once the disk of a local file has answered: then it is known whether it is still the same, and the
    /// kernel may read it by itself. A disk that does not answer holds the reads, not the OPEN.
    fn open_with_disk<A: AskOpen>(&self, ask: A, ino: Ino, fh: Fh, file: FileInfo, store: Arc<Store>) {
        let (fs, path) = (self.clone(), Arc::clone(&store.content().path));
        let parent = Some(ask.span().id());
        let spec = Spec { kind: TaskKind::Download, parent, fh: Some(fh.0), path: Some(&path) };
        tasks::spawn(&self.inner.parts.runtime, spec, |id| async move {
            ask.span().wait(Some(id), 0..0);
            store.opened_within(DISK_OPENS).await;
            fs.open_with(ask, ino, fh, &file, &store);
            Ok(())
        });
    }

    fn open_with<A: AskOpen>(&self, ask: A, ino: Ino, fh: Fh, file: &FileInfo, store: &Store) {
        if !store.is_current() {
            return self.open_stale(ask, ino);
        }
        let backing = self.backing(&ask, ino, store);
        let Some(joined) = self.inner.handles.join(ino, fh, backing) else {
            // The mount closes all stores.
            return self.open_known(ask, ino, fh, file);
        };
        self.unpin_if_unstaged(ino, file);
        self.opened(ask, ino, fh, file, joined);
    }

    /// Upon this the kernel looks its name up once more, which leads to the new content.
    fn open_stale<A: AskOpen>(&self, ask: A, ino: Ino) {
        self.inner.tree.forsake(ino);
        if let Some(store) = self.inner.handles.leave(ino) {
            self.inner.parts.closer.submit(store, ask.span().id());
        }
        ask.answer(Err(Errno::ESTALE));
    }

    /// Takes over the backing files that an earlier worker gave to the kernel, and does what it had no time for.
    pub fn adopt(&self, adopt: impl Fn(u32) -> Backing) {
        self.inner.adopted.store(true, Ordering::Relaxed);
        self.inner.handles.adopt(adopt);
        // Whose last reference went, and whose name the earlier worker had not taken away yet.
        let items = self.inner.catalog.items().into_iter().filter(|item| self.inner.handles.opens(item.ino) == 0);
        items.for_each(|item| _ = self.inner.catalog.evict(item.ino));
        self.sweep(ROOT, journal::next_id());
    }

    /// The file as the kernel may read it by itself: it is complete, and nobody has it open in the other way.
    fn backing<A: AskOpen>(&self, ask: &A, ino: Ino, store: &Store) -> Option<Backing> {
        let may = self.inner.handles.may_pass_through(ino);
        may.then(|| store.complete_file()).flatten().and_then(|file| ask.back(&file))
    }

    /// The store of the file, for whoever is about to join: without room on the disk, one in memory.
    pub(super) fn store(&self, ino: Ino, file: &FileInfo, by: OpId) -> Arc<Store> {
        self.store_on_disk(ino, file, by).unwrap_or_else(|why| self.store_in_memory(ino, file, by, why))
    }

    fn store_on_disk(&self, ino: Ino, file: &FileInfo, by: OpId) -> Result<Arc<Store>, StoreError> {
        let (stores, content) = (&self.inner.parts.stores, self.content(ino, file));
        let make = |given| stores.make(Content { given, ..content });
        let (store, fresh) = self.inner.handles.store_or_make(ino, file.staged, make)?;
        fresh.map(|fresh| fresh.begin(by));
        Ok(store)
    }

    fn store_in_memory(&self, ino: Ino, file: &FileInfo, by: OpId, why: StoreError) -> Arc<Store> {
        let (stores, content) = (&self.inner.parts.stores, self.content(ino, file));
        let make = |given| Ok::<_, Infallible>(stores.make_in_memory(Content { given, ..content }, why));
        let Ok((store, fresh)) = self.inner.handles.store_or_make(ino, file.staged, make);
        fresh.map(|fresh| fresh.begin(by));
        store
    }

    fn content(&self, ino: Ino, file: &FileInfo) -> Content {
        let path = self.path_of(ino.0).unwrap_or_default().into();
        let FileInfo { place, size, modified_us, validator, .. } = file.clone();
        Content { place, size, modified_us, validator, path, ino: ino.0, given: false }
    }

    /// Somebody may have unstaged the file between our look at it and the handle, or long before: its name stays as long
    /// as it is open.
    pub(super) fn unpin_if_unstaged(&self, ino: Ino, file: &FileInfo) {
        if file.staged && !self.inner.catalog.is_staged(ino) {
            let gone = self.inner.handles.unpin(ino);
            debug_assert!(gone.is_none(), "a handle was added just now");
        }
    }

    fn opened<A: AskOpen>(&self, ask: A, ino: Ino, fh: Fh, file: &FileInfo, joined: Joined) {
        let no_flush = !self.inner.config.flags.debug_all_callbacks;
        ask.answer(Ok(Opened { fh, mode: joined.mode, no_flush, stale: file.unversioned && !self.is_read(ino) }));
    }

    /// Whether somebody reads the file by a handle that is open. Then the kernel has seen that handle's OPEN, upon which
    /// it gave up what it had; would it do so again, the opener would wait for that read, and nobody could kill it. Not
    /// only the first OPEN is without what the kernel has: it may see the answer to a later one before.
    fn is_read(&self, ino: Ino) -> bool {
        self.inner.handles.store_of(ino).is_some_and(|store| store.was_asked())
    }

    /// `debug_skip_eviction` kept stores, and now there is no room: the newcomer goes first.
    fn give_up_kept(&self, cause: OpId) -> usize {
        let kept = self.inner.handles.take_kept();
        if !kept.is_empty() {
            let detail = format!("{} kept stores closed, because a reservation would have failed", kept.len());
            journal::invariant("debug_skip_eviction given up", &detail);
        }
        self.close_stores(kept, cause)
    }

    pub(super) fn close_stores(&self, stores: Vec<Detached>, cause: OpId) -> usize {
        let count = stores.len();
        for store in stores {
            let ino = Ino(store.ino());
            self.inner.parts.closer.submit(store, cause);
            self.inner.catalog.evict(ino);
        }
        count
    }

    fn open_after_closing<A: AskOpen>(&self, ask: A, ino: Ino, fh: Fh, file: FileInfo) {
        let (fs, path) = (self.clone(), self.path_of(ino.0).unwrap_or_default());
        let spec = Spec { kind: TaskKind::Evict, parent: Some(ask.span().id()), fh: Some(fh.0), path: Some(&path) };
        tasks::spawn(&self.inner.parts.runtime, spec, |id| async move {
            ask.span().wait(Some(id), 0..0);
            let deadline = clock::now() + fs.inner.config.meta_timeout;
            fs.inner.parts.closer.drain(deadline).await;
            let store = fs.store(ino, &file, ask.span().id());
            fs.open_with(ask, ino, fh, &file, &store);
            Ok(())
        });
    }

    /// Answers at once; what the last reference leaves behind is closed in the background.
    pub fn release<A: Ask<()>>(&self, ask: A, ino: Ino, fh: Fh) {
        if self.inner.skip_eviction.load(Ordering::Relaxed) {
            self.inner.handles.remove(ino, fh);
            return ask.answer(Ok(()));
        }
        #[cfg(feature = "failpoints")]
        self.injected_before_release(ask.span(), ino, fh);
        let cause = ask.span().id();
        let released = self.inner.handles.detach(ino, fh);
        ask.answer(Ok(()));
        self.after_release(ino, released, cause);
    }

    fn after_release(&self, ino: Ino, released: Released, cause: OpId) {
        if let Some(store) = released.store {
            self.inner.parts.closer.submit(store, cause);
        }
        if released.last {
            self.inner.catalog.evict(ino);
            if self.inner.adopted.load(Ordering::Relaxed) {
                self.sweep(ino, cause);
            }
        }
    }

    /// Removes what an earlier worker left and nobody refers to any more. A backing file keeps the lock on the temp
    /// file of the dead worker that made it: only when it is closed can that file be told from one in use.
    pub(super) fn sweep(&self, ino: Ino, cause: OpId) {
        let (fs, path) = (self.clone(), self.path_of(ino.0));
        let spec = Spec { kind: TaskKind::Evict, parent: Some(cause), fh: None, path: path.as_deref() };
        tasks::spawn(&self.inner.parts.runtime, spec, |_| async move {
            let wanted = fs.clone();
            let wanted = move |ino| wanted.inner.handles.is_used(Ino(ino)) || wanted.inner.catalog.is_staged(Ino(ino));
            let stores = fs.inner.parts.stores.clone();
            let sweep = tokio::task::spawn_blocking(move || {
                stores.forget_left(wanted);
                stores.sweep()
            });
            sweep.await.map(|_| ()).map_err(|error| error.to_string())
        });
    }

    /// The seed's bug and its relatives, for real (never in a build that serves users).
    #[cfg(feature = "failpoints")]
    fn injected_before_release(&self, span: &crate::observe::Span, ino: Ino, fh: Fh) {
        use fsd_events::event::Phase;

        use crate::observe::locks;
        fail::fail_point!("release::close_under_lock", |_| locks::allow_injected(|| {
            span.phase(Phase::Close, &self.path_of(ino.0).unwrap_or_default());
            self.inner.handles.detach_and_close_under_the_lock(ino, fh, Detached::close_here);
        }));
        fail::fail_point!("evict::block", |ms| {
            let time = ms.and_then(|ms| ms.parse().ok()).unwrap_or(60_000);
            self.inner.catalog.block(std::time::Duration::from_millis(time));
        });
    }
}

/// What an open file is, told by its store.
pub(super) fn info_of(content: &Content) -> FileInfo {
    let Content { place, size, modified_us, validator, .. } = content.clone();
    FileInfo { size, modified_us, validator, place, unversioned: false, staged: false }
}
