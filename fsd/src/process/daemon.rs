//! Daemon: the background twin, and how its parent learns that the mount is ready.

use std::{
    fs::File,
    io::{Read, Write},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::Path,
    time::Duration,
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    exit::{Exit, Failure},
    terminal,
};
use crate::platform::process::{Twin, leave_terminal, split};

/// How long the parent waits for the mount to be ready.
const READY_LIMIT: Duration = Duration::from_secs(90);
/// Lines of the child's log that the parent shows when the child dies.
const TAIL_LINES: usize = 20;

/// The child's end of the pipe to the waiting parent.
#[derive(Debug)]
pub(super) struct Report(File);

impl Report {
    /// Lets the parent print `text` and end well.
    pub(super) fn ready(mut self, text: &str) {
        self.send(Exit::Done, text);
    }

    /// Lets the parent print `failure` and end with its code.
    pub(super) fn failed(mut self, failure: &Failure) {
        self.send(failure.exit, &failure.text);
    }

    fn send(&mut self, exit: Exit, text: &str) {
        // A parent that was killed is no reason to end the mount.
        drop(self.0.write_all(format!("{}\n{text}", exit.code()).as_bytes()));
    }
}

/// Which of the two this is.
pub(super) enum Side {
    /// The parent: how the child's start ended.
    Done(Exit),
    Child(Report),
}

/// Goes to the background; the parent waits for the child's report. The child has nothing of the terminal; its
/// messages go to `log`.
///
/// # Errors
/// No pipe, no log or no process could be made.
pub(super) fn detach(log: &Path) -> Result<Side, Failure> {
    let messages = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(log);
    let messages =
        messages.map_err(|error| Exit::Internal.because(format!("cannot write {}: {error}", log.display())))?;
    let internal = |error: std::io::Error| Exit::Internal.because(format!("cannot go to the background: {error}"));
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(|e| internal(e.into()))?;
    match split().map_err(internal)? {
        Twin::Child => {
            drop(reader);
            leave_terminal(&messages).map_err(internal)?;
            Ok(Side::Child(Report(File::from(writer))))
        }
        Twin::Parent(child) => {
            drop(writer);
            Ok(Side::Done(wait(File::from(reader), child, log)?))
        }
    }
}

fn wait(mut reader: File, child: u32, log: &Path) -> Result<Exit, Failure> {
    let Some(answer) = answer(&mut reader) else {
        let _ = kill(Pid::from_raw(child.cast_signed()), Signal::SIGTERM);
        let text = format!("the mount was not ready within {} s and was told to stop", READY_LIMIT.as_secs());
        return Err(Exit::Internal.because(text + &tail(log)));
    };
    let Some((code, text)) = answer.split_once('\n') else {
        return Err(Exit::Internal.because(format!("the background process died before it was ready{}", tail(log))));
    };
    match code.parse().ok().and_then(Exit::of).unwrap_or(Exit::Internal) {
        Exit::Done => {
            terminal::say(text);
            Ok(Exit::Done)
        }
        exit => Err(exit.because(format!("{text}{}", tail(log)))),
    }
}

/// What the child wrote until it closed its end; None: nothing in time.
fn answer(reader: &mut File) -> Option<String> {
    let limit = PollTimeout::try_from(READY_LIMIT).unwrap_or(PollTimeout::MAX);
    let mut waiting = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
    (poll(&mut waiting, limit).ok()? > 0).then_some(())?;
    let mut text = String::new();
    reader.read_to_string(&mut text).ok()?;
    Some(text)
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n  ");
    if last.is_empty() { String::new() } else { format!("\n{} ends with:\n  {last}", log.display()) }
}
