//! From the engine's model and the trace to a picture.

use std::collections::HashSet;

use hdrhistogram::Histogram;

use super::{
    picture::{Act, Latency, Lock, Moved, Operation, Picture, Rank, Source, StackGroup, Verdict},
    trace::Trace,
};
use crate::engine::{
    fact::{Dump, Thread},
    model::{Model, Now, session::Session},
    report::{self, Report},
};

/// Powers of two of microseconds that the histogram shows: up to half a minute.
const BUCKETS: u32 = 25;
/// From here on an open operation counts as slow, microseconds.
const SLOW_US: u64 = 1_000_000;

/// Everything that one frame can show.
pub fn picture(model: &Model, trace: &Trace, source: Source, now: Now, acts: Vec<Act>) -> Picture {
    let report = model.report(now);
    let session = model.current().map(|(_, session)| session).last();
    let operations = operations(&report, session);
    let mut completed = trace.completed();
    // The last second is not over.
    completed.pop();
    let mut verdicts = report.verdicts.iter().map(verdict);
    Picture {
        source: about(source, session, &report, trace),
        verdict: verdicts.next(),
        others: verdicts.collect(),
        notes: report.notes.iter().map(|note| note.text.clone()).collect(),
        inflight: vec![operations.len() as u64],
        operations,
        locks: session.map(locks).unwrap_or_default(),
        stacks: stacks(&model.dumps.iter().map(|(_, dump, _)| dump).collect::<Vec<_>>()),
        latency: session.map(|session| latency(session, &report, trace)).unwrap_or_default(),
        lanes: trace.lanes(),
        stalls: trace.stalls.clone(),
        events: trace.lines.iter().cloned().collect(),
        completed,
        acts,
    }
}

fn about(source: Source, session: Option<&Session>, report: &Report, trace: &Trace) -> Source {
    let loss = &report.loss;
    let beat = session.and_then(|s| s.last_beat.as_ref()).map(|(beat, ..)| beat);
    let flags = session.map(|s| s.about.flags).unwrap_or_default();
    let on = fsd_events::flags::Flag::ALL.into_iter().filter(|flag| flags.get(*flag));
    Source {
        pid: session.and_then(|s| s.about.pid),
        flags: on.map(|flag| flag.name().to_owned()).collect(),
        now_us: trace.now_us,
        lost: loss.seq_gaps + beat.map_or(0, |beat| beat.lost),
        bad_lines: loss.bad_lines,
        workers: beat.map(|beat| (beat.workers_busy, beat.workers)),
        kernel_waiting: report.kernel_waiting,
        ..source
    }
}

fn verdict(verdict: &report::Verdict) -> Verdict {
    let culprit = verdict.culprit.clone().unwrap_or_default();
    let parts = [culprit.op, culprit.id.map(|id| format!("#{id}")), culprit.thread, culprit.lock];
    Verdict {
        cause: verdict.cause.name().to_owned(),
        confidence: verdict.confidence.name().to_owned(),
        sentence: verdict.sentence.clone(),
        culprit: parts.into_iter().flatten().collect::<Vec<_>>().join(" "),
        age_s: culprit.age_s,
        waiters: verdict.waiters.len(),
        evidence: verdict.evidence.iter().map(|e| format!("{}:{} {}", e.input, e.line, e.text)).collect(),
        advice: verdict.advice.clone(),
        recovered: false,
    }
}

fn operations(report: &Report, session: Option<&Session>) -> Vec<Operation> {
    let culprits: HashSet<&str> = report.verdicts.iter().filter_map(|v| v.culprit.as_ref()?.id.as_deref()).collect();
    let waiters: HashSet<&str> =
        report.verdicts.iter().flat_map(|v| &v.waiters).filter_map(|w| w.id.as_deref()).collect();
    let open = |id: &str| session?.open.values().find(|op| op.key().to_string() == id);
    let mut rows: Vec<Operation> = report
        .orphans
        .iter()
        .map(|orphan| {
            let age_us = (orphan.age_s.unwrap_or(0.0) * 1e6) as u64;
            let rank = match () {
                () if culprits.contains(orphan.id.as_str()) => Rank::Culprit,
                () if waiters.contains(orphan.id.as_str()) => Rank::Victim,
                () if age_us >= 10 * SLOW_US => Rank::Orphan,
                () if age_us >= SLOW_US => Rank::Slow,
                () => Rank::Normal,
            };
            let known = open(&orphan.id);
            Operation {
                id: orphan.id.clone(),
                op: orphan.op.clone(),
                rank,
                age_us,
                thread: known.and_then(|op| op.call.thread.as_deref()).unwrap_or("").to_owned(),
                path: orphan.path.clone().unwrap_or_default(),
                waits: session.map(|s| waits(s, &orphan.id)).unwrap_or_default(),
                depth: u16::from(rank == Rank::Victim),
                line: orphan.line,
            }
        })
        .collect();
    rows.sort_by(|a, b| a.rank.cmp(&b.rank).then(b.age_us.cmp(&a.age_us)));
    rows
}

