//! Dumps: the formats that show all threads of a process, one file each.

pub(super) mod ceph_requests;
pub(super) mod eu_stack;
pub(super) mod fsd_stacks;
pub(super) mod gdb;
pub(super) mod glusterfs_statedump;
pub(super) mod go_panic;
pub(super) mod go_stacks;
mod goroutines;
pub(super) mod jstack;
mod locks;
pub(super) mod proc_stacks;
pub(super) mod py_spy;
pub(super) mod python_faulthandler;
pub(super) mod rust_panic;
pub(super) mod seed_stacks;
pub(super) mod tokio_dump;

use super::{Line, REMEMBERED, scan};
use crate::engine::{
    fact::{At, Dump, Fact, Frame, Name, Place, Thread, What},
    model::hash::NumberMap,
};

/// A dump that is being read.
#[derive(Default)]
struct Draft {
    dump: Dump,
    place: Place,
    at: At,
    /// The last thread still takes frames.
    in_thread: bool,
    /// Those of its threads, where they are many.
    numbers: NumberMap<u64, ()>,
}

/// So many threads are looked through sooner than a table of them is made.
const FEW: usize = 16;

/// Deepest stack that is kept, frames.
const DEEPEST: usize = 512;
/// Longest text of arguments or locals that is kept, bytes.
const LONGEST: usize = 4096;

impl Draft {
    fn start(line: &Line<'_>, format: &str) -> Self {
        let dump = Dump { format: format.into(), ..Dump::default() };
        Self { dump, place: line.place, at: line.at, in_thread: false, numbers: NumberMap::default() }
    }

    /// Whether a thread of that number is there already: then a second dump begins.
    fn has(&self, number: u64) -> bool {
        match self.dump.threads.len() {
            ..=FEW => self.dump.threads.iter().any(|thread| thread.number == number),
            _ => self.numbers.contains_key(&number),
        }
    }

    /// Begins a thread, unless the dump has absurdly many.
    fn thread(&mut self, line: &Line<'_>, thread: Thread) {
        self.in_thread = self.dump.threads.len() < REMEMBERED;
        if self.in_thread {
            match self.dump.threads.len() {
                ..FEW => {}
                FEW => self.numbers.extend(self.dump.threads.iter().chain([&thread]).map(|thread| (thread.number, ()))),
                _ => _ = self.numbers.insert(thread.number, ()),
            }
            self.dump.threads.push(Thread { line: line.place.line, count: thread.count.max(1), ..thread });
        }
    }

    /// The thread that frames belong to now.
    fn current(&mut self) -> Option<&mut Thread> {
        self.dump.threads.last_mut().filter(|_| self.in_thread)
    }

    fn frame(&mut self, frame: Frame) {
        if let Some(thread) = self.current().filter(|thread| thread.frames.len() < DEEPEST) {
            thread.frames.push(frame);
        }
    }

    fn last_frame(&mut self) -> Option<&mut Frame> {
        self.current()?.frames.last_mut()
    }

    fn into_fact(self) -> Option<Fact> {
        (!self.dump.threads.is_empty()).then(|| Fact {
            place: self.place,
            at: self.at,
            what: What::Dump(Box::new(self.dump)),
        })
    }
}

/// Hands over a dump that was read to its end.
fn hand_over(draft: &mut Option<Draft>, out: &mut Vec<Fact>) {
    out.extend(draft.take().and_then(Draft::into_fact));
}

/// Appends to a text that grows line by line, up to [`LONGEST`].
fn append(text: &mut Box<str>, more: &str) {
    if text.len() + more.len() < LONGEST {
        let joint = if text.is_empty() { "" } else { "; " };
        *text = format!("{text}{joint}{more}").into();
    }
}

/// `file:line` or `file:line:column`, split at the numbers.
fn file_and_line(text: &str) -> (&str, Option<u32>) {
    let Some((rest, last)) = scan::rsplit(text, ":") else { return (text, None) };
    let Ok(last) = last.parse::<u32>() else { return (text, None) };
    match scan::rsplit(rest, ":").map(|(file, line)| (file, line.parse::<u32>())) {
        Some((file, Ok(line))) => (file, Some(line)),
        _ => (rest, Some(last)),
    }
}

/// The same for a frame.
fn location(text: &str) -> (Option<Name>, Option<u32>) {
    let (file, line) = file_and_line(text);
    (Some(file.into()), line)
}

/// A symbol for people: demangled, without the hash at its end.
fn demangled(symbol: &str) -> Name {
    // A name that begins with an escape has this in front.
    let symbol = symbol.strip_prefix('_').filter(|inner| inner.starts_with("$LT$")).unwrap_or(symbol);
    if let Some(inner) = symbol.strip_prefix('_') {
        let mangled = ["ZN", "R", "_ZN", "_R"].iter().any(|start| inner.starts_with(start));
        return if mangled { format!("{:#}", rustc_demangle::demangle(symbol)).into() } else { symbol.into() };
    }
    let plain = without_hash(symbol);
    if scan::has(plain, "$") { legacy(plain).into() } else { plain.into() }
}

/// Cuts `::h0123456789abcdef`, and the `.llvm.12` behind it.
fn without_hash(symbol: &str) -> &str {
    const LENGTH: usize = "::h0123456789abcdef".len();
    let symbol = symbol.split_once(".llvm.").map_or(symbol, |(before, _)| before);
    let hash = symbol.len().checked_sub(LENGTH).and_then(|at| symbol.split_at_checked(at));
    let hash = hash.and_then(|(plain, hash)| Some((plain, hash.strip_prefix("::h")?)));
    match hash {
        Some((plain, hash)) if hash.bytes().all(|b| b.is_ascii_hexdigit()) => plain,
        _ => symbol,
    }
}

/// Half-demangled names of tools that know C++ only: `Session$LT$FS$GT$::run`.
fn legacy(symbol: &str) -> String {
    const ESCAPES: [(&str, &str); 11] = [
        ("..", "::"),
        ("_$u7b$$u7b$", "{{"),
        ("$u7d$$u7d$", "}}"),
        ("$LT$", "<"),
        ("$GT$", ">"),
        ("$C$", ","),
        ("$RF$", "&"),
        ("$BP$", "*"),
        ("$LP$", "("),
        ("$RP$", ")"),
        ("$u20$", " "),
    ];
    let mut name = String::with_capacity(symbol.len());
    let mut rest = symbol;
    while let Some(at) = rest.find(['$', '_', '.']) {
        let (before, from) = rest.split_at(at);
        name.push_str(before);
        let escape = ESCAPES.iter().find(|(escape, _)| from.starts_with(escape));
        let (escape, text) = escape.copied().unwrap_or((&from[..1], &from[..1]));
        name.push_str(text);
        rest = &from[escape.len()..];
    }
    name.push_str(rest);
    name
}

/// `thread 17`, without the machinery that formats: a dump has a label for each of its threads.
fn numbered(kind: &str, number: u64) -> Box<str> {
    let mut digits = [0; 20];
    let (mut at, mut rest) = (digits.len(), number);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    let mut label = String::with_capacity(kind.len() + digits.len() - at);
    label.push_str(kind);
    label.push_str(str::from_utf8(&digits[at..]).unwrap_or_default());
    label.into()
}
