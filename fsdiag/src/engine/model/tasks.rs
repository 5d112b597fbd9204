//! Background work and those who wait for it.

use fsd_events::event::TaskKind;

use super::ops::{Micros, PhaseAt};
use crate::engine::fact::Place;

/// A download, close, eviction, or thread outside any operation.
#[derive(Clone, Debug)]
pub struct Task {
    pub kind: TaskKind,
    pub parent: Option<u64>,
    pub fh: Option<u64>,
    pub path: Option<Box<str>>,
    pub since: Option<Micros>,
    pub place: Place,
    pub phase: Option<PhaseAt>,
    pub progress: Option<ProgressAt>,
    pub ended: Option<TaskEnded>,
}

/// How far a task has come.
#[derive(Clone, Debug)]
pub struct ProgressAt {
    pub have: u64,
    pub want: u64,
    pub state: Box<str>,
    /// When `have` last grew.
    pub moved: Option<Micros>,
    /// When that was last said.
    pub told: Option<Micros>,
    pub place: Place,
}

#[derive(Clone, Debug)]
pub struct TaskEnded {
    pub at: Option<Micros>,
    pub outcome: Box<str>,
    pub place: Place,
}

/// An operation parked for bytes.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub on: Option<u64>,
    pub need: (u64, u64),
    pub since: Option<Micros>,
    pub place: Place,
}

impl Task {
    pub fn new(kind: TaskKind, since: Option<Micros>, place: Place) -> Self {
        Self { kind, parent: None, fh: None, path: None, since, place, phase: None, progress: None, ended: None }
    }

    pub fn progressed(&mut self, have: u64, want: u64, state: &str, at: Option<Micros>, place: Place) {
        let moved = match &self.progress {
            Some(before) if before.have == have => before.moved,
            _ => at,
        };
        self.progress = Some(ProgressAt { have, want, state: state.into(), moved, told: at, place });
    }
}
