//! Feeds the screens: shows one thing after another, and sends a picture when there is news.

mod attached;
mod choice;
mod dumps;
mod live;
mod play;
mod record;
mod replay;
mod retry;
mod tape;

use std::{
    path::PathBuf,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender},
    time::Duration,
};

use self::{attached::Attached, choice::Choices, live::Live, replay::Replay};
use super::{Wish, picture::Picture, turn::Turn};
use crate::{
    engine::model::Limits,
    sources::{
        self,
        kernel::mountinfo,
        rings::{self, Mount},
    },
};

/// What is to be shown.
#[derive(Clone, Debug)]
pub enum Subject {
    /// Whatever is mounted: the only mount, or a list to choose from.
    Found,
    /// The list to choose from.
    Choice,
    /// A mount, by whatever daemon.
    Mount(PathBuf),
    /// Logs and event files, as they grow.
    Files(Vec<PathBuf>),
    /// The same, played from their start.
    Replay(Vec<PathBuf>),
}

/// Something that is shown.
trait Show {
    /// Takes what is new; `now_us` is the wall clock.
    fn step(&mut self, now_us: u64) -> Step;

    fn wish(&mut self, _wish: &Wish) {}
}

/// What a step brought.
struct Step {
    /// None: nothing that could be seen has changed.
    picture: Option<Picture>,
    /// Until the next step, unless somebody wishes something.
    pause: Duration,
}

/// Steps and sends until nobody listens.
pub fn run(subject: Subject, limits: Limits, turns: &Sender<Turn>, wishes: &Receiver<Wish>) {
    let mut show = open(subject, limits);
    loop {
        let Step { picture, pause } = show.step(sources::wall_us());
        if let Some(picture) = picture
            && turns.send(Turn::Picture(Box::new(picture))).is_err()
        {
            return;
        }
        match wishes.recv_timeout(pause) {
            Ok(Wish::Choose) => show = open(Subject::Choice, limits),
            Ok(Wish::Open(mount)) => show = open(Subject::Mount(mount.into()), limits),
            Ok(wish) => show.wish(&wish),
            Err(RecvTimeoutError::Timeout) => (),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// One picture, as complete as it gets without waiting for anything to happen.
pub fn once(subject: Subject, limits: Limits, at_us: Option<u64>) -> Picture {
    if let (Subject::Replay(files), Some(at)) = (&subject, at_us) {
        return Replay::new(files, limits).at(at);
    }
    let subject = match subject {
        Subject::Replay(files) => Subject::Files(files),
        other => other,
    };
    let mut show = open(subject, limits);
    let mut last = None;
    // While there is more to read it asks to be stepped again at once.
    for _ in 0..100_000 {
        let Step { picture, pause } = show.step(sources::wall_us());
        last = picture.or(last);
        if !pause.is_zero() {
            break;
        }
    }
    last.unwrap_or_default()
}

fn open(subject: Subject, limits: Limits) -> Box<dyn Show> {
    match subject {
        Subject::Found => match only_mount() {
            Some(mount) => open(Subject::Mount(mount), limits),
            None => open(Subject::Choice, limits),
        },
        Subject::Choice => Box::new(Choices::new(limits)),
        Subject::Mount(path) => match rings::of_mount(&path).filter(is_current) {
            Some(mount) => Box::new(Live::of_mount(mount, limits)),
            None => Box::new(Attached::new(&path, limits)),
        },
        Subject::Files(files) => Box::new(Live::of_files(&files, limits)),
        Subject::Replay(files) => Box::new(Replay::new(&files, limits)),
    }
}

/// The first name, and how many more there are.
fn title(files: &[PathBuf]) -> String {
    match files {
        [] => String::new(),
        [only] => only.display().to_string(),
        [first, rest @ ..] => format!("{} and {} more", first.display(), rest.len()),
    }
}

/// Traces of an fsd that died say nothing about another daemon that serves the place now.
fn is_current(own: &Mount) -> bool {
    let mounts = mountinfo::read().unwrap_or_default();
    let now = mountinfo::at(&mounts, std::path::Path::new(&own.mount)).filter(|mount| mount.is_fuse());
    own.alive || now.is_none_or(|mount| mount.connection() == own.connection)
}

/// None: there is none, or a choice.
fn only_mount() -> Option<PathBuf> {
    let found = choice::all_points();
    match found.as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
