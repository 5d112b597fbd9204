//! Mount: from the command line to a running worker.

use std::{ffi::OsString, io::IsTerminal};

use crate::{
    data::source::is_url,
    observe::{Form, log},
    platform::process::set_title,
    process::{
        cli::{Mount, settings::Settings},
        config::{
            Config, LogFormat, keys, redacted,
            written::{Origin, Written},
        },
        daemon::{self, Side},
        exit::{Exit, Failure},
        failpoints, places, signals,
        supervisor::{self, Order},
        terminal,
        worker::{self, Host, Job},
    },
};

/// Where the messages of a daemon go, in its state directory.
const LOG: &str = "fsd.log";

pub(in crate::process) fn run(mut args: Mount) -> Result<Exit, Failure> {
    let argv = hide_arguments();
    let (source, mountpoint) = split(std::mem::take(&mut args.places));
    let mut written = read(&args.settings, source, mountpoint)?;
    let warnings = std::mem::take(&mut written.warnings);
    let config = Config::new(&written);
    let Some(mountpoint) = config.mountpoint.clone() else {
        return Err(Exit::Usage.because("no mount point: write `fsd mount SOURCE MOUNTPOINT`, or set mountpoint"));
    };
    if is_url(&mountpoint.to_string_lossy()) {
        return Err(Exit::Usage.because("the mount point is a URL: write `fsd mount SOURCE MOUNTPOINT`"));
    }
    if config.supervisor && config.recorder == Form::Heap {
        return Err(Exit::Usage.because(
            "a supervisor follows its worker through shared memory, which recorder = heap does without: \
             write recorder = shared or off, or add --no-supervisor",
        ));
    }
    let _armed = failpoints::arm(&args.failpoints)?;
    let mountpoint = places::absolute(&mountpoint);
    warnings.iter().for_each(terminal::complain);
    let settings = supervisor::settings(&written);
    let order = Order { config, settings, failpoints: args.failpoints.clone(), mountpoint, argv, report: None };
    if args.daemon { background(order) } else { foreground(order) }
}

fn foreground(order: Order) -> Result<Exit, Failure> {
    messages(&order.config)?;
    let outcome = serve(order);
    log::flush();
    outcome
}

fn background(order: Order) -> Result<Exit, Failure> {
    let report = match daemon::detach(&places::log_file(&order.config, &order.mountpoint, LOG)?)? {
        Side::Done(exit) => return Ok(exit),
        Side::Child(report) => report,
    };
    if let Err(failure) = messages(&order.config) {
        report.failed(&failure);
        return Ok(failure.exit);
    }
    let outcome = serve(Order { report: Some(report), ..order });
    log::flush();
    outcome
}

/// With a supervisor that owns the mount, or all in this process.
fn serve(order: Order) -> Result<Exit, Failure> {
    if order.config.supervisor {
        return supervisor::run(order);
    }
    let Order { config, settings, mountpoint, argv, report, .. } = order;
    worker::run(Job { config, settings, mountpoint, argv, report, places: None, mount_run: None, host: Host::Own })
}

/// Opens the log for people; nobody who has a message ever waits for who reads it. It starts the first thread of the
/// process, so signals are held here.
pub(super) fn messages(config: &Config) -> Result<(), Failure> {
    signals::hold().map_err(|error| Exit::Internal.because(format!("cannot hold signals: {error}")))?;
    let format = match config.log_format {
        LogFormat::Json => log::Format::Json,
        // The seed's lines are written as they are, beside the messages.
        LogFormat::Text | LogFormat::Seed => log::Format::Text,
    };
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    log::init(&config.log_level, format, colour)
        .map_err(|error| Exit::Internal.because(format!("cannot write messages: {error}")))
}

/// Takes the arguments out of the process list, where everybody could read a URL's secrets; returns them redacted.
fn hide_arguments() -> Vec<String> {
    let argv: Vec<String> = std::env::args_os().map(|arg| redact(&arg)).collect();
    set_title(&argv.join("\0"));
    argv
}

/// One argument without credentials, also in `--flag=URL` and `name=action`.
fn redact(arg: &OsString) -> String {
    let text = arg.to_string_lossy();
    match text.split_once('=') {
        Some((flag, value)) if flag.starts_with("--") => format!("{flag}={}", redacted(value)),
        _ => redacted(&text),
    }
}

/// Source and mount point. A single place is the mount point, unless it is a URL.
fn split(mut places: Vec<OsString>) -> (Option<String>, Option<String>) {
    let text = |place: OsString| place.to_string_lossy().into_owned();
    let last = places.pop().map(text);
    match (places.pop().map(text), last) {
        (None, Some(url)) if url.contains("://") => (Some(url), None),
        both => both,
    }
}

/// The settings, with the places of the command line as the strongest.
fn read(settings: &Settings, source: Option<String>, mountpoint: Option<String>) -> Result<Written, Failure> {
    let mut written = Written::default();
    for (name, place) in [("source", source), ("mountpoint", mountpoint)] {
        if let (Some(key), Some(text)) = (keys::find(name), place) {
            written.offer(key, &text, Origin::Flag).map_err(|text| Exit::Usage.because(text))?;
        }
    }
    settings.complete(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_is_the_mount_point_unless_it_is_a_url() {
        let read = |places: &[&str]| split(places.iter().map(OsString::from).collect());
        assert_eq!(read(&["/m"]), (None, Some("/m".into())));
        assert_eq!(read(&["http://h/"]), (Some("http://h/".into()), None));
        assert_eq!(read(&["/files", "/m"]), (Some("/files".into()), Some("/m".into())));
        assert_eq!(read(&[]), (None, None));
    }

    #[test]
    fn no_argument_shows_a_secret() {
        for arg in ["http://u:CANARY@h/a?CANARY", "--source=http://h/?k=CANARY"] {
            assert!(!redact(&arg.into()).contains("CANARY"), "{arg}");
        }
        assert_eq!(redact(&"--threads=8".into()), "--threads=8");
    }
}
