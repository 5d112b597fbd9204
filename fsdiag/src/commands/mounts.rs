//! `fsdiag mounts`: every FUSE mount with its daemon and its health at a glance.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::{self, Write as _},
    process::ExitCode,
};

use serde::Serialize;

use crate::{
    commands::analyze::{Format, NO_INPUT, select::seconds},
    output::clean::clean,
    sources::kernel::{
        brief::{self, Brief},
        holders,
        look::Sources,
        mountinfo::{self, Mount},
    },
};

/// List every FUSE mount: daemon, waiting requests, health. No mount is touched.
///
/// Exit codes: 0 none is stalled, 1 one is stalled, aborted or dead, 2 wrong usage, 3 nothing can be told of any (not
/// root).
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Age from which an unanswered request counts as stalled.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    pub stalled_after: f64,
}

#[derive(Debug, Serialize)]
struct Listing {
    schema: u32,
    mounts: Vec<Row>,
    /// What could not be read, and why.
    missing: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Row {
    mount: String,
    fstype: String,
    source: String,
    connection: u64,
    /// A process that sees it, where fsdiag does not: it is in another namespace.
    seen_by: Option<u32>,
    daemon: Option<Daemon>,
    /// Requests without an answer; None: unknown.
    waiting: Option<u64>,
    /// The oldest of them, in words.
    oldest: Option<String>,
    oldest_s: Option<f64>,
    health: Health,
}

#[derive(Debug, Serialize)]
struct Daemon {
    pid: u32,
    comm: String,
    /// False: a guess by name.
    sure: bool,
}

/// Health at a glance, worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    Ok,
    /// Requests wait, none for long.
    Busy,
    /// It cannot be told who serves, or what waits.
    Unknown,
    /// A request waits for too long.
    Stalled,
    /// The connection was aborted.
    Aborted,
    /// No process serves it.
    Dead,
}

impl Health {
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Busy => "busy",
            Self::Unknown => "unknown",
            Self::Stalled => "STALLED",
            Self::Aborted => "ABORTED",
            Self::Dead => "DEAD",
        }
    }

    pub fn is_sick(self) -> bool {
        matches!(self, Self::Stalled | Self::Aborted | Self::Dead)
    }
}

/// Prints the list; exit code 1 when a mount is stalled or dead, 3 when nothing can be told of any.
///
/// # Errors
/// When `/proc/self/mountinfo` or stdout fails.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mounts = mountinfo::read()?;
    let sources = Sources::open(&mounts, &[]);
    let stalled_us = (args.stalled_after.max(0.0) * 1e6) as u64;
    let mut rows: Vec<Row> = brief::all(&mounts, &sources).iter().map(|brief| row(brief, stalled_us)).collect();
    rows.extend(elsewhere(&mounts, &sources, stalled_us));
    let listing = Listing { schema: 1, mounts: rows, missing: sources.missing() };
    let mut out = io::stdout().lock();
    match args.format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&listing)?)?,
        Format::Text => write!(out, "{}", text(&listing))?,
    }
    Ok(ExitCode::from(code(&listing.mounts)))
}

/// What the daemons see that are in namespaces of their own, as in containers.
fn elsewhere(ours: &[Mount], sources: &Sources, stalled_us: u64) -> Vec<Row> {
    let mut known: BTreeSet<u64> = ours.iter().filter(|mount| mount.is_fuse()).map(Mount::connection).collect();
    let mut rows = Vec::new();
    for (pid, mut mounts) in mountinfo::elsewhere(holders::scan().pids()) {
        mounts.retain(|mount| mount.is_fuse() && known.insert(mount.connection()));
        let briefs = brief::all(&mounts, sources);
        rows.extend(briefs.iter().map(|brief| Row { seen_by: Some(pid), ..row(brief, stalled_us) }));
    }
    rows
}

/// What is said of them all: one is sick, or of none anything can be told.
fn code(mounts: &[Row]) -> u8 {
    let untold = !mounts.is_empty() && mounts.iter().all(|m| m.health == Health::Unknown);
    match () {
        () if mounts.iter().any(|m| m.health.is_sick()) => 1,
        () if untold => NO_INPUT,
        () => 0,
    }
}

fn row(brief: &Brief, stalled_us: u64) -> Row {
    let mount = &brief.mount;
    Row {
        mount: mount.point.display().to_string(),
        fstype: mount.fstype.clone(),
        source: mount.source.clone(),
        connection: mount.connection(),
        seen_by: None,
        daemon: brief.holder.as_ref().map(|h| Daemon { pid: h.pid, comm: h.comm.clone(), sure: brief.sure }),
        waiting: brief.waiting,
        oldest: brief.oldest.as_ref().map(|seen| {
            let op = seen.request.op().map_or_else(|| format!("opcode {}", seen.request.opcode), |op| op.to_string());
            seen.path().map_or(op.clone(), |path| format!("{op} {path}"))
        }),
        oldest_s: brief.oldest_us.map(|us| us as f64 / 1e6),
        health: health(brief, stalled_us),
    }
}

