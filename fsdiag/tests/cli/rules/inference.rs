//! The rules of inference: who blocks everyone, when no line tells of a lock (R6, R8 to R14).

use fsd_events::{
    event::{Enter, Event, Exit, Head},
    ids::{Ino, RunId, Unique},
};

use super::*;

/// Ids from here on are nobody's.
const NEW: u64 = 10_000_000;

impl Log {
    /// Ends where nothing happens any more, at that second.
    fn until(&mut self, second: u64) -> Report {
        self.at(second * 1000, What::Lost { lines: 0 }).report()
    }

    /// Reads that take that long, one after another.
    fn long_reads(&mut self, count: u64, seconds: u64) -> &mut Self {
        for n in 0..count {
            self.at(n * 1000 * (seconds + 1), enter(NEW + n, Op::Read));
            self.at(n * 1000 * (seconds + 1) + seconds * 1000, exit(NEW + n));
        }
        self
    }

    /// Getattrs that never end, a tenth of a second apart.
    fn victims(&mut self, ms: u64, ids: std::ops::Range<u64>) -> &mut Self {
        ids.zip(0..).for_each(|(id, n)| _ = self.at(ms + n * 100, enter(id, Op::Getattr)));
        self
    }

    /// An event of fsd itself, with its number.
    fn event(&mut self, ms: u64, seq: u64, body: Body<'static>) {
        self.line += 1;
        let place = Place { input: self.input, line: self.line, part: 0 };
        let head = Head { run: RunId(1), mount_run: RunId(1), seq, ts_us: 0, mono_us: ms * 1000 };
        self.model.apply_event(place, &Event { head, carried: false, late: false, body });
    }

    fn request(&mut self, ms: u64, seq: u64, op: Op) {
        self.event(ms, seq, opened(seq, op));
        let exit = Exit { id: OpId(seq), op, us: 1000, errno: 0, bytes: 0, detached: false };
        self.event(ms + 1, seq + 1, Body::Exit(exit));
    }
}

fn opened(id: u64, op: Op) -> Body<'static> {
    Body::Enter(Enter {
        id: OpId(id),
        op,
        thread: "w".into(),
        tid: 1,
        unique: Unique(id),
        resent: false,
        pid: 1,
        ino: Ino(1),
        fh: None,
        path: None,
        off: None,
        len: None,
        count: None,
    })
}

fn ids(others: &[fsdiag::engine::report::Culprit]) -> Vec<&str> {
    others.iter().filter_map(|other| other.id.as_deref()).collect()
}

/// Opens without an end, then `missing` records that nobody has seen, then twenty seconds of Reads.
fn opens_before_a_hole(missing: u64) -> Report {
    let mut log = Log::new();
    (0..500).for_each(|n| log.request(n * 20, 1 + n * 2, Op::Open));
    (0..4).for_each(|n| log.event(10_000 + n, 1001 + n, opened(1001 + n, Op::Open)));
    (0..1000).for_each(|n| log.request(10_300 + n * 20, 1005 + missing + n * 2, Op::Read));
    log.report()
}

#[test]
fn r6_what_may_have_ended_in_a_hole_of_the_log_is_not_called_stuck() {
    assert!(!opens_before_a_hole(0).healthy);
    let report = opens_before_a_hole(200);
    assert!(report.healthy, "{:?}", report.verdicts);
    assert_eq!(report.loss.seq_gaps, 200);
}

#[test]
fn r6_as_many_lost_lines_as_open_requests_leave_a_suspicion_only() {
    let pile_up = |lost: u64| {
        let mut log = Log::new();
        log.busy(Op::Getattr, 20);
        (0..lost).for_each(|n| _ = log.at(10_000, exit(NEW + n)));
        log.at(20_100, enter(1, Op::Release)).victims(20_200, 2..5).until(45)
    };
    assert_eq!(first(&pile_up(0)), Some((Cause::LockPileup, Confidence::High, Some("1"))));
    assert_eq!(first(&pile_up(20)), Some((Cause::LockPileup, Confidence::Low, Some("1"))));
}

