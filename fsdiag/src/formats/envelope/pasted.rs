//! Pasted: what tools and people put before lines that they show to others: line numbers, file names, quotation marks,
//! and the margin of a code block.

use super::{By, Doubt, Opened};
use crate::formats::{clock, scan};

/// The blanks that each line of an indented block begins with.
#[derive(Debug, Default)]
pub(in crate::formats) struct Margin(String);

impl Margin {
    /// The line without the margin. A block begins where something that else begins a line stands behind blanks, and
    /// ends before the first line that has fewer.
    #[inline(always)]
    pub(in crate::formats) fn off<'a>(&mut self, line: &'a str) -> &'a str {
        if self.0.is_empty() && !may_begin(line) { line } else { self.without(line) }
    }

    fn without<'a>(&mut self, line: &'a str) -> &'a str {
        let line = unquoted(line);
        if !self.0.is_empty() {
            match line.strip_prefix(&*self.0) {
                Some(rest) => return if may_begin(rest) { counted(rest) } else { rest },
                None if line.trim_ascii().is_empty() => return "",
                None => self.0.clear(),
            }
        }
        let rest = scan::unindented(line);
        match counted(line) {
            text if text.len() < rest.len() => text,
            _ if begins(rest) => {
                self.0.push_str(scan::clip(&line[..line.len() - rest.len()], WIDEST));
                rest
            }
            _ => line,
        }
    }
}

/// `> text` of mail and of forums, as often as it was quoted, without that.
fn unquoted(line: &str) -> &str {
    let mut line = line;
    while let Some(rest) = line.strip_prefix('>') {
        line = rest.strip_prefix(' ').unwrap_or(rest);
    }
    line
}

/// Nobody indents a block by more, bytes.
const WIDEST: usize = 64;

/// Whether such a line may begin a block, by a few of its bytes: those of most indented lines do not.
#[inline(always)]
fn may_begin(line: &str) -> bool {
    match line.as_bytes().first() {
        Some(b' ' | b'\t') => may_be_head(scan::unindented(line).as_bytes()),
        first => first == Some(&b'>'),
    }
}

/// The same of what stands behind the blanks.
#[inline(never)]
fn may_be_head(text: &[u8]) -> bool {
    /// No request of libfuse is shorter, and few of its answers are as long.
    const REQUEST: usize = 56;
    match text {
        // A request of sshfs has one blank behind its number, its answer has more.
        [b'[', _, _, _, _, _, b']', b' ', letter, ..] => letter.is_ascii_uppercase(),
        [b'[', b' ', ..] | [b'[', b'p', b'o', b'd', b'/', ..] | [b'[', _, _, _, _, b'-' | b'/' | b'.' | b' ', ..] => {
            true
        }
        [b'A'..=b'W', _, _, b' ', ..] | [b'0'..=b'9' | b'{' | b'<' | b'>', ..] => true,
        [b'u', ..] => text.len() >= REQUEST && is_request(text),
        [b'T' | b'P' | b'C' | b'F' | b'g' | b'p' | b'f', ..] => {
            HEADS.iter().any(|head| text.starts_with(head.as_bytes()))
        }
        _ => false,
    }
}

/// `unique: 2, opcode: …`
fn is_request(text: &[u8]) -> bool {
    let comma = text.iter().take(32).position(|byte| *byte == b',');
    comma.is_some_and(|at| text[at..].starts_with(b", opcode: "))
}

/// How threads and dumps begin.
const HEADS: [&str; 9] =
    ["goroutine ", "Thread ", "TID ", "PID ", "Process ", "Current thread ", "panic: ", "fatal error: ", "FUSE Stream"];

/// Whether a text is one that stands at the begin of its line wherever it was written: one with a time, or the head of
/// a thread or a dump.
fn begins(text: &str) -> bool {
    let numbered = |head: &str| text[head.len()..].starts_with(|c: char| c.is_ascii_digit() || c == 'p');
    let head = HEADS.iter().find(|head| text.starts_with(**head));
    match text.as_bytes().first() {
        Some(b'{') => text.starts_with("{\""),
        Some(b'u') => text.starts_with("unique: "),
        _ if head.is_some() => head.is_some_and(|head| !head.starts_with(['g', 'T', 'P']) || numbered(head)),
        Some(b'[') if is_numbered_request(text) => true,
        _ => super::prefix(text)
            .is_some_and(|opened| opened.stamp.is_some() && !opened.is_of_a_number() || text.starts_with("[pod/")),
    }
}

/// `[00012] READ`
fn is_numbered_request(text: &str) -> bool {
    let number = text.get(1..6).is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()));
    number && text[6..].starts_with("] ")
}

