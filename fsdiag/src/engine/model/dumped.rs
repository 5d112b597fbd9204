//! A dump as a life of its daemon: its tables tell of operations and tasks when no event file does.

use super::{
    Model,
    ops::{Micros, PhaseAt},
    session::{Origin, Session},
    tasks::{Task, Waiting},
};
use crate::engine::{
    fact::{At, Call, Dump, Key, Place},
    tables::{OpRow, TaskRow},
};

impl Model {
    /// The latest dump of a process replaces the one before.
    pub(super) fn dumped(&mut self, place: Place, at: At, dump: Dump) {
        self.tell_of(place, at, &dump);
        self.dumps.push((place, dump, at.wall_us));
    }

    fn tell_of(&mut self, place: Place, at: At, dump: &Dump) {
        if dump.tables.ops.is_empty() {
            return;
        }
        let stream = self.stream(place.input);
        let index = self.by_stream.get(&stream).copied().unwrap_or_else(|| self.start_session(stream, place));
        if !self.is_of_dumps(index) {
            // A log that a dump stands in tells of its own requests.
            return;
        }
        let known = self.dumped_by.iter_mut().find(|(pid, _)| *pid == dump.pid);
        match known {
            Some((_, before)) if self.sessions[*before].clock.wall > at.wall_us => return,
            Some((_, before)) if *before != index => {
                self.sessions[*before].forget();
                *before = index;
            }
            Some(_) => {}
            None => self.dumped_by.push((dump.pid, index)),
        }
        let session = &mut self.sessions[index];
        session.forget();
        session.about.pid = dump.pid;
        session.take_tables(place, at, dump);
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

    fn take_tables(&mut self, place: Place, at: At, dump: &Dump) {
        let now = self.clock.time(at);
        let ago = |us: u64| now.map(|now| now - Micros::try_from(us).unwrap_or(0));
        for row in &dump.tables.tasks {
            let place = Place { line: row.line, ..place };
            self.tasks.insert(row.id, task(row, place, &ago));
        }
        for row in &dump.tables.ops {
            let place = Place { line: row.line, ..place };
            self.enter(call(row), ago(row.age_us), place);
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
        path: row.path.clone(),
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
