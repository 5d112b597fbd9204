//! Rule R0: a daemon begins anew, and no line says so: ids that it has given out are given out again.
//!
//! That ids fall back is no sign by itself: lines of several threads come late, and two daemons may share a log. But
//! no id comes twice in one life of a mount, and every life begins with the low ones.

use super::ops::Micros;

#[derive(Clone, Debug, Default)]
pub(super) struct Ids {
    /// Which of the low ids this life has used.
    used: [u64; LOW as usize / 64],
    again: Option<Again>,
}

/// Low ids come again: a new life, unless the old one gives a sign.
#[derive(Clone, Copy, Debug)]
struct Again {
    anew: Anew,
    count: u32,
}

/// The first request of a new life.
#[derive(Clone, Copy, Debug)]
pub(super) struct Anew {
    /// In the order of ENTERs.
    pub(super) order: u64,
    pub(super) at: Option<Micros>,
}

const LOW: u64 = 1024;
/// So many in a row are no coincidence, e.g. of a line that was logged twice.
const SURE: u32 = 4;

impl Ids {
    /// A request begins. Some: with that one a new life began.
    pub(super) fn enter(&mut self, id: u64, request: Anew) -> Option<Anew> {
        if id >= LOW {
            self.again = None;
            return None;
        }
        let (word, bit) = (&mut self.used[id as usize / 64], 1 << (id % 64));
        if *word & bit == 0 {
            *word |= bit;
            return None;
        }
        let again = self.again.get_or_insert(Again { anew: request, count: 0 });
        again.count += 1;
        (again.count >= SURE).then_some(again.anew)
    }

    /// A request of that order ends.
    pub(super) fn exit(&mut self, order: u64) {
        // Two daemons share the log: the first one lives.
        self.again = self.again.filter(|again| order >= again.anew.order);
    }
}

#[cfg(test)]
mod tests {
    use fsd_events::op::Op;

    use crate::engine::{
        fact::{At, Call, Done, Fact, InputId, Key, Place, What},
        model::{Limits, Model},
        report::Report,
    };

    /// Requests that begin (`+`) and end (`-`), one each second.
    fn report(steps: &[(char, u64)]) -> Report {
        let mut model = Model::new(Limits::default());
        let input: InputId = model.input("log");
        for (line, (step, id)) in steps.iter().enumerate() {
            let key = Key::Num(*id);
            let what = match step {
                '+' => What::Enter(Box::new(Call::new(key, Op::Getattr))),
                _ => What::Exit(Done { key, op: None, us: None, errno: Some(0), bytes: None }),
            };
            let at = At { mono_us: Some(line as u64 * 1_000_000), wall_us: None };
            model.apply(&Fact { place: Place { input, line: line as u64 + 1, part: 0 }, at, what });
        }
        model.report(Default::default())
    }

    fn done(ids: impl Iterator<Item = u64>) -> Vec<(char, u64)> {
        ids.flat_map(|id| [('+', id), ('-', id)]).collect()
    }

    fn open(report: &Report) -> Vec<&str> {
        report.orphans.iter().map(|orphan| &*orphan.id).collect()
    }

    #[test]
    fn what_was_open_when_the_ids_begin_again_ended_with_its_daemon() {
        let first = [done(1..40), vec![('+', 40), ('+', 41)]].concat();
        let anew = [first.clone(), done(1..6), vec![('+', 6)]].concat();
        let report = report(&anew);
        assert_eq!(open(&report), ["6"]);
        let told = report.notes.iter().find(|note| note.kind == "restart").expect("the restart is told");
        assert!(told.text.contains("2 requests that were open ended with it"), "{}", told.text);
        assert_eq!(open(&self::report(&first)), ["40", "41"]);
    }

    #[test]
    fn a_restart_that_only_ids_tell_of_is_told_with_its_doubt() {
        // The first daemon may as well hang, and a second one have begun to write the same log.
        let steps = [done(1..40), vec![('+', 40), ('+', 41)], done(1..6)].concat();
        let report = report(&steps);
        let told = report.notes.iter().find(|note| note.kind == "restart").expect("the restart is told");
        assert!(told.text.contains("unless two daemons write this log"), "{}", told.text);
    }

    #[test]
    fn low_ids_that_were_not_given_out_before_are_no_restart() {
        let busy = done((2000..4000).step_by(4));
        let steps = [busy, vec![('+', 4000)], done((2..400).step_by(4))].concat();
        assert_eq!(open(&report(&steps)), ["4000"]);
    }

    #[test]
    fn a_daemon_that_answers_still_lives_whoever_shares_its_log() {
        let steps = [done(1..40), vec![('+', 40), ('+', 41)], done(1..4), vec![('-', 40)], done(4..7)].concat();
        assert_eq!(open(&report(&steps)), ["41"]);
    }
}
