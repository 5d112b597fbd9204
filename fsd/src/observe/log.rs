//! The human log: messages for people, on standard error, which may be a pipe that nobody reads.
//!
//! A thread of its own writes; whoever has a message puts it into a bounded queue or, when that is full, drops and
//! counts it.

use std::{
    fmt::{self, Write as _},
    io::{self, Write},
    panic,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{self, Receiver, SyncSender},
    },
    thread,
    time::Duration,
};

use fsd_events::event::{Body, Stall};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter, fmt::format};

use super::journal;

/// Messages that wait for the thread at most.
const QUEUE: usize = 1024;
/// How long the end of the process waits for what is queued.
const PATIENCE: Duration = Duration::from_millis(500);

/// How messages look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people, coloured when standard error is a terminal and `NO_COLOR` is not set.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

enum Message {
    Line(Vec<u8>),
    Flush(mpsc::Sender<()>),
}

static TO_THREAD: OnceLock<SyncSender<Message>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);
static JSON: AtomicBool = AtomicBool::new(false);

/// Sends `tracing`'s messages and panics to standard error by way of the thread. `filter` is a level or the
/// directives of `RUST_LOG`. Once a process.
///
/// # Errors
/// When the filter cannot be read, the thread cannot be started, or it was called before.
pub fn init(filter: &str, format: Format, colour: bool) -> io::Result<()> {
    let filter = EnvFilter::try_new(filter).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
    start(io::stderr())?;
    let built = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Lines);
    let set = match format {
        Format::Text => built.with_ansi(colour).with_target(false).fmt_fields(fields()).try_init(),
        Format::Json => built.json().try_init(),
    };
    set.map_err(io::Error::other)?;
    JSON.store(format == Format::Json, Relaxed);
    panic::set_hook(Box::new(|info| {
        journal::invariant("panic", &info.to_string());
        say(&format!("{info}\n"));
    }));
    Ok(())
}

/// The message, which comes first, and fields on one line, whatever names a source made up.
fn fields() -> impl for<'w> format::FormatFields<'w> + Send + Sync + 'static {
    let one = |writer: &mut format::Writer<'_>, field: &tracing::field::Field, value: &dyn fmt::Debug| {
        let mut out = OneLine(writer);
        match field.name() {
            "message" => write!(out, "{value:?}"),
            // Where a library's message comes from in its sources.
            name if name.starts_with("log.") => Ok(()),
            name => write!(out, " {name}={value:?}"),
        }
    };
    format::debug_fn(one)
}

/// Writes what could end the line, or have a terminal do something, as `\n` or `\u{1b}`.
struct OneLine<W>(W);

impl<W: fmt::Write> fmt::Write for OneLine<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(is_order) {
            let (plain, order) = part.strip_suffix(is_order).map_or((part, None), |plain| (plain, part.chars().last()));
            self.0.write_str(plain)?;
            order.map_or(Ok(()), |order| write!(self.0, "{}", order.escape_default()))?;
        }
        Ok(())
    }
}

/// Control characters, and what breaks a line or turns its direction.
fn is_order(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `text` on one line, for people.
pub fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // A string takes whatever is written.
    let _always = OneLine(&mut out).write_str(text);
    out
}

fn start(out: impl Write + Send + 'static) -> io::Result<()> {
    let (queue, messages) = mpsc::sync_channel(QUEUE);
    TO_THREAD.set(queue).map_err(|_| io::Error::from(io::ErrorKind::AlreadyExists))?;
    thread::Builder::new().name("fsd-log".into()).spawn(move || write_all(&messages, out)).map(drop)
}

/// Writes what comes, and how much did not come. A reader that has gone away ends nothing.
fn write_all(messages: &Receiver<Message>, mut out: impl Write) {
    let mut told = 0;
    while let Ok(message) = messages.recv() {
        let dropped = DROPPED.load(Relaxed);
        if dropped > told {
            drop(writeln!(out, "fsd: {} messages dropped, nobody read them in time", dropped - told));
            told = dropped;
        }
        match message {
            Message::Line(line) => drop(out.write_all(&line)),
            // The one who asked may have stopped waiting.
            Message::Flush(done) => done.send(()).unwrap_or_default(),
        }
    }
}

/// Puts text that ends in a line feed on the human log. Never blocks.
pub fn say(text: &str) {
    send(text.as_bytes().to_vec());
}

/// Says what must be read even by a parser of the original's lines: as it is, except in a log of JSON.
fn notice(text: &str) {
    if JSON.load(Relaxed) {
        tracing::warn!("{}", text.trim_end());
    } else {
        say(text);
    }
}

fn send(line: Vec<u8>) {
    let Some(queue) = TO_THREAD.get() else { return };
    if queue.try_send(Message::Line(line)).is_err() {
        DROPPED.fetch_add(1, Relaxed);
    }
}

/// Messages that found the queue full so far.
pub fn dropped() -> u64 {
    DROPPED.load(Relaxed)
}

/// Waits until everything said so far is written, half a second at most; call it last.
pub fn flush() {
    let (done, is_done) = mpsc::channel();
    if TO_THREAD.get().is_some_and(|queue| queue.try_send(Message::Flush(done)).is_ok()) {
        // Nobody reads: what is queued is given up.
        let _given_up = is_done.recv_timeout(PATIENCE);
    }
}

/// Makes a buffer for each message.
#[derive(Clone, Copy, Debug)]
struct Lines;

