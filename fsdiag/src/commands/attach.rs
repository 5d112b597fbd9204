//! `fsdiag attach`: what any FUSE mount waits for, whoever serves it, asked of the kernel alone.

mod text;
mod watch;

use std::{
    env,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;

use crate::{
    commands::mounts::Format,
    engine::{
        fact::{InputId, Place, What},
        kernel::KernelState,
        report::{Evidence, Input, Report, SCHEMA},
    },
    sources::kernel::{
        facts::{self, Transcript},
        look::{self, Look, Source, Sources},
        mountinfo::{self, Mount},
        rows::{self, Row},
    },
};
use watch::Watched;

/// The mount was not found, or nothing could be read.
const EXIT_NO_INPUT: u8 = 3;

/// Diagnose any FUSE mount, whatever serves it. Linux; best as root. Never touches a path below the mount.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The mount point.
    pub mount: PathBuf,
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Watch requests live for that long, then report; without it one look suffices.
    #[arg(long = "for", value_name = "SECONDS")]
    pub for_seconds: Option<f64>,
    /// Age from which an unanswered request counts as stalled.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
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
    let mounts = mountinfo::read()?;
    let path = mountinfo::lexical(&env::current_dir().unwrap_or_default(), &args.mount);
    let Some(mount) = mountinfo::at(&mounts, &path) else {
        writeln!(io::stderr(), "fsdiag: {}", not_found(&mounts, &path))?;
        return Ok(ExitCode::from(EXIT_NO_INPUT));
    };
    let sources = Sources::open(&mounts, &args.without);
    let watched = match args.for_seconds {
        Some(seconds) => watch::watch(args, seconds, mount, &mounts, &sources)?,
        None => Watched::default(),
    };
    let mut look = look::take(mount, &mounts, &sources, &args.without);
    look.missing.extend(watched.missing.iter().cloned());
    let rows = rows::of(&look, watched.live.as_ref());
    let report = report(&look, &rows, &watched, args);
    let mut out = io::stdout().lock();
    match args.format {
        Format::Json => {
            let output = Output { report: &report, kernel: text::kernel_part(&look, &rows) };
            writeln!(out, "{}", serde_json::to_string_pretty(&output)?)?;
        }
        Format::Text => write!(out, "{}", text::all(&look, &rows, &watched, &report))?,
    }
    Ok(if look.is_blind() { ExitCode::from(EXIT_NO_INPUT) } else { ExitCode::from(u8::from(!report.healthy)) })
}

fn source() -> impl TypedValueParser<Value = Source> {
    let words = Source::ALL.iter().map(|row| row.0);
    let parse = |word: String| Source::ALL.iter().find(|row| row.0 == word).map(|row| row.1).ok_or("no such source");
    PossibleValuesParser::new(words).try_map(parse)
}

fn not_found(mounts: &[Mount], path: &Path) -> String {
    let below = mountinfo::serving(mounts, path).filter(|m| m.is_fuse());
    match below {
        Some(mount) => format!("{} is no mount point; it lies in {}", path.display(), mount.point.display()),
        None => format!("{} is no FUSE mount (fsdiag mounts lists them)", path.display()),
    }
}

fn report(look: &Look, rows: &[Row], watched: &Watched, args: &Args) -> Report {
    let mut transcript = Transcript::new(InputId(0));
    transcript.look(look, rows);
    let mut state = KernelState::default();
    for fact in &transcript.facts {
        if let What::Kernel(kernel) = &fact.what {
            state.apply(fact.place, kernel);
        }
    }
    let input = look.mount.point.display().to_string();
    let cite = |place: Place| {
        let text = usize::try_from(place.line).ok().and_then(|n| transcript.lines.get(n.checked_sub(1)?));
        Evidence { input: input.clone(), line: place.line, text: text.cloned().unwrap_or_default() }
    };
    let stalled_us = (args.stalled_after.max(0.0) * 1e6) as u64;
    let verdicts = state.verdicts(stalled_us, &cite);
    let mut report = Report {
        schema: SCHEMA,
        healthy: verdicts.is_empty(),
        verdicts,
        notes: state.notes(stalled_us),
        kernel_waiting: look.waiting,
        ops: watched.summaries(),
        ..Report::default()
    };
    let events = transcript.facts.len() as u64 + watched.events;
    let lines = transcript.lines.len() as u64;
    report.inputs = vec![Input { path: input, format: String::from("kernel-trace"), lines, events, bad_lines: 0 }];
    for row in rows {
        *report.inflight.entry(text::op_name(row)).or_default() += 1;
    }
    report.orphans = rows.iter().map(|row| text::orphan(row, look, &transcript.lines)).collect();
    report.loss.lone_exits = watched.live.as_ref().map_or(0, |l| l.lone_ends);
    report.loss.bad_lines = watched.dropped;
    report
}

/// The line of a row, as the evidence shows it.
fn row_line(row: &Row) -> String {
    facts::line(row)
}
