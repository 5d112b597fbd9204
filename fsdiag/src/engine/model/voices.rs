//! Rule R0 where lines tell who wrote them: two that write by turns are two daemons, and one that begins after the
//! last word of another of the same name is the same daemon, started again.

mod follow;
mod spare;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use self::spare::Found;
pub(super) use self::{follow::Told, spare::Spare};
use super::hash::NumberMap;
use crate::engine::fact::{InputId, Writer};

/// Everybody who has written into a log.
#[derive(Clone, Debug, Default)]
pub(super) struct Voices {
    all: Vec<Voice>,
    /// Those that have a session: few, in a journal of many processes.
    living: BTreeSet<usize>,
    known: NumberMap<(InputId, u64), usize>,
    /// Whose each session is.
    of_session: NumberMap<usize, usize>,
    /// Whose the facts of a stream are now.
    speaking: BTreeMap<InputId, usize>,
    /// The session of whoever has asked a daemon's questions in that stream last, before the present one.
    heard: BTreeMap<InputId, usize>,
    turns: u64,
    /// So many have to live before it is worth looking again for those whose sessions others may have.
    crowd: usize,
    /// Those, as far as they have not spoken since, the best one last.
    spares: Vec<Found>,
    /// What of them all was asked since the last turn.
    lives: OnceLock<Lives>,
    /// The same, as long as it makes no difference to who followed whom.
    roster: OnceLock<Lives>,
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
    /// Its session became another's, because another one had followed it; so much was open then.
    buried: Option<u64>,
    /// When it took its first and its last turn.
    first: u64,
    last: u64,
}

/// A journal of a restart loop has no end; so many lives of named writers stay whole.
pub(super) const MOST_LIVES: usize = 512;
/// So many daemons of all logs are told apart.
pub(super) const MOST_DAEMONS: usize = 2048;
/// More writers have no place: those that told nothing are forgotten.
const MOST_VOICES: usize = 1 << 16;

impl Voices {
    /// From here on the facts of that stream are those of `writer`. Some: it was buried, and lives; so much had been open.
    pub(super) fn turn_to(&mut self, stream: InputId, writer: Option<&Writer>, speaks: bool) -> Option<u64> {
        let identity = writer.map_or(0, |writer| writer.identity);
        let at = match self.known.get(&(stream, identity)) {
            Some(at) => *at,
            None => self.add(stream, writer, identity),
        };
        self.lives.take();
        self.speaking.insert(stream, at);
        if !speaks {
            return None;
        }
        // Who was followed was not, after all.
        if self.roster.get().is_some_and(|lives| lives.followed.contains_key(&at)) {
            self.roster.take();
        }
        self.turns += 1;
        self.all[at].last = self.turns;
        self.all[at].buried.take()
    }

    fn add(&mut self, stream: InputId, writer: Option<&Writer>, identity: u64) -> usize {
        if self.all.len() >= MOST_VOICES {
            self.forget();
        }
        let turn = self.turns + 1;
        let (writer, session, buried) = (writer.cloned(), None, None);
        self.all.push(Voice { stream, writer, session, buried, first: turn, last: turn });
        self.known.insert((stream, identity), self.all.len() - 1);
        self.all.len() - 1
    }

    /// The older half of those that have no session, and are not asked for one now.
    fn forget(&mut self) {
        let mut turns: Vec<u64> = self.all.iter().map(|voice| voice.last).collect();
        let middle = turns.len() / 2;
        let older = *turns.select_nth_unstable(middle).1;
        let present: BTreeSet<usize> = self.speaking.values().copied().collect();
        let stays =
            |(at, voice): (usize, &Voice)| voice.session.is_some() || voice.last > older || present.contains(&at);
        let kept: Vec<bool> = self.all.iter().enumerate().map(stays).collect();
        let mut places = Vec::with_capacity(kept.len());
        kept.iter().fold(0, |place, stays| {
            places.push(place);
            place + usize::from(*stays)
        });
        let mut stays = kept.iter();
        self.all.retain(|_| stays.next() == Some(&true));
        self.known.retain(|_, at| kept[*at]);
        let known = self.known.values_mut().chain(self.of_session.values_mut()).chain(self.speaking.values_mut());
        known.for_each(|at| *at = places[*at]);
        self.living = self.living.iter().map(|at| places[*at]).collect();
        self.spares.clear();
        self.roster.take();
    }

