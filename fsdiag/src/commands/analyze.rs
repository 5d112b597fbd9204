//! `fsdiag analyze`: reads logs, dumps and event files, in any mixture, and says what hangs and why.

mod crew;
pub mod quote;
pub mod read;
pub mod select;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use fsd_events::op::Op;

use crate::{
    engine::{
        model::{Limits, Model, Now},
        report::{Confidence, Report},
    },
    output::{clean::clean, json, paint::Paint, text},
    sources::file::{self, Input},
};
use select::{FailOn, Selection, Window};

/// Analyse logs, stack dumps and event files: any format, several in one file, .gz and .zst, rotated sets in any order.
///
/// Exit codes: 0 healthy, 1 a verdict, 2 wrong usage, 3 nothing could be read or recognised, 4 so much is lost that
/// verdicts are capped, 130 interrupted.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Files, directories, or `-` for standard input; without any, the running fsd of this user is looked up.
    #[arg(value_name = "FILE|DIR|-")]
    pub inputs: Vec<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Leave out what happened before (`YYYY-MM-DD HH:MM:SS` or RFC 3339, UTC where no zone is said; seconds since 1970).
    #[arg(long, value_name = "TIME", value_parser = select::moment)]
    pub since: Option<u64>,
    /// Leave out what happened after.
    #[arg(long, value_name = "TIME", value_parser = select::moment)]
    pub until: Option<u64>,
    /// Show only this operation (Read, Getattr, ...); verdicts are made from everything.
    #[arg(long, value_name = "OP", value_parser = select::operation)]
    pub op: Option<Op>,
    /// Show only paths that contain this.
    #[arg(long, value_name = "TEXT")]
    pub path: Option<String>,
    /// Show only this operation id.
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// What exit code 1 needs: `any`, `never`, a confidence (low, medium, high, certain), or causes.
    #[arg(long, value_name = "WHAT", value_delimiter = ',', default_value = "any")]
    pub fail_on: Vec<String>,
    /// Age from which an open operation counts as stalled.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = select::seconds)]
    pub stalled_after: f64,
    /// Analyse again whenever an input changes.
    #[arg(long)]
    pub watch: bool,
}

/// How a report is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    #[default]
    Text,
    Json,
}

/// Exit code: no input could be read or recognised.
pub const NO_INPUT: u8 = 3;
/// Exit code: wrong usage.
const USAGE: u8 = 2;
/// Exit code: the loss caps the verdicts.
const LOSSY: u8 = 4;

/// Reads, judges, prints.
///
/// # Errors
/// When stdout fails, other than by a reader who has gone.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let fail_on = match FailOn::parse(&args.fail_on) {
        Ok(fail_on) => fail_on,
        Err(word) => {
            complain(&[format!("--fail-on {word}: give any, never, a confidence or a cause")])?;
            return Ok(ExitCode::from(USAGE));
        }
    };
    let mut seen = Vec::new();
    loop {
        let (inputs, problems) = named(args);
        let state = sizes(&inputs);
        if !args.watch || state != seen {
            seen = state;
            let code = once(args, &inputs, problems, &fail_on)?;
            if !args.watch {
                return Ok(code);
            }
        }
        crate::sources::pause(500);
    }
}

fn named(args: &Args) -> (Vec<Input>, Vec<String>) {
    if args.inputs.is_empty() {
        let found: Vec<PathBuf> = crate::sources::rings::mounts().into_iter().map(|m| m.events).collect();
        let none = || vec![String::from("no fsd is running for this user, and no file was named")];
        return if found.is_empty() { (Vec::new(), none()) } else { file::collect(&found) };
    }
    file::collect(&args.inputs)
}

fn sizes(inputs: &[Input]) -> Vec<(String, Option<u64>)> {
    inputs.iter().map(|i| (i.name(), i.size())).collect()
}

/// Whoever asks for certain operations may ask for one that a long list would leave out.
fn limits(args: &Args) -> Limits {
    let stalled_us = (args.stalled_after.clamp(0.0, 1e9) * 1e6) as i64;
    let selected = args.op.is_some() || args.path.is_some() || args.id.is_some();
    let listed = if selected { usize::MAX } else { Limits::default().listed };
    Limits { stalled_us, listed }
}

fn once(args: &Args, inputs: &[Input], mut problems: Vec<String>, fail_on: &FailOn) -> anyhow::Result<ExitCode> {
    let mut model = Model::new(limits(args));
    let window = Window { since: args.since, until: args.until };
    let mut kept = quote::Kept::default();
    let read = read::all(inputs, &mut model, read::How::of(window), &mut kept, &mut problems);
    let outside = (args.since.is_some() || args.until.is_some()) && model.is_empty();
    if read > 0 && outside {
        problems.push(String::from("no event lies in the time that was asked for"));
        model.inputs.iter_mut().for_each(|input| input.events = 0);
    }
    complain(&problems)?;
    let mut report = model.report(Now::default());
    quote::fill(&mut report, inputs, &kept);
    let heavy = is_lossy(&report);
    let code = match () {
        () if read == 0 || report.tells_nothing() => NO_INPUT,
        () if fail_on.fits(&report) && !heavy => 1,
        () if heavy => LOSSY,
        () => 0,
    };
    Selection { op: args.op, path: args.path.as_deref(), id: args.id.as_deref() }.apply(&mut report);
    let printed = match args.format {
        Format::Json => json::render(&report)?,
        Format::Text => text::render(&report, Paint::for_stdout()),
    };
    print(&printed)?;
    Ok(ExitCode::from(code))
}

/// So many lines are missing that nothing better than a guess is left.
fn is_lossy(report: &Report) -> bool {
    let loss = &report.loss;
    let missing = loss.bad_lines + loss.seq_gaps + loss.lone_exits + loss.superseded;
    let events: u64 = report.inputs.iter().map(|i| i.events).sum();
    let sure = report.verdicts.iter().any(|v| v.confidence >= Confidence::High);
    !sure && missing * 20 > events.max(1) && missing >= 5
}

/// A reader who has gone (`| head`) is no error.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write the report"),
    }
}

/// A line on stdout; no name in it begins another.
pub(crate) fn say(line: impl Into<String>) -> anyhow::Result<()> {
    print(&(clean(line) + "\n"))
}

/// Each problem is one line on stderr.
pub(crate) fn complain(problems: &[String]) -> io::Result<()> {
    let mut err = io::stderr().lock();
    problems.iter().try_for_each(|problem| writeln!(err, "fsdiag: {}", clean(problem.as_str())))
}
