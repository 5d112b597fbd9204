//! Own: fsd's events among the lines of others, whole and torn.

use std::sync::LazyLock;

use fsd_events::line::Decoded;
use memchr::memmem::Finder;

use super::Mixed;
use crate::{
    engine::fact::{Place, Sink},
    formats::{envelope, salvage},
};

/// How fsd writes its lines, and nobody else.
pub(super) const OWN: &[u8] = b"{\"run\":";

impl Mixed {
    /// fsd's own events need no parser here: their scanner is in `fsd-events`.
    pub(super) fn own(&mut self, place: Place, raw: &[u8], sink: &mut dyn Sink) -> bool {
        match self.decoder.decode(raw) {
            Decoded::Event(event) => sink.event(place, &event),
            Decoded::Unknown { run, seq, ts_us } => {
                sink.unknown(place, run, seq, ts_us);
                return true;
            }
            Decoded::Malformed => return false,
        }
        self.own_events += 1;
        self.counts.events += 1;
        true
    }

    /// A line of fsd's own that is torn: what is left of it may end a request, never begin one.
    pub(super) fn damaged(&mut self, place: Place, text: &str, sink: &mut dyn Sink) {
        self.counts.bad_lines += 1;
        if let Some(remains) = salvage::event(text) {
            sink.remains(place, remains);
        }
    }
}

/// Whether it is worth reading a line as an event of fsd.
pub(super) fn is_event(raw: &[u8]) -> bool {
    static NAMED: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"ev\""));
    raw.starts_with(OWN) || !envelope::is_logged(raw) && NAMED.find(raw).is_some()
}