    /// The session of whoever speaks.
    pub(super) fn session(&self, stream: InputId) -> Option<usize> {
        self.all[*self.speaking.get(&stream)?].session
    }

    pub(super) fn session_of(&self, stream: InputId, writer: &Writer) -> Option<usize> {
        self.all[*self.known.get(&(stream, writer.identity))?].session
    }

    /// Every session of that stream.
    pub(super) fn all_sessions(&self, stream: InputId) -> Vec<usize> {
        self.living().filter(|(_, voice)| voice.stream == stream).filter_map(|(_, voice)| voice.session).collect()
    }

    /// That session is nobody's any more.
    pub(super) fn take_session(&mut self, session: usize) {
        let Some(at) = self.of_session.remove(&session) else { return };
        self.all[at].session = None;
        self.living.remove(&at);
        self.lives.take();
        self.roster.take();
    }

    pub(super) fn set_session(&mut self, stream: InputId, session: usize) {
        if !self.speaking.contains_key(&stream) {
            self.turn_to(stream, None, true);
        }
        let at = self.speaking[&stream];
        self.lives.take();
        self.roster.take();
        self.of_session.insert(session, at);
        self.all[at].session = Some(session);
        self.living.insert(at);
    }

    /// Whoever speaks, if it is known.
    pub(super) fn writer(&self, stream: InputId) -> Option<&Writer> {
        self.all[*self.speaking.get(&stream)?].writer.as_ref()
    }

    /// The sessions that are the present one of their writer, where nobody followed that writer.
    pub(super) fn current(&self, told: impl Fn(usize) -> Told) -> &BTreeSet<usize> {
        &self.lives.get_or_init(|| self.look(told)).current
    }

    /// The session of whoever followed the writer of that one.
    pub(super) fn follower(&self, session: usize, told: impl Fn(usize) -> Told) -> Option<usize> {
        let at = self.of_session.get(&session)?;
        self.all[*self.lives.get_or_init(|| self.look(told)).followed.get(at)?].session
    }

    /// The present sessions of that stream, as it is read.
    pub(super) fn sessions(&self, stream: InputId, told: impl Fn(usize) -> Told) -> Vec<usize> {
        let current = &self.roster.get_or_init(|| self.look(told)).current;
        let of_it = |session: &&usize| self.of_session.get(session).is_some_and(|at| self.all[*at].stream == stream);
        current.iter().filter(of_it).copied().collect()
    }

    /// The session of the daemon that spoke last in that stream.
    pub(super) fn heard(&self, stream: InputId, is_daemon: impl Fn(usize) -> bool) -> Option<usize> {
        let present = self.session(stream).filter(|session| is_daemon(*session));
        let is_its = |session: &&usize| self.of_session.get(session).is_some_and(|at| self.all[*at].stream == stream);
        present.or_else(|| self.heard.get(&stream).filter(is_its).copied())
    }

    /// Remembers the session of whoever speaks as that of the daemon that spoke last.
    pub(super) fn hears(&mut self, stream: InputId, is_daemon: impl Fn(usize) -> bool) {
        if let Some(session) = self.session(stream).filter(|session| is_daemon(*session)) {
            self.heard.insert(stream, session);
        }
    }

    /// Whether whom that session belongs to took its last turn by then.
    pub(super) fn silent_since(&self, session: usize, turn: u64) -> bool {
        self.of_session.get(&session).is_some_and(|at| self.all[*at].last <= turn)
    }

