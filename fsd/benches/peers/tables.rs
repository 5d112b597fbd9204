//! Tables of the parts that have no peers: the recorder's cost, and a dead origin beside a healthy one.

use std::fmt::Write as _;

use crate::{
    recorder::{Round, Work},
    report::median,
    stall::Seen,
};

pub(crate) fn recorder(rounds: &[Round]) -> String {
    let mut text = format!(
        "Medians of {} rounds, each with both mounts; the ratio is the median of the rounds' own.\n\n\
         | | recorder on | off | on / off |\n|---|---|---|---|\n",
        rounds.len()
    );
    for work in Work::ALL {
        let pairs: Vec<[f64; 2]> = rounds.iter().flatten().filter(|(w, _)| *w == work).map(|(_, pair)| *pair).collect();
        let of = |take: fn(&[f64; 2]) -> f64| median(pairs.iter().map(take).collect()).unwrap_or(0.0);
        let (on, off, ratio) = (of(|p| p[0]), of(|p| p[1]), of(|p| p[0] / p[1]));
        let _ = writeln!(text, "| {} | {on:.0} | {off:.0} | {ratio:.3} |", work.title());
    }
    text
}

pub(crate) fn stall(all: &[Seen]) -> String {
    let mut text = String::from(
        "Milliseconds, p50 / p99 / p99.9 / p100.\n\n\
         | readers, origin | `ls`, 100 entries | stat | 4k read of an open file | first block of a new file | Release |\n\
         |---|---|---|---|---|---|\n",
    );
    for seen in all {
        let others = &seen.others;
        let cells = [&others.ls, &others.stat, &others.read, &others.new, &seen.release].map(|times| times.cell());
        let _ = writeln!(text, "| {} | {} |", name(seen), cells.join(" | "));
    }
    let idle = all.first().map_or(1.0, |seen| seen.throughput);
    text.push_str(
        "\n| readers, origin | reads that wait | another file, MB/s (of idle) | first and last error, s | resident (anonymous), MiB | left behind |\n\
         |---|---|---|---|---|---|\n",
    );
    for seen in all {
        let errors = match seen.errors.per_mille(1000) {
            0.0 => "-".to_owned(),
            last => format!("{:.2}, {last:.2}", seen.errors.per_mille(0)),
        };
        let _ = writeln!(
            text,
            "| {} | {} | {:.0} ({:.2}) | {errors} | {:.0} ({:.0}) | {} |",
            name(seen),
            seen.parked,
            seen.throughput,
            seen.throughput / idle,
            seen.resident[0],
            seen.resident[1],
            seen.left
        );
    }
    text
}

fn name(seen: &Seen) -> String {
    let origin = if seen.scene.dead { "dead" } else { "healthy" };
    if seen.scene.readers == 0 { "none (idle)".into() } else { format!("{}, {origin}", seen.scene.readers) }
}
