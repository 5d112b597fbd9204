//! What each request on the control socket does: some the supervisor answers alone, some the worker.

use std::time::{Duration, Instant};

use fsd_events::{
    control::{Answer, Code, Request, Status},
    flags::Flag,
};

use super::{ClientId, Handed, Supervisor, policy::Cause, program::Program};
use crate::{
    platform::clock,
    process::{control::refuse, link::Down},
};

/// How long a worker may take for what is answered from memory.
const WORKER_LIMIT: Duration = Duration::from_secs(2);
/// Staging asks an origin first.
const SLOW_LIMIT: Duration = Duration::from_secs(30);

/// A request that the worker has, or the next one will have.
pub(super) struct Asked {
    n: u64,
    client: ClientId,
    request: Request,
    until: Instant,
    /// False: there was no worker to give it to.
    sent: bool,
}

impl Supervisor {
    pub(super) fn request(&mut self, client: ClientId, request: Request) {
        match request {
            Request::Umount { force } => {
                self.stop(force, "umount");
                self.clients.answer(client, &Answer::Done);
            }
            Request::Restart { flags, binary } => self.restart(client, &flags, binary),
            Request::SetFlag { flag, value } if flag.live() => {
                self.flags = self.flags.with(flag, value);
                self.forward(client, Request::SetFlag { flag, value });
            }
            Request::SetFlag { flag, value } => {
                let name = flag.name().replace('_', "-");
                let text = format!("{} changes only with a new worker: fsd restart --{name}={value}", flag.name());
                self.clients.answer(client, &refuse(Code::Unsupported, &text));
            }
            other => self.forward(client, other),
        }
    }

    fn forward(&mut self, client: ClientId, request: Request) {
        self.next_ask += 1;
        let asked = Asked { n: self.next_ask, client, request, until: clock::now() + WORKER_LIMIT, sent: false };
        self.asked.push(asked);
        self.ask_worker();
    }

    /// Gives the worker what waits for one.
    pub(super) fn ask_worker(&mut self) {
        let Some(worker) = self.worker.as_mut().filter(|worker| worker.ready) else { return };
        for asked in self.asked.iter_mut().filter(|asked| !asked.sent) {
            // A worker that takes longer for a dump of itself is dumped from outside.
            let slow = matches!(asked.request, Request::Stage { .. });
            asked.sent = worker.child.link.send(&Down::Ask { n: asked.n, request: asked.request.clone() }).is_ok();
            if asked.sent {
                asked.until = clock::now() + if slow { SLOW_LIMIT } else { WORKER_LIMIT };
            }
        }
    }

    pub(super) fn answered(&mut self, n: u64, answer: Answer) {
        let Some(at) = self.asked.iter().position(|asked| asked.n == n) else { return };
        let asked = self.asked.swap_remove(at);
        let answer = match answer {
            Answer::Status(status) => Answer::Status(Box::new(Status { supervised: true, ..*status })),
            other => other,
        };
        self.clients.answer(asked.client, &answer);
    }

    /// Answers what the worker did not answer in time.
    pub(super) fn expire_asks(&mut self) {
        let now = clock::now();
        let (late, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.asked).into_iter().partition(|a| a.until <= now);
        self.asked = rest;
        for asked in late {
            let answer = self.alone(&asked.request);
            self.clients.answer(asked.client, &answer);
        }
    }

    /// The worker that had these is gone: the next one is asked what may be asked twice.
    pub(super) fn forget_asks(&mut self) {
        let again = |asked: &Asked| matches!(asked.request, Request::Status | Request::List | Request::SetFlag { .. });
        let lost: Vec<_> = self.asked.extract_if(.., |asked| asked.sent && !again(asked)).collect();
        for asked in lost {
            let text = "the worker ended before it answered, and the next one starts: see `fsd list`, and ask again";
            self.clients.answer(asked.client, &refuse(Code::WorkerNotAnswering, text));
        }
        for asked in &mut self.asked {
            (asked.sent, asked.until) = (false, clock::now() + WORKER_LIMIT);
        }
    }

