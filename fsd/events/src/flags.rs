//! Debug flags: one table that the configuration, the command line, the `start` event and `fsdiag restart` read.

use serde::{Deserialize, Serialize};

/// A switch that isolates a class of bugs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// Release only removes its handle: nothing is closed, unlinked or evicted.
    DebugSkipEviction,
    /// One request at a time, start to end.
    DebugFskitSingleThread,
    /// Every step of every lock becomes an event, not only contended waits and long holds.
    DebugLockEvents,
    /// Mounted so that every callback arrives: no `NOFLUSH`, no passthrough, writable as far as the kernel knows.
    DebugAllCallbacks,
}

impl Flag {
    /// Every flag, in the order in which `start` writes them.
    pub const ALL: [Self; 4] =
        [Self::DebugSkipEviction, Self::DebugFskitSingleThread, Self::DebugLockEvents, Self::DebugAllCallbacks];

    /// The name in the configuration file and in events; the command line writes `-` for `_`.
    pub fn name(self) -> &'static str {
        match self {
            Self::DebugSkipEviction => "debug_skip_eviction",
            Self::DebugFskitSingleThread => "debug_fskit_single_thread",
            Self::DebugLockEvents => "debug_lock_events",
            Self::DebugAllCallbacks => "debug_all_callbacks",
        }
    }

    /// The flag of that name, with `-` or `_`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.name() == name.replace('-', "_"))
    }

    /// Whether a running daemon may take it; the others change only at start or by a hand-over.
    pub fn live(self) -> bool {
        matches!(self, Self::DebugSkipEviction | Self::DebugLockEvents)
    }
}

/// The value of every flag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DebugFlags {
    pub debug_skip_eviction: bool,
    pub debug_fskit_single_thread: bool,
    pub debug_lock_events: bool,
    pub debug_all_callbacks: bool,
}

impl DebugFlags {
    pub fn get(&self, flag: Flag) -> bool {
        match flag {
            Flag::DebugSkipEviction => self.debug_skip_eviction,
            Flag::DebugFskitSingleThread => self.debug_fskit_single_thread,
            Flag::DebugLockEvents => self.debug_lock_events,
            Flag::DebugAllCallbacks => self.debug_all_callbacks,
        }
    }

    /// The same values with one changed.
    #[must_use]
    pub fn with(mut self, flag: Flag, value: bool) -> Self {
        let slot = match flag {
            Flag::DebugSkipEviction => &mut self.debug_skip_eviction,
            Flag::DebugFskitSingleThread => &mut self.debug_fskit_single_thread,
            Flag::DebugLockEvents => &mut self.debug_lock_events,
            Flag::DebugAllCallbacks => &mut self.debug_all_callbacks,
        };
        *slot = value;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_is_found_by_its_name_and_set_alone() {
        for flag in Flag::ALL {
            assert_eq!(Flag::parse(&flag.name().replace('_', "-")), Some(flag));
            let set = DebugFlags::default().with(flag, true);
            assert_eq!(Flag::ALL.into_iter().filter(|f| set.get(*f)).collect::<Vec<_>>(), [flag]);
        }
    }
}
