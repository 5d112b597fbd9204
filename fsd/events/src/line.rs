//! One event as one line of JSON: written with a fixed key order, read back by a scanner that knows this order.
//!
//! [`decode`] first tries the scanner, which copies nothing and allocates nothing for the frequent events; whatever
//! looks odd to it (escapes, spaces, foreign key order, nested values) goes to a general JSON parser. Both give the
//! same answer for every line, which a property test holds.

mod digits;
mod encode;
mod general;
mod scan;
pub mod stamp;

use crate::{
    event::{Body, Event},
    ids::RunId,
};

pub use encode::encode;

/// What a line turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded<'a> {
    Event(Event<'a>),
    /// An event of a later schema: its place in the sequence is known, its meaning is not.
    Unknown {
        run: RunId,
        seq: u64,
        /// As in [`crate::event::Head`].
        ts_us: u64,
    },
    /// No event at all.
    Malformed,
}

/// Reads one line, with or without its line feed. Never fails: what cannot be read is `Malformed`.
pub fn decode(line: &[u8]) -> Decoded<'_> {
    Decoder::default().decode(line)
}

/// Reads many lines; each as [`decode`] does, but faster where a line begins as the one before did.
#[derive(Debug, Default)]
pub struct Decoder(scan::Before);

impl Decoder {
    /// Reads the next line.
    #[inline]
    pub fn decode<'a>(&mut self, line: &'a [u8]) -> Decoded<'a> {
        let line = line.trim_ascii();
        match scan::decode(line, &mut self.0) {
            Some(event) => Decoded::Event(event),
            None => general::decode(line),
        }
    }
}

impl<'a> Event<'a> {
    /// The same event, independent of the line it was read from.
    pub fn into_owned(self) -> Event<'static> {
        Event { head: self.head, body: self.body.into_owned(), carried: self.carried, late: self.late }
    }
}

impl Body<'_> {
    /// The same body, independent of the line it was read from.
    pub fn into_owned(self) -> Body<'static> {
        encode::owned(self)
    }
}

#[cfg(test)]
mod tests;
