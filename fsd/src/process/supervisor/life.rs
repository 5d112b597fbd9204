//! The life of workers: started, heard, buried.

use std::{
    io,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use fsd_events::control::Code;

use super::{
    Beat, Handed, Supervisor, Worker,
    child::Child,
    doubt::Doubt,
    drain, duplicate,
    ending::Outcome,
    policy::{Cause, Life},
};
use crate::{
    kernel::mount::{self, At, MountSpec, Mounted, Waiting},
    platform::clock,
    process::{
        control::refuse,
        exit::Exit,
        failpoints,
        link::{Down, Job, Takeover, Up},
        terminal,
        worker::random,
    },
};

/// Workers that die before they serve, one after another, until the supervisor gives up.
const YOUNG_DEATHS: u32 = 8;
/// What a kernel before 6.9 cannot do.
pub(super) const NO_RESEND: &str = "this kernel does not send requests again (Linux 6.9 does)";

impl Supervisor {
    /// Starts a worker; with `after` it takes over from the one before.
    pub(super) fn start_worker(&mut self, after: Option<Handed>) -> io::Result<()> {
        self.doubt = None;
        let mut child = self.new_worker(after.as_ref())?;
        let takeover = after.as_ref().and_then(|handed| self.takeover(handed));
        let job = Job {
            settings: self.order.settings.clone(),
            flags: self.flags,
            failpoints: self.order.failpoints.clone(),
            mountpoint: self.order.mountpoint.clone(),
            argv: self.order.argv.clone(),
            runtime: self.places.runtime.clone(),
            state: self.places.state.clone(),
            shared: self.places.shared,
            mount_run: self.mount_run.clone(),
            takeover,
        };
        if let Err(error) = self.give_job(&mut child, job) {
            self.end_worker(child);
            return Err(error);
        }
        self.worker = Some(Worker { child, ready: false, beat: Beat::new(clock::now()), after, said: None });
        Ok(())
    }

    fn give_job(&self, child: &mut Child, job: Job) -> io::Result<()> {
        let job = Down::Job(Box::new(job));
        match &self.janitor {
            Some(janitor) => child.link.send_with(&job, duplicate(janitor.pipe())?.as_fd()),
            None => child.link.send(&job),
        }
    }

    fn takeover(&self, handed: &Handed) -> Option<Takeover> {
        let settled = self.settled.clone()?;
        let (old_run, cause, lost) = (handed.run.clone(), handed.cause.name().to_owned(), self.lost.clone());
        Some(Takeover { old_run, cause, lost, ..settled })
    }

    /// Takes what the worker says, and sends on what it had no room for.
    pub(super) fn hear_worker(&mut self) {
        // A link that is broken is the end of the worker, which is seen at its pidfd.
        self.worker.iter_mut().for_each(|worker| drop(worker.child.link.push()));
        while let Some(worker) = &mut self.worker {
            match worker.child.link.receive::<Up>() {
                Ok(Some(word)) => self.word(word),
                // Its end is seen at its pidfd; there is nothing more to read.
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn word(&mut self, word: Up) {
        match word {
            Up::Prepared { source, allow_other, writable } => self.give_mount(source, allow_other, writable),
            Up::Ready { settled, presence, max_background } => {
                if self.settled.is_none() && !settled.resends {
                    tracing::warn!(
                        "{NO_RESEND}: if a worker goes while one is read, what waits fails and the mount is made anew"
                    );
                }
                self.presence = *presence;
                self.max_background = max_background;
                self.settled = Some(settled);
                self.ready();
            }
            Up::Answer { n, answer } => self.answered(n, answer),
            Up::Failed { code, text } => {
                let exit = Exit::of(i32::from(code)).unwrap_or(Exit::Internal);
                if let Some(worker) = &mut self.worker {
                    worker.said = Some(exit.because(text));
                }
            }
        }
    }

    /// Mounts for the first worker; gives the same mount to every later one.
    fn give_mount(&mut self, source: String, allow_other: bool, writable: bool) {
        if self.mounted.is_none() {
            let spec = MountSpec { dir: self.order.mountpoint.clone(), source, allow_other, writable };
            match mount::mount(&spec) {
                Ok(mounted) => self.own(mounted),
                Err(error) => {
                    if let Some(worker) = &mut self.worker {
                        worker.said = Some(Exit::Mount.because(error.to_string()));
                        worker.child.kill();
                    }
                    return;
                }
            }
        }
        let (Some(worker), Some(mounted)) = (&mut self.worker, &self.mounted) else { return };
        let At { dir, connection, helper } = mounted.at().clone();
        let sent = worker.child.link.send_with(&Down::Mounted { dir, connection, helper }, mounted.fd());
        if let Err(error) = sent {
            tracing::error!("cannot give the mount to worker {}: {error}", worker.child.pid());
        }
    }

    fn own(&mut self, mounted: Mounted) {
        if let Some(janitor) = &mut self.janitor
            && let Err(error) = janitor.mounted(mounted.at(), &self.places, &self.order.config.temp_dir)
        {
            tracing::warn!("the janitor does not listen ({error}): nobody cleans up if fsd is killed");
        }
        self.mounted = Some(mounted);
    }

    fn ready(&mut self) {
        let Some(worker) = &mut self.worker else { return };
        worker.ready = true;
        worker.beat = Beat::new(clock::now());
        let took = clock::now() - worker.child.born;
        self.presence.supervisor = std::process::id();
        // A worker names one of its own where the path beside it is too long.
        self.presence.socket = self.places.socket().display().to_string();
        (self.fallback, self.lost) = (None, None);
        if let Err(error) = self.places.announce(&self.presence) {
            tracing::warn!("cannot write mount.json: {error}");
        }
        match worker.after.take() {
            None => self.say_mounted(),
            Some(handed) => {
                tracing::warn!(
                    "worker {} took over after {} in {} ms",
                    worker.child.pid(),
                    handed.cause.name(),
                    took.as_millis()
                );
                self.see_to(handed.clone());
                match &self.settled {
                    Some(settled) if !settled.resends => self.doubt = Some(Doubt::new(handed)),
                    _ => self.restarted(&handed),
                }
            }
        }
        if let Some(child) = self.standby.keep(&self.program) {
            self.end_worker(child);
        }
        self.ask_worker();
        self.go_on_ending();
    }

    fn say_mounted(&mut self) {
        let text = format!("{} is mounted at {}", self.presence.source, self.presence.mount);
        match self.order.report.take() {
            Some(report) => report.ready(&text),
            None => terminal::announce(text),
        }
    }

    /// Looks at the worker: dead, silent, or due to be started. Some: the supervision is over.
    pub(super) fn look_after_worker(&mut self) -> Option<Outcome> {
        if let Some((at, cause)) = self.respawn
            && clock::now() >= at
        {
            self.respawn = None;
            self.begin(cause);
        }
        let worker = self.worker.as_mut()?;
        let (outcome, lingers) = (worker.child.outcome(), worker.child.lingers());
        match outcome {
            Some(how) => {
                // Its last words may have come after those that were heard: it may have spoken and ended in between.
                self.hear_worker();
                self.buried(&how)
            }
            // At the end it has all the time that an end may take.
            None if lingers && self.ending.is_none() && self.is_mounted() => self.buried("killed"),
            None => self.check_heart(),
        }
    }

    fn is_mounted(&self) -> bool {
        self.mounted.as_ref().is_some_and(|mounted| mounted.at().is_mounted())
    }

    /// Ends what is left of a worker. Of which a thread sits in state D is reaped when the kernel lets it go.
    pub(super) fn end_worker(&mut self, mut child: Child) {
        if !child.kill() {
            tracing::warn!("worker {} is dead but for a thread in the kernel", child.pid());
            self.errands.push(child.into_process());
        }
    }

    /// The worker is dead: the next one, unless this is the end.
    pub(super) fn buried(&mut self, how: &str) -> Option<Outcome> {
        let Worker { mut child, ready, after, mut said, .. } = self.worker.take()?;
        let (pid, born, code) = (child.pid(), child.born, child.code());
        self.end_worker(child);
        self.forget_asks();
        if !self.is_mounted() {
            return Some(Outcome::Worker { code, said });
        }
        if let Some(ending) = &mut self.ending {
            // One that was killed is followed once: files are still open, and who reads them must see no error.
            let killed = code.is_none() && !ending.aborted && !std::mem::replace(&mut ending.again, true);
            if !killed || self.settled.is_none() {
                return Some(self.take_down("the worker died while it was unmounting"));
            }
        }
        if self.settled.is_none() {
            let why = said.take().map_or_else(|| format!("the worker ended with {how}"), |said| said.text);
            return Some(self.take_down(&why));
        }
        if let Some(handed) = after
            && self.fall_back(how)
        {
            self.begin(handed.cause);
            return None;
        }
        let pause = self.backoff.after(self.life(ready, born));
        let why = said.map_or_else(|| how.to_owned(), |said| said.text);
        if self.backoff.young_deaths() >= YOUNG_DEATHS {
            return Some(self.take_down(&format!("{YOUNG_DEATHS} workers died before they served, the last: {why}")));
        }
        if !ready {
            self.lost = Some(format!("{} in a row, the last: {why}", self.backoff.young_deaths()));
        }
        tracing::error!("worker {pid} died ({why}); the next one starts in {} ms", pause.as_millis());
        self.respawn = Some((clock::now() + pause, Cause::Death));
        None
    }

    /// The life of the worker that was born then.
    pub(super) fn life(&self, ready: bool, born: Instant) -> Life {
        let length = if ready { clock::now() - born } else { Duration::ZERO };
        Life { length, served: ready && drain::served(&self.places, &self.presence.run) }
    }

    /// Requests that the kernel has no answer to; None where nobody can count them.
    pub(super) fn waiting(&self) -> Option<u64> {
        Waiting::open(self.mounted.as_ref()?.at()).and_then(|waiting| waiting.read())
    }

    /// The run that went, with what it left undone.
    pub(super) fn handed(&self, cause: Cause) -> Handed {
        let run = self.presence.run.clone();
        Handed { resent: drain::unanswered(&self.places, &run), run, cause }
    }

    pub(super) fn begin(&mut self, cause: Cause) {
        let handed = self.handed(cause);
        if let Err(error) = self.start_worker(Some(handed)) {
            if self.fall_back(&error.to_string()) {
                return self.begin(cause);
            }
            tracing::error!("cannot start a worker: {error}");
            let pause = self.backoff.after(Life { length: Duration::ZERO, served: false });
            self.respawn = Some((clock::now() + pause, cause));
        }
    }

    /// The first worker of a mount that is made anew at the same place; nothing of the one before is believed.
    pub(super) fn begin_anew(&mut self, why: &str) -> Option<Outcome> {
        (self.remade, self.settled) = (true, None);
        self.mount_run = random().to_string();
        self.order.failpoints = failpoints::of_worker(&self.order.failpoints, false);
        if let Some(client) = self.restarting.take() {
            self.clients.answer(client, &refuse(Code::Aborted, why));
        }
        self.start_worker(None).err().map(|error| self.take_down(&format!("{why}; {error}")))
    }
}