/// A lock it wants, a task it waits for, or what it says it is doing.
fn waits(session: &Session, id: &str) -> String {
    let Ok(number) = id.parse::<u64>() else { return String::new() };
    if let Some((name, lock, _)) = session.locks.wanted_by(number).next() {
        let holders: Vec<String> = lock.holders.keys().map(|holder| named(session, *holder)).collect();
        return format!("lock {name}, held by {}", holders.join(", "));
    }
    if let Some(on) = session.waits.get(&number).and_then(|waiting| waiting.on) {
        return named(session, on);
    }
    let doing = session.open.values().find(|op| op.key().to_string() == id).and_then(|op| op.phase.as_ref());
    doing.map(|phase| format!("{} {}", phase.phase.name(), phase.detail)).unwrap_or_default()
}

fn named(session: &Session, id: u64) -> String {
    let op = session.open.values().find(|op| op.key().to_string() == id.to_string());
    let task = session.tasks.get(&id).map(|task| task.kind.name().to_owned());
    let kind = op.map(|op| op.op().name().to_owned()).or(task);
    kind.map_or_else(|| id.to_string(), |kind| format!("{kind} {id}"))
}

fn locks(session: &Session) -> Vec<Lock> {
    let now = session.clock.last.unwrap_or(0);
    let mut rows: Vec<Lock> = session
        .locks
        .iter()
        .filter(|(_, lock)| !lock.holders.is_empty() || !lock.waiters.is_empty())
        .map(|(name, lock)| {
            let since = lock.holders.values().filter_map(|held| held.since).min();
            let holders: Vec<String> = lock.holders.keys().map(|id| named(session, *id)).collect();
            Lock {
                name: name.to_owned(),
                kind: lock.kind.name().to_owned(),
                holder: holders.join(", "),
                held_us: since.map_or(0, |since| u64::try_from(now - since).unwrap_or(0)),
                waiters: lock.waiters.keys().map(|id| named(session, *id)).collect(),
            }
        })
        .collect();
    rows.sort_by_key(|lock| std::cmp::Reverse((lock.waiters.len(), lock.held_us)));
    rows
}

fn latency(session: &Session, report: &Report, trace: &Trace) -> Vec<Latency> {
    let mut rows: Vec<Latency> = report
        .ops
        .iter()
        .map(|(op, summary)| Latency {
            op: op.clone(),
            count: summary.count,
            errors: summary.errors,
            p50_us: summary.p50_us,
            p90_us: summary.p90_us,
            p99_us: summary.p99_us,
            max_us: summary.max_us,
            buckets: session
                .stats
                .iter()
                .find(|(o, _)| o.name() == op)
                .map(|(_, s)| buckets(&s.latency))
                .unwrap_or_default(),
            slowest: trace.slowest(op),
        })
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.count));
    rows
}

fn buckets(latency: &Histogram<u64>) -> Vec<u64> {
    (0..BUCKETS).map(|n| latency.count_between(1 << n, (2 << n) - 1)).collect()
}

/// Threads of the newest dump by identical stack; the dump before tells what moved.
fn stacks(dumps: &[&Dump]) -> Vec<StackGroup> {
    let Some((newest, before)) = dumps.split_last() else { return Vec::new() };
    let mut groups: Vec<StackGroup> = Vec::new();
    for thread in &newest.threads {
        let frames = frames(thread);
        let moved = before.last().map_or(Moved::Unknown, |before| moved(thread, before));
        match groups.iter_mut().find(|group| group.frames == frames && group.moved == moved) {
            Some(group) => group.threads.push(thread.label.to_string()),
            None => groups.push(StackGroup {
                threads: vec![thread.label.to_string()],
                state: thread.state.as_deref().unwrap_or("").to_owned(),
                moved,
                frames,
                waits: thread.waits_for.as_ref().map(|lock| lock.key.to_string()).unwrap_or_default(),
            }),
        }
    }
    groups
}

fn frames(thread: &Thread) -> Vec<String> {
    thread.frames.iter().map(|frame| frame.function.to_string()).collect()
}

fn moved(thread: &Thread, before: &Dump) -> Moved {
    match before.threads.iter().find(|old| old.number == thread.number) {
        None => Moved::New,
        Some(old) if frames(old) == frames(thread) && old.op == thread.op => Moved::Same,
        Some(_) => Moved::Moved,
    }
}
