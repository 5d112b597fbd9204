//! Handles: which file is open how often, and the one store that serves each inode.
//!
//! Only [`Handles::detach`] and its relatives take a store out, and what they give is [`Detached`]: the closer is
//! the only one that takes it. So nobody can close a store under the lock by accident.

use std::{any::Any, collections::HashMap, io, path::Path, sync::Arc};

use fsd_events::{
    ids::{Fh, Ino, RunId},
    names::OpenAs,
};

use crate::{
    data::{
        closer::Detached,
        store::{Fresh, Store},
    },
    observe::locks::{RwLock, WriteGuard},
};

use super::{HANDLES, opens::OpenSet};

/// A backing file that the kernel reads by itself; dropping the last one tells the kernel.
#[derive(Clone, Debug)]
pub struct Backing {
    /// The kernel's number of it; good for every worker of the mount.
    pub id: u32,
    /// What tells the kernel, of the one who made it.
    pub keep: Arc<dyn Any + Send + Sync>,
}

/// How one OPEN is answered.
#[derive(Clone, Debug)]
pub enum Mode {
    Cached,
    Passthrough(Backing),
}

/// Every open handle of the mount.
#[derive(Debug)]
pub struct Handles {
    inner: RwLock<Inner>,
}

#[derive(Debug)]
struct Inner {
    set: OpenSet,
    /// How each handle of this worker is open; those of an earlier worker are in `set` alone.
    open: HashMap<(u64, u64), OpenAs>,
    files: HashMap<u64, File>,
    /// What an earlier worker opened and this one has not touched yet, and how.
    left_open: HashMap<(u64, u64), OpenAs>,
    left: HashMap<u64, Left>,
}

/// Handles of one inode that an earlier worker opened.
#[derive(Debug, Default)]
struct Left {
    handles: usize,
    /// The number of the backing file, and what closes it.
    backing: Option<(u32, Option<Backing>)>,
}

/// One inode that has a store.
#[derive(Debug)]
struct File {
    store: Arc<Store>,
    /// Those who have the store and no handle yet.
    coming: usize,
    cached: usize,
    passthrough: usize,
    backing: Option<Backing>,
    /// Staged: stays when the last handle goes.
    pinned: bool,
}

impl File {
    /// For the one who made the store.
    fn new(store: Arc<Store>, pinned: bool) -> Self {
        Self { store, coming: 1, cached: 0, passthrough: 0, backing: None, pinned }
    }

    fn opens(&self) -> usize {
        self.cached + self.passthrough
    }

    fn idle(&self) -> bool {
        self.opens() == 0 && self.coming == 0 && !self.pinned
    }
}

/// What an OPEN got.
#[derive(Debug)]
pub struct Joined {
    pub store: Arc<Store>,
    pub mode: Mode,
}

/// What a RELEASE left behind.
#[derive(Debug, Default)]
pub struct Released {
    /// The handle was open.
    pub known: bool,
    /// It was the last one of its inode.
    pub last: bool,
    /// The store, when nobody refers to it any more.
    pub store: Option<Detached>,
}

impl Handles {
    /// # Errors
    /// When the shared file cannot be made.
    pub fn open(shared: Option<&Path>, run: RunId) -> io::Result<Self> {
        let set = OpenSet::open(shared, run)?;
        let mut left: HashMap<u64, Left> = HashMap::new();
        let mut left_open = HashMap::new();
        for (ino, fh, how, backing) in set.left() {
            let entry = left.entry(ino).or_default();
            entry.handles += 1;
            if how == OpenAs::Passthrough {
                entry.backing = Some((backing, None));
            }
            left_open.insert((ino, fh), how);
        }
        let inner = Inner { set, open: HashMap::new(), files: HashMap::new(), left_open, left };
        Ok(Self { inner: RwLock::new(&HANDLES, inner) })
    }

