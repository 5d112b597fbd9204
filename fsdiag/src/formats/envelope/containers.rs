//! Containers: names that compose, swarms, kubectl, stern and shippers put before a line.

use super::{
    By, Doubt, Opened, is_head,
    pasted::{self, is_end_of_file, of_file},
    prefix, runners, syslog,
};
use crate::formats::scan;

/// What the names of services and pods are made of; a table, because every line is asked.
const SERVICE: [bool; 256] = table();

const fn table() -> [bool; 256] {
    let (mut table, mut byte) = ([false; 256], 0_u8);
    while byte < 128 {
        let letter = byte.is_ascii_lowercase() || byte.is_ascii_digit();
        table[byte as usize] = letter || matches!(byte, b'-' | b'_');
        byte += 1;
    }
    table
}

/// Longest name that compose shows.
const LONGEST: usize = 64;

/// What begins with the name of a service or a pod, and where that ends; most lines that begin with a small letter do
/// not.
#[inline(always)]
pub(super) fn named(text: &str) -> Option<Opened<'_>> {
    let end = text.bytes().position(|b| !SERVICE[usize::from(b)])?;
    let (name, rest) = text.as_bytes().split_at(end);
    let by_host = || if is_head(text) { None } else { hosted(text) };
    match rest {
        [b' ', b' ' | b'|', ..] | [b'|', ..] => {
            let program = || runners::named(text, end).or_else(|| stern(text, end));
            composed(text, end).or_else(program).or_else(|| syslog::with_level(text))
        }
        [b' ', ..] if may_be_pod(name) => stern(text, end),
        [b' ', b's', b't', b'd', ..] => runners::named(text, end),
        [b'.', b'0'..=b'9', ..] => runners::numbered(text, end).or_else(|| swarm(text)),
        [b':', b' ', b'{', ..] if name == b"data" => Some(Opened { text: &text[end + 2..], ..Opened::default() }),
        [b':', b'a'..=b'z', ..] => syslog::with_level(text).or_else(by_host),
        [b'\t', ..] => pasted::of_job(text).or_else(by_host),
        [b'.', ..] if is_end_of_file(rest) => of_file(text),
        [b':' | b'.' | b'/', ..] => by_host(),
        _ => None,
    }
}

/// `node17: text` of pdsh and clush, `node17.lan\ttext` of parallel --tag, `node17/var/log/syslog:text` of grep.
#[inline(never)]
pub(super) fn hosted(text: &str) -> Option<Opened<'_>> {
    let is_host = |b: u8| SERVICE[usize::from(b)] || matches!(b, b'.' | b'/') || b.is_ascii_uppercase();
    let end = text.bytes().take(2 * LONGEST).position(|b| !is_host(b))?;
    let (host, rest) = text.split_at(end);
    let inner = match rest.as_bytes() {
        [b':', b' ', ..] if syslog::is_said(host) => return None,
        [b':', b' ', ..] => &rest[2..],
        [b'\t', ..] => &rest[1..],
        // A name without an end, as that of a log of the system is.
        [b':', ..] if host.contains('/') => &rest[1..],
        _ => return None,
    };
    let told = host.bytes().any(|b| b.is_ascii_alphanumeric()) && !inner.is_empty();
    let doubt = Some(Doubt { with: text, head: &text[..text.len() - inner.len()], ..Doubt::default() });
    told.then(|| Opened { text: inner, by: By { host, ..By::default() }, doubt, ..Opened::default() })
}

/// Whether a name ends as that of a pod may: in five letters behind a hyphen, or in a number.
fn may_be_pod(name: &[u8]) -> bool {
    matches!(name, [.., b'-', _, _, _, _, _] | [.., b'0'..=b'9'])
}

