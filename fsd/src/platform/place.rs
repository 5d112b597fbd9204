//! Places in the source, shared between threads without a lock.

use std::{
    panic::Location,
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

/// Holds one place or none.
#[derive(Debug)]
pub struct PlaceCell(AtomicPtr<Location<'static>>);

impl PlaceCell {
    pub const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    #[inline]
    pub fn set(&self, place: &'static Location<'static>) {
        self.0.store(ptr::from_ref(place).cast_mut(), Ordering::Relaxed);
    }

    #[expect(unsafe_code, reason = "a reference cannot be loaded atomically in safe code")]
    pub fn get(&self) -> Option<&'static Location<'static>> {
        let place = self.0.load(Ordering::Relaxed);
        // SAFETY: the cell only ever holds null or what came from a `&'static Location` in `set`, and the compiler's
        // locations are constants that need no synchronisation.
        unsafe { place.as_ref() }
    }
}

impl Default for PlaceCell {
    fn default() -> Self {
        Self::new()
    }
}
