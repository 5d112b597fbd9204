//! Attempts: how often, how far apart, and how long each may take to its first byte.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use fsd_events::event::Phase;

use crate::{observe::tasks, platform::clock};

use super::{
    Origin, OriginError, Resource,
    exchange::{Answer, Ask, Connection},
};

/// Answers after which the pace counts.
const SAMPLES: u64 = 8;
const SHORTEST: Duration = Duration::from_millis(1500);

/// How long this origin takes to its first byte: a decaying maximum, near the 99th percentile.
#[derive(Debug, Default)]
pub(super) struct Pace {
    slow_us: AtomicU64,
    samples: AtomicU64,
}

impl Pace {
    fn sample(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let slower = |slow: u64| Some(took.max(slow - slow / 64));
        let _before = self.slow_us.fetch_update(Ordering::Relaxed, Ordering::Relaxed, slower);
        self.samples.fetch_add(1, Ordering::Relaxed);
    }

    /// A request three times slower than the slowest is likelier lost than late: ask again, up to `limit`.
    fn patience(&self, limit: Duration) -> Duration {
        if self.samples.load(Ordering::Relaxed) < SAMPLES {
            return limit;
        }
        let slow = Duration::from_micros(self.slow_us.load(Ordering::Relaxed));
        (slow * 3).max(SHORTEST).min(limit)
    }
}

impl Origin {
    /// Asks until it succeeds, the attempts are used up, or another attempt cannot help.
    pub(super) async fn attempt(&self, r: &Resource, ask: &Ask) -> Result<Answer, OriginError> {
        let config = &self.shared.config;
        let mut renewed: Option<Resource> = None;
        let mut attempt = 0;
        loop {
            let last = attempt >= config.retries;
            let patience = if last { config.first_byte } else { self.shared.pace.patience(config.first_byte) };
            let started = clock::now();
            let (r, connection) =
                (renewed.as_ref().unwrap_or(r), if attempt == 0 { Connection::Kept } else { Connection::New });
            let error = match self.shared.exchange.once(r, ask, patience, connection).await {
                Ok(answer) => {
                    self.shared.pace.sample(started.elapsed());
                    return Ok(Answer { renewed, ..answer });
                }
                Err(error) => error,
            };
            if error.refused()
                && renewed.is_none()
                && let Some(renew) = r.renew()
            {
                renewed = Some(renew.renew(ask.op).await.ok_or(error)?);
                continue;
            }
            if last || !error.passing() {
                return Err(error);
            }
            tasks::phase(ask.op, Phase::Backoff, &r.host());
            tokio::time::sleep(self.backoff(attempt, &error)).await;
            attempt += 1;
        }
    }

    fn backoff(&self, attempt: u32, error: &OriginError) -> Duration {
        let config = &self.shared.config;
        let wait = jitter(config.backoff * 2_u32.saturating_pow(attempt.min(16)));
        let asked =
            if let OriginError::Status { retry_after: Some(asked), .. } = error { *asked } else { Duration::ZERO };
        wait.max(asked).min(config.backoff_limit)
    }
}

/// Half to one and a half times `wait`, so that many clients do not come back together.
fn jitter(wait: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) % 1024;
    wait / 2 + wait * u32::try_from(random).unwrap_or(0) / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_needs_evidence_and_has_two_ends() {
        let (pace, limit) = (Pace::default(), Duration::from_secs(10));
        assert_eq!(pace.patience(limit), limit);
        (0..SAMPLES).for_each(|_| pace.sample(Duration::from_millis(5)));
        assert_eq!(pace.patience(limit), SHORTEST);
        pace.sample(Duration::from_secs(1));
        assert_eq!(pace.patience(limit), Duration::from_secs(3));
        pace.sample(Duration::from_secs(9));
        assert_eq!(pace.patience(limit), limit);
    }

    #[test]
    fn jitter_stays_within_half_and_one_and_a_half() {
        for _ in 0..1000 {
            let wait = jitter(Duration::from_millis(100));
            assert!((50..150).contains(&wait.as_millis()), "{wait:?}");
        }
    }
}