#[test]
fn r8_what_is_slow_as_its_kind_is_slow_is_told_but_not_called_stuck() {
    let report = Log::new().busy(Op::Getattr, 45).long_reads(2, 12).at(25_500, enter(1, Op::Read)).until(45);
    assert!(report.healthy, "{:?}", report.verdicts);
    let told: Vec<_> = report.notes.iter().filter(|note| note.kind == "open").collect();
    assert!(matches!(&told[..], [note] if note.text.contains("nothing shows that it is stuck")), "{told:?}");
}

#[test]
fn r9_a_kind_of_which_later_ones_end_does_not_stand_still() {
    let stands = |later: u64| {
        let mut log = Log::new();
        log.busy(Op::Getattr, 20).busy(Op::Lookup, 45).victims(20_100, 1..3);
        (0..later).for_each(|n| _ = log.at(21_000, enter(NEW + n, Op::Getattr)).at(21_001, exit(NEW + n)));
        !log.until(45).healthy
    };
    assert!(stands(2), "two may have slipped through");
    assert!(!stands(3));
}

#[test]
fn r9_a_silence_that_is_usual_for_its_kind_is_no_stall() {
    let stands = |silence: u64| {
        let mut log = Log::new();
        log.busy(Op::Lookup, 72);
        // One in two seconds: nothing for 28 s is no accident.
        (0..36).for_each(|n| _ = log.at(n * 2000, enter(n, Op::Readdir)).at(n * 2000 + 900, exit(n)));
        !log.at(71_000, enter(98, Op::Readdir)).at(71_001, enter(99, Op::Readdir)).until(71 + silence).healthy
    };
    assert!(!stands(15));
    assert!(stands(29));
}

#[test]
fn r10_who_came_after_the_first_that_waits_does_not_keep_it_waiting() {
    let mut log = Log::new();
    log.busy(Op::Getattr, 20).at(20_100, enter(1, Op::Release)).victims(20_200, 2..5);
    let report = log.at(25_000, enter(9, Op::Readdir)).until(45);
    assert_eq!(first(&report), Some((Cause::LockPileup, Confidence::High, Some("1"))));
    assert_eq!(ids(&report.verdicts[0].alternatives), Vec::<&str>::new());
}

#[test]
fn r11_what_others_went_on_beside_for_long_is_exonerated_though_it_is_the_oldest() {
    let mut log = Log::new();
    log.busy(Op::Getattr, 20).long_reads(3, 4).at(14_000, enter(7, Op::Read));
    let report = log.at(20_100, enter(1, Op::Release)).victims(20_200, 2..5).until(45);
    assert_eq!(report.orphans[0].id, "7", "the oldest");
    assert_eq!(first(&report), Some((Cause::LockPileup, Confidence::High, Some("1"))));
    assert_eq!(ids(&report.verdicts[0].alternatives), Vec::<&str>::new());
}

#[test]
fn r11_the_first_of_a_frequent_kind_may_only_be_the_first_to_wait_for_somebody_outside_the_log() {
    let told = |root: Op| {
        let mut log = Log::new();
        log.busy(Op::Getattr, 20).busy(Op::Lookup, 20).at(20_100, enter(1, root));
        let report = log.victims(20_200, 2..5).until(45);
        (first(&report).map(|first| (first.0, first.1)), report.verdicts[0].sentence.contains("serves no request"))
    };
    assert_eq!(told(Op::Release), (Some((Cause::LockPileup, Confidence::High)), false));
    assert_eq!(told(Op::Lookup), (Some((Cause::LockPileup, Confidence::Medium)), true));
}

#[test]
fn r12_of_two_that_could_hold_it_the_one_is_blamed_whose_kind_never_took_so_long() {
    let mut log = Log::new();
    log.busy(Op::Getattr, 20).long_reads(3, 4).at(20_100, enter(7, Op::Read));
    let report = log.at(20_110, enter(1, Op::Release)).victims(20_200, 2..5).until(45);
    assert_eq!(first(&report), Some((Cause::LockPileup, Confidence::Medium, Some("1"))));
    assert_eq!(ids(&report.verdicts[0].alternatives), ["7"]);
}

