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

use crate::data::source::{self, Place};

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
        let disk = |error: io::Error| StoreError::Disk(error.to_string());
        let file = open_here(path).map_err(disk)?;
        let meta = file.metadata().map_err(disk)?;
        let same = meta.is_file()
            && meta.len() == self.content.size
            && source::local_validator(&meta) == self.content.validator;
        if same { Ok(file) } else { Err(StoreError::Changed(format!("{}: another file", self.content.path))) }
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
