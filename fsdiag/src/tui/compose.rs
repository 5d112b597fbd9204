//! From the engine's model and the trace to a picture.

mod locks;
mod moment;
mod operations;
mod stacks;
mod verdicts;

use hdrhistogram::Histogram;

use self::moment::Moment;
pub use self::verdicts::verdict;
use super::{
    picture::{Act, Latency, Picture, Source},
    trace::Trace,
};
use crate::engine::{
    model::{Model, Now, ops::count_between},
    report::Report,
};

/// Powers of two of microseconds that the histogram shows: up to half a minute.
const BUCKETS: u32 = 25;

/// Everything that one frame can show.
pub fn picture(model: &Model, report: &Report, trace: &Trace, source: Source, now: Now, acts: Vec<Act>) -> Picture {
    let moments: Vec<Moment<'_>> = model.current().map(|(_, session)| Moment::new(session, now)).collect();
    let operations = operations::tree(report, &moments);
    let mut inflight = trace.inflight();
    // Those whose end was lost are open no more for the model; the trace has only counted.
    if let Some(last) = inflight.last_mut() {
        *last = report.inflight.values().sum();
    }
    let mut verdicts = report.verdicts.iter().map(verdict);
    let (first, others) = (verdicts.next(), verdicts.collect());
    Picture {
        source: about(source, moments.last(), report, trace),
        verdict: first.or_else(|| verdicts::recovered(trace)),
        others,
        notes: report.notes.iter().map(|note| note.text.clone()).collect(),
        inflight,
        operations,
        locks: locks::all(model, &moments),
        stacks: stacks::groups(&model.dumps),
        latency: latency(model, report, trace),
        lanes: trace.lanes(),
        stalls: trace.stalls.clone(),
        events: trace.lines.iter().cloned().collect(),
        completed: trace.completions(),
        acts,
        mounts: Vec::new(),
    }
}

fn about(source: Source, moment: Option<&Moment<'_>>, report: &Report, trace: &Trace) -> Source {
    let loss = &report.loss;
    let session = moment.map(|moment| moment.session);
    let beat = session.and_then(|s| s.last_beat.as_ref()).map(|(beat, ..)| beat);
    let flags = session.map(|s| s.about.flags).unwrap_or_default();
    let on = fsd_events::flags::Flag::ALL.into_iter().filter(|flag| flags.get(*flag));
    Source {
        pid: session.and_then(|s| s.about.pid).or(source.pid),
        flags: on.map(|flag| flag.name().to_owned()).collect(),
        now_us: trace.now_us,
        lost: loss.seq_gaps.max(beat.map_or(0, |beat| beat.lost)),
        bad_lines: loss.bad_lines,
        workers: beat.map(|beat| (beat.workers_busy, beat.workers)),
        kernel_waiting: report.kernel_waiting,
        untold: match () {
            () if report.is_unjudged() => Some("see the notes"),
            () if !report.inputs.is_empty() && report.tells_nothing() => Some("no line of a known format tells of it"),
            () => None,
        },
        ..source
    }
}

fn latency(model: &Model, report: &Report, trace: &Trace) -> Vec<Latency> {
    let mut rows: Vec<Latency> = report
        .ops
        .iter()
        .map(|(op, summary)| Latency {
            op: op.clone(),
            summary: summary.clone(),
            buckets: histogram(model, op),
            heat: trace.heat(op),
        })
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.summary.count));
    rows
}

/// Of all lives of the daemon, as the percentiles are.
fn histogram(model: &Model, op: &str) -> Vec<u64> {
    let stats = model.lives().flat_map(|s| &s.stats).filter(|(o, _)| o.name() == op);
    let each = stats.map(|(_, stats)| buckets(&stats.latency));
    each.reduce(|sum, more| sum.iter().zip(more).map(|(a, b)| a + b).collect()).unwrap_or_default()
}

pub fn buckets(latency: &Histogram<u32>) -> Vec<u64> {
    (0..BUCKETS).map(|n| count_between(latency, 1 << n, (2 << n) - 1)).collect()
}
