//! Names: the operations and the errors behind the words of a log.

use std::sync::LazyLock;

use fsd_events::op::Op;

use crate::engine::{methods, model::hash::NumberMap};

/// The errno behind a name (`ENOENT`) or the usual words of a C library (`no such file or directory`).
pub(in crate::formats) fn errno(text: &str) -> Option<u32> {
    const NAMES: [(&str, &str, u32); 22] = [
        ("EPERM", "operation not permitted", 1),
        ("ENOENT", "no such file or directory", 2),
        ("EINTR", "interrupted system call", 4),
        ("EIO", "input/output error", 5),
        ("EBADF", "bad file descriptor", 9),
        ("EAGAIN", "resource temporarily unavailable", 11),
        ("ENOMEM", "cannot allocate memory", 12),
        ("EACCES", "permission denied", 13),
        ("EBUSY", "device or resource busy", 16),
        ("EEXIST", "file exists", 17),
        ("ENOTDIR", "not a directory", 20),
        ("EISDIR", "is a directory", 21),
        ("EINVAL", "invalid argument", 22),
        ("EMFILE", "too many open files", 24),
        ("ENOSPC", "no space left on device", 28),
        ("EROFS", "read-only file system", 30),
        ("ENOSYS", "function not implemented", 38),
        ("ENOTEMPTY", "directory not empty", 39),
        ("ENODATA", "no data available", 61),
        ("ENOTSUP", "operation not supported", 95),
        ("ETIMEDOUT", "connection timed out", 110),
        ("ESTALE", "stale file handle", 116),
    ];
    let text = text.trim();
    NAMES
        .iter()
        .find(|(name, words, _)| {
            text.strip_prefix(*name).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
                || text.get(..words.len()).is_some_and(|t| t.eq_ignore_ascii_case(words))
        })
        .map(|row| row.2)
}

/// What logs call operations besides; in stacks many a function is called so that is none.
const ALIASES: &[(&str, Op)] = &[
    ("setattrx", Op::Setattr),
    ("utime", Op::Setattr),
    ("statvfs", Op::Statfs),
    ("listdir", Op::Readdir),
    ("close", Op::Release),
    ("lock", Op::Setlk),
    ("flock", Op::Setlk),
];

/// A spelling in small letters without punctuation: zeros fill it up, so that it is three numbers to compare.
type Spelling = (u64, u64, u64);

static SPELLINGS: LazyLock<NumberMap<Spelling, Op>> = LazyLock::new(|| {
    let names = Op::all().map(|op| (op.name(), op));
    let all = [ALIASES, methods::ALIASES, methods::OF_FILES].into_iter().flatten().copied().chain(names);
    all.filter_map(|(name, op)| Some((spelling(name)?, op))).collect()
});

/// The names themselves, in large letters or small, as they are: most logs have those.
static NAMES: LazyLock<NumberMap<Spelling, Op>> = LazyLock::new(|| {
    let capitals = Op::all().map(|op| (op.name().to_ascii_uppercase(), op));
    let small = Op::all().map(|op| (op.name().to_ascii_lowercase(), op));
    let plain = Op::all().map(|op| (op.name().to_owned(), op));
    capitals.chain(small).chain(plain).filter_map(|(name, op)| Some((filled(&name)?, op))).collect()
});

/// The operation behind a foreign spelling, the names of high-level libraries included.
pub(in crate::formats) fn op(name: &str) -> Option<Op> {
    let named = filled(name).and_then(|name| NAMES.get(&name));
    named.or_else(|| SPELLINGS.get(&spelling(name)?)).copied()
}

/// A name as it is, filled up. None: no operation has so long a name.
fn filled(name: &str) -> Option<Spelling> {
    let mut plain = [0; 24];
    plain.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
    Some(numbers(&plain))
}

fn numbers(plain: &[u8; 24]) -> Spelling {
    let number = |at: usize| plain[at..].first_chunk().map_or(0, |eight| u64::from_le_bytes(*eight));
    (number(0), number(8), number(16))
}

/// None: no operation has so long a name.
fn spelling(name: &str) -> Option<Spelling> {
    let mut plain = [0; 24];
    for (at, byte) in name.bytes().filter(u8::is_ascii_alphanumeric).enumerate() {
        *plain.get_mut(at)? = byte.to_ascii_lowercase();
    }
    if plain.starts_with(b"fuse") {
        plain.copy_within(4.., 0);
        plain[20..].fill(0);
    }
    Some(numbers(&plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_spellings_lead_to_the_operation() {
        for (name, want) in [
            ("GetInodeAttributes", Op::Getattr),
            ("ReadDirAll", Op::Readdir),
            ("LookUpInode", Op::Lookup),
            ("READDIRPLUS", Op::Readdirplus),
            ("FUSE_BATCH_FORGET", Op::BatchForget),
        ] {
            assert_eq!(op(name), Some(want), "{name}");
        }
        for op in Op::all() {
            assert_eq!((super::op(op.name()), super::op(&format!("FUSE_{}", op.name()))), (Some(op), Some(op)));
        }
        for name in ["nonsense", "", "fuse", "getattrgetattrgetattrgetattr"] {
            assert_eq!(op(name), None, "{name}");
        }
        assert_eq!(errno("no such file or directory"), Some(2));
    }
}
