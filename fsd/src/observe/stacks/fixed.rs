//! Fixed buffers: text and files without the allocator.

use std::{
    ffi::CStr,
    fmt::{self, Write},
    fs::File,
    io::{Read, Write as _},
};

/// Text of at most `N` bytes; what does not fit is cut off.
#[derive(Clone, Copy)]
pub(super) struct Fixed<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Fixed<N> {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; N], len: 0 }
    }

    pub(super) fn of(text: fmt::Arguments<'_>) -> Self {
        let mut fixed = Self::new();
        let _cut = fixed.write_fmt(text);
        fixed
    }

    /// The bytes up to the first that is no UTF-8.
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let mut fixed = Self::new();
        let valid = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        let _cut = fixed.write_str(valid);
        fixed
    }

    pub(super) fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }

    /// The text with a NUL behind it; None when there is no room for one.
    pub(super) fn as_c_str(&self) -> Option<&CStr> {
        CStr::from_bytes_until_nul(self.bytes.get(..=self.len)?).ok()
    }
}

impl<const N: usize> fmt::Write for Fixed<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = N - self.len;
        let fits = text.floor_char_boundary(room.min(text.len()));
        self.bytes[self.len..self.len + fits].copy_from_slice(&text.as_bytes()[..fits]);
        self.len += fits;
        if fits == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// Reads a small file; empty when it cannot be read. std keeps short paths on the stack.
pub(super) fn read<'b>(path: fmt::Arguments<'_>, buffer: &'b mut [u8]) -> &'b [u8] {
    let path = Fixed::<96>::of(path);
    let Ok(mut file) = File::open(path.as_str()) else { return &[] };
    let mut len = 0;
    while let Some(room) = buffer.get_mut(len..).filter(|room| !room.is_empty()) {
        match file.read(room) {
            Ok(0) => break,
            Ok(got) => len += got,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    &buffer[..len]
}

/// A file behind a buffer that exists already.
pub(super) struct Buffered<'b> {
    file: &'b File,
    buffer: &'b mut Vec<u8>,
    /// The first failure (errno); nothing is written after it.
    failed: Option<i32>,
}

impl<'b> Buffered<'b> {
    /// Uses the buffer's capacity and never more.
    pub(super) fn new(file: &'b File, buffer: &'b mut Vec<u8>) -> Self {
        buffer.clear();
        Self { file, buffer, failed: None }
    }

    fn flush(&mut self) {
        if self.failed.is_none()
            && let Err(e) = self.file.write_all(self.buffer)
        {
            self.failed = Some(e.raw_os_error().unwrap_or(libc::EIO));
        }
        self.buffer.clear();
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// The errno of the first failure.
    pub(super) fn finish(mut self) -> Result<(), i32> {
        self.flush();
        self.failed.map_or(Ok(()), Err)
    }
}

impl fmt::Write for Buffered<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.as_bytes().chunks(self.buffer.capacity().max(1)) {
            if self.buffer.len() + part.len() > self.buffer.capacity() {
                self.flush();
            }
            self.buffer.extend_from_slice(part);
        }
        if self.failed.is_none() { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut_between_characters() {
        assert_eq!(Fixed::<4>::of(format_args!("ab{}", "\u{e9}\u{e9}")).as_str(), "ab\u{e9}");
        assert_eq!(Fixed::<8>::from_bytes(b"ok\xff?").as_str(), "ok");
        assert!(Fixed::<2>::of(format_args!("ab")).as_c_str().is_none());
        assert_eq!(Fixed::<3>::of(format_args!("ab")).as_c_str(), Some(c"ab"));
    }
}
