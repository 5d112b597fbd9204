//! Words: names packed into them, and a file's bytes read as them.

/// Words that a thread's name takes: sixteen bytes, as many as the kernel keeps.
pub(super) const NAME_WORDS: usize = 2;

/// The first sixteen bytes of a name.
pub fn pack_name(name: &str) -> [u64; 2] {
    let mut bytes = [0_u8; NAME_WORDS * 8];
    for (to, from) in bytes.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    name_words(bytes)
}

/// The same from bytes that end in NULs.
pub fn name_words(bytes: [u8; 16]) -> [u64; 2] {
    std::array::from_fn(|n| word_of(&bytes[n * 8..]))
}

pub(super) fn unpack_name(words: [u64; NAME_WORDS]) -> String {
    text_of(&words, NAME_WORDS * 8)
}

/// Text of at most `len` bytes that ends at the first NUL.
pub(super) fn text_of(words: &[u64], len: usize) -> String {
    let mut bytes: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).take(len).collect();
    bytes.truncate(bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len()));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The first eight bytes as a word; missing ones are 0.
pub(super) fn word_of(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    for (to, from) in word.iter_mut().zip(bytes) {
        *to = *from;
    }
    u64::from_ne_bytes(word)
}

/// Reads a file's bytes as words; 0 behind its end.
pub(super) fn reader(bytes: &[u8]) -> impl Fn(usize) -> u64 {
    move |index| index.checked_mul(8).and_then(|at| bytes.get(at..)).map_or(0, word_of)
}