/// `service-1  | text` of docker compose.
#[inline(never)]
fn composed(text: &str, end: usize) -> Option<Opened<'_>> {
    let head = &text.as_bytes()[..text.len().min(LONGEST + 2)];
    let bar = end + head.get(end..).filter(|_| end < LONGEST)?.iter().position(|b| *b != b' ')?;
    if !head[bar..].starts_with(b"| ") {
        return None;
    }
    let (name, text) = (&text[..end], &text[bar + 2..]);
    // Two blanks are there where the service was given a name of its own, which has no number.
    let instance = name.rsplit_once(['-', '_']).is_some_and(|(_, n)| n.bytes().all(|b| b.is_ascii_digit()));
    (instance || bar > end + 1).then(|| Opened { text, by: By { host: name, ..By::default() }, ..Opened::default() })
}

/// `stack_service.1.k3jd93kd92kd@node    | text` of docker service logs.
#[inline(never)]
fn swarm(text: &str) -> Option<Opened<'_>> {
    let (place, text) = text.split_once(" | ")?;
    let host = place.trim_end();
    let is_task = host.contains('@') && !host.contains(' ');
    is_task.then(|| Opened { text, by: By { host, ..By::default() }, ..Opened::default() })
}

/// `fuse-x7k2p mounter text` of stern: a pod whose name ends in letters by chance, which are no vowels, or in a number,
/// where a time follows.
#[inline(never)]
fn stern(text: &str, end: usize) -> Option<Opened<'_>> {
    let (pod, rest) = (&text[..end], text[end..].strip_prefix(' ')?);
    if !by_chance(pod) && !pod.as_bytes().last()?.is_ascii_digit() {
        return None;
    }
    let (container, text) = scan::split(rest, " ")?;
    let by = By { host: pod, name: container, pid: None };
    let known = container.bytes().all(is_of_a_name) && is_pod(pod, text);
    known.then(|| Opened { text, by, ..Opened::default() })
}

/// Whether a name is that of a pod: by the letters at its end, or by a number, where a time follows.
pub(super) fn is_pod(pod: &str, text: &str) -> bool {
    let numbered = || {
        // No pod stands behind a pod: a line of nothing else would be looked at word by word.
        let timed = !text.starts_with(|c: char| c.is_ascii_lowercase());
        let number = pod.rsplit_once('-').is_some_and(|(_, number)| number.bytes().all(|b| b.is_ascii_digit()));
        timed && number && prefix(text).is_some_and(|opened| opened.stamp.is_some())
    };
    pod.bytes().all(is_of_a_name) && (by_chance(pod) || numbered())
}

/// Few words have a hyphen there.
fn by_chance(pod: &str) -> bool {
    let chance = pod.len().checked_sub(6).and_then(|at| pod[at..].strip_prefix('-'));
    let letters = |b: u8| b"bcdfghjklmnpqrstvwxz2456789".contains(&b);
    chance.is_some_and(|chance| chance.bytes().all(letters))
}

pub(super) fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

/// `[pod/fuse-x7k2p/mounter] text` of `kubectl logs --prefix`.
pub(super) fn pod(text: &str) -> Option<Opened<'_>> {
    let (name, text) = text.strip_prefix("[pod/")?.split_once("] ")?;
    Some(Opened { text, by: By { host: name, ..By::default() }, ..Opened::default() })
}

/// `{app="fused", pod="x"} text` of logcli and `group/stream/0123456789abcdef text` of aws logs tail, behind a time.
pub(super) fn streamed(text: &str) -> Option<Opened<'_>> {
    if text.starts_with("{}") || text.starts_with('{') && !text.starts_with("{\"") {
        let (labels, text) = text[1..].split_once("} ")?;
        let label = |name: &str| scan::between(labels, name, '"').filter(|value| !value.is_empty());
        let host = ["pod=\"", "container=\"", "host=\"", "instance=\"", "app=\""].iter().find_map(|name| label(name));
        let host = host.unwrap_or_default();
        return Some(Opened { text, by: By { host, ..By::default() }, ..Opened::default() });
    }
    let (host, inner) = scan::split(text, " ")?;
    let (_, id) = host.rsplit_once('/')?;
    let is_id = id.len() >= 16 && id.bytes().all(|b| b.is_ascii_hexdigit());
    is_id.then(|| Opened { text: inner, by: By { host, ..By::default() }, ..Opened::default() })
}
