//! The command line: one variant for each subcommand.

use std::process::ExitCode;

use clap::Parser;

use crate::commands::{analyze, attach, dump, mounts, rescue, tail};

#[derive(Debug, Parser)]
#[command(name = "fsdiag", version, about = "Says what hangs in a FUSE mount, and why")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Analyze(analyze::Args),
    Attach(attach::Args),
    Dump(dump::Args),
    Mounts(mounts::Args),
    Rescue(rescue::Args),
    Tail(tail::Args),
}

/// Does what the command line says; ends the process when it cannot be understood.
///
/// # Errors
/// Those of the subcommand.
pub fn run() -> anyhow::Result<ExitCode> {
    match &Cli::parse().command {
        Command::Analyze(args) => analyze::run(args),
        Command::Attach(args) => attach::run(args),
        Command::Dump(args) => dump::run(args),
        Command::Mounts(args) => mounts::run(args),
        Command::Rescue(args) => rescue::run(args),
        Command::Tail(args) => tail::run(args),
    }
}
