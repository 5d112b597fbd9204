//! `fsdiag dump`: the stacks of any process, taken from outside.

mod names;

use std::{
    fs,
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use fsd_events::stacks::{self, StackDump};

use crate::{
    output::clean::clean,
    sources::{
        kernel::{look::Sources, mountinfo, task},
        ptrace::{self, LIMIT, Outlook, Pauses, USUAL_PAUSE},
        tables::{self, Shared},
    },
};

/// Dump the stacks of all threads of a process, or of the daemon behind a mount, by ptrace.
///
/// Works when the daemon's own dumper cannot: it is stopped, its watchdog is dead, or it is another program. Threads
/// are stopped one after the other, each for a fraction of a millisecond.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Process id, or mount point. A mount point is looked up in the kernel's table only, never touched.
    #[arg(value_name = "PID|MOUNT")]
    pub target: String,
    /// Write the dump to this file instead of stdout.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Unstripped binary, or directory with such files, for names; matched by build id. May be repeated.
    #[arg(long, value_name = "PATH")]
    pub debug_file: Vec<PathBuf>,
    /// Addresses only.
    #[arg(long)]
    pub no_names: bool,
    /// Show what would be done, do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask. Without a terminal nobody is asked.
    #[arg(long, short)]
    pub yes: bool,
}

/// Exit codes: 0 done · 1 could not be done · 4 not confirmed.
///
/// # Errors
/// When there is no such process, no right to trace it, or nowhere to write.
pub fn run(args: &Args) -> Result<ExitCode> {
    let mut say = io::stderr().lock();
    let (pid, mount) = target(&args.target)?;
    let outlook = ptrace::outlook(pid)?;
    let (pauses, limit) = (USUAL_PAUSE.as_micros(), LIMIT.as_millis());
    let who = match outlook.threads {
        1 => format!("one thread; it pauses for {pauses} us"),
        many => format!("{many} threads; they pause one after the other, for {pauses} us each"),
    };
    writeln!(
        say,
        "fsdiag: process {pid} ({}) has {who} (longer on a busy machine); one that does not stop within {limit} ms is \
         not waited for",
        clean(outlook.comm.as_str())
    )?;
    if args.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    if !args.yes && !confirmed(&mut say)? {
        return Ok(ExitCode::from(4));
    }
    let (mut dump, pauses) = capture(&outlook, mount)?;
    if let Some(file) = args.output.as_ref().filter(|file| !args.no_names && !is_special(file)) {
        // Names take longer than the dump: whoever cannot wait for them, or kills the process now, has this.
        replace(file, &dump)?;
    }
    if !args.no_names {
        let said;
        (dump, said) = names::of(dump, pid, &args.debug_file);
        said.into_iter().try_for_each(|what| writeln!(say, "fsdiag: {}", clean(what)))?;
    }
    match &args.output {
        Some(file) => replace(file, &dump)?,
        None => io::stdout().lock().write_all(spelt(&dump).as_bytes())?,
    }
    let unstoppable = match pauses.unstoppable {
        0 => String::new(),
        n => format!("; {n} could not be stopped and were read from /proc"),
    };
    let paused = match (dump.threads.len() - pauses.unstoppable, pauses.longest.as_micros()) {
        (0, _) => "no thread paused".to_owned(),
        (1, longest) => format!("one thread paused, for {longest} us"),
        (many, longest) => {
            format!("{many} threads paused, for {} us (median), {longest} us at most", pauses.median.as_micros())
        }
    };
    writeln!(say, "fsdiag: {paused}{unstoppable}")?;
    Ok(ExitCode::SUCCESS)
}

/// The threads, and what an fsd says of them in shared memory.
fn capture(outlook: &Outlook, mount: Option<PathBuf>) -> Result<(StackDump<'static>, Pauses)> {
    let shared = tables::of_process(outlook.pid);
    let mount = mount.or_else(|| shared.as_ref().map(Shared::mount_point));
    let (mut dump, pauses) = ptrace::capture(outlook, mount.as_deref())?;
    // Read again: the first look may be older than the stacks by as long as the images took to load.
    shared.and_then(|_| tables::of_process(outlook.pid)).into_iter().for_each(|shared| shared.join(&mut dump));
    Ok((dump, pauses))
}

/// Whether the threads may be stopped; nobody is asked where nobody can answer.
fn confirmed(say: &mut impl io::Write) -> Result<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(true);
    }
    write!(say, "fsdiag: continue? [y/N] ")?;
    say.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn spelt(dump: &StackDump<'_>) -> String {
    let mut text = String::new();
    // A String takes everything.
    let _always = stacks::write(dump, &mut text);
    text
}

/// A pipe or a terminal, say: it is written to and not replaced.
fn is_special(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|meta| !meta.is_file())
}

/// Writes the file so that it is whole at every moment.
fn replace(file: &Path, dump: &StackDump<'_>) -> Result<()> {
    let cannot = || format!("cannot write {}", file.display());
    if is_special(file) {
        return fs::write(file, spelt(dump)).with_context(cannot);
    }
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = file.file_name().with_context(cannot)?.to_string_lossy();
    let beside = dir.join(format!(".{name}.{}", std::process::id()));
    fs::write(&beside, spelt(dump)).with_context(cannot)?;
    fs::rename(&beside, file).with_context(cannot)
}

/// The process that was named, and its mount if that was named.
fn target(text: &str) -> Result<(u32, Option<PathBuf>)> {
    if let Ok(pid) = text.parse() {
        return Ok((pid, None));
    }
    let mounts = mountinfo::read().context("cannot read /proc/self/mountinfo")?;
    let point = mountinfo::lexical(&std::env::current_dir().unwrap_or_default(), Path::new(text));
    let Some(mount) = mountinfo::at(&mounts, &point).filter(|m| m.is_fuse()) else {
        bail!("{} is neither a process id nor a FUSE mount; `fsdiag mounts` lists mounts", point.display());
    };
    let found = Sources::open(&mounts, &[]).holders().of_connection(mount.connection(), mount.kind());
    // Of several holders the one with most threads: a supervisor has few.
    let daemon = found.holders.iter().max_by_key(|h| (task::ids(h.pid).len(), std::cmp::Reverse(h.pid)));
    match daemon {
        Some(daemon) => {
            if !found.sure {
                let who = format!("process {} ({})", daemon.pid, daemon.comm);
                writeln!(io::stderr(), "fsdiag: {who} perhaps serves {}: nothing tells for sure", point.display())?;
            }
            Ok((daemon.pid, Some(point)))
        }
        None => bail!("no process serves {}, as far as this user can see", point.display()),
    }
}
