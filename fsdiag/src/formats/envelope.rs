//! Envelopes: what containers, journals, terminals and loggers put in front of a line, taken off again.

mod collected;
mod containers;
mod csv;
mod document;
mod doubt;
mod entries;
mod journal;
mod layout;
mod pasted;
mod place;
mod records;
mod runners;
mod screen;
mod shipped;
mod structured;
mod syslog;
mod wrapped;
mod yaml;

use std::borrow::Cow;

pub(super) use self::{
    document::PART,
    pasted::Margin,
    records::{Form, Record, Records},
    screen::are_dressed,
};
use self::{doubt::Doubt, shipped::Shipped};
use super::{
    clock::{self, Stamp},
    scan,
    writer::By,
};

/// What was inside, the time it was stamped with, and who wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Opened<'a> {
    pub(super) text: &'a str,
    pub(super) stamp: Option<Stamp>,
    /// Where it stamps its lines itself, the time that was put around them.
    pub(super) outer: Option<Stamp>,
    pub(super) by: By<'a>,
    /// It was made of the line, and does not stand in it as it is.
    pub(super) made: bool,
    /// It was stamped by a collector, to the nanosecond.
    pub(super) collected: bool,
    /// Which of them, where a line has many.
    pub(super) part: u16,
    pub(super) doubt: Option<Doubt<'a>>,
    /// Behind that more was taken off that may be none.
    pub(super) many: bool,
}

/// What `journalctl -o json-seq` begins a line with.
const SEPARATOR: u8 = 0x1e;

/// Takes off every envelope that is known; `dressed`: there may be what only a terminal understands.
///
/// What was inside may live no longer than `each`, which every line goes through: so nothing of it is copied.
pub(super) fn open(line: &str, dressed: bool, each: impl FnMut(Opened<'_>)) {
    let ends = line.bytes().rev().take_while(|byte| ends(*byte)).count();
    let line = &line[..line.len() - ends];
    let line = line.trim_start_matches(['\0', char::from(SEPARATOR)]);
    if dressed {
        let shown = screen::shown(line);
        let made = matches!(shown, Cow::Owned(_));
        return unwrapped(Opened { made, ..prefixes(&shown) }, each);
    }
    one(prefixes(line), each);
}

#[inline(always)]
fn one(opened: Opened<'_>, mut each: impl FnMut(Opened<'_>)) {
    if is_object(opened.text) || opened.text.ends_with("\"}") || collected::has_fields(opened.text) {
        unwrapped(opened, each);
    } else {
        each(opened);
    }
}

/// The same of what may be an object.
#[inline(never)]
fn unwrapped(opened: Opened<'_>, mut each: impl FnMut(Opened<'_>)) {
    if is_logged(opened.text.as_bytes()) {
        return each(opened);
    }
    if let Some((text, stamp)) = collected::of_fields(opened.text) {
        let (inner, stamp) = (prefixes(&text).doubted(), stamp.or(opened.stamp));
        // Any daemon may log so, and its words be of no format.
        let doubt = Some(Doubt { with: opened.text, head: "msg=", stamp: opened.stamp, by: opened.by });
        let (outer, by) = (around(stamp, inner.stamp), opened.by.around(inner.by));
        return each(Opened { stamp: better(stamp, inner.stamp), outer, by, made: true, doubt, ..inner });
    }
    let object = if is_object(opened.text) { Some(opened) } else { collected::of_fluentd(opened) };
    let Some(opened) = object else { return each(opened) };
    if let Some(found) = wrapped::read(opened.text) {
        for (inner, part) in found.lines().zip(0..) {
            let stamp = better(opened.stamp, inner.stamp);
            let outer = around(opened.stamp, inner.stamp).or(inner.outer);
            let doubt = inner.doubt.map(|doubt| doubt.within(opened.stamp, opened.by));
            each(Opened { stamp, outer, by: opened.by.around(inner.by), part, doubt, ..inner });
        }
        return;
    }
    if !shipped::begins(opened.text) {
        return each(opened);
    }
    let known = shipped(opened.text, |inner| {
        let doubt = inner.doubt.map(|doubt| doubt.within(None, opened.by));
        each(Opened { by: opened.by.around(inner.by), doubt, ..inner });
    });
    if !known {
        each(opened);
    }
}

/// The time of a line as whoever collected it tells, else as it tells itself.
pub(super) fn time_of(line: &str) -> Option<Stamp> {
    let told = |opened: &Opened<'_>| opened.outer.or(opened.stamp);
    let mut found = None;
    open(line, true, |opened| {
        let object = || shipped::read(opened.text)?.lines().next().and_then(|inner| told(&inner));
        let inner = || if opened.text.starts_with('{') { object() } else { None };
        found = found.or(told(&opened)).or_else(inner);
    });
    found
}

