//! Command line: what can be typed, and which command it starts.

pub(super) mod settings;

use std::{ffi::OsString, path::PathBuf};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind};

use crate::data::source::is_url;

use self::settings::Settings;
use super::{
    commands,
    exit::{Exit, Failure},
    terminal,
};

/// A FUSE mount daemon that streams remote files, never hangs, and carries its own flight recorder.
#[derive(Parser)]
#[command(name = "fsd", version, arg_required_else_help = true, after_help = EXITS)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

const EXITS: &str = "\
Examples:
  fsd mount https://host/files/ /mnt/files
  fsd stage https://host/film.mkv
  fsd umount /mnt/files

Exit codes:
  0 done                 3 no such fsd runs      66 the source refuses
  1 refused              16 unmounted by abort   70 internal
  2 wrong usage/config   32 cannot mount         75 the source does not answer

`fsd COMMAND --help` tells more of each command.";

#[derive(Subcommand)]
pub(super) enum Command {
    /// Mount a source and serve it until it is unmounted.
    Mount(Mount),
    /// Show a URL as the file Staged/ID/NAME of a running mount; prints ID and path.
    Stage(Stage),
    /// Take a staged file away; it goes when nobody has it open.
    Unstage(Unstage),
    /// List the staged files.
    List(Query),
    /// Say what a running mount does: requests in flight, open files, room taken, whether it is stalled.
    Status(Query),
    /// Unmount: waits for open files up to the mount's drain_timeout, then aborts.
    Umount(Umount),
    /// Write the stacks of all threads to a file and print its name.
    Dump(Target),
    /// Change debug_skip_eviction or debug_lock_events of a running mount; for the other flags see restart.
    Flag(SetFlag),
    /// Replace the worker of a mount that has a supervisor, with other debug flags or another binary; no client sees an
    /// error.
    Restart(Restart),
    /// Show the configuration: what is set, and where.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Serves a mount for a supervisor.
    #[command(hide = true)]
    Worker,
    /// Takes the place of a supervisor that died.
    #[command(hide = true)]
    Supervise,
    /// Unmounts what supervisor and workers left behind.
    #[command(hide = true)]
    Janitor,
    /// Writes what a dead run left in its rings.
    #[command(hide = true)]
    Drain(Drain),
    /// Add names to a stack dump; the dumper starts it.
    #[command(hide = true)]
    Symbolize {
        /// The dump; it is replaced.
        file: PathBuf,
        /// Directory of the run's shared tables, for paths.
        tables: Option<PathBuf>,
    },
    /// Mount an origin of our own, hang the mount on purpose, show the verdict of fsdiag, clean up.
    Demo,
}

#[derive(clap::Args)]
#[command(override_usage = "fsd mount [OPTIONS] [SOURCE] MOUNTPOINT")]
pub(super) struct Mount {
    /// SOURCE: an http(s) directory or file, a manifest (.toml, .json), or a local directory; without one only what is
    /// staged is shown. MOUNTPOINT: an empty directory. Both may stand in the configuration instead.
    #[arg(value_names = ["SOURCE", "MOUNTPOINT"], num_args = 0..=2)]
    pub(super) places: Vec<OsString>,
    /// Go to the background once the mount is ready.
    #[arg(long)]
    pub(super) daemon: bool,
    /// Arm a bug on purpose, NAME=ACTIONS (builds with the feature failpoints only).
    #[arg(long = "failpoint", value_name = "NAME=ACTIONS", hide = !cfg!(feature = "failpoints"))]
    pub(super) failpoints: Vec<String>,
    #[command(flatten)]
    pub(super) settings: Settings,
}