    /// The store of an inode, for whoever is about to [`join`](Self::join): until then it stays. Where there is none,
    /// `make` makes it, and it comes along to be begun without the lock. All in one step: of two stores only one would
    /// have what an earlier worker left. `make` touches memory only; it is told whether an earlier worker may have given
    /// out bytes of the inode.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn store_or_make<E>(
        &self,
        ino: Ino,
        pinned: bool,
        make: impl FnOnce(bool) -> Result<Fresh, E>,
    ) -> Result<(Arc<Store>, Option<Fresh>), E> {
        let mut inner = self.inner.write();
        if let Some(file) = inner.files.get_mut(&ino.0) {
            file.coming += 1;
            return Ok((Arc::clone(&file.store), None));
        }
        let fresh = make(inner.opens(ino) > 0)?;
        let store = Arc::clone(fresh.store());
        inner.files.insert(ino.0, File::new(Arc::clone(&store), pinned));
        Ok((store, Some(fresh)))
    }

    /// Adds a handle for one who has got the store; None when the mount has given it up meanwhile. Adding it again
    /// changes nothing. `backing` is wanted, not demanded: an inode that is open cached stays cached, because the kernel
    /// refuses a mixture.
    pub fn join(&self, ino: Ino, fh: Fh, backing: Option<Backing>) -> Option<Joined> {
        let mut inner = self.inner.write();
        let file = inner.files.get_mut(&ino.0)?;
        file.coming = file.coming.saturating_sub(1);
        Some(inner.add(ino, fh, backing))
    }

    /// The same for one who has got the store and wants no handle.
    pub fn leave(&self, ino: Ino) -> Option<Detached> {
        let mut inner = self.inner.write();
        let file = inner.files.get_mut(&ino.0)?;
        file.coming = file.coming.saturating_sub(1);
        inner.take_if_idle(ino)
    }

    /// The store of an open handle.
    pub fn store(&self, ino: Ino, fh: Fh) -> Option<Arc<Store>> {
        let inner = self.inner.read();
        inner.open.get(&(ino.0, fh.0))?;
        inner.files.get(&ino.0).map(|file| Arc::clone(&file.store))
    }

    /// The store of an inode, whoever has it open.
    pub fn store_of(&self, ino: Ino) -> Option<Arc<Store>> {
        self.inner.read().files.get(&ino.0).map(|file| Arc::clone(&file.store))
    }

    /// Takes over the backing files of an earlier worker; `adopt` makes what will close one.
    pub fn adopt(&self, adopt: impl Fn(u32) -> Backing) {
        let mut inner = self.inner.write();
        for (id, keep) in inner.left.values_mut().filter_map(|left| left.backing.as_mut()) {
            *keep = Some(adopt(*id));
        }
    }

    /// Whether an OPEN of this inode could be answered with a new backing file: nothing has it open yet.
    pub fn may_pass_through(&self, ino: Ino) -> bool {
        let inner = self.inner.read();
        !inner.left.contains_key(&ino.0) && inner.files.get(&ino.0).is_none_or(|file| file.opens() == 0)
    }

    /// Whether anybody has the inode open, also when an earlier worker opened it.
    pub fn is_used(&self, ino: Ino) -> bool {
        let inner = self.inner.read();
        inner.left.contains_key(&ino.0) || inner.files.contains_key(&ino.0)
    }

    /// Whether the pair is open, also when an earlier worker opened it.
    pub fn is_open(&self, ino: Ino, fh: Fh) -> bool {
        self.inner.read().set.contains(ino, fh)
    }

    /// Takes a handle away, and the store with the last reference.
    pub fn detach(&self, ino: Ino, fh: Fh) -> Released {
        let mut inner = self.inner.write();
        let (known, last, backing) = inner.remove(ino, fh);
        let store = inner.take_if_idle(ino);
        drop(inner);
        drop(backing);
        Released { known, last, store }
    }

    /// Takes a handle away and leaves the store where it is (`debug_skip_eviction`).
    pub fn remove(&self, ino: Ino, fh: Fh) -> bool {
        let mut inner = self.inner.write();
        let (known, _, backing) = inner.remove(ino, fh);
        drop(inner);
        drop(backing);
        known
    }

    /// The seed's bug, for real: takes a handle away and hands its store to `close` before the lock is given back.
    #[cfg(feature = "failpoints")]
    pub fn detach_and_close_under_the_lock(&self, ino: Ino, fh: Fh, close: impl FnOnce(Detached)) -> Released {
        let mut inner = self.inner.write();
        let (known, last, _backing) = inner.remove(ino, fh);
        if let Some(store) = inner.take_if_idle(ino) {
            close(store);
        }
        Released { known, last, store: None }
    }

    /// The staged reference of an inode is gone.
    pub fn unpin(&self, ino: Ino) -> Option<Detached> {
        let mut inner = self.inner.write();
        inner.files.get_mut(&ino.0)?.pinned = false;
        inner.take_if_idle(ino)
    }

    /// Stores that nobody refers to and that are still here (`debug_skip_eviction`).
    pub fn take_kept(&self) -> Vec<Detached> {
        let mut inner = self.inner.write();
        let idle = |file: &File| file.idle();
        take_where(&mut inner, idle)
    }

    /// Every store, whoever has it open: the mount is gone.
    pub fn take_all(&self) -> Vec<Detached> {
        let mut inner = self.inner.write();
        inner.open.clear();
        take_where(&mut inner, |_| true)
    }

    /// Open handles of one inode.
    pub fn opens(&self, ino: Ino) -> usize {
        self.inner.read().opens(ino)
    }

    /// Open handles, stores, and stores that nobody refers to.
    pub fn counts(&self) -> (usize, usize, usize) {
        let inner = self.inner.read();
        (inner.set.len(), inner.files.len(), inner.files.values().filter(|file| file.idle()).count())
    }
}

