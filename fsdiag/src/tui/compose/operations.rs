//! Open operations as a tree of who waits for whom, the worst first.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::moment::Moment;
use crate::{
    engine::{
        fact::Key,
        model::ops::OpenOp,
        report::{Orphan, Report},
    },
    tui::picture::{Operation, Rank},
};

/// From here on an open operation counts as slow, microseconds.
const SLOW_US: u64 = 1_000_000;

/// A party of the tree and whom it waits for.
struct Node {
    row: Operation,
    parent: Option<Name>,
}

/// Daemons give out the same numbers: which life, and the number there.
type Name = (usize, String);

/// Roots by the worst rank of their tree, then by age; whoever waits stands below whom it waits for.
pub(super) fn tree(report: &Report, moments: &[Moment<'_>]) -> Vec<Operation> {
    let (ranks, open) = (Ranks::of(report), open(report, moments));
    let mut nodes: HashMap<Name, Node> = HashMap::new();
    for orphan in &report.orphans {
        let known = open.get(&(orphan.input.as_str(), orphan.line, orphan.id.clone())).copied();
        // What no log tells stands for itself.
        let life = known.map_or(moments.len() + nodes.len(), |known| known.0);
        nodes.insert((life, orphan.id.clone()), operation(orphan, known, moments, &ranks));
    }
    for (life, moment) in moments.iter().enumerate() {
        tasks(life, moment, &ranks).into_iter().for_each(|(name, node)| _ = nodes.entry(name).or_insert(node));
    }
    Forest::of(nodes).rows()
}

/// A request, and the life that tells of it.
type Known<'a> = (usize, &'a OpenOp);

/// What is open, by where it stands and the id that the report gives it.
fn open<'a>(report: &'a Report, moments: &'a [Moment<'a>]) -> HashMap<(&'a str, u64, String), Known<'a>> {
    let input = |op: &OpenOp| report.inputs.get(usize::from(op.place.input.0)).map_or("", |input| input.path.as_str());
    let named = |op: &OpenOp| (input(op), op.place.line, op.key().to_string());
    let lives = moments.iter().enumerate();
    lives.flat_map(|(life, moment)| moment.session.judged().map(move |op| (named(op), (life, op)))).collect()
}

fn operation(orphan: &Orphan, known: Option<Known<'_>>, moments: &[Moment<'_>], ranks: &Ranks<'_>) -> Node {
    let age_us = (orphan.age_s.unwrap_or(0.0) * 1e6) as u64;
    let id = orphan.id.parse::<u64>().ok();
    let at = known.zip(id).map(|((life, _), id)| (life, &moments[life], id));
    let thread = known.and_then(|(_, op)| op.call.thread.as_deref()).unwrap_or("");
    let row = Operation {
        id: orphan.id.clone(),
        daemon: orphan.daemon.clone().unwrap_or_default(),
        op: orphan.op.clone(),
        rank: ranks.rank(Some(orphan.daemon.as_deref()), &orphan.id, age_us),
        age_us,
        thread: thread.to_owned(),
        path: orphan.path.clone().unwrap_or_default(),
        waits: at.map(|(_, moment, id)| moment.waits(id)).unwrap_or_default(),
        depth: 0,
        place: if orphan.line == 0 { String::new() } else { format!("{}:{}", orphan.input, orphan.line) },
    };
    Node { row, parent: at.and_then(|(life, moment, id)| parent(life, moment, id)) }
}

/// The first that it waits for.
fn parent(life: usize, moment: &Moment<'_>, id: u64) -> Option<Name> {
    moment.waits_for(id).first().map(|other| (life, other.to_string()))
}

/// Tasks that somebody waits for, directly or through another, or that a verdict names.
fn tasks(life: usize, moment: &Moment<'_>, ranks: &Ranks<'_>) -> BTreeMap<Name, Node> {
    let number = |op: &OpenOp| match op.key() {
        Key::Num(id) => Some(id),
        _ => None,
    };
    let mut wanted: Vec<u64> = moment.session.judged().filter_map(number).collect();
    wanted.extend(ranks.culprits.iter().filter_map(|(_, id)| id.parse::<u64>().ok()));
    let mut seen: HashSet<u64> = HashSet::new();
    let mut found = BTreeMap::new();
    while let Some(id) = wanted.pop() {
        if !seen.insert(id) {
            continue;
        }
        wanted.extend(moment.waits_for(id));
        if let Some(task) = moment.task(id).filter(|task| task.ended.is_none()) {
            let name = id.to_string();
            let row = Operation {
                id: name.clone(),
                op: task.kind.name().to_owned(),
                rank: ranks.rank(None, &name, 0),
                age_us: moment.since(task.since).unwrap_or(0),
                path: task.path.as_deref().unwrap_or("").to_owned(),
                waits: moment.waits(id),
                ..Operation::default()
            };
            found.insert((life, name), Node { row, parent: parent(life, moment, id) });
        }
    }
    found
}

