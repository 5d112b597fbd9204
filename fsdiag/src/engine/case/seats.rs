//! Seats: which operation, task or thread is one party, so that nobody waits for himself under another name.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use fsd_events::op::Op;

use super::{Case, OpenAt, Party, Who, kin::plain};
use crate::engine::{
    fact::{Key, Thread},
    model::hash::NumberMap,
    stacks::doing::Doing,
    threads::Seen,
};

/// The threads of each number: a dump may have tens of thousands.
type Numbered = NumberMap<u64, Vec<usize>>;

/// The open operations on each path, in order, for a dump may name a path in each of its threads.
type OnPaths<'m> = HashMap<(Op, &'m str), VecDeque<usize>>;

/// The first open operation of each number and of each thread: a dump may have as many threads as there are requests.
struct Known<'m> {
    keys: HashMap<(Key, Op), usize>,
    tids: HashMap<u32, usize>,
    names: HashMap<&'m str, usize>,
}

impl<'m> Known<'m> {
    fn of(ops: &[OpenAt<'m>], threads: &[Seen<'m>]) -> Self {
        let mut known = Self { keys: HashMap::new(), tids: HashMap::new(), names: HashMap::new() };
        // Of a crowd a dump names few.
        let named: HashSet<(Key, Op)> =
            threads.iter().filter_map(|seen| seen.op.and_then(|(key, op)| Some((key?, op)))).collect();
        for (at, op) in ops.iter().enumerate() {
            let name = (op.open.key(), op.open.op());
            if named.contains(&name) {
                known.keys.entry(name).or_insert(at);
            }
            let call = &op.open.call;
            if !call.asynchronous {
                call.tid.into_iter().for_each(|tid| _ = known.tids.entry(tid).or_insert(at));
                call.thread.as_deref().into_iter().for_each(|name| _ = known.names.entry(name).or_insert(at));
            }
        }
        known
    }

    /// The operation that a dump itself says a thread serves, or that runs on it.
    fn op_of(&self, seen: &Seen<'_>) -> Option<usize> {
        let by_key = seen.op.and_then(|(key, op)| self.keys.get(&(key?, op)));
        by_key.copied().or_else(|| self.on_thread(seen.thread))
    }

    fn on_thread(&self, thread: &Thread) -> Option<usize> {
        let tid = u32::try_from(thread.number).ok().filter(|tid| *tid > 0);
        let by_tid = tid.and_then(|tid| self.tids.get(&tid));
        let by_name = thread.name.as_deref().and_then(|name| self.names.get(name));
        by_tid.into_iter().chain(by_name).min().copied()
    }
}

impl<'m> Case<'m> {
    pub(super) fn seat(&mut self) {
        self.parties = (0..self.ops.len()).map(|op| Party { who: Who::Op(op), thread: None }).collect();
        for (life, l) in self.lives.iter().enumerate() {
            let tasks = l.session.tasks.iter();
            let parties = tasks.map(|(id, task)| Party { who: Who::Task { life, id: *id, task }, thread: None });
            self.parties.extend(parties);
        }
        self.seat_threads();
    }

    /// A thread is the same party as the operation that it serves, and as the same thread in another dump.
    fn seat_threads(&mut self) {
        self.seats = vec![usize::MAX; self.threads.len()];
        if self.threads.is_empty() {
            return;
        }
        let dumps: BTreeSet<usize> = self.threads.iter().map(|t| t.dump).collect();
        // First the dumps whose threads are known by name or number: they tell whom the others show.
        let mut dumps: Vec<usize> = dumps.into_iter().collect();
        let mut on_paths = self.on_paths();
        let known = Known::of(&self.ops, &self.threads);
        let named = self.named(&known, &mut on_paths);
        dumps.sort_by_key(|dump| std::cmp::Reverse(named.get(dump).copied()));
        let mut numbered = Numbered::default();
        (0..self.threads.len()).for_each(|at| numbered.entry(self.threads[at].thread.number).or_default().push(at));
        for dump in dumps {
            self.seat_dump(dump, (&known, &numbered), on_paths.clone());
        }
    }

    /// How many threads of each dump are known.
    fn named(&self, known: &Known<'m>, on_paths: &mut OnPaths<'m>) -> BTreeMap<usize, usize> {
        let none = BTreeSet::new();
        let mut named = BTreeMap::new();
        for at in 0..self.threads.len() {
            let op = known.op_of(&self.threads[at]).or_else(|| self.op_on_path(at, &none, on_paths));
            *named.entry(self.threads[at].dump).or_default() += usize::from(op.is_some());
        }
        named
    }

