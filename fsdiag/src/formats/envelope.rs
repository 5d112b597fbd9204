//! Envelopes: what containers, journals, terminals and loggers put in front of a line, taken off again.

mod structured;
mod wrapped;

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
}

/// Takes off every envelope that is known; `coloured`: there may be escape sequences of a terminal.
///
/// What was inside may live no longer than `then`, which every line goes through: so nothing of it is copied.
pub(super) fn open<R>(line: &str, coloured: bool, then: impl FnOnce(Opened<'_>) -> R) -> R {
    let ends = line.bytes().rev().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let line = &line[..line.len() - ends];
    let line = if line.starts_with('\0') { line.trim_start_matches('\0') } else { line };
    if line.starts_with('{') {
        return match wrapped::read(line) {
            Some(found) => then(found.opened()),
            None => then(Opened { text: line, ..Opened::default() }),
        };
    }
    if coloured && memchr::memchr(ESCAPE, line.as_bytes()).is_some() {
        return then(Opened { made: true, ..prefixes(&without_colours(line)) });
    }
    then(prefixes(line))
}

/// Whether there is nothing to take off such a line, as its ends tell: most lines of most dumps are so.
pub(super) fn is_bare(line: &str, coloured: bool) -> bool {
    let (Some(first), Some(last)) = (line.as_bytes().first(), line.as_bytes().last()) else { return true };
    let opens = if *first == b'[' { is_bracket(line) } else { begins(*first) || matches!(first, b'{' | 0) };
    !coloured && !opens && !matches!(last, b'\r' | b'\n')
}

/// What the escape sequences of a terminal begin with.
pub(super) const ESCAPE: u8 = 0x1b;

/// Whether a prefix may begin so.
fn begins(first: u8) -> bool {
    matches!(first, b'0'..=b'9' | b'<' | b'A'..=b'S' | b'a'..=b'z')
}

/// Whether what stands in a bracket at the begin may be a time or a pod: others count their requests there.
fn is_bracket(text: &str) -> bool {
    let mut inner = text.bytes().skip(1).skip_while(|byte| byte.is_ascii_digit());
    matches!(inner.next(), Some(b' ' | b'.' | b':' | b'-' | b'/' | b'p'))
}

/// At most three stacked prefixes: `docker | host tag[1]: [time] text`.
fn prefixes(line: &str) -> Opened<'_> {
    let Some(mut all) = prefix(line) else { return Opened { text: line, ..Opened::default() } };
    for _ in 1..3 {
        let Some(Opened { text, stamp, by, .. }) = prefix(all.text) else { break };
        let (stamp, outer) = (better(all.stamp, stamp), around(all.stamp, stamp).or(all.outer));
        all = Opened { text, stamp, outer, by: all.by.around(by), made: false };
    }
    all
}

/// The outer one of two clocks that both tell the time of day.
fn around(outer: Option<Stamp>, inner: Option<Stamp>) -> Option<Stamp> {
    outer.filter(|outer| matches!((outer, inner), (Stamp::Wall(_), Some(Stamp::Wall(_)))))
}

/// The inner stamp is nearer to the event, but a wall clock beats a time without a date.
fn better(outer: Option<Stamp>, inner: Option<Stamp>) -> Option<Stamp> {
    match (outer, inner) {
        (Some(Stamp::Wall(_)), Some(Stamp::OfDay(_) | Stamp::OfYear(_) | Stamp::Mono(_)) | None) => outer,
        (_, None) => outer,
        _ => inner,
    }
}

