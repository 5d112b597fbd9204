//! How one fact or event changes the model.

use fsd_events::event::{
    Body, Enter, Event, Exit, LockStep, Phase, PhaseChange, Stall, TaskEnd, TaskKind, TaskStart, Wait,
};

use super::{
    Model,
    open::Glance,
    ops::{Micros, PhaseAt},
    session::{Ended, Hint, Session, StallSeen},
    tasks::{Task, TaskEnded, Waiting},
};
use crate::engine::fact::{At, Call, Done, Fact, KernelFact, Key, Place, What};

impl Model {
    /// Takes one observation for good: what it tells of is kept as it is, and no copy of it.
    pub(super) fn take(&mut self, fact: Fact) {
        let Fact { place, at, what } = fact;
        match what {
            What::Enter(call) => self.begin(call, at, place),
            What::Exit(done) => self.ends(&done, at, place),
            What::Dump(dump) => self.dumped(place, at, dump),
            What::Hint { kind, key, path, text } => {
                let Some(subject) = self.subject(place, kind, &text) else { return };
                let session = &mut self.sessions[subject];
                let (at, served) = (session.time(at), session.under_way());
                session.hints.push(Hint { kind, key, path, text, at, place, served });
            }
            _ => self.take_rare(place, at, what),
        }
    }

    /// A request of a foreign log ends.
    fn ends(&mut self, done: &Done, at: At, place: Place) {
        let session = self.foreign(place);
        if session.goes_back(at) && session.has_told(done.key, None, at) {
            return;
        }
        let (wall, lost) = (at.wall_us, session.loss.lone_exits);
        let at = session.speaks(at);
        if !session.exit(done, at, place) {
            session.comes_early(done, wall, lost);
        }
    }

    /// The rest of them.
    fn take_rare(&mut self, place: Place, at: At, what: What) {
        match what {
            What::Own(body) => self.own(place, at, &body, None),
            What::Kernel(kernel) => self.kernel_fact(place, &kernel),
            What::Session { pid, workers, banner, .. } => self.new_session(place, at, (pid, workers), banner),
            What::Lost { lines } => self.lost(place, at, lines),
            What::SessionEnd { crash, text, victim } => {
                self.end(place, at, Ended { crash, text, place }, victim.as_ref());
            }
            What::Completed(c) => {
                let (session, at) = self.speaker(place, at);
                session.entered += 1;
                session.completed(c.op, place.key(), at, Some(c.us), c.errno, place);
            }
            What::OneSided => self.speaker(place, at).0.one_sided = true,
            What::Interrupt(key) => {
                if let Some(open) = self.speaker(place, at).0.open.get_mut(&key) {
                    open.interrupted = true;
                }
            }
            What::Watch { stalled, .. } => {
                let (session, at) = self.speaker(place, at);
                session.watch_stalled = stalled;
                session.watch_place = Some((place, at));
            }
            What::Enter(_) | What::Exit(_) | What::Dump(_) | What::Hint { .. } => {}
        }
    }

    /// Whose fact it is, and what time that makes it there.
    fn speaker(&mut self, place: Place, at: At) -> (&mut Session, Option<Micros>) {
        let session = self.foreign(place);
        let at = session.speaks(at);
        (session, at)
    }

    /// Takes one observation.
    pub fn apply(&mut self, fact: &Fact) {
        self.take(fact.clone());
    }

    /// The same for an event of fsd itself, without a copy on the way.
    pub fn apply_event(&mut self, place: Place, event: &Event<'_>) {
        let head = &event.head;
        let at = self.run(head.run, head.mount_run, place);
        let session = &mut self.sessions[at];
        let mono = Micros::try_from(head.mono_us).unwrap_or(Micros::MAX);
        if event.carried {
            if session.knows(&event.body) {
                return;
            }
        } else if !session.sequence.saw(head.seq, mono) {
            return;
        }
        let clock = At { mono_us: Some(head.mono_us), wall_us: Some(head.ts_us) };
        self.own(place, clock, &event.body, Some(at));
    }

    fn own(&mut self, place: Place, at: At, body: &Body<'_>, session: Option<usize>) {
        let index = match session {
            Some(index) => index,
            None => {
                let stream = self.stream(place.input);
                self.voices.session(stream).unwrap_or_else(|| self.start_session(stream, place))
            }
        };
        if let Body::Handover(handover) = body {
            let old = self.by_run.get(&handover.old_run.0).copied();
            if let Some(old) = old {
                self.sessions[old].handed_over = Some((handover.new_run, (&*handover.result).into()));
            }
        }
        let resent = match body {
            Body::Enter(enter) if enter.resent => self.resent(index, enter.unique),
            _ => None,
        };
        let session = &mut self.sessions[index];
        let time = session.clock.time(at);
        session.take_own(place, time, body);
        if let (Some(before), Body::Enter(enter)) = (resent, body)
            && let Some(open) = session.open.get_mut(&Key::Num(enter.id.0))
        {
            open.at = before.at.or(open.at);
        }
    }

