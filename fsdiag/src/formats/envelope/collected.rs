//! Collected: what collectors put around a line on one line, besides those that write objects only: fluentd and kubetail.

use std::borrow::Cow;

use super::{By, Opened, containers};
use crate::formats::{
    clock::{self, Stamp},
    scan,
};

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

/// `[0] docker.fuse: [1795340606.123456789, {"log"=>"text", "stream"=>"stderr"}]` of Fluent Bit's standard output.
pub(super) fn of_fluent_bit(text: &str) -> Option<Opened<'_>> {
    let (number, rest) = text.strip_prefix('[')?.split_once("] ")?;
    let (_, rest) = rest.split_once(": [")?;
    let (stamp, rest) = clock::leading(rest.trim_start_matches('['))?;
    let fields = rest.strip_prefix(", {}]").unwrap_or(rest).strip_prefix(", {")?;
    let value =
        ["\"log\"=>\"", "\"message\"=>\"", "\"MESSAGE\"=>\""].iter().find_map(|key| scan::after(fields, key))?;
    // The next field begins behind it, or there is none.
    let last = || value.strip_suffix("}]").and_then(|value| value.strip_suffix('"'));
    let next = value.match_indices("\", \"").find(|(at, _)| scan::word(&value[at + 4..]).0.contains("\"=>"));
    let text = next.map(|(at, _)| &value[..at]).or_else(last)?;
    let known = number.bytes().all(|byte| byte.is_ascii_digit());
    known.then(|| Opened { text, stamp: Some(stamp), collected: true, ..Opened::default() })
}

/// `EVENTS\t3790…\t1795340606421\tstream\ttext\t1795340606123` of `aws logs filter-log-events`, and without number and
/// stream of `aws logs get-log-events`.
pub(super) fn of_cloudwatch(text: &str) -> Option<Opened<'_>> {
    /// No time has as many digits.
    const ID: usize = 40;
    let rest = text.strip_prefix("EVENTS\t")?;
    let (first, behind) = rest.split_once('\t')?;
    let (host, rest) = if first.len() >= ID { behind.split_once('\t')?.1.split_once('\t')? } else { ("", behind) };
    let (text, time) = rest.rsplit_once('\t')?;
    let stamp = Some(Stamp::Wall(clock::since_1970(time.parse().ok()?)?));
    Some(Opened { text, stamp, by: By { host, ..By::default() }, collected: true, ..Opened::default() })
}

/// `time="2026-11-22T09:43:26Z" level=info msg="text"` of loggers that write fields: the text, and its time.
pub(super) fn of_fields(line: &str) -> Option<(Cow<'_, str>, Option<Stamp>)> {
    if !has_fields(line) {
        return None;
    }
    let (text, _) = scan::quoted(&line[scan::find(line, " msg=\"")? + " msg=".len()..])?;
    let time = FIELDS[..2].iter().find_map(|key| scan::after(line, key));
    let stamp = time.and_then(|time| clock::leading(time.trim_start_matches('"'))).map(|(stamp, _)| stamp);
    let plain = text.replace("\\t", "\t");
    Some((Cow::Owned(scan::unescaped(&plain).into_owned()), stamp))
}

/// How such lines begin.
const FIELDS: [&str; 3] = ["time=", "ts=", "level="];

/// Whether a line begins so.
#[inline]
pub(super) fn has_fields(line: &str) -> bool {
    scan::starts(line, &FIELDS)
}

/// `[fuse-x7k2p] text`, `[fuse-x7k2p mounter] text` of kubetail.
pub(super) fn of_kubetail(text: &str) -> Option<Opened<'_>> {
    let (host, text) = text.strip_prefix('[')?.split_once("] ")?;
    let (pod, container) = host.split_once(' ').unwrap_or((host, ""));
    let known = containers::is_pod(pod, text) && container.bytes().all(containers::is_of_a_name);
    known.then(|| Opened { text, by: By { host, ..By::default() }, ..Opened::default() })
}
