//! Scanning: the few steps that hand-written parsers of lines are made of.

use std::{borrow::Cow, sync::LazyLock};

use fsd_events::op::Op;

use crate::engine::model::hash::NumberMap;

/// The decimal number that `text` starts with, and what follows.
#[inline]
pub(super) fn num(text: &str) -> Option<(u64, &str)> {
    // Most numbers of most lines have fewer than eight digits: those are read at once.
    match text.as_bytes().first_chunk().map(Eight::new) {
        Some(eight) if eight.len == 0 => None,
        Some(eight) if eight.len < 8 => Some((eight.number(), &text[eight.len..])),
        _ => long_num(text),
    }
}

/// The same of any length, a digit at a time.
fn long_num(text: &str) -> Option<(u64, &str)> {
    /// So many digits are always a number of 64 bits.
    const SAFE: usize = 19;
    let (mut number, mut end) = (0_u64, 0);
    for byte in text.bytes().take_while(u8::is_ascii_digit) {
        let digit = u64::from(byte - b'0');
        number = if end < SAFE { number * 10 + digit } else { number.checked_mul(10)?.checked_add(digit)? };
        end += 1;
    }
    (end > 0).then(|| (number, &text[end..]))
}

/// The digits that eight bytes begin with.
#[derive(Clone, Copy)]
struct Eight {
    /// A digit each, the first one in the lowest byte; behind them is anything.
    digits: u64,
    len: usize,
}

impl Eight {
    #[inline]
    fn new(bytes: &[u8; 8]) -> Self {
        const ONES: u64 = 0x0101_0101_0101_0101;
        let digits = u64::from_le_bytes(*bytes) ^ (ONES * 0x30);
        // Whatever is greater than nine is sixteen or more with six; what that carries goes behind it.
        let other = (digits | digits.wrapping_add(ONES * 6)) & (ONES * 0xf0);
        Self { digits, len: other.trailing_zeros() as usize / 8 }
    }

    /// What they are as a number: ones become tens and ones, those hundreds, and so on. At least one is there.
    #[inline]
    fn number(self) -> u64 {
        const PAIRS: u64 = 0x00ff_00ff_00ff_00ff;
        const FOURS: u64 = 0x0000_ffff_0000_ffff;
        let ones = self.digits << (64 - 8 * self.len.min(8));
        let pairs = (ones.wrapping_mul(10).wrapping_add(ones >> 8)) & PAIRS;
        let fours = (pairs.wrapping_mul(100).wrapping_add(pairs >> 16)) & FOURS;
        fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & u64::from(u32::MAX)
    }
}

/// Without the blanks before it: whatever a blank is elsewhere, nothing that begins with a graphic byte of ASCII has one.
#[inline]
pub(super) fn unindented(text: &str) -> &str {
    let blanks = text.bytes().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let text = &text[blanks..];
    if text.as_bytes().first().is_some_and(u8::is_ascii_graphic) { text } else { text.trim_start() }
}

/// Without the blanks around it.
#[inline]
pub(super) fn trimmed(text: &str) -> &str {
    let text = unindented(text);
    if text.as_bytes().last().is_some_and(u8::is_ascii_graphic) { text } else { text.trim_end() }
}

/// The first eight bytes as a number; zeros stand for those that are not there.
#[inline]
pub(super) fn head(text: &[u8]) -> u64 {
    let eight = text.first_chunk().copied().unwrap_or_else(|| {
        let mut eight = [0; 8];
        eight[..text.len()].copy_from_slice(text);
        eight
    });
    u64::from_le_bytes(eight)
}

/// Whether `text` starts with any of these; their first bytes almost always tell.
#[inline]
pub(super) fn starts(text: &str, with: &[&str]) -> bool {
    let Some(first) = text.as_bytes().first() else { return false };
    with.iter().any(|start| start.as_bytes().first() == Some(first) && text.starts_with(start))
}

/// The hexadecimal number that `text` starts with (`0x` allowed), and what follows.
pub(super) fn hex(text: &str) -> Option<(u64, &str)> {
    let text = text.strip_prefix("0x").unwrap_or(text);
    let (mut number, mut end) = (0_u64, 0);
    for byte in text.bytes() {
        let Some(digit) = char::from(byte).to_digit(16) else { break };
        number = number.checked_mul(16)? | u64::from(digit);
        end += 1;
    }
    (end > 0).then(|| (number, &text[end..]))
}

/// The number behind `key`, wherever `key` first stands.
pub(super) fn num_after(text: &str, key: &str) -> Option<u64> {
    num(after(text, key)?).map(|(n, _)| n)
}

