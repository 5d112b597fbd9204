//! Leaks: a log without threads and numbers of lines that loses ends now and then (rule R6). Each lost end leaves a
//! request open for ever; what tells them from requests that hang is that they are of many kinds and files, are spread
//! over the whole log, and that many of their kinds began and ended behind each of them.

use std::collections::BTreeSet;

use fsd_events::op::{Class, Op};

use super::case::{Case, OpenAt};

/// So many requests that ended behind it exonerate everything that it could hold.
const BEHIND: usize = 8;
/// Fewer of them, or of fewer kinds, may hang.
const FEWEST: usize = 5;
const KINDS: usize = 3;

/// The open requests of that life whose ends are lost; none where they may as well hang.
pub fn of(case: &Case<'_>, life: usize) -> Vec<usize> {
    let left: Vec<usize> = case.ops_of(life).iter().copied().filter(|op| is_left(case, *op)).collect();
    let op = |at: &usize| &case.ops[*at];
    let kinds: BTreeSet<Op> = left.iter().map(|at| op(at).open.op()).collect();
    let paths: BTreeSet<&str> = left.iter().filter_map(|at| op(at).open.call.path.as_deref()).collect();
    let entered = case.lives[life].session.entered.max(1);
    let quarters: BTreeSet<u64> = left.iter().map(|at| op(at).open.order * 4 / (entered + 1)).collect();
    let many = left.len() >= FEWEST && kinds.len() >= KINDS && (paths.is_empty() || paths.len() >= KINDS);
    if many && quarters.len() == 4 { left } else { Vec::new() }
}

fn is_left(case: &Case<'_>, op: usize) -> bool {
    let OpenAt { open, at, life, watched, .. } = case.ops[op];
    let quick = matches!(open.op().class(), Class::Metadata | Class::Handle | Class::Data);
    let told = watched || open.interrupted || open.phase.is_some();
    let stats = case.lives[life].session.stats.get(&open.op());
    let behind = stats.zip(at).map_or(0, |(stats, at)| stats.later_than(at));
    quick && !told && case.is_stuck(op) && behind >= BEHIND
}
