//! fusepy's LoggingMixIn: `-> getattr /clip.bin (None,)`, answered by `<- getattr {...}` of the same thread.

use std::collections::{BTreeMap, VecDeque};

use hashbrown::HashMap;

use crate::{
    engine::fact::{Call, Done, Fact, Key},
    formats::{Line, Mark, Parser, REMEMBERED, Taken, done, scan},
};
use fsd_events::op::Op;

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(Fusepy::default())
}

#[derive(Default)]
struct Fusepy {
    /// A thread has one call at a time: a later one says that the end of this is lost.
    by_thread: HashMap<Box<str>, Option<(Op, Key)>>,
    /// Lines of calls without a thread, oldest first.
    by_kind: BTreeMap<Op, VecDeque<Key>>,
}

impl Parser for Fusepy {
    fn format(&self) -> &'static str {
        "fusepy"
    }

    fn marks(&self) -> &'static [Mark] {
        &[Mark::Has("log-mixin")]
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        let head = scan::clip(line.text, 160);
        let Some((prefix, _)) = scan::split(head, "log-mixin") else { return Taken::No };
        // Python's own form has a colon behind the logger's name, others a blank, a bracket or a dash.
        let rest = &line.text[prefix.len() + "log-mixin".len()..];
        let colon = rest.starts_with(':');
        let rest = behind(rest);
        // The level may stand there; the library says all this at one.
        let rest = rest.strip_prefix("DEBUG").map_or(rest, behind);
        let thread = thread(prefix);
        match (rest.strip_prefix("-> "), rest.strip_prefix("<- ")) {
            (Some(rest), _) => self.begin(line, thread, rest, out),
            (_, Some(rest)) => self.end(line, thread, rest, out),
            _ if colon => Taken::Bad,
            _ => Taken::No,
        }
    }
}

impl Fusepy {
    fn begin(&mut self, line: &Line<'_>, thread: &str, rest: &str, out: &mut Vec<Fact>) -> Taken {
        let (name, rest) = scan::word(rest);
        let Some(op) = scan::op(name) else { return Taken::Yes };
        let (path, arguments) = scan::rsplit(rest, " (").unwrap_or((rest, ""));
        if op == Op::Init {
            line.session("fusepy init", None, out);
        }
        let ambiguous = self.remember(op, thread, line.place.key());
        let mut numbers = arguments.trim_end_matches([')', ',']).split(", ").map(|n| n.parse::<u64>().ok());
        let (len, off, fh) = match op {
            Op::Read => (numbers.next().flatten(), numbers.next().flatten(), numbers.next().flatten()),
            Op::Release | Op::Flush => (None, None, numbers.next().flatten()),
            _ => (None, None, None),
        };
        let call = Call {
            thread: (!thread.is_empty()).then(|| thread.into()),
            path: path.starts_with('/').then(|| path.into()),
            len,
            off,
            fh,
            ambiguous,
            ..Call::new(line.place.key(), op)
        };
        line.enter(call, out)
    }

    /// Whether the end of this call cannot be told from that of another.
    fn remember(&mut self, op: Op, thread: &str, key: Key) -> bool {
        if !thread.is_empty() {
            match self.by_thread.get_mut(thread) {
                Some(serves) => *serves = Some((op, key)),
                None => self.new_thread(thread, (op, key)),
            }
            return false;
        }
        let open = self.by_kind.entry(op).or_default();
        if open.len() >= REMEMBERED {
            open.pop_front();
        }
        open.push_back(key);
        open.len() > 1
    }

    fn new_thread(&mut self, thread: &str, serves: (Op, Key)) {
        if self.by_thread.len() >= REMEMBERED {
            self.by_thread.clear();
        }
        self.by_thread.insert(thread.into(), Some(serves));
    }

    fn end(&mut self, line: &Line<'_>, thread: &str, rest: &str, out: &mut Vec<Fact>) -> Taken {
        let (name, result) = scan::word(rest);
        let Some(op) = scan::op(name) else { return Taken::Yes };
        let found = match thread {
            "" => self.by_kind.get_mut(&op).and_then(VecDeque::pop_front),
            thread => self
                .by_thread
                .get_mut(thread)
                .and_then(Option::take)
                .filter(|(began, _)| *began == op)
                .map(|(_, key)| key),
        };
        let key = found.unwrap_or_else(|| line.place.key());
        let failed = scan::num_after(scan::clip(result, 64), "[Errno ").map(|n| n as u32);
        // An exception is answered with EINVAL.
        let failed = failed.or_else(|| scan::has(result, "[Unhandled Exception]").then_some(22));
        line.exit(Done { op: Some(op), errno: Some(failed.unwrap_or(0)), ..done(key) }, out)
    }
}

/// What follows the signs that part the fields of a form.
fn behind(field: &str) -> &str {
    let rest = field.trim_start_matches([':', ' ', ']', ')', '|']);
    rest.strip_prefix("- ").unwrap_or(rest)
}

/// The thread's name in a prefix like `Dummy-1 DEBUG:fuse.`; empty where the logger was not told to print it.
fn thread(prefix: &str) -> &str {
    // Wherever the form puts it: python's own names are known.
    let mut words = prefix.split([' ', '[', ']', '(', ')', ':', ',', '|']);
    let known = |word: &&str| *word == "MainThread" || word.starts_with("Dummy-") || word.starts_with("Thread-");
    if let Some(name) = words.find(known) {
        return name;
    }
    let Some((before, _)) = scan::split(prefix, "DEBUG") else { return "" };
    let name = before.trim().trim_end_matches(':').rsplit(' ').next().unwrap_or("");
    name.trim_matches(['[', ']', '(', ')'])
}
