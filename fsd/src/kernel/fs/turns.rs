//! Turns: how many files of unknown length are fetched at once, and for how long. One that never ends keeps no other
//! from its turn.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

/// Fetched at once for the whole mount, so that demand has the rest of the line; and as many of those that take long.
const AT_ONCE: usize = 2;
/// Who takes longer makes room for the next.
pub(super) const QUICK: Duration = Duration::from_secs(60);
/// Who takes still longer does not end.
pub(super) const SLOW: Duration = Duration::from_secs(3600);

pub(super) struct Turns {
    quick: Semaphore,
    slow: Semaphore,
    waiting: AtomicUsize,
    limits: [Duration; 2],
}

/// Why a work was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undone {
    /// Not in time.
    Endless,
    /// It takes long, like others before it, while somebody waits: it may have another turn.
    GaveWay,
}

/// Somebody waits for a quick turn.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Turns {
    pub(super) fn new(quick: Duration, slow: Duration) -> Self {
        let semaphore = || Semaphore::new(AT_ONCE);
        Self { quick: semaphore(), slow: semaphore(), waiting: AtomicUsize::new(0), limits: [quick, slow] }
    }

    /// What comes of `work`, done when its turn comes.
    pub(super) async fn give<T>(&self, work: impl Future<Output = T>) -> Result<T, Undone> {
        let turn = self.turn().await.ok_or(Undone::GaveWay)?;
        timeout(self.limits[1], self.work(turn, work)).await.unwrap_or(Err(Undone::Endless))
    }

    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        let _waiting = Waiting::new(&self.waiting);
        self.quick.acquire().await.ok()
    }

    async fn work<T>(&self, turn: SemaphorePermit<'_>, work: impl Future<Output = T>) -> Result<T, Undone> {
        tokio::pin!(work);
        loop {
            if let Ok(done) = timeout(self.limits[0], &mut work).await {
                return Ok(done);
            }
            if let Ok(_slow) = self.slow.try_acquire() {
                drop(turn);
                return Ok(work.await);
            }
            if self.waiting.load(Ordering::Relaxed) > 0 {
                return Err(Undone::GaveWay);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    const SHORT: Duration = Duration::from_millis(1);

    /// Two that never end.
    async fn endless(turns: &Turns) {
        let ended = tokio::join!(turns.give(pending::<()>()), turns.give(pending::<()>()));
        assert!([ended.0, ended.1].contains(&Err(Undone::GaveWay)));
        pending::<()>().await;
    }

    #[tokio::test]
    async fn what_never_ends_keeps_no_other_from_its_turn() {
        let turns = Turns::new(SHORT, SLOW);
        let last = async {
            while turns.slow.available_permits() > 0 || turns.quick.available_permits() > 0 {
                tokio::task::yield_now().await;
            }
            turns.give(ready(7)).await
        };
        tokio::select! {
            () = endless(&turns) => {}
            () = endless(&turns) => {}
            done = last => assert_eq!(done, Ok(7)),
        }
    }

    #[tokio::test]
    async fn what_takes_long_goes_on_while_nobody_waits() {
        let turns = Turns::new(SHORT, SLOW);
        let long = async {
            while turns.slow.available_permits() > 0 {
                tokio::task::yield_now().await;
            }
            turns.give(tokio::time::sleep(20 * SHORT)).await
        };
        tokio::select! {
            () = endless(&turns) => {}
            done = long => assert_eq!(done, Ok(())),
        }
    }

    #[tokio::test]
    async fn what_takes_long_has_a_turn_of_its_own_which_ends_too() {
        let turns = Turns::new(SHORT, SLOW);
        let long = async {
            while turns.slow.available_permits() == AT_ONCE {
                tokio::task::yield_now().await;
            }
            7
        };
        assert_eq!(turns.give(long).await, Ok(7));
        assert_eq!(Turns::new(SHORT, SHORT).give(pending::<()>()).await, Err(Undone::Endless));
    }
}