    fn on_paths(&self) -> OnPaths<'m> {
        let mut on_paths = OnPaths::new();
        for (at, op) in self.ops.iter().enumerate() {
            if let Some(path) = op.open.call.path.as_deref() {
                on_paths.entry((plain(op.open.op()), path)).or_default().push_back(at);
            }
        }
        on_paths
    }

    fn seat_dump(&mut self, dump: usize, (known, numbered): (&Known<'m>, &Numbered), mut on_paths: OnPaths<'m>) {
        let of_dump: Vec<usize> = (0..self.threads.len()).filter(|at| self.threads[*at].dump == dump).collect();
        let mut taken: BTreeSet<usize> = BTreeSet::new();
        let mut free: Vec<usize> = Vec::new();
        for at in self.blamed_first(of_dump) {
            let op = known.op_of(&self.threads[at]).or_else(|| self.op_on_path(at, &taken, &mut on_paths));
            match op.or_else(|| self.op_of_twin(at, numbered)).filter(|op| !taken.contains(op)) {
                Some(op) => {
                    taken.insert(op);
                    self.sit(at, op);
                }
                None => free.push(at),
            }
        }
        self.seat_alike(&free, &taken, numbered);
    }

    /// Threads of which only the kind is known, among the operations that nobody has taken.
    fn seat_alike(&mut self, free: &[usize], taken: &BTreeSet<usize>, numbered: &Numbered) {
        let mut left: BTreeMap<Op, VecDeque<usize>> = BTreeMap::new();
        for op in (0..self.ops.len()).filter(|op| !taken.contains(op)) {
            left.entry(plain(self.ops[op].open.op())).or_default().push_back(op);
        }
        let kind_of = |case: &Self, at: usize| case.threads[at].op.map(|(_, op)| op);
        let mut alike: BTreeMap<Op, usize> = BTreeMap::new();
        // Where some of a kind wait for one thing and some for another, it does matter; who waits for a lock came later.
        let mut does: BTreeMap<Op, BTreeSet<Doing>> = BTreeMap::new();
        for at in free {
            let (Some(kind), doing) = (kind_of(self, *at), self.threads[*at].doing) else { continue };
            *alike.entry(kind).or_default() += 1;
            if doing != Doing::Lock {
                does.entry(kind).or_default().insert(doing);
            }
        }
        does.retain(|kind, doings| doings.len() > 1 && left.get(&plain(*kind)).is_some_and(|ops| ops.len() > 1));
        let mut any = !taken.is_empty();
        for at in free.iter().copied() {
            let kind = kind_of(self, at).filter(|kind| !does.contains_key(kind));
            let ops = kind.and_then(|kind| Some((left.get_mut(&plain(kind))?, alike[&kind])));
            // Which of several alike is which does not matter, so long as there is one for each.
            let enough = |ops: usize, alike: usize| ops >= alike || any || self.is_blamed(at);
            match ops.and_then(|(ops, alike)| if enough(ops.len(), alike) { ops.pop_front() } else { None }) {
                Some(op) => {
                    any = true;
                    self.sit(at, op);
                }
                None => self.sit_alone(at, numbered),
            }
        }
    }

    /// Of several alike, the one that a dump blames is the one that came first.
    fn blamed_first(&self, mut threads: Vec<usize>) -> Vec<usize> {
        threads.sort_by_key(|at| !self.is_blamed(*at));
        threads
    }

    fn is_blamed(&self, at: usize) -> bool {
        self.proofs.iter().any(|(first, proof)| first + proof.culprit == at)
    }

    fn sit(&mut self, thread: usize, party: usize) {
        self.seats[thread] = party;
        self.parties[party].thread.get_or_insert(thread);
    }

    fn sit_alone(&mut self, at: usize, numbered: &Numbered) {
        let stands_for = |twin: usize| {
            let party = self.seats[twin];
            self.parties.get(party).filter(|p| p.thread == Some(twin)).map(|_| party)
        };
        let known = self.twins(at, numbered).filter_map(stands_for).min();
        match known {
            Some(party) => self.seats[at] = party,
            None => {
                self.parties.push(Party { who: Who::Thread(at), thread: Some(at) });
                self.seats[at] = self.parties.len() - 1;
            }
        }
    }

    /// The operation on the path that a callback was called with, as gdb shows it. A library with paths asks for the
    /// attributes of what it looks up. What is taken stays so, and is not looked at again.
    fn op_on_path(&self, at: usize, taken: &BTreeSet<usize>, on_paths: &mut OnPaths<'m>) -> Option<usize> {
        let (_, kind) = self.threads[at].op?;
        let frames = &self.threads[at].thread.frames;
        let named: Vec<&'m str> = frames.iter().flat_map(|frame| quoted_paths(&frame.args)).collect();
        let mut first_of = |kind: Op| {
            let free = named.iter().filter_map(|path| {
                let ops = on_paths.get_mut(&(plain(kind), *path))?;
                while ops.front().is_some_and(|op| taken.contains(op)) {
                    ops.pop_front();
                }
                ops.front().copied()
            });
            free.min()
        };
        first_of(kind).or_else(|| (kind == Op::Getattr).then(|| first_of(Op::Lookup))?)
    }

    /// The operation of the same thread in a dump of another tool.
    fn op_of_twin(&self, at: usize, numbered: &Numbered) -> Option<usize> {
        let mut seats = self.twins(at, numbered).map(|twin| self.seats[twin]);
        seats.find(|seat| *seat < self.ops.len())
    }

    /// The threads of the same number in other dumps.
    fn twins<'c>(&'c self, at: usize, numbered: &'c Numbered) -> impl Iterator<Item = usize> + 'c {
        let own = &self.threads[at];
        let same = numbered.get(&own.thread.number).filter(|_| own.thread.number > 1);
        same.into_iter().flatten().copied().filter(|twin| self.threads[*twin].dump != own.dump)
    }
}

