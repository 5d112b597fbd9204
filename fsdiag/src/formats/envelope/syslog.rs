//! Syslog: what stands behind a time in the logs of machines: host, service and process, as syslog and the journal
//! write them.

use super::{By, Doubt, Opened, containers, is_head, runners};
use crate::formats::{
    clock::{self, Stamp},
    scan,
};

/// `2026-11-22T09:26:51Z …`: with a year first, a time only, or seconds since 1970 with a fraction.
pub(super) fn dated(text: &str) -> Option<Opened<'_>> {
    /// Of a time in nanoseconds, with its zone.
    const EXACT: usize = "2026-11-22T09:26:51.123456789Z ".len();
    let (stamp, rest) = clock::leading(text)?;
    let rest = match rest.as_bytes() {
        // s6-log puts two behind nanoseconds.
        [b' ', b' ', ..] if text.as_bytes().get(19) == Some(&b'.') && text.len() - rest.len() == 29 => &rest[2..],
        [b' ' | b'\t', ..] => &rest[1..],
        // pm2 puts a colon behind it.
        [b':', b' ', ..] if matches!(stamp, Stamp::Wall(_)) => &rest[2..],
        _ => rest,
    };
    let of_machine = text.as_bytes().get(10) == Some(&b'T');
    let collected = of_machine && text.len() - rest.len() >= EXACT;
    if is_head(rest) {
        return Some(Opened { text: rest, stamp: Some(stamp), collected, ..Opened::default() });
    }
    let (inner, by) = tag(rest, of_machine);
    let text = stream(inner);
    if of_machine && text.len() == rest.len() {
        let stream = containers::streamed(rest).or_else(|| runners::of_stream(rest));
        if let Some(opened) = stream {
            let doubt = opened.doubt.map(|doubt| doubt.within(Some(stamp), By::default()));
            return Some(Opened { stamp: Some(stamp), collected, doubt, ..opened });
        }
    }
    let doubt = doubtful(rest, inner, Some(stamp), by);
    Some(Opened { text, stamp: Some(stamp), by, collected, doubt, ..Opened::default() })
}

/// `1795340606 …`, `1795340606123 …`, `12.345678 …`: a number that may be a time.
pub(super) fn counted(text: &str) -> Option<Opened<'_>> {
    let (stamp, rest) = clock::counted(text)?;
    let doubt = Some(Doubt { with: text, ..Doubt::default() });
    Some(Opened { text: rest.get(1..)?, stamp: Some(stamp), doubt, ..Opened::default() })
}

/// A tag without a number is one by its looks only: `dev unique: 2` looks the same.
fn doubtful<'a>(with: &'a str, text: &'a str, stamp: Option<Stamp>, by: By<'a>) -> Option<Doubt<'a>> {
    let head = &with[..with.len() - text.len()];
    let named = by.is_known() && by.pid.is_none();
    named.then(|| Doubt { with, head, stamp, by: By::default() })
}

/// `Nov 22 09:26:51 …` and what begins with the day of the week.
pub(super) fn named_day(text: &str) -> Option<Opened<'_>> {
    let (stamp, rest) = match clock::month_first(text) {
        Some((stamp, rest)) => (stamp, rest.strip_prefix(' ')?),
        None => weekday(text)?,
    };
    let (text, by) = tag(rest, true);
    let doubt = doubtful(rest, text, Some(stamp), by);
    Some(Opened { text, stamp: Some(stamp), by, doubt, ..Opened::default() })
}

const DAYS: [&str; 7] = ["Mon ", "Tue ", "Wed ", "Thu ", "Fri ", "Sat ", "Sun "];

