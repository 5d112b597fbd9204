//! Trouble: why operations failed, for people. An error number says too little, and a thousand failures of one dead
//! origin are one piece of news.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use fsd_events::ids::Ino;

use crate::{
    observe::locks::{Class, Mutex, Rank},
    platform::clock,
};

use super::Fs;

static TROUBLE: Class = Class::new("trouble", Rank::Session);

/// So many failures are told in each window, the others counted.
const TOLD: u32 = 5;
const WINDOW: Duration = Duration::from_secs(60);

/// What was told lately.
pub(super) struct Trouble {
    window: Mutex<Window>,
}

struct Window {
    end: Instant,
    told: u32,
    /// Not told since the last one that was.
    untold: u64,
}

impl Trouble {
    pub(super) fn new() -> Self {
        Self { window: Mutex::new(&TROUBLE, Window { end: clock::now(), told: 0, untold: 0 }) }
    }

    /// Whether one more failure is told, and then how many were not since the last.
    fn tell(&self, now: Instant) -> Option<u64> {
        let mut window = self.window.lock();
        if now >= window.end {
            (window.end, window.told) = (now + WINDOW, 0);
        }
        if window.told == TOLD {
            window.untold += 1;
            return None;
        }
        window.told += 1;
        Some(std::mem::take(&mut window.untold))
    }
}

impl Fs {
    /// Tells people that `what` (read, list) of `ino` failed, and why, unless too much was told just now.
    pub(super) fn tell_trouble(&self, what: &str, ino: Ino, why: &dyn Display) {
        let Some(untold) = self.inner.trouble.tell(clock::now()) else { return };
        let path = self.path_of(ino.0).filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned());
        let more = if untold > 0 { format!(" ({untold} more failures before it)") } else { String::new() };
        tracing::warn!("cannot {what} {path}: {why}{more}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_failures_are_told_and_the_others_counted() {
        let (trouble, now) = (Trouble::new(), clock::now());
        let told: Vec<_> = (0..8).map(|_| trouble.tell(now)).collect();
        assert_eq!(told, [Some(0), Some(0), Some(0), Some(0), Some(0), None, None, None]);
        assert_eq!(trouble.tell(now + WINDOW), Some(3));
        assert_eq!(trouble.tell(now + WINDOW), Some(0));
    }
}
