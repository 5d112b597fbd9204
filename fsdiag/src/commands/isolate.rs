//! `fsdiag isolate`: walks the debugging guide by itself. A workload runs under no flag, each flag, and both; the
//! verdicts are compared, and what they prove is said.

pub mod account;
pub mod conclude;
pub mod daemon;
pub mod setting;
pub mod trial;

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, Result};

use self::{
    account::{Account, Course, line},
    conclude::Finding,
    daemon::{Daemon, Unchosen},
    setting::Setting,
    trial::Terms,
};
use super::analyze::{Format, NO_INPUT, complain, print, say, select::seconds};
use crate::{engine::model::Limits, sources::kernel::sys::EndSignals};

/// Find out where a hang comes from: run a workload under no flag, debug_skip_eviction, debug_fskit_single_thread, and
/// both, and compare the verdicts.
///
/// Before each run the worker is replaced by a hand-over, so that runs begin alike and whoever hung is freed; no client
/// sees an error. The flags from before are in force again at the end, also after Ctrl-C. The command runs without a
/// shell, with FSD_MOUNT, FSD_ISOLATE_RUN and FSD_ISOLATE_SETTING in its environment; without a command the mount's
/// own users are watched.
///
/// Exit codes: 0 concluded, 1 the runs do not allow a conclusion, 2 wrong usage (several fsd are mounted and none
/// is named, too), 3 no such fsd runs, 4 not confirmed,
/// 5 the workload never hung under no flag, 6 the flags could not be restored, 130 interrupted.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Mount point of fsd; may be left out where only one is mounted.
    pub mount: Option<PathBuf>,
    /// Runs under each setting.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub runs: u32,
    /// Longest run.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = seconds)]
    pub limit: f64,
    /// Age from which an open operation counts as stalled.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    pub stalled_after: f64,
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Keep the report in this file.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Show what would be done, do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
    /// The workload.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

const NO_CONCLUSION: u8 = 1;
const USAGE: u8 = 2;
const NOT_CONFIRMED: u8 = 4;
const NEVER_HUNG: u8 = 5;
const NOT_RESTORED: u8 = 6;
const INTERRUPTED: u8 = 130;

/// Runs, compares, concludes, restores.
///
/// # Errors
/// When the report cannot be written.
pub fn run(args: &Args) -> Result<ExitCode> {
    let daemon = match daemon::choose(args.mount.as_deref()) {
        Ok(daemon) => daemon,
        Err(Unchosen::None(why)) => {
            complain(&[why])?;
            return Ok(ExitCode::from(NO_INPUT));
        }
        Err(Unchosen::Several(why)) => {
            complain(&[why])?;
            return Ok(ExitCode::from(USAGE));
        }
    };
    let before = match daemon.status() {
        Ok(status) => Setting::of(status.flags),
        Err(error) => {
            complain(&[format!("{} does not say which flags it has: {error}", daemon.mount.display())])?;
            return Ok(ExitCode::from(NO_INPUT));
        }
    };
    complain(&preview(args, &daemon, before))?;
    if args.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    if !args.yes && !confirmed()? {
        complain(&["nothing was done".to_owned()])?;
        return Ok(ExitCode::from(NOT_CONFIRMED));
    }
    isolate(args, &daemon, before)
}

fn preview(args: &Args, daemon: &Daemon, before: Setting) -> Vec<String> {
    let runs = f64::from(args.runs) * 4.0;
    let workload = if args.command.is_empty() { "the mount's own users".to_owned() } else { args.command.join(" ") };
    vec![
        format!("{}: {workload}, {} runs each under {}", daemon.mount.display(), args.runs, all_settings()),
        format!(
            "  - each run ends at a verdict, at the workload's end, or after {} s: {:.0} minutes at most",
            args.limit,
            runs * args.limit / 60.0
        ),
        "  - before each run a new worker takes the mount over with the flags of that run; clients see no error".into(),
        "  - a workload that hangs is killed, and freed by the next worker".into(),
        format!("  - at the end the flags are as now: {}", before.words()),
    ]
}

fn all_settings() -> String {
    Setting::ALL.map(Setting::words).join(", ")
}

fn confirmed() -> io::Result<bool> {
    let mut say = io::stderr().lock();
    if !io::stdin().is_terminal() {
        writeln!(say, "fsdiag: not asked, because the input is no terminal; give --yes to do it")?;
        return Ok(false);
    }
    write!(say, "Type `yes` to do it: ")?;
    say.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}

