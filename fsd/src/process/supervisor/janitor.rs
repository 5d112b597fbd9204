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
    data::store,
    kernel::mount::{self, At},
    process::{
        exit::{Exit, Failure},
        places::Places,
    },
};

/// What the janitor is told, one JSON object a line.
#[derive(Debug, Serialize, Deserialize)]
enum Word {
    /// This is the mount to take away, with what belongs to it.
    Mounted { dir: PathBuf, connection: u32, helper: bool, left: Left },
    /// It was taken away in order.
    Done,
}

/// What a mount leaves behind beside itself.
#[derive(Debug, Serialize, Deserialize)]
struct Left {
    runtime: PathBuf,
    state: PathBuf,
    shared: bool,
    temp: PathBuf,
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

    pub(super) fn mounted(&mut self, at: &At, places: &Places, temp: &Path) -> io::Result<()> {
        let At { dir, connection, helper } = at.clone();
        let Places { runtime, state, shared, .. } = places;
        let (runtime, state, shared) = (runtime.clone(), state.clone(), *shared);
        let left = Left { runtime, state, shared, temp: temp.to_owned() };
        self.say(&Word::Mounted { dir, connection, helper, left })
    }

    /// The mount is gone: the janitor can go too. Gives its process, if it is ours to wait for.
    pub(super) fn done(mut self) -> Option<Child> {
        // One that is gone already has nothing to do either.
        drop(self.say(&Word::Done));
        self.process
    }

    /// Lets it take away what is left: it begins when nobody has the pipe any more. Gives its process, as above.
    pub(super) fn leave(self) -> Option<Child> {
        self.process
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
        Some((at, left)) => take_away(&at, left),
        None => Ok(Exit::Done),
    }
}

/// The mount that was left behind; None when there is none. The word that it was taken away is the last, though somebody
/// may still have the pipe: a dead worker of which a thread hangs in the kernel.
fn last_word(input: impl BufRead) -> Option<(At, Left)> {
    let mut mounted = None;
    for line in input.lines().map_while(Result::ok) {
        match serde_json::from_str(&line) {
            Ok(Word::Mounted { dir, connection, helper, left }) => {
                mounted = Some((At { dir, connection, helper }, left));
            }
            Ok(Word::Done) => return None,
            Err(_) => (),
        }
    }
    mounted
}

fn take_away(at: &At, left: Left) -> Result<Exit, Failure> {
    let mut at_once = |_| true;
    let unmounted = mount::unmount(at, Duration::ZERO, &mut at_once, &mut |_| ());
    // The one who has the directories now, if anybody, is a new fsd on the same mount point: it cleans up itself.
    if let Ok(places) = Places::inherit(left.runtime, left.state, left.shared) {
        places.name_runs();
        drop(places);
    }
    store::sweep(&left.temp);
    unmounted.map(|_| Exit::Aborted).map_err(|error| Exit::Mount.because(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_took_away_is_left() {
        let mounted = br#"{"Mounted":{"dir":"/m","connection":7,"helper":false,"left":
            {"runtime":"/r","state":"/s","shared":true,"temp":"/t"}}}"#;
        let mounted = String::from_utf8_lossy(mounted).replace('\n', "");
        let text = [mounted.as_bytes(), b"\n"].concat();
        assert_eq!(last_word(text.as_slice()).map(|(at, _)| at.connection), Some(7));
        let text = [text.as_slice(), b"\"Done\"\n"].concat();
        assert!(last_word(text.as_slice()).is_none());
        assert!(last_word(b"garbage\n".as_slice()).is_none());
    }
}
