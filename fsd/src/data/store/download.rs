//! The background download: it fills a store from its start to its end, and makes way for readers' requests.

use std::{ops::Range, sync::Arc, time::Duration};

use fsd_events::{event::Phase, ids::OpId};

use crate::{data::origin::OriginError, observe::tasks};

use super::{
    Store, StoreError,
    fetch::{Stop, pause},
    state::{Flight, Keep, Kind},
};

/// Bytes at hand that are worth a new request instead of receiving them again.
const WORTH_A_REQUEST: u64 = 8 << 20;
/// Bytes a second of one connection above which a second one gains nothing.
const SLOW: f64 = 40e6;
/// Bytes a second of one connection that are all that a reader can take: a mount's own copies cost as much.
const RAPID: f64 = 400e6;
/// An answer that begins so soon costs a rapid connection little between two requests: a twentieth of the largest.
const AT_ONCE: Duration = Duration::from_millis(5);
/// Waiting that is enough to tell how fast a connection is.
const SAMPLE: Duration = Duration::from_millis(100);
/// Bytes that are enough to tell a rapid one, before a window has grown.
const GLIMPSE: u64 = 1 << 20;

enum Next {
    /// A range, and whether to ask for the whole content to get it.
    Get(Range<u64>, bool),
    /// Everything that is missing is on its way.
    Others,
    Done,
}

impl Store {
    /// The background download: every gap, in order, until nothing is missing.
    pub(super) async fn download(self: &Arc<Self>, key: u64, id: OpId) -> Result<(), StoreError> {
        let (mut fruitless, mut at) = (0, 0);
        loop {
            let (range, whole) = match self.next_request(key, at) {
                Next::Get(range, whole) => (range, whole),
                Next::Done => return Ok(()),
                Next::Others => {
                    self.others_landed(id).await;
                    continue;
                }
            };
            let before = self.have();
            match self.stream(key, &range, whole, id).await {
                Ok(()) => at = self.reached(key),
                Err(Stop::Store) => return Err(self.why()),
                Err(Stop::Origin(OriginError::NoRanges { .. })) => self.state.lock().rangeless = true,
                Err(Stop::Origin(error)) => {
                    fruitless = if self.have() > before { 0 } else { fruitless + 1 };
                    self.broken(&error, fruitless)?;
                    at = self.have_until(range.start);
                    tasks::phase(id, Phase::Backoff, "");
                    tokio::time::sleep(pause(fruitless)).await;
                }
            }
        }
    }

    /// What the download asks for next, from `at` on.
    fn next_request(&self, key: u64, at: u64) -> Next {
        let size = self.content.size;
        let mut state = self.state.lock();
        if state.keep == Keep::Lru || state.held.have().covers(&(0..size)) {
            return Next::Done;
        }
        let next = state.next_for_main(at);
        if let Some(flight) = state.flights.iter_mut().find(|flight| flight.key == key) {
            (flight.at, flight.end) = (next.as_ref().map_or(size, |range| range.start), size);
        }
        let Some(mut range) = next else { return Next::Others };
        if size - range.end < WORTH_A_REQUEST {
            range.end = size;
        }
        let whole = state.single || state.rangeless || range == (0..size);
        Next::Get(range, whole)
    }

    /// All that is missing is on its way with others: one of them has landed, or time has passed.
    async fn others_landed(&self, id: OpId) {
        self.report(id, "waiting");
        drop(tokio::time::timeout(Duration::from_millis(200), self.idle.notified()).await);
    }

    /// The answer of the flight `key` is better given up: others bring so much from `at` on, or nothing keeps what
    /// a download brings.
    pub(super) fn is_superfluous(&self, key: u64, pace: &mut Pace, at: u64) -> bool {
        let mut state = self.state.lock();
        if state.keep == Keep::Lru && state.main().is_some_and(|main| main.key == key) {
            return true;
        }
        if !state.ranged() {
            return false;
        }
        if let Some(speed) = pace.speed() {
            state.speed = speed;
        }
        if state.held.have().run_from(at) >= at.saturating_add(WORTH_A_REQUEST) {
            return true;
        }
        let other = |flight: &Flight| flight.kind != Kind::Main && flight.at <= at && at < flight.end;
        state.main().is_some_and(|main| main.at == at) && state.flights.iter().any(other)
    }
}

/// What one connection to the origin gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Speed {
    /// Less than readers take: more connections help.
    Slow,
    /// Or not known yet.
    #[default]
    Fast,
    /// As much as readers can take, and it does not wait for the next request either: others beside it are in its way.
    Rapid,
}

/// How fast one answer comes, by the time spent waiting for it alone: a disk or a processor that is slow gains
/// nothing by more connections.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// From the request to the head.
    latency: Duration,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// Of an answer whose head came after `latency`.
    pub(super) fn after(latency: Duration) -> Self {
        Self { latency, ..Self::default() }
    }

    pub(super) fn add(&mut self, waited: Duration, bytes: usize) {
        self.waited += waited;
        self.bytes += bytes as u64;
    }

    /// The speed, each time there is enough to tell.
    fn speed(&mut self) -> Option<Speed> {
        let enough = self.waited >= SAMPLE || (self.bytes >= GLIMPSE && self.is_rapid());
        if !enough {
            return None;
        }
        let speed = match self.rate() {
            _ if self.is_rapid() => Speed::Rapid,
            rate if rate < SLOW => Speed::Slow,
            _ => Speed::Fast,
        };
        *self = Self::after(self.latency);
        Some(speed)
    }

    fn is_rapid(&self) -> bool {
        self.rate() >= RAPID && self.latency < AT_ONCE
    }

    /// Bytes a second of waiting.
    fn rate(&self) -> f64 {
        self.bytes as f64 / self.waited.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn a_pace_is_told_after_a_while_and_anew_each_time() {
        let mut pace = Pace::default();
        pace.add(SAMPLE / 2, 1);
        assert_eq!(pace.speed(), None);
        pace.add(SAMPLE, MIB);
        assert_eq!(pace.speed(), Some(Speed::Slow));
        pace.add(SAMPLE, 10 * MIB);
        assert_eq!(pace.speed(), Some(Speed::Fast));
    }

    #[test]
    fn a_rapid_connection_is_known_soon_unless_it_answers_late() {
        let mut pace = Pace::after(AT_ONCE / 2);
        pace.add(SAMPLE / 100, MIB / 2);
        assert_eq!(pace.speed(), None);
        pace.add(SAMPLE / 100, MIB);
        assert_eq!(pace.speed(), Some(Speed::Rapid));
        let mut late = Pace::after(AT_ONCE);
        late.add(SAMPLE / 100, MIB);
        assert_eq!(late.speed(), None);
        late.add(SAMPLE, 100 * MIB);
        assert_eq!(late.speed(), Some(Speed::Fast));
    }
}