/// Where `key` first stands. Keys are short and searched for once, so no searcher is built: their rarest byte is.
///
/// Inlined, because a key is known where it is searched for: comparing it is an instruction or two there, else a call.
#[inline(always)]
pub(super) fn find(text: &str, key: &str) -> Option<usize> {
    let (text, key) = (text.as_bytes(), key.as_bytes());
    let rare = rarest(key);
    let byte = *key.get(rare)?;
    let mut from = rare;
    loop {
        let start = from - rare + position(text.get(from..)?, byte)?;
        if text[start..].starts_with(key) {
            return Some(start);
        }
        from = start + rare + 1;
    }
}

/// Where `byte` first stands. What is looked for in a line is near or not there, and most lines are short: eight bytes at
/// a time have found it before a search that is made for long texts has begun.
#[inline(never)]
pub(super) fn position(text: &[u8], byte: u8) -> Option<usize> {
    let (near, at) = near(text, |eight| found(eight, byte));
    near.or_else(|| {
        let rest = &text[at..];
        let found = if rest.len() < 8 { rest.iter().position(|b| *b == byte) } else { memchr::memchr(byte, rest) };
        found.map(|behind| at + behind)
    })
}

/// Where either of two bytes first stands.
#[inline(never)]
pub(super) fn position_of_either(text: &[u8], a: u8, b: u8) -> Option<usize> {
    let (near, at) = near(text, |eight| found(eight, a) | found(eight, b));
    near.or_else(|| memchr::memchr2(a, b, &text[at..]).map(|behind| at + behind))
}

/// Where what `found` tells of eight bytes first is, of those that are near, and where the others begin.
#[inline(always)]
fn near(text: &[u8], found: impl Fn(u64) -> u64) -> (Option<usize>, usize) {
    const NEAR: usize = 48;
    let (eights, _) = text[..text.len().min(NEAR)].as_chunks::<8>();
    for (at, eight) in eights.iter().enumerate() {
        let found = found(u64::from_le_bytes(*eight));
        if found != 0 {
            return (Some(8 * at + found.trailing_zeros() as usize / 8), 0);
        }
    }
    (None, 8 * eights.len())
}

/// A bit in the first of eight bytes that is `byte`, and perhaps in some behind that.
#[inline(always)]
fn found(eight: u64, byte: u8) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let other = eight ^ ONES.wrapping_mul(u64::from(byte));
    // The lowest byte that is zero borrows first.
    other.wrapping_sub(ONES) & !other & (ONES << 7)
}

#[inline(always)]
fn rarest(key: &[u8]) -> usize {
    key.iter().position(|b| !b.is_ascii_alphanumeric() && *b != b' ').unwrap_or(0)
}

/// What follows the first `key`.
#[inline(always)]
pub(super) fn after<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    find(text, key).map(|at| &text[at + key.len()..])
}

/// Whether `key` stands anywhere in `text`.
#[inline(always)]
pub(super) fn has(text: &str, key: &str) -> bool {
    find(text, key).is_some()
}

/// What stands before and after the first `key`.
#[inline(always)]
pub(super) fn split<'a>(text: &'a str, key: &str) -> Option<(&'a str, &'a str)> {
    find(text, key).map(|at| (&text[..at], &text[at + key.len()..]))
}

/// Where `key` last stands.
#[inline(always)]
pub(super) fn rfind(text: &str, key: &str) -> Option<usize> {
    let (text, key) = (text.as_bytes(), key.as_bytes());
    let rare = rarest(key);
    let byte = *key.get(rare)?;
    let mut to = text.len();
    loop {
        to = memchr::memrchr(byte, &text[..to])?;
        let start = to.checked_sub(rare)?;
        if text[start..].starts_with(key) {
            return Some(start);
        }
    }
}

/// What stands before and after the last `key`.
#[inline(always)]
pub(super) fn rsplit<'a>(text: &'a str, key: &str) -> Option<(&'a str, &'a str)> {
    rfind(text, key).map(|at| (&text[..at], &text[at + key.len()..]))
}

/// What stands between the first `open` and the next `close`.
pub(super) fn between<'a>(text: &'a str, open: &str, close: char) -> Option<&'a str> {
    let rest = after(text, open)?;
    let end = position(rest.as_bytes(), u8::try_from(close).ok()?)?;
    Some(&rest[..end])
}

/// Up to the first blank, and what follows it.
#[inline]
pub(super) fn word(text: &str) -> (&str, &str) {
    match position(text.as_bytes(), b' ') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    }
}

/// A duration as Go, ts(1) and people write it: `1m2.5s`, `45ms`, `27.01µs`, `12s`; microseconds.
pub(super) fn duration_us(text: &str) -> Option<u64> {
    if let Some(us) = whole_us(text) {
        return Some(us);
    }
    let mut rest = text;
    let mut total = 0.0;
    while rest.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let value: f64 = rest[..end].parse().ok()?;
        let (scale, unit) = unit_us(&rest[end..])?;
        total += value * scale;
        rest = &rest[end + unit..];
    }
    (rest.len() < text.len() && total.is_finite()).then_some(total as u64)
}

