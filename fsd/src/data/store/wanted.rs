//! What is wanted: which requests bring the bytes that are missing, and no byte twice.

use std::{ops::Range, time::Instant};

use crate::data::prefetch;

use super::{
    download::Speed,
    extents::Extents,
    state::{Flight, Keep, Kind, Start, State},
};

/// One request ahead of a stream is no larger than this.
const LARGEST_REQUEST: u64 = 16 << 20;

impl Flight {
    /// Up to where it brings its bytes soon: no reader waits for what comes later, be it fetched twice.
    pub(super) fn soon(&self) -> u64 {
        self.end.min(self.at.saturating_add(prefetch::SKIP))
    }

    /// Up to where it brings its bytes at all.
    pub(super) fn late(&self) -> u64 {
        self.end
    }

    /// Up to where nothing needs to be fetched ahead of readers: the download is given way to, others are not.
    fn claims(&self) -> u64 {
        if self.kind == Kind::Main { self.soon() } else { self.end }
    }
}

impl State {
    /// The request that brings the byte `at`, soon where others can be made.
    pub(super) fn covering(&self, at: u64) -> Option<&Flight> {
        let patient = !self.ranged();
        let brings = |flight: &&Flight| match flight.kind {
            Kind::Main if patient => true,
            _ => flight.at <= at && at < if patient { flight.end } else { flight.soon() },
        };
        self.flights.iter().find(brings)
    }

    /// Whether a request brings the byte `at`, soon or late.
    pub(super) fn brings(&self, at: u64) -> bool {
        self.covering(at).is_some() || self.flights.iter().any(|flight| flight.at <= at && at < flight.end)
    }

    /// What has to be started so that the missing bytes of `need` come.
    pub(super) fn want(&mut self, need: &Range<u64>, fetch: &Range<u64>, now: Instant) -> Vec<Start> {
        let mut starts = Vec::new();
        if self.keep == Keep::Local {
            return starts;
        }
        if self.wants_main(now) {
            starts.extend(self.start_main());
        }
        let Some(gap) = self.held.have().first_gap(need) else { return starts };
        if self.covering(gap.start).is_none() {
            starts.extend(self.demand(&gap, need, fetch));
        }
        starts.extend(self.ahead(need, fetch));
        starts
    }

    fn wants_main(&self, now: Instant) -> bool {
        let due = self.main_after.is_none_or(|after| now >= after) || !self.ranged();
        self.keep != Keep::Lru && self.keep != Keep::Local && self.main().is_none() && due && self.missing()
    }

    fn missing(&self) -> bool {
        !self.held.have().covers(&(0..self.size))
    }

    /// Registers the background download.
    pub(super) fn start_main(&mut self) -> Option<Start> {
        let gap = self.held.have().first_gap(&(0..self.size))?;
        Some(self.register(Kind::Main, gap.start..self.size))
    }

    pub(super) fn register(&mut self, kind: Kind, range: Range<u64>) -> Start {
        self.keys += 1;
        let key = self.keys;
        self.flights.push(Flight { key, kind, at: range.start, end: range.end, task: None });
        Start { key, kind, range }
    }

    /// A request for the missing bytes of `need`, and a little more where the stream goes on.
    fn demand(&mut self, gap: &Range<u64>, need: &Range<u64>, fetch: &Range<u64>) -> Vec<Start> {
        if !self.ranged() && (self.agreed || !self.flights.is_empty()) {
            return Vec::new();
        }
        let chunk_end = (gap.start / self.chunk + 1) * self.chunk;
        let end = fetch.end.min(chunk_end.max(gap.start + prefetch::FIRST)).max(need.end).min(self.size);
        let free = self.free(&(gap.start..end), Flight::soon);
        let first = free.first().cloned();
        let wanted = free.into_iter().filter(|part| part.start < need.end || Some(part) == first.as_ref());
        wanted.collect::<Vec<_>>().into_iter().map(|part| self.register(Kind::Demand, part)).collect()
    }

