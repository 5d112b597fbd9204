//! Trial: one run of the workload under one setting, watched until it ends, hangs, or its time is over.

use std::{
    io,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
};

use serde::Serialize;

use super::{daemon::Daemon, setting::Setting};
use crate::{
    engine::{
        fact::InputId,
        model::{Limits, Model, Now},
        report::{Cause, Report, Verdict},
    },
    formats::Mixed,
    sources::{
        self,
        follow::Follow,
        kernel::sys::{self, EndSignals},
    },
};

/// Between two looks.
const LOOK_MS: i32 = 100;
/// After the command's end: releases come later than the close that caused them.
const GRACE_US: u64 = 1_000_000;
/// A killed workload that waits in the kernel ends when its request is answered.
const FREE_LIMIT_MS: i32 = 10_000;
const AT_ONCE: usize = 8 << 20;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    Hung {
        cause: Cause,
        /// Operation that everything waits for.
        op: Option<String>,
        sentence: String,
    },
    Clean,
    /// It says nothing about the hang: the command failed, say.
    Unclear {
        why: String,
    },
}

/// One run for the report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    pub setting: Setting,
    /// 1 for the first under its setting.
    pub number: u32,
    #[serde(flatten)]
    pub outcome: Outcome,
    pub seconds: f64,
    /// Event file that the outcome was read from.
    pub events: String,
}

/// What every run has in common.
pub struct Terms<'a> {
    pub command: &'a [String],
    pub limits: Limits,
    /// Longest run, microseconds.
    pub limit_us: u64,
    pub signals: &'a EndSignals,
}

/// A workload that was started; killed when dropped.
struct Workload(Option<Child>);

impl Workload {
    fn start(command: &[String], mount: &Path, setting: Setting, number: u32) -> io::Result<Self> {
        let Some((program, args)) = command.split_first() else { return Ok(Self(None)) };
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        command.env("FSD_MOUNT", mount).env("FSD_ISOLATE_RUN", number.to_string());
        command.env("FSD_ISOLATE_SETTING", setting.words()).spawn().map(|child| Self(Some(child)))
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.0.as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    fn is_watching_only(&self) -> bool {
        self.0.is_none()
    }

    fn kill(&mut self) {
        if let Some(child) = &mut self.0 {
            // A group of which nobody is left is what is wanted.
            let _gone = sys::kill_group(child.id());
        }
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What is left of a run: the workload, killed, perhaps still waiting in the kernel, and the record.
pub struct Remains {
    workload: Workload,
    record: Record,
}

impl Remains {
    /// Whether the worker of the run still has what hung, as far as its record says.
    pub fn hangs(&mut self) -> bool {
        self.record.report().is_ok_and(|report| waits(&report))
    }

    /// Waits for its end, which comes when the daemon answers.
    ///
    /// # Errors
    /// When it still waits for the mount.
    pub fn end(mut self) -> Result<(), String> {
        self.workload.kill();
        let Some(mut child) = self.workload.0.take() else { return Ok(()) };
        match sys::await_end(child.id(), FREE_LIMIT_MS) {
            Ok(()) => child.wait().map(drop).map_err(|error| error.to_string()),
            Err(_) => Err(format!("process {} of the workload was killed and still waits for the mount", child.id())),
        }
    }
}

/// Runs the workload once. None: the user has enough.
///
/// # Errors
/// The command cannot be started, or the record cannot be read.
pub fn run(daemon: &Daemon, setting: Setting, number: u32, terms: &Terms<'_>) -> io::Result<(Option<Run>, Remains)> {
    let events = daemon.events()?;
    let started = sources::wall_us();
    let mut record = Record::open(&events, terms.limits);
    let mut workload = Workload::start(terms.command, &daemon.mount, setting, number)?;
    let mut watch = Watch { daemon, started, ended: None, limit_us: terms.limit_us };
    loop {
        let report = record.report()?;
        if let Some(outcome) = watch.look(&report, &mut workload) {
            let seconds = (sources::wall_us().saturating_sub(started)) as f64 / 1e6;
            workload.kill();
            let events = events.display().to_string();
            return Ok((Some(Run { setting, number, outcome, seconds, events }), Remains { workload, record }));
        }
        if terms.signals.wait(LOOK_MS) {
            workload.kill();
            return Ok((None, Remains { workload, record }));
        }
    }
}

struct Watch<'a> {
    daemon: &'a Daemon,
    started: u64,
    /// When the command ended, and how.
    ended: Option<(u64, ExitStatus)>,
    limit_us: u64,
}

impl Watch<'_> {
    /// The outcome, once there is one.
    fn look(&mut self, report: &Report, workload: &mut Workload) -> Option<Outcome> {
        if let Some(outcome) = report.verdicts.iter().find_map(outcome) {
            return Some(outcome);
        }
        let now = sources::wall_us();
        self.ended = self.ended.or_else(|| workload.ended().map(|status| (now, status)));
        let over = now.saturating_sub(self.started) >= self.limit_us;
        match self.ended {
            Some((_, status)) if !status.success() => {
                Some(Outcome::Unclear { why: format!("the command failed: {status}") })
            }
            Some((at, _)) if over || now.saturating_sub(at) >= GRACE_US && self.is_quiet(report) => {
                Some(Outcome::Clean)
            }
            None if over && workload.is_watching_only() => Some(Outcome::Clean),
            None if over => {
                Some(Outcome::Unclear { why: "it still ran at its limit, and nothing looked stuck".into() })
            }
            _ => None,
        }
    }

    /// Nothing has been waiting for longer than the grace. What does not answer is not quiet: a supervisor speaks for
    /// a worker that hangs.
    fn is_quiet(&self, report: &Report) -> bool {
        let recorded = !waits(report);
        recorded && self.daemon.status().is_ok_and(|status| status.worker_alive && status.oldest_us < GRACE_US)
    }
}

/// Whether anything has waited for longer than the grace.
fn waits(report: &Report) -> bool {
    report.orphans.iter().any(|orphan| orphan.age_s.is_none_or(|age_s| age_s * 1e6 >= GRACE_US as f64))
}

/// Verdicts that are hangs, and a death that hides whether there was one.
fn outcome(verdict: &Verdict) -> Option<Outcome> {
    match verdict.cause {
        Cause::WrongBytes | Cause::ObserverFault | Cause::ResourceExhausted => None,
        Cause::DaemonGone => Some(Outcome::Unclear { why: verdict.sentence.clone() }),
        cause => {
            let op = verdict.culprit.as_ref().and_then(|culprit| culprit.op.clone());
            Some(Outcome::Hung { cause, op, sentence: verdict.sentence.clone() })
        }
    }
}

/// The record of this run, read as it grows.
struct Record {
    follow: Follow,
    mixed: Mixed,
    model: Model,
    input: InputId,
}

impl Record {
    fn open(events: &Path, limits: Limits) -> Self {
        let mut model = Model::new(limits);
        let input = model.input(&events.display().to_string());
        Self { follow: Follow::new(events), mixed: Mixed::live(input), model, input }
    }

    fn report(&mut self) -> io::Result<Report> {
        let Self { follow, mixed, model, input } = self;
        while follow.poll(AT_ONCE, |line| mixed.line(line, model))?.1 {}
        mixed.settle(model);
        let counts = mixed.counts();
        model.counted(*input, mixed.format(), counts.lines, counts.events, counts.bad_lines);
        Ok(model.report(Now { wall_us: Some(sources::wall_us()) }))
    }
}
