//! Report: medians and ratios of the peers as a Markdown table.

use std::fmt::Write as _;

use crate::{
    Options, bars,
    measure::{Figure, Sample},
    mounts::Candidate,
};

pub(crate) fn markdown(samples: &[Sample], options: &Options) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "Medians of {} interleaved rounds over one nginx on loopback: one file of {} MiB, a directory of {} files.\n\
         In brackets the ratio: to `curl -o /dev/null` from the wire, to the file without a mount where bytes are at hand, else to \
         `rclone mount`.\n",
        options.rounds, options.file_mib, options.entries
    );
    let candidates = candidates(samples);
    let names: Vec<_> = candidates.iter().map(|c| c.name()).collect();
    let _ = writeln!(text, "| | {} |\n|---|{}", names.join(" | "), "---|".repeat(names.len()));
    for figure in Figure::ALL {
        let cells: Vec<_> = candidates.iter().map(|c| cell(samples, *c, figure)).collect();
        let _ = writeln!(text, "| {} | {} |", figure.title(), cells.join(" | "));
    }
    text + &bars::markdown(samples)
}

pub(crate) fn candidates(samples: &[Sample]) -> Vec<Candidate> {
    let mut found: Vec<_> = samples.iter().map(|s| s.candidate).collect();
    found.sort();
    found.dedup();
    found
}

fn cell(samples: &[Sample], candidate: Candidate, figure: Figure) -> String {
    let Some(value) = median(values(samples, candidate, figure)) else { return "-".into() };
    let ratio = median(pairs(samples, candidate, figure.base(), figure).iter().map(|pair| pair[0] / pair[1]).collect());
    let shown = if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") };
    ratio.map_or(shown.clone(), |r| format!("{shown} ({r:.2})"))
}

pub(crate) fn values(samples: &[Sample], candidate: Candidate, figure: Figure) -> Vec<f64> {
    samples.iter().filter(|s| s.candidate == candidate && s.figure == figure).map(|s| s.value).collect()
}

/// The values of both, round by round, because the machine's mood is the same there.
pub(crate) fn pairs(samples: &[Sample], candidate: Candidate, base: Candidate, figure: Figure) -> Vec<[f64; 2]> {
    let of = |who: Candidate, round: usize| {
        samples.iter().find(|s| s.candidate == who && s.figure == figure && s.round == round).map(|s| s.value)
    };
    let rounds = samples.iter().map(|s| s.round).max().map_or(0, |r| r + 1);
    (0..rounds).filter_map(|round| Some([of(candidate, round)?, of(base, round)?])).collect()
}

pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
