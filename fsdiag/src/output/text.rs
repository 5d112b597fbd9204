//! The report for people: the verdict first, then what it rests on, then the rest.

mod crowd;

use super::paint::{Paint, Tone};
use crate::engine::{
    plural::count,
    report::{Change, Compared, Culprit, Episode, Loss, OpSummary, Report, Verdict},
};

/// Notes, orphans and evidence lines shown at the most; the JSON form has all.
const SHOWN: usize = 12;
/// Inputs shown at the most.
const LISTED: usize = 24;
/// Longest piece of an input's line.
const SNIPPET: usize = 160;

/// The whole report.
pub fn render(report: &Report, paint: Paint) -> String {
    let mut text = String::new();
    headline(&mut text, report, paint);
    let (alone, crowds) = crowd::parted(&report.verdicts);
    alone.into_iter().for_each(|(number, verdict)| one_verdict(&mut text, number, verdict, paint));
    crowds.iter().for_each(|crowd| crowd.tell(&mut text, paint));
    orphans(&mut text, report, paint);
    episodes(&mut text, report, paint);
    notes(&mut text, report, paint);
    latencies(&mut text, report, paint);
    inputs(&mut text, report, paint);
    text
}

/// One line.
macro_rules! say {
    ($text:expr, $paint:expr, $($arg:tt)*) => {
        { $text.push_str(&$paint.line(&format!($($arg)*))); $text.push('\n'); }
    };
}

fn headline(text: &mut String, report: &Report, paint: Paint) {
    match report.verdicts.as_slice() {
        [] if report.inputs.iter().all(|input| input.events == 0) => {
            say!(text, paint, "{}", paint.tone("nothing to judge: no event was found", Tone::Warn));
        }
        [] if report.is_unjudged() => {
            let sentence = "cannot tell whether anything hangs: see the notes";
            say!(text, paint, "{}", paint.tone(sentence, Tone::Warn));
        }
        [] if report.tells_nothing() => {
            let sentence = "nothing to judge: no line of a known format tells of anything";
            say!(text, paint, "{}", paint.tone(sentence, Tone::Warn));
        }
        [] => say!(text, paint, "{}", paint.tone("healthy: nothing hangs", Tone::Good)),
        [first, ..] => {
            let sure = format!("{} ({})", first.cause.name(), first.confidence.name());
            say!(text, paint, "{} {}", paint.tone("!", Tone::Bad), paint.tone(&first.sentence, Tone::Bad));
            say!(text, paint, "  {}", paint.tone(&sure, Tone::Bold));
        }
    }
}

fn one_verdict(text: &mut String, number: usize, verdict: &Verdict, paint: Paint) {
    if number > 0 {
        let sure = format!("{} ({})", verdict.cause.name(), verdict.confidence.name());
        text.push('\n');
        say!(text, paint, "also: {} {}", verdict.sentence, paint.tone(&sure, Tone::Dim));
    }
    if let Some(culprit) = &verdict.culprit {
        say!(text, paint, "  culprit   {}", one_culprit(culprit));
    }
    for other in verdict.alternatives.iter().take(SHOWN) {
        say!(text, paint, "  or else   {}", one_culprit(other));
    }
    if !verdict.waiters.is_empty() {
        let who = |w: &crate::engine::report::Waiter| {
            let name = w.op.as_deref().or(w.thread.as_deref()).unwrap_or("?");
            w.id.as_ref().map_or_else(|| name.to_owned(), |id| format!("{name} #{id}"))
        };
        let shown: Vec<_> = verdict.waiters.iter().take(SHOWN).map(who).collect();
        say!(text, paint, "  waiting   {}{}", shown.join(", "), more(verdict.waiting()));
    }
    for evidence in verdict.evidence.iter().take(SHOWN) {
        let place = format!("{}:{}", evidence.input, evidence.line);
        say!(text, paint, "  evidence  {} {}", paint.tone(&place, Tone::Dim), cut(&evidence.text));
    }
    if verdict.evidence.len() > SHOWN {
        say!(text, paint, "            {}", count(verdict.evidence.len() - SHOWN, "more line"));
    }
    for advice in &verdict.advice {
        say!(text, paint, "  next      {advice}");
    }
}

fn one_culprit(culprit: &Culprit) -> String {
    let named = |name: &str, value: &Option<String>| value.as_ref().map(|v| format!("{name} {v}"));
    let mut parts: Vec<String> = Vec::new();
    // A thread may be all that a request is called by.
    match (&culprit.op, culprit.id.as_ref().filter(|id| culprit.thread.as_ref() != Some(id))) {
        (Some(op), Some(id)) => parts.push(format!("{op} #{id}")),
        (Some(op), None) => parts.push(op.clone()),
        (None, Some(id)) => parts.push(id.clone()),
        (None, None) => (),
    }
    parts.extend(named("of", &culprit.daemon));
    parts.extend(named("on", &culprit.thread));
    parts.extend(named("lock", &culprit.lock));
    parts.extend(culprit.age_s.map(|age| format!("open for {age:.1} s")));
    parts.extend(culprit.path.clone());
    if parts.is_empty() { "unknown".to_owned() } else { parts.join(", ") }
}

