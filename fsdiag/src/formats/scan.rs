//! Scanning: the few steps that hand-written parsers of lines are made of.

mod name;
mod number;

use std::borrow::Cow;

pub(super) use self::{
    name::{errno, op},
    number::{duration_us, fraction_us, hex, num, seconds_us},
};

/// Bytes as text, with what is no UTF-8 replaced. Almost all is UTF-8, and known to be sooner than the library looks for
/// what is not.
pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
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
    fn quotes_end_at_the_first_that_is_not_escaped() {
        assert_eq!(quoted(r#""a \" b" rest"#), Some((r#"a \" b"#, " rest")));
        assert_eq!(quoted("\"open"), None);
    }

    #[test]
    fn clipping_keeps_characters_whole() {
        assert_eq!(clip("aµµ", 2), "a");
        assert_eq!(clip("aµµ", 3), "aµ");
    }
}
