//! The pattern: what byte stands where, without storing any.

/// The seed of a path's bytes in one of its versions.
pub(super) fn seed(path: &str, version: u64) -> u64 {
    let path = path.trim_start_matches('/');
    path.bytes().fold(version.wrapping_mul(0x9e37_79b9_7f4a_7c15), |seed, byte| mix(seed ^ u64::from(byte)))
}

fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^ (x >> 32)
}

fn word(seed: u64, index: u64) -> [u8; 8] {
    mix(seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes()
}

/// Writes the bytes of the content `seed` that start at `offset`.
pub fn fill(seed: u64, offset: u64, into: &mut [u8]) {
    let skip = usize::try_from(offset % 8).unwrap_or(0);
    let (head, rest) = into.split_at_mut(into.len().min((8 - skip) % 8));
    head.copy_from_slice(&word(seed, offset / 8)[skip..][..head.len()]);
    let first = offset.div_ceil(8);
    for (index, eight) in (first..).zip(rest.chunks_mut(8)) {
        eight.copy_from_slice(&word(seed, index)[..eight.len()]);
    }
}

/// Where `bytes`, read at `offset` of the first version of `path`, are not what they should be.
pub fn first_difference(path: &str, offset: u64, bytes: &[u8]) -> Option<u64> {
    let mut right = vec![0; bytes.len()];
    fill(seed(path, 1), offset, &mut right);
    let at = bytes.iter().zip(&right).position(|(a, b)| a != b)?;
    Some(offset + at as u64)
}

/// A checksum against accidents, the same however the bytes are cut.
#[derive(Clone, Debug)]
pub struct Checksum {
    state: u64,
    rest: [u8; 8],
    held: usize,
    len: u64,
}

impl Default for Checksum {
    fn default() -> Self {
        Self { state: 0x1234_5678_9abc_def1, rest: [0; 8], held: 0, len: 0 }
    }
}

impl Checksum {
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len() as u64;
        if self.held > 0 {
            let take = bytes.len().min(8 - self.held);
            self.rest[self.held..self.held + take].copy_from_slice(&bytes[..take]);
            self.held += take;
            bytes = &bytes[take..];
            if self.held < 8 {
                return;
            }
            self.word(self.rest);
        }
        let (words, tail) = bytes.as_chunks::<8>();
        for eight in words {
            self.word(*eight);
        }
        self.rest[..tail.len()].copy_from_slice(tail);
        self.held = tail.len();
    }

    fn word(&mut self, eight: [u8; 8]) {
        self.state = (self.state.rotate_left(5) ^ u64::from_le_bytes(eight)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    /// The sum of everything so far.
    pub fn sum(&self) -> u64 {
        let mut last = self.clone();
        last.rest[last.held..].fill(0);
        last.word(last.rest);
        mix(last.state ^ last.len)
    }
}

/// The sum of the first version of a file.
pub fn checksum(path: &str, size: u64) -> u64 {
    let mut sum = Checksum::default();
    let mut block = vec![0; 1 << 18];
    let mut at = 0;
    while at < size {
        let len = usize::try_from(size - at).map_or(block.len(), |left| left.min(block.len()));
        fill(seed(path, 1), at, &mut block[..len]);
        sum.update(&block[..len]);
        at += len as u64;
    }
    sum.sum()
}
