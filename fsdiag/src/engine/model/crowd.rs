//! Crowd: more daemons in one log than can be told apart, and what is given up for it.

use super::{Model, session::Session};
use crate::engine::fact::{InputId, Key};

/// What nobody can tell any more, because too many daemons write into one log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GivenUp {
    pub daemons: u64,
    /// Requests that were open: how they went on is not known.
    pub requests: u64,
}

impl Model {
    /// Whose end is whose is not known any more of what began without a number.
    pub(super) fn leave(&mut self, input: InputId) {
        let Some(at) = self.voices.session(self.stream(input)) else { return };
        let lost = self.sessions[at].forget_nameless();
        self.given_up.daemons += u64::from(lost > 0);
        self.given_up.requests += lost;
    }
}

impl Session {
    fn forget_nameless(&mut self) -> u64 {
        let nameless = self.open.glances().map(|open| open.key).filter(|key| matches!(key, Key::Line(_)));
        let nameless: Vec<Key> = nameless.collect();
        let lost = nameless.len() as u64;
        nameless.into_iter().for_each(|key| drop(self.close(key)));
        self.loss.lines += lost;
        lost
    }
}