#[test]
fn r13_one_that_may_have_taken_the_lock_late_is_an_alternative_and_lowers_the_confidence() {
    let mut log = Log::new();
    log.busy(Op::Getattr, 20).busy(Op::Release, 20).at(18_000, enter(1, Op::Release));
    let report = log.victims(20_100, 2..6).until(45);
    assert_eq!(first(&report), Some((Cause::LockPileup, Confidence::Medium, Some("2"))));
    assert_eq!(ids(&report.verdicts[0].alternatives), ["1"]);
}

#[test]
fn r13_one_that_shares_its_lock_is_told_by_the_kind_that_ends_no_more_while_another_does() {
    let mut log = Log::new();
    log.busy(Op::Getattr, 20).busy(Op::Readdir, 20).busy(Op::Fsync, 20).busy(Op::Open, 18);
    // Both are new and old; but only since the second one no Open has ended, and Getattrs have.
    log.at(10_000, enter(17, Op::Fsync)).at(18_000, enter(1, Op::Readdir));
    (20..24).for_each(|id| _ = log.at(18_100, enter(id, Op::Open)));
    let report = log.victims(20_100, 2..8).until(45);
    assert_eq!(first(&report).map(|first| (first.0, first.2)), Some((Cause::LockPileup, Some("1"))));
    assert!(ids(&report.verdicts[0].alternatives).contains(&"17"), "{:?}", report.verdicts);
    assert!(report.verdicts[0].sentence.contains("later ones still ended"), "{}", report.verdicts[0].sentence);
}

#[test]
fn r14_of_equals_the_earliest_is_blamed_and_the_others_stand_beside_it() {
    let mut log = Log::new();
    log.busy(Op::Getattr, 20).at(20_100, enter(2, Op::Readdir)).at(20_100, enter(1, Op::Release));
    let report = log.victims(20_200, 3..7).until(45);
    assert_eq!(first(&report), Some((Cause::LockPileup, Confidence::Medium, Some("2"))));
    assert_eq!(ids(&report.verdicts[0].alternatives), ["1"]);
}

#[test]
fn r14_of_two_that_came_early_the_one_is_likelier_that_is_not_of_the_kind_that_waits() {
    let mut log = Log::new();
    log.busy(Op::Getattr, 20).busy(Op::Release, 20);
    log.at(15_000, enter(9, Op::Getattr)).at(18_000, enter(1, Op::Release));
    let report = log.victims(20_100, 2..6).until(45);
    assert_eq!(ids(&report.verdicts[0].alternatives), ["1", "9"]);
}

#[test]
fn r15_clients_that_ask_for_one_kind_only_are_no_pool_and_those_that_fall_silent_with_it_are() {
    let told = |others: bool| {
        let mut log = Log::new();
        let mut id = 1;
        let mut ask = |log: &mut Log, ms: u64, op: Op, ends: bool| {
            log.at(ms, enter(id, op));
            if ends {
                log.at(ms + 5, exit(id));
            }
            id += 1;
        };
        // Eight readers, of which one more hangs each second; while one still reads, somebody else asks for names.
        for ms in (0..=27_000_u64).step_by(100) {
            if ms >= 20_000 && ms % 1000 == 0 {
                ask(&mut log, ms, Op::Read, false);
            }
            let hung = ms.checked_sub(20_000).map_or(0, |ms| ms / 1000 + 1);
            (hung..8).for_each(|n| ask(&mut log, ms + 10 + 5 * n, Op::Read, true));
            if others && hung < 8 {
                ask(&mut log, ms + 60, Op::Getattr, true);
            }
        }
        first(&log.until(60)).map(|first| (first.0, first.1))
    };
    assert_ne!(told(false).map(|told| told.0), Some(Cause::WorkerStarvation), "{:?}", told(false));
    assert_eq!(told(true).map(|told| told.0), Some(Cause::WorkerStarvation));
}

#[test]
fn r17_many_getattrs_are_said_to_wait_for_release_only_where_a_release_is_blamed() {
    let told = |root: Op| {
        let mut log = Log::new();
        let report = log.busy(Op::Getattr, 20).at(20_100, enter(1, root)).victims(20_200, 2..6).until(45);
        assert_eq!(first(&report).map(|first| first.2), Some(Some("1")));
        report.verdicts[0].advice.iter().any(|advice| advice == fsdiag::engine::advice::GETATTR)
    };
    assert!(told(Op::Release));
    assert!(!told(Op::Readdir));
}
