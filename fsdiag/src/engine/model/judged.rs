//! Judged: which of a life's open requests a report judges.

use super::{ops::OpenOp, session::Session};
use crate::engine::fact::Key;

impl Session {
    /// The open requests that a report judges.
    pub fn judged(&self) -> impl Iterator<Item = &OpenOp> {
        let watched = |key: Key| self.watch_stalled.iter().any(|(stalled, ..)| *stalled == key);
        let mentioned = move |key| matches!(key, Key::Num(id) if self.mentions(id)) || watched(key);
        // Where no answer is ever told, somebody else must tell that one is missing; then what the threads took up last
        // may hold that one up.
        let missing = move |open: &&OpenOp| open.interrupted || watched(open.key());
        let any = self.one_sided && self.open.judged(mentioned).any(|open| missing(&open));
        let shown = move |open: &&OpenOp| !self.one_sided || missing(open) || any && open.call.thread.is_some();
        self.open.judged(mentioned).filter(shown)
    }
}
