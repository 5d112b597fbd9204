//! `fsdiag mounts`: every FUSE mount with its daemon and its health at a glance.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use serde::Serialize;

use crate::sources::kernel::{fusectl::Fusectl, holders, mountinfo};

/// How `fsdiag mounts` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    #[default]
    Text,
    Json,
}

/// List every FUSE mount: daemon, waiting requests, health. No mount is touched.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
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
    daemon: Option<Daemon>,
    /// Requests without an answer; None: unknown.
    waiting: Option<u64>,
    health: &'static str,
}

#[derive(Debug, Serialize)]
struct Daemon {
    pid: u32,
    comm: String,
}

/// Prints the list; exit code 1 when a mount is not healthy.
///
/// # Errors
/// When `/proc/self/mountinfo` or stdout fails.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let listing = collect()?;
    let mut out = io::stdout().lock();
    match args.format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&listing)?)?,
        Format::Text => write!(out, "{}", text(&listing))?,
    }
    let sick = listing.mounts.iter().any(|m| m.health != "ok");
    Ok(ExitCode::from(u8::from(sick)))
}

fn collect() -> io::Result<Listing> {
    let mounts = mountinfo::read()?;
    let mut missing = Vec::new();
    let fusectl = Fusectl::open(&mounts).map_err(|e| missing.push(format!("fusectl: {e}"))).ok();
    let all = holders::scan();
    let row = |m: &mountinfo::Mount| {
        let (daemons, sure) = holders::of_connection(&all, m.connection(), m.kind());
        let waiting = fusectl.as_ref().and_then(|f| f.waiting(m.connection()).ok());
        let health = match (daemons.is_empty() && sure, waiting) {
            (true, _) => "dead",
            (false, Some(0)) => "ok",
            (false, Some(_)) => "waiting",
            (false, None) => "unknown",
        };
        Row {
            mount: m.point.display().to_string(),
            fstype: m.fstype.clone(),
            source: m.source.clone(),
            connection: m.connection(),
            daemon: daemons.first().map(|d| Daemon { pid: d.pid, comm: d.comm.clone() }),
            waiting,
            health,
        }
    };
    let rows = mounts.iter().filter(|m| m.is_fuse()).map(row).collect();
    Ok(Listing { schema: 1, mounts: rows, missing })
}

fn text(listing: &Listing) -> String {
    let mut out = String::new();
    for m in &listing.mounts {
        let daemon = m.daemon.as_ref().map_or_else(|| String::from("-"), |d| format!("{} {}", d.comm, d.pid));
        let waiting = m.waiting.map_or_else(|| String::from("?"), |n| n.to_string());
        out.push_str(&format!("{:<8} {:<20} waiting {waiting:<5} {} {}\n", m.health, daemon, m.fstype, m.mount));
    }
    for why in &listing.missing {
        out.push_str(&format!("not available: {why}\n"));
    }
    out
}
