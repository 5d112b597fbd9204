//! Tape: a recording, plain or packed, given out line by line.

use std::{
    collections::VecDeque,
    io::{self, Read},
    path::Path,
};

use crate::sources::{file::Input, lines::Lines};

const BLOCK: usize = 256 << 10;

pub(super) struct Tape {
    source: Option<Box<dyn Read + Send>>,
    lines: Lines,
    ready: VecDeque<Vec<u8>>,
    block: Vec<u8>,
}

impl Tape {
    /// # Errors
    /// It cannot be opened, or is damaged where it says that it is packed.
    pub(super) fn open(file: &Path) -> io::Result<Self> {
        let source = Some(Input::File(file.to_owned()).open()?);
        Ok(Self { source, lines: Lines::default(), ready: VecDeque::new(), block: vec![0; BLOCK] })
    }

    /// The next line without taking it; None at the end.
    pub(super) fn peek(&mut self) -> Option<&[u8]> {
        while self.ready.is_empty() {
            let source = self.source.as_mut()?;
            let got = source.read(&mut self.block).unwrap_or(0);
            let ready = &mut self.ready;
            if got == 0 {
                self.source = None;
                if !self.lines.rest().is_empty() {
                    ready.push_back(self.lines.rest().to_vec());
                }
            } else {
                self.lines.feed(&self.block[..got], |line| ready.push_back(line.to_vec()));
            }
        }
        self.ready.front().map(Vec::as_slice)
    }

    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        self.peek()?;
        self.ready.pop_front()
    }
}

/// Whether it must be read as a whole, because its end cannot be followed.
pub(super) fn is_packed(file: &Path) -> bool {
    let mut magic = [0; 4];
    let read = std::fs::File::open(file).and_then(|mut open| open.read(&mut magic));
    read.is_ok() && matches!(magic, [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd])
}

/// # Errors
/// It cannot be opened.
pub(super) fn read_all(file: &Path, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut tape = Tape::open(file)?;
    while let Some(line) = tape.take() {
        each(&line);
    }
    Ok(())
}
