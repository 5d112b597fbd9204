//! The live table: trace events and looks folded into what is open, what was answered, and how fast.

use std::collections::{BTreeMap, HashMap};

use fsd_events::op::Op;

use super::trace::{Event, What};

/// Ends that came before their sends, because each processor has a buffer of its own, are kept this long.
const UNMATCHED_NS: u64 = 500_000_000;

/// A request that is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    pub opcode: u32,
    pub sent_ns: u64,
    /// Thread that sent it; of a background request whoever flushed the queue.
    pub tid: u32,
    /// Daemon thread that read it, where the kernel says so.
    pub reader: Option<u32>,
}

/// A request that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    pub unique: u64,
    pub open: Open,
    pub us: u64,
    /// Positive errno; 0 for success.
    pub errno: u32,
    pub len: u32,
    /// Thread that wrote the answer.
    pub tid: u32,
    /// Ended by an abort of the connection, not by an answer.
    pub aborted: bool,
}

impl Answered {
    pub fn op(&self) -> Option<Op> {
        Op::from_opcode(self.open.opcode)
    }
}

/// Folds trace events; pairs them whatever their order.
#[derive(Debug, Default)]
pub struct Live {
    open: HashMap<u64, Open>,
    early_ends: BTreeMap<u64, Event>,
    /// Threads of the daemon that have answered, with how often.
    pub repliers: BTreeMap<u32, u64>,
    pub lone_ends: u64,
}

impl Live {
    /// Takes one event; a pair gives an answer.
    pub fn event(&mut self, event: Event) -> Option<Answered> {
        match event.what {
            What::Send { opcode, .. } => {
                let open = Open { opcode, sent_ns: event.time_ns, tid: event.tid, reader: None };
                // An end that is older belongs to an earlier request of the same number: a resent one.
                if let Some(end) = self.early_ends.remove(&event.unique).filter(|end| end.time_ns >= event.time_ns) {
                    return Some(self.answer(open, end));
                }
                self.open.insert(event.unique, open);
                None
            }
            What::Read => {
                if let Some(open) = self.open.get_mut(&event.unique) {
                    open.reader = Some(event.tid);
                }
                None
            }
            What::End { .. } => match self.open.remove(&event.unique) {
                Some(open) => Some(self.answer(open, event)),
                None => {
                    self.early_ends.insert(event.unique, event);
                    None
                }
            },
        }
    }

    fn answer(&mut self, open: Open, end: Event) -> Answered {
        let (error, len) = match end.what {
            What::End { error, len } => (error, len),
            What::Send { .. } | What::Read => (0, 0),
        };
        let aborted = matches!(-error, libc::ECONNABORTED | libc::ENOTCONN);
        if !aborted {
            *self.repliers.entry(end.tid).or_default() += 1;
        }
        let us = end.time_ns.saturating_sub(open.sent_ns) / 1000;
        Answered { unique: end.unique, open, us, errno: error.unsigned_abs(), len, tid: end.tid, aborted }
    }

    /// Gives up ends whose sends were before the watch began.
    pub fn settle(&mut self, now_ns: u64) {
        let before = self.early_ends.len();
        self.early_ends.retain(|_, end| now_ns.saturating_sub(end.time_ns) < UNMATCHED_NS);
        self.lone_ends += (before - self.early_ends.len()) as u64;
    }

    /// Forgets what the kernel's lists do not have any more: a client killed while its request was queued takes
    /// the request with it, and no event says so. Only requests older than the lists can be judged.
    pub fn keep_listed(&mut self, listed: &dyn Fn(u64) -> bool, listed_at_ns: u64) -> Vec<(u64, Open)> {
        let gone = |unique: &u64, open: &Open| open.sent_ns < listed_at_ns && !listed(*unique);
        let cancelled: Vec<_> = self.open.iter().filter(|(u, o)| gone(u, o)).map(|(u, o)| (*u, *o)).collect();
        for (unique, _) in &cancelled {
            self.open.remove(unique);
        }
        cancelled
    }

    /// Daemon thread that read a request, where the kernel says so.
    pub fn reader(&self, unique: u64) -> Option<u32> {
        self.open.get(&unique)?.reader
    }

    /// What is open, oldest first.
    pub fn open(&self) -> Vec<(u64, Open)> {
        let mut all: Vec<_> = self.open.iter().map(|(unique, open)| (*unique, *open)).collect();
        all.sort_by_key(|(unique, open)| (open.sent_ns, *unique));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(time_ns: u64, unique: u64) -> Event {
        Event { time_ns, tid: 5, unique, what: What::Send { opcode: 15, len: 80 } }
    }

    fn end(time_ns: u64, unique: u64, error: i32) -> Event {
        Event { time_ns, tid: 9, unique, what: What::End { error, len: 16 } }
    }

    #[test]
    fn pairs_are_found_in_either_order() {
        let mut live = Live::default();
        assert_eq!(live.event(send(1000, 8)), None);
        let answered = live.event(end(6000, 8, -2)).unwrap();
        assert_eq!((answered.us, answered.errno, answered.op()), (5, 2, Some(Op::Read)));
        assert_eq!(live.event(end(9000, 10, 0)), None);
        assert_eq!(live.event(send(7000, 10)).unwrap().us, 2);
        assert_eq!((live.open().len(), live.repliers[&9]), (0, 2));
    }

    #[test]
    fn ends_of_earlier_requests_are_given_up() {
        let mut live = Live::default();
        live.event(end(1000, 8, 0));
        live.settle(1000 + UNMATCHED_NS);
        assert_eq!(live.lone_ends, 1);
        assert_eq!(live.event(send(2000, 8)), None);
    }

    #[test]
    fn a_queued_request_whose_client_was_killed_is_not_open_for_ever() {
        let mut live = Live::default();
        live.event(send(1000, 8));
        live.event(send(1500, 10));
        live.event(send(5000, 12));
        let cancelled = live.keep_listed(&|unique| unique == 10, 2000);
        assert_eq!(cancelled.iter().map(|c| c.0).collect::<Vec<_>>(), [8]);
        assert_eq!(live.open().iter().map(|o| o.0).collect::<Vec<_>>(), [10, 12]);
    }

    #[test]
    fn an_abort_is_no_answer() {
        let mut live = Live::default();
        live.event(send(1000, 8));
        assert!(live.event(end(2000, 8, -103)).unwrap().aborted);
        assert!(live.repliers.is_empty());
    }
}