    fn kernel_fact(&mut self, place: Place, fact: &KernelFact) {
        self.kernel_seen = true;
        if let KernelFact::Waiting { waiting, .. } = fact {
            self.kernel_waiting = Some(*waiting);
        }
        self.kernel.apply(place, fact);
    }

    fn new_session(&mut self, place: Place, at: At, (pid, workers): (Option<u32>, Option<u32>), banner: Box<str>) {
        let stream = self.stream(place.input);
        let current = self.voices.session(stream).map(|at| &self.sessions[at]);
        let goes_on = current.is_some_and(|s| {
            s.entered == 0 && s.is_alive()
                || pid.is_some() && s.about.pid == pid
                || (pid.is_none() && workers.is_some())
        });
        if !goes_on {
            self.start_session(stream, place);
        }
        let session = self.foreign(place);
        session.clock.time(at);
        session.about.pid = pid.or(session.about.pid);
        session.about.workers = workers.or(session.about.workers);
        session.about.started.get_or_insert(place);
        session.about.banner = banner;
    }
}

impl Session {
    pub(super) fn take_own(&mut self, place: Place, at: Option<Micros>, body: &Body<'_>) {
        body.ids(|id| self.top = self.top.max(id.0));
        match body {
            Body::Start(start) => self.started(start, place),
            Body::Enter(enter) => self.enter(call(enter).boxed(), at, place),
            Body::Exit(exit) => _ = self.exit(&done(exit), at, place),
            Body::Phase(change) => self.phase(change, at, place),
            Body::Lock(step) => self.lock(step, at, place),
            Body::Task(task) => self.task(task, at, place),
            Body::TaskEnd(end) => self.task_end(end, at, place),
            Body::Progress(p) => {
                let fresh = || Task::new(TaskKind::Download, at, place);
                let task = self.tasks.entry(p.id.0).or_insert_with(fresh);
                task.progressed(p.have, p.want, &p.state, at, place);
            }
            Body::Wait(wait) => self.wait(wait, at, place),
            Body::WaitEnd(end) => drop(self.waits.remove(&end.id.0)),
            Body::Beat(beat) => self.beat(beat, at, place),
            Body::Stall(stall) => self.stalled(stall, at, place),
            Body::StallEnd(_) => {
                self.stall = None;
                self.watch_stalled.clear();
            }
            Body::Interrupt { unique, id } => self.interrupted(unique.0, id.map(|i| i.0)),
            Body::FlagChange { flag, value } => self.about.flags = self.about.flags.with(*flag, *value),
            Body::Invariant { what, detail } => {
                self.invariants.push(((&**what).into(), (&**detail).into(), place));
            }
            Body::Stop { reason } => {
                self.ended = Some(Ended { crash: false, text: (&**reason).into(), place });
            }
            Body::Handover(_) => {}
        }
    }

    /// Whether a carried line repeats what is known.
    fn knows(&self, body: &Body<'_>) -> bool {
        match body {
            Body::Enter(enter) => self.open.contains_key(&Key::Num(enter.id.0)),
            Body::Task(task) => self.tasks.contains_key(&task.id.0),
            _ => false,
        }
    }

    fn lock(&mut self, step: &LockStep<'_>, at: Option<Micros>, place: Place) {
        // A hold is told once it has lasted, or only at its end.
        let since = at.map(|at| at - Micros::try_from(step.us).unwrap_or(0));
        if let Some(doing) = self.phase_of(step.id.0).filter(|doing| doing.1 > since).map(|doing| doing.0) {
            self.locks.held_across(step, doing, place);
        }
        self.locks.step(step, at, place);
    }

    /// What an operation or task is doing, and since when.
    fn phase_of(&self, id: u64) -> Option<(Phase, Option<Micros>)> {
        let told = |doing: &PhaseAt| (doing.phase, doing.since);
        let open = self.open.get(&Key::Num(id)).and_then(|open| open.phase.as_ref().map(told));
        open.or_else(|| self.tasks.get(&id)?.phase.as_ref().map(told))
    }

