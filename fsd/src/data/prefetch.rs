//! Prefetch: what to fetch before it is asked for, from what was asked so far.

use std::ops::Range;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// First window of a reader at a new place: the kernel's read-ahead for the next read is in it.
pub const FIRST: u64 = MIB + 128 * KIB;
/// Largest window.
pub const LARGEST: u64 = 64 * MIB;
/// A reader that skips less than this forward goes on with its stream.
pub const SKIP: u64 = 4 * MIB;
/// A reader this far behind the last read does go on with it.
const NEAR: u64 = 128 * KIB;
/// The kernel sends read-ahead in parallel, so a read this far back is out of order and no seek.
const BACK: u64 = MIB;
/// New places in a row without a second read there, after which readers count as random.
const RANDOM: u32 = 4;
/// What a random reader gets beside its bytes.
const RANDOM_WINDOW: u64 = 64 * KIB;
/// A player reads the picture and the index; several handles may share a store.
const STREAMS: usize = 4;

/// One sequential reader.
#[derive(Clone, Debug)]
struct Stream {
    /// Where its next read is expected.
    next: u64,
    window: u64,
    /// Has read on at least once.
    sequential: bool,
    used: u64,
}

/// The sequential readers of one content.
#[derive(Clone, Debug, Default)]
pub struct Streams {
    streams: Vec<Stream>,
    reads: u64,
    strays: u32,
}

/// What follows from a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Bytes that should be there or on their way.
    pub fetch: Range<u64>,
    /// It continues a stream: what is behind it may go.
    pub sequential: bool,
}

impl Streams {
    /// Notes a read of `range`; `waited`: its bytes were not there, the evidence on which a window grows.
    /// No window is larger than `cap`.
    pub fn on_read(&mut self, range: &Range<u64>, waited: bool, cap: u64) -> Advice {
        self.reads += 1;
        let cap = cap.clamp(RANDOM_WINDOW, LARGEST);
        match self.streams.iter().position(|stream| stream.takes(range)) {
            Some(n) => self.go_on(n, range, waited, cap),
            None => self.begin(range, cap),
        }
    }

    fn go_on(&mut self, n: usize, range: &Range<u64>, waited: bool, cap: u64) -> Advice {
        let stream = &mut self.streams[n];
        stream.used = self.reads;
        let ahead = range.end > stream.next;
        // The same place once more is no evidence of a stream, nor is one that random reads hit by chance.
        if ahead && range.start <= stream.next + NEAR {
            self.strays = 0;
        }
        if ahead {
            stream.next = range.end;
            stream.sequential = true;
        }
        if waited && ahead {
            stream.window = stream.window.max(FIRST / 2) * 2;
        }
        stream.window = stream.window.min(cap);
        Advice { fetch: range.start..stream.next + stream.window, sequential: stream.sequential }
    }

    fn begin(&mut self, range: &Range<u64>, cap: u64) -> Advice {
        self.strays = self.strays.saturating_add(1);
        let random = self.strays > RANDOM && range.start != 0;
        let window = if random { 0 } else { FIRST.min(cap).saturating_sub(range.end - range.start) };
        if self.streams.len() == STREAMS {
            let oldest = self.streams.iter().enumerate().min_by_key(|(_, stream)| stream.used);
            if let Some(n) = oldest.map(|(n, _)| n) {
                self.streams.swap_remove(n);
            }
        }
        self.streams.push(Stream { next: range.end, window, sequential: false, used: self.reads });
        let beside = if random { RANDOM_WINDOW } else { window };
        Advice { fetch: range.start..range.end + beside, sequential: false }
    }

    /// Memory is short or a fetch was in vain: all windows halve.
    pub fn shrink(&mut self) {
        for stream in &mut self.streams {
            stream.window /= 2;
        }
    }
}

impl Stream {
    fn takes(&self, range: &Range<u64>) -> bool {
        let reach = self.next + self.window.max(SKIP);
        range.end > self.next.saturating_sub(BACK) && range.start <= reach
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(streams: &mut Streams, at: u64, waited: bool) -> Advice {
        streams.on_read(&(at..at + 128 * KIB), waited, LARGEST)
    }

    #[test]
    fn the_first_request_covers_the_kernels_read_ahead() {
        assert_eq!(read(&mut Streams::default(), 0, true).fetch, 0..FIRST);
    }

    #[test]
    fn a_window_grows_only_while_the_reader_waits() {
        let mut streams = Streams::default();
        read(&mut streams, 0, true);
        for n in 1..20 {
            let advice = read(&mut streams, n * 128 * KIB, false);
            assert!(advice.sequential && advice.fetch.end <= (n + 1) * 128 * KIB + FIRST);
        }
        for n in 20..30 {
            read(&mut streams, n * 128 * KIB, true);
        }
        assert_eq!(read(&mut streams, 30 * 128 * KIB, false).fetch.end, 31 * 128 * KIB + LARGEST);
        streams.shrink();
        assert_eq!(read(&mut streams, 31 * 128 * KIB, false).fetch.end, 32 * 128 * KIB + LARGEST / 2);
    }

    #[test]
    fn reordered_reads_do_not_reset_the_stream() {
        let mut streams = Streams::default();
        for n in [0, 2, 1, 4, 3, 6, 5] {
            read(&mut streams, n * 128 * KIB, true);
        }
        assert_eq!(streams.streams.len(), 1);
        assert!(streams.streams[0].window > FIRST);
    }

    #[test]
    fn picture_and_index_are_two_streams() {
        let mut streams = Streams::default();
        for n in 0..16 {
            read(&mut streams, n * 128 * KIB, true);
            read(&mut streams, 1000 * MIB + n * 128 * KIB, true);
        }
        assert_eq!(streams.streams.len(), 2);
        assert!(streams.streams.iter().all(|stream| stream.window == LARGEST));
    }

    #[test]
    fn random_readers_that_meet_by_chance_are_no_stream() {
        let mut streams = Streams::default();
        let mut fetched = 0;
        for n in 0..1000 {
            let at = (n * 7919 % 1000) * 512 * KIB;
            let advice = streams.on_read(&(at..at + 4 * KIB), true, LARGEST);
            fetched += advice.fetch.end - advice.fetch.start;
        }
        assert!(fetched < 1000 * 2 * (4 * KIB + RANDOM_WINDOW), "{fetched}");
    }

    #[test]
    fn random_readers_get_little_more_than_they_ask_for() {
        let mut streams = Streams::default();
        let mut fetched = 0;
        for n in 0..100 {
            let at = (n * 7919 % 1000) * 16 * MIB;
            let advice = streams.on_read(&(at..at + 4 * KIB), true, LARGEST);
            // A reader that has to wait is looked at once more.
            streams.on_read(&(at..at + 4 * KIB), false, LARGEST);
            fetched += advice.fetch.end - advice.fetch.start;
        }
        assert!(fetched < 100 * (4 * KIB + RANDOM_WINDOW) + 5 * FIRST, "{fetched}");
    }
}
