//! Anew: the connection is aborted, what served it is killed, and the same command line mounts again.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use fsd_events::{
    event::Body,
    line::{self, Decoded},
};

use super::{Args, flags, fsd};
use crate::{
    commands::{analyze::complain, rescue},
    output::{clean::clean, teller::Teller},
    sources::rings::Mount,
};

/// What is needed to mount again; read before anything is killed.
struct Former {
    argv: Vec<String>,
    dir: Option<PathBuf>,
}

/// # Errors
/// When `fsd` cannot be run, or output fails.
pub(super) fn restart(args: &Args, found: &Mount) -> Result<ExitCode> {
    let former = former(found);
    let rescue =
        rescue::Args { mount: PathBuf::from(&found.mount), dry_run: false, yes: true, keep_mounted: false, kill: true };
    let mut out = Teller::start();
    rescue::of_daemons(&rescue, &[found.pid, found.supervisor], &mut out)?;
    let Some(former) = former else {
        complain(&[format!("its command line is not in {}: mount it again by hand", found.events.display())])?;
        return Ok(ExitCode::FAILURE);
    };
    let words = command_line(&former.argv, &flags(args));
    writeln!(out, "fsd {}", clean(words.join(" ")))?;
    out.flush()?;
    let mut command = fsd(&words);
    if let Some(dir) = former.dir {
        command.current_dir(dir);
    }
    let status = command.status().context("cannot run fsd: install both programs together")?;
    if !status.success() {
        let why = "secrets of a URL are in no record: if it had some, mount it again by hand";
        complain(&[why.to_owned()])?;
    }
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

/// The first line of an event file says how the daemon was started.
fn former(found: &Mount) -> Option<Former> {
    let mut first = String::new();
    BufReader::new(File::open(&found.events).ok()?).read_line(&mut first).ok()?;
    let Decoded::Event(event) = line::decode(first.trim_end().as_bytes()) else { return None };
    let Body::Start(start) = event.body else { return None };
    let argv: Vec<String> = start.argv.iter().map(ToString::to_string).collect();
    (!argv.is_empty()).then(|| Former { argv, dir: fs::read_link(format!("/proc/{}/cwd", found.pid)).ok() })
}

/// The same words, in the background, with these flags in the place of their former values.
fn command_line(argv: &[String], flags: &[String]) -> Vec<String> {
    let name = |word: &str| word.split('=').next().unwrap_or(word).to_owned();
    let replaced: Vec<String> = flags.iter().map(|flag| name(flag)).collect();
    let kept = argv.iter().skip(1).filter(|word| !replaced.contains(&name(word)));
    let mut words: Vec<String> = kept.cloned().collect();
    if !words.iter().any(|word| word == "--daemon") {
        words.push("--daemon".to_owned());
    }
    words.extend(flags.iter().cloned());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_takes_the_place_of_its_former_value() {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let argv = owned(&["fsd", "mount", "http://h/", "/m", "--debug-skip-eviction"]);
        let words = command_line(&argv, &owned(&["--debug-skip-eviction=false"]));
        assert_eq!(words, ["mount", "http://h/", "/m", "--daemon", "--debug-skip-eviction=false"]);
    }
}
