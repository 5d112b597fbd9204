//! The reader: strict, because a dump is evidence; yet it returns what it could read of a damaged or cut file.

mod cursor;
mod lines;

use std::fmt;

use super::{Section, StackDump, text::Fnv};
use cursor::Cursor;

/// What became of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Read<'a> {
    /// What could be read; empty when nothing could.
    pub dump: StackDump<'a>,
    /// The last line is there and its counts and checksum are right.
    pub complete: bool,
    pub problems: Vec<Problem>,
}

impl Read<'_> {
    /// Complete and without a single problem: what it says was written so.
    pub fn is_sound(&self) -> bool {
        self.complete && self.problems.is_empty()
    }
}

/// Something in a file that the grammar does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// 1-based.
    pub line: u64,
    pub what: &'static str,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// Where in the file the reader stands; the grammar allows no way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Header,
    Modules,
    In(Section),
    End,
}

struct Reader<'a> {
    dump: StackDump<'a>,
    problems: Vec<Problem>,
    part: Part,
    line: u64,
    /// Header lines so far, in the order of the grammar.
    header: lines::HeaderOrder,
    /// Announced by the section lines.
    announced: [Option<u64>; Section::ALL.len()],
    /// Holders and waiters that the current lock still owes.
    owed: (u64, u64),
    /// Which line of a thread or task block comes next.
    step: u8,
    frames: u64,
    ended: bool,
}

/// Reads a dump. Never fails: what is wrong stands in [`Read::problems`].
pub fn read(text: &str) -> Read<'_> {
    let mut reader = Reader {
        dump: StackDump::default(),
        problems: Vec::new(),
        part: Part::Header,
        line: 0,
        header: lines::HeaderOrder::default(),
        announced: [None; Section::ALL.len()],
        owed: (0, 0),
        step: 0,
        frames: 0,
        ended: false,
    };
    let mut rest = text;
    while let Some(end) = memchr::memchr(b'\n', rest.as_bytes()) {
        let line = &rest[..end];
        if reader.ended {
            reader.problem("text after the last line");
            reader.ended = false;
            break;
        }
        match line.starts_with("== end ") {
            true => reader.end(line, &text[..text.len() - rest.len()]),
            false => reader.take(line),
        }
        reader.line += 1;
        rest = &rest[end + 1..];
    }
    if !rest.is_empty() {
        reader.problem("the last line has no end");
    }
    let complete = reader.ended && rest.is_empty();
    Read { complete, dump: reader.dump, problems: reader.problems }
}

impl<'a> Reader<'a> {
    fn problem(&mut self, what: &'static str) {
        self.problems.push(Problem { line: self.line + 1, what });
    }

    /// Any line but the last.
    fn take(&mut self, line: &'a str) {
        if line.is_empty() {
            return;
        }
        let section = line.strip_prefix("== ").and_then(section);
        let taken = match (section, self.part) {
            (Some((next, count)), _) => self.begin(next, count),
            (None, Part::Header | Part::Modules) => self.header_line(line),
            (None, Part::In(section)) => self.item(section, line),
            (None, Part::End) => None,
        };
        if taken.is_none() {
            self.problem("not a line of this grammar here");
        }
    }

    fn header_line(&mut self, line: &'a str) -> Option<()> {
        if line.starts_with("module: ") {
            self.part = Part::Modules;
            self.dump.modules.push(lines::module(&mut Cursor::new(line))?);
            return Some(());
        }
        (self.part == Part::Header).then_some(())?;
        lines::header(&mut self.dump.header, &mut self.header, line)
    }

    fn begin(&mut self, next: Section, count: u64) -> Option<()> {
        let expected = match self.part {
            Part::Header | Part::Modules => Section::ALL.first(),
            Part::In(section) => Section::ALL.get(section as usize + 1),
            Part::End => None,
        };
        if !self.header.complete() && next == Section::Ops {
            self.problem("the header lacks a line");
        }
        self.settle();
        let in_order = expected == Some(&next);
        self.announced[next as usize] = Some(count);
        self.part = Part::In(next);
        in_order.then_some(())
    }

