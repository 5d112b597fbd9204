//! Messages for people: written by a thread of their own, so that a full pipe or disk stops nobody.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, SyncSender},
    },
    thread::Builder,
    time::Duration,
};

use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use super::{config::LogFormat, exit::Exit, exit::Failure};

/// Lines that may wait for a slow reader; more are dropped and counted.
const QUEUE: usize = 1024;
/// How long the end of the program waits for the last lines.
const LAST_WORDS: Duration = Duration::from_secs(1);

enum Item {
    Line(Vec<u8>),
    /// Answered when everything before it is written.
    Flush(mpsc::Sender<()>),
}

/// The messages of this process. Cheap to clone.
#[derive(Clone)]
pub(super) struct Messages {
    queue: SyncSender<Item>,
    dropped: Arc<AtomicU64>,
}

/// Where messages go.
pub(super) enum Sink<'a> {
    Stderr,
    /// Appended to, 0600.
    File(&'a Path),
}

impl Messages {
    /// Starts the writer and makes it the home of every `tracing` message.
    ///
    /// # Errors
    /// The file cannot be opened, or the thread cannot be started.
    pub(super) fn start(level: &str, format: LogFormat, sink: &Sink<'_>) -> Result<Self, Failure> {
        let colour = matches!(sink, Sink::Stderr) && io::IsTerminal::is_terminal(&io::stderr());
        let to: Box<dyn Write + Send> = match sink {
            Sink::Stderr => Box::new(io::stderr()),
            Sink::File(path) => Box::new(append(path).map_err(|error| {
                Exit::Internal.because(format!("cannot write messages to {}: {error}", path.display()))
            })?),
        };
        let (queue, items) = mpsc::sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let messages = Self { queue, dropped: Arc::clone(&dropped) };
        let writer = Builder::new().name("fsd-messages".to_owned()).spawn(move || write(to, &items, &dropped));
        writer.map_err(|error| Exit::Internal.because(format!("cannot start a thread: {error}")))?;
        messages.install(level, format, colour);
        Ok(messages)
    }

    fn install(&self, level: &str, format: LogFormat, colour: bool) {
        let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
        let base = tracing_subscriber::fmt().with_env_filter(filter).with_writer(self.clone()).with_ansi(colour);
        // A second mount in one process (tests) keeps the first one's messages.
        drop(match format {
            LogFormat::Json => tracing::subscriber::set_global_default(base.json().finish()),
            LogFormat::Text => tracing::subscriber::set_global_default(base.with_target(false).finish()),
            // The seed's lines stand alone: `[FUSE] Release ENTER (id=456)`.
            LogFormat::Seed => tracing::subscriber::set_global_default(
                base.without_time().with_level(false).with_target(false).finish(),
            ),
        });
    }

    /// Waits for what was said so far, one second at most.
    pub(super) fn finish(&self) {
        let (done, wait) = mpsc::channel();
        if self.queue.try_send(Item::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(LAST_WORDS);
        }
    }
}

fn append(path: &Path) -> io::Result<std::fs::File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn write(mut to: Box<dyn Write + Send>, items: &Receiver<Item>, dropped: &AtomicU64) {
    for item in items {
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            drop(writeln!(to, "{lost} messages were dropped: nobody read them in time"));
        }
        match item {
            Item::Line(line) => drop(to.write_all(&line).and_then(|()| to.flush())),
            Item::Flush(done) => drop(done.send(())),
        }
    }
}

impl<'a> MakeWriter<'a> for Messages {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { text: Vec::new(), messages: self.clone() }
    }
}

/// One message on its way; it goes into the queue when it is complete.
pub(super) struct Line {
    text: Vec<u8>,
    messages: Messages,
}

impl Write for Line {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let line = std::mem::take(&mut self.text);
        if !line.is_empty() && self.messages.queue.try_send(Item::Line(line)).is_err() {
            self.messages.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_never_reads_stops_nobody_and_the_loss_is_told() {
        let (queue, items) = mpsc::sync_channel(2);
        let messages = Messages { queue, dropped: Arc::default() };
        for _ in 0..5 {
            messages.make_writer().write_all(b"line\n").unwrap();
        }
        assert_eq!(messages.dropped.load(Ordering::Relaxed), 3);
        let (reader, to) = io::pipe().unwrap();
        let dropped = Arc::clone(&messages.dropped);
        drop(messages);
        write(Box::new(to), &items, &dropped);
        let text = io::read_to_string(reader).unwrap();
        assert_eq!(text, "3 messages were dropped: nobody read them in time\nline\nline\n");
    }
}