/// What no parser takes may be the object of some log shipper, or the answer of a store. False: it is neither.
pub(super) fn shipped(line: &str, mut each: impl FnMut(Opened<'_>)) -> bool {
    let alone = if line.starts_with('{') { shipped::read(line) } else { None };
    let many = if alone.is_some() { Vec::new() } else { entries::of(line) };
    let all = alone.iter().chain(&many).flat_map(Shipped::lines);
    all.zip((0..u16::MAX).cycle()).for_each(|(opened, part)| each(Opened { part, ..opened }));
    alone.is_some() || !many.is_empty()
}

/// Whether a text may be an object or a list of them.
pub(super) fn is_object(text: &str) -> bool {
    match text.as_bytes() {
        [b'{', ..] => true,
        [b'[', rest @ ..] => matches!(rest.trim_ascii_start().first(), Some(b'{' | b'"')),
        _ => false,
    }
}

/// Whether there is nothing to take off such a line, as its ends tell: most lines of most dumps are so.
#[inline]
pub(super) fn is_bare(line: &str, dressed: bool) -> bool {
    let (Some(first), Some(last)) = (line.as_bytes().first(), line.as_bytes().last()) else { return true };
    if dressed || ends(*last) {
        return false;
    }
    if is_head(line) {
        return true;
    }
    match first {
        b'[' => !is_bracket(line) && !is_object(line) && *last != b']',
        _ => !begins(*first) && !matches!(*first, b'{' | 0 | SEPARATOR),
    }
}

/// Whether a line begins as those of daemons do, and no envelope does: most lines of most logs, told by one look.
#[inline(always)]
fn is_head(text: &str) -> bool {
    let Some(head) = text.as_bytes().first_chunk::<8>() else { return false };
    matches!(head, b"unique: " | b"DEBUG : " | b"INFO  : " | b"NOTICE: " | b"ERROR : ")
        || matches!(head, [b'r' | b't', b'x', b' ', b'0'..=b'9', ..])
        || matches!(head, [b'[', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b']', b' '])
}

/// The time before a line that begins so, where it is all that stands there: nothing else needs to be looked for.
#[inline]
pub(super) fn stamped(line: &str) -> Option<(Stamp, &str)> {
    let bytes = line.as_bytes();
    // Behind a T may be what collectors write.
    if !bytes.first()?.is_ascii_digit() || *bytes.get(10)? == b'T' {
        return None;
    }
    let (stamp, rest) = clock::leading(line)?;
    let text = rest.strip_prefix(' ').filter(|text| is_head(text))?;
    let ends = text.bytes().rev().take_while(|byte| ends(*byte)).count();
    Some((stamp, &text[..text.len() - ends]))
}

/// Whether a prefix may begin so.
fn begins(first: u8) -> bool {
    matches!(first, b'0'..=b'9' | b'<' | b'.' | b'/' | b'@' | b'A'..=b'W' | b'a'..=b'z' | b'+' | b'-' | b'*' | b'|' | b'`')
}

/// Whether what stands in a bracket at the begin may be a time or a pod: others count their requests there.
fn is_bracket(text: &str) -> bool {
    let mut inner = text.bytes().skip(1).skip_while(|byte| byte.is_ascii_digit());
    match inner.next() {
        Some(b' ' | b'.' | b':' | b'-' | b'/' | b'a'..=b'z') => true,
        Some(b'A'..=b'W') => inner.nth(1).is_some() && inner.next().is_some_and(|b| b == b' ' || b.is_ascii_digit()),
        _ => false,
    }
}

/// Whether a line may end so with what is no part of it.
fn ends(last: u8) -> bool {
    matches!(last, b'\r' | b'\n' | b' ' | b'\t' | 0)
}

/// Whether an object begins as those of the logger that Go's daemons use: nobody wraps or ships lines so.
pub(super) fn is_logged(object: &[u8]) -> bool {
    /// Of the level and of the message.
    const KEYS: [&[u8]; 2] = [b"{\"level\":\"", b"\",\"msg\":\""];
    /// No level is as long, bytes.
    const LONGEST: usize = 16;
    let Some(level) = object.strip_prefix(KEYS[0]) else { return false };
    let end = scan::position(&level[..level.len().min(LONGEST)], b'"');
    end.is_some_and(|end| level[end..].starts_with(KEYS[1]))
}

/// Most prefixes of one line: `> 12:docker | host tag[1]: [time] text`.
const STACKED: usize = 6;

fn prefixes(line: &str) -> Opened<'_> {
    stacked(line, STACKED)
}