    /// What can be said without the worker.
    fn alone(&mut self, request: &Request) -> Answer {
        match request {
            Request::Status => Answer::Status(Box::new(self.own_status())),
            Request::Dump => match self.dump_worker() {
                Ok(file) => Answer::Dumped { file },
                Err(why) => refuse(Code::WorkerNotAnswering, &format!("no dump could be taken from outside: {why}")),
            },
            _ => refuse(
                Code::WorkerNotAnswering,
                "the worker does not answer; `fsd restart` replaces it and no client sees an error",
            ),
        }
    }

    /// From outside, so that it works whatever the worker does.
    pub(super) fn dump_worker(&mut self) -> Result<String, &'static str> {
        let pid = self.worker.as_ref().ok_or("there is no worker")?.child.pid();
        let (file, errand) = super::drain::dump(&self.places, pid);
        self.errands.extend(errand);
        file
    }

    /// What is known without the worker: what the mount is, and the requests that wait, from the shared table.
    fn own_status(&self) -> Status {
        let presence = &self.presence;
        let (inflight, oldest_us) = super::drain::in_flight(&self.places, &presence.run);
        Status {
            version: presence.version.clone(),
            pid: presence.pid,
            run: presence.run.clone(),
            mount_run: self.mount_run.clone(),
            mount: presence.mount.clone(),
            source: presence.source.clone(),
            uptime_s: (clock::now() - self.started).as_secs(),
            flags: self.flags,
            supervised: true,
            worker_alive: false,
            inflight,
            oldest_us,
            kernel_waiting: self.waiting(),
            max_background: self.max_background,
            ..Status::default()
        }
    }

    /// A new worker, with the flags wanted: the old one's dump first, then the hand-over.
    fn restart(&mut self, client: ClientId, flags: &[(Flag, bool)], binary: Option<String>) {
        if self.ending.is_some() || self.settled.is_none() {
            return self.clients.answer(client, &refuse(Code::Busy, "the mount is not up, or going down"));
        }
        if self.restarting.is_some() {
            return self.clients.answer(client, &refuse(Code::Busy, "a restart is under way"));
        }
        let cause = if binary.is_some() { Cause::Upgrade } else { Cause::Restart };
        // Whoever asks for a restart may have put another program in the place of ours.
        let replaced = || self.program.is_replaced().then(|| self.program.named().display().to_string());
        if let Some(binary) = binary.or_else(replaced) {
            match super::drain::fitting(&binary) {
                Ok(program) => {
                    let before = std::mem::replace(&mut self.program, Program::at(program));
                    self.fallback = Some((before, self.flags));
                }
                Err(why) => return self.clients.answer(client, &refuse(Code::BadRequest, &why)),
            }
        }
        for (flag, value) in flags {
            self.flags = self.flags.with(*flag, *value);
        }
        self.restarting = Some(client);
        // A request that came since we looked may end it all.
        self.over = self.replace(cause);
    }

    /// The other binary's worker died before it served: the one before goes on, with the flags of before.
    pub(super) fn fall_back(&mut self, how: &str) -> bool {
        let Some((before, flags)) = self.fallback.take() else { return false };
        self.flags = flags;
        let other = std::mem::replace(&mut self.program, before);
        let text = format!("{} did not serve ({how}): the fsd before goes on", other.named().display());
        tracing::error!("{text}");
        if let Some(client) = self.restarting.take() {
            self.clients.answer(client, &refuse(Code::Internal, &text));
        }
        true
    }

    pub(super) fn restarted(&mut self, handed: &Handed) {
        if let Some(client) = self.restarting.take() {
            let (old_run, new_run) = (handed.run.clone(), self.presence.run.clone());
            self.clients.answer(client, &Answer::Restarted { old_run, new_run, resent: handed.resent });
        }
    }
}
