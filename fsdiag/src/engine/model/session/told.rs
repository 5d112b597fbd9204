//! Told: what a daemon or its log says besides its requests.

use fsd_events::flags::DebugFlags;

use crate::engine::{
    fact::{HintKind, InputId, Key, Place, Writer},
    model::ops::Micros,
};

/// What the daemon says of itself.
#[derive(Clone, Debug, Default)]
pub struct About {
    pub pid: Option<u32>,
    /// Who writes its log, where the lines tell.
    pub writer: Option<Box<Writer>>,
    pub workers: Option<u32>,
    pub flags: DebugFlags,
    pub mount: Box<str>,
    pub max_background: u32,
    pub started: Option<Place>,
    /// What it said when it started.
    pub banner: Box<str>,
    pub input: Place,
    /// The first input of the log that it writes.
    pub stream: InputId,
}

#[derive(Clone, Debug)]
pub struct StallSeen {
    pub place: Place,
    pub at: Option<Micros>,
    pub kernel_waiting: Option<u64>,
    pub stacks: Option<Box<str>>,
}

#[derive(Clone, Debug)]
pub struct Ended {
    pub crash: bool,
    pub text: Box<str>,
    pub place: Place,
}

#[derive(Clone, Debug)]
pub struct Hint {
    pub kind: HintKind,
    pub key: Option<Key>,
    pub path: Option<Box<str>>,
    pub text: Box<str>,
    pub at: Option<Micros>,
    pub place: Place,
    /// How much had been served by then, what was under way included.
    pub served: u64,
}
