//! Who waits for whom: one graph from lock events and task waits; its cycles and its roots.

use std::collections::{BTreeMap, BTreeSet};

use fsd_events::event::{LockKind, LockMode, Phase, TaskKind};

use super::{
    case::{Case, Party, Who},
    fact::{Key, Place},
    model::{
        locks::{Lock, Use},
        ops::Micros,
    },
};

/// Parties as nodes, waits as edges.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    pub edges: Vec<Edge>,
    /// Places in `edges`, by who waits and by who is waited for: tens of thousands may wait for one lock.
    from: BTreeMap<usize, Vec<usize>>,
    to: BTreeMap<usize, Vec<usize>>,
    /// Locks whose holder is not in the data, with their waiters.
    pub ownerless: BTreeMap<Box<str>, Vec<usize>>,
}

/// `from` waits for `to`.
#[derive(Clone, Debug)]
pub struct Edge {
    pub from: usize,
    pub to: usize,
    pub why: Why,
    /// When that was last said.
    pub told: Option<Micros>,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    Lock {
        name: Box<str>,
        permit: bool,
        /// The holder shares it with other readers.
        shared: bool,
    },
    /// Bytes that a task delivers.
    Bytes,
    /// The end of a task.
    Join,
}

impl Graph {
    pub fn of(case: &mut Case<'_>) -> Self {
        let mut graph = Self::default();
        let lives = case.lives.len();
        let mut parties = Parties::of(case);
        for life in 0..lives {
            graph.locks(&mut parties, life);
            graph.tasks(&mut parties, life);
        }
        graph
    }

    pub fn out(&self, from: usize) -> impl Iterator<Item = &Edge> {
        self.from.get(&from).into_iter().flatten().map(|at| &self.edges[*at])
    }

    /// Everybody who waits for `root`, directly or through others; each once.
    pub fn behind(&self, root: usize) -> Vec<usize> {
        let mut seen = BTreeSet::from([root]);
        let mut open = vec![root];
        while let Some(at) = open.pop() {
            let waiters = self.to.get(&at).into_iter().flatten().map(|at| self.edges[*at].from);
            open.extend(waiters.filter(|waiter| seen.insert(*waiter)));
        }
        seen.remove(&root);
        seen.into_iter().collect()
    }

    /// Parties that are waited for and wait for nothing, most waiters first.
    pub fn roots(&self) -> Vec<usize> {
        let waited: BTreeSet<usize> = self.edges.iter().map(|e| e.to).collect();
        let mut roots: Vec<usize> = waited.into_iter().filter(|n| self.out(*n).next().is_none()).collect();
        roots.sort_by_key(|n| (std::cmp::Reverse(self.behind(*n).len()), *n));
        roots
    }

    /// Holders of locks that others wait for, who wait for no lock themselves, most waiters first. What else they
    /// wait for (a download, say) is what they should not have done with the lock held.
    pub fn lock_roots(&self) -> Vec<usize> {
        let is_lock = |edge: &&Edge| matches!(edge.why, Why::Lock { .. });
        let held: BTreeSet<usize> = self.edges.iter().filter(is_lock).map(|e| e.to).collect();
        let mut roots: Vec<usize> = held.into_iter().filter(|n| !self.out(*n).any(|e| is_lock(&e))).collect();
        roots.sort_by_key(|n| (std::cmp::Reverse(self.behind(*n).len()), *n));
        roots
    }

    /// Sets of parties that wait for each other and for nobody else who could free one of them; a self-wait counts.
    pub fn cycles(&self) -> Vec<Vec<usize>> {
        let mut open: Vec<BTreeSet<usize>> = vec![self.edges.iter().flat_map(|e| [e.from, e.to]).collect()];
        let mut found = Vec::new();
        while let Some(nodes) = open.pop() {
            for set in self.components(&nodes) {
                let bound: BTreeSet<usize> = set.iter().copied().filter(|n| !self.may_go_on(*n, &set)).collect();
                match bound.len() == set.len() {
                    true => found.push(set.into_iter().collect()),
                    false => open.push(bound),
                }
            }
        }
        found.sort();
        found
    }

    /// Any holder of a permit can give one back: who waits for one is free to go on as soon as one outside does.
    fn may_go_on(&self, party: usize, set: &BTreeSet<usize>) -> bool {
        self.out(party).any(|e| matches!(e.why, Why::Lock { permit: true, .. }) && !set.contains(&e.to))
    }

    /// The circles among these, by Tarjan's algorithm without recursion.
    fn components(&self, nodes: &BTreeSet<usize>) -> Vec<BTreeSet<usize>> {
        let mut tarjan = Tarjan::default();
        for node in nodes {
            tarjan.visit(*node, self, nodes);
        }
        let loops = |n: usize| self.out(n).any(|e| e.to == n);
        let circles = tarjan.found.into_iter().filter(|set| set.len() > 1 || loops(set[0]));
        circles.map(|set| set.into_iter().collect()).collect()
    }

    fn add(&mut self, edge: Edge) {
        if !self.out(edge.from).any(|e| e.to == edge.to && e.why == edge.why) {
            self.from.entry(edge.from).or_default().push(self.edges.len());
            self.to.entry(edge.to).or_default().push(self.edges.len());
            self.edges.push(edge);
        }
    }