/// What an envelope took off tells, from the outside to the inside.
fn prefix(text: &str) -> Option<Opened<'_>> {
    let plain = |(text, stamp)| Opened { text, stamp, ..Opened::default() };
    match text.as_bytes().first()? {
        b'0'..=b'9' => {
            let (stamp, rest) = clock::leading(text)?;
            let rest = rest.strip_prefix(' ').or_else(|| rest.strip_prefix('\t')).unwrap_or(rest);
            let (text, by) = tag(rest);
            Some(Opened { text: stream(text), stamp: Some(stamp), by, ..Opened::default() })
        }
        b'[' if text.as_bytes().get(1)? == &b'p' => pod(text),
        b'[' => bracketed(text).map(plain),
        b'<' => structured::opened(text).or_else(|| priority(text).map(plain)),
        b'A'..=b'S' => {
            let (stamp, rest) = clock::month_first(text)?;
            let (text, by) = tag(rest.strip_prefix(' ')?);
            Some(Opened { text, stamp: Some(stamp), by, ..Opened::default() })
        }
        b'a'..=b'z' => named(text),
        _ => None,
    }
}

/// `[pod/fuse-x7k2p/mounter] text` of `kubectl logs --prefix`.
fn pod(text: &str) -> Option<Opened<'_>> {
    let (name, text) = text.strip_prefix("[pod/")?.split_once("] ")?;
    Some(Opened { text, by: By { host: name, ..By::default() }, ..Opened::default() })
}

/// `[2026-11-22T09:26:51Z DEBUG x] text`, `[2026-11-22 09:26:51] text`, `[ 1330.393341] text`.
fn bracketed(text: &str) -> Option<(&str, Option<Stamp>)> {
    if !is_bracket(text) {
        return None;
    }
    if let Some((stamp, rest)) = clock::kernel(text) {
        return Some((rest, Some(stamp)));
    }
    let (stamp, rest) = clock::leading(&text[1..])?;
    let rest = rest.strip_prefix("] ").or_else(|| rest.strip_prefix(' ')).or_else(|| rest.strip_prefix(']'))?;
    Some((rest, Some(stamp)))
}

/// `<6>[ 12.3] text` of a raw kernel log.
fn priority(text: &str) -> Option<(&str, Option<Stamp>)> {
    let (number, rest) = scan::split(&text[1..], ">")?;
    (number.len() <= 3 && number.bytes().all(|b| b.is_ascii_digit())).then_some((rest, None))
}

/// `stdout F text` of a Kubernetes node's files.
fn stream(text: &str) -> &str {
    let Some(rest) = text.strip_prefix("std") else { return text };
    ["out F ", "err F ", "out P ", "err P "].iter().find_map(|s| rest.strip_prefix(s)).unwrap_or(text)
}

/// `host tag[123]: text` and `host kernel: text` of syslog and the journal.
fn tag(text: &str) -> (&str, By<'_>) {
    tagged(text).unwrap_or((text, By::default()))
}

/// What the names of hosts and programs are made of; a table, because every line is asked.
const PLAIN: [bool; 256] = table(false);
/// The same of services and pods.
const SERVICE: [bool; 256] = table(true);

const fn table(of_services: bool) -> [bool; 256] {
    let (mut table, mut byte) = ([false; 256], 0_u8);
    while byte < 128 {
        let service = byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        let plain = byte.is_ascii_uppercase() || matches!(byte, b'.' | b'@' | b'/');
        table[byte as usize] = service || plain && !of_services;
        byte += 1;
    }
    table
}

fn tagged(text: &str) -> Option<(&str, By<'_>)> {
    let bytes = text.as_bytes();
    let plain = |b: u8| PLAIN[usize::from(b)];
    let end = bytes.iter().take_while(|byte| plain(**byte)).count();
    if end == 0 || bytes.get(end) != Some(&b' ') {
        return None;
    }
    let (host, rest) = (&text[..end], &text[end + 1..]);
    if rest.starts_with(':') {
        // The level of a logger, and no tag.
        return None;
    }
    let end = scan::position(rest.as_bytes(), b' ')?;
    let (tag, inner) = (rest[..end].strip_suffix(':')?, &rest[end + 1..]);
    if tag == "kernel" {
        return Some((inner, By::default()));
    }
    let (name, pid) = tag.strip_suffix(']')?.split_once('[')?;
    let named = !name.is_empty() && name.bytes().all(plain) && pid.bytes().all(|b| b.is_ascii_digit());
    named.then(|| (inner, By { host, name, pid: pid.parse().ok() }))
}

