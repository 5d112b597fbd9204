//! The cursor: eats one line from the left, and refuses every spelling but the writer's.

use std::str::FromStr;

use crate::{
    event::Text,
    stacks::text::{parse_timestamp, unescape},
};

pub(super) struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        Self { rest: line }
    }

    pub(super) fn eat(&mut self, literal: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(literal)?;
        Some(())
    }

    /// Eats the literal if it comes next.
    pub(super) fn has(&mut self, literal: &str) -> bool {
        self.eat(literal).is_some()
    }

    pub(super) fn end(&self) -> Option<()> {
        self.rest.is_empty().then_some(())
    }

    /// Everything after the literal, unescaped; not empty.
    pub(super) fn after(&mut self, literal: &str) -> Option<Text<'a>> {
        self.eat(literal)?;
        let rest = std::mem::take(&mut self.rest);
        (!rest.is_empty()).then(|| unescape(rest))?
    }

    /// Up to a blank, a comma, a bracket or the end; not empty.
    pub(super) fn word(&mut self) -> Option<&'a str> {
        self.until(|b| matches!(b, b' ' | b',' | b']' | b')'))
    }

    /// Up to a blank or the end; not empty.
    pub(super) fn token(&mut self) -> Option<&'a str> {
        self.until(|b| b == b' ')
    }

    /// All that is left.
    pub(super) fn all(&mut self) -> &'a str {
        std::mem::take(&mut self.rest)
    }

    /// It may stop at a byte of ASCII, or at the first byte of a character.
    fn until(&mut self, stop: impl Fn(u8) -> bool) -> Option<&'a str> {
        let end = self.rest.bytes().position(stop).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }

    /// A decimal number without sign or leading zeros.
    pub(super) fn number<T: FromStr>(&mut self) -> Option<T> {
        let digits = self.until(|b| !b.is_ascii_digit())?;
        (digits == "0" || !digits.starts_with('0')).then(|| digits.parse().ok())?
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        match self.has("-") {
            true => self.number().filter(|n: &i64| *n > 0).map(|n: i64| -n),
            false => self.number(),
        }
    }

    /// `-`, or what `read` reads.
    pub(super) fn maybe<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        let none = self.rest == "-" || self.rest.starts_with("- ") || self.rest.starts_with("-)");
        match none {
            true => self.eat("-").map(|()| None),
            false => read(self).map(Some),
        }
    }

    /// Sixteen hexadecimal digits.
    pub(super) fn hex16(&mut self) -> Option<u64> {
        let (digits, rest) = self.rest.split_at_checked(16)?;
        self.rest = rest;
        hex(digits)
    }

    /// `12.004s`.
    pub(super) fn millis(&mut self) -> Option<u64> {
        let seconds: u64 = self.number()?;
        self.eat(".")?;
        let digits = self.rest.get(..3).filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
        self.rest = &self.rest[3..];
        self.eat("s")?;
        seconds.checked_mul(1000)?.checked_add(digits.parse().ok()?)
    }

    pub(super) fn timestamp(&mut self) -> Option<u64> {
        parse_timestamp(std::mem::take(&mut self.rest))
    }

    pub(super) fn quoted(&mut self) -> Option<Text<'a>> {
        self.eat("\"")?;
        let mut escaped = false;
        let end = self.rest.bytes().position(|b| {
            let ends = b == b'"' && !escaped;
            escaped = b == b'\\' && !escaped;
            ends
        })?;
        let inside = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        unescape(inside)
    }
}

/// Lower-case hexadecimal digits, as the writer spells them.
pub(super) fn hex(digits: &str) -> Option<u64> {
    let ours = !digits.is_empty() && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    ours.then(|| u64::from_str_radix(digits, 16).ok())?
}
