//! Play: how a recording is played, and up to which moment.

use crate::tui::{Wish, picture::Speed};

#[derive(Debug)]
pub(super) struct Play {
    pub(super) speed: Speed,
    pub(super) paused: bool,
    /// Looking for the next stall, as fast as can be.
    pub(super) seeking: bool,
    /// Take one event, however late it is.
    pub(super) step: bool,
    /// Moment of the recording to show, microseconds of its clock; None until its first event.
    pub(super) at_us: Option<u64>,
    /// Wall clock of the last look.
    seen_us: Option<u64>,
}

impl Default for Play {
    fn default() -> Self {
        Self { speed: Speed(10), paused: false, seeking: false, step: false, at_us: None, seen_us: None }
    }
}

impl Play {
    /// The moment to show now; None: as far as can be read.
    pub(super) fn until(&mut self, now_us: u64) -> Option<u64> {
        let passed = now_us.saturating_sub(self.seen_us.replace(now_us).unwrap_or(now_us));
        if self.paused {
            return Some(self.at_us.unwrap_or(0));
        }
        if self.speed.0 == 0 {
            return None;
        }
        Some(self.at_us? + passed * u64::from(self.speed.0) / 10)
    }

    pub(super) fn wish(&mut self, wish: &Wish) {
        match wish {
            Wish::Pause(paused) => (self.paused, self.seeking) = (*paused, false),
            Wish::Faster => self.speed = self.speed.step(true),
            Wish::Slower => self.speed = self.speed.step(false),
            Wish::Step => (self.step, self.paused) = (true, true),
            Wish::NextStall => self.seeking = true,
            Wish::Rewind | Wish::Choose | Wish::Open(_) => (),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_at_the_chosen_speed_and_not_while_paused() {
        let mut play = Play { at_us: Some(1_000), ..Play::default() };
        assert_eq!(play.until(500), Some(1_000), "the first look only starts the clock");
        assert_eq!(play.until(700), Some(1_200));
        play.wish(&Wish::Faster);
        assert_eq!(play.until(800), Some(1_200));
        play.wish(&Wish::Pause(true));
        assert_eq!(play.until(9_000), Some(1_000));
        play.wish(&Wish::Pause(false));
        assert_eq!(play.until(9_100), Some(1_200), "a pause is not caught up with");
    }
}
