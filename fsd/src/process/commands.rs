//! Commands: each one carried out, from what was typed to an exit code.

mod mount;
mod orders;
mod staging;
mod supervised;

use std::path::Path;

use crate::observe::stacks;

use super::{
    cli::{Command, ConfigCommand, Target, settings::Settings},
    config,
    control::client::{self, Client},
    exit::{Exit, Failure},
    terminal,
};

pub(super) fn run(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Mount(args) => mount::run(args),
        Command::Stage(args) => staging::stage(args),
        Command::Unstage(args) => staging::unstage(args),
        Command::List(args) => staging::list(&args),
        Command::Status(args) => orders::status(&args),
        Command::Umount(args) => orders::umount(&args),
        Command::Dump(args) => orders::dump(&args),
        Command::Flag(args) => orders::flag(&args),
        Command::Restart(args) => orders::restart(&args),
        Command::Worker => supervised::worker(),
        Command::Supervise => supervised::supervise(),
        Command::Janitor => super::supervisor::janitor::run(),
        Command::Drain(args) => supervised::drain(&args),
        Command::Config(ConfigCommand::Show { origin, settings }) => show(&settings, origin),
        Command::Symbolize { file, tables } => symbolize(&file, tables.as_deref()),
        Command::Demo => demo(),
    }
}

#[cfg(feature = "failpoints")]
fn demo() -> Result<Exit, Failure> {
    super::demo::run()
}

#[cfg(not(feature = "failpoints"))]
fn demo() -> Result<Exit, Failure> {
    Err(Exit::Usage.because(
        "the demo needs a build with bugs on purpose: cargo build --release --workspace --features fsd/failpoints",
    ))
}

fn symbolize(file: &Path, tables: Option<&Path>) -> Result<Exit, Failure> {
    stacks::symbolize::symbolize(file, tables).map_err(anyhow::Error::from)?;
    Ok(Exit::Done)
}

/// Connects to the fsd that `target` names; its runtime directory may be configured like any setting.
fn connect(target: &Target) -> Result<Client, Failure> {
    let configured = || Ok::<_, Failure>(config::Config::new(&Settings::default().written()?).runtime_dir);
    let runtime_dir = target.runtime_dir.clone().map_or_else(configured, |dir| Ok(Some(dir)))?;
    client::connect(target.mount.as_deref(), runtime_dir.as_deref())
}

/// Prints the configuration in force, as it would stand in a file.
fn show(settings: &Settings, origin: bool) -> Result<Exit, Failure> {
    let written = settings.written()?;
    written.warnings.iter().for_each(terminal::complain);
    for [name, value, from] in config::table(&written) {
        let line = format!("{name} = {value}");
        terminal::say(if origin { format!("{line:<48} # {from}") } else { line });
    }
    Ok(Exit::Done)
}
