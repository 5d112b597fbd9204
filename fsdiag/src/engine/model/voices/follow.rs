//! Follow: which writer of a log is the next life of which, by when both wrote and by how they began.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;

use super::Voice;
use crate::engine::{fact::InputId, model::ops::Micros};

/// What a life tells of itself that bears on whether it followed another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine::model) struct Told {
    /// Its first and its last word, in wall time.
    pub(in crate::engine::model) span: Option<(Micros, Micros)>,
    /// Its log shows its beginning.
    pub(in crate::engine::model) begins: bool,
}

/// One of those that may follow each other.
struct Life<'v> {
    at: usize,
    voice: &'v Voice,
    told: Told,
}

/// Threads and clocks of whole seconds may be late by so much.
const LATE: Micros = 1_000_000;
/// So many of one name that write at one time are a crowd: whoever falls silent there while another one appears is not
/// followed by it, unless that one began just then.
const CROWD: usize = 3;
/// Whoever comes follows one of those that spoke last.
const LOOKED_AT: usize = 64;

/// Who was followed by whom. Nobody follows two, and of several that fell silent the latest is followed.
pub(super) fn followed<'v>(
    living: impl Iterator<Item = (usize, &'v Voice)>,
    told: impl Fn(usize) -> Told,
) -> BTreeMap<usize, usize> {
    let mut alike: HashMap<Kind<'_>, Vec<Life<'_>>> = HashMap::new();
    for (at, voice) in living {
        let told = voice.session.map(&told).unwrap_or_default();
        voice.kinds().for_each(|kind| alike.entry(kind).or_default().push(Life { at, voice, told }));
    }
    let mut followed = BTreeMap::new();
    let mut groups: Vec<Vec<Life<'_>>> = alike.into_values().filter(|lives| lives.len() > 1).collect();
    groups.sort_by_key(|lives| lives[0].at);
    let mut next = BTreeSet::new();
    groups.iter_mut().for_each(|lives| of_kind(lives, &mut followed, &mut next));
    followed
}

fn of_kind(lives: &mut [Life<'_>], followed: &mut BTreeMap<usize, usize>, next: &mut BTreeSet<usize>) {
    lives.sort_by_key(|life| life.voice.first);
    let mut ends: Vec<usize> = (0..lives.len()).collect();
    ends.sort_by_key(|at| std::cmp::Reverse(lives[*at].voice.last));
    let mut silent: Vec<usize> = Vec::new();
    for later in 0..lives.len() {
        // Those that had said their last word by then, the latest at the end.
        while let Some(end) = ends.pop_if(|end| lives[*end].voice.last < lives[later].voice.first) {
            silent.push(end);
        }
        if next.contains(&lives[later].at) {
            continue;
        }
        let free = |at: &usize| !followed.contains_key(&lives[*at].at);
        let may = |at: &usize| free(at) && may_follow(&lives[later], &lives[*at], lives);
        if let Some(place) = silent.iter().rev().take(LOOKED_AT).position(may) {
            let earlier = silent.remove(silent.len() - 1 - place);
            followed.insert(lives[earlier].at, lives[later].at);
            next.insert(lives[later].at);
        }
    }
}

fn may_follow(later: &Life<'_>, earlier: &Life<'_>, all: &[Life<'_>]) -> bool {
    // Blocks of a log that stand one behind the other tell of one time.
    let overlap = later.told.span.zip(earlier.told.span).is_some_and(|(next, own)| next.0 + LATE < own.1);
    let beside = || {
        let others = all.iter().filter(|other| other.at != later.at && other.at != earlier.at);
        others.filter(|other| meet(other, earlier) || meet(other, later)).take(CROWD).count()
    };
    !overlap && (later.told.begins || beside() < CROWD)
}

/// Whether two wrote at one time.
fn meet(one: &Life<'_>, two: &Life<'_>) -> bool {
    match (one.told.span, two.told.span) {
        (Some(one), Some(two)) => one.0 <= two.1 && one.1 >= two.0,
        _ => one.voice.first < two.voice.last && one.voice.last > two.voice.first,
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
