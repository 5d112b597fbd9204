//! Whole: a content whose length the origin does not tell, fetched from its first byte to its last.

use std::{
    fmt,
    fs::File,
    hash::{DefaultHasher, Hasher},
    mem,
    sync::Arc,
};

use bytes::Bytes;
use fsd_events::{event::Phase, ids::OpId};

use crate::{
    data::origin::{Meta, Resource, Validator},
    observe::tasks,
};

use super::{StoreError, Stores, stores::Shared, temp_file::TempFile};

/// Disk is reserved in steps of so many bytes.
const STEP: u64 = 4 << 20;
/// Bytes of one write.
const BLOCK: usize = 1 << 20;

/// All bytes of one content, in a temp file without a name. The disk is free when nobody holds it any more.
pub struct Whole {
    temp: TempFile,
    size: u64,
    validator: Validator,
    modified_us: Option<u64>,
    /// Bytes of the disk budget.
    reserved: u64,
    stores: Arc<Shared>,
}

impl Stores {
    /// Fetches all of `resource`; None: it is larger than `limit` bytes.
    ///
    /// # Errors
    /// When the origin fails, the body breaks off, or the disk does not take it. Nothing is left then.
    pub async fn whole(&self, resource: &Resource, limit: u64, op: OpId) -> Result<Option<Whole>, StoreError> {
        let mut body = self.shared.origin.get(resource, None, &Validator::None, op).await?;
        let mut half = Half::create(&self.shared).await?;
        while let Some(piece) = body.chunk().await? {
            if half.size() + piece.len() as u64 > limit {
                return Ok(None);
            }
            half.add(&piece, op).await?;
        }
        half.finish(body.meta(), op).await.map(Some)
    }
}

impl Whole {
    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What the origin said of its version; where it said nothing, what the bytes themselves say.
    pub fn validator(&self) -> &Validator {
        &self.validator
    }

    pub fn modified_us(&self) -> Option<u64> {
        self.modified_us
    }

    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(self.temp.file())
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        self.stores.budget.release(self.reserved);
    }
}

impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Whole({} bytes)", self.size)
    }
}

/// The same content is the same fetch.
impl PartialEq for Whole {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.temp.file(), other.temp.file())
    }
}

impl Eq for Whole {}

/// A content on its way.
struct Half {
    whole: Whole,
    /// Came, and is not written yet.
    block: Vec<u8>,
    hash: DefaultHasher,
}

impl Half {
    async fn create(stores: &Arc<Shared>) -> Result<Self, StoreError> {
        let dir = stores.config.temp_dir.clone();
        let made = stores.pools.put(move || TempFile::create(&dir, 0).and_then(|temp| temp.remove().map(|()| temp)));
        let temp = made.await.ok_or(StoreError::Closed)?.map_err(|error| StoreError::Disk(error.to_string()))?;
        let (validator, stores) = (Validator::None, Arc::clone(stores));
        let whole = Whole { temp, size: 0, validator, modified_us: None, reserved: 0, stores };
        Ok(Self { whole, block: Vec::with_capacity(BLOCK), hash: DefaultHasher::new() })
    }

    fn size(&self) -> u64 {
        self.whole.size + self.block.len() as u64
    }

    async fn add(&mut self, piece: &Bytes, op: OpId) -> Result<(), StoreError> {
        self.hash.write(piece);
        self.block.extend_from_slice(piece);
        tasks::progress(op, self.size(), 0, "running");
        if self.block.len() < BLOCK { Ok(()) } else { self.write(op).await }
    }

    async fn write(&mut self, op: OpId) -> Result<(), StoreError> {
        let Whole { temp, size, reserved, stores, .. } = &mut self.whole;
        let (at, end) = (*size, *size + self.block.len() as u64);
        while *reserved < end {
            stores.budget.reserve(STEP)?;
            *reserved += STEP;
        }
        tasks::phase(op, Phase::Disk, "write");
        let (file, block) = (Arc::clone(temp.file()), mem::take(&mut self.block));
        let written = stores.pools.put(move || {
            use std::os::unix::fs::FileExt;
            file.write_all_at(&block, at).map(|()| block)
        });
        let written = written.await.ok_or(StoreError::Closed)?;
        self.block = written.map_err(|error| StoreError::Disk(error.to_string()))?;
        self.block.clear();
        *size = end;
        tasks::phase(op, Phase::Upstream, "");
        Ok(())
    }

    async fn finish(mut self, meta: &Meta, op: OpId) -> Result<Whole, StoreError> {
        self.write(op).await?;
        let Self { mut whole, hash, .. } = self;
        whole.stores.budget.release(whole.reserved - whole.size);
        whole.reserved = whole.size;
        whole.modified_us = meta.modified_us;
        whole.validator = match &meta.validator {
            Validator::None => Validator::Strong(format!("\"content-{:016x}\"", hash.finish())),
            told => told.clone(),
        };
        tasks::progress(op, whole.size, whole.size, "complete");
        Ok(whole)
    }
}