/// Paths among arguments, but for the root, which many work on.
fn quoted_paths(args: &str) -> impl Iterator<Item = &str> {
    args.split('"').skip(1).step_by(2).filter(|text| text.len() > 1 && text.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use fsd_events::op::Op;

    use super::*;
    use crate::engine::{
        fact::{At, Call, Dump, Fact, Frame, Place, Sink as _, What},
        model::{Limits, Model, Now},
    };

    fn model(calls: Vec<Call>, threads: Vec<Thread>) -> Model {
        let mut model = Model::new(Limits::default());
        let input = model.input("log");
        let enters = calls.into_iter().map(|call| What::Enter(Box::new(call)));
        let dump = Dump { format: "gdb".into(), threads, ..Dump::default() };
        for (what, line) in enters.chain([What::Dump(Box::new(dump))]).zip(1..) {
            model.fact(Fact { place: Place { input, line, part: 0 }, at: At::default(), what });
        }
        model
    }

    fn thread(number: u64, op: Op) -> Thread {
        Thread { label: format!("thread {number}").into(), number, op: Some((None, op)), ..Thread::default() }
    }

    #[test]
    fn a_thread_is_the_request_that_it_serves_by_number_name_path_or_kind() {
        let call = |id: u64, op: Op| Call::new(Key::Num(id), op);
        let calls = vec![
            Call { path: Some("/a".into()), ..call(1, Op::Read) },
            Call { path: Some("/b".into()), ..call(2, Op::Read) },
            Call { tid: Some(30), ..call(3, Op::Open) },
            Call { thread: Some("fuse-4".into()), ..call(4, Op::Open) },
            call(5, Op::Getattr),
            call(6, Op::Release),
            Call { tid: Some(70), asynchronous: true, ..call(7, Op::Open) },
        ];
        let frame = |path: &str| vec![Frame { args: format!("p=\"{path}\"").into(), ..Frame::default() }];
        let threads = vec![
            Thread { frames: frame("/b"), ..thread(20, Op::Read) },
            thread(30, Op::Open),
            Thread { name: Some("fuse-4".into()), ..thread(40, Op::Open) },
            thread(50, Op::Getattr),
            Thread { op: Some((Some(Key::Num(6)), Op::Release)), ..thread(60, Op::Release) },
            thread(70, Op::Lookup),
        ];
        let model = model(calls, threads);
        let case = Case::new(&model, Now::default());
        let seated = |at: usize| case.op_of(case.seats[at]).map(|op| case.ops[op].open.key());
        let expected = [Some(2), Some(3), Some(4), Some(5), Some(6), None].map(|id: Option<u64>| id.map(Key::Num));
        assert_eq!((0..6).map(seated).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn as_many_threads_as_requests_are_seated_at_once() {
        // Looked up one by one these would take a minute.
        const MANY: u64 = 20_000;
        let calls = (1..=MANY).map(|id| Call { tid: Some(id as u32), ..Call::new(Key::Num(id), Op::Open) });
        let of_kind = (1..=MANY).map(|id| Call::new(Key::Num(MANY + id), Op::Release));
        let threads =
            (1..=MANY).map(|id| thread(id, Op::Open)).chain((1..=MANY).map(|id| thread(MANY + id, Op::Release)));
        let model = model(calls.chain(of_kind).collect(), threads.collect());
        let mut case = Case::new(&model, Now::default());
        case.seat();
        assert!((0..case.threads.len()).all(|at| case.op_of(case.seats[at]).is_some()));
    }
}
