//! Metadata: names, attributes, directories, permissions. Answered from memory; only a missing listing is waited for.

use std::{ffi::OsStr, sync::Arc};

use fsd_events::{
    ids::{Fh, Ino},
    names::{Kind, NAME_MAX},
};

use crate::{
    names::tree::{Age, Directory, FileInfo, Node},
    observe::Span,
};

use super::{Ask, Attr, Caller, Entry, Errno, Fs, Page, Room, attr};

impl Fs {
    pub fn lookup<A: Ask<Entry>>(&self, ask: A, parent: Ino, name: &OsStr) {
        let dir = match self.dir(parent) {
            Ok(dir) => dir,
            Err(errno) => return ask.answer(Err(errno)),
        };
        // Names that are not UTF-8 cannot come from a source.
        let Some(name) = name.to_str().filter(|name| name.len() <= NAME_MAX).map(Box::<str>::from) else {
            return ask.answer(Err(Errno::ENOENT));
        };
        let fs = self.clone();
        self.listed(ask, Ask::span, &dir, self.fresh(), move |ask, listing| {
            let found = listing.and_then(|listing| listing.find(&name).map(|node| fs.entry(node)).ok_or(Errno::ENOENT));
            if let Ok(entry) = &found {
                fs.inner.tree.look_up(entry.attr.ino);
            }
            ask.answer(found);
        });
    }

    /// `fh`: an open file has attributes although its name may lead to other content by now.
    pub fn getattr<A: Ask<Entry>>(&self, ask: A, ino: Ino, _fh: Option<Fh>) {
        if self.inner.tree.kind(ino) == Some(Kind::Dir) {
            return ask.answer(Ok(self.dir_entry(ino)));
        }
        let fs = self.clone();
        self.known(ask, Ask::span, ino, move |ask, got| {
            ask.answer(got.map(|file| fs.file_entry(ino, &file)));
        });
    }

    pub fn access<A: Ask<()>>(&self, ask: A, caller: Caller, ino: Ino, want: u16) {
        if self.inner.tree.kind(ino) == Some(Kind::Dir) {
            let permitted = self.dir_entry(ino).attr.permit(caller, want);
            return ask.answer(permitted);
        }
        let fs = self.clone();
        self.known(ask, Ask::span, ino, move |ask, got| {
            ask.answer(got.and_then(|file| fs.file_entry(ino, &file).attr.permit(caller, want)));
        });
    }

    pub fn opendir<A: Ask<()>>(&self, ask: A, caller: Caller, ino: Ino) {
        let dir = self.dir(ino);
        let permitted = dir.and_then(|dir| self.dir_entry(dir.ino).attr.permit(caller, attr::MAY_READ));
        ask.answer(permitted);
    }

    /// The directory's entries behind `cookie`; 0: from the start.
    pub fn readdir<A: Ask<Page>>(&self, ask: A, ino: Ino, cookie: u64) {
        let dir = match self.dir(ino) {
            Ok(dir) => dir,
            Err(errno) => return ask.answer(Err(errno)),
        };
        // Who is in the middle goes on with what is there: cookies are good for every listing.
        let age = if cookie == 0 { self.fresh() } else { Age::Any };
        let (fs, here) = (self.clone(), Arc::clone(&dir));
        self.listed(ask, Ask::span, &dir, age, move |ask, listing| {
            let page = listing.map(|listing| {
                let (here, above) = (fs.dir_entry(here.ino), fs.dir_entry(here.parent));
                let tree = Arc::clone(&fs.inner.tree);
                let look_up = Box::new(move |ino| tree.look_up(ino));
                Page { listing, cookie, here, above, entry_of: Box::new(move |node| fs.entry(node)), look_up }
            });
            ask.answer(page);
        });
    }

    pub fn statfs<A: Ask<Room>>(&self, ask: A) {
        let block_size = 4096;
        let used = self.inner.parts.stores.usage().disk;
        let blocks = used.div_ceil(u64::from(block_size));
        ask.answer(Ok(Room { blocks, files: self.inner.tree.names() + 1, block_size, name_max: NAME_MAX as u32 }));
    }

    /// SEEK_DATA and SEEK_HOLE: a file is all data, with a hole at its end.
    pub fn lseek<A: Ask<u64>>(&self, ask: A, ino: Ino, off: u64, hole: bool) {
        self.known(ask, Ask::span, ino, move |ask, got| {
            ask.answer(got.and_then(|file| match (off < file.size, hole) {
                (false, _) => Err(Errno::ENXIO),
                (true, true) => Ok(file.size),
                (true, false) => Ok(off),
            }));
        });
    }

    pub(super) fn dir(&self, ino: Ino) -> Result<Arc<Directory>, Errno> {
        let found = self.inner.tree.directory(ino);
        found.ok_or_else(|| if self.inner.tree.kind(ino).is_some() { Errno::ENOTDIR } else { Errno::ESTALE })
    }

    /// Calls `then` with what is known of a file: from its directory's listing, from a handle that has it open, or
    /// after listing the directory when only an earlier worker knew it. ESTALE when it is no longer that file.
    pub(super) fn known<A: Send + 'static>(
        &self,
        ask: A,
        span: impl Fn(&A) -> &Span,
        ino: Ino,
        then: impl FnOnce(A, Result<Arc<FileInfo>, Errno>) + Send + 'static,
    ) {
        if self.inner.tree.is_forsaken(ino) {
            return then(ask, Err(Errno::ESTALE));
        }
        let home = match self.inner.tree.file(ino) {
            Some((_, Some(Node { file: Some(file), .. }))) => return then(ask, Ok(file)),
            Some((home, _)) => home,
            None if self.inner.tree.kind(ino).is_some() => return then(ask, Err(Errno::EISDIR)),
            None => return then(ask, Err(Errno::ESTALE)),
        };
        if let Some(store) = self.inner.handles.store_of(ino) {
            return then(ask, Ok(Arc::new(super::open::info_of(store.content()))));
        }
        let tree = Arc::clone(&self.inner.tree);
        self.listed(ask, span, &home, Age::Any, move |ask, got| {
            let found = got.and_then(|_| match tree.file(ino) {
                Some((_, Some(Node { file: Some(file), .. }))) => Ok(file),
                _ => Err(Errno::ESTALE),
            });
            then(ask, found);
        });
    }

    fn entry(&self, node: &Node) -> Entry {
        match &node.file {
            Some(file) => self.file_entry(node.ino, file),
            None => self.dir_entry(node.ino),
        }
    }

    pub(super) fn file_entry(&self, ino: Ino, file: &FileInfo) -> Entry {
        let config = &self.inner.config;
        let attr = Attr::file(ino, file, config, self.inner.started_us);
        let entry_ttl = if file.unversioned { std::time::Duration::ZERO } else { config.entry_ttl };
        Entry { attr, entry_ttl, attr_ttl: config.attr_ttl }
    }

    fn dir_entry(&self, ino: Ino) -> Entry {
        let config = &self.inner.config;
        let attr = Attr::dir(ino, config, self.inner.started_us);
        Entry { attr, entry_ttl: config.entry_ttl, attr_ttl: config.attr_ttl }
    }
}
