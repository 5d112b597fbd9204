//! Staging: files that a person puts into the mount while it runs.

use std::sync::atomic::Ordering;

use fsd_events::{control, ids::Ino, names::NAME_MAX};

use crate::{data::origin::Resource, names::catalog::Item, observe::journal};

use super::{Fs, StageError};

impl Fs {
    /// Shows `resource` as `Staged/<id>/<name>`.
    ///
    /// # Errors
    /// When the origin does not tell its length, does not answer, or the mount is going down.
    pub async fn stage(&self, resource: Resource, name: Option<String>) -> Result<control::Staged, StageError> {
        if self.inner.draining.load(Ordering::Relaxed) {
            return Err(StageError::Draining);
        }
        let named = name.or_else(|| resource.file_name());
        let name = named.ok_or_else(|| StageError::NoName(resource.to_string()))?;
        if !is_file_name(&name) {
            return Err(StageError::BadName(name));
        }
        let meta = self.inner.parts.origin.head(&resource, journal::next_id()).await?;
        let size = meta.size.ok_or_else(|| StageError::NoLength(resource.to_string()))?;
        let item = self.inner.catalog.stage(resource, name, size, &meta).ok_or(StageError::Full)?;
        Ok(self.shown(&item))
    }

    /// Takes back the staged reference; the content goes when nobody has it open any more.
    ///
    /// # Errors
    /// When nothing is staged under `id`.
    pub fn unstage(&self, id: &str) -> Result<(), StageError> {
        let item = self.inner.catalog.unstage(id).ok_or_else(|| StageError::NotFound(id.to_owned()))?;
        let cause = journal::next_id();
        if let Some(store) = self.inner.handles.unpin(item.ino) {
            self.inner.parts.closer.submit(store, cause);
        }
        if self.inner.handles.opens(item.ino) == 0 {
            self.inner.catalog.evict(item.ino);
            if self.inner.adopted.load(Ordering::Relaxed) {
                self.sweep(item.ino, cause);
            }
        }
        Ok(())
    }

    /// Everything that is staged, oldest first.
    pub fn staged(&self) -> Vec<control::Staged> {
        self.inner.catalog.items().iter().map(|item| self.shown(item)).collect()
    }

    fn shown(&self, item: &Item) -> control::Staged {
        control::Staged {
            id: item.id.clone(),
            name: item.name.clone(),
            url: item.resource.to_string(),
            size: Some(item.size),
            have: self.have(item.ino),
            staged: item.staged,
            open: self.inner.handles.opens(item.ino) as u64,
        }
    }

    fn have(&self, ino: Ino) -> u64 {
        self.inner.handles.store_of(ino).map_or(0, |store| store.progress().have)
    }
}

fn is_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && name.len() <= NAME_MAX && !name.contains(['/', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_component_is_a_file_name() {
        assert!(is_file_name("a b.mkv") && is_file_name("...") && is_file_name(".hidden"));
        assert!(!["", ".", "..", "a/b", "a\0", &"x".repeat(256)].into_iter().any(is_file_name));
    }
}
