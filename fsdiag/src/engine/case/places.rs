//! Places: which operations are those of a life: a log of a cluster has thousands of them.

use std::collections::HashMap;

use super::{Case, OpenAt};

#[derive(Default)]
pub(super) struct Places {
    of_life: HashMap<usize, Vec<usize>>,
    of_daemon: HashMap<usize, Vec<usize>>,
}

impl Places {
    pub(super) fn of(ops: &[OpenAt<'_>]) -> Self {
        let mut places = Self::default();
        for (at, op) in ops.iter().enumerate() {
            places.of_life.entry(op.life).or_default().push(at);
            places.of_daemon.entry(op.daemon).or_default().push(at);
        }
        places
    }
}

impl Case<'_> {
    /// The operations that a life tells of, oldest first.
    pub fn ops_of(&self, life: usize) -> &[usize] {
        self.places.of_life.get(&life).map_or(&[], Vec::as_slice)
    }

    /// Those whose trouble the course of that life tells.
    pub fn ops_served(&self, life: usize) -> &[usize] {
        self.places.of_daemon.get(&life).map_or(&[], Vec::as_slice)
    }

    /// Those of them that are old.
    pub fn stuck_of(&self, life: usize) -> impl Iterator<Item = usize> {
        self.ops_of(life).iter().copied().filter(|op| self.is_stuck(*op))
    }
}