fn orphans(text: &mut String, report: &Report, paint: Paint) {
    if report.orphans.is_empty() {
        return;
    }
    text.push('\n');
    say!(text, paint, "{} without an answer{}", paint.tone("open operations", Tone::Bold), more(report.open()));
    for orphan in report.orphans.iter().take(SHOWN) {
        let age = orphan.age_s.map_or_else(|| "?".to_owned(), |age| format!("{age:.1} s"));
        let path = orphan.path.as_deref().unwrap_or("");
        let place = format!("{}:{}", orphan.input, orphan.line);
        let id = orphan.daemon.as_ref().map_or_else(|| orphan.id.clone(), |daemon| format!("{} {daemon}", orphan.id));
        say!(text, paint, "  {:<12} {id:<12} {age:>9}  {path} {}", orphan.op, paint.tone(&place, Tone::Dim));
    }
    let inflight: Vec<_> = report.inflight.iter().map(|(op, count)| format!("{op}: {count}")).collect();
    say!(text, paint, "  in flight {}", inflight.join(", "));
}

fn episodes(text: &mut String, report: &Report, paint: Paint) {
    for episode in &report.episodes {
        let who = episode.process.as_deref().unwrap_or("a process");
        let pid = episode.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
        let span = episode.span_s.map(|span| format!(", {span:.1} s from first to last")).unwrap_or_default();
        let dumps = episode.dumps.len();
        let head = format!("{} of {who}{pid}{span}", count(dumps, "stack dump"));
        text.push('\n');
        say!(text, paint, "{}{}", paint.tone(&head, Tone::Bold), tally(episode));
        for op in episode.ops.iter().take(SHOWN) {
            one_compared(text, op, paint);
        }
        if episode.ops.len() > SHOWN {
            say!(text, paint, "  and {}", count(episode.ops.len() - SHOWN, "more operation"));
        }
    }
}

/// `: 3 not moved, 1 gone`; nothing for one dump.
fn tally(episode: &Episode) -> String {
    let count = |change: Change| episode.ops.iter().filter(|op| op.change == Some(change)).count();
    let all = [Change::NotMoved, Change::Moved, Change::New, Change::Gone];
    let told: Vec<String> =
        all.into_iter().filter(|c| count(*c) > 0).map(|c| format!("{} {}", count(c), c.name())).collect();
    if told.is_empty() { String::new() } else { format!(": {}", told.join(", ")) }
}

fn one_compared(text: &mut String, op: &Compared, paint: Paint) {
    let change = op.change.map_or("open", Change::name);
    let tone = if op.change == Some(Change::NotMoved) { Tone::Warn } else { Tone::Dim };
    let what = op.chain.clone().unwrap_or_else(|| format!("{} {}", op.op, op.id));
    let path = op.path.as_deref().map(|path| format!("  {path}")).unwrap_or_default();
    let detail = op.detail.as_deref().map(|detail| format!(" ({detail})")).unwrap_or_default();
    let change = paint.tone(&format!("{change:<9}"), tone);
    say!(text, paint, "  {change} {:>8.1} s  {what}{path}{detail}", op.age_s);
}

fn notes(text: &mut String, report: &Report, paint: Paint) {
    if report.notes.is_empty() {
        return;
    }
    text.push('\n');
    say!(text, paint, "{}", paint.tone("notes", Tone::Bold));
    for note in report.notes.iter().take(SHOWN) {
        say!(text, paint, "  {:<10} {}", note.kind, note.text);
    }
    if report.notes.len() > SHOWN {
        say!(text, paint, "  and {} more", report.notes.len() - SHOWN);
    }
}

fn latencies(text: &mut String, report: &Report, paint: Paint) {
    if report.ops.is_empty() {
        return;
    }
    let head = format!(
        "  {:<14}{:>10}{:>8}{:>10}{:>10}{:>10}{:>10}",
        "operation", "count", "errors", "p50", "p90", "p99", "max"
    );
    text.push('\n');
    say!(text, paint, "{}", paint.tone(&head, Tone::Bold));
    let mut rows: Vec<(&String, &OpSummary)> = report.ops.iter().collect();
    rows.sort_by_key(|(_, summary)| std::cmp::Reverse(summary.count));
    for (op, s) in rows {
        let [p50, p90, p99, max] =
            [s.p50_us, s.p90_us, s.p99_us, s.max_us].map(|us| latency(us, s.resolution_us, " ", micros));
        say!(text, paint, "  {op:<14}{:>10}{:>8}{p50:>10}{p90:>10}{p99:>10}{max:>10}", s.count, s.errors);
    }
}

