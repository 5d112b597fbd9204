//! The interactive screens: what a person opens at three in the morning.
//!
//! `state` is a pure function of messages, `page` says what each screen holds as text with a meaning, `view` draws it.
//! Threads read the terminal, the signals and the source; this loop is the only one that owns the state.

pub mod acts;
pub mod command;
pub mod compose;
pub mod feed;
pub mod keys;
pub mod page;
pub mod picture;
pub mod plain;
pub mod state;
pub mod terminal;
pub mod trace;
pub mod turn;
pub mod view;

use std::{
    io::{self, Write as _},
    process::{Command, Output, Stdio},
    sync::mpsc::{self, Receiver, Sender},
    thread,
};

use ratatui::crossterm::event;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use self::{
    keys::Keymap,
    page::status,
    state::{Effect, Msg, State},
    terminal::Screen,
    turn::Turn,
    view::theme::Theme,
};

/// How the screens look and behave.
pub struct Options {
    pub read_only: bool,
    pub mouse: bool,
    pub keys: Keymap,
    pub theme: Theme,
}

/// What the screens ask of their source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Pause(bool),
    Faster,
    Slower,
    Step,
    NextStall,
}

/// Runs the screens until the user leaves; gives the last state, so that the verdict can stay on the normal screen.
///
/// `start` begins to send pictures and takes wishes; it gets the sender of the loop.
///
/// # Errors
/// When the terminal cannot be taken or drawn to.
pub fn run(options: Options, start: impl FnOnce(Sender<Turn>) -> Sender<Wish>) -> io::Result<State> {
    let (sender, turns) = mpsc::channel();
    let wishes = start(sender.clone());
    let mut screen = Screen::take(options.mouse)?;
    spawn("tui-keys", read_terminal(sender.clone()))?;
    spawn("tui-signals", read_signals(sender.clone())?)?;
    let mut state = State::new(options.read_only);
    let (width, height) = screen.size()?;
    state.update(Msg::Resized { width, height });
    let mut running = Loop { state, options, wishes, sender };
    running.draw(&mut screen)?;
    running.turn_until_quit(&mut screen, &turns)?;
    Ok(running.state)
}

struct Loop {
    state: State,
    options: Options,
    wishes: Sender<Wish>,
    sender: Sender<Turn>,
}

impl Loop {
    /// Everything that waits is taken before one frame is drawn, so that input never queues behind data.
    fn turn_until_quit(&mut self, screen: &mut Screen, turns: &Receiver<Turn>) -> io::Result<()> {
        while let Ok(first) = turns.recv() {
            for turn in std::iter::once(first).chain(turns.try_iter()) {
                if self.take(turn, screen)? {
                    return Ok(());
                }
            }
            self.draw(screen)?;
        }
        Ok(())
    }

    fn draw(&self, screen: &mut Screen) -> io::Result<()> {
        screen.draw(|frame| view::draw(&self.state, &self.options.keys, &self.options.theme, frame))
    }

    /// True when it is time to leave.
    fn take(&mut self, turn: Turn, screen: &mut Screen) -> io::Result<bool> {
        let messages = match turn {
            Turn::Signal => return Ok(true),
            Turn::Picture(picture) => vec![Msg::Data(picture)],
            Turn::Acted { text, ok } => vec![Msg::Acted { text, ok }],
            Turn::Terminal(event) => turn::messages(event, &self.state, &self.options.keys),
        };
        for message in messages {
            for effect in self.state.update(message) {
                if self.perform(effect, screen)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn perform(&mut self, effect: Effect, screen: &mut Screen) -> io::Result<bool> {
        match effect {
            Effect::Quit => return Ok(true),
            Effect::Suspend => screen.suspend()?,
            Effect::Redraw => screen.clear()?,
            Effect::Save => self.save(),
            Effect::Act { args, input } => act(args, input, self.sender.clone())?,
            Effect::Pause(paused) => self.wish(Wish::Pause(paused)),
            Effect::Speed { faster: true } => self.wish(Wish::Faster),
            Effect::Speed { faster: false } => self.wish(Wish::Slower),
            Effect::Step => self.wish(Wish::Step),
            Effect::NextStall => self.wish(Wish::NextStall),
        }
        Ok(false)
    }

    /// A source that has ended takes no wishes; that is no error.
    fn wish(&self, wish: Wish) {
        let _ = self.wishes.send(wish);
    }

    fn save(&mut self) {
        let name = format!("fsdiag-report-{}.txt", self.state.picture.source.now_us / 1_000_000);
        let message = match std::fs::write(&name, plain::text(&self.state, 120)) {
            Ok(()) => Msg::Acted { text: format!("saved {name}"), ok: true },
            Err(error) => Msg::Acted { text: format!("cannot write {name}: {error}"), ok: false },
        };
        self.state.update(message);
    }
}

/// The verdict and how to see it again, for the normal screen after the others are gone.
pub fn farewell(state: &State) -> String {
    let lines = [status::line(state).plain(), status::banner(state).plain()];
    lines.join("\n")
}

/// Runs `fsdiag` itself: an act of the screens is the same as its command.
///
/// A secret goes through its standard input, because a command line is for everybody to read.
fn act(mut args: Vec<String>, input: Option<String>, sender: Sender<Turn>) -> io::Result<()> {
    let program = std::env::current_exe()?;
    // Before a `--`, behind which all is the workload's.
    args.insert(1.min(args.len()), "--yes".to_owned());
    spawn("tui-act", move || {
        let output = fed(Command::new(program).args(&args), input.as_deref());
        let (text, ok) = match output {
            Ok(output) => (last_line(&output), output.status.success()),
            Err(error) => (format!("cannot run fsdiag {}: {error}", args.join(" ")), false),
        };
        let _ = sender.send(Turn::Acted { text, ok });
    })
}

/// Runs a command to its end; `input` is all that it can read.
fn fed(command: &mut Command, input: Option<&str>) -> io::Result<Output> {
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    let mut child = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let (Some(mut pipe), Some(text)) = (child.stdin.take(), input) {
        pipe.write_all(text.as_bytes())?;
    }
    child.wait_with_output()
}

fn last_line(output: &Output) -> String {
    let streams = [&output.stderr, &output.stdout].map(|s| String::from_utf8_lossy(s).into_owned());
    let lines = streams.iter().find_map(|s| s.lines().rfind(|l| !l.trim().is_empty()));
    lines.map_or_else(|| format!("ended with {}", output.status), str::to_owned)
}

fn read_terminal(sender: Sender<Turn>) -> impl FnOnce() + Send + 'static {
    move || {
        while let Ok(event) = event::read() {
            if sender.send(Turn::Terminal(event)).is_err() {
                return;
            }
        }
        let _ = sender.send(Turn::Signal);
    }
}

fn read_signals(sender: Sender<Turn>) -> io::Result<impl FnOnce() + Send + 'static> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    Ok(move || {
        for _ in signals.forever() {
            if sender.send(Turn::Signal).is_err() {
                return;
            }
        }
    })
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.into()).spawn(work).map(drop)
}
