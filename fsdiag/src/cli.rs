//! The command line: one variant for each subcommand.

use std::process::ExitCode;

use clap::Parser;

use crate::{
    commands::{analyze, attach, dump, isolate, mounts, orders, rescue, restart, tail},
    tui::command as tui,
};

#[derive(Debug, Parser)]
#[command(name = "fsdiag", version, about = "Says what hangs in a FUSE mount, and why")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Analyze(analyze::Args),
    Attach(attach::Args),
    Dump(dump::Args),
    Isolate(isolate::Args),
    Mounts(mounts::Args),
    Rescue(rescue::Args),
    Restart(restart::Args),
    Stage(orders::Stage),
    Unstage(orders::Unstage),
    Flag(orders::SetFlag),
    Tail(tail::Args),
    Tui(tui::Args),
}

/// Does what the command line says; ends the process when it cannot be understood.
///
/// # Errors
/// Those of the subcommand.
pub fn run() -> anyhow::Result<ExitCode> {
    // Without a word the screens open on the running mount.
    match &Cli::parse().command.unwrap_or_else(|| Command::Tui(tui::Args::found())) {
        Command::Analyze(args) => analyze::run(args),
        Command::Attach(args) => attach::run(args),
        Command::Dump(args) => dump::run(args),
        Command::Isolate(args) => isolate::run(args),
        Command::Mounts(args) => mounts::run(args),
        Command::Rescue(args) => rescue::run(args),
        Command::Restart(args) => restart::run(args),
        Command::Stage(args) => orders::stage(args),
        Command::Unstage(args) => orders::unstage(args),
        Command::Flag(args) => orders::flag(args),
        Command::Tail(args) => tail::run(args),
        Command::Tui(args) => tui::run(args),
    }
}