#[derive(clap::Args)]
pub(super) struct Target {
    /// The mount point of the running fsd; not needed when only one runs.
    pub(super) mount: Option<PathBuf>,
    /// The --runtime-dir of the running fsd, if it was started with one.
    #[arg(long, value_name = "DIR")]
    pub(super) runtime_dir: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(super) struct Query {
    #[command(flatten)]
    pub(super) target: Target,
    /// Print one JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(clap::Args)]
#[command(override_usage = "fsd stage [OPTIONS] URL [MOUNT]\n       fsd stage [OPTIONS] --url-file FILE [MOUNT]")]
pub(super) struct Stage {
    /// The http(s) URL, or `-` to read it from stdin; with --url-file there is none.
    #[arg(required_unless_present = "url_file")]
    pub(super) url: Option<String>,
    #[command(flatten)]
    pub(super) target: Target,
    /// Read the URL from this file, so that secrets in it never stand in the process list.
    #[arg(long, value_name = "FILE")]
    pub(super) url_file: Option<PathBuf>,
    /// File name to show; default: the last part of the URL's path.
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// File with HTTP headers for this URL, one `Name: value` a line.
    #[arg(long, value_name = "FILE")]
    pub(super) header_file: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(super) struct Unstage {
    /// Id of the staged file, as `fsd list` shows it.
    pub(super) id: String,
    #[command(flatten)]
    pub(super) target: Target,
}

#[derive(clap::Args)]
pub(super) struct Umount {
    #[command(flatten)]
    pub(super) target: Target,
    /// Abort at once: requests in flight fail.
    #[arg(long)]
    pub(super) force: bool,
}

#[derive(clap::Args)]
pub(super) struct SetFlag {
    /// debug_skip_eviction or debug_lock_events.
    pub(super) name: String,
    /// true or false.
    pub(super) value: String,
    #[command(flatten)]
    pub(super) target: Target,
}

#[derive(clap::Args)]
pub(super) struct Restart {
    #[command(flatten)]
    pub(super) target: Target,
    /// From now on Release closes and evicts nothing, or does again.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) debug_skip_eviction: Option<bool>,
    /// From now on one request at a time, or many again.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) debug_fskit_single_thread: Option<bool>,
    /// Record every step of every lock, or no more.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) debug_lock_events: Option<bool>,
    /// The fsd that the new worker runs.
    #[arg(long, value_name = "PATH")]
    pub(super) binary: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(super) struct Drain {
    /// `CAUSE,RUN,RESENT`: why the run ended, who came after it, and how many requests came again.
    #[arg(long)]
    pub(super) handover: Option<String>,
    /// Directory of its rings.
    pub(super) run: PathBuf,
    /// Directory of its event file.
    pub(super) state: PathBuf,
}

#[derive(Subcommand)]
pub(super) enum ConfigCommand {
    /// Print every setting with its value, as it would stand in a file.
    Show {
        /// Say behind each value where it came from.
        #[arg(long)]
        origin: bool,
        #[command(flatten)]
        settings: Settings,
    },
}

/// Reads the command line, carries it out, reports.
pub fn main() -> Exit {
    let args: Vec<OsString> = std::env::args_os().collect();
    let line = match parse(&args) {
        Ok(line) => line,
        Err(exit) => return exit,
    };
    match commands::run(line.command) {
        Ok(exit) => exit,
        Err(Failure { exit, text }) => {
            terminal::complain(text);
            exit
        }
    }
}

fn parse(args: &[OsString]) -> Result<Line, Exit> {
    let matches = Line::command().try_get_matches_from(args);
    matches.and_then(|matches| Line::from_arg_matches(&matches)).map_err(|error| {
        match without_urls(&error, args) {
            Some(text) => terminal::complain(text.trim_end()),
            // Help and version are no failure; clap writes them to stdout.
            None => drop(error.print()),
        }
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Done,
            _ => Exit::Usage,
        }
    })
}

/// What is wrong in clap's words, without the URLs that it quotes; None where there are none.
fn without_urls(error: &clap::Error, args: &[OsString]) -> Option<String> {
    let texts = args.iter().filter_map(|arg| arg.to_str());
    let values = texts.flat_map(|arg| [arg, arg.split_once('=').map_or(arg, |(_, value)| value)]);
    let said = error.render().to_string();
    let shown = values.filter(|value| is_url(value)).fold(said.clone(), |text, url| text.replace(url, "URL"));
    (shown != said).then_some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Line {
        parse(&line.split(' ').map(OsString::from).collect::<Vec<_>>()).ok().unwrap()
    }

    #[test]
    fn the_definition_is_sound() {
        Line::command().debug_assert();
    }

    #[test]
    fn a_url_in_the_wrong_place_is_not_quoted() {
        let url = "http://u:CANARY@h/?token=CANARY";
        for line in [format!("fsd stage {url} /m {url}"), format!("fsd mount --colour={url}"), format!("fsd {url}")] {
            let args: Vec<_> = line.split(' ').map(OsString::from).collect();
            let error = Line::command().try_get_matches_from(&args).unwrap_err();
            let shown = without_urls(&error, &args).unwrap_or_else(|| error.render().to_string());
            assert!(shown.contains("error: ") && !shown.contains("CANARY"), "{shown}");
        }
        let args = [OsString::from("fsd"), OsString::from("frobnicate")];
        let error = Line::command().try_get_matches_from(&args).unwrap_err();
        assert_eq!(without_urls(&error, &args), None, "there is none");
    }

    #[test]
    fn a_debug_flag_needs_no_value() {
        let Command::Mount(mount) = read("fsd mount --debug-skip-eviction http://h/ /m --threads 8").command else {
            panic!("not the mount command")
        };
        assert_eq!(mount.places, ["http://h/", "/m"]);
        assert_eq!(mount.settings.given, [("threads", "8".to_owned()), ("debug_skip_eviction", "true".to_owned())]);
    }

    #[test]
    fn the_help_lists_every_exit_code() {
        for exit in Exit::ALL {
            assert!(EXITS.contains(&format!("{} ", exit.code())), "{exit:?}");
        }
    }
}
