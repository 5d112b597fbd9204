//! Hints: lines that are no request but tell a cause, whatever daemon wrote them.

use std::sync::{LazyLock, OnceLock};

use regex::{Regex, RegexBuilder};

use crate::engine::{fact::HintKind, words::Words};

/// Words and what they tell; the first row that matches wins, so the narrower causes stand first.
const TABLE: &[(HintKind, &str)] = &[
    (HintKind::CloseTimedOut, "close timed out|timed out waiting for downloader"),
    (HintKind::NoSpace, r"no space left on device|disk quota exceeded|\bENOSPC\b|disk full"),
    (HintKind::NoMemory, r"cannot allocate memory|out of memory|\bENOMEM\b|memory allocation of"),
    // An OpenFile is none.
    (HintKind::NoDescriptors, r"too many open files|\bEMFILE\b|\bENFILE\b"),
    (
        HintKind::Dns,
        "no such host|could ?n[o']t resolve host|name or service not known|temporary failure in name resolution|\
         failed to lookup address",
    ),
    (HintKind::Changed, "etag (?:mismatch|changed)|precondition failed|file changed (?:on|at)|object was modified"),
    (
        HintKind::ShortBody,
        "unexpected EOF|short read|short body|transfer closed with|incomplete (?:read|body|message)|premature end",
    ),
    (HintKind::Permit, "no permits? available|semaphore (?:exhausted|closed)|waiting for a (?:free )?buffer"),
    (HintKind::LogLost, "log(?:ger)? (?:channel|queue|buffer) (?:is )?full|messages? (?:dropped|suppressed|lost)"),
    (HintKind::Retry, r"low[ -]level retry|\bretry(?:ing)?\b|\bbacking off\b|attempt \d+ (?:of|/)"),
    (
        HintKind::Upstream,
        "i/o timeout|context deadline exceeded|connection (?:refused|reset|timed out)|operation timed out|\
         could ?n[o']t connect|\
         timed out waiting for (?:headers|response)|bad gateway|service unavailable|gateway time-?out|\
         no route to host|network is unreachable|broken pipe|server (?:closed|not responding)|has not responded in the last|slow ?down",
    ),
    (HintKind::Unmount, "unmount(?:ing|ed)?\\b"),
];

/// Each row matches only what has one of these words in it, in large or small letters: most lines tell nothing, and no
/// expression is as quick as a look for plain words.
const WORDS: [&[&str]; TABLE.len()] = [
    &["close timed out", "timed out waiting for downloader"],
    &["no space left on device", "disk quota exceeded", "enospc", "disk full"],
    &["cannot allocate memory", "out of memory", "enomem", "memory allocation of"],
    &["too many open files", "emfile", "enfile"],
    &[
        "no such host",
        "t resolve host",
        "name or service not known",
        "temporary failure in name resolution",
        "failed to lookup address",
    ],
    &["etag mismatch", "etag changed", "precondition failed", "file changed ", "object was modified"],
    &["unexpected eof", "short read", "short body", "transfer closed with", "incomplete ", "premature end"],
    &["no permit", "semaphore ", "waiting for a "],
    &[" full", " dropped", " suppressed", " lost"],
    &["retry", "backing off", "attempt "],
    &[
        "i/o timeout",
        "context deadline exceeded",
        "connection re",
        "connection timed out",
        "operation timed out",
        "t connect",
        "timed out waiting for ",
        "bad gateway",
        "service unavailable",
        "gateway time",
        "no route to host",
        "network is unreachable",
        "broken pipe",
        "server closed",
        "server not responding",
        "has not responded in the last",
        "slowdown",
        "slow down",
    ],
    &["unmount"],
];

/// All of them.
pub(super) static ALL: LazyLock<Vec<&str>> = LazyLock::new(|| WORDS.concat());

static ANY: LazyLock<Words> = LazyLock::new(|| Words::in_any_case(&ALL));
/// The row of each word.
static ROWS: LazyLock<Vec<usize>> = LazyLock::new(|| {
    let row = |(row, words): (usize, &&[&str])| vec![row; words.len()];
    WORDS.iter().enumerate().flat_map(row).collect()
});
/// The expression of each row, and whether its words are all there is to it; made when it is needed: most logs have a
/// few of these causes.
static EACH: [OnceLock<(Regex, bool)>; TABLE.len()] = [const { OnceLock::new() }; TABLE.len()];