/// One message, sent when it is complete.
#[derive(Debug)]
struct Line(Vec<u8>);

impl MakeWriter<'_> for Lines {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line(Vec::with_capacity(256))
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            send(std::mem::take(&mut self.0));
        }
    }
}

/// Says what a person must know of an event: a stall, and with `seed` ENTER and EXIT, in the words of the Go original.
pub(super) fn tell(body: &Body<'_>, seed: bool) {
    match body {
        Body::Stall(stall) => notice(&stall_text(stall)),
        Body::StallEnd(_) => notice("[watchdog] operations move again\n"),
        _ if seed => seed_text(body).into_iter().for_each(|line| send(line.into_bytes())),
        _ => (),
    }
}

fn stall_text(stall: &Stall<'_>) -> String {
    let mut text = match stall.ops.first() {
        Some(first) => {
            let (count, seconds) = (stall.ops.len(), first.us / 1_000_000);
            format!(
                "[watchdog] {count} stalled operations, the oldest is {} (id={}) since {seconds} s",
                first.op, first.id
            )
        }
        None => String::from("[watchdog] the kernel holds requests that nobody reads"),
    };
    if let Some(stacks) = &stall.stacks {
        text.push_str("; stacks in ");
        text.push_str(stacks);
    }
    text.push_str("\n[watchdog] In-flight operation counts by type:\n");
    for (op, count) in &stall.inflight {
        text.push_str(&format!("  - {op}: {count}\n"));
    }
    text
}

fn seed_text(body: &Body<'_>) -> Option<String> {
    match body {
        Body::Enter(enter) => Some(format!("[FUSE] {} ENTER (id={})\n", enter.op, enter.id)),
        Body::Exit(exit) => Some(format!("[FUSE] {} EXIT (id={}, elapsed={})\n", exit.op, exit.id, elapsed(exit.us))),
        _ => None,
    }
}

/// A duration as Go prints it: `45ms`, `1.5s`, `2m3.25s`.
fn elapsed(us: u64) -> String {
    let seconds = |us: u64| format!("{}s", decimal(us / 1_000_000, us % 1_000_000, 6));
    let (minutes, rest) = (us / 60_000_000, us % 60_000_000);
    match us {
        1..1_000 => format!("{us}µs"),
        1_000..1_000_000 => format!("{}ms", decimal(us / 1_000, us % 1_000, 3)),
        0 | 1_000_000..60_000_000 => seconds(us),
        60_000_000..3_600_000_000 => format!("{minutes}m{}", seconds(rest)),
        _ => format!("{}h{}m{}", minutes / 60, minutes % 60, seconds(rest)),
    }
}

/// `whole.part` without zeros at its end.
fn decimal(whole: u64, part: u64, digits: usize) -> String {
    let text = format!("{whole}.{part:0digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use fsd_events::{
        event::{Exit, StalledOp},
        ids::OpId,
        op::Op,
    };

    use super::*;

    #[test]
    fn a_name_can_neither_end_a_line_nor_order_a_terminal_about() {
        let written = "a\nWARN all is well\r\u{1b}[2J\u{202e}é\u{85} b\\n";
        assert_eq!(one_line(written), r"a\nWARN all is well\r\u{1b}[2J\u{202e}é\u{85} b\n");
        assert_eq!(one_line("ü plain"), "ü plain");
    }

    #[test]
    fn a_message_is_one_line_with_its_fields_and_not_where_it_is_in_the_sources() {
        struct Kept(mpsc::Sender<Vec<u8>>);
        impl Write for Kept {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (name, (kept, written)) = ("a\nb", mpsc::channel());
        let built = tracing_subscriber::fmt().with_writer(move || Kept(kept.clone()));
        let built = built.with_target(false).with_ansi(false);
        tracing::subscriber::with_default(built.fmt_fields(fields()).finish(), || {
            tracing::warn!(path = %name, log.file = "src/x.rs", "it is {name}");
        });
        let text = String::from_utf8(written.try_iter().flatten().collect()).unwrap();
        assert!(text.ends_with("WARN it is a\\nb path=a\\nb\n"), "{text}");
    }

    #[test]
    fn an_exit_reads_as_in_the_original() {
        let exit = |us| Body::Exit(Exit { id: OpId(123), op: Op::Open, us, errno: 0, bytes: 0, detached: false });
        assert_eq!(seed_text(&exit(45_000)).unwrap(), "[FUSE] Open EXIT (id=123, elapsed=45ms)\n");
        let printed: Vec<String> = [7, 1_500, 12_004_000, 60_000_000, 123_250_000].map(elapsed).to_vec();
        assert_eq!(printed, ["7µs", "1.5ms", "12.004s", "1m0s", "2m3.25s"]);
    }

    #[test]
    fn a_stall_counts_operations_as_the_original_did() {
        let stall = Stall {
            ops: vec![StalledOp { id: OpId(456), op: Op::Release, us: 12_004_000 }],
            inflight: vec![(Op::Release, 8), (Op::Getattr, 12)],
            stacks: Some("stacks-x.log".into()),
            ..Stall::default()
        };
        assert_eq!(
            stall_text(&stall),
            "[watchdog] 1 stalled operations, the oldest is Release (id=456) since 12 s; stacks in stacks-x.log\n\
             [watchdog] In-flight operation counts by type:\n  - Release: 8\n  - Getattr: 12\n"
        );
    }
}