/// `doubts`: what is doubtful is taken off so often.
#[inline(always)]
fn stacked(line: &str, doubts: usize) -> Opened<'_> {
    let Some(mut all) = prefix(line) else { return Opened { text: line, ..Opened::default() } };
    for _ in 1..STACKED {
        if is_head(all.text) {
            break;
        }
        let Some(inner) = prefix(all.text) else { break };
        // Behind a time no number is one.
        if all.stamp.is_some() && inner.is_of_a_number() {
            break;
        }
        let many = all.doubt.is_some() && inner.doubt.is_some();
        if many && doubts == 1 {
            break;
        }
        all = Opened { many: all.many || many, ..all.with(inner) };
    }
    all
}

/// The outer one of two clocks that both tell the time of day.
fn around(outer: Option<Stamp>, inner: Option<Stamp>) -> Option<Stamp> {
    outer.filter(|outer| matches!((outer, inner), (Stamp::Wall(_), Some(Stamp::Wall(_)))))
}

/// One time of the two of a line.
fn better(outer: Option<Stamp>, inner: Option<Stamp>) -> Option<Stamp> {
    match (outer, inner) {
        (Some(outer), Some(inner)) => Some(inner.within(outer)),
        _ => inner.or(outer),
    }
}

/// What an envelope took off tells, from the outside to the inside.
fn prefix(text: &str) -> Option<Opened<'_>> {
    let plain = |(text, stamp)| Opened { text, stamp, ..Opened::default() };
    match text.as_bytes().first()? {
        b'0'..=b'9' => match syslog::dated(text) {
            Some(opened) if !opened.text.starts_with(':') => Some(opened),
            None if text.starts_with("1 20") => structured::message(text),
            stamped => {
                let plain = pasted::numbered(text, stamped.is_some()).or(stamped).or_else(|| syslog::counted(text));
                plain.or_else(|| runners::of_pm2(text)).or_else(|| containers::hosted(text))
            }
        },
        b'[' if text.as_bytes().get(1)?.is_ascii_lowercase() => {
            containers::pod(text).or_else(|| collected::of_kubetail(text))
        }
        b'[' if text.ends_with("}]") => collected::of_fluent_bit(text).or_else(|| bracketed(text)),
        b'[' => bracketed(text),
        b'+' | b'-' | b'*' | b'|' | b'`' => pasted::marked(text),
        b'E' if text.starts_with("EVENTS\t") => collected::of_cloudwatch(text),
        b'<' => structured::opened(text).or_else(|| priority(text).map(plain)),
        b'@' => syslog::tai(text),
        b'.' | b'/' => pasted::of_file(text).or_else(|| containers::hosted(text)),
        b'A'..=b'W' => syslog::named_day(text),
        b'a'..=b'z' => containers::named(text),
        _ => None,
    }
}

/// `[2026-11-22T09:26:51Z DEBUG x] text`, `[2026-11-22 09:26:51] text`, `[ 1330.393341] text`, and dmesg's for people.
fn bracketed(text: &str) -> Option<Opened<'_>> {
    if !is_bracket(text) {
        return None;
    }
    if let Some((stamp, rest)) = clock::kernel(text) {
        let (text, by) = syslog::tag(rest, false);
        return Some(Opened { text, stamp: Some(stamp), by, ..Opened::default() });
    }
    let Some((stamp, rest)) = clock::leading(&text[1..]) else {
        return syslog::shown_by_dmesg(text).map(|(text, stamp)| Opened { text, stamp, ..Opened::default() });
    };
    let rest = rest.strip_prefix("] ").or_else(|| rest.strip_prefix(' ')).or_else(|| rest.strip_prefix(']'))?;
    Some(Opened { text: rest, stamp: Some(stamp), ..Opened::default() })
}

