//! Rule R0 where lines tell who wrote them: two that write by turns are two daemons, and one that begins after the
//! last word of another of the same name is the same daemon, started again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use hashbrown::HashMap;

use super::hash::NumberMap;
use crate::engine::fact::{InputId, Writer};

/// Everybody who has written into a log.
#[derive(Clone, Debug, Default)]
pub(super) struct Voices {
    all: Vec<Voice>,
    /// Those that have a session: few, in a journal of many processes.
    living: Vec<usize>,
    known: NumberMap<(InputId, u64), usize>,
    /// Whose the facts of a stream are now.
    speaking: BTreeMap<InputId, usize>,
    turns: u64,
    /// So many have to live before it is worth looking again for one that was followed.
    crowd: usize,
    /// What of them all was asked since the last turn.
    lives: OnceLock<Lives>,
}

#[derive(Clone, Debug, Default)]
struct Lives {
    /// Who was followed by whom.
    followed: BTreeMap<usize, usize>,
    /// The sessions of the others.
    current: BTreeSet<usize>,
}

/// One writer of one stream; a line of which nobody knows who wrote it has a voice as well.
#[derive(Clone, Debug)]
struct Voice {
    stream: InputId,
    writer: Option<Writer>,
    /// Where its requests are.
    session: Option<usize>,
    /// When it took its first and its last turn.
    first: u64,
    last: u64,
}

/// A journal of a restart loop has no end; so many lives of named writers stay whole.
pub(super) const MOST_LIVES: usize = 64;

impl Voices {
    /// From here on the facts of that stream are those of `writer`.
    pub(super) fn turn_to(&mut self, stream: InputId, writer: Option<&Writer>, speaks: bool) {
        let identity = writer.map_or(0, |writer| writer.identity);
        let turn = self.turns + 1;
        self.lives.take();
        let at = *self.known.entry((stream, identity)).or_insert_with(|| {
            self.all.push(Voice { stream, writer: writer.cloned(), session: None, first: turn, last: turn });
            self.all.len() - 1
        });
        if speaks {
            self.turns = turn;
            self.all[at].last = turn;
        }
        self.speaking.insert(stream, at);
    }

    /// The session of whoever speaks.
    pub(super) fn session(&self, stream: InputId) -> Option<usize> {
        self.all[*self.speaking.get(&stream)?].session
    }

    pub(super) fn set_session(&mut self, stream: InputId, session: usize) {
        if !self.speaking.contains_key(&stream) {
            self.turn_to(stream, None, true);
        }
        let at = self.speaking[&stream];
        self.lives.take();
        if self.all[at].session.replace(session).is_none() {
            self.living.push(at);
        }
    }

    /// Whoever speaks, if it is known.
    pub(super) fn writer(&self, stream: InputId) -> Option<&Writer> {
        self.all[*self.speaking.get(&stream)?].writer.as_ref()
    }

    /// The sessions that are the present one of their writer, where nobody followed that writer.
    pub(super) fn current(&self) -> &BTreeSet<usize> {
        &self.lives().current
    }

    /// The session of whoever followed the writer of that one.
    pub(super) fn follower(&self, session: usize) -> Option<usize> {
        let (at, _) = self.living().find(|(_, voice)| voice.session == Some(session))?;
        self.all[*self.lives().followed.get(&at)?].session
    }

    /// The present sessions of that stream.
    pub(super) fn sessions(&self, stream: InputId) -> Vec<usize> {
        let followed = &self.lives().followed;
        let of_it = self.living().filter(|(_, voice)| voice.stream == stream);
        of_it.filter(|(at, _)| !followed.contains_key(at)).filter_map(|(_, voice)| voice.session).collect()
    }

    /// When each of that stream spoke last, and where its requests are.
    pub(super) fn spoke(&self, stream: InputId) -> impl Iterator<Item = (u64, usize)> {
        let of_it = self.living().filter(move |(_, voice)| voice.stream == stream);
        of_it.filter_map(|(_, voice)| Some((voice.last, voice.session?)))
    }

    /// The turn that is taken now, and the last one of whom that session belongs to.
    pub(super) fn silent_since(&self, session: usize, turn: u64) -> bool {
        self.living().any(|(_, voice)| voice.session == Some(session) && voice.last <= turn)
    }

    pub(super) fn turn(&self) -> u64 {
        self.turns
    }

    /// Where too many lives are told apart: the session of one that was followed, which is nobody's from now on.
    pub(super) fn spare(&mut self) -> Option<usize> {
        if self.living.len() < self.crowd.max(MOST_LIVES)
            || self.living().filter(|(_, voice)| voice.writer.is_some()).count() < MOST_LIVES
        {
            return None;
        }
        let Some(oldest) = self.lives().followed.keys().copied().min_by_key(|at| self.all[*at].last) else {
            // A log of very many that all live is not searched anew for each of them.
            self.crowd = self.living.len() + self.living.len() / 4;
            return None;
        };
        self.lives.take();
        self.living.retain(|at| *at != oldest);
        self.all[oldest].session.take()
    }

    fn lives(&self) -> &Lives {
        self.lives.get_or_init(|| {
            let followed = self.followed();
            let current = self.living().filter(|(at, _)| !followed.contains_key(at));
            let current = current.filter_map(|(_, voice)| voice.session).collect();
            Lives { followed, current }
        })
    }

    fn living(&self) -> impl Iterator<Item = (usize, &Voice)> {
        self.living.iter().map(|at| (*at, &self.all[*at]))
    }

