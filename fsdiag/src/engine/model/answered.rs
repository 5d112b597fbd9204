//! Answered: the latest requests that have ended, each by its number and its beginning; of a kernel's trace many,
//! because a log may have lost the ends that it shows, and of a log enough to see whether both count alike.

use std::collections::VecDeque;

use fsd_events::op::Op;

use super::ops::Micros;

#[derive(Clone, Debug, Default)]
pub struct Answered {
    latest: VecDeque<Answer>,
}

#[derive(Clone, Copy, Debug)]
pub struct Answer {
    pub number: u64,
    pub op: Op,
    pub began: Option<Micros>,
}

/// Most lives have some: room for so many is made at once.
const FIRST: usize = 16;
/// Neither has an end; of more than these the oldest are forgotten.
const OF_TRACE: usize = 1 << 16;
const OF_LOG: usize = 64;
/// ECONNABORTED and ENOTCONN: the kernel ended it itself, because the connection was given up.
const BY_THE_KERNEL: [u32; 2] = [103, 107];

impl Answered {
    pub(super) fn note(&mut self, answer: Answer, errno: Option<u32>, of_trace: bool) {
        if errno.is_some_and(|errno| BY_THE_KERNEL.contains(&errno)) {
            return;
        }
        if self.latest.capacity() == 0 {
            self.latest.reserve(FIRST);
        }
        if self.latest.len() >= if of_trace { OF_TRACE } else { OF_LOG } {
            self.latest.pop_front();
        }
        self.latest.push_back(answer);
    }

    pub fn iter(&self) -> impl Iterator<Item = &Answer> {
        self.latest.iter()
    }
}
