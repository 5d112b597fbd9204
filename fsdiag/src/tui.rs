//! The interactive screens: what a person opens at three in the morning.
//!
//! `state` is a pure function of messages, `page` says what each screen holds as text with a meaning, `view` draws it.
//! Threads read the terminal, the signals and the source; this loop is the only one that owns the state.

pub mod acts;
pub mod command;
pub mod compose;
pub mod errand;
pub mod feed;
pub mod keep;
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
    io,
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
use crate::output::clean::clean;

/// How the screens look and behave.
pub struct Options {
    pub read_only: bool,
    pub mouse: bool,
    pub keys: Keymap,
    pub theme: Theme,
    /// What to say at the start: what is wrong with the keys that the user wrote.
    pub said: Vec<String>,
}

/// What the screens ask of their source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The list of mounts.
    Choose,
    /// That mount.
    Open(String),
    Rewind,
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
    if !options.said.is_empty() {
        state.update(Msg::Noted { text: options.said.join("; "), ok: false });
    }
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
            Turn::Told(message) => vec![message],
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
            Effect::Act(order) => errand::act(order, self.sender.clone())?,
            Effect::Preview { args } => errand::preview(args, self.sender.clone())?,
            Effect::Choose => self.wish(Wish::Choose),
            Effect::Open(mount) => self.wish(Wish::Open(mount)),
            Effect::Rewind => self.wish(Wish::Rewind),
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
        let file = keep::file(&format!("fsdiag-report-{}.txt", self.state.picture.source.now_us / 1_000_000));
        let name = file.display();
        let message = match std::fs::write(&file, plain::text(&self.state, 120)) {
            Ok(()) => Msg::Noted { text: format!("saved {name}"), ok: true },
            Err(error) => Msg::Noted { text: format!("cannot write {name}: {error}"), ok: false },
        };
        self.state.update(message);
    }
}

/// The verdict in full, for the normal screen after the others are gone.
pub fn farewell(state: &State) -> String {
    let mut state = state.clone();
    state.message = None;
    let width = usize::from(state.width).max(40);
    let line = status::line(&state, width).plain();
    let banner = status::banner(&state, width);
    let whole = state.picture.verdict.as_ref().map(|verdict| clean(verdict.sentence.as_str()) + "\n");
    let head = banner.first().map(|row| row.plain().replace(", Enter: evidence", "")).unwrap_or_default();
    format!("{line}\n{head}\n{}", whole.unwrap_or_default()).trim_end().to_owned()
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
