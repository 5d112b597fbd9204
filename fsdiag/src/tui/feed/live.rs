//! Live: an fsd that runs or has just died, or logs, read as they grow.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Show, Step,
    attached::KernelSide,
    dumps::Dumps,
    record::{Record, StreamId},
    retry::Retry,
    tape, title,
};
use crate::{
    engine::{
        fact::{At, Fact, KernelFact, Place, Sink as _, What},
        model::Limits,
    },
    sources::{
        file,
        follow::{Change, Follow},
        kernel::{fusectl::Fusectl, mountinfo},
        rings::{self, Mount},
    },
    tui::{
        acts,
        picture::{Act, Picture, Source, SourceState},
    },
};

/// Between two looks while something happens, and while nothing does.
const PACE: Duration = Duration::from_millis(100);
/// While operations are open their ages are drawn anew so often, microseconds.
const AGES_US: u64 = 200_000;
/// With nothing open, so often.
const IDLE_US: u64 = 1_000_000;
/// Read at most so much between two pictures.
const AT_ONCE: usize = 4 << 20;
/// Beats come every two seconds; after that the daemon is called silent, microseconds.
const SILENT_US: u64 = 5_000_000;
/// A worker that was replaced writes its last lines within that time; its file, which may be deleted by then, is let go.
const LAST_LINES_US: u64 = 5_000_000;

pub(super) struct Live {
    title: String,
    record: Record,
    dumps: Dumps,
    streams: Vec<Stream>,
    mount: Option<Own>,
    state: Clockwork,
}

/// A file that is followed, or was read to its end because it is packed.
struct Stream {
    id: StreamId,
    follow: Option<Follow>,
    gone: bool,
    error: Option<String>,
    /// By then the worker that wrote it is replaced, and has written its last line.
    until_us: Option<u64>,
}

/// The fsd behind the record.
struct Own {
    mount: Mount,
    /// The file that the link to the events led to.
    events: PathBuf,
    /// It died: what its rings held is read, and the next life is waited for.
    dead: Option<Retry>,
    fusectl: Option<Fusectl>,
    /// Looked at while the daemon is silent: it may be stopped, and then its record does not say so.
    kernel: Option<Box<KernelSide>>,
}

/// When was what, by the wall clock.
#[derive(Default)]
struct Clockwork {
    drawn_us: u64,
    /// Events by then, and a second's worth of them.
    counted: (u64, u64),
    rate: u64,
    looked_us: u64,
    lag_ms: u64,
    /// There is more to read at once.
    more: bool,
    /// The end was reached once: from then on what comes is news, however much.
    caught_up: bool,
}

impl Live {
    pub(super) fn of_mount(mount: Mount, limits: Limits) -> Self {
        let events = mount.events.canonicalize().unwrap_or_else(|_| mount.events.clone());
        let fusectl = mountinfo::read().ok().and_then(|mounts| Fusectl::open(&mounts).ok());
        let mut live = Self::new(mount.mount.clone(), Dumps::new(Some(&events)), limits);
        live.add(&events);
        live.mount = Some(Own { mount, events, dead: None, fusectl, kernel: None });
        live
    }

    pub(super) fn of_files(files: &[PathBuf], limits: Limits) -> Self {
        let (inputs, _) = file::collect(files);
        let paths: Vec<PathBuf> = inputs.into_iter().filter_map(file::Input::path).collect();
        let mut live = Self::new(title(files), Dumps::new(paths.first().map(PathBuf::as_path)), limits);
        paths.iter().for_each(|file| live.add(file));
        live
    }

    fn new(title: String, dumps: Dumps, limits: Limits) -> Self {
        let (record, state) = (Record::new(limits), Clockwork::default());
        Self { title, record, dumps, streams: Vec::new(), mount: None, state }
    }

    fn add(&mut self, file: &Path) {
        let id = self.record.stream(file);
        let packed = tape::is_packed(file);
        let error = packed.then(|| tape::read_all(file, |line| self.record.line(id, line)).err()).flatten();
        let follow = (!packed).then(|| Follow::new(file));
        let error = error.map(|e| format!("{}: {e}", file.display()));
        self.streams.push(Stream { id, follow, gone: false, error, until_us: None });
    }

