//! Spare: whose session another one may have, where there are too many of them: of those whose life is over the oldest,
//! then of those that have nothing open whoever has been silent longest.

use super::{MOST_DAEMONS, MOST_LIVES, Told, Voices};

/// Whose session another one may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::model) enum Spare {
    /// Another one followed it: its life is over.
    Past { voice: usize, session: usize },
    /// It writes too little to be told apart from others.
    Quiet { session: usize },
}

/// One that was found to be, as long as it does not speak.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    at: usize,
    last: u64,
    why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Past,
    Quiet,
    /// There are so many that not even those with something open have room.
    Oldest,
}

impl Voices {
    /// `is_quiet`: whether a session has nothing open.
    pub(in crate::engine::model) fn spare(
        &mut self,
        told: impl Fn(usize) -> Told,
        is_quiet: impl Fn(usize) -> bool,
    ) -> Option<Spare> {
        if let Some(spare) = self.next_spare(&is_quiet) {
            return Some(spare);
        }
        let named = || self.living().filter(|(_, voice)| voice.writer.is_some()).count();
        if self.living.len() < self.crowd.max(MOST_LIVES) || named() < MOST_LIVES {
            return None;
        }
        self.find_spares(told, &is_quiet);
        // A log of very many that all live is not searched anew for each of them.
        self.crowd = if self.spares.is_empty() { self.living.len() + self.living.len() / 4 } else { 0 };
        self.next_spare(&is_quiet)
    }

    fn find_spares(&mut self, told: impl Fn(usize) -> Told, is_quiet: &impl Fn(usize) -> bool) {
        self.roster.take();
        let lives = self.look(told);
        let found = |at: usize, why: Why| Found { at, last: self.all[at].last, why };
        let mut spares: Vec<Found> = lives.followed.keys().map(|at| found(*at, Why::Past)).collect();
        if spares.is_empty() && self.living.len() >= MOST_DAEMONS {
            let quiet = |at: &usize| self.all[*at].session.is_some_and(is_quiet);
            spares = self.living.iter().filter(|at| quiet(at)).map(|at| found(*at, Why::Quiet)).collect();
            spares.sort_by_key(|found| found.last);
            spares.truncate(self.living.len() / 2);
        }
        if spares.is_empty() && self.living.len() >= 4 * MOST_DAEMONS {
            spares = self.living.iter().map(|at| found(*at, Why::Oldest)).collect();
            spares.sort_by_key(|found| found.last);
            spares.truncate(self.living.len() / 8);
        }
        spares.sort_by_key(|found| std::cmp::Reverse(found.last));
        self.spares = spares;
    }

    fn next_spare(&mut self, is_quiet: &impl Fn(usize) -> bool) -> Option<Spare> {
        while let Some(Found { at, last, why }) = self.spares.pop() {
            let silent = self.all[at].last == last && !self.speaking.values().any(|speaking| *speaking == at);
            // What it had said before may have been handed over since.
            let free = |session: &mut usize| silent && (why != Why::Quiet || is_quiet(*session));
            if let Some(session) = self.all[at].session.take_if(free) {
                self.lives.take();
                self.roster.take();
                self.living.remove(&at);
                self.of_session.remove(&session);
                let past = why == Why::Past;
                return Some(if past { Spare::Past { voice: at, session } } else { Spare::Quiet { session } });
            }
        }
        None
    }

    /// That one was followed, it seems; so much was open.
    pub(in crate::engine::model) fn bury(&mut self, voice: usize, open: u64) {
        self.all[voice].buried = Some(open);
    }
}