/// A whole number of milliseconds or microseconds, as most are.
fn whole_us(text: &str) -> Option<u64> {
    let (number, unit) = num(text)?;
    let (scale, rest) = match unit.strip_prefix("ms") {
        Some(rest) => (1000, rest),
        None => (1, unit.strip_prefix("us")?),
    };
    let goes_on = rest.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    number.checked_mul(scale).filter(|_| !goes_on)
}

/// Microseconds in the unit that `text` starts with, and the unit's length in bytes.
fn unit_us(text: &str) -> Option<(f64, usize)> {
    const UNITS: [(&str, f64); 9] = [
        ("ms", 1e3),
        ("µs", 1.0),
        ("μs", 1.0),
        ("us", 1.0),
        ("ns", 1e-3),
        ("min", 60e6),
        ("s", 1e6),
        ("m", 60e6),
        ("h", 3600e6),
    ];
    UNITS.iter().find(|(unit, _)| text.starts_with(unit)).map(|(unit, scale)| (*scale, unit.len()))
}

/// Seconds with a fraction, as microseconds: `0.000010`.
pub(super) fn seconds_us(text: &str) -> Option<u64> {
    let (whole, rest) = num(text)?;
    let Some(fraction) = rest.strip_prefix('.') else { return whole.checked_mul(1_000_000) };
    whole.checked_mul(1_000_000)?.checked_add(fraction_us(fraction).0)
}

/// Microseconds of the digits behind a decimal point, and how many bytes they take.
pub(super) fn fraction_us(digits: &str) -> (u64, usize) {
    const SCALES: [u64; 7] = [1_000_000, 100_000, 10_000, 1000, 100, 10, 1];
    if let Some(eight) = digits.as_bytes().first_chunk().map(Eight::new)
        && (1..=6).contains(&eight.len)
    {
        return (eight.number() * SCALES[eight.len], eight.len);
    }
    let (mut us, mut len) = (0, 0);
    for digit in digits.bytes().take_while(u8::is_ascii_digit) {
        if len < 6 {
            us = us * 10 + u64::from(digit - b'0');
        }
        len += 1;
    }
    (us * SCALES[len.min(6)], len)
}

