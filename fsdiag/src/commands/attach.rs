//! `fsdiag attach`: what any FUSE mount waits for, whoever serves it, asked of the kernel alone.

mod join;
pub mod judge;
mod text;
pub mod watch;

use std::{
    env,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;

use crate::{
    commands::analyze::{
        Format, NO_INPUT, complain,
        quote::{self, Again, Kept, Tails},
        read,
        select::seconds,
    },
    engine::{
        model::{Limits, Model, Now},
        report::Report,
    },
    sources::{
        file,
        kernel::{
            facts::{self, Transcript},
            holders,
            look::{self, Look, Source, Sources},
            mountinfo::{self, Mount},
            rows::{self, Row},
            sys,
        },
        rings,
    },
};
use watch::Watched;

/// Diagnose any FUSE mount, whatever serves it. Linux; best as root. Never touches a path below the mount.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The mount point.
    pub mount: PathBuf,
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Watch requests live for that long, then report; without it one look suffices.
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    pub for_seconds: Option<f64>,
    /// Age from which an unanswered request counts as stalled.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    pub stalled_after: f64,
    /// Print every request as it is sent and answered (with --for; on stderr where stdout carries JSON).
    #[arg(long, requires = "for_seconds")]
    pub events: bool,
    /// Leave a source out, to see what the others still tell.
    #[arg(long, value_name = "SOURCE", value_parser = source())]
    pub without: Vec<Source>,
}

/// The report, and beside it what only the kernel knows.
#[derive(Serialize)]
struct Output<'a> {
    #[serde(flatten)]
    report: &'a Report,
    kernel: text::KernelPart,
}

/// Looks, or watches and looks, and prints the report.
///
/// # Errors
/// When `/proc` cannot be read or stdout fails.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let ours = mountinfo::read()?;
    let path = mountinfo::lexical(&env::current_dir().unwrap_or_default(), &args.mount);
    let (seen_by, mounts) = seen_at(ours, &path);
    let Some(mount) = mountinfo::at(&mounts, &path) else {
        complain(&[not_found(&mounts, &path)])?;
        return Ok(ExitCode::from(NO_INPUT));
    };
    let sources = Sources::open(&mounts, &args.without);
    let meter = args.for_seconds.and_then(|_| look::meter(mount, &sources));
    let watched = match args.for_seconds {
        Some(seconds) => watch::watch(args, seconds, mount, &mounts, &sources)?,
        None => Watched::default(),
    };
    let mut look = look::take(mount, &mounts, &sources, &args.without);
    look.seen_by = seen_by;
    look.burning = match meter {
        // The longer time tells more, also that nothing ran through it.
        Some(meter) if look.waiting != Some(0) => meter.stop(),
        _ => look.burning,
    };
    look.missing.extend(watched.missing.iter().cloned());
    let mut rows = rows::of(&look, watched.live.as_ref());
    let report = report(&look, &mut rows, &watched, args)?;
    let mut out = io::stdout().lock();
    match args.format {
        Format::Json => {
            let output = Output { report: &report, kernel: text::kernel_part(&look, &rows) };
            writeln!(out, "{}", serde_json::to_string_pretty(&output)?)?;
        }
        Format::Text => write!(out, "{}", text::all(&look, &rows, &watched, &report))?,
    }
    Ok(if look.is_blind() { ExitCode::from(NO_INPUT) } else { ExitCode::from(u8::from(!report.healthy)) })
}

fn source() -> impl TypedValueParser<Value = Source> {
    let words = Source::ALL.iter().map(|row| row.0);
    let parse = |word: String| Source::ALL.iter().find(|row| row.0 == word).map(|row| row.1).ok_or("no such source");
    PossibleValuesParser::new(words).try_map(parse)
}

/// The mounts among which one is at that path: ours, or those that a daemon in a namespace of its own sees, as in a
/// container.
fn seen_at(ours: Vec<Mount>, path: &Path) -> (Option<u32>, Vec<Mount>) {
    if mountinfo::at(&ours, path).is_some() {
        return (None, ours);
    }
    let others = mountinfo::elsewhere(holders::scan().pids());
    let found = others.into_iter().find(|(_, mounts)| mountinfo::at(mounts, path).is_some());
    found.map_or((None, ours), |(pid, mounts)| (Some(pid), mounts))
}

fn not_found(mounts: &[Mount], path: &Path) -> String {
    let here = mountinfo::serving(mounts, path);
    let layers = here.map(|mount| mountinfo::layers(mounts, mount)).unwrap_or_default();
    match (here.filter(|mount| mount.is_fuse()), layers.first()) {
        (Some(mount), _) => format!("{} is no mount point; it lies in {}", path.display(), mount.point.display()),
        (None, Some(layer)) => {
            format!("{} is an overlay on the FUSE mount {}: attach to that", path.display(), layer.point.display())
        }
        (None, None) => format!("{} is no FUSE mount (fsdiag mounts lists them)", path.display()),
    }
}

/// Everything into one model: the daemon's own record where it is fsd, and the kernel's word.
fn report(look: &Look, rows: &mut [Row], watched: &Watched, args: &Args) -> anyhow::Result<Report> {
    let stalled_us = (args.stalled_after.clamp(0.0, 1e9) * 1e6) as u64;
    let mut model = Model::new(Limits { stalled_us: i64::try_from(stalled_us)?, ..Limits::default() });
    let mut kept = Kept::default();
    let record = record(look, &mut model, &mut kept);
    join::own_operations(rows, &model, !record.is_empty());
    let name = look.mount.point.display().to_string();
    let input = model.input(&name);
    let (mut tails, mut transcript) = (Tails::default(), Transcript::new(input));
    transcript.look(look, rows);
    transcript.facts.iter().for_each(|fact| model.apply(fact));
    (1..).zip(&transcript.lines).for_each(|(number, line)| tails.keep(number, line.as_bytes()));
    kept.insert(name, Again::Tails(tails));
    let events = transcript.facts.len() as u64 + watched.events;
    model.counted(input, "kernel-trace", transcript.lines.len() as u64, events, watched.dropped);
    let mut report = model.report(Now { wall_us: Some(sys::wall_us()) });
    report.notes.extend(model.kernel.notes(stalled_us));
    for (op, summary) in watched.summaries() {
        report.ops.entry(op).or_insert(summary);
    }
    report.loss.lone_exits += watched.live.as_ref().map_or(0, |l| l.lone_ends);
    for row in rows.iter().filter(|row| row.own.as_deref().is_none_or(|own| own == join::NOT_OPEN)) {
        *report.inflight.entry(text::op_name(row)).or_default() += 1;
        report.orphans.push(text::orphan(row, look, &transcript.lines));
    }
    quote::fill(&mut report, &record, &kept);
    Ok(report)
}

/// The daemon's own events, where it is fsd.
fn record(look: &Look, model: &mut Model, kept: &mut Kept) -> Vec<file::Input> {
    let own = rings::of_mount(&look.mount.point).filter(|own| own.connection == look.mount.connection());
    let Some(own) = own else { return Vec::new() };
    let (inputs, _) = file::collect(&[own.events]);
    // What cannot be read of it is missing from the join, and the join says so.
    read::all(&inputs, model, read::How::default(), kept, &mut Vec::new());
    inputs
}

/// The line of a row, as the evidence shows it.
fn row_line(row: &Row) -> String {
    facts::line(row)
}