    /// Reads what is due; true when there was something.
    fn read(&mut self, now_us: u64) -> bool {
        let before = self.record.trace.events;
        let mut left = AT_ONCE;
        self.state.more = false;
        for Stream { id, follow, gone, error, .. } in &mut self.streams {
            let Some(follow) = follow else { continue };
            let (record, mut lines) = (&mut self.record, 0);
            let polled = follow.poll(left, |line| {
                lines += line.len() + 1;
                record.line(*id, line);
            });
            left = left.saturating_sub(lines).max(1);
            match polled {
                Ok((change, more)) => {
                    *gone = matches!(change, Change::Gone | Change::Missing);
                    *error = None;
                    self.state.more |= more;
                    if !more {
                        self.record.settle(*id);
                    }
                }
                Err(problem) => *error = Some(format!("{}: {problem}", follow.path().display())),
            }
        }
        if !self.state.more {
            self.streams.retain(|stream| stream.until_us.is_none_or(|until| now_us < until));
        }
        let read = self.record.trace.events > before;
        self.state.caught_up |= !self.state.more;
        if read && self.state.caught_up {
            let newest = self.record.trace.wall_of(self.record.trace.now_us);
            self.state.lag_ms = newest.map_or(0, |wall| now_us.saturating_sub(wall) / 1000);
        }
        read | self.dumps.named(&mut self.record)
    }

    /// Once a second: does the daemon live, where does its link lead, what does the kernel count.
    fn look_around(&mut self, now_us: u64) -> bool {
        let mut news = self.dumps.appeared(&mut self.record);
        let Some(own) = &mut self.mount else { return news };
        if own.dead.as_mut().is_some_and(|retry| !retry.is_due(now_us)) {
            return true;
        }
        match rings::of_mount(Path::new(&own.mount.mount)) {
            Some(found) if found.alive => {
                own.dead = None;
                own.mount = found;
            }
            _ if own.dead.is_some() => return true,
            found => {
                let dead = found.unwrap_or_else(|| Mount { alive: false, ..own.mount.clone() });
                own.dead = Some(Retry::new(now_us));
                self.record.rings(&dead);
                return true;
            }
        }
        news |= self.count_waiting();
        self.follow_link(now_us);
        news | self.ask_kernel(now_us)
    }

    /// While no beat comes, the kernel's side is all there is.
    fn ask_kernel(&mut self, now_us: u64) -> bool {
        let last = self.record.model.current().filter_map(|(_, s)| s.last_beat.as_ref()?.1).max();
        let now = self.record.trace.of_wall(now_us);
        let passed = last.and_then(|last| now?.checked_sub(u64::try_from(last).ok()?));
        let silent = passed.is_some_and(|us| us >= SILENT_US);
        let limits = self.record.model.limits;
        let Some(own) = &mut self.mount else { return false };
        if !silent {
            return own.kernel.take().is_some();
        }
        if own.kernel.is_none() {
            let mounts = mountinfo::read().unwrap_or_default();
            let mount = mountinfo::at(&mounts, Path::new(&own.mount.mount)).cloned();
            own.kernel = mount.map(|mount| Box::new(KernelSide::new(mount, mounts)));
        }
        own.kernel.iter_mut().for_each(|side| side.look(None, limits));
        true
    }

    fn count_waiting(&mut self) -> bool {
        let Some(own) = &self.mount else { return false };
        let connection = own.mount.connection;
        let Some(waiting) = own.fusectl.as_ref().and_then(|f| f.waiting(connection).ok()) else { return false };
        let news = self.record.model.kernel_waiting != Some(waiting);
        let what = What::Kernel(Box::new(KernelFact::Waiting { connection, waiting }));
        // No time of its own: the record's clock is not the kernel's business.
        self.record.model.fact(Fact { place: Place::default(), at: At::default(), what });
        news
    }

    /// A new run writes a file of its own, to which the link then leads.
    fn follow_link(&mut self, now_us: u64) {
        let Some(own) = &mut self.mount else { return };
        let Ok(events) = own.mount.events.canonicalize() else { return };
        if events != own.events {
            own.events.clone_from(&events);
            for stream in &mut self.streams {
                stream.until_us.get_or_insert(now_us.saturating_add(LAST_LINES_US));
            }
            self.add(&events);
        }
    }

