//! `fsdiag tail`: follows a daemon's events, marks what does not end, and says when a stall forms and when it ends.

mod lines;
mod watch;

use std::{
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use crate::{
    commands::analyze::{
        Format, NO_INPUT, complain,
        quote::Tails,
        read::undrained,
        select::{Window, seconds},
    },
    engine::{
        fact::InputId,
        model::{Limits, Model, Now},
        report::Report,
    },
    formats::Mixed,
    output::paint::Paint,
    sources::{
        self,
        follow::{Change, Follow},
        kernel::mountinfo,
        rings::{self, Mount},
    },
};
use lines::Printer;
use watch::Watch;

/// Follow events as they happen; a verdict is printed when a stall forms and when it ends.
///
/// Without a name the running fsd of this user is found. Exit codes are those of `analyze`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A mount point of fsd, a file, or `-` for standard input.
    #[arg(value_name = "MOUNT|FILE|-")]
    pub target: Option<PathBuf>,
    /// Earlier events to print first; everything is read either way.
    #[arg(short = 'n', long, value_name = "EVENTS", default_value_t = 10)]
    pub last: usize,
    /// Print verdicts and ageing operations only, no events.
    #[arg(long)]
    pub quiet: bool,
    /// With json each verdict is one report on a line of its own.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// End after that long.
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    pub for_seconds: Option<f64>,
    /// Age from which an open operation counts as stalled.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    pub stalled_after: f64,
}

/// Between two looks, milliseconds: well below what a person, or a promise of 200 ms, would notice.
const PACE_MS: u64 = 50;
/// A pipe in which nothing comes for so long shows the present: an old log pours through without such a pause.
const SILENT_US: u64 = 1_000_000;
/// Read at most so much between two prints.
const AT_ONCE: usize = 8 << 20;

enum Target {
    Stdin,
    File(PathBuf, Option<Mount>),
}

/// Follows until the input ends, the time is over, or the user has enough.
///
/// # Errors
/// When the input cannot be read or stdout fails.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let target = match find(args.target.as_deref()) {
        Ok(target) => target,
        Err(problem) => {
            complain(&[problem])?;
            return Ok(ExitCode::from(NO_INPUT));
        }
    };
    let limits = Limits { stalled_us: (args.stalled_after.clamp(0.1, 1e9) * 1e6) as i64, ..Limits::default() };
    let mut tail = Tail::new(args, limits, &target);
    let outcome = match &target {
        Target::Stdin => tail.stdin(),
        Target::File(path, mount) => tail.file(path, mount.as_ref()),
    };
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error.into()),
        Ok(()) if tail.watch.is_sick() => Ok(ExitCode::from(1)),
        Ok(()) if tail.model.report(Now::default()).tells_nothing() => Ok(ExitCode::from(NO_INPUT)),
        Ok(()) => Ok(ExitCode::SUCCESS),
    }
}

fn find(target: Option<&Path>) -> Result<Target, String> {
    let Some(path) = target else {
        let running = rings::mounts().into_iter().rev().max_by_key(|m| m.alive);
        let none = || String::from("no fsd is running for this user; name a mount point or a file");
        return running.map(|m| Target::File(m.events.clone(), Some(m))).ok_or_else(none);
    };
    if path.as_os_str() == "-" {
        return Ok(Target::Stdin);
    }
    // Looked up by name alone: a stat of a hung mount would hang too.
    if let Some(mount) = rings::of_mount(path) {
        return Ok(Target::File(mount.events.clone(), Some(mount)));
    }
    if is_fuse_mount(path) {
        return Err(format!(
            "{} is served by no fsd of this user; fsdiag attach looks at it from the kernel's side",
            path.display()
        ));
    }
    if path.is_dir() {
        return Err(format!("{} is a directory and no mount of fsd", path.display()));
    }
    Ok(Target::File(path.to_owned(), None))
}

/// From the mount table, because the path itself may never answer.
fn is_fuse_mount(path: &Path) -> bool {
    let mounts = mountinfo::read().unwrap_or_default();
    let path = mountinfo::lexical(&std::env::current_dir().unwrap_or_default(), path);
    mountinfo::at(&mounts, &path).is_some_and(|mount| mount.is_fuse())
}

