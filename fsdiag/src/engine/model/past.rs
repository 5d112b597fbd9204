//! Lives of foreign logs that are over: the latest whole, the others only counted, however often a daemon restarts.

use std::collections::VecDeque;

use super::session::Session;

#[derive(Clone, Debug, Default)]
pub struct Past {
    /// Each in a place of its own: it is large, and moves on with every later one.
    latest: VecDeque<Box<Session>>,
    counted: Counted,
}

/// All the lives before those.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    pub lives: u64,
    /// Requests that were open when their life ended.
    pub killed: u64,
    sum: Session,
}

impl Past {
    /// A restart loop has no end, and each life would keep its latencies.
    const KEPT: usize = 16;

    pub(super) fn add(&mut self, mut session: Box<Session>) {
        session.forget_lines();
        self.latest.push_back(session);
        if self.latest.len() > Self::KEPT
            && let Some(oldest) = self.latest.pop_front()
        {
            self.counted.lives += 1;
            self.counted.killed += oldest.open.len() as u64;
            self.counted.sum.absorb(&oldest);
        }
    }

    /// What somebody did who may write again, but has nothing open.
    pub(super) fn count(&mut self, session: &Session) {
        self.counted.sum.absorb(session);
    }

    /// One that was taken for over writes again: its session, if it is still whole. `open`: what had been open there.
    pub(super) fn rises(&mut self, its: impl Fn(&Session) -> bool, open: u64) -> Option<Session> {
        if let Some(at) = self.latest.iter().position(|session| its(session)) {
            return self.latest.remove(at).map(|session| *session);
        }
        let Counted { lives, killed, .. } = &mut self.counted;
        (*lives, *killed) = (lives.saturating_sub(1), killed.saturating_sub(open));
        None
    }

    /// The latest ones, oldest first.
    pub fn latest(&self) -> impl Iterator<Item = &Session> {
        self.latest.iter().map(|session| &**session)
    }

    /// Those before the latest ones, if there are any.
    pub fn counted(&self) -> Option<&Counted> {
        Some(&self.counted).filter(|counted| counted.lives > 0)
    }

    /// Everything that past lives did, in as few sessions as are left of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Session> {
        std::iter::once(&self.counted.sum).chain(self.latest())
    }
}