/// `     1\ttext` of cat -n, `      1 text` of less -N, `   1 │ text` of bat; the same text where there is none.
fn counted(text: &str) -> &str {
    /// Columns of a number in less.
    const LESS: usize = 7;
    let number = scan::unindented(text);
    let digits = number.bytes().take_while(u8::is_ascii_digit).count();
    let rest = &number[digits..];
    let width = text.len() - rest.len();
    let found = match rest.as_bytes().first() {
        _ if digits == 0 => None,
        Some(b'\t') => Some(&rest[1..]),
        Some(b' ') => rest.strip_prefix(" │ ").or_else(|| rest.strip_prefix(' ').filter(|_| width == LESS)),
        _ => None,
    };
    found.unwrap_or(text)
}

/// `12:text` and `12-text` of grep -n and its context, `12\ttext` of nl; `stamped`: it begins like a time.
pub(super) fn numbered(text: &str, stamped: bool) -> Option<Opened<'_>> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let rest = &text[digits..];
    let dated = |rest: &str| clock::leading(rest).is_some();
    let inner = match rest.as_bytes().first()? {
        b'\t' => &rest[1..],
        b':' if stamped || digits != 2 || !is_time_of_day(rest) => &rest[1..],
        b'-' if dated(&rest[1..]) || !starts_with_digit(&rest[1..]) => &rest[1..],
        _ => return None,
    };
    Some(Opened { text: inner, ..Opened::default() })
}

/// `+text` of a diff, `- text` of a list, `| text |` of a table, and a text between quotation marks of its own: what many
/// a line begins with.
pub(super) fn marked(with: &str) -> Option<Opened<'_>> {
    let at = if with.as_bytes().get(1) == Some(&b' ') && !with.starts_with(['+', '`']) { 2 } else { 1 };
    let text = with.get(at..).filter(|_| at == 2 || with.starts_with(['+', '`']))?;
    let text = match with.as_bytes()[0] {
        b'`' => text.strip_suffix('`')?,
        b'|' => text.strip_suffix('|').map_or(text, str::trim_ascii_end),
        _ => text,
    };
    let doubt = Some(Doubt { with, head: &with[..at], ..Doubt::default() });
    Some(Opened { text, doubt, ..Opened::default() })
}

/// `build\tRun tests\t2026-11-22T09:43:26.1234567Z text` of a job of GitHub's, as its tool shows it.
pub(super) fn of_job(text: &str) -> Option<Opened<'_>> {
    let (_, text) = text.split_once('\t')?.1.split_once('\t')?;
    clock::leading(text).map(|_| Opened { text, ..Opened::default() })
}

/// `:26:51` behind hours.
fn is_time_of_day(rest: &str) -> bool {
    matches!(rest.as_bytes(), [b':', b'0'..=b'9', b'0'..=b'9', b':', ..])
}

fn starts_with_digit(text: &str) -> bool {
    text.as_bytes().first().is_some_and(u8::is_ascii_digit)
}

/// How the names of files end that lines are shown of.
const ENDS: [&str; 7] = [".log", ".txt", ".jsonl", ".json", ".out", ".err", ".trace"];

/// The first letters behind their dots; a table, because names of functions have a dot there as well.
const ENDS_BEGIN: [bool; 256] = {
    let (mut table, mut at) = ([false; 256], 0);
    while at < ENDS.len() {
        table[ENDS[at].as_bytes()[1] as usize] = true;
        at += 1;
    }
    table
};

/// Whether a text begins as the end of a file's name does.
#[inline(always)]
pub(super) fn is_end_of_file(text: &[u8]) -> bool {
    let may_be = text.get(1).is_some_and(|letter| ENDS_BEGIN[usize::from(*letter)]);
    may_be && ENDS.iter().any(|end| text.starts_with(end.as_bytes()))
}

/// `fused.log:text`, `/var/log/fused.log.1:12:text` of grep over files; who wrote it is then told by the file.
#[inline(never)]
pub(super) fn of_file(text: &str) -> Option<Opened<'_>> {
    /// Longest name, bytes.
    const LONGEST: usize = 256;
    let word = scan::word(scan::clip(text, LONGEST)).0;
    word.match_indices('.').find_map(|(dot, _)| {
        let end = ENDS.iter().find(|end| text[dot..].starts_with(**end))?;
        let (host, rest) = text.split_at(dot + end.len());
        let behind = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let inner = behind.strip_prefix([':', '-'])?;
        let numbered = numbered(inner, false).map(|opened| opened.text);
        // `fuse.log-mixin` goes on.
        if behind.starts_with('-') && numbered.is_none() && clock::leading(inner).is_none() {
            return None;
        }
        let doubt = Some(Doubt { with: text, head: &text[..text.len() - behind.len()], ..Doubt::default() });
        let text = numbered.unwrap_or(inner);
        Some(Opened { text, by: By { host, ..By::default() }, doubt, ..Opened::default() })
    })
}
