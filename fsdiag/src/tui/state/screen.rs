//! Screen: one of the eight, in the order of their keys.

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Screen {
    #[default]
    Overview,
    Operations,
    Locks,
    Stacks,
    Latency,
    Timeline,
    Events,
    Act,
}

impl Screen {
    pub const ALL: [Self; 8] = [
        Self::Overview,
        Self::Operations,
        Self::Locks,
        Self::Stacks,
        Self::Latency,
        Self::Timeline,
        Self::Events,
        Self::Act,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Operations => "Operations",
            Self::Locks => "Locks",
            Self::Stacks => "Stacks",
            Self::Latency => "Latency",
            Self::Timeline => "Timeline",
            Self::Events => "Events",
            Self::Act => "Act",
        }
    }

    /// Where there is no room for the title.
    pub fn short(self) -> &'static str {
        match self {
            Self::Overview => "Main",
            Self::Operations => "Ops",
            Self::Latency => "Lat",
            Self::Timeline => "Time",
            other => other.title(),
        }
    }

    pub fn index(self) -> usize {
        Self::ALL.iter().position(|s| *s == self).unwrap_or(0)
    }

    pub(super) fn turned(self, by: isize) -> Self {
        let count = Self::ALL.len() as isize;
        Self::ALL[(self.index() as isize + by).rem_euclid(count) as usize]
    }
}
