//! A dump as a life of its daemon: its tables tell of operations and tasks when no event file does.

use super::{
    Model,
    ops::{Micros, PhaseAt},
    session::{Origin, Session},
    tasks::{Task, Waiting},
};
use crate::engine::{
    fact::{At, Call, Dump, Key, Place},
    tables::{OpRow, Tables, TaskRow},
};

/// Most dumps that are kept, the latest ones: an incident has a few, a file of them has no end.
const KEPT: usize = 64;

/// The latest dump of one daemon: a process, and whoever serves the same mount after it.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pid: Option<u32>,
    mount: Option<Box<str>>,
    wall: Option<u64>,
    /// None: it shows no operation.
    session: Option<usize>,
}

impl Told {
    fn is_of(&self, dump: &Dump) -> bool {
        self.pid == dump.pid || self.mount.is_some() && self.mount == dump.mount
    }
}

/// Whether a dump may be that one once more: it shows the same, and tells no other moment. A daemon that stands still
/// gives such dumps too, but one that was copied, appended or sent twice would look as if it stood still.
fn is_copy((_, known, then): &(Place, Box<Dump>, Option<u64>), dump: &Dump, wall: Option<u64>) -> bool {
    /// Who collects lines stamps them a little later.
    const MOMENT_US: u64 = 1_000_000;
    let other_moment = then.zip(wall).is_some_and(|(then, now)| then.abs_diff(now) >= MOMENT_US);
    let shows = !dump.threads.is_empty() || dump.tables != Tables::default();
    shows && !other_moment && known.shows_the_same(dump)
}

impl Model {
    /// The latest dump of a daemon replaces the one before.
    pub(super) fn dumped(&mut self, place: Place, at: At, dump: Box<Dump>) {
        if let Some(known) = self.dumps.iter_mut().rfind(|known| is_copy(known, &dump, at.wall_us)) {
            known.2 = known.2.or(at.wall_us);
            let first = known.0;
            if self.copies.len() < KEPT || self.copies.contains_key(&first) {
                self.copies.entry(first).or_insert((place, 0)).1 += 1;
            }
            return;
        }
        self.tell_of(place, at, &dump);
        if self.dumps.len() >= KEPT {
            self.dumps.remove(0);
        }
        self.dumps.push((place, dump, at.wall_us));
    }

    fn tell_of(&mut self, place: Place, at: At, dump: &Dump) {
        let quiet = dump.tables.ops.is_empty();
        if quiet && (dump.mount.is_none() || dump.truncated) {
            // Not the dump of an fsd, or not as far as its operations.
            return;
        }
        let stream = self.stream(place.input);
        let known = self.told.iter().position(|told| told.is_of(dump));
        if known.is_some_and(|known| self.told[known].wall > at.wall_us) {
            let own = self.voices.session(stream).filter(|index| self.is_of_dumps(*index));
            own.into_iter().for_each(|index| self.sessions[index].pass());
            return;
        }
        let index = (!quiet).then(|| {
            let own = self.voices.session(stream);
            own.unwrap_or_else(|| self.start_session(stream, place))
        });
        if index.is_some_and(|index| !self.is_of_dumps(index)) {
            // A log that a dump stands in tells of its own requests.
            return;
        }
        let told = Told { pid: dump.pid, mount: dump.mount.clone(), wall: at.wall_us, session: index };
        let before = match known {
            Some(known) => std::mem::replace(&mut self.told[known], told).session,
            None => {
                self.told.push(told);
                None
            }
        };
        before.into_iter().filter(|before| Some(*before) != index).for_each(|before| self.sessions[before].pass());
        if let Some(index) = index {
            let session = &mut self.sessions[index];
            session.forget();
            session.about.pid = dump.pid;
            session.take_tables(place, at, dump);
        }
    }

    /// Whether another process has served the mount since: of the one in that dump nothing is left.
    pub fn is_replaced(&self, at: usize) -> bool {
        let Some((_, dump, wall)) = self.dumps.get(at) else { return false };
        let later = |told: &Told| told.is_of(dump) && told.pid != dump.pid && told.wall > *wall;
        self.told.iter().any(later) || self.is_followed(dump)
    }

