//! Retry: when to look again for something that is gone; the pauses grow, and their end is shown.

/// First and longest pause, microseconds.
const FIRST_US: u64 = 250_000;
const LONGEST_US: u64 = 5_000_000;

#[derive(Debug)]
pub(super) struct Retry {
    pause_us: u64,
    next_us: u64,
}

impl Retry {
    pub(super) fn new(now_us: u64) -> Self {
        Self { pause_us: FIRST_US, next_us: now_us.saturating_add(FIRST_US) }
    }

    /// Whether it is time; if so, the next time is later.
    pub(super) fn is_due(&mut self, now_us: u64) -> bool {
        let due = now_us >= self.next_us;
        if due {
            self.pause_us = (self.pause_us * 2).min(LONGEST_US);
            self.next_us = now_us.saturating_add(self.pause_us);
        }
        due
    }

    /// Seconds until then, begun ones counted.
    pub(super) fn in_s(&self, now_us: u64) -> u64 {
        self.next_us.saturating_sub(now_us).div_ceil(1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_limit() {
        let mut retry = Retry::new(0);
        let mut tried = Vec::new();
        for now in (0..20_000_000).step_by(50_000) {
            if retry.is_due(now) {
                tried.push(now / 1000);
            }
        }
        assert_eq!(tried, [250, 750, 1_750, 3_750, 7_750, 12_750, 17_750]);
        assert_eq!(retry.in_s(19_950_000), 3);
    }
}
