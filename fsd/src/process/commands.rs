//! Commands: each one carried out, from what was typed to an exit code.

use super::{
    cli::{Command, ConfigCommand, settings::Settings},
    config,
    exit::{Exit, Failure},
    terminal,
};

pub(super) fn run(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Config(ConfigCommand::Show { origin, settings }) => show(&settings, origin),
        _ => Err(Exit::Internal.because("not built yet")),
    }
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
