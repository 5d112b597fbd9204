//! Setting: the debug flags under which a workload is run.

use fsd_events::flags::{DebugFlags, Flag};
use serde::Serialize;

/// One of the four ways through the two flags of the debugging guide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    NoFlag,
    SkipEviction,
    SingleThread,
    Both,
}

impl Setting {
    /// In the order in which they are run: what is to be explained comes first.
    pub const ALL: [Self; 4] = [Self::NoFlag, Self::SkipEviction, Self::SingleThread, Self::Both];

    pub fn words(self) -> &'static str {
        match self {
            Self::NoFlag => "no flag",
            Self::SkipEviction => "debug_skip_eviction",
            Self::SingleThread => "debug_fskit_single_thread",
            Self::Both => "both flags",
        }
    }

    /// The value that each of the two flags has.
    pub fn flags(self) -> [(Flag, bool); 2] {
        let skip = matches!(self, Self::SkipEviction | Self::Both);
        let single = matches!(self, Self::SingleThread | Self::Both);
        [(Flag::DebugSkipEviction, skip), (Flag::DebugFskitSingleThread, single)]
    }

    /// The two flags as a daemon has them now.
    pub fn of(flags: DebugFlags) -> Self {
        let now = |setting: &Self| setting.flags().iter().all(|(flag, value)| flags.get(*flag) == *value);
        Self::ALL.into_iter().find(now).unwrap_or(Self::NoFlag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_what_is_read_back() {
        for setting in Setting::ALL {
            let flags =
                setting.flags().iter().fold(DebugFlags::default(), |all, (flag, value)| all.with(*flag, *value));
            assert_eq!(Setting::of(flags), setting);
        }
    }
}
