//! Teller: says what an act does while it does it. Who reads slowly, or no more, does not hold the act.

use std::{
    io::{self, Write},
    sync::mpsc::{self, Receiver, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

/// What comes next may wait so long for what was said before.
const IN_ORDER: Duration = Duration::from_secs(1);

enum Piece {
    Words(Vec<u8>),
    /// Answered once everything before it is said.
    Mark(Sender<()>),
}

/// Writes to stdout, and never fails. Dropping it waits until everything is said, or nobody reads any more.
#[derive(Debug)]
pub struct Teller {
    pieces: Option<Sender<Piece>>,
    thread: Option<JoinHandle<()>>,
}

impl Teller {
    pub fn start() -> Self {
        Self::to(io::stdout())
    }

    /// Without a thread nothing is said, and the act is done all the same.
    fn to(out: impl Write + Send + 'static) -> Self {
        let (pieces, said) = mpsc::channel();
        let thread = thread::Builder::new().name("teller".to_owned()).spawn(move || tell(&said, out));
        Self { pieces: Some(pieces), thread: thread.ok() }
    }

    fn send(&self, piece: Piece) {
        if let Some(pieces) = &self.pieces {
            // Nobody takes it where the reader has gone.
            let _ = pieces.send(piece);
        }
    }
}

fn tell(pieces: &Receiver<Piece>, mut out: impl Write) {
    for piece in pieces {
        let told = match piece {
            Piece::Words(words) => out.write_all(&words).and_then(|()| out.flush()),
            Piece::Mark(reached) => reached.send(()).or(Ok(())),
        };
        if told.is_err() {
            return;
        }
    }
}

impl Write for Teller {
    fn write(&mut self, words: &[u8]) -> io::Result<usize> {
        self.send(Piece::Words(words.to_vec()));
        Ok(words.len())
    }

    /// Waits until everything is said, for a second at most.
    fn flush(&mut self) -> io::Result<()> {
        let (reached, mark) = mpsc::channel();
        self.send(Piece::Mark(reached));
        let _ = mark.recv_timeout(IN_ORDER);
        Ok(())
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        drop(self.pieces.take());
        self.thread.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_full_pipe_holds_nobody_and_gets_everything() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut teller = Teller::to(writer);
        let long = "x".repeat(1 << 20);
        assert!(writeln!(teller, "{long}").is_ok(), "said while nobody reads");
        let reads = thread::Builder::new().spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).map(|_| text.len())
        });
        drop(teller);
        assert_eq!(reads.unwrap().join().unwrap().unwrap(), long.len() + 1);
    }

    #[test]
    fn a_reader_who_has_gone_is_no_error() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut teller = Teller::to(writer);
        for _ in 0..3 {
            writeln!(teller, "abort: done").and_then(|()| teller.flush()).unwrap();
        }
    }
}
