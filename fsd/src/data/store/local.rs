//! Local files: opened by the disk pool, and never through a link that leads elsewhere.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustix::fs::OFlags;

use crate::data::{
    origin::Validator,
    source::{self, Place},
};

use super::{Store, StoreError, held::Part};

impl Store {
    pub(super) fn open_local(self: &Arc<Self>) {
        if let Place::Whole(whole) = &self.content.place {
            return self.opened(whole.file());
        }
        let store = Arc::clone(self);
        self.stores.pools.read(move || match store.open_same() {
            Ok(file) => store.opened(Arc::new(file)),
            Err(error) => store.die(&error),
        });
    }

    /// Whether it is a local file whose disk has not answered yet.
    pub fn is_opening(&self) -> bool {
        let local = matches!(self.content.place, Place::Local(_));
        local && self.complete.get().is_none() && self.state.lock().dead.is_none()
    }

    /// Waits as long as it is one, `limit` at most.
    pub async fn opened_within(&self, limit: Duration) {
        let opened = async {
            loop {
                let settled = self.room.notified();
                tokio::pin!(settled);
                settled.as_mut().enable();
                if !self.is_opening() {
                    return;
                }
                settled.await;
            }
        };
        drop(tokio::time::timeout(limit, opened).await);
    }

    /// The file that was listed, or an error when it is another by now.
    fn open_same(&self) -> Result<File, StoreError> {
        let Place::Local(path) = &self.content.place else { return Err(StoreError::Closed) };
        let file = open_here(path).map_err(|error| StoreError::Disk(error.to_string()))?;
        self.check(&file).map(|()| file)
    }

    fn check(&self, file: &File) -> Result<(), StoreError> {
        let meta = file.metadata().map_err(|error| StoreError::Disk(error.to_string()))?;
        let same = meta.is_file() && source::local_validator(&meta) == self.content.validator;
        if same { Ok(()) } else { Err(StoreError::Changed(format!("{}: another file", self.content.path))) }
    }

    /// What was just read is of what was listed. Looked at after the reading: who writes into a file moves its time
    /// first.
    pub(super) fn vouch(&self) -> Result<(), StoreError> {
        match (&self.content.place, self.complete.get()) {
            (Place::Local(_), Some(file)) => self.check(file),
            _ => Ok(()),
        }
    }

    /// False when a local file was found to be another than what was listed. Waits for no disk.
    pub fn is_current(&self) -> bool {
        match (&self.content.place, self.complete.get()) {
            (Place::Local(_), Some(file)) => at_hand(file).is_ok_and(|now| now == self.content.validator),
            (Place::Local(_), None) => !matches!(self.state.lock().dead, Some(StoreError::Changed(_))),
            _ => true,
        }
    }

    fn opened(self: &Arc<Self>, file: Arc<File>) {
        drop(self.complete.set(file));
        let waiting = {
            let mut state = self.state.lock();
            state.held.written(0..self.content.size);
            state.waiters.take_hopeless(|_| true)
        };
        self.room.notify_waiters();
        self.stores.ticker.left(waiting.len());
        for (reader, need) in waiting {
            self.fulfil(vec![Part::Disk(need.clone())], need, reader);
        }
    }
}

/// Opens `path`, which is canonical, unless a link has come into it since.
fn open_here(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = OpenOptions::new().read(true).custom_flags(i32::try_from(flags).unwrap_or(0)).open(path)?;
    if cfg!(target_os = "linux") {
        use std::os::fd::AsRawFd;
        let real = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        if real != path {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "a link has come into its path"));
        }
    }
    Ok(file)
}

/// The version as far as the system knows it without asking a server.
#[cfg(target_os = "linux")]
fn at_hand(file: &File) -> io::Result<Validator> {
    use rustix::fs::{AtFlags, StatxFlags, statx};
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let stat = statx(file, "", flags, StatxFlags::MTIME | StatxFlags::SIZE)?;
    Ok(source::local_version(stat.stx_size, stat.stx_mtime.tv_sec, i64::from(stat.stx_mtime.tv_nsec)))
}

#[cfg(not(target_os = "linux"))]
fn at_hand(file: &File) -> io::Result<Validator> {
    Ok(source::local_validator(&file.metadata()?))
}