    /// Requests ahead of a stream, in whole chunks once the window has several. Beside a download only where one
    /// connection is slow: elsewhere it is ahead by itself, and cheaper.
    pub(super) fn ahead(&mut self, need: &Range<u64>, fetch: &Range<u64>) -> Vec<Start> {
        let helps = self.keep == Keep::Lru || (self.keep == Keep::Disk && self.speed == Speed::Slow);
        if !helps || !self.ranged() {
            return Vec::new();
        }
        let window = fetch.end.saturating_sub(need.end);
        let (whole, step) = (window >= 2 * self.chunk, self.step(window));
        let end = if whole { fetch.end / step * step } else { fetch.end };
        let end = if fetch.end >= self.size { self.size } else { end };
        let mut starts = Vec::new();
        if end <= need.end {
            return starts;
        }
        for gap in self.free(&(need.end.min(self.size)..end), Flight::claims) {
            if !whole && gap.start - need.end > window / 2 {
                break;
            }
            let mut at = gap.start;
            while at < gap.end {
                let stop = ((at / step + 1) * step).min(gap.end);
                starts.push(self.register(Kind::Ahead, at..stop));
                at = stop;
            }
        }
        starts
    }

    /// Bytes of one request ahead of a stream, in whole chunks: as many as share the window evenly. Each waits for its
    /// own first byte, so few large ones are faster than many small ones. Where one connection is all that readers can
    /// use, it gets all of the window: others beside it would only take turns with it, and a sender that paces itself
    /// by what it measures (BBR) takes each turn for a slow line.
    fn step(&self, window: u64) -> u64 {
        let even = match self.speed {
            Speed::Rapid => window,
            Speed::Slow | Speed::Fast => (window / self.at_once.max(1)).min(LARGEST_REQUEST),
        };
        (even / self.chunk).max(1) * self.chunk
    }

    /// Where the download goes on from `at`: over what is at hand and what others bring.
    pub(super) fn next_for_main(&self, at: u64) -> Option<Range<u64>> {
        let mut flying = Extents::default();
        for flight in self.flights.iter().filter(|flight| flight.kind != Kind::Main) {
            flying.insert(flight.at..flight.end);
        }
        let free = |range: Range<u64>| self.held.have().gaps(range).find_map(|gap| flying.first_gap(&gap));
        free(at..self.size).or_else(|| free(0..at))
    }

    /// The parts of `range` that are neither at hand nor on their way, each request counted up to `until`.
    fn free(&self, range: &Range<u64>, until: fn(&Flight) -> u64) -> Vec<Range<u64>> {
        let coming = self.coming(until);
        let gaps = self.held.have().gaps(range.clone());
        gaps.flat_map(|gap| coming.gaps(gap).collect::<Vec<_>>()).collect()
    }

    /// What is on its way, each request counted up to `until`; where no others can be made, to its end.
    fn coming(&self, until: fn(&Flight) -> u64) -> Extents {
        let patient = !self.ranged();
        let mut coming = Extents::default();
        for flight in &self.flights {
            coming.insert(match flight.kind {
                Kind::Main if patient => 0..self.size,
                _ => flight.at..if patient { flight.end } else { until(flight) },
            });
        }
        coming
    }

    /// Starts what waiters need first and nothing brings, each request counted up to `until`. Thousands may wait, each
    /// for a request of its own, and one of these lands at a time: what is on its way is summed up once for all.
    pub(super) fn kick(&mut self, now: Instant, until: fn(&Flight) -> u64) -> Vec<Start> {
        if self.closing || self.dead.is_some() {
            return Vec::new();
        }
        let have = self.held.have();
        let needs: Vec<_> =
            self.waiters.needs().filter_map(|need| Some((need.clone(), have.first_gap(need)?.start))).collect();
        let mut coming = if needs.is_empty() { Extents::default() } else { self.coming(until) };
        let due = !needs.is_empty() && self.wants_main(now);
        let mut starts: Vec<Start> = due.then(|| self.start_main()).flatten().into_iter().collect();
        for (need, at) in needs {
            if !coming.covers(&(at..at + 1)) {
                let fresh = self.want(&need, &need, now);
                fresh.iter().for_each(|start| coming.insert(start.range.clone()));
                starts.extend(fresh);
            }
        }
        starts
    }
}

