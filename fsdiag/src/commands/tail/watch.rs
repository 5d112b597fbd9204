//! What changes without an event: operations grow old, stalls form and end.

use std::collections::HashMap;

use super::{Format, lines::micros};
use crate::{
    engine::{
        fact::{InputId, Key},
        model::{Model, Now, session::Session},
        report::{Report, Verdict},
    },
    output::paint::{Paint, Tone},
};

/// Ages at which an open operation is mentioned, microseconds.
const MARKS: [i64; 5] = [2_000_000, 5_000_000, 10_000_000, 30_000_000, 120_000_000];
/// While something is old, a verdict is sought so often.
const EVERY_US: u64 = 100_000;

pub(super) struct Watch {
    paint: Paint,
    format: Format,
    marked: HashMap<(usize, Key), usize>,
    verdict: Option<Verdict>,
    judged_us: u64,
    /// The daemon's death was reported already.
    pub(super) knows_death: bool,
}

impl Watch {
    pub(super) fn new(paint: Paint, format: Format) -> Self {
        Self { paint, format, marked: HashMap::new(), verdict: None, judged_us: 0, knows_death: false }
    }

    pub(super) fn is_sick(&self) -> bool {
        self.verdict.is_some()
    }

    /// The text to print now. `live`: the end of the data is the present.
    pub(super) fn look(&mut self, model: &Model, live: bool, wall_us: u64, quote: impl FnOnce(&mut Report)) -> String {
        let mut text = String::new();
        let now = Now { wall_us: live.then_some(wall_us) };
        let old = self.mark(model, now, &mut text);
        let worth = old
            || self.verdict.is_some()
            || self.knows_death
            || model.lives().any(|s| s.stall.is_some() || !s.is_alive());
        if worth && (!live || wall_us.saturating_sub(self.judged_us) >= EVERY_US) {
            self.judged_us = wall_us;
            self.judge(model.report(now), quote, &mut text);
        }
        text
    }

    /// Mentions operations that pass a mark; true when one is old.
    fn mark(&mut self, model: &Model, now: Now, text: &mut String) -> bool {
        let mut old = false;
        let mut alive = HashMap::new();
        let shared = model.current().filter(|(_, session)| is_named(session)).nth(1).is_some();
        let logs = latest(model);
        for (at, session) in model.current() {
            // Whoever hangs is silent: the others of its log tell what time it is.
            let wall = now.wall_us.or_else(|| logs.get(&session.about.stream).copied().filter(|_| is_named(session)));
            let present = wall.and_then(|wall| session.clock.at_wall(wall)).max(session.clock.last);
            for open in session.judged() {
                let key = &open.key();
                let Some(age) = session.age(open.at, present) else { continue };
                let passed = MARKS.iter().filter(|m| age >= **m).count();
                old |= passed > 0;
                let seen = self.marked.get(&(at, *key)).copied().unwrap_or(0);
                if passed > seen && self.format == Format::Text {
                    let path = open.call.path.as_deref().unwrap_or("");
                    let of = session.about.writer.as_deref().filter(|_| shared);
                    let of = of.map(|writer| format!("of {} ", writer.label(true))).unwrap_or_default();
                    let age = micros(age.unsigned_abs());
                    let line = format!("?  {} #{key} {of}{path} has been open for {age}", open.op());
                    text.push_str(&self.paint.line(&self.paint.tone(&line, Tone::Warn)));
                    text.push('\n');
                }
                if passed > 0 {
                    alive.insert((at, *key), passed.max(seen));
                }
            }
        }
        self.marked = alive;
        old
    }

    fn judge(&mut self, mut report: Report, quote: impl FnOnce(&mut Report), text: &mut String) {
        let first = report.verdicts.first();
        let same = |a: &Verdict, b: &Verdict| {
            let id = |v: &Verdict| v.culprit.as_ref().map(|c| (c.op.clone(), c.id.clone(), c.daemon.clone()));
            a.cause == b.cause && id(a) == id(b) && a.confidence >= b.confidence
        };
        let news = match (&self.verdict, first) {
            (Some(before), Some(now)) => !same(before, now),
            (None, Some(_)) | (Some(_), None) => true,
            (None, None) => false,
        };
        if !news {
            return;
        }
        let verdict = first.cloned();
        match self.format {
            Format::Json => {
                quote(&mut report);
                text.push_str(&serde_json::to_string(&report).map(|t| t + "\n").unwrap_or_default());
            }
            Format::Text => text.push_str(&self.words(verdict.as_ref())),
        }
        self.verdict = verdict;
    }

    fn words(&self, verdict: Option<&Verdict>) -> String {
        let Some(verdict) = verdict else {
            return format!("{}\n", self.paint.tone("OK the stall is over", Tone::Good));
        };
        let head = format!("!! {} ({}): {}", verdict.cause.name(), verdict.confidence.name(), verdict.sentence);
        let mut text = self.paint.line(&self.paint.tone(&head, Tone::Bad)) + "\n";
        for advice in &verdict.advice {
            text.push_str(&self.paint.line(&format!("   next: {advice}")));
            text.push('\n');
        }
        text
    }
}

/// What time it is in each log that several write, by the last of them.
fn latest(model: &Model) -> HashMap<InputId, u64> {
    let mut logs = HashMap::new();
    for (_, session) in model.current().filter(|(_, session)| is_named(session)) {
        let latest = logs.entry(session.about.stream).or_insert(0);
        *latest = session.clock.wall.unwrap_or(0).max(*latest);
    }
    logs
}

fn is_named(session: &Session) -> bool {
    session.about.writer.is_some()
}
