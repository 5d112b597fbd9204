//! Collected: what collectors put around a line on one line, besides those that write objects only: fluentd and kubetail.

use super::{By, Opened, containers};
use crate::formats::clock::Stamp;

/// `+0000 docker.fuse: {"log":…}` of fluentd's standard output and, between tabs, of its files, behind a time: the object.
pub(super) fn of_fluentd(opened: Opened<'_>) -> Option<Opened<'_>> {
    let (east, text) = zone(opened.text).unwrap_or((0, opened.text));
    let (tag, object) = text.split_once(": {\"").or_else(|| text.split_once("\t{\""))?;
    let tag = tag.trim_start_matches('\t');
    let is_tag = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'*' | b'/');
    let stamp = match opened.stamp? {
        Stamp::Wall(us) => Stamp::Wall(us.checked_add_signed(-east)?),
        stamp => stamp,
    };
    let known = !tag.is_empty() && tag.bytes().all(is_tag);
    known.then(|| Opened { text: &text[text.len() - object.len() - 2..], stamp: Some(stamp), ..opened })
}

/// How far east of Greenwich the time before it is told, microseconds: `+0100 …`.
fn zone(text: &str) -> Option<(i64, &str)> {
    let (zone, rest) = text.split_once(' ')?;
    let (hours, minutes) = (zone.get(1..3)?.parse::<i64>().ok()?, zone.get(3..5)?.parse::<i64>().ok()?);
    let east = (hours * 60 + minutes) * 60_000_000;
    match (zone.as_bytes()[0], zone.len()) {
        (b'+', 5) => Some((east, rest)),
        (b'-', 5) => Some((-east, rest)),
        _ => None,
    }
}

/// `[fuse-x7k2p] text`, `[fuse-x7k2p mounter] text` of kubetail.
pub(super) fn of_kubetail(text: &str) -> Option<Opened<'_>> {
    let (host, text) = text.strip_prefix('[')?.split_once("] ")?;
    let (pod, container) = host.split_once(' ').unwrap_or((host, ""));
    let known = containers::is_pod(pod, text) && container.bytes().all(containers::is_of_a_name);
    known.then(|| Opened { text, by: By { host, ..By::default() }, ..Opened::default() })
}