    /// The item before is over: it must have had all its lines.
    fn settle(&mut self) {
        let (owed, step) = (std::mem::take(&mut self.owed), std::mem::take(&mut self.step));
        if owed != (0, 0) {
            self.problem("the lock before lacks a holder or waiter");
        }
        if (1..lines::BLOCK_DONE).contains(&step) {
            self.problem("the block before lacks a line");
        }
    }

    fn item(&mut self, section: Section, line: &'a str) -> Option<()> {
        let cursor = &mut Cursor::new(line);
        match section {
            Section::Ops => self.dump.ops.push(lines::op(cursor)?),
            Section::Findings => self.dump.findings.push(lines::finding(cursor)?),
            Section::Locks if line.starts_with("  ") => self.lock_user(cursor)?,
            Section::Locks => {
                self.settle();
                let (lock, holders, waiters) = lines::lock(cursor)?;
                self.owed = (holders, waiters);
                self.dump.locks.push(lock);
            }
            Section::Threads if line.starts_with("  ") => self.thread_line(line)?,
            Section::Threads => {
                self.settle();
                self.dump.threads.push(lines::thread(cursor)?);
                (self.step, self.frames) = (1, 0);
            }
            Section::Tasks if line.starts_with("  ") => {
                (std::mem::replace(&mut self.step, lines::BLOCK_DONE) == 1).then_some(())?;
                lines::task_detail(self.dump.tasks.last_mut()?, cursor)?;
            }
            Section::Tasks => {
                self.settle();
                self.dump.tasks.push(lines::task(cursor)?);
                self.step = 1;
            }
        }
        Some(())
    }

    fn lock_user(&mut self, cursor: &mut Cursor<'a>) -> Option<()> {
        let lock = self.dump.locks.last_mut()?;
        let (holds, user) = lines::lock_user(cursor)?;
        if holds {
            self.owed.0 = self.owed.0.checked_sub(1)?;
            lock.holders.push(user);
        } else {
            self.owed.1 = self.owed.1.checked_sub(1)?;
            (self.owed.0 == 0).then_some(())?;
            lock.waiters.push(user);
        }
        Some(())
    }

    fn thread_line(&mut self, line: &'a str) -> Option<()> {
        let cursor = &mut Cursor::new(line);
        let thread = self.dump.threads.last_mut()?;
        let (at, after) = lines::thread_step(line)?;
        let fits = match at {
            // The kernel line, and the stack line that may follow it directly.
            1 | 2 => self.step == at,
            3 => matches!(self.step, 2 | 3),
            _ => (4..=at).contains(&self.step),
        };
        fits.then_some(())?;
        match at {
            1 => lines::kernel(&mut thread.head, cursor)?,
            2 => thread.head.kstack = Some(cursor.after("  kstack: ")?),
            3 => thread.head.stack = lines::stack(cursor)?,
            4 => thread.waiting = Some(lines::waiting(cursor)?),
            5 => thread.holding.push(lines::holding(cursor)?),
            _ => {
                let (number, frame) = lines::frame(line)?;
                thread.frames.push(frame);
                if let Some(number) = number {
                    (number == self.frames).then_some(())?;
                    self.frames += 1;
                }
            }
        }
        self.step = after;
        Some(())
    }

    fn end(&mut self, line: &'a str, before: &str) {
        self.settle();
        let in_order = self.part == Part::In(Section::Tasks);
        self.part = Part::End;
        let Some(end) = lines::end(&mut Cursor::new(line)) else {
            return self.problem("the last line is damaged");
        };
        let dump = &self.dump;
        let found = [dump.ops.len(), dump.locks.len(), dump.findings.len(), dump.threads.len(), dump.tasks.len()];
        let counted = found.map(|n| Some(n as u64));
        if !in_order || end.counts.map(Some) != self.announced || counted != self.announced {
            return self.problem("the counts do not fit");
        }
        if end.lines != self.line || end.fnv != Fnv::of(before) {
            return self.problem("the checksum does not fit");
        }
        self.ended = true;
    }
}

fn section(text: &str) -> Option<(Section, u64)> {
    let cursor = &mut Cursor::new(text);
    let section = Section::parse(cursor.word()?)?;
    cursor.eat(" ")?;
    let count = cursor.number()?;
    cursor.eat(" ==")?;
    cursor.end()?;
    Some((section, count))
}
