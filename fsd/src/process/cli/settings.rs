//! Flags of the settings: one `--name` for each entry of the table of keys.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};

use super::super::config::{
    self,
    keys::{KEYS, Key, Kind},
    value,
    written::{Origin, Written},
};
use crate::process::exit::{Exit, Failure};

/// What the flags said, as text.
#[derive(Debug, Default)]
pub(in crate::process) struct Settings {
    pub(in crate::process) given: Vec<(&'static str, String)>,
    /// The only configuration file to read.
    pub(in crate::process) config: Option<PathBuf>,
}

impl Settings {
    /// Reads environment and files beside the flags.
    ///
    /// # Errors
    /// A wrong value or an unreadable file: [`Exit::Usage`].
    pub(in crate::process) fn written(&self) -> Result<Written, Failure> {
        self.complete(Written::default())
    }

    /// The same behind what is `written` already.
    ///
    /// # Errors
    /// As [`Settings::written`].
    pub(in crate::process) fn complete(&self, mut written: Written) -> Result<Written, Failure> {
        for (name, text) in &self.given {
            let key = config::keys::find(name).expect("flags are made from the table of keys");
            written.offer(key, text, Origin::Flag).map_err(|text| Exit::Usage.because(text))?;
        }
        config::complete(written, self.config.as_deref()).map_err(|text| Exit::Usage.because(text))
    }
}

impl Args for Settings {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config").long("config").value_name("FILE").value_parser(value_parser!(PathBuf));
        let file = file.help("Read this configuration file only").help_heading("Settings");
        // The place arguments of `mount` are the flags for these two.
        let flags = KEYS.iter().filter(|key| !matches!(key.name, "source" | "mountpoint"));
        let one = Arg::new("no-supervisor").long("no-supervisor").action(ArgAction::SetTrue).help_heading("Settings");
        let one = one.overrides_with("supervisor").help("Serve from this process alone: --supervisor=false");
        flags.fold(command.arg(file).arg(one), |command, key| command.arg(flag(key)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut settings = Self::default();
        settings.update_from_arg_matches(matches)?;
        Ok(settings)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.config = matches.get_one::<PathBuf>("config").cloned();
        for key in KEYS {
            if let Ok(Some(text)) = matches.try_get_one::<String>(key.name) {
                self.given.push((key.name, text.clone()));
            }
        }
        if matches.get_flag("no-supervisor") {
            self.given.push(("supervisor", "false".to_owned()));
        }
        Ok(())
    }
}

fn flag(key: &'static Key) -> Arg {
    let default = if key.default.is_empty() { String::new() } else { format!(" [default: {}]", key.default) };
    let arg = Arg::new(key.name).long(key.name.replace('_', "-")).help_heading("Settings");
    let arg = arg.help(format!("{}{default}", key.help)).long_help(format!(
        "{}{default} [allowed: {}]",
        key.help,
        value::allowed(key.kind)
    ));
    match key.kind {
        Kind::Bool => arg.value_name("BOOL").num_args(0..=1).require_equals(true).default_missing_value("true"),
        Kind::Path => arg.value_name("PATH"),
        _ => arg.value_name("VALUE"),
    }
}
