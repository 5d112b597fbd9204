//! Chaos: faults, changes and kills at random moments.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use super::{
    super::{
        dice::Dice,
        support::*,
        takeover::{await_successor, send, worker},
    },
    ground::{Ground, Kind},
    lasts,
};

pub(super) struct Chaos {
    dice: Dice,
    kills: bool,
    next_kill: Instant,
    faults: u64,
    changes: u64,
    killed: u64,
}

impl Chaos {
    pub(super) fn new(kills: bool) -> Self {
        Self { dice: Dice::new(17), kills, next_kill: now() + Duration::from_secs(2), faults: 0, changes: 0, killed: 0 }
    }

    /// Until it is told to stop; what it did, in words.
    pub(super) fn reign(mut self, ground: &Ground, origin: &Origin, mounted: &Mounted, stop: &AtomicBool) -> String {
        while !stop.load(Relaxed) {
            self.spoil(ground, origin);
            if self.kills && now() > self.next_kill {
                self.kill(mounted);
            }
            std::thread::park_timeout(Duration::from_millis(20 + self.dice.below(130)));
        }
        format!("{} faults, {} changes, {} kills", self.faults, self.changes, self.killed)
    }

    fn spoil(&mut self, ground: &Ground, origin: &Origin) {
        match self.dice.below(20) {
            0..=13 => {
                let known = *self.dice.one_of(&ground.of(Kind::Faulty));
                let fault = self.fault(known.size);
                origin.fault(&known.name, fault);
                self.faults += 1;
            }
            14..=16 => _ = origin.release(),
            17..=18 => _ = origin.heal(),
            _ => {
                let known = *self.dice.one_of(&ground.of(Kind::Changing));
                origin.file(&known.name, known.size);
                self.changes += 1;
            }
        }
    }

    fn fault(&mut self, size: u64) -> Fault {
        let at = self.dice.below(size);
        match self.dice.below(18) {
            0 => Fault::Silent,
            1 => Fault::StallAt(at),
            2 => Fault::Trickle(Duration::from_millis(1 + self.dice.below(50))),
            3 => Fault::ResetAt(at),
            4 => Fault::ShortAt(at),
            5 => Fault::ChunkedShort(at),
            6 => Fault::Chunked,
            7 => Fault::WrongLength(-1),
            8 => Fault::WholeForRange,
            9 => Fault::WrongRange,
            10 => Fault::OtherTag,
            11 => Fault::status(503),
            12 => Fault::Status { code: 429, retry_after: Some("1".to_owned()) },
            13 => Fault::status(404),
            14 => Fault::RedirectLoop,
            15 => Fault::Encoded,
            16 => Fault::Delay(Duration::from_millis(self.dice.below(1500))),
            _ => Fault::Garbage,
        }
    }

    /// Kills the worker, and waits until the next one serves: who dies before that again and again is given up.
    fn kill(&mut self, mounted: &Mounted) {
        let old = worker(mounted);
        send(old, Signal::SIGKILL);
        await_successor(mounted, old);
        self.killed += 1;
        // Many in a short soak; in a long one workers live long enough to get into trouble.
        let most = u64::try_from(lasts().as_millis() / 8).unwrap().min(20_000);
        self.next_kill = now() + Duration::from_millis(200 + self.dice.below(most));
    }
}
