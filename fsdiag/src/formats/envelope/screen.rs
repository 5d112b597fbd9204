//! Screen: what terminals and browsers make of a line: colours, titles, a return to its beginning, signs spelled out.

use std::borrow::Cow;

/// What the escape sequences of a terminal begin with.
const ESCAPE: u8 = 0x1b;

/// How pages spell what has a meaning in them, and the blank that does not break.
const SPELLED: [(&str, &str); 7] = [
    ("&gt;", ">"),
    ("&lt;", "<"),
    ("&quot;", "\""),
    ("&#x27;", "'"),
    ("&#39;", "'"),
    // The last one, because it may stand before the others.
    ("&amp;", "&"),
    ("\u{a0}", " "),
];

/// Whether lines of these bytes may be other than they look. One look at all of them, which is why the bytes that most
/// of it begins with are looked for first.
pub(in crate::formats) fn are_dressed(bytes: &[u8]) -> bool {
    let is_return = |at: usize| !matches!(bytes.get(at + 1), Some(b'\n' | b'\r'));
    let is_spelled = |at: usize| SPELLED.iter().any(|(spelled, _)| bytes[at..].starts_with(spelled.as_bytes()));
    memchr::memchr2_iter(b'\r', ESCAPE, bytes).any(|at| bytes[at] == ESCAPE || is_return(at))
        || memchr::memchr2_iter(b'&', 0xc2, bytes).any(is_spelled)
}

/// What is seen of a line.
pub(super) fn shown(line: &str) -> Cow<'_, str> {
    let line = match memchr::memrchr(b'\r', line.as_bytes()) {
        Some(at) => &line[at + 1..],
        None => line,
    };
    let mut line = match memchr::memchr(ESCAPE, line.as_bytes()) {
        Some(_) => Cow::Owned(without_sequences(line)),
        None => Cow::Borrowed(line),
    };
    if memchr::memchr2(b'&', 0xc2, line.as_bytes()).is_some() {
        for (spelled, meant) in SPELLED {
            if line.contains(spelled) {
                line = Cow::Owned(line.replace(spelled, meant));
            }
        }
    }
    match line {
        Cow::Owned(text) => Cow::Owned(text.trim_end().to_owned()),
        borrowed => borrowed,
    }
}

/// The text without the escape sequences of a terminal.
fn without_sequences(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('\u{1b}') {
        plain.push_str(&rest[..at]);
        let sequence = &rest[at + 1..];
        rest = match sequence.strip_prefix('[') {
            Some(body) => body.find(|c: char| ('@'..='~').contains(&c)).map_or("", |end| &body[end + 1..]),
            None => titled(sequence),
        };
    }
    plain.push_str(rest);
    plain
}

/// What follows a title (`]0;user@host` and its end), what a program tells another one (`_bk;t=1` and its end) or a choice of letters (`(B`) behind an escape.
fn titled(sequence: &str) -> &str {
    match sequence.as_bytes() {
        [b']' | b'_', ..] => after_title(sequence).unwrap_or(sequence),
        [b'(' | b')', b' '..=b'~', ..] => &sequence[2..],
        [b'=' | b'>' | b'\\', ..] => &sequence[1..],
        _ => sequence,
    }
}

/// What follows the end of a title; None where another escape comes before it, so that each byte is looked at once.
fn after_title(sequence: &str) -> Option<&str> {
    let bytes = sequence.as_bytes();
    for at in memchr::memchr3_iter(b'\x07', 0xc2, ESCAPE, bytes) {
        match &bytes[at..] {
            [b'\x07', ..] => return Some(&sequence[at + 1..]),
            [0xc2, 0x9c, ..] | [ESCAPE, b'\\', ..] => return Some(&sequence[at + 2..]),
            [ESCAPE, ..] => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_is_seen() {
        for (line, seen) in [
            ("plain", "plain"),
            ("\u{1b}[2mtime\u{1b}[0m text", "time text"),
            ("\u{1b}]0;user@nas: ~\u{7}text", "text"),
            ("\u{1b}(Btext \u{1b}[0m", "text"),
            ("\u{1b}]0;user@nas: ~\u{1b}\\text", "text"),
            ("\u{1b}]8;;http://h/\u{1b}\\link\u{1b}]8;;\u{1b}\\ text", "link text"),
            ("12 %\r13 %\rtext", "text"),
            ("DEBUG : a: &gt;Read: err=&lt;nil&gt;", "DEBUG : a: >Read: err=<nil>"),
            ("\u{1b}]0;cut\u{1b}[2mtext\u{7}", "]0;cuttext\u{7}"),
            ("a&amp;gt;b", "a&gt;b"),
            ("a\u{a0}\u{a0}b", "a  b"),
        ] {
            assert_eq!(shown(line), seen, "{line}");
            assert_eq!(are_dressed(line.as_bytes()), line != seen, "{line}");
        }
    }

    #[test]
    fn a_line_of_nothing_but_titles_is_looked_at_once() {
        assert_eq!(shown(&"\u{1b}]0;\u{7}".repeat(200_000)), "");
        assert_eq!(shown(&"\u{1b}]".repeat(500_000)).len(), 500_000);
    }
}
