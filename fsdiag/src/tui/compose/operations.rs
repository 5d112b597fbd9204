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
    parent: Option<String>,
}

/// Roots by the worst rank of their tree, then by age; whoever waits stands below whom it waits for.
pub(super) fn tree(report: &Report, moments: &[Moment<'_>]) -> Vec<Operation> {
    let (ranks, open) = (Ranks::of(report), open(moments));
    let mut nodes: HashMap<String, Node> = HashMap::new();
    for orphan in &report.orphans {
        let known = open.get(orphan.id.as_str()).copied();
        nodes.insert(orphan.id.clone(), operation(orphan, known, &ranks));
    }
    for (id, node) in moments.iter().flat_map(|moment| tasks(moment, &ranks)) {
        nodes.entry(id).or_insert(node);
    }
    Forest::of(nodes).rows()
}

type Known<'a> = (&'a Moment<'a>, &'a OpenOp);

/// What is open, by the id that the report gives it.
fn open<'a>(moments: &'a [Moment<'a>]) -> HashMap<String, Known<'a>> {
    let each = |moment: &'a Moment<'a>| moment.session.judged().map(move |op| (op.key().to_string(), (moment, op)));
    moments.iter().flat_map(each).collect()
}

fn operation(orphan: &Orphan, known: Option<Known<'_>>, ranks: &Ranks<'_>) -> Node {
    let age_us = (orphan.age_s.unwrap_or(0.0) * 1e6) as u64;
    let id = orphan.id.parse::<u64>().ok();
    let at = known.zip(id).map(|((moment, _), id)| (moment, id));
    let thread = known.and_then(|(_, op)| op.call.thread.as_deref()).unwrap_or("");
    let row = Operation {
        id: orphan.id.clone(),
        op: orphan.op.clone(),
        rank: ranks.rank(&orphan.id, age_us),
        age_us,
        thread: thread.to_owned(),
        path: orphan.path.clone().unwrap_or_default(),
        waits: at.map(|(moment, id)| moment.waits(id)).unwrap_or_default(),
        depth: 0,
        place: if orphan.line == 0 { String::new() } else { format!("{}:{}", orphan.input, orphan.line) },
    };
    Node { row, parent: at.and_then(|(moment, id)| parent(moment, id)) }
}

/// The first that it waits for.
fn parent(moment: &Moment<'_>, id: u64) -> Option<String> {
    moment.waits_for(id).first().map(u64::to_string)
}

/// Tasks that somebody waits for, directly or through another, or that a verdict names.
fn tasks(moment: &Moment<'_>, ranks: &Ranks<'_>) -> BTreeMap<String, Node> {
    let number = |op: &OpenOp| match op.key() {
        Key::Num(id) => Some(id),
        _ => None,
    };
    let mut wanted: Vec<u64> = moment.session.judged().filter_map(number).collect();
    wanted.extend(ranks.culprits.iter().filter_map(|id| id.parse::<u64>().ok()));
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
                rank: ranks.rank(&name, 0),
                age_us: moment.since(task.since).unwrap_or(0),
                path: task.path.as_deref().unwrap_or("").to_owned(),
                waits: moment.waits(id),
                ..Operation::default()
            };
            found.insert(name, Node { row, parent: parent(moment, id) });
        }
    }
    found
}

/// Whom the verdicts name.
struct Ranks<'a> {
    culprits: HashSet<&'a str>,
    waiters: HashSet<&'a str>,
}

impl<'a> Ranks<'a> {
    fn of(report: &'a Report) -> Self {
        let verdicts = &report.verdicts;
        Self {
            culprits: verdicts.iter().filter_map(|verdict| verdict.culprit.as_ref()?.id.as_deref()).collect(),
            waiters: verdicts.iter().flat_map(|v| &v.waiters).filter_map(|waiter| waiter.id.as_deref()).collect(),
        }
    }

    fn rank(&self, id: &str, age_us: u64) -> Rank {
        match () {
            () if self.culprits.contains(id) => Rank::Culprit,
            () if self.waiters.contains(id) => Rank::Victim,
            () if age_us >= 10 * SLOW_US => Rank::Orphan,
            () if age_us >= SLOW_US => Rank::Slow,
            () => Rank::Normal,
        }
    }
}

/// The nodes with their children, and the order of the roots.
struct Forest {
    nodes: HashMap<String, Node>,
    children: HashMap<String, Vec<String>>,
    rows: Vec<Operation>,
}

impl Forest {
    fn of(nodes: HashMap<String, Node>) -> Self {
        let mut children: HashMap<String, Vec<String>> = HashMap::new();
        for (id, node) in &nodes {
            if let Some(parent) = node.parent.as_ref().filter(|parent| nodes.contains_key(*parent)) {
                children.entry(parent.clone()).or_default().push(id.clone());
            }
        }
        Self { nodes, children, rows: Vec::new() }
    }

    fn rows(mut self) -> Vec<Operation> {
        let is_child = |node: &Node| node.parent.as_ref().is_some_and(|parent| self.nodes.contains_key(parent));
        let mut roots: Vec<(Rank, std::cmp::Reverse<u64>, String)> = Vec::new();
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

    fn worst(&self, id: &str, seen: &mut HashSet<String>) -> Rank {
        if !seen.insert(id.to_owned()) {
            return Rank::Normal;
        }
        let below = self.children.get(id).into_iter().flatten().map(|child| self.worst(child, seen)).min();
        below.unwrap_or_default().min(self.nodes.get(id).map(|node| node.row.rank).unwrap_or_default())
    }

    fn draw(&mut self, id: &str, depth: u16, drawn: &mut HashSet<String>) {
        if !drawn.insert(id.to_owned()) {
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

fn order((id, node): (&String, &Node)) -> (Rank, std::cmp::Reverse<u64>, String) {
    (node.row.rank, std::cmp::Reverse(node.row.age_us), id.clone())
}