    fn draw(&mut self, now_us: u64) -> Picture {
        let passed = now_us.saturating_sub(self.state.counted.1);
        if passed >= 1_000_000 {
            let (before, since) = self.state.counted;
            self.state.rate = if since == 0 { 0 } else { (self.record.trace.events - before) * 1_000_000 / passed };
            self.state.counted = (self.record.trace.events, now_us);
        }
        let source = Source {
            title: self.title.clone(),
            state: self.condition(now_us),
            lag_ms: self.state.lag_ms,
            events_per_s: self.state.rate,
            pid: self.mount.as_ref().map(|own| own.mount.pid),
            ..Source::default()
        };
        let lives = self.mount.as_ref().is_some_and(|own| own.dead.is_none());
        let mut picture = self.record.picture(lives.then_some(now_us), source, self.acts());
        let kernel = self.mount.as_ref().and_then(|own| own.kernel.as_ref()).and_then(|side| side.verdict());
        if picture.verdict.as_ref().is_none_or(|verdict| verdict.recovered) && kernel.is_some() {
            picture.verdict = kernel;
        }
        picture
    }

    fn acts(&self) -> Vec<Act> {
        let lives = self.mount.as_ref().filter(|own| own.dead.is_none());
        lives.map(|own| acts::of(&own.mount.mount, true)).unwrap_or_default()
    }

    fn condition(&self, now_us: u64) -> SourceState {
        let progress = self.streams.iter().filter_map(|s| s.follow.as_ref()).map(Follow::progress);
        let (done, total) = progress.fold((0, 0), |(done, total), (d, t)| (done + d, total + t));
        let error = self.streams.iter().find_map(|stream| stream.error.clone());
        let gone = self.streams.iter().all(|stream| stream.gone);
        match (&self.mount, error) {
            (_, Some(what)) => {
                SourceState::Failed { what, next: "Look at its permissions, or name another source.".to_owned() }
            }
            _ if !self.state.caught_up => SourceState::Loading { done, total },
            (Some(Own { mount, dead: Some(retry), .. }), _) => SourceState::Reconnecting {
                in_s: retry.in_s(now_us),
                why: format!("fsd {} is gone; this is what it recorded, its rings included.", mount.pid),
            },
            (None, _) if gone => SourceState::Gone { why: format!("{} is not there.", self.title) },
            _ if self.record.trace.events == 0 && self.record.model.dumps.is_empty() => SourceState::Empty,
            (None, _) => SourceState::Recorded,
            (Some(_), _) => SourceState::Live,
        }
    }
}

impl Show for Live {
    fn step(&mut self, now_us: u64) -> Step {
        let mut news = self.read(now_us);
        if now_us.saturating_sub(self.state.looked_us) >= 1_000_000 && self.state.caught_up {
            self.state.looked_us = now_us;
            news |= self.look_around(now_us);
        }
        let open = self.mount.is_some() && self.record.model.current().any(|(_, session)| !session.open.is_empty());
        let due_us = match (news, open) {
            (true, _) if self.state.more => PACE.as_micros() as u64,
            (true, _) => 0,
            (false, true) => AGES_US,
            (false, false) => IDLE_US,
        };
        let due = now_us.saturating_sub(self.state.drawn_us) >= due_us;
        if due {
            self.state.drawn_us = now_us;
        }
        let pause = if self.state.more { Duration::ZERO } else { PACE };
        Step { picture: due.then(|| self.draw(now_us)), pause }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn the_file_of_a_worker_that_was_replaced_is_let_go_after_its_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let file = |run: u64| dir.path().join(format!("events-{run}.jsonl"));
        let link = dir.path().join("events.jsonl");
        let begin = |run: u64| {
            fs::write(file(run), "").unwrap();
            let _ = fs::remove_file(&link);
            symlink(file(run), &link).unwrap();
        };
        begin(1);
        let mut live = Live::of_mount(Mount { events: link.clone(), ..Mount::default() }, Limits::default());
        for run in 2..=6 {
            begin(run);
            live.follow_link(run * 1_000_000);
        }
        let record = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/events/v1/healthy.jsonl");
        let line = fs::read_to_string(record).unwrap().lines().next().unwrap().to_owned() + "\n";
        fs::write(file(5), line).unwrap();
        live.read(6_500_000);
        assert_eq!(live.record.trace.events, 1, "what the one before still writes is read");
        live.read(6_000_000 + LAST_LINES_US);
        assert_eq!(live.streams.len(), 1, "the file that is written now");
    }
}
