//! `fsdiag rescue`: gives the clients of a frozen mount their lives back, in the only order that works.
//!
//! Abort before unmount: a lazy unmount alone leaves every request in flight stuck for ever. Works for any daemon.

mod plan;

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, Result};

pub use plan::{Plan, Situation, Step};

use crate::{
    output::{clean::clean, teller::Teller},
    sources::kernel::{fusectl::Fusectl, holders, look::Sources, mountinfo, sys},
};

/// Abort the connection of a frozen FUSE mount and unmount it. Everything is shown before it is done.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Mount point. It is looked up in the kernel's table only, never touched.
    pub mount: PathBuf,
    /// Show the steps, do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
    /// Leave the mount in place after the abort.
    #[arg(long)]
    pub keep_mounted: bool,
    /// Kill a daemon that is still there after the abort.
    #[arg(long)]
    pub kill: bool,
}

/// How long a daemon may take to notice the abort, or to be gone once it is killed, milliseconds.
const NOTICE_MS: i32 = 3_000;

/// Exit codes: 0 done, or nothing to do · 1 a step failed · 3 no such FUSE mount · 4 not confirmed.
///
/// # Errors
/// When the kernel's tables cannot be read.
pub fn run(args: &Args) -> Result<ExitCode> {
    of_daemons(args, &[], &mut Teller::start())
}

/// The same for a mount whose own record names its processes, which counts where the kernel does not tell them; said to
/// `out`: clients that wait to be freed do not wait for who reads it.
///
/// # Errors
/// As [`run`].
pub(super) fn of_daemons(args: &Args, named: &[u32], out: &mut Teller) -> Result<ExitCode> {
    let mounts = mountinfo::read().context("cannot read /proc/self/mountinfo")?;
    let point = mountinfo::lexical(&std::env::current_dir().unwrap_or_default(), &args.mount);
    let Some(mount) = mountinfo::at(&mounts, &point).filter(|m| m.is_fuse()) else {
        writeln!(out, "{} is no FUSE mount; `fsdiag mounts` lists them", clean(point.display().to_string()))?;
        return Ok(ExitCode::from(3));
    };
    let situation = look(mount, &mounts, named);
    let plan = Plan::new(&situation, args.keep_mounted, args.kill);
    write!(out, "{}", plan.preview(&situation))?;
    if args.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    if !args.yes && !confirmed(out)? {
        writeln!(out, "nothing was done")?;
        return Ok(ExitCode::from(4));
    }
    let now = mountinfo::read().context("cannot read /proc/self/mountinfo")?;
    if !args.yes && !is_the_same(&situation, &now, named) {
        writeln!(out, "the mount or its daemons have changed meanwhile: nothing was done, look again")?;
        return Ok(ExitCode::from(4));
    }
    perform(&plan, &situation, &mounts, out)
}

/// Whether what a person has confirmed is still what is there: numbers of connections and processes are given anew.
fn is_the_same(confirmed: &Situation, mounts: &[mountinfo::Mount], named: &[u32]) -> bool {
    let mount = mounts.iter().find(|mount| is_of(confirmed, mount));
    let now = mount.map(|mount| look(mount, mounts, named));
    now.is_some_and(|now| now.daemons == confirmed.daemons && now.sure == confirmed.sure)
}

/// The number alone may be that of a later mount.
fn is_of(situation: &Situation, mount: &mountinfo::Mount) -> bool {
    mount.is_fuse() && mount.connection() == situation.connection && mount.point == situation.point
}

fn is_there(situation: &Situation) -> bool {
    mountinfo::read().is_ok_and(|mounts| mounts.iter().any(|mount| is_of(situation, mount)))
}

fn look(mount: &mountinfo::Mount, mounts: &[mountinfo::Mount], named: &[u32]) -> Situation {
    let connection = mount.connection();
    let found = Sources::open(mounts, &[]).holders().of_connection(connection, mount.kind());
    let mut pids: Vec<u32> = found.holders.iter().map(|h| h.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    let by_record = !found.sure && pids.iter().any(|pid| named.contains(pid));
    pids.retain(|pid| !by_record || named.contains(pid));
    Situation {
        point: mount.point.clone(),
        kind: mount.fstype.clone(),
        connection,
        waiting: Fusectl::open(mounts).and_then(|f| f.waiting(connection)).ok(),
        daemons: pids.into_iter().map(|pid| (pid, holders::comm(pid))).collect(),
        sure: found.sure || by_record,
    }
}

fn confirmed(out: &mut impl io::Write) -> Result<bool> {
    if !io::stdin().is_terminal() {
        writeln!(out, "not asked, because the input is no terminal; give --yes to do it")?;
        return Ok(false);
    }
    write!(out, "Type `yes` to do it: ")?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}

fn perform(
    plan: &Plan,
    situation: &Situation,
    mounts: &[mountinfo::Mount],
    out: &mut impl io::Write,
) -> Result<ExitCode> {
    let mut failed = false;
    for step in &plan.steps {
        let said = match take(*step, situation, mounts) {
            Ok(()) => "done".to_owned(),
            Err(error) => {
                failed = true;
                format!("failed: {error}")
            }
        };
        writeln!(out, "{}: {said}", clean(step.title(situation)))?;
    }
    let left = is_there(situation);
    let point = clean(situation.point.display().to_string());
    match (left, plan.unmounts()) {
        (true, true) => writeln!(out, "{point} is still mounted")?,
        (true, false) => writeln!(out, "{point} stays mounted; its clients got errors")?,
        (false, _) => writeln!(out, "{point} is unmounted")?,
    }
    Ok(if (left && plan.unmounts()) || (failed && !plan.unmounts()) { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn take(step: Step, situation: &Situation, mounts: &[mountinfo::Mount]) -> io::Result<()> {
    match step {
        Step::Abort => Fusectl::open(mounts)?.abort(situation.connection, || is_there(situation)),
        Step::ForceAbort => sys::umount(&situation.point, sys::Unmount::Force),
        Step::Unmount => sys::umount(&situation.point, sys::Unmount::Plain)
            .or_else(|_| sys::umount(&situation.point, sys::Unmount::Detach))
            .or_else(|error| fusermount(&situation.point).map_err(|_| error)),
        Step::AwaitDaemon { pid } => sys::await_end(pid, NOTICE_MS),
        // Until it is gone it answers for the mount, and nobody else may.
        Step::Kill { pid } => sys::kill(pid).and_then(|()| sys::await_end(pid, NOTICE_MS)),
    }
}

/// For a plain user, who may only ask the helper.
fn fusermount(point: &std::path::Path) -> io::Result<()> {
    let status = std::process::Command::new("fusermount3").args(["-u", "-z", "--"]).arg(point).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("fusermount3 {status}"))) }
}