    fn phase(&mut self, change: &PhaseChange<'_>, at: Option<Micros>, place: Place) {
        self.locks.began(change.id.0, change.phase, place);
        if !matches!(change.phase, Phase::Lock | Phase::Permit) {
            self.locks.goes_on(change.id.0);
        }
        let now = PhaseAt { phase: change.phase, detail: (&*change.detail).into(), since: at, place };
        if let Some(open) = self.open.get_mut(&Key::Num(change.id.0)) {
            open.phase = Some(now);
        } else if let Some(task) = self.tasks.get_mut(&change.id.0) {
            task.phase = Some(now);
        } else if let Some(open) = self.open.get_mut(&Key::Hex(change.id.0)) {
            open.phase = Some(now);
        }
    }

    fn task(&mut self, start: &TaskStart<'_>, at: Option<Micros>, place: Place) {
        let mut task = Task::new(start.task, at, place);
        task.parent = start.parent.map(|p| p.0);
        task.fh = start.fh.map(|fh| fh.0);
        task.path = start.path.as_deref().map(Into::into);
        self.tasks.insert(start.id.0, task);
        self.forget_ended_tasks();
    }

    fn task_end(&mut self, end: &TaskEnd<'_>, at: Option<Micros>, place: Place) {
        // Its start was lost and its end names no kind: most tasks that somebody waits for are downloads.
        let kind = end.task.unwrap_or(TaskKind::Download);
        let task = self.tasks.entry(end.id.0).or_insert_with(|| Task::new(kind, None, place));
        task.ended = Some(TaskEnded { at, outcome: (&*end.outcome).into(), place });
        self.locks.op_ended(end.id.0);
    }

    /// Ended tasks that nobody waits for are kept only so long as there are few.
    fn forget_ended_tasks(&mut self) {
        const KEPT: usize = 4096;
        if self.tasks.len() <= KEPT {
            return;
        }
        let waited: Vec<u64> = self.waits.values().filter_map(|w| w.on).collect();
        let mut ended: Vec<u64> = self.tasks.iter().filter(|(_, t)| t.ended.is_some()).map(|(id, _)| *id).collect();
        ended.truncate(KEPT / 2);
        ended.retain(|id| !waited.contains(id));
        ended.iter().for_each(|id| drop(self.tasks.remove(id)));
    }

    fn wait(&mut self, wait: &Wait, at: Option<Micros>, place: Place) {
        self.waits.insert(wait.id.0, Waiting { on: wait.on.map(|t| t.0), need: wait.need, since: at, place });
    }

    fn stalled(&mut self, stall: &Stall<'_>, at: Option<Micros>, place: Place) {
        let stacks = stall.stacks.as_deref().map(Into::into);
        self.stall = Some(StallSeen { place, at, kernel_waiting: stall.kernel_waiting, stacks });
        for lock in &stall.locks {
            self.locks.snapshot(lock, at, place);
        }
        self.watch_stalled = stall.ops.iter().map(|op| (Key::Num(op.id.0), op.op, op.us)).collect();
        for op in &stall.ops {
            let key = Key::Num(op.id.0);
            if !self.open.contains_key(&key) {
                let since = at.map(|t| t - Micros::try_from(op.us).unwrap_or(0));
                let call = Call { asynchronous: true, ..Call::new(key, op.op) };
                self.enter(Box::new(call), since, place);
            }
        }
    }

    fn interrupted(&mut self, unique: u64, id: Option<u64>) {
        let is_it = |open: &Glance| open.unique == Some(unique) || id.is_some_and(|id| open.key == Key::Num(id));
        let key = self.open.glances().find(is_it).map(|open| open.key);
        if let Some(open) = key.and_then(|key| self.open.get_mut(&key)) {
            open.interrupted = true;
        }
    }
}

/// fsd parks what must wait, so a later ENTER on the same thread proves nothing.
fn call(enter: &Enter<'_>) -> Call {
    Call {
        thread: (!enter.thread.is_empty()).then(|| (&*enter.thread).into()),
        tid: Some(enter.tid),
        pid: Some(enter.pid),
        ino: Some(enter.ino.0),
        fh: enter.fh.map(|fh| fh.0),
        path: enter.path.as_deref().map(Into::into),
        off: enter.off,
        len: enter.len,
        unique: Some(enter.unique.0),
        resent: enter.resent,
        asynchronous: true,
        ..Call::new(Key::Num(enter.id.0), enter.op)
    }
}

fn done(exit: &Exit) -> Done {
    Done {
        key: Key::Num(exit.id.0),
        op: Some(exit.op),
        us: Some(exit.us),
        errno: Some(exit.errno),
        bytes: Some(exit.bytes),
    }
}
