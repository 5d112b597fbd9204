//! Latency: how long the requests of one kind took, exact in number, two digits precise in time.
//!
//! Most kinds of most lives end a handful of times, e.g. where a daemon restarts again and again: those are kept as
//! they are, and become a histogram only when they are many, or when somebody asks. Of hundreds of daemons each is told
//! with one digit: their histograms would be most of what is remembered.

use std::{ops::Deref, sync::OnceLock};

use hdrhistogram::Histogram;

#[derive(Clone, Debug, Default)]
pub struct Latency {
    /// Microseconds; only as long as there is no histogram.
    few: Vec<u64>,
    whole: OnceLock<Box<Histogram<u32>>>,
    unit: Unit,
    coarse: bool,
}

/// The greatest unit of which all of them are whole numbers: so exactly they were told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    /// Nothing took any time.
    #[default]
    Untold,
    Second,
    Millisecond,
    Microsecond,
}

impl Unit {
    fn of(us: u64) -> Self {
        match us {
            0 => Self::Untold,
            _ if !us.is_multiple_of(1_000) => Self::Microsecond,
            _ if !us.is_multiple_of(1_000_000) => Self::Millisecond,
            _ => Self::Second,
        }
    }
}

/// Precision, decimal digits.
const DIGITS: u8 = 2;
/// The same where there are so many of them that it matters.
const FEW_DIGITS: u8 = 1;
/// Latencies beyond a day count as a day.
const LONGEST_US: u64 = 86_400_000_000;
/// So many are cheaper as a list.
const FEW: usize = 32;

impl Latency {
    pub(super) fn record(&mut self, us: u64) {
        if self.unit != Unit::Microsecond {
            self.unit = self.unit.max(Unit::of(us));
        }
        self.add(us);
    }

    fn add(&mut self, us: u64) {
        let us = us.clamp(1, LONGEST_US);
        if self.whole.get().is_none() && self.few.len() < FEW {
            return self.few.push(us);
        }
        // It cannot fail: it grows.
        _ = self.whole().record(us);
    }

    /// Tells them with one digit from now on.
    pub(super) fn coarsen(&mut self) {
        self.coarse = true;
        if let Some(fine) = self.whole.take() {
            let whole = self.whole();
            _ = whole.add(&*fine);
        }
    }

    /// How exactly they are told, microseconds: a second where a log's clock has no fraction.
    pub fn resolution_us(&self) -> Option<u64> {
        match self.unit {
            Unit::Untold => None,
            Unit::Second => Some(1_000_000),
            Unit::Millisecond => Some(1_000),
            Unit::Microsecond => Some(1),
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.unit = self.unit.max(other.unit);
        match other.whole.get() {
            None => other.few.iter().for_each(|us| self.add(*us)),
            Some(more) => {
                let whole = self.whole();
                if whole.add(&**more).is_err() {
                    whole.reset();
                }
            }
        }
    }

    fn whole(&mut self) -> &mut Histogram<u32> {
        let _made: &Histogram<u32> = self;
        self.few = Vec::new();
        self.whole.get_mut().expect("it was made above")
    }
}

impl Deref for Latency {
    type Target = Histogram<u32>;

    fn deref(&self) -> &Self::Target {
        self.whole.get_or_init(|| {
            let digits = if self.coarse { FEW_DIGITS } else { DIGITS };
            let mut whole = Histogram::new_with_bounds(1, 2, digits).expect("that is a valid precision");
            // It grows with what it records: most kinds never take long.
            whole.auto(true);
            self.few.iter().for_each(|us| _ = whole.record(*us));
            Box::new(whole)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_are_told_alike_whoever_looked_in_between() {
        for count in [1, FEW as u64, FEW as u64 + 1, 500] {
            let (mut plain, mut looked, mut merged) = (Latency::default(), Latency::default(), Latency::default());
            for us in 0..count {
                plain.record(us * 37);
                looked.record(us * 37);
                assert_eq!(looked.len(), us + 1);
                let mut one = Latency::default();
                one.record(us * 37);
                merged.merge(&one);
            }
            for latency in [&looked, &merged] {
                assert_eq!((plain.len(), plain.max()), (latency.len(), latency.max()));
                assert_eq!(plain.value_at_quantile(0.9), latency.value_at_quantile(0.9));
                assert_eq!(plain.resolution_us(), latency.resolution_us());
            }
        }
    }

    #[test]
    fn what_is_told_with_one_digit_is_nearly_what_it_was() {
        let mut latency = Latency::default();
        (0..500).for_each(|us| latency.record(us * 37));
        let (count, median) = (latency.len(), latency.value_at_quantile(0.5));
        latency.coarsen();
        latency.record(9_250);
        assert_eq!(latency.len(), count + 1);
        assert!(latency.value_at_quantile(0.5).abs_diff(median) * 10 < median);
    }

    #[test]
    fn a_clock_is_as_exact_as_what_it_told() {
        let resolution = |all: &[u64]| {
            let mut latency = Latency::default();
            all.iter().for_each(|us| latency.record(*us));
            latency.resolution_us()
        };
        assert_eq!(resolution(&[0, 0]), None);
        assert_eq!(resolution(&[0, 2_000_000, 0]), Some(1_000_000));
        assert_eq!(resolution(&[0, 3_000, 2_000_000]), Some(1_000));
        assert_eq!(resolution(&[3_001, 2_000_000]), Some(1));
    }
}