/// Whether that row matches a text that has one of its words; `named`: what it matches may be the end of a name.
fn is_told(row: usize, text: &str, named: bool) -> bool {
    let words = TABLE[row].1;
    let made = || (expression(words), words.to_ascii_lowercase() == WORDS[row].join("|"));
    let (expression, plain) = EACH[row].get_or_init(made);
    match named {
        true => expression.find_iter(text).any(|found| !is_ending(&text.as_bytes()[found.end()..])),
        false => *plain || expression.is_match(text),
    }
}

/// Whether a file is named in it: `Unexpected EOF.mkv` is no message.
fn has_name(text: &[u8]) -> bool {
    memchr::memchr_iter(b'.', text).any(|at| is_ending(&text[at..]))
}

/// Whether a text begins with what tells of which kind a file is.
fn is_ending(text: &[u8]) -> bool {
    let [b'.', ending @ ..] = text else { return false };
    let letters = ending.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
    (2..=4).contains(&letters) && ending[..letters].iter().any(u8::is_ascii_alphabetic)
}

fn expression(words: &str) -> Regex {
    let built = RegexBuilder::new(words).case_insensitive(true).unicode(false).build();
    built.expect("the words of the table are valid expressions")
}

/// A line without the level that its logger put before it: a sentence quotes the message.
pub(super) fn message(text: &str) -> &str {
    const LEVELS: [&str; 8] = ["CRITICAL", "ERROR", "WARNING", "WARN", "NOTICE", "INFO", "DEBUG", "TRACE"];
    let text = text.trim();
    let rest = LEVELS.iter().find_map(|level| text.strip_prefix(level));
    let message = rest.and_then(|rest| rest.trim_start().strip_prefix(':'));
    message.map_or(text, str::trim_start)
}

/// What a line tells, if anything.
pub(super) fn of(text: &str) -> Option<HintKind> {
    // A summary's remark on errors that are counted, not a retry.
    const REMARK: &str = "(retrying may help)";
    let head = super::scan::clip(text, 2048);
    let mut rows = 0_u32;
    ANY.each(head.as_bytes(), |word| {
        rows |= 1 << ROWS[word];
        false
    });
    if rows == 0 || super::scan::has(head, REMARK) {
        return None;
    }
    let named = has_name(head.as_bytes());
    let tells = |row: &usize| rows & (1 << row) != 0 && is_told(*row, head, named);
    (0..TABLE.len()).find(tells).map(|row| TABLE[row].0)
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, string::string_regex};

    use super::*;

    /// A row, and a text that it matches.
    fn told() -> impl Strategy<Value = (usize, String)> {
        (0..TABLE.len()).prop_flat_map(|row| {
            let plain = TABLE[row].1.replace(r"\b", "");
            (Just(row), string_regex(&plain).expect("the rows are plain expressions"))
        })
    }

    proptest! {
        #[test]
        fn what_a_row_matches_has_one_of_its_words((row, text) in told()) {
            let text = text.to_ascii_lowercase();
            prop_assert!(WORDS[row].iter().any(|word| text.contains(word)), "{text}");
        }
    }

    #[test]
    fn a_message_stands_without_its_level() {
        assert_eq!(message(" ERROR : a.mkv: short read "), "a.mkv: short read");
        assert_eq!(message("ERROR: x"), "x");
        assert_eq!(message("ERRORS : x"), "ERRORS : x");
    }

    #[test]
    fn causes_are_told_apart() {
        for (line, want) in [
            ("[TempFileStore #2] Warning: Close timed out waiting for downloader", Some(HintKind::CloseTimedOut)),
            ("write /tmp/x: no space left on device", Some(HintKind::NoSpace)),
            ("Get \"http://h/x\": dial tcp: lookup h: no such host", Some(HintKind::Dns)),
            ("pacer: low[ -]level retry 3/10 (error connection reset by peer)", Some(HintKind::Retry)),
            ("read tcp 10.0.0.1:1: i/o timeout", Some(HintKind::Upstream)),
            ("vfs cache: cleaned: objects 0", None),
            ("retries: 3", None),
            ("open /t: errno=EMFILE", Some(HintKind::NoDescriptors)),
            ("os.OpenFile(brokenfile.mov)", None),
            ("Staged job1 (Unexpected EOF.mkv, 1048576 bytes)", None),
            ("LOOKUP /Out of Memory.mp4: unexpected EOF.", Some(HintKind::ShortBody)),
            ("write /tmp/x: no space left on device.5 tries", Some(HintKind::NoSpace)),
            ("Errors:                 1 (retrying may help)", None),
        ] {
            assert_eq!(of(line), want, "{line}");
        }
    }
}