/// What comes on standard input, read on a thread: time passes also while nothing comes.
fn pieces() -> io::Result<Receiver<io::Result<Vec<u8>>>> {
    let (tell, hear) = mpsc::sync_channel(1);
    let read = move || {
        let mut block = vec![0; 256 << 10];
        loop {
            let got = io::stdin().read(&mut block);
            let piece = match got {
                Ok(0) => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                got => got.map(|got| block[..got].to_vec()),
            };
            if tell.send(piece).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("tail-stdin".to_owned()).spawn(read)?;
    Ok(hear)
}

struct Tail<'a> {
    args: &'a Args,
    model: Model,
    mixed: Mixed,
    input: InputId,
    /// Of the input, as reports have it.
    name: String,
    printer: Printer,
    watch: Watch,
}

impl<'a> Tail<'a> {
    fn new(args: &'a Args, limits: Limits, target: &Target) -> Self {
        let mut model = Model::new(limits);
        let name = match target {
            Target::Stdin => String::from("-"),
            Target::File(path, _) => path.display().to_string(),
        };
        let input = model.input(&name);
        let paint = Paint::for_stdout();
        let json = args.format == Format::Json;
        let printer = Printer::new(paint, args.last, args.quiet || json, json.then(Tails::default));
        Self { args, model, mixed: Mixed::new(input), input, name, printer, watch: Watch::new(paint, args.format) }
    }

    fn stdin(&mut self) -> io::Result<()> {
        let (pieces, mut lines) = (pieces()?, sources::lines::Lines::default());
        let started = sources::wall_us();
        let mut heard = started;
        loop {
            let piece = pieces.recv_timeout(Duration::from_millis(PACE_MS));
            let now = sources::wall_us();
            match piece {
                Ok(piece) => {
                    let (mixed, printer, model) = (&mut self.mixed, &mut self.printer, &mut self.model);
                    lines.feed(&piece?, |line| printer.take(line, mixed, model));
                    self.printer.caught_up();
                    heard = now;
                }
                Err(RecvTimeoutError::Timeout) => self.mixed.settle(&mut self.model),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.look(now.saturating_sub(heard) >= SILENT_US)?;
            if self.is_over(started, now) {
                return Ok(());
            }
        }
        self.mixed.finish(&mut self.model);
        self.look(false)
    }

    fn is_over(&self, started: u64, now: u64) -> bool {
        self.args.for_seconds.is_some_and(|s| now.saturating_sub(started) as f64 >= s * 1e6)
    }

    fn file(&mut self, path: &Path, mount: Option<&Mount>) -> io::Result<()> {
        let mut follow = Follow::new(path);
        let started = sources::wall_us();
        let mut last_seen = started;
        let mut gone = false;
        loop {
            let (mixed, printer, model) = (&mut self.mixed, &mut self.printer, &mut self.model);
            let (change, more) = follow.poll(AT_ONCE, |line| printer.take(line, mixed, model))?;
            self.note(change, &mut gone);
            let now = sources::wall_us();
            if !more {
                self.printer.caught_up();
                self.mixed.settle(&mut self.model);
                if now - last_seen > 1_000_000 {
                    last_seen = now;
                    self.is_dead(mount);
                }
            }
            self.look(!more)?;
            if self.is_over(started, now) {
                return Ok(());
            }
            if !more {
                sources::pause(PACE_MS);
            }
        }
    }

    fn note(&mut self, change: Change, gone: &mut bool) {
        match change {
            Change::Missing if !*gone => self.printer.say("there is no such file yet; waiting for it"),
            Change::Gone if !*gone => self.printer.say("the file is gone; waiting for it to come back"),
            Change::Switched => self.printer.say("another file took its place"),
            Change::Truncated => self.printer.say("the file was emptied and starts anew"),
            Change::Gone | Change::Missing | Change::None => {}
        }
        *gone = matches!(change, Change::Gone | Change::Missing);
    }

    /// Once the daemon is dead, its rings hold what no file will ever have.
    fn is_dead(&mut self, mount: Option<&Mount>) {
        let now = mount.and_then(|m| rings::of_mount(Path::new(&m.mount)));
        if let Some(dead) = now.filter(|m| !m.alive && !self.watch.knows_death) {
            self.watch.knows_death = true;
            undrained(&dead, &rings::undrained(&dead), &mut self.model, Window::default());
        }
    }

    /// Prints what is new: events, ages, verdicts.
    fn look(&mut self, live: bool) -> io::Result<()> {
        let counts = self.mixed.counts().clone();
        self.model.counted(self.input, self.mixed.format(), counts.lines, counts.events, counts.bad_lines);
        let mut text = self.printer.take_text();
        let (quotes, name) = (self.printer.quotes.as_ref(), &self.name);
        let quote = |report: &mut Report| quotes.into_iter().for_each(|lines| lines.quote(report, name));
        text.push_str(&self.watch.look(&self.model, live, sources::wall_us(), quote));
        if text.is_empty() {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}
