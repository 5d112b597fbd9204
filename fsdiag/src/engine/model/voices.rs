//! Rule R0 where lines tell who wrote them: two that write by turns are two daemons, and one that begins after the
//! last word of another of the same name is the same daemon, started again.

use std::collections::{BTreeMap, BTreeSet};

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
        if self.all[at].session.replace(session).is_none() {
            self.living.push(at);
        }
    }

    /// Whoever speaks, if it is known.
    pub(super) fn writer(&self, stream: InputId) -> Option<&Writer> {
        self.all[*self.speaking.get(&stream)?].writer.as_ref()
    }

    /// The sessions that are the present one of their writer, where nobody followed that writer.
    pub(super) fn current(&self) -> BTreeSet<usize> {
        let followed = self.followed();
        self.living().filter(|(at, _)| !followed.contains_key(at)).filter_map(|(_, voice)| voice.session).collect()
    }

    /// The session of whoever followed the writer of that one.
    pub(super) fn follower(&self, session: usize) -> Option<usize> {
        let (at, _) = self.living().find(|(_, voice)| voice.session == Some(session))?;
        self.all[*self.followed().get(&at)?].session
    }

    /// The present sessions of that stream.
    pub(super) fn sessions(&self, stream: InputId) -> Vec<usize> {
        let followed = self.followed();
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
        if self.living().filter(|(_, voice)| voice.writer.is_some()).count() < MOST_LIVES {
            return None;
        }
        let oldest = self.followed().into_keys().min_by_key(|at| self.all[*at].last)?;
        self.living.retain(|at| *at != oldest);
        self.all[oldest].session.take()
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
        for later in &lives {
            let earlier = lives.iter().filter(|at| self.all[*later].succeeds(&self.all[**at]));
            let free = earlier.filter(|at| !followed.contains_key(*at));
            if let Some(latest) = free.max_by_key(|at| self.all[**at].last) {
                followed.insert(*latest, *later);
            }
        }
        followed
    }
}

impl Voice {
    /// Whether it may be the same daemon in another process.
    fn succeeds(&self, earlier: &Self) -> bool {
        let (Some(own), Some(before)) = (&self.writer, &earlier.writer) else { return false };
        let numbered = own.pid.is_some() && before.pid.is_some() && own.host == before.host;
        let alike =
            numbered || own.pid == before.pid && replica(&own.host).is_some_and(|r| Some(r) == replica(&before.host));
        self.stream == earlier.stream && alike && own.name == before.name && earlier.last < self.first
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
        voices.current().into_iter().collect()
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