fn take_where(inner: &mut WriteGuard<'_, Inner>, which: impl Fn(&File) -> bool) -> Vec<Detached> {
    let gone: Vec<u64> = inner.files.iter().filter(|(_, file)| which(file)).map(|(ino, _)| *ino).collect();
    gone.iter().filter_map(|ino| inner.files.remove(ino)).map(|file| Detached::new(file.store)).collect()
}

impl Inner {
    /// The inode has a store.
    fn add(&mut self, ino: Ino, fh: Fh, backing: Option<Backing>) -> Joined {
        let file = self.files.get_mut(&ino.0).expect("the caller has seen to it");
        if file.opens() == 0 {
            // The kernel knows only one way at a time for an inode: what is open already decides.
            file.backing = match self.left.get(&ino.0) {
                Some(left) => left.backing.as_ref().and_then(|(_, keep)| keep.clone()),
                None => backing,
            };
        }
        let mode = file.backing.clone().map_or(Mode::Cached, Mode::Passthrough);
        let how = if file.backing.is_some() { OpenAs::Passthrough } else { OpenAs::Cached };
        if self.open.insert((ino.0, fh.0), how).is_none() {
            match how {
                OpenAs::Cached => file.cached += 1,
                OpenAs::Passthrough => file.passthrough += 1,
            }
        }
        let store = Arc::clone(&file.store);
        let number = file.backing.as_ref().map_or(0, |backing| backing.id);
        self.set.insert(ino, fh, how, number);
        // This worker counts it from now on.
        drop(self.forget_left(ino, fh));
        Joined { store, mode }
    }

    /// Open handles of the inode, those that an earlier worker opened among them.
    fn opens(&self, ino: Ino) -> usize {
        let left = self.left.get(&ino.0).map_or(0, |left| left.handles);
        self.files.get(&ino.0).map_or(0, File::opens) + left
    }

    /// One handle less of an earlier worker; with the last one the backing file comes along, if it was one of those.
    fn forget_left(&mut self, ino: Ino, fh: Fh) -> Option<Backing> {
        self.left_open.remove(&(ino.0, fh.0))?;
        let left = self.left.get_mut(&ino.0)?;
        left.handles -= 1;
        if left.handles > 0 {
            return None;
        }
        self.left.remove(&ino.0)?.backing?.1
    }

    /// Whether it was open, whether it was the last, and the backing file to be dropped without the lock.
    fn remove(&mut self, ino: Ino, fh: Fh) -> (bool, bool, Option<Backing>) {
        let known = self.set.remove(ino, fh);
        let Some(how) = self.open.remove(&(ino.0, fh.0)) else {
            let backing = self.forget_left(ino, fh);
            return (known, known && self.opens(ino) == 0, backing);
        };
        let Some(file) = self.files.get_mut(&ino.0) else { return (known, true, None) };
        match how {
            OpenAs::Cached => file.cached -= 1,
            OpenAs::Passthrough => file.passthrough -= 1,
        }
        let backing = if file.opens() == 0 { file.backing.take() } else { None };
        (known, self.opens(ino) == 0, backing)
    }

    fn take_if_idle(&mut self, ino: Ino) -> Option<Detached> {
        self.files.get(&ino.0).filter(|file| file.idle())?;
        self.files.remove(&ino.0).map(|file| Detached::new(file.store))
    }
}