    pub(super) fn turn(&self) -> u64 {
        self.turns
    }

    fn look(&self, told: impl Fn(usize) -> Told) -> Lives {
        let followed = if self.living.len() < 2 { BTreeMap::new() } else { follow::followed(self.living(), told) };
        let current = self.living().filter(|(at, _)| !followed.contains_key(at));
        let current = current.filter_map(|(_, voice)| voice.session).collect();
        Lives { followed, current }
    }

    fn living(&self) -> impl Iterator<Item = (usize, &Voice)> {
        self.living.iter().map(|at| (*at, &self.all[*at]))
    }
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
        voices.current(|_| Told::default()).iter().copied().collect()
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

    /// The same for lives of that many seconds each, and whether each shows its beginning.
    fn current_of(turns: &[&Writer], spans: &[(i64, i64)], begins: bool) -> usize {
        let mut voices = Voices::default();
        for (at, writer) in turns.iter().enumerate() {
            voices.turn_to(LOG, Some(writer), true);
            if voices.session(LOG).is_none() {
                voices.set_session(LOG, at);
            }
        }
        let told = |at: usize| Told { span: Some((spans[at].0 * 1_000_000, spans[at].1 * 1_000_000)), begins };
        voices.current(told).len()
    }

    #[test]
    fn pods_whose_lines_stand_in_blocks_one_behind_the_other_all_live() {
        let pods = ["x7k2p", "zw4bd", "9sdfg"].map(|chance| writer(&format!("fuse-{chance}/mounter"), "", None));
        let turns: Vec<&Writer> = pods.iter().collect();
        assert_eq!(current_of(&turns, &[(0, 60), (2, 61), (1, 59)], true), 3);
        assert_eq!(current_of(&turns, &[(0, 60), (61, 120), (121, 180)], true), 1);
    }

    #[test]
    fn whoever_falls_silent_in_a_crowd_is_not_followed_by_one_whose_log_began_earlier() {
        let pods: Vec<Writer> = ["x7k2p", "zw4bd", "9sdfg", "bbbbb", "ccccc"]
            .iter()
            .map(|chance| writer(&format!("fuse-{chance}/mounter"), "", None))
            .collect();
        let turns: Vec<&Writer> = pods.iter().collect();
        let spans = [(0, 10), (0, 60), (0, 60), (0, 60), (20, 60)];
        assert_eq!(current_of(&turns, &spans, false), 5);
        assert_eq!(current_of(&turns, &spans, true), 4);
        // Of each the last lines only.
        let tails = [(0, 10), (40, 60), (41, 60), (42, 60), (43, 60)];
        assert_eq!(current_of(&turns, &tails, false), 5);
    }

    #[test]
    fn hundreds_of_machines_in_one_log_all_live() {
        let mut voices = Voices::default();
        for host in 0..1000 {
            voices.turn_to(LOG, Some(&writer(&format!("host{host}"), "sshfs", Some(12))), true);
            assert_eq!(voices.spare(|_| Told::default(), |_| true), None);
            voices.set_session(LOG, host);
        }
        assert_eq!(
            (voices.current(|_| Told::default()).len(), voices.sessions(LOG, |_| Told::default()).len()),
            (1000, 1000)
        );
    }

    #[test]
    fn a_restart_loop_gives_its_oldest_lives_back() {
        let mut voices = Voices::default();
        let mut made = 0;
        for pid in 0..3000 {
            voices.turn_to(LOG, Some(&writer("nas", "sshfs", Some(pid))), true);
            let session = match voices.spare(|_| Told::default(), |_| true) {
                Some(Spare::Past { session, .. } | Spare::Quiet { session }) => session,
                None => made,
            };
            made = made.max(session + 1);
            voices.set_session(LOG, session);
        }
        assert_eq!((made, voices.sessions(LOG, |_| Told::default()).len()), (MOST_LIVES, 1));
    }
}