/// `<6>[ 12.3] text` of a raw kernel log.
fn priority(text: &str) -> Option<(&str, Option<Stamp>)> {
    let (number, rest) = scan::split(&text[1..], ">")?;
    (number.len() <= 3 && number.bytes().all(|b| b.is_ascii_digit())).then_some((rest, None))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn opened(line: &str) -> (String, Option<Stamp>) {
        let mut all = Vec::new();
        open(line, true, |opened| all.push((opened.text.to_owned(), opened.stamp)));
        all.pop().unwrap_or_default()
    }

    #[test]
    fn every_envelope_comes_off() {
        let text = "[FUSE] Release ENTER (id=456)";
        let json = serde_json::to_string(text).expect("text is JSON");
        for line in [
            format!("2026-11-22T09:43:26Z stdout F {text}"),
            format!("2026-11-22T09:43:26.000000+00:00 host fused[12]: {text}"),
            format!("\u{1b}[2m2026-11-22T09:43:26Z\u{1b}[0m {text}"),
            format!("[2026-11-22T09:43:26Z] {text}\r"),
            format!("Sun 2026-11-22 10:43:26 CET host fused[12]: {text}"),
            format!("2026-11-22T09:43:26+0000 a/b/0123456789abcdef {text}"),
            format!("fused-1  | 2026-11-22 09:43:26 {text}"),
            format!("2026-11-22T09:43:26.5Z 2026-11-22 09:43:26 {text}"),
            format!("{{\"log\":{json},\"stream\":\"stderr\",\"time\":\"2026-11-22T09:43:26Z\"}}"),
            format!("{{\"MESSAGE\":{json},\"__REALTIME_TIMESTAMP\":\"1795340606000000\"}}"),
        ] {
            assert_eq!(opened(&line), (text.to_owned(), Some(Stamp::Wall(1_795_340_606_000_000))), "{line}");
        }
        assert_eq!(opened(&format!("Nov 22 09:43:26 host fused[12]: {text}")).0, text);
        assert_eq!(opened(&format!("<6>[ 1330.393341] {text}")), (text.to_owned(), Some(Stamp::Mono(1_330_393_341))));
    }

    #[test]
    fn a_tracing_object_becomes_its_message() {
        let line = r#"{"timestamp":"2026-11-22T09:43:26Z","level":"DEBUG","fields":{"message":"FUSE( 2)"},"target":"fuser::request"}"#;
        assert_eq!(opened(line), ("fuser::request: FUSE( 2)".to_owned(), Some(Stamp::Wall(1_795_340_606_000_000))));
    }

    proptest! {
        #[test]
        fn nothing_comes_off_a_line_that_begins_as_those_of_daemons_do(
            head in "unique: |DEBUG : |INFO  : |NOTICE: |ERROR : |[rt]x [0-9]|\\[[0-9]{5}\\] ",
            rest in "[a-z0-9:/|. \\[\\]]{4,30}",
            of_machine: bool,
        ) {
            let line = format!("{head}{rest}");
            prop_assert_eq!(prefix(&line), None);
            prop_assert_eq!(syslog::tag(&line, of_machine), (&*line, By::default()));
            prop_assert_eq!(containers::streamed(&line), None);
            let timed = format!("2026/11/22 09:43:26 {line} ");
            let known = stamped(&timed).map(|(stamp, text)| (text.to_owned(), Some(stamp)));
            prop_assert_eq!(known, Some(opened(&timed)));
        }
    }

    #[test]
    fn what_only_looks_like_an_envelope_stays() {
        for line in [
            "   unique: 2, success, outsize: 40",
            "[00001] LSTAT",
            "main.main() | x",
            "{\"run\":\"00\",\"seq\":1}",
            "Thread 4 (LWP 1):",
            "#0  0x0 in x ()",
        ] {
            assert_eq!(opened(line), (line.to_owned(), None), "{line}");
        }
    }

    #[test]
    fn what_looks_like_a_pod_behind_a_pod_for_a_mebibyte_is_looked_at_once() {
        for line in ["a-1 b ".repeat(170_000), "a-1 b ".repeat(3) + "2026-11-22T09:43:26Z x"] {
            assert_eq!(opened(&line).1, None);
        }
    }

    #[test]
    fn who_wrote_a_line_is_told_by_its_envelope() {
        let text = "[FUSE] Release ENTER (id=456)";
        let by = |line: String| {
            let mut told = Default::default();
            open(&line, true, |Opened { by, .. }| told = (by.host.to_owned(), by.name.to_owned(), by.pid));
            told
        };
        let told = |host: &str, name: &str, pid| (host.to_owned(), name.to_owned(), pid);
        let journal = "\"_HOSTNAME\":\"nas\",\"SYSLOG_IDENTIFIER\":\"fused\",\"_PID\":\"12\"";
        for (line, expected) in [
            (format!("Nov 22 09:43:26 nas fused[12]: {text}"), told("nas", "fused", Some(12))),
            (format!("{{\"MESSAGE\":\"{text}\",{journal}}}"), told("nas", "fused", Some(12))),
            (format!("{{\"MESSAGE\":\"{text}\",{journal},\"CONTAINER_NAME\":\"a\"}}"), told("a", "", None)),
            (format!("{{\"log\":\"{text}\",\"kubernetes\":{{\"pod_name\":\"a\"}}}}"), told("a", "", None)),
            (format!("fused-1  | Nov 22 09:43:26 nas fused[1]: {text}"), told("fused-1", "fused", Some(1))),
            (format!("[pod/fuse-x7k2p/mounter] {text}"), told("fuse-x7k2p/mounter", "", None)),
            (format!("Nov 22 09:43:26 nas kernel: {text}"), told("nas", "kernel", None)),
            (format!("2026-11-22 09:43:26 {text}"), told("", "", None)),
        ] {
            assert_eq!(by(line.clone()), expected, "{line}");
            assert_eq!(opened(&line).0, text, "{line}");
        }
    }
}
