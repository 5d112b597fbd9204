//! Janitor: the last one to leave. It unmounts when supervisor and workers are all gone without having done it.
//!
//! A process of its own in a group of its own, holding nothing but the end of a pipe: nothing that kills the others
//! by mistake kills it, and it cannot keep the connection alive.

use std::{
    io::{self, BufRead, BufReader, PipeWriter, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    kernel::mount::{self, At},
    process::exit::{Exit, Failure},
};

/// What the janitor is told, one JSON object a line.
#[derive(Debug, Serialize, Deserialize)]
enum Word {
    /// This is the mount to take away.
    Mounted { dir: PathBuf, connection: u32, helper: bool },
    /// It was taken away in order.
    Done,
}

/// The supervisor's end.
pub(super) struct Janitor {
    pipe: PipeWriter,
    process: Option<Child>,
}

impl Janitor {
    /// Starts `program janitor`.
    pub(super) fn start(program: &Path) -> io::Result<Self> {
        let (reader, pipe) = io::pipe()?;
        let process = Command::new(program)
            .arg0("fsd-janitor")
            .arg("janitor")
            .stdin(Stdio::from(reader))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self { pipe, process: Some(process) })
    }

    /// The end of an earlier supervisor's pipe: its janitor still listens.
    pub(super) fn adopt(pipe: PipeWriter) -> Self {
        Self { pipe, process: None }
    }

    /// For the workers: as long as one end is open, the janitor waits.
    pub(super) fn pipe(&self) -> &PipeWriter {
        &self.pipe
    }

    pub(super) fn mounted(&mut self, at: &At) -> io::Result<()> {
        self.say(&Word::Mounted { dir: at.dir.clone(), connection: at.connection, helper: at.helper })
    }

    /// The mount is gone: the janitor can go too.
    pub(super) fn done(mut self) {
        // One that is gone already has nothing to do either.
        drop(self.say(&Word::Done));
        drop(self.pipe);
        if let Some(mut process) = self.process {
            drop(process.wait());
        }
    }

    fn say(&mut self, word: &Word) -> io::Result<()> {
        let mut line = serde_json::to_vec(word)?;
        line.push(b'\n');
        self.pipe.write_all(&line)
    }
}

/// The janitor itself: listens on stdin until everybody is gone.
///
/// # Errors
/// When the mount is still there in the end.
pub(in crate::process) fn run() -> Result<Exit, Failure> {
    match last_word(BufReader::new(io::stdin().lock())) {
        Some(at) => take_away(&at),
        None => Ok(Exit::Done),
    }
}

/// The mount that was left behind; None when there is none.
fn last_word(input: impl BufRead) -> Option<At> {
    let mut left = None;
    for line in input.lines().map_while(Result::ok) {
        match serde_json::from_str(&line) {
            Ok(Word::Mounted { dir, connection, helper }) => left = Some(At { dir, connection, helper }),
            Ok(Word::Done) => left = None,
            Err(_) => (),
        }
    }
    left
}

fn take_away(at: &At) -> Result<Exit, Failure> {
    if !at.is_mounted() {
        return Ok(Exit::Done);
    }
    let mut at_once = |_| true;
    mount::unmount(at, Duration::ZERO, &mut at_once, &mut |_| ())
        .map(|_| Exit::Aborted)
        .map_err(|error| Exit::Mount.because(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_took_away_is_left() {
        let mounted = br#"{"Mounted":{"dir":"/m","connection":7,"helper":false}}"#;
        let text = [mounted.as_slice(), b"\n"].concat();
        assert_eq!(last_word(text.as_slice()).map(|at| at.connection), Some(7));
        let text = [text.as_slice(), b"\"Done\"\n"].concat();
        assert!(last_word(text.as_slice()).is_none());
        assert!(last_word(b"garbage\n".as_slice()).is_none());
    }
}
