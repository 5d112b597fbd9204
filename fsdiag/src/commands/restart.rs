//! `fsdiag restart`: a new worker for a running fsd, with other debug flags; no client sees an error where that can be.

mod anew;
mod way;

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};
use fsd_events::control::Request;

pub use self::way::Way;
use super::analyze::{NO_INPUT, complain, print};
use crate::sources::{
    self, control,
    kernel::{mountinfo, sys},
    owned,
    rings::{self, Mount},
};

/// Replace the worker of a running fsd, also of one that does not answer its socket.
///
/// As a rule the worker is dumped, the next one takes its mount over, and waiting clients get their bytes. An fsd
/// without a supervisor becomes one by that. A
/// supervisor that does not answer is killed first: its worker takes its place. Where neither can be, the connection
/// is aborted and the mount made anew; that hurts, so it is said and asked for beforehand. Root does not restart the
/// fsd of a plain user: the command line would be run with root's rights.
///
/// Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no such fsd runs, 4 not confirmed; else those of `fsd`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Mount point of fsd.
    pub mount: PathBuf,
    /// Release closes and evicts nothing: if the hang stops, the close path is guilty.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub debug_skip_eviction: Option<bool>,
    /// One request at a time: if the hang disappears, it is a concurrency issue.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub debug_fskit_single_thread: Option<bool>,
    /// The fsd that the new worker runs.
    #[arg(long, value_name = "PATH")]
    pub binary: Option<PathBuf>,
    /// Show what would be done, do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask. A restart that hurts nobody is not asked about anyway.
    #[arg(long, short)]
    pub yes: bool,
}

/// Exit code: not confirmed.
const NOT_CONFIRMED: u8 = 4;
/// A worker takes the place of its supervisor within milliseconds; looks, and the pause between two.
const LOOKS: u32 = 100;
const LOOK_MS: u64 = 200;

/// # Errors
/// When `fsd` does not lie beside this program, or output fails.
pub fn run(args: &Args) -> Result<ExitCode> {
    let point = mountinfo::lexical(&std::env::current_dir().unwrap_or_default(), &args.mount);
    let Some(found) = rings::of_mount(&point).filter(|found| found.alive) else {
        complain(&[format!("no fsd serves {}; `fsdiag mounts` lists what is mounted", point.display())])?;
        return Ok(ExitCode::from(NO_INPUT));
    };
    if found.owner != owned::uid() {
        let advice = "restart it as that user, or free its clients with `fsdiag rescue`";
        complain(&[format!("the fsd that serves {} is of user {}: {advice}", found.mount, found.owner)])?;
        return Ok(ExitCode::FAILURE);
    }
    let way = Way::of(&found);
    print(&way.preview(&found, &words(args, &found).join(" ")))?;
    if args.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    if way.hurts() && !args.yes && !confirmed()? {
        print("nothing was done\n")?;
        return Ok(ExitCode::from(NOT_CONFIRMED));
    }
    match way {
        Way::HandOver | Way::Alone => hand_over(args, &found),
        Way::Succession { supervisor } => match succeed(supervisor, &found.mount)? {
            Some(found) => hand_over(args, &found),
            None => anew::restart(args, &found),
        },
        Way::Anew => anew::restart(args, &found),
    }
}

fn hand_over(args: &Args, found: &Mount) -> Result<ExitCode> {
    print("hand over to a new worker: ")?;
    let status = fsd(&words(args, found)).status().context("cannot run fsd: install both programs together")?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

/// The `fsd` beside this program.
fn fsd(words: &[String]) -> Command {
    let program = std::env::current_exe().unwrap_or_default().with_file_name("fsd");
    let mut command = Command::new(program);
    command.args(words);
    command
}

/// Kills a supervisor that does not answer; its worker becomes the next one. None: nobody did.
fn succeed(supervisor: u32, mount: &str) -> Result<Option<Mount>> {
    print(&format!("kill the supervisor {supervisor}, which does not answer: "))?;
    sys::kill(supervisor).context("cannot kill it")?;
    for _ in 0..LOOKS {
        sources::pause(LOOK_MS);
        let Some(found) = rings::of_mount(Path::new(mount)).filter(|found| found.alive) else { continue };
        if found.supervisor != supervisor && control::ask(&found, &Request::Status, way::ANSWER_LIMIT).is_ok() {
            print(&format!("done, its worker took its place (pid {})\n", found.supervisor))?;
            return Ok(Some(found));
        }
    }
    print("done, but its worker did not take its place\n")?;
    Ok(None)
}

fn confirmed() -> Result<bool> {
    if !io::stdin().is_terminal() {
        complain(&["not asked, because the input is no terminal; give --yes to do it".to_owned()])?;
        return Ok(false);
    }
    let mut out = io::stdout().lock();
    write!(out, "Type `yes` to do it: ")?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}

/// As `fsd` takes them.
fn words(args: &Args, found: &Mount) -> Vec<String> {
    let mut words = vec!["restart".to_owned(), found.mount.clone()];
    words.extend(flags(args));
    words.extend(args.binary.iter().map(|path| format!("--binary={}", path.display())));
    words
}

fn flags(args: &Args) -> Vec<String> {
    let wanted = [
        ("--debug-skip-eviction", args.debug_skip_eviction),
        ("--debug-fskit-single-thread", args.debug_fskit_single_thread),
    ];
    wanted.into_iter().filter_map(|(name, value)| value.map(|value| format!("{name}={value}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_said_is_passed_on() {
        let args = Args {
            mount: "/m".into(),
            debug_skip_eviction: Some(false),
            debug_fskit_single_thread: None,
            binary: None,
            dry_run: false,
            yes: true,
        };
        assert_eq!(flags(&args), ["--debug-skip-eviction=false"]);
    }
}