/// `[Sun Nov 22 09:26:51 2026] text` of dmesg -T; `[Nov22 09:26] text` of dmesg -H, and `[  +0.000012] text` for what
/// comes within the same minute.
pub(super) fn shown_by_dmesg(text: &str) -> Option<(&str, Option<Stamp>)> {
    let inner = text.strip_prefix('[')?;
    let (inside, text) = inner.split_once("] ").or_else(|| Some((inner.strip_suffix(']')?, "")))?;
    if let Some(rest) = DAYS.iter().find_map(|day| inside.strip_prefix(*day)) {
        let (stamp, year) = clock::month_first(rest)?;
        let is_year = year.len() == " 2026".len() && year.bytes().skip(1).all(|b| b.is_ascii_digit());
        return is_year.then_some((text, Some(stamp)));
    }
    let is_step = || inside.trim_start().strip_prefix('+').and_then(scan::seconds_us).is_some();
    let is_minute = || clock::month_first(&format!("{inside}:00")).is_some_and(|(_, rest)| rest.is_empty());
    (is_step() || inside.len() == "Nov22 09:26".len() && is_minute()).then_some((text, None))
}

/// `Sun 2026-11-22 09:26:51 UTC text` of the journal, `Sun Nov 22 09:26:51 2026 text` of routers.
fn weekday(text: &str) -> Option<(Stamp, &str)> {
    let rest = DAYS.iter().find_map(|day| text.strip_prefix(*day))?;
    let (stamp, rest) = clock::leading(rest).or_else(|| clock::month_first(rest))?;
    let rest = rest.strip_prefix(' ')?;
    let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
    let is_zone = (2..=5).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_uppercase());
    let is_year = word.len() == 4 && word.bytes().all(|b| b.is_ascii_digit());
    let rest = if is_zone || is_year { after } else { rest };
    let east = ZONES.iter().find(|(zone, _)| *zone == word).map_or(0, |(_, hours)| *hours);
    match stamp {
        Stamp::Wall(us) => Some((Stamp::Wall(us.checked_add_signed(-east * 3_600_000_000)?), rest)),
        stamp => Some((stamp, rest)),
    }
}

/// Hours east of Greenwich, of names that mean one zone only.
const ZONES: [(&str, i64); 15] = [
    ("CET", 1),
    ("CEST", 2),
    ("BST", 1),
    ("WEST", 1),
    ("EET", 2),
    ("EEST", 3),
    ("MSK", 3),
    ("JST", 9),
    ("KST", 9),
    ("EST", -5),
    ("EDT", -4),
    ("CDT", -5),
    ("MDT", -6),
    ("PST", -8),
    ("PDT", -7),
];

/// `@4000000065a1b2c3075bcd15 text` of multilog and s6.
pub(super) fn tai(text: &str) -> Option<Opened<'_>> {
    /// Seconds of that clock when ours began.
    const EPOCH: u64 = (1 << 62) + 10;
    /// Seconds that were put in since.
    const LEAPS: u64 = 27;
    let (label, text) = text.strip_prefix('@')?.split_once(' ')?;
    let (seconds, nanos) = (label.get(..16)?, label.get(16..24)?);
    let seconds = u64::from_str_radix(seconds, 16).ok()?.checked_sub(EPOCH + LEAPS)?;
    let nanos = u64::from_str_radix(nanos, 16).ok().filter(|_| label.len() == 24)?;
    let stamp = Some(Stamp::Wall(seconds.checked_mul(1_000_000)?.checked_add(nanos / 1000)?));
    Some(Opened { text, stamp, ..Opened::default() })
}

/// `stdout F text` of a Kubernetes node's files, `01O text` and `01O+text` of a job of GitLab's.
fn stream(text: &str) -> &str {
    if let [b'0'..=b'9' | b'a'..=b'f', b'0'..=b'9' | b'a'..=b'f', b'O' | b'E', b' ' | b'+', ..] = text.as_bytes() {
        return &text[4..];
    }
    let Some(rest) = text.strip_prefix("std") else { return text };
    ["out F ", "err F ", "out P ", "err P "].iter().find_map(|s| rest.strip_prefix(s)).unwrap_or(text)
}

/// `host tag[123]: text` and `host kernel: text` of syslog and the journal; where such a line is `of_machine`, also
/// `host tag: text`, which looks like the level and the module of many a logger.
pub(super) fn tag(text: &str, of_machine: bool) -> (&str, By<'_>) {
    tagged(text, of_machine).unwrap_or((text, By::default()))
}

/// What the names of hosts and programs are made of; a table, because every line is asked.
const PLAIN: [bool; 256] = table();

const fn table() -> [bool; 256] {
    let (mut table, mut byte) = ([false; 256], 0_u8);
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'@' | b'/');
        byte += 1;
    }
    table
}

