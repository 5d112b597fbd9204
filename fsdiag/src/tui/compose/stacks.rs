//! Threads of the newest dump by identical stack; the dump before tells what moved.

use std::collections::HashMap;

use crate::{
    engine::fact::{Dump, Place, Thread},
    tui::picture::{Moved, StackGroup},
};

/// Groups that serve a request or wait for a lock first, then the largest.
pub(super) fn groups(dumps: &[(Place, Box<Dump>, Option<u64>)]) -> Vec<StackGroup> {
    let Some((_, newest, _)) = dumps.last() else { return Vec::new() };
    // Of the same process: dumps of several may lie among the inputs.
    let before = dumps.iter().rev().skip(1).map(|(_, dump, _)| dump).find(|dump| dump.pid == newest.pid);
    let old: HashMap<u64, &Thread> = before.into_iter().flat_map(|d| &d.threads).map(|t| (t.number, t)).collect();
    let mut at: HashMap<(Vec<String>, Moved), usize> = HashMap::new();
    let mut groups: Vec<StackGroup> = Vec::new();
    for thread in &newest.threads {
        let frames = frames(thread);
        let moved = before.map_or(Moved::Unknown, |_| moved(thread, &frames, old.get(&thread.number).copied()));
        let index = *at.entry((frames.clone(), moved)).or_insert(groups.len());
        if index == groups.len() {
            groups.push(group(thread, moved, frames));
        }
        let group = &mut groups[index];
        group.threads.push(label(thread));
        group.threads.extend((1..thread.count).map(|_| label(thread)));
        group.waits = if group.waits.is_empty() { waits(thread) } else { std::mem::take(&mut group.waits) };
    }
    groups.extend(gone(&old, newest));
    groups.sort_by_key(|group| {
        let works = group.threads.iter().any(|thread| thread.contains('('));
        (group.moved == Moved::Gone, !works && group.waits.is_empty(), std::cmp::Reverse(group.threads.len()))
    });
    groups
}

fn group(thread: &Thread, moved: Moved, frames: Vec<String>) -> StackGroup {
    let state = thread.state.as_deref().unwrap_or("").to_owned();
    StackGroup { threads: Vec::new(), state, moved, frames, waits: waits(thread) }
}

fn gone<'a>(old: &'a HashMap<u64, &Thread>, newest: &'a Dump) -> impl Iterator<Item = StackGroup> {
    let there: std::collections::HashSet<u64> = newest.threads.iter().map(|thread| thread.number).collect();
    let mut gone: Vec<&&Thread> = old.values().filter(|thread| !there.contains(&thread.number)).collect();
    gone.sort_by_key(|thread| thread.number);
    let group =
        |thread: &&Thread| StackGroup { threads: vec![label(thread)], ..group(thread, Moved::Gone, frames(thread)) };
    gone.into_iter().map(group).collect::<Vec<_>>().into_iter()
}

/// `fuser-3`, with the operation that it serves in brackets.
fn label(thread: &Thread) -> String {
    let name = thread.name.as_deref().filter(|name| !name.is_empty()).unwrap_or(&thread.label);
    match &thread.op {
        Some((Some(key), op)) => format!("{name} ({op} {key})"),
        Some((None, op)) => format!("{name} ({op})"),
        None => name.to_owned(),
    }
}

fn waits(thread: &Thread) -> String {
    thread.waits_for.as_ref().map(|lock| lock.key.to_string()).unwrap_or_default()
}

fn frames(thread: &Thread) -> Vec<String> {
    thread.frames.iter().map(|frame| frame.function.to_string()).collect()
}

fn moved(thread: &Thread, frames_now: &[String], old: Option<&Thread>) -> Moved {
    match old {
        None => Moved::New,
        Some(old) if frames(old) == frames_now && old.op == thread.op => Moved::Same,
        Some(_) => Moved::Moved,
    }
}