    /// Whether the event files name that process, and another one after it.
    fn is_followed(&self, dump: &Dump) -> bool {
        let of_it = |session: &Session| session.is_own() && dump.pid.is_some() && session.about.pid == dump.pid;
        let mut lives = self.sessions.iter().enumerate().filter(|(_, session)| of_it(session)).peekable();
        lives.peek().is_some() && lives.all(|(life, _)| self.is_past(life))
    }

    fn is_of_dumps(&self, index: usize) -> bool {
        let session = &self.sessions[index];
        session.origin == Origin::Foreign && (session.of_dump || session.entered == 0 && session.hints.is_empty())
    }

    /// The event file of the same process tells the same, and more.
    pub(super) fn is_told_by_events(&self, at: usize) -> bool {
        let session = &self.sessions[at];
        let tells =
            |other: &Session| other.is_own() && other.about.pid.is_some() && other.about.pid == session.about.pid;
        session.of_dump && self.sessions.iter().any(tells)
    }
}

impl Session {
    /// Only what the last dump shows is open.
    fn forget(&mut self) {
        self.of_dump = true;
        self.open.clear();
        self.tasks.clear();
        self.waits.clear();
    }

    /// A later dump tells of something else.
    fn pass(&mut self) {
        self.forget();
        self.watch_stalled.clear();
        self.watch_place = None;
    }

    fn take_tables(&mut self, place: Place, at: At, dump: &Dump) {
        let now = self.clock.time(at);
        let ago = |us: u64| now.map(|now| now - Micros::try_from(us).unwrap_or(0));
        for row in &dump.tables.tasks {
            let place = Place { line: row.line, ..place };
            self.tasks.insert(row.id, task(row, place, &ago));
        }
        for row in &dump.tables.ops {
            let place = Place { line: row.line, ..place };
            self.enter(Box::new(call(row)), ago(row.age_us), place);
            if let (Some(phase), Some(open)) = (row.phase, self.open.get_mut(&Key::Num(row.id))) {
                open.phase = Some(PhaseAt { phase, detail: "".into(), since: None, place });
            }
            if let Some(task) = row.task {
                let need = row.need.unwrap_or_default();
                self.waits.insert(row.id, Waiting { on: Some(task), need, since: None, place });
            }
        }
    }
}

fn call(row: &OpRow) -> Call {
    Call {
        tid: Some(row.thread),
        ino: Some(row.ino),
        fh: row.fh,
        path: row.path.as_deref().map(Into::into),
        asynchronous: true,
        ..Call::new(Key::Num(row.id), row.op)
    }
}

fn task(row: &TaskRow, place: Place, ago: &impl Fn(u64) -> Option<Micros>) -> Task {
    let mut task = Task::new(row.kind, ago(row.age_us), place);
    (task.parent, task.fh, task.path) = (row.parent, row.fh, row.path.clone());
    task.phase = row.phase.map(|(phase, us)| PhaseAt { phase, detail: "".into(), since: ago(us), place });
    // Whoever waits for the origin since then has got nothing since then.
    let quiet = row.phase.map_or(row.age_us, |(_, us)| us);
    task.progressed(row.have, row.want, "", ago(quiet), place);
    task
}

#[cfg(test)]
mod tests {
    use fsd_events::{ids::RunId, op::Op};

    use super::*;
    use crate::engine::{
        fact::{Fact, Frame, Thread, What},
        model::Limits,
    };

    fn dump(pid: u32, ids: &[u64]) -> Dump {
        let row = |id: &u64| OpRow {
            id: *id,
            op: Op::Read,
            age_us: 20_000_000,
            thread: 1,
            ino: 1,
            fh: None,
            path: None,
            task: None,
            need: None,
            phase: None,
            line: 1,
        };
        let tables = Tables { ops: ids.iter().map(row).collect(), ..Tables::default() };
        Dump { format: "fsd-stacks".into(), pid: Some(pid), mount: Some("/m".into()), tables, ..Dump::default() }
    }

