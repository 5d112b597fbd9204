//! Wide: text of two bytes a character, as some shells and editors write it, made UTF-8.

use std::{
    char::{REPLACEMENT_CHARACTER, decode_utf16},
    io::{self, Read},
};

/// UTF-16 without its byte order mark; what is no text becomes the replacement character.
pub(super) struct Wide<R> {
    source: R,
    unit: fn([u8; 2]) -> u16,
    /// Bytes and the first half of a character that wait for the rest.
    bytes: Vec<u8>,
    text: Vec<u8>,
    given: usize,
}

impl<R: Read> Wide<R> {
    pub(super) fn new(source: R, unit: fn([u8; 2]) -> u16) -> Self {
        Self { source, unit, bytes: Vec::new(), text: Vec::new(), given: 0 }
    }

    /// Whether more text came.
    fn refill(&mut self) -> io::Result<bool> {
        const BLOCK: u64 = 64 << 10;
        let ended = self.source.by_ref().take(BLOCK).read_to_end(&mut self.bytes)? == 0;
        let mut units: Vec<u16> = self.bytes.chunks_exact(2).map(|pair| (self.unit)([pair[0], pair[1]])).collect();
        let first_half = |unit: &u16| (0xd800..0xdc00).contains(unit);
        if !ended && units.last().is_some_and(first_half) {
            units.pop();
        }
        let text: String = decode_utf16(units.iter().copied()).map(|c| c.unwrap_or(REPLACEMENT_CHARACTER)).collect();
        self.bytes.drain(..2 * units.len());
        (self.text, self.given) = (text.into_bytes(), 0);
        Ok(!ended || !self.text.is_empty())
    }
}

impl<R: Read> Read for Wide<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.text.len() {
            if !self.refill()? {
                return Ok(0);
            }
        }
        let got = (&self.text[self.given..]).read(buffer)?;
        self.given += got;
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = buffer.len().min(1);
            self.0.read(&mut buffer[..len])
        }
    }

    #[test]
    fn a_text_is_the_same_however_it_arrives_and_ends() {
        let long = "\u{e4}\u{1f512}\n".repeat(40_000);
        let bytes: Vec<u8> = long.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let read = |source: &[u8]| {
            let mut text = String::new();
            Wide::new(Slow(source), u16::from_be_bytes).read_to_string(&mut text).map(|_| text).unwrap()
        };
        assert_eq!(read(&bytes), long);
        assert_eq!(read(&[0, b'a', 0xd8]), "a");
        assert_eq!(read(&[0, b'a', 0xd8, 0x3d]), "a\u{fffd}");
    }
}