    /// Who was followed by whom. Nobody follows two, and of several that fell silent the latest is followed.
    fn followed(&self) -> BTreeMap<usize, usize> {
        let mut followed = BTreeMap::new();
        if self.living.len() < 2 {
            return followed;
        }
        let mut lives = self.living.clone();
        lives.sort_by_key(|at| self.all[*at].first);
        let mut alike: HashMap<Kind<'_>, Vec<usize>> = HashMap::new();
        for at in &lives {
            self.all[*at].kinds().for_each(|kind| alike.entry(kind).or_default().push(*at));
        }
        for later in &lives {
            let own = &self.all[*later];
            let earlier = own.kinds().filter_map(|kind| alike.get(&kind)).flatten();
            let free = earlier.filter(|at| self.all[**at].last < own.first && !followed.contains_key(*at));
            if let Some(latest) = free.max_by_key(|at| self.all[**at].last) {
                followed.insert(*latest, *later);
            }
        }
        followed
    }
}

/// What writers have in common that may be one daemon in several processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind<'a> {
    /// With numbers, on one machine.
    Numbered {
        stream: InputId,
        host: &'a str,
        name: &'a str,
    },
    Replica {
        stream: InputId,
        of: (&'a str, &'a str),
        name: &'a str,
        pid: Option<u32>,
    },
}

impl Voice {
    fn kinds(&self) -> impl Iterator<Item = Kind<'_>> {
        let (stream, writer) = (self.stream, self.writer.as_ref());
        let numbered = writer.filter(|own| own.pid.is_some());
        let numbered = numbered.map(|own| Kind::Numbered { stream, host: &own.host, name: &own.name });
        let replica = writer
            .and_then(|own| Some(Kind::Replica { stream, of: replica(&own.host)?, name: &own.name, pid: own.pid }));
        numbered.into_iter().chain(replica)
    }
}

/// What all pods of one kind are called, one after the other: `fuse-x7k2p/mounter` without the letters by chance.
fn replica(host: &str) -> Option<(&str, &str)> {
    let (pod, container) = host.split_once('/').unwrap_or((host, ""));
    let (name, chance) = pod.rsplit_once('-')?;
    let letters = |b: u8| b"bcdfghjklmnpqrstvwxz2456789".contains(&b);
    (chance.len() == 5 && chance.bytes().all(letters)).then_some((name, container))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: InputId = InputId(0);

    fn writer(host: &str, name: &str, pid: Option<u32>) -> Writer {
        let identity = host
            .bytes()
            .chain(name.bytes())
            .fold(u64::from(pid.unwrap_or(7)), |n, b| n.wrapping_mul(31) + u64::from(b));
        Writer { identity, host: host.into(), name: name.into(), pid }
    }

    /// Lines of these writers, one after the other; which of their sessions (by their first line) are current.
    fn current(turns: &[&Writer]) -> Vec<usize> {
        let mut voices = Voices::default();
        for (at, writer) in turns.iter().enumerate() {
            voices.turn_to(LOG, Some(writer), true);
            if voices.session(LOG).is_none() {
                voices.set_session(LOG, at);
            }
        }
        voices.current().iter().copied().collect()
    }

    #[test]
    fn who_writes_by_turns_are_two_and_who_comes_after_the_last_word_is_the_next_life() {
        let [a, b, c] = [1, 2, 3].map(|pid| writer("nas", "sshfs", Some(pid)));
        assert_eq!(current(&[&a, &b, &a, &b]), [0, 1]);
        assert_eq!(current(&[&a, &a, &b, &b]), [2]);
        // The first fell silent long ago: the new one goes on where the other one ended.
        assert_eq!(current(&[&a, &b, &a, &b, &b, &c]), [0, 5]);
        assert_eq!(current(&[&a, &b, &a, &c, &b]), [1, 3]);
    }

    #[test]
    fn other_names_other_machines_and_containers_are_no_restart() {
        let of = |name, pid| writer("nas", name, Some(pid));
        assert_eq!(current(&[&of("sshfs", 1), &of("rclone", 2)]), [0, 1]);
        assert_eq!(current(&[&writer("a", "sshfs", Some(1)), &writer("b", "sshfs", Some(2))]), [0, 1]);
        assert_eq!(current(&[&writer("fused-1", "", None), &writer("fused-2", "", None)]), [0, 1]);
        let pod = |chance: &str| writer(&format!("fuse-{chance}/mounter"), "", None);
        assert_eq!(current(&[&pod("x7k2p"), &pod("zw4bd")]), [1]);
    }

    #[test]
    fn hundreds_of_machines_in_one_log_all_live() {
        let mut voices = Voices::default();
        for host in 0..1000 {
            voices.turn_to(LOG, Some(&writer(&format!("host{host}"), "sshfs", Some(12))), true);
            assert_eq!(voices.spare(), None);
            voices.set_session(LOG, host);
        }
        assert_eq!((voices.current().len(), voices.sessions(LOG).len()), (1000, 1000));
    }

    #[test]
    fn a_restart_loop_gives_its_oldest_lives_back() {
        let mut voices = Voices::default();
        let mut made = 0;
        for pid in 0..1000 {
            voices.turn_to(LOG, Some(&writer("nas", "sshfs", Some(pid))), true);
            let session = voices.spare().unwrap_or(made);
            made = made.max(session + 1);
            voices.set_session(LOG, session);
        }
        assert_eq!((made, voices.sessions(LOG).len()), (MOST_LIVES, 1));
    }
}
