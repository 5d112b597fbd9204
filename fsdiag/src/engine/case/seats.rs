//! Seats: which operation, task or thread is one party, so that nobody waits for himself under another name.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use fsd_events::op::Op;

use super::{Case, OpenAt, Party, Who, kin::plain};
use crate::engine::{model::hash::NumberMap, stacks::doing::Doing};

/// The threads of each number: a dump may have tens of thousands.
type Numbered = NumberMap<u64, Vec<usize>>;

/// The open operations on each path, in order, for a dump may name a path in each of its threads.
type OnPaths<'m> = HashMap<(Op, &'m str), VecDeque<usize>>;

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
        let dumps: BTreeSet<usize> = self.threads.iter().map(|t| t.dump).collect();
        // First the dumps whose threads are known by name or number: they tell whom the others show.
        let mut dumps: Vec<usize> = dumps.into_iter().collect();
        let mut on_paths = self.on_paths();
        let named = self.named(&mut on_paths);
        dumps.sort_by_key(|dump| std::cmp::Reverse(named.get(dump).copied()));
        let mut numbered = Numbered::default();
        (0..self.threads.len()).for_each(|at| numbered.entry(self.threads[at].thread.number).or_default().push(at));
        for dump in dumps {
            self.seat_dump(dump, &numbered, on_paths.clone());
        }
    }

    /// How many threads of each dump are known.
    fn named(&self, on_paths: &mut OnPaths<'m>) -> BTreeMap<usize, usize> {
        let none = BTreeSet::new();
        let known = |at: &usize| self.op_with_key(*at).or_else(|| self.op_on_thread(*at));
        let mut named = BTreeMap::new();
        for at in 0..self.threads.len() {
            let op = known(&at).or_else(|| self.op_on_path(at, &none, on_paths));
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

    fn seat_dump(&mut self, dump: usize, numbered: &Numbered, mut on_paths: OnPaths<'m>) {
        let of_dump: Vec<usize> = (0..self.threads.len()).filter(|at| self.threads[*at].dump == dump).collect();
        let mut taken: BTreeSet<usize> = BTreeSet::new();
        let mut free: Vec<usize> = Vec::new();
        for at in self.blamed_first(of_dump) {
            let known = self.op_with_key(at).or_else(|| self.op_on_thread(at));
            let known =
                known.or_else(|| self.op_on_path(at, &taken, &mut on_paths)).or_else(|| self.op_of_twin(at, numbered));
            match known.filter(|op| !taken.contains(op)) {
                Some(op) => {
                    taken.insert(op);
                    self.sit(at, op);
                }
                None => free.push(at),
            }
        }
        let kinds: Vec<Option<Op>> = free.iter().map(|at| self.threads[*at].op.map(|(_, op)| op)).collect();
        // Where some of a kind wait for one thing and some for another, it does matter; who waits for a lock came later.
        let mut does: BTreeMap<Op, BTreeSet<Doing>> = BTreeMap::new();
        for (at, kind) in free.iter().zip(&kinds) {
            let doing = self.threads[*at].doing;
            kind.filter(|_| doing != Doing::Lock).map(|kind| does.entry(kind).or_default().insert(doing));
        }
        does.retain(|kind, doings| doings.len() > 1 && self.free_ops(*kind, &taken).nth(1).is_some());
        for (at, kind) in free.into_iter().zip(&kinds) {
            let ops = kind.filter(|kind| !does.contains_key(kind));
            let ops: Vec<usize> = ops.map(|kind| self.free_ops(kind, &taken).collect()).unwrap_or_default();
            // Which of several alike is which does not matter, so long as there is one for each.
            match ops.first().filter(|_| {
                ops.len() >= kinds.iter().filter(|k| *k == kind).count() || !taken.is_empty() || self.is_blamed(at)
            }) {
                Some(op) => {
                    taken.insert(*op);
                    self.sit(at, *op);
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

    fn free_ops<'c>(&'c self, kind: Op, taken: &'c BTreeSet<usize>) -> impl Iterator<Item = usize> + 'c {
        (0..self.ops.len()).filter(move |op| !taken.contains(op) && plain(self.ops[*op].open.op()) == plain(kind))
    }

    fn op_with_key(&self, at: usize) -> Option<usize> {
        let (key, kind) = self.threads[at].op?;
        let key = key?;
        self.ops.iter().position(|o| o.open.key() == key && o.open.op() == kind)
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

    fn op_on_thread(&self, at: usize) -> Option<usize> {
        let thread = self.threads[at].thread;
        let tid = u32::try_from(thread.number).ok().filter(|tid| *tid > 0);
        let name = thread.name.as_deref();
        let on = |o: &OpenAt<'_>| {
            let call = &o.open.call;
            let named = !call.asynchronous && name.is_some() && call.thread.as_deref() == name;
            !call.asynchronous && tid.is_some() && call.tid == tid || named
        };
        self.ops.iter().position(on)
    }
}

/// Paths among arguments, but for the root, which many work on.
fn quoted_paths(args: &str) -> impl Iterator<Item = &str> {
    args.split('"').skip(1).step_by(2).filter(|text| text.len() > 1 && text.starts_with('/'))
}
