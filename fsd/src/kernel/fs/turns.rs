//! Turns: how many files of unknown length are fetched at once, and for how long. One that never ends keeps no other
//! from its turn.

use std::time::Duration;

use tokio::{sync::Semaphore, time::timeout};

/// Fetched at once for the whole mount, so that demand has the rest of the line; and as many of those that take long.
const AT_ONCE: usize = 2;
/// Who takes longer makes room for the next.
pub(super) const QUICK: Duration = Duration::from_secs(60);
/// Who takes still longer does not end.
pub(super) const SLOW: Duration = Duration::from_secs(3600);

pub(super) struct Turns {
    quick: Semaphore,
    slow: Semaphore,
    limits: [Duration; 2],
}

impl Turns {
    pub(super) fn new(quick: Duration, slow: Duration) -> Self {
        let semaphore = || Semaphore::new(AT_ONCE);
        Self { quick: semaphore(), slow: semaphore(), limits: [quick, slow] }
    }

    /// What comes of `work`, done when its turn comes. None: it did not end in time, or not soon while others that do
    /// not are many.
    pub(super) async fn give<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let turn = self.quick.acquire().await.ok()?;
        tokio::pin!(work);
        if let Ok(done) = timeout(self.limits[0], &mut work).await {
            return Some(done);
        }
        let _slow = self.slow.try_acquire().ok()?;
        drop(turn);
        timeout(self.limits[1], work).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    const SHORT: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn what_never_ends_keeps_no_other_from_its_turn() {
        let turns = Turns::new(SHORT, SLOW);
        let endless = async { tokio::join!(turns.give(pending::<()>()), turns.give(pending::<()>())) };
        let others = async {
            assert_eq!(turns.give(pending::<()>()).await, None, "one too many");
            turns.give(ready(7)).await
        };
        tokio::select! {
            biased;
            _ = endless => panic!("they have an hour"),
            done = others => assert_eq!(done, Some(7)),
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
        assert_eq!(turns.give(long).await, Some(7));
        assert_eq!(Turns::new(SHORT, SHORT).give(pending::<()>()).await, None);
    }
}