fn inputs(text: &mut String, report: &Report, paint: Paint) {
    text.push('\n');
    for input in report.inputs.iter().take(LISTED) {
        let bad = if input.bad_lines > 0 { format!(", {} bad", input.bad_lines) } else { String::new() };
        let (lines, events) = (count(input.lines, "line"), count(input.events, "event"));
        let line = format!("{}: {}, {lines}, {events}{bad}", input.path, input.format);
        say!(text, paint, "{}", paint.tone(&line, Tone::Dim));
    }
    if report.inputs.len() > LISTED {
        say!(text, paint, "and {}", count(report.inputs.len() - LISTED, "more input"));
    }
    let Loss { seq_gaps, lone_exits, superseded, .. } = report.loss;
    if seq_gaps + lone_exits + superseded > 0 {
        let line = format!(
            "lost: {} by number, {} without a beginning, {} superseded",
            count(seq_gaps, "line"),
            count(lone_exits, "end"),
            count(superseded, "beginning")
        );
        say!(text, paint, "{}", paint.tone(&line, Tone::Warn));
    }
    if let Some(waiting) = report.kernel_waiting {
        say!(
            text,
            paint,
            "{}",
            paint.tone(&format!("the kernel has {} waiting", count(waiting, "request")), Tone::Dim)
        );
    }
}

fn more(count: usize) -> String {
    if count > SHOWN { format!(" (and {} more)", count - SHOWN) } else { String::new() }
}

fn cut(line: &str) -> String {
    let line = line.trim();
    match line.char_indices().nth(SNIPPET) {
        Some((at, _)) => format!("{}...", &line[..at]),
        None => line.to_owned(),
    }
}

/// What a clock without fractions calls nothing may be all of a second. `gap`: between a number and its unit.
pub fn latency(us: Option<u64>, resolution_us: u64, gap: &str, spelled: impl Fn(u64) -> String) -> String {
    match us {
        None => "-".into(),
        Some(0) if resolution_us >= 1_000_000 => format!("<1{gap}s"),
        Some(0) if resolution_us >= 1_000 => format!("<1{gap}ms"),
        Some(us) => spelled(us),
    }
}

fn micros(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{:.1} s", us as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::report::{Cause, Confidence, Evidence, Input, Orphan, Waiter};

    fn stalled() -> Report {
        let verdict = Verdict {
            cause: Cause::LockPileup,
            confidence: Confidence::Certain,
            sentence: "Release #456 has held lock `handles` for 34.2 s.".into(),
            culprit: Some(Culprit {
                op: Some("Release".into()),
                id: Some("456".into()),
                age_s: Some(34.2),
                ..Culprit::default()
            }),
            alternatives: Vec::new(),
            waiters: vec![Waiter { op: Some("Getattr".into()), id: Some("457".into()), thread: None, daemon: None }],
            waiters_left_out: 0,
            evidence: vec![Evidence { input: "e.jsonl".into(), line: 8801, text: "x".repeat(500) }],
            advice: vec!["restart with debug_skip_eviction".into()],
            isolate: Vec::new(),
        };
        Report {
            verdicts: vec![verdict],
            orphans: vec![Orphan { op: "Release".into(), id: "456".into(), age_s: None, ..Orphan::default() }],
            inputs: vec![Input {
                path: "e.jsonl".into(),
                format: "fsd-events".into(),
                lines: 9,
                events: 9,
                bad_lines: 2,
            }],
            ..Report::default()
        }
    }

    #[test]
    fn the_verdict_comes_first_and_its_evidence_is_cut() {
        let text = render(&stalled(), Paint::default());
        assert!(
            text.starts_with("! Release #456 has held lock `handles` for 34.2 s.\n  lock_pileup (certain)\n"),
            "{text}"
        );
        assert!(text.contains("waiting   Getattr #457") && text.contains("2 bad"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() < 200), "{text}");
    }

    #[test]
    fn of_forty_daemons_in_one_trouble_the_first_is_told_in_full_and_the_others_in_rows() {
        let mut report = stalled();
        let first = report.verdicts[0].clone();
        for n in 0..39 {
            let mut verdict = first.clone();
            verdict.confidence = Confidence::Low;
            verdict.culprit.as_mut().expect("a culprit").daemon = Some(format!("sshfs on node{n}"));
            report.verdicts.push(verdict);
        }
        let text = render(&report, Paint::default());
        assert!(text.contains("also: 39 more verdicts tell of lock_pileup (39 low)"), "{text}");
        assert!(text.contains("  Release #456                34.2 s  sshfs on node7  1 waits"), "{text}");
        assert!(text.contains("  and 27 more\n") && text.lines().count() < 40, "{text}");
    }

    #[test]
    fn health_and_emptiness_are_told_apart() {
        let mut report = Report { healthy: true, ..stalled() };
        report.verdicts.clear();
        assert!(render(&report, Paint::default()).starts_with("healthy"));
        report.inputs.clear();
        assert!(render(&report, Paint::default()).starts_with("nothing to judge"));
    }
}
