//! Shift: how far two clocks are apart, as the rhythm of the requests tells that both witnesses have seen.

use std::collections::BTreeMap;

use fsd_events::op::Op;

use super::{Apart, ENOUGH, begins::Begins};
use crate::engine::model::{ops::Micros, session::Session};

/// How far the clocks of two witnesses are apart; None: they do not tell of the same requests, as far as that shows.
pub(super) fn between(first: (&Session, &Begins), second: (&Session, &Begins)) -> Option<Apart> {
    let ((one, begins), (two, others)) = (first, second);
    let coarse = begins.coarse || others.coarse;
    let blur = if coarse { 550_000 } else { 20_000 };
    let known = known(one, two);
    if known.is_some() && coarse {
        // Two daemons may be busy in the same second.
        return None;
    }
    let fit = |shift: Micros| Fit::of(begins, others, shift, blur);
    let tried: Vec<Fit> = known.into_iter().chain(shifts(begins, others, blur)).map(fit).collect();
    let best = *tried.iter().max_by_key(|fit| (fit.together, Some(fit.shift) == known))?;
    let far = |shift: Micros| (shift - best.shift).abs() > 4 * blur;
    // Where traffic is dense or regular any shift would do: then hardly anything misses its twin at others either.
    let elsewhere = ELSEWHERE.iter().flat_map(|far| [best.shift - far * blur, best.shift + far * blur]).map(fit);
    let others = tried.iter().copied().filter(|fit| far(fit.shift)).chain(elsewhere);
    let others: Vec<Fit> = others.filter(|other| other.possible * 2 >= best.possible).collect();
    let alone = (known.is_some() || others.len() >= COMPARED) && others.iter().all(|other| best.is_better_than(*other));
    let right = best.together >= ENOUGH && best.together * 10 >= best.possible * 7;
    (right && alone && !known.is_some_and(far)).then_some(Apart { shift: best.shift, blur })
}

/// With so many other shifts, at least, one that was searched for must compare.
const COMPARED: usize = 4;
/// Shifts to compare with, in blurs.
const ELSEWHERE: [Micros; 6] = [5, 7, 11, 13, 17, 23];

/// What a shift of the clocks makes of two witnesses.
#[derive(Clone, Copy)]
struct Fit {
    shift: Micros,
    together: usize,
    possible: usize,
}

impl Fit {
    fn of(begins: &Begins, others: &Begins, shift: Micros, blur: Micros) -> Self {
        let together = together(begins, others, shift, blur);
        Self { shift, together, possible: possible(begins, others, shift, blur) }
    }

    /// As many as here would miss their twin by far less there.
    fn is_better_than(self, other: Self) -> bool {
        let missed = |fit: Self| fit.possible.saturating_sub(fit.together);
        let margin = (self.possible * 7 / 100).max(4);
        missed(other) * self.possible >= (missed(self) + margin) * other.possible
    }
}

/// The same by the time of day, where both know it.
fn known(one: &Session, two: &Session) -> Option<Micros> {
    let last = two.clock.last?;
    let wall = u64::try_from(two.clock.wall_of(last)?).ok()?;
    Some(one.clock.at_wall(wall)? - last)
}

/// Shifts at which many beginnings fall together, each in a place of its own.
fn shifts(begins: &Begins, others: &Begins, blur: Micros) -> Vec<Micros> {
    const TRIED: usize = 12;
    let mut bins: BTreeMap<Micros, (u32, Micros)> = BTreeMap::new();
    for (op, times) in &begins.times {
        let pairs = times.iter().flat_map(|a| others.times.get(op).into_iter().flatten().map(move |b| a - b));
        for apart in pairs {
            let bin = bins.entry(apart.div_euclid(blur)).or_default();
            *bin = (bin.0 + 1, bin.1 + apart.rem_euclid(blur));
        }
    }
    // Those at the edge of a bin count in both.
    let full = |bin: &Micros| {
        let two = [*bin, bin + 1].map(|bin| (bin, bins.get(&bin).copied().unwrap_or_default()));
        let count: u32 = two.iter().map(|(_, bin)| bin.0).sum();
        let sum: Micros = two.iter().map(|(at, bin)| at * blur * Micros::from(bin.0) + bin.1).sum();
        (count, sum / Micros::from(count.max(1)))
    };
    let mut all: Vec<(u32, Micros)> = bins.keys().flat_map(|bin| [full(bin), full(&(bin - 1))]).collect();
    all.sort_unstable_by_key(|bin| std::cmp::Reverse(*bin));
    let mut chosen: Vec<Micros> = Vec::new();
    for (_, shift) in all {
        if chosen.iter().all(|known| (known - shift).abs() > blur) {
            chosen.push(shift);
        }
        if chosen.len() == TRIED {
            break;
        }
    }
    chosen
}

/// How many beginnings fall together, one with one.
fn together(begins: &Begins, others: &Begins, shift: Micros, blur: Micros) -> usize {
    let of_kind = |(op, times): (&Op, &Vec<Micros>)| {
        others.times.get(op).map_or(0, |others| pairs(times, others, shift, blur).len())
    };
    begins.times.iter().map(of_kind).sum()
}

/// How many could: of each kind no more than the one that tells of fewer, in the time of which both tell.
fn possible(begins: &Begins, others: &Begins, shift: Micros, blur: Micros) -> usize {
    let of_kind = |(op, times): (&Op, &Vec<Micros>)| {
        let others = others.times.get(op)?;
        let from = (*times.first()?).max(others.first()? + shift) - blur;
        let to = (*times.last()?).min(others.last()? + shift) + blur;
        let within = |t: Micros| (from..=to).contains(&t);
        let (own, theirs) = (times.iter().filter(|t| within(**t)), others.iter().filter(|t| within(**t + shift)));
        Some(own.count().min(theirs.count()))
    };
    begins.times.iter().filter_map(of_kind).sum()
}

/// Those of two lists in order that fall together, each once, as indices.
pub(in crate::engine::case) fn pairs(
    times: &[Micros],
    others: &[Micros],
    shift: Micros,
    blur: Micros,
) -> Vec<(usize, usize)> {
    let (mut a, mut b, mut found) = (0, 0, Vec::new());
    while let (Some(time), Some(other)) = (times.get(a), others.get(b)) {
        match time - (other + shift) {
            apart if apart.abs() <= blur => {
                found.push((a, b));
                (a, b) = (a + 1, b + 1);
            }
            apart if apart < 0 => a += 1,
            _ => b += 1,
        }
    }
    found
}
