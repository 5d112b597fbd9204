//! Frames: a zstd file as one text. Tools that pack in pieces, or append, write several frames, and some that hold none
//! of the text.

use std::io::{self, BufRead, Read};

use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

/// Whether a file that begins like this is packed in frames.
pub(super) fn begin(magic: &[u8]) -> bool {
    matches!(magic, [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18])
}

/// The text of all frames of `source`, one after the other.
pub(super) struct Frames<R> {
    source: R,
    decoder: FrameDecoder,
    /// A frame has begun, and its text is not given out yet.
    within: bool,
    /// What was found wrong; it stays so.
    damage: Option<String>,
}

impl<R: BufRead> Frames<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, decoder: FrameDecoder::new(), within: false, damage: None }
    }

    /// Whether another frame begins.
    fn next(&mut self) -> Result<bool, String> {
        while !self.source.fill_buf().map_err(|error| error.to_string())?.is_empty() {
            match self.decoder.init(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let skipped = io::copy(&mut self.source.by_ref().take(length.into()), &mut io::sink());
                    if skipped.map_err(|error| error.to_string())? < length.into() {
                        return Err(String::from("a frame is cut"));
                    }
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(false)
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, String> {
        while self.within || self.next()? {
            self.within = true;
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.source, one).map_err(|error| error.to_string())?;
            }
            let got = self.decoder.read(buffer).map_err(|error| error.to_string())?;
            if got > 0 {
                return Ok(got);
            }
            self.within = false;
        }
        Ok(0)
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.damage.is_none() && !buffer.is_empty() {
            match self.fill(buffer) {
                Ok(got) => return Ok(got),
                Err(why) => self.damage = Some(why),
            }
        }
        let damaged = |why| Err(io::Error::new(io::ErrorKind::InvalidData, why));
        self.damage.clone().map_or(Ok(0), damaged)
    }
}