/// What stands between the quotes that `text` starts with; a backslash escapes, and stays.
pub(super) fn quoted(text: &str) -> Option<(&str, &str)> {
    let body = text.strip_prefix('"')?;
    let mut escaped = false;
    for (at, byte) in body.bytes().enumerate() {
        match byte {
            b'"' if !escaped => return Some((&body[..at], &body[at + 1..])),
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    None
}

/// What a quoted text means: a backslash takes the next character as it is.
pub(super) fn unescaped(text: &str) -> Cow<'_, str> {
    if !has(text, "\\") {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (c, rest.as_str().starts_with(['"', '\\'])) {
            ('\\', true) => plain.extend(rest.next()),
            _ => plain.push(c),
        }
    }
    Cow::Owned(plain)
}

/// The longest prefix of `text` of at most `max` bytes that ends between characters.
pub(super) fn clip(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let end = (0..=max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[..end]
}

/// The errno behind a name (`ENOENT`) or the usual words of a C library (`no such file or directory`).
pub(super) fn errno(text: &str) -> Option<u32> {
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

/// Spellings that differ from the operation's name by more than case and punctuation.
const ALIASES: &[(&str, Op)] = &[
    ("attr", Op::Getattr),
    ("fgetattr", Op::Getattr),
    ("getinodeattributes", Op::Getattr),
    ("setinodeattributes", Op::Setattr),
    ("lookupinode", Op::Lookup),
    ("forgetinode", Op::Forget),
    ("batchforget", Op::BatchForget),
    ("readfile", Op::Read),
    ("readbuf", Op::Read),
    ("writefile", Op::Write),
    ("writebuf", Op::Write),
    ("openfile", Op::Open),
    ("syncfile", Op::Fsync),
    ("flushfile", Op::Flush),
    ("createfile", Op::Create),
    ("createsymlink", Op::Symlink),
    ("createlink", Op::Link),
    ("releasefilehandle", Op::Release),
    ("releasedirhandle", Op::Releasedir),
    ("readdirall", Op::Readdir),
    ("readsymlink", Op::Readlink),
    ("remove", Op::Unlink),
    ("truncate", Op::Setattr),
    ("ftruncate", Op::Setattr),
    ("chmod", Op::Setattr),
    ("chown", Op::Setattr),
    ("utimens", Op::Setattr),
    ("utime", Op::Setattr),
    ("setattrx", Op::Setattr),
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
    let all = ALIASES.iter().copied().chain(names);
    all.filter_map(|(name, op)| Some((spelling(name)?, op))).collect()
});

/// The names themselves, in large letters or small, as they are: most logs have those.
static NAMES: LazyLock<NumberMap<Spelling, Op>> = LazyLock::new(|| {
    let capitals = Op::all().map(|op| (op.name().to_ascii_uppercase(), op));
    let small = Op::all().map(|op| (op.name().to_ascii_lowercase(), op));
    capitals.chain(small).filter_map(|(name, op)| Some((filled(&name)?, op))).collect()
});

/// The operation behind a foreign spelling, the names of high-level libraries included.
pub(super) fn op(name: &str) -> Option<Op> {
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
    fn a_key_is_found_where_the_library_finds_it() {
        let text = "req=1 fh=22 path=/a=b, fh=3 µ=4";
        for key in ["fh=", "=", "path=/", "req", " fh=3", "µ=", "nope=", "4", "/a=b,"] {
            assert_eq!((find(text, key), rfind(text, key)), (text.find(key), text.rfind(key)), "{key}");
        }
        assert_eq!(split("a: b: c", ": "), Some(("a", "b: c")));
    }

    #[test]
    fn a_byte_is_found_wherever_it_stands() {
        for len in 0..100 {
            let mut text = vec![b'a'; len];
            assert_eq!((position(&text, b'='), position_of_either(&text, b'=', b'x')), (None, None));
            for at in (0..len).rev() {
                text[at] = b'=';
                assert_eq!(position(&text, b'='), Some(at), "{at} of {len}");
                assert_eq!(position_of_either(&text, b'x', b'='), Some(at), "{at} of {len}");
                assert_eq!(position_of_either(&text, b'=', b'x'), Some(at), "{at} of {len}");
            }
        }
        // Bytes that differ in one bit, or borrow from each other.
        assert_eq!(
            (position(b"<\x80\x00>\x01\x00\x00\x01", 0), position(b"\x00\x01\x01\x01\x01\x01\x01\x01", 1)),
            (Some(2), Some(1))
        );
    }

    #[test]
    fn what_a_text_starts_with_is_told_as_the_library_tells_it() {
        let starts_so = ["panic: ", "p", "µ", "exit"];
        for text in ["", "panic: x", "panic", "exit", "exi", "µs", "x", " panic: "] {
            assert_eq!(starts(text, &starts_so[..1]), text.starts_with("panic: "), "{text}");
            assert_eq!(starts(text, &starts_so), starts_so.iter().any(|start| text.starts_with(start)), "{text}");
        }
        for text in ["", " ", "a ", " a", "µ\u{a0}", "a\u{a0} ", "\t a", "\u{a0}a", " \u{2003} a", "µ", "\r\n\ta"] {
            assert_eq!((unindented(text), trimmed(text)), (text.trim_start(), text.trim()), "{text:?}");
        }
    }

    #[test]
    fn a_number_is_read_whatever_stands_behind_it() {
        for behind in ["", " ", ":", "/", ", opcode", "µ", "/////////", "\u{0}1", "~~~~~~~~~"] {
            for digits in 0..20 {
                let text = format!("{}{behind}", &"7012345678901234567890"[..digits]);
                let plain = text[..digits].parse().ok().map(|number: u64| (number, behind));
                assert_eq!(num(&text), plain, "{text}");
                let six = format!("{:0<6}", &text[..digits.min(6)]).parse().unwrap();
                assert_eq!(fraction_us(&text), (six, digits), "{text}");
            }
        }
        assert_eq!((num("18446744073709551615"), num("18446744073709551616")), (Some((u64::MAX, "")), None));
    }

    #[test]
    fn durations_are_read_in_every_unit() {
        let cases = [
            ("45ms", 45_000),
            ("1.256949055s", 1_256_949),
            ("27.01µs", 27),
            ("1m2.5s", 62_500_000),
            ("800ns", 0),
            ("2h", 7_200_000_000),
            ("10.678890466s)", 10_678_890),
        ];
        for (text, us) in cases {
            assert_eq!(duration_us(text), Some(us), "{text}");
        }
        for text in ["", "s", "12", "-3s", "12x"] {
            assert_eq!(duration_us(text), None, "{text}");
        }
    }

    #[test]
    fn quotes_end_at_the_first_that_is_not_escaped() {
        assert_eq!(quoted(r#""a \" b" rest"#), Some((r#"a \" b"#, " rest")));
        assert_eq!(quoted("\"open"), None);
    }

    #[test]
    fn clipping_keeps_characters_whole() {
        assert_eq!(clip("aµµ", 2), "a");
        assert_eq!(clip("aµµ", 3), "aµ");
    }

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