/// A mount at a glance.
pub fn health(brief: &Brief, stalled_us: u64) -> Health {
    let old = brief.oldest_us.is_some_and(|us| us >= stalled_us);
    let waits = brief.waiting.is_some_and(|n| n > 0);
    match (brief.waiting, &brief.holder) {
        // Whoever waits, waits for somebody.
        (_, None) if brief.sure && brief.connected != Some(true) && !waits => Health::Dead,
        _ if brief.connected == Some(false) => Health::Aborted,
        // Dead or served out of sight.
        (Some(0), None) if brief.connected != Some(true) => Health::Unknown,
        (Some(0), _) => Health::Ok,
        _ if old => Health::Stalled,
        _ if brief.oldest.is_some() && brief.oldest_us.is_none() => Health::Unknown,
        (Some(_), _) => Health::Busy,
        (None, _) => Health::Unknown,
    }
}

fn text(listing: &Listing) -> String {
    let mut out = String::new();
    let width = listing.mounts.iter().map(|m| m.mount.chars().count()).max().unwrap_or(0);
    for m in &listing.mounts {
        out.push_str(&clean(line(m, width)));
        out.push('\n');
    }
    if listing.mounts.is_empty() {
        out.push_str("no FUSE mounts\n");
    }
    for why in &listing.missing {
        let _ = writeln!(out, "not available: {}", clean(why.as_str()));
    }
    out
}

fn line(m: &Row, width: usize) -> String {
    let mut out = format!("{:<8} {:<width$}  {:<16}", m.health.word(), m.mount, m.fstype);
    let _ = match &m.daemon {
        Some(d) => write!(out, " {}{} {}", d.comm, if d.sure { "" } else { "?" }, d.pid),
        None if m.health == Health::Dead => write!(out, " no daemon"),
        None => write!(out, " daemon unknown"),
    };
    let _ = match m.waiting {
        Some(0) => Ok(()),
        Some(n) => write!(out, ", {n} waiting"),
        None => write!(out, ", waiting unknown"),
    };
    if let Some(age) = m.oldest_s {
        let _ = write!(out, ", oldest {age:.1} s");
    }
    if let Some(oldest) = &m.oldest {
        let _ = write!(out, " ({oldest})");
    }
    if let Some(pid) = m.seen_by {
        let _ = write!(out, ", as process {pid} sees it");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::kernel::peek::Seen;

    fn brief(waiting: u64) -> Brief {
        let text = b"70 1 0:57 / /m rw - fuse.sshfs h:/ rw,user_id=0\n";
        let mount = mountinfo::parse(text).remove(0);
        let waiting = Some(waiting);
        Brief { mount, holder: None, sure: true, waiting, connected: None, oldest: None, oldest_us: None }
    }

    #[test]
    fn a_mount_that_requests_wait_for_is_not_dead() {
        assert_eq!(health(&brief(0), 10_000_000), Health::Dead);
        assert_eq!(health(&brief(1), 10_000_000), Health::Busy);
    }

    #[test]
    fn a_mount_whose_daemon_is_out_of_sight_is_not_said_to_be_well() {
        let unseen = Brief { sure: false, ..brief(0) };
        assert_eq!(health(&unseen, 10_000_000), Health::Unknown);
        assert_eq!(health(&Brief { connected: Some(true), ..unseen }, 10_000_000), Health::Ok);
    }

    #[test]
    fn who_sees_nothing_of_any_mount_is_not_told_that_all_are_well() {
        let code = |briefs: &[Brief]| super::code(&briefs.iter().map(|b| row(b, 10_000_000)).collect::<Vec<_>>());
        let unseen = Brief { sure: false, waiting: None, ..brief(0) };
        let well = Brief { connected: Some(true), ..brief(0) };
        assert_eq!(code(&[]), 0);
        assert_eq!(code(&[unseen.clone(), unseen.clone()]), NO_INPUT);
        assert_eq!(code(&[unseen.clone(), well]), 0);
        assert_eq!(code(&[unseen, brief(0)]), 1);
    }

    #[test]
    fn a_request_without_a_clock_is_not_said_to_be_young() {
        let known = Brief { oldest: Some(Seen::without_age(18, 0)), ..brief(1) };
        assert_eq!(health(&known, 10_000_000), Health::Unknown);
        assert_eq!(health(&Brief { oldest_us: Some(11_000_000), ..known.clone() }, 10_000_000), Health::Stalled);
        assert_eq!(health(&Brief { oldest_us: Some(1_000_000), ..known }, 10_000_000), Health::Busy);
    }
}
