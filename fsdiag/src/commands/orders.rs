//! `fsdiag stage`, `unstage` and `flag`: orders to a running fsd, over its socket.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use fsd_events::{
    control::{Answer, Request},
    flags::Flag,
};

use super::analyze::{NO_INPUT, complain, say};
use crate::sources::{control, rings};

/// Show a URL as a file of a running fsd. Exit codes: 0 done, 1 refused, 2 wrong usage, 3 no such fsd runs.
#[derive(Clone, Debug, clap::Args)]
pub struct Stage {
    /// Mount point of fsd.
    pub mount: PathBuf,
    /// `-`: the URL is read from standard input, so that its secrets stand in no process list.
    pub url: String,
    /// Show what would be done, do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Accepted for scripts; nobody is hurt, so nobody is asked.
    #[arg(long, short)]
    pub yes: bool,
}

/// Take a staged file away. Exit codes: 0 done, 1 refused, 3 no such fsd runs.
#[derive(Clone, Debug, clap::Args)]
pub struct Unstage {
    /// Mount point of fsd.
    pub mount: PathBuf,
    /// As `fsd list` shows it.
    pub id: String,
    /// Show what would be done, do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Accepted for scripts; nobody is hurt, so nobody is asked.
    #[arg(long, short)]
    pub yes: bool,
}

/// Switch a debug flag of a running fsd. Exit codes: 0 done, 1 refused, 2 wrong usage, 3 no such fsd runs.
#[derive(Clone, Debug, clap::Args)]
pub struct SetFlag {
    /// Mount point of fsd.
    pub mount: PathBuf,
    /// `debug_skip_eviction` or `debug_lock_events`; the others need `fsdiag restart`.
    pub name: String,
    #[arg(action = clap::ArgAction::Set)]
    pub value: bool,
    /// Show what would be done, do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Accepted for scripts; nobody is hurt, so nobody is asked.
    #[arg(long, short)]
    pub yes: bool,
}

/// Longest wait; staging may have to ask a slow origin.
const LIMIT: Duration = Duration::from_secs(60);
const USAGE: u8 = 2;
/// Longest URL that is read.
const URL_LIMIT: u64 = 256 << 10;

/// # Errors
/// When standard input or output fails.
pub fn stage(args: &Stage) -> anyhow::Result<ExitCode> {
    if args.dry_run {
        say("the URL would be shown as a file below Staged")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut url = args.url.clone();
    if url == "-" {
        url.clear();
        io::stdin().take(URL_LIMIT).read_to_string(&mut url)?;
    }
    let url = url.trim().to_owned();
    order(&args.mount, &Request::Stage { url, name: None, headers: Vec::new() })
}

/// # Errors
/// When standard output fails.
pub fn unstage(args: &Unstage) -> anyhow::Result<ExitCode> {
    if args.dry_run {
        say(format!("{} would be evicted when its last reader has closed it", args.id))?;
        return Ok(ExitCode::SUCCESS);
    }
    order(&args.mount, &Request::Unstage { id: args.id.clone() })
}

/// # Errors
/// When standard output fails.
pub fn flag(args: &SetFlag) -> anyhow::Result<ExitCode> {
    let Some(flag) = Flag::parse(&args.name) else {
        let names = Flag::ALL.map(Flag::name).join(", ");
        complain(&[format!("there is no flag `{}`; there are: {names}", args.name)])?;
        return Ok(ExitCode::from(USAGE));
    };
    if args.dry_run {
        say(format!("{} = {} would be set", flag.name(), args.value))?;
        return Ok(ExitCode::SUCCESS);
    }
    order(&args.mount, &Request::SetFlag { flag, value: args.value })
}

fn order(mount: &Path, request: &Request) -> anyhow::Result<ExitCode> {
    let Some(found) = rings::of_mount(mount).filter(|found| found.alive) else {
        complain(&[format!("no fsd serves {}; `fsdiag mounts` lists what is mounted", mount.display())])?;
        return Ok(ExitCode::from(NO_INPUT));
    };
    match control::ask(&found, request, LIMIT) {
        Ok(Answer::Staged { id, path }) => say(format!("{id} {}/{path}", found.mount))?,
        Ok(_) => say("done")?,
        Err(error) => {
            complain(&[error.to_string()])?;
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}
