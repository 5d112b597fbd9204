//! The seed's watchdog dump: the operations in flight with their ages, then all goroutines.

use super::goroutines::{self, Goroutines};
use crate::{
    engine::fact::{At, Fact, Key, Place, What},
    formats::{Line, Mark, Parser, REMEMBERED, Taken, clock, scan},
};
use fsd_events::op::Op;

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(SeedStacks { goroutines: Goroutines::new("seed-stacks"), head: None, operations: Vec::new() })
}

struct SeedStacks {
    goroutines: Goroutines,
    /// Where and when the dump was taken.
    head: Option<(Place, At)>,
    operations: Vec<(Key, Op, u64)>,
}

impl Parser for SeedStacks {
    fn format(&self) -> &'static str {
        "seed-stacks"
    }

    fn marks(&self) -> &'static [Mark] {
        &[Mark::Has("Watchdog Stack Dump")]
    }

    fn is_idle(&self) -> bool {
        self.head.is_none()
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        if line.text.ends_with("Watchdog Stack Dump") {
            self.finish(out);
            self.head = Some((line.place, line.at));
            return Taken::Yes;
        }
        let Some((_, at)) = self.head else { return Taken::No };
        let line = &Line { at, ..*line };
        if !self.goroutines.is_reading() {
            return self.heading(line, out);
        }
        self.goroutines.line(line, out)
    }

    fn finish(&mut self, out: &mut Vec<Fact>) {
        let Some((place, at)) = self.head.take() else { return };
        let operations = std::mem::take(&mut self.operations);
        self.serve(&operations);
        let mut inflight: Vec<(Op, u64)> = Vec::new();
        for (_, op, _) in &operations {
            match inflight.iter_mut().find(|(known, _)| known == op) {
                Some((_, count)) => *count += 1,
                None => inflight.push((*op, 1)),
            }
        }
        if !operations.is_empty() {
            out.push(Fact { place, at, what: What::Watch { inflight, stalled: operations } });
        }
        self.goroutines.hand_over(out);
    }
}

impl SeedStacks {
    fn heading(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        let text = line.text;
        if let Some(time) = text.strip_prefix("Generated: ") {
            let Some((stamp, _)) = clock::leading(time) else { return Taken::Bad };
            if let Some((_, at)) = &mut self.head {
                *at = clock::Days::default().at(stamp);
            }
            return Taken::Yes;
        }
        if let Some(item) = text.strip_prefix("  - ") {
            let Some(operation) = operation(item) else { return Taken::Bad };
            if self.operations.len() < REMEMBERED {
                self.operations.push(operation);
            }
            return Taken::Yes;
        }
        if text.starts_with("In-flight operations") || text.starts_with("Goroutine stacks") || text.starts_with("====")
        {
            return Taken::Yes;
        }
        self.goroutines.line(line, out)
    }

    /// Names the operation of each goroutine that runs a callback, where only one can be meant; of several, each waits
    /// for as long as the youngest. The list may leave out those that are not old: then it tells nothing of any.
    fn serve(&mut self, operations: &[(Key, Op, u64)]) {
        let callbacks: Vec<Option<Op>> = self.goroutines.threads().iter().map(goroutines::callback).collect();
        for (thread, op) in self.goroutines.threads().iter_mut().zip(&callbacks) {
            let Some(op) = *op else { continue };
            let of_kind = || operations.iter().filter(|(_, other, _)| *other == op);
            let (seen, listed) = (callbacks.iter().filter(|other| **other == Some(op)).count(), of_kind().count());
            let alone = seen == 1 && listed == 1;
            let key = of_kind().next().map(|(key, ..)| *key).filter(|_| alone);
            thread.op = Some((key, op));
            let youngest = of_kind().map(|(.., age)| *age).min().filter(|_| seen <= listed);
            if youngest.is_some() && (thread.since_us.is_none() || thread.blur_us > 0) {
                (thread.since_us, thread.blur_us) = (youngest, 0);
            }
        }
    }
}

/// `Release#40 (started 10.167524014s ago)`.
fn operation(item: &str) -> Option<(Key, Op, u64)> {
    let (name, rest) = item.split_once('#')?;
    let (id, rest) = scan::num(rest)?;
    let age = scan::duration_us(scan::after(rest, "started ")?.split(' ').next()?)?;
    Some((Key::Num(id), scan::op(name)?, age))
}
