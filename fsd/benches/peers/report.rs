//! Medians and ratios as a Markdown table and a plot.

use std::fmt::Write as _;

use crate::{
    Options,
    measure::{Figure, Sample},
    mounts::Candidate,
};

pub(crate) fn markdown(samples: &[Sample], options: &Options) -> String {
    let mut text = String::from("# Side by side with peers\n\n");
    let _ = writeln!(
        text,
        "Medians of {} interleaved rounds over one nginx on loopback: one file of {} MiB, a directory of {} files.\n\
         In brackets the ratio to `curl` (first column) or, where curl has no figure, to `rclone mount`.\n\
         Written by `cargo bench -p fsd --bench peers -- --write ../docs`.\n",
        options.rounds, options.file_mib, options.entries
    );
    let candidates = candidates(samples);
    let names: Vec<_> = candidates.iter().map(|c| c.name()).collect();
    let _ = writeln!(text, "| | {} |\n|---|{}", names.join(" | "), "---|".repeat(names.len()));
    for figure in Figure::ALL {
        let cells: Vec<_> = candidates.iter().map(|c| cell(samples, *c, figure)).collect();
        let _ = writeln!(text, "| {} | {} |", figure.title(), cells.join(" | "));
    }
    text
}

fn candidates(samples: &[Sample]) -> Vec<Candidate> {
    let mut found: Vec<_> = samples.iter().map(|s| s.candidate).collect();
    found.sort();
    found.dedup();
    found
}

fn cell(samples: &[Sample], candidate: Candidate, figure: Figure) -> String {
    let Some(value) = median(values(samples, candidate, figure)) else { return "-".into() };
    let base = [Candidate::Curl, Candidate::Rclone].into_iter().find(|b| !values(samples, *b, figure).is_empty());
    let ratio = base.and_then(|base| median(ratios(samples, candidate, base, figure)));
    let shown = if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") };
    ratio.map_or(shown.clone(), |r| format!("{shown} ({r:.2})"))
}

fn values(samples: &[Sample], candidate: Candidate, figure: Figure) -> Vec<f64> {
    samples.iter().filter(|s| s.candidate == candidate && s.figure == figure).map(|s| s.value).collect()
}

/// Within each round, because the machine's mood is the same there.
fn ratios(samples: &[Sample], candidate: Candidate, base: Candidate, figure: Figure) -> Vec<f64> {
    let of = |who: Candidate, round: usize| {
        samples.iter().find(|s| s.candidate == who && s.figure == figure && s.round == round).map(|s| s.value)
    };
    let rounds = samples.iter().map(|s| s.round).max().map_or(0, |r| r + 1);
    (0..rounds).filter_map(|round| Some(of(candidate, round)? / of(base, round)?)).collect()
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Bars of the cold sequential rate.
pub(crate) fn svg(samples: &[Sample]) -> String {
    let bars: Vec<_> = candidates(samples)
        .into_iter()
        .filter_map(|c| Some((c.name(), median(values(samples, c, Figure::ColdSequential))?)))
        .collect();
    let longest = bars.iter().map(|b| b.1).fold(1.0, f64::max);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"640\" height=\"{}\" font-family=\"sans-serif\" font-size=\"12\">\n",
        bars.len() * 28 + 30
    );
    let _ = writeln!(text, "<text x=\"8\" y=\"18\">{}</text>", Figure::ColdSequential.title());
    for (row, (name, value)) in bars.iter().enumerate() {
        let (y, width) = (row * 28 + 30, value / longest * 380.0);
        let _ = writeln!(
            text,
            "<text x=\"8\" y=\"{}\">{name}</text><rect x=\"190\" y=\"{y}\" width=\"{width:.0}\" height=\"18\" \
             fill=\"#3b6ea5\"/><text x=\"{:.0}\" y=\"{}\">{value:.0}</text>",
            y + 14,
            width + 196.0,
            y + 14
        );
    }
    text.push_str("</svg>\n");
    text
}