#[cfg(test)]
mod tests {
    use crate::data::origin::Validator;

    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn requests_ahead_share_a_large_window_evenly_and_are_chunks_in_a_small_one() {
        for (window, at_once, largest) in [(2, 16, 1), (64, 16, 4), (64, 8, 8), (64, 1, 16)] {
            let mut state = State::new(1024 * MIB, Keep::Lru, MIB, Validator::Strong("\"v\"".into()), None);
            state.at_once = at_once;
            let starts = state.ahead(&(0..MIB), &(0..(window + 1) * MIB));
            let lengths = starts.iter().map(|start| (start.range.end - start.range.start) / MIB);
            assert_eq!(lengths.max(), Some(largest), "{window} MiB for {at_once}");
            assert_eq!(starts.first().map(|start| start.range.start), Some(MIB));
            assert!(starts.iter().zip(&starts[1..]).all(|(one, next)| one.range.end == next.range.start));
        }
    }

    #[test]
    fn demand_waits_for_no_request_that_brings_its_bytes_late() {
        for kind in [Kind::Main, Kind::Demand, Kind::Ahead] {
            let mut state = State::new(1024 * MIB, Keep::Lru, MIB, Validator::Strong("\"v\"".into()), None);
            let late = state.register(kind, MIB..64 * MIB);
            let mut want = |at: u64| {
                let need = at * MIB..at * MIB + 4096;
                let starts = state.want(&need, &need, crate::platform::clock::now());
                starts.into_iter().map(|start| (start.kind, start.range)).collect::<Vec<_>>()
            };
            assert_eq!(want(3), [], "{late:?} brings it soon");
            assert_eq!(want(40), [(Kind::Demand, 40 * MIB..40 * MIB + 4096)], "{late:?} is far from it");
            assert_eq!(want(40), [], "it is on its way");
        }
    }

    struct Somebody;

    impl crate::data::store::Reader for Somebody {
        fn id(&self) -> fsd_events::ids::OpId {
            fsd_events::ids::OpId(1)
        }
        fn deadline(&self) -> Instant {
            crate::platform::clock::now()
        }
        fn waits(&mut self, _on: Option<fsd_events::ids::OpId>, _need: Range<u64>) {}
        fn answer(self: Box<Self>, _got: Result<&[u8], crate::data::store::StoreError>) {}
    }

    #[test]
    fn a_reader_whose_own_request_fails_waits_for_the_one_that_brings_its_bytes_late() {
        for kind in [Kind::Main, Kind::Ahead] {
            let now = crate::platform::clock::now();
            let mut state = State::new(1024 * MIB, Keep::Lru, MIB, Validator::Strong("\"v\"".into()), None);
            let late = state.register(kind, MIB..16 * MIB);
            let need = 10 * MIB..10 * MIB + 4096;
            let own = state.want(&need, &need, now);
            state.waiters.park(need, now, Box::new(Somebody));
            let (lost, starts) = state.land(own[0].key, true, now);
            assert_eq!((lost.len(), starts), (0, Vec::new()), "{kind:?} brings it, and asking again would fail again");
            assert_eq!(state.land(late.key, true, now).0.len(), 1, "{kind:?} was the last");
        }
    }

    #[test]
    fn a_rapid_connection_gets_the_window_in_one_request() {
        let mut state = State::new(1024 * MIB, Keep::Lru, MIB, Validator::Strong("\"v\"".into()), None);
        (state.at_once, state.speed) = (16, Speed::Rapid);
        let starts = state.ahead(&(0..MIB), &(0..65 * MIB));
        let asked: Vec<_> = starts.iter().map(|start| (start.range.start, start.range.end)).collect();
        assert_eq!(asked, [(MIB, 64 * MIB)]);
    }
}
