//! Bars: what `fsd` is held to beside its peers, and what it reached.

use std::fmt::Write as _;

use crate::{
    measure::{Figure, Sample},
    mounts::Candidate,
    report::{median, pairs},
};

/// How a value is held against a limit.
#[derive(Clone, Copy, Debug)]
enum Bar {
    /// So many times the other's value, at least.
    Ratio(f64),
    /// More than the other's value by so many ms, at most.
    Later(f64),
    /// So many ms at most, whatever others need.
    Within(f64),
}

const US: Candidate = Candidate::FsdTempFile;

const BARS: [(&str, Figure, Candidate, Bar); 7] = [
    ("cold sequential / `curl -o /dev/null`", Figure::ColdSequential, Candidate::Curl, Bar::Ratio(0.75)),
    ("cold sequential / `curl -o file`", Figure::ColdSequential, Candidate::CurlFile, Bar::Ratio(1.1)),
    ("cold sequential / rclone mount", Figure::ColdSequential, Candidate::Rclone, Bar::Ratio(2.0)),
    ("first 4 KiB, ms after `curl`'s first byte", Figure::FirstByte, Candidate::Curl, Bar::Later(0.7)),
    ("warm sequential / a file in memory (tmpfs)", Figure::WarmSequential, Candidate::Memory, Bar::Ratio(0.9)),
    ("passthrough / the same file without a mount", Figure::Passthrough, Candidate::Native, Bar::Ratio(0.95)),
    ("`ls -l`, listing in memory, ms", Figure::ListAgain, US, Bar::Within(60.0)),
];

/// The table of all bars.
pub(crate) fn markdown(samples: &[Sample]) -> String {
    let mut text = String::from("\n| fsd temp-file | bar | median [lowest - highest round] |\n|---|---|---|\n");
    for (title, figure, other, bar) in BARS {
        let mut seen: Vec<f64> = pairs(samples, US, other, figure).into_iter().map(|pair| bar.value(pair)).collect();
        seen.sort_by(f64::total_cmp);
        if let (Some(middle), Some(low), Some(high)) = (median(seen.clone()), seen.first(), seen.last()) {
            let _ = writeln!(text, "| {title} | {} | {middle:.2} [{low:.2} - {high:.2}] |", bar.limit());
        }
    }
    text
}

impl Bar {
    fn value(self, [ours, theirs]: [f64; 2]) -> f64 {
        match self {
            Self::Ratio(_) => ours / theirs,
            Self::Later(_) => ours - theirs,
            Self::Within(_) => ours,
        }
    }

    fn limit(self) -> String {
        match self {
            Self::Ratio(least) => format!("{least} or more"),
            Self::Later(most) | Self::Within(most) => format!("{most} or less"),
        }
    }
}
