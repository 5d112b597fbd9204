//! An input in blocks that end where a line ends.

use std::io::{self, Read};

/// Reads ahead of nobody: a block at a time, into buffers that the caller keeps.
pub struct Blocks {
    source: Box<dyn Read + Send>,
    size: usize,
    /// Begin of the next block: the part of a line.
    carry: Vec<u8>,
    ended: bool,
}

impl Blocks {
    /// `size` in bytes. Small enough to stay in a core's own cache, where scanning it costs no memory traffic.
    pub fn new(source: Box<dyn Read + Send>, size: usize) -> Self {
        Self { source, size: size.max(1), carry: Vec::new(), ended: false }
    }

    /// The next block, and how much of the buffer it fills; 0 at the end. It ends with a line feed, except the last
    /// one, and those within a line that is longer than a block.
    ///
    /// # Errors
    /// When the source cannot be read; what was read before is given first.
    pub fn next(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        buffer.resize(self.size + self.carry.len(), 0);
        buffer[..self.carry.len()].copy_from_slice(&self.carry);
        let mut filled = self.carry.len();
        self.carry.clear();
        while filled < buffer.len() && !self.ended {
            match self.source.read(&mut buffer[filled..]) {
                Ok(0) => self.ended = true,
                Ok(got) => filled += got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if filled == 0 => return Err(error),
                Err(_) => return Ok(filled),
            }
        }
        if self.ended {
            return Ok(filled);
        }
        let whole = memchr::memrchr(b'\n', &buffer[..filled]).map_or(filled, |at| at + 1);
        self.carry.extend_from_slice(&buffer[whole..filled]);
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn blocks_are_the_whole_text_cut_at_lines(text in "[ab\n]{0,60}", size in 1_usize..20) {
            let mut blocks = Blocks::new(Box::new(io::Cursor::new(text.clone().into_bytes())), size);
            let (mut all, mut buffer) = (Vec::new(), Vec::new());
            while let Ok(len @ 1..) = blocks.next(&mut buffer) {
                prop_assert!(all.len() + len == text.len() || buffer[len - 1] == b'\n' || !buffer[..len].contains(&b'\n'));
                all.extend_from_slice(&buffer[..len]);
            }
            prop_assert_eq!(all, text.into_bytes());
        }
    }

    #[test]
    fn what_was_read_before_an_error_is_given() {
        struct Broken(bool);
        impl Read for Broken {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if std::mem::replace(&mut self.0, true) {
                    return Err(io::Error::other("damaged"));
                }
                buffer[..3].copy_from_slice(b"a\nb");
                Ok(3)
            }
        }
        let (mut blocks, mut buffer) = (Blocks::new(Box::new(Broken(false)), 10), Vec::new());
        assert_eq!(blocks.next(&mut buffer).unwrap(), 3);
        assert!(blocks.next(&mut buffer).is_err());
    }
}