    fn locks(&mut self, parties: &mut Parties<'_, '_>, life: usize) {
        let session = parties.case.lives[life].session;
        for (name, lock) in session.locks.iter() {
            let queued_writer = lock.waiters.values().any(|w| w.mode == LockMode::Write);
            for (waiter, wanted) in &lock.waiters {
                let from = parties.number(life, *waiter);
                for (holder, held, why) in blockers(name, lock, *waiter, wanted.mode, queued_writer) {
                    let to = parties.number(life, holder);
                    self.add(Edge { from, to, why, told: wanted.told.min(held.told), place: wanted.place });
                }
                if lock.holders.is_empty() {
                    self.ownerless.entry(name.into()).or_default().push(from);
                }
            }
        }
    }

    fn tasks(&mut self, parties: &mut Parties<'_, '_>, life: usize) {
        let session = parties.case.lives[life].session;
        for (op, wait) in &session.waits {
            if let Some(task) = wait.on {
                let (from, to) = (parties.number(life, *op), parties.number(life, task));
                self.add(Edge { from, to, why: Why::Bytes, told: wait.since, place: wait.place });
            }
        }
        for open in session.judged() {
            let Key::Num(id) = open.key() else { continue };
            let Some(phase) = open.phase.as_ref().filter(|p| p.phase == Phase::Close) else { continue };
            let joined = session.tasks.iter().find(|(_, t)| {
                let close = t.kind == TaskKind::Close && t.parent == Some(id);
                let download = t.kind == TaskKind::Download && t.ended.is_none();
                let same = t.fh.is_some() && t.fh == open.call.fh
                    || t.path.is_some() && t.path.as_deref() == open.call.path.as_deref();
                t.ended.is_none() && (close || download && same)
            });
            if let Some((task, _)) = joined {
                let (from, to) = (parties.number(life, id), parties.number(life, *task));
                self.add(Edge { from, to, why: Why::Join, told: phase.since, place: phase.place });
            }
        }
    }
}

/// The holders that keep a waiter out: readers do not keep readers out unless a writer is queued between them.
fn blockers<'l>(
    name: &'l str,
    lock: &'l Lock,
    waiter: u64,
    wanted: LockMode,
    queued_writer: bool,
) -> impl Iterator<Item = (u64, &'l Use, Why)> {
    let permit = lock.kind == LockKind::Permit;
    let blocks = move |(holder, held): &(&u64, &Use)| {
        let readers = held.mode == LockMode::Read && wanted == LockMode::Read;
        let own_permit = **holder == waiter && lock.holders.len() > 1;
        if permit { !own_permit } else { !readers || queued_writer }
    };
    lock.holders.iter().filter(blocks).map(move |(holder, held)| {
        let shared = !permit && held.mode == LockMode::Read;
        (*holder, held, Why::Lock { name: name.into(), permit, shared })
    })
}

/// The parties of a case, found by life and id.
struct Parties<'a, 'c> {
    case: &'a mut Case<'c>,
    numbers: BTreeMap<(usize, u64), usize>,
}

impl<'a, 'c> Parties<'a, 'c> {
    fn of(case: &'a mut Case<'c>) -> Self {
        let mut numbers = BTreeMap::new();
        for (n, party) in case.parties.iter().enumerate() {
            let known = match party.who {
                Who::Op(op) => match case.ops[op].open.key() {
                    Key::Num(id) => Some((case.ops[op].life, id)),
                    _ => None,
                },
                Who::Task { life, id, .. } | Who::Ended { life, id } => Some((life, id)),
                Who::Thread(_) => None,
            };
            if let Some(known) = known {
                numbers.entry(known).or_insert(n);
            }
        }
        Self { case, numbers }
    }

    /// The party of an id of a run; one is made for an id that is not open.
    fn number(&mut self, life: usize, id: u64) -> usize {
        let parties = &mut self.case.parties;
        *self.numbers.entry((life, id)).or_insert_with(|| {
            parties.push(Party { who: Who::Ended { life, id }, thread: None });
            parties.len() - 1
        })
    }
}

#[derive(Default)]
struct Tarjan {
    index: BTreeMap<usize, usize>,
    low: BTreeMap<usize, usize>,
    stack: Vec<usize>,
    found: Vec<Vec<usize>>,
}

impl Tarjan {
    fn visit(&mut self, start: usize, graph: &Graph, among: &BTreeSet<usize>) {
        if self.index.contains_key(&start) {
            return;
        }
        let next = |n: usize| graph.out(n).map(|e| e.to).filter(|to| among.contains(to)).collect::<Vec<_>>();
        let mut work = vec![(start, next(start), 0)];
        self.enter(start);
        while let Some((node, targets, at)) = work.last_mut() {
            let node = *node;
            let Some(target) = targets.get(*at).copied() else {
                work.pop();
                self.leave(node, work.last().map(|w| w.0));
                continue;
            };
            *at += 1;
            if !self.index.contains_key(&target) {
                self.enter(target);
                work.push((target, next(target), 0));
            } else if self.stack.contains(&target) {
                let low = self.low[&node].min(self.index[&target]);
                self.low.insert(node, low);
            }
        }
    }

    fn enter(&mut self, node: usize) {
        let index = self.index.len();
        self.index.insert(node, index);
        self.low.insert(node, index);
        self.stack.push(node);
    }

    fn leave(&mut self, node: usize, parent: Option<usize>) {
        if let Some(parent) = parent {
            let low = self.low[&parent].min(self.low[&node]);
            self.low.insert(parent, low);
        }
        if self.low[&node] == self.index[&node] {
            let from = self.stack.iter().rposition(|n| *n == node).unwrap_or(0);
            self.found.push(self.stack.split_off(from));
        }
    }
}