pub(super) fn is_plain(byte: u8) -> bool {
    PLAIN[usize::from(byte)]
}

fn tagged(text: &str, of_machine: bool) -> Option<(&str, By<'_>)> {
    let bytes = text.as_bytes();
    let end = bytes.iter().take_while(|byte| is_plain(**byte)).count();
    if end == 0 {
        return None;
    }
    if bytes.get(end) != Some(&b' ') {
        return None;
    }
    let (host, rest) = (&text[..end], &text[end + 1..]);
    if rest.starts_with(':') {
        // The level of a logger, and no tag.
        return None;
    }
    let end = scan::position(rest.as_bytes(), b' ')?;
    let Some(tag) = rest[..end].strip_suffix(':') else {
        return facility(host, rest).filter(|_| of_machine);
    };
    let inner = &rest[end + 1..];
    if tag == "kernel" {
        return Some((inner, By::kernel_of(host)));
    }
    match tag.strip_suffix(']') {
        Some(tag) => {
            let (name, pid) = tag.split_once('[')?;
            let named = !name.is_empty() && name.bytes().all(is_plain) && pid.bytes().all(|b| b.is_ascii_digit());
            named.then(|| (inner, By { host, name, pid: pid.parse().ok() }))
        }
        None => {
            let word = tag.starts_with(|c: char| c.is_ascii_alphabetic()) && tag.bytes().all(is_plain);
            let named = of_machine && word && !host.contains('/') && !is_level(host) && !PHRASES.contains(&tag);
            named.then_some((inner, By { host, name: tag, pid: None }))
        }
    }
}

/// What small machines say of a line besides: `host daemon.info tag[1]: text`, or without the host.
fn facility<'a>(first: &'a str, rest: &'a str) -> Option<(&'a str, By<'a>)> {
    const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"];
    let is_facility = |word: &str| {
        let level = word.split_once('.').map(|(_, level)| level);
        level.is_some_and(|level| LEVELS.contains(&level))
    };
    let (host, rest) = match rest.split_once(' ') {
        Some((second, rest)) if is_facility(second) => (first, rest),
        _ if is_facility(first) => ("", rest),
        _ => return None,
    };
    let (tag, inner) = rest.split_once(": ")?;
    let (name, pid) = match tag.strip_suffix(']').and_then(|tag| tag.split_once('[')) {
        Some((name, pid)) => (name, pid.parse().ok()),
        None => (tag, None),
    };
    let by = if name == "kernel" { By::kernel_of(host) } else { By { host, name, pid } };
    (!name.is_empty() && name.bytes().all(is_plain)).then_some((inner, by))
}

/// Whether a program says that of what it writes behind a colon: no machine is called so.
pub(super) fn is_said(word: &str) -> bool {
    const SAID: [&str; 3] = ["runtime", "note", "signal"];
    word.len() > 1 && is_level(word) || PHRASES.contains(&word) || SAID.contains(&word)
}

/// What ends a phrase of two words that many a program begins a line with.
const PHRASES: [&str; 8] = ["error", "version", "exception", "warning", "failed", "failure", "info", "host"];

/// `kern  :warn  : [12.345678] text` of `dmesg -x`.
pub(super) fn with_level(text: &str) -> Option<Opened<'_>> {
    let (facility, rest) = scan::clip(text, LONGEST_LEVEL).split_once(':')?;
    let (level, inner) = rest.split_once(": ")?;
    let (facility, level) = (facility.trim_end(), level.trim_end());
    let lower = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'3');
    let text = &text[text.len().min(LONGEST_LEVEL) - inner.len()..];
    (lower(facility) && is_level(level) && text.starts_with('[')).then(|| Opened { text, ..Opened::default() })
}

/// No name of a level, or of two, takes more bytes.
const LONGEST_LEVEL: usize = 24;

/// Loggers write it where syslog has the host.
fn is_level(word: &str) -> bool {
    const LEVELS: [&str; 13] = [
        "trace", "debug", "info", "notice", "warn", "warning", "err", "error", "crit", "critical", "fatal", "panic",
        "stdout",
    ];
    word.len() == 1 || LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word))
}
