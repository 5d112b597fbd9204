//! Plot: panels of bars as SVG, one for each figure of the peers, and one for the far origin.

use std::fmt::Write as _;

use crate::{
    measure::{Figure, Sample},
    report::{candidates, median, values},
};

const WIDTH: usize = 640;
const ROW: usize = 20;
const LABELS: usize = 190;
const LONGEST: f64 = 360.0;

pub(crate) fn svg(samples: &[Sample]) -> String {
    let (mut body, mut top) = (String::new(), 10);
    for figure in Figure::ALL {
        let bars: Vec<_> = candidates(samples)
            .into_iter()
            .filter_map(|c| Some((c.name(), median(values(samples, c, figure))?)))
            .collect();
        top = panel(&mut body, top, figure.title(), figure.less_is_better(), &bars);
    }
    document(&body, top)
}

/// How many MB/s each reader gets of the origin that is far away.
pub(crate) fn far(bars: &[(&str, f64)]) -> String {
    let mut body = String::new();
    let top = panel(&mut body, 10, "an origin with 50 ms of latency and 20 MB/s a connection, MB/s", false, bars);
    document(&body, top)
}

fn document(body: &str, top: usize) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{top}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{top}\" fill=\"#ffffff\"/>\n{body}</svg>\n"
    )
}

/// Draws at `top` and returns where the next panel begins.
fn panel(body: &mut String, top: usize, title: &str, less: bool, bars: &[(&str, f64)]) -> usize {
    let longest = bars.iter().map(|bar| bar.1).fold(f64::MIN_POSITIVE, f64::max);
    let better = if less { "less is better" } else { "more is better" };
    let _ = writeln!(body, "<text x=\"8\" y=\"{}\" font-weight=\"bold\">{title} ({better})</text>", top + 14);
    for (n, (name, value)) in bars.iter().enumerate() {
        let (y, width) = (top + 22 + n * ROW, value / longest * LONGEST);
        let colour = if name.starts_with("fsd") { "#3b6ea5" } else { "#a0a8b0" };
        let shown = if *value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") };
        let _ = writeln!(
            body,
            "<text x=\"8\" y=\"{0}\">{name}</text><rect x=\"{LABELS}\" y=\"{y}\" width=\"{width:.0}\" height=\"15\" \
             fill=\"{colour}\"/><text x=\"{1:.0}\" y=\"{0}\">{shown}</text>",
            y + 12,
            width + LABELS as f64 + 6.0
        );
    }
    top + 22 + bars.len() * ROW + 14
}