/// Whom the verdicts name, with the daemon where there are several.
struct Ranks<'a> {
    culprits: HashSet<(Option<&'a str>, &'a str)>,
    waiters: HashSet<(Option<&'a str>, &'a str)>,
}

impl<'a> Ranks<'a> {
    fn of(report: &'a Report) -> Self {
        let verdicts = &report.verdicts;
        let culprits = verdicts.iter().filter_map(|verdict| verdict.culprit.as_ref());
        let waiters = verdicts.iter().flat_map(|verdict| &verdict.waiters);
        Self {
            culprits: culprits.filter_map(|one| Some((one.daemon.as_deref(), one.id.as_deref()?))).collect(),
            waiters: waiters.filter_map(|one| Some((one.daemon.as_deref(), one.id.as_deref()?))).collect(),
        }
    }

    /// `daemon`: None where it is not known which of them it is of.
    fn rank(&self, daemon: Option<Option<&str>>, id: &str, age_us: u64) -> Rank {
        let named = |all: &HashSet<(Option<&str>, &str)>| match daemon {
            Some(daemon) => all.contains(&(daemon, id)),
            None => all.iter().any(|(_, other)| *other == id),
        };
        match () {
            () if named(&self.culprits) => Rank::Culprit,
            () if named(&self.waiters) => Rank::Victim,
            () if age_us >= 10 * SLOW_US => Rank::Orphan,
            () if age_us >= SLOW_US => Rank::Slow,
            () => Rank::Normal,
        }
    }
}

/// The nodes with their children, and the order of the roots.
struct Forest {
    nodes: HashMap<Name, Node>,
    children: HashMap<Name, Vec<Name>>,
    rows: Vec<Operation>,
}

impl Forest {
    fn of(nodes: HashMap<Name, Node>) -> Self {
        let mut children: HashMap<Name, Vec<Name>> = HashMap::new();
        for (id, node) in &nodes {
            if let Some(parent) = node.parent.as_ref().filter(|parent| nodes.contains_key(*parent)) {
                children.entry(parent.clone()).or_default().push(id.clone());
            }
        }
        Self { nodes, children, rows: Vec::new() }
    }

    fn rows(mut self) -> Vec<Operation> {
        let is_child = |node: &Node| node.parent.as_ref().is_some_and(|parent| self.nodes.contains_key(parent));
        let mut roots: Vec<(Rank, std::cmp::Reverse<u64>, Name)> = Vec::new();
        for (id, node) in self.nodes.iter().filter(|(_, node)| !is_child(node)) {
            roots.push((self.worst(id, &mut HashSet::new()), std::cmp::Reverse(node.row.age_us), id.clone()));
        }
        roots.sort();
        let mut drawn = HashSet::new();
        roots.iter().for_each(|(.., id)| self.draw(id, 0, &mut drawn));
        // Those who wait for each other have no root: the worst of them is taken for it.
        let mut rest: Vec<_> = self.nodes.iter().filter(|(id, _)| !drawn.contains(*id)).map(order).collect();
        rest.sort();
        rest.iter().for_each(|(.., id)| self.draw(id, 0, &mut drawn));
        self.rows
    }

    fn worst(&self, id: &Name, seen: &mut HashSet<Name>) -> Rank {
        if !seen.insert(id.clone()) {
            return Rank::Normal;
        }
        let below = self.children.get(id).into_iter().flatten().map(|child| self.worst(child, seen)).min();
        below.unwrap_or_default().min(self.nodes.get(id).map(|node| node.row.rank).unwrap_or_default())
    }

    fn draw(&mut self, id: &Name, depth: u16, drawn: &mut HashSet<Name>) {
        if !drawn.insert(id.clone()) {
            return;
        }
        if let Some(node) = self.nodes.get(id) {
            self.rows.push(Operation { depth, ..node.row.clone() });
        }
        let children = self.children.get(id).into_iter().flatten();
        let mut children: Vec<_> = children.filter_map(|id| self.nodes.get_key_value(id)).map(order).collect();
        children.sort();
        // A chain deeper than any screen is drawn flat, so that its depth cannot exhaust the stack.
        let below = depth.saturating_add(1);
        children.iter().filter(|_| below < 64).for_each(|(.., child)| self.draw(child, below, drawn));
    }
}

fn order((id, node): (&Name, &Node)) -> (Rank, std::cmp::Reverse<u64>, Name) {
    (node.row.rank, std::cmp::Reverse(node.row.age_us), id.clone())
}
