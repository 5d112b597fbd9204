//! Spelling: quoted text, durations, times, and the checksum that covers them.

use std::{borrow::Cow, fmt};

/// Text between quotes: `\\`, `\"`, and `\xHH` for control characters.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        escape(f, self.0, "\"")?;
        f.write_str("\"")
    }
}

/// Text without quotes around it, where everything in `special` is escaped too.
pub(super) struct Bare<'a>(pub(super) &'a str, pub(super) &'static str);

impl fmt::Display for Bare<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(f, self.0, self.1)
    }
}

fn escape(f: &mut fmt::Formatter<'_>, text: &str, special: &str) -> fmt::Result {
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_control() || c == '\\' || special.contains(c)) {
        f.write_str(&rest[..at])?;
        match rest.as_bytes()[at] {
            b'\\' => f.write_str("\\\\")?,
            b'"' => f.write_str("\\\"")?,
            byte => write!(f, "\\x{byte:02x}")?,
        }
        rest = &rest[at + 1..];
    }
    f.write_str(rest)
}

/// Undoes the escapes; None when one is not well-formed.
pub(super) fn unescape(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('\\') {
        return Some(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let (char, used) = match rest.as_bytes().first()? {
            b'x' => (char::from(u8::from_str_radix(rest.get(1..3)?, 16).ok().filter(u8::is_ascii)?), 3),
            quoted @ (b'\\' | b'"') => (char::from(*quoted), 1),
            _ => return None,
        };
        out.push(char);
        rest = &rest[used..];
    }
    out.push_str(rest);
    Some(Cow::Owned(out))
}

/// Milliseconds as `12.004s`.
pub(super) struct Millis(pub(super) u64);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}s", self.0 / 1000, self.0 % 1000)
    }
}

/// `-` for None.
pub(super) struct Maybe<T>(pub(super) Option<T>);

impl<T: fmt::Display> fmt::Display for Maybe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("-"),
        }
    }
}

/// Microseconds since 1970 as RFC 3339 in UTC.
pub(super) struct Timestamp(pub(super) u64);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (y, mo, d) = civil(self.0 / DAY_US);
        let s = self.0 % DAY_US / 1_000_000;
        let us = self.0 % 1_000_000;
        write!(f, "{y:04}-{mo:02}-{d:02}T{:02}:{:02}:{:02}.{us:06}Z", s / 3600, s / 60 % 60, s % 60)
    }
}

/// Name of the dump file of that moment (microseconds since 1970): `stacks-20261123T214705.123Z.log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileName(pub u64);

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (y, mo, d) = civil(self.0 / DAY_US);
        let s = self.0 % DAY_US / 1_000_000;
        let ms = self.0 % 1_000_000 / 1000;
        let prefix = crate::layout::STACKS_PREFIX;
        write!(f, "{prefix}{y:04}{mo:02}{d:02}T{:02}{:02}{:02}.{ms:03}Z.log", s / 3600, s / 60 % 60, s % 60)
    }
}

const DAY_US: u64 = 86_400_000_000;

/// Days since 1970 as year, month, day (Howard Hinnant's algorithm).
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + u64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

/// The inverse of [`civil`]; None for a date that does not exist.
fn days(y: u64, month: u64, day: u64) -> Option<u64> {
    let shifted = y - u64::from(month <= 2);
    let (era, yoe) = (shifted / 400, shifted % 400);
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day.checked_sub(1)?;
    let all = era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy;
    all.checked_sub(719_468).filter(|days| civil(*days) == (y, month, day))
}

/// Reads what [`Timestamp`] wrote, and nothing else.
pub(super) fn parse_timestamp(text: &str) -> Option<u64> {
    let digits = |range: std::ops::Range<usize>| -> Option<u64> {
        let part = text.get(range)?;
        part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (26, b'Z')];
    let shaped = text.len() == 27 && separators.iter().all(|(at, byte)| text.as_bytes()[*at] == *byte);
    let (y, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
    let (h, m, s, us) = (digits(11..13)?, digits(14..16)?, digits(17..19)?, digits(20..26)?);
    let valid = shaped && y >= 1970 && (1..=12).contains(&month) && h < 24 && m < 60 && s < 60;
    valid.then(|| Some(days(y, month, day)? * DAY_US + (h * 3600 + m * 60 + s) * 1_000_000 + us))?
}

/// FNV-1a, 64 bits.
#[derive(Clone, Copy)]
pub(super) struct Fnv(u64);

impl Fnv {
    pub(super) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Of a whole text: each byte waits for the one before it, so it is asked for last.
    pub(super) fn of(text: &str) -> u64 {
        let mut hash = Self::new();
        hash.add(text.as_bytes());
        hash.value()
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    }

    pub(super) fn value(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_spelt_as_people_write_them() {
        assert_eq!(Timestamp(1_795_470_425_123_456).to_string(), "2026-11-23T21:47:05.123456Z");
        assert_eq!(FileName(1_795_470_425_123_456).to_string(), "stacks-20261123T214705.123Z.log");
        assert_eq!(parse_timestamp("2026-11-23T21:47:05.123456Z"), Some(1_795_470_425_123_456));
        assert_eq!(parse_timestamp("2026-02-30T21:47:05.123456Z"), None);
        assert_eq!(parse_timestamp("2024-02-29T00:00:00.000000Z"), Some(1_709_164_800_000_000));
        assert_eq!(parse_timestamp("2026-11-23 21:47:05.123456Z"), None);
    }

    #[test]
    fn escapes_come_back_and_broken_ones_do_not() {
        let odd = "a\"b\\c\nd\u{e9}";
        assert_eq!(Quoted(odd).to_string(), "\"a\\\"b\\\\c\\x0ad\u{e9}\"");
        assert_eq!(unescape("a\\\"b\\\\c\\x0ad\u{e9}").as_deref(), Some(odd));
        assert_eq!(unescape("a\\q"), None);
        assert_eq!(unescape("a\\x"), None);
        assert_eq!(unescape("a\\xff"), None);
    }
}