/// What begins with the name of a service or a pod; most lines that begin with a small letter do not.
fn named(text: &str) -> Option<Opened<'_>> {
    let end = text.bytes().position(|b| !SERVICE[usize::from(b)])?;
    if !matches!(text.as_bytes()[end], b' ' | b'|') {
        return None;
    }
    composed(text, end).or_else(|| stern(text, end))
}

/// `service-1  | text` of docker compose.
fn composed(text: &str, end: usize) -> Option<Opened<'_>> {
    const LONGEST: usize = 64;
    let head = &text.as_bytes()[..text.len().min(LONGEST + 2)];
    let bar = end + head.get(end..).filter(|_| end < LONGEST)?.iter().position(|b| *b != b' ')?;
    if !head[bar..].starts_with(b"| ") {
        return None;
    }
    let (name, text) = (&text[..end], &text[bar + 2..]);
    let instance = name.rsplit_once(['-', '_']).is_some_and(|(_, n)| n.bytes().all(|b| b.is_ascii_digit()));
    instance.then(|| Opened { text, by: By { host: name, ..By::default() }, ..Opened::default() })
}

/// `fuse-x7k2p mounter text` of stern: a pod whose name ends in letters by chance, which are no vowels.
fn stern(text: &str, end: usize) -> Option<Opened<'_>> {
    let (pod, rest) = (&text[..end], text[end..].strip_prefix(' ')?);
    // Few words have a hyphen there.
    let chance = pod[pod.len().checked_sub(6)?..].strip_prefix('-')?;
    let (container, text) = scan::split(rest, " ")?;
    let named = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let letters = |b: u8| b"bcdfghjklmnpqrstvwxz2456789".contains(&b);
    let is_pod = chance.bytes().all(letters) && named(pod) && named(container);
    let by = By { host: pod, name: container, pid: None };
    is_pod.then(|| Opened { text, by, ..Opened::default() })
}

/// The text without the escape sequences of a terminal.
fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('\u{1b}') {
        plain.push_str(&rest[..at]);
        let sequence = &rest[at + 1..];
        rest = match sequence.strip_prefix('[') {
            Some(body) => body.find(|c: char| ('@'..='~').contains(&c)).map_or("", |end| &body[end + 1..]),
            None => sequence,
        };
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(line: &str) -> (String, Option<Stamp>) {
        open(line, true, |opened| (opened.text.to_owned(), opened.stamp))
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
    fn who_wrote_a_line_is_told_by_its_envelope() {
        let text = "[FUSE] Release ENTER (id=456)";
        let by = |line: String| open(&line, true, |Opened { by, .. }| (by.host.to_owned(), by.name.to_owned(), by.pid));
        let told = |host: &str, name: &str, pid| (host.to_owned(), name.to_owned(), pid);
        let journal = "\"_HOSTNAME\":\"nas\",\"SYSLOG_IDENTIFIER\":\"fused\",\"_PID\":\"12\"";
        for (line, expected) in [
            (format!("Nov 22 09:43:26 nas fused[12]: {text}"), told("nas", "fused", Some(12))),
            (format!("{{\"MESSAGE\":\"{text}\",{journal}}}"), told("nas", "fused", Some(12))),
            (format!("{{\"MESSAGE\":\"{text}\",{journal},\"CONTAINER_NAME\":\"a\"}}"), told("a", "", None)),
            (format!("{{\"log\":\"{text}\",\"kubernetes\":{{\"pod_name\":\"a\"}}}}"), told("a", "", None)),
            (format!("fused-1  | Nov 22 09:43:26 nas fused[1]: {text}"), told("fused-1", "fused", Some(1))),
            (format!("[pod/fuse-x7k2p/mounter] {text}"), told("fuse-x7k2p/mounter", "", None)),
            (format!("Nov 22 09:43:26 nas kernel: {text}"), told("", "", None)),
            (format!("2026-11-22 09:43:26 {text}"), told("", "", None)),
        ] {
            assert_eq!(by(line.clone()), expected, "{line}");
            assert_eq!(opened(&line).0, text, "{line}");
        }
    }
}