    /// Second of the dump, process, operations.
    type Shown<'a> = (u64, u32, &'a [u64]);

    /// What is open after these dumps, read in this order.
    fn open(dumps: &[Shown<'_>]) -> Vec<Key> {
        let mut model = Model::new(Limits::default());
        for (second, pid, ids) in dumps {
            let input = model.input("stacks");
            let at = At { wall_us: Some(second * 1_000_000), mono_us: None };
            model.apply(&Fact {
                place: Place { input, line: 1, part: 0 },
                at,
                what: What::Dump(Box::new(dump(*pid, ids))),
            });
        }
        model.current().flat_map(|(_, session)| session.open.glances()).map(|open| open.key).collect()
    }

    #[test]
    fn the_latest_dump_tells_in_whatever_order_they_are_read() {
        let (early, late): (Shown<'_>, Shown<'_>) = ((1, 7, &[1, 2]), (2, 7, &[2]));
        assert_eq!(open(&[early, late]), [Key::Num(2)]);
        assert_eq!(open(&[late, early]), [Key::Num(2)]);
    }

    #[test]
    fn what_a_later_dump_does_not_show_is_over() {
        let (stuck, healed): (Shown<'_>, Shown<'_>) = ((1, 7, &[1]), (2, 7, &[]));
        assert!(open(&[stuck, healed]).is_empty());
        assert!(open(&[healed, stuck]).is_empty());
        assert_eq!(open(&[(1, 7, &[]), (2, 7, &[1])]), [Key::Num(1)]);
    }

    /// How many of these dumps, each of a thread in that function, count as observations.
    fn observed(dumps: &[(Option<u64>, &str)]) -> usize {
        let mut model = Model::new(Limits::default());
        for (second, function) in dumps {
            let input = model.input("gdb");
            let frames = vec![Frame { function: (*function).into(), ..Frame::default() }];
            // Another file, and another line of it.
            let thread =
                Thread { number: 7, frames, line: u64::from(input.0), input: Some(input), ..Thread::default() };
            let dump = Dump { format: "gdb".into(), threads: vec![thread], ..Dump::default() };
            let at = At { wall_us: second.map(|second| second * 1_000_000), mono_us: None };
            model.dumped(Place { input, line: 1, part: 0 }, at, Box::new(dump));
        }
        assert_eq!(
            model.dumps.len() as u64 + model.copies.values().map(|(_, times)| times).sum::<u64>(),
            dumps.len() as u64
        );
        model.dumps.len()
    }

    #[test]
    fn the_same_dump_once_more_is_one_observation_unless_it_tells_another_moment() {
        assert_eq!(observed(&[(None, "wait"), (None, "wait")]), 1);
        assert_eq!(observed(&[(None, "wait"), (Some(5), "wait"), (Some(5), "wait")]), 1);
        assert_eq!(observed(&[(Some(5), "wait"), (Some(15), "wait"), (Some(5), "wait")]), 2);
        assert_eq!(observed(&[(None, "wait"), (None, "read"), (None, "wait")]), 2);
    }

    #[test]
    fn who_serves_the_mount_now_tells_and_not_the_worker_before() {
        let (before, now): (Shown<'_>, Shown<'_>) = ((1, 7, &[1]), (2, 8, &[5]));
        assert_eq!(open(&[before, now]), [Key::Num(5)]);
        assert_eq!(open(&[now, before]), [Key::Num(5)]);
    }

    #[test]
    fn a_worker_that_the_events_let_another_one_follow_is_replaced() {
        let mut model = Model::new(Limits::default());
        let input = model.input("events");
        let at = At { wall_us: Some(1_000_000), mono_us: None };
        model.apply(&Fact { place: Place { input, line: 1, part: 0 }, at, what: What::Dump(Box::new(dump(7, &[1]))) });
        let mut start = |run: u64, pid: u32| {
            let own = Origin::Own { run: RunId(run), mount_run: RunId(1) };
            let mut session = Session::default();
            (session.origin, session.about.pid) = (own, Some(pid));
            model.sessions.push(session);
            model.is_replaced(0)
        };
        assert!(!start(1, 7), "it serves");
        assert!(start(2, 8), "another one does");
    }
}