fn isolate(args: &Args, daemon: &Daemon, before: Setting) -> Result<ExitCode> {
    // From here on Ctrl-C is a wish to stop, after the flags are restored.
    let signals = EndSignals::take().context("cannot take signals over")?;
    let terms = Terms {
        command: &args.command,
        limits: Limits { stalled_us: (args.stalled_after.clamp(0.1, 1e9) * 1e6) as i64, ..Limits::default() },
        limit_us: (args.limit.clamp(0.1, 1e9) * 1e6) as u64,
        signals: &signals,
    };
    let mut guide = Guide { daemon, terms, runs: args.runs, course: Course::default() };
    let walked = guide.walk();
    let restored = daemon.set(before);
    let mut course = guide.course;
    course.notes.extend(restored.as_ref().err().map(|why| format!("the flags could not be restored: {why}")));
    let limits_s = (args.limit, args.stalled_after);
    let account = course.account(daemon.mount.display().to_string(), &args.command, args.runs, limits_s);
    let account = Account { restored: restored.is_ok(), ..account };
    let walk = walked.context("the workload could not be run")?;
    hand_over(args, &account)?;
    Ok(ExitCode::from(match (walk, &account) {
        _ if !account.restored => NOT_RESTORED,
        (Walk::Interrupted, _) => INTERRUPTED,
        (Walk::Ended, account) if account.conclusion.finding.is_answer() => 0,
        (Walk::Ended, account) if account.conclusion.finding == Finding::NotReproduced => NEVER_HUNG,
        (Walk::Ended, _) => NO_CONCLUSION,
    }))
}

fn hand_over(args: &Args, account: &Account) -> Result<()> {
    let spelt = match args.format {
        Format::Json => serde_json::to_string_pretty(account)? + "\n",
        Format::Text => account.text(),
    };
    let Some(file) = &args.output else { return print(&spelt) };
    std::fs::write(file, &spelt).with_context(|| format!("cannot write {}", file.display()))?;
    say(account.conclusion.sentence.as_str())?;
    say(format!("report: {}", file.display()))
}

/// How the walk ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Walk {
    Ended,
    Interrupted,
}

/// The guide: which run comes next, and what stops it.
struct Guide<'a> {
    daemon: &'a Daemon,
    terms: Terms<'a>,
    runs: u32,
    course: Course,
}

impl Guide<'_> {
    /// First what is to be explained; then the flags in turns, so that a change of the world meets all alike.
    fn walk(&mut self) -> io::Result<Walk> {
        for number in 1..=self.runs {
            if self.step(Setting::NoFlag, number)? == Step::Stop {
                return Ok(self.stopped());
            }
        }
        if !self.course.runs.iter().any(|run| matches!(run.outcome, trial::Outcome::Hung { .. })) {
            return Ok(Walk::Ended);
        }
        for number in 1..=self.runs {
            for setting in &Setting::ALL[1..] {
                if self.step(*setting, number)? == Step::Stop {
                    return Ok(self.stopped());
                }
            }
        }
        Ok(Walk::Ended)
    }

    fn stopped(&self) -> Walk {
        if self.terms.signals.wait(0) { Walk::Interrupted } else { Walk::Ended }
    }

    fn step(&mut self, setting: Setting, number: u32) -> io::Result<Step> {
        if self.course.refused.iter().any(|(refused, _)| *refused == setting) {
            return Ok(Step::Next);
        }
        if let Err(why) = self.daemon.set(setting) {
            complain(std::slice::from_ref(&why))?;
            self.course.refused.push((setting, why));
            return Ok(if setting == Setting::NoFlag { Step::Stop } else { Step::Next });
        }
        let (run, remains) = trial::run(self.daemon, setting, number, &self.terms)?;
        let hung = run.as_ref().is_none_or(|run| !matches!(run.outcome, trial::Outcome::Clean));
        let interrupted = run.is_none();
        if let Some(run) = run {
            complain(&[format!("{}/{} {}", number, self.runs, line(&run))])?;
            self.course.runs.push(run);
        }
        if let Err(why) = self.free(hung, remains) {
            complain(std::slice::from_ref(&why))?;
            self.course.notes.push(why);
            return Ok(Step::Stop);
        }
        Ok(if interrupted { Step::Stop } else { Step::Next })
    }

    /// A worker that closes nothing answers whoever hung in the close path, and a new one whoever hung elsewhere.
    fn free(&self, hung: bool, mut remains: trial::Remains) -> Result<(), String> {
        if hung && self.daemon.status().is_ok_and(|status| status.supervised) {
            self.daemon.set(Setting::SkipEviction)?;
        } else if hung && remains.hangs() {
            return Err("what hung still hangs, and without a supervisor no new worker can free it".to_owned());
        }
        remains.end()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Next,
    Stop,
}
