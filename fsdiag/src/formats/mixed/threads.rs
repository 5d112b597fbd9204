//! Threads: names and numbers that stand where those of a host or of a process do, and are a thread's. What one of them
//! begins another one ends, or all of them give out numbers of one row; two daemons give out the same numbers twice.

use hashbrown::HashMap;

use crate::{
    engine::fact::{Fact, Key, What, Writer},
    formats::writer::By,
};

/// Writers that may be threads of one daemon, until it shows what they are.
#[derive(Default)]
pub(super) struct Threads {
    rows: HashMap<u64, Row>,
    /// Whose threads some of them are, by the number of their like.
    daemons: HashMap<u64, Writer>,
}

/// The numbers that some writers of one name give out.
#[derive(Default)]
struct Row {
    writers: Vec<Writer>,
    /// Who began each.
    begun: HashMap<u64, u64>,
    last: Option<(u64, u64)>,
    begins: u32,
    /// How often another one went on.
    turns: u32,
    /// Far from those before.
    strays: u32,
    /// Begun by two of them.
    twice: u32,
    /// Ended by another one than began it.
    crossed: u32,
}

/// What is known of some writers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    Daemons,
    Threads,
}

/// How threads are called: of these less has to be seen.
const CALLED: [&str; 8] =
    ["Thread-", "MainThread", "Dummy-", "ThreadPoolExecutor-", "tokio-runtime", "pool-", "main", "async-std"];

/// So many daemons of one name are looked at; nobody has as many threads that write.
const MOST_WRITERS: usize = 256;

/// Threads of one daemon: the one that stands for it, and the others.
pub(super) struct Joined {
    pub(super) daemon: Writer,
    pub(super) others: Vec<Writer>,
}

impl Threads {
    /// The daemon whose thread wrote a line, where that is known.
    pub(super) fn daemon(&self, by: &By<'_>) -> Option<&Writer> {
        if self.daemons.is_empty() { None } else { self.daemons.get(&by.like()) }
    }

    /// Another writer is there: those of whom it is worth looking at what they say from now on. Of most names there is
    /// one writer, of whom nothing need be known.
    pub(super) fn arrives(&mut self, writer: &Writer) -> Vec<Writer> {
        let (by, like) = (By::of(writer), By::of(writer).like());
        if writer.name.is_empty() || self.daemons.contains_key(&like) {
            return Vec::new();
        }
        let row = self.rows.entry(like).or_default();
        if !row.is_open() {
            return Vec::new();
        }
        row.knows(&by);
        match &row.writers[..] {
            [_] => Vec::new(),
            both @ [_, _] => both.to_vec(),
            _ => vec![writer.clone()],
        }
    }

    /// Looks at what a writer says; None, and false: it is worth it no more.
    pub(super) fn look(&mut self, writer: &Writer, facts: &[Fact]) -> (Option<Joined>, bool) {
        let (by, like) = (By::of(writer), By::of(writer).like());
        let row = self.rows.entry(like).or_default();
        if !row.is_open() {
            return (None, false);
        }
        row.look(&by, facts);
        match row.seen() {
            Seen::Nothing => return (None, true),
            Seen::Daemons => row.close(),
            Seen::Threads => {
                let mut writers = std::mem::take(&mut row.writers).into_iter();
                let joined = writers.next().map(|daemon| Joined { daemon, others: writers.collect() });
                row.close();
                self.daemons.extend(joined.as_ref().map(|joined| (like, joined.daemon.clone())));
                return (joined, false);
            }
        }
        (None, false)
    }
}

impl Row {
    /// Threads of one daemon are no further apart in what they begin.
    const NEAR: u64 = 16;
    /// Two daemons whose numbers are that near have given out one twice by then.
    const LONG: u32 = 3 * Self::NEAR as u32;

    fn is_open(&self) -> bool {
        self.begins < u32::MAX
    }

    fn close(&mut self) {
        *self = Self { begins: u32::MAX, ..Self::default() };
    }

    fn knows(&mut self, by: &By<'_>) {
        if !self.writers.iter().any(|writer| by.is(writer)) {
            self.writers.push(by.writer());
        }
    }

    fn look(&mut self, by: &By<'_>, facts: &[Fact]) {
        let own = by.number();
        for fact in facts {
            match &fact.what {
                What::Enter(call) => number(call.key).into_iter().for_each(|number| self.begins(own, number, by)),
                What::Exit(done) => {
                    let began = number(done.key).and_then(|number| self.begun.get(&number));
                    self.crossed += u32::from(began.is_some_and(|began| *began != own));
                }
                _ => {}
            }
        }
    }

    fn begins(&mut self, own: u64, number: u64, by: &By<'_>) {
        debug_assert!(!by.name.is_empty());
        let began = *self.begun.entry(number).or_insert(own);
        self.twice += u32::from(began != own);
        if let Some((before, greatest)) = self.last {
            self.turns += u32::from(before != own);
            self.strays += u32::from(number.abs_diff(greatest) > Self::NEAR);
        }
        self.begins += 1;
        self.last = Some((own, self.last.map_or(number, |(_, greatest)| greatest.max(number))));
    }

    fn seen(&self) -> Seen {
        let several = self.writers.len() > 1;
        let called = |writer: &Writer| CALLED.iter().any(|begin| writer.host.starts_with(begin));
        let crossed = if self.writers.iter().all(called) { 2 } else { 8 };
        match () {
            () if self.twice > 1 || self.writers.len() >= MOST_WRITERS => Seen::Daemons,
            () if self.begins > 16 * Self::LONG => Seen::Daemons,
            () if self.twice > 0 || !several => Seen::Nothing,
            () if self.crossed >= crossed && self.begins >= 2 * crossed => Seen::Threads,
            () if self.begins < Self::LONG || self.turns < Self::LONG / 3 => Seen::Nothing,
            () if self.strays == 0 => Seen::Threads,
            () => Seen::Nothing,
        }
    }
}

fn number(key: Key) -> Option<u64> {
    match key {
        Key::Num(number) | Key::Hex(number) => Some(number),
        Key::Line(_) | Key::Thread(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fact::{At, Call, Done, Place};

    /// Who began (`+`) or ended (`-`) which number; who are one daemon by then.
    fn joined(steps: impl Iterator<Item = (String, char, u64)>) -> Option<usize> {
        let mut threads = Threads::default();
        for (host, step, number) in steps {
            let key = Key::Num(number);
            let what = match step {
                '+' => What::Enter(Call::new(key, fsd_events::op::Op::Read).boxed()),
                _ => What::Exit(Done { key, op: None, us: None, errno: None, bytes: None }),
            };
            let writer = By { host: &host, name: "store", pid: None }.writer();
            let fact = Fact { place: Place::default(), at: At::default(), what };
            threads.arrives(&writer);
            if let (Some(joined), _) = threads.look(&writer, &[fact]) {
                assert_eq!(threads.daemon(&By { host: "Thread-99", name: "store", pid: None }), Some(&joined.daemon));
                return Some(1 + joined.others.len());
            }
        }
        None
    }

    fn whole(n: u64, host: String) -> [(String, char, u64); 2] {
        [(host.clone(), '+', n), (host, '-', n)]
    }

    #[test]
    fn threads_that_end_what_others_began_are_one_daemon() {
        let steps = (0..40_u64).flat_map(|n| {
            [(format!("Thread-{}", n % 3), '+', n + 70), (format!("Thread-{}", (n + 1) % 3), '-', n + 70)]
        });
        assert_eq!(joined(steps), Some(3));
    }

    #[test]
    fn threads_that_give_out_numbers_of_one_row_are_one_daemon() {
        let order = |n: u64| [1, 0, 3, 2][n as usize % 4] + n / 4 * 4;
        assert_eq!(joined((0..200).flat_map(|n| whole(order(n), format!("Thread-{}", n % 4)))), Some(4));
    }

    #[test]
    fn daemons_stay_apart_however_near_their_numbers_are() {
        for apart in [0, 1, 5, 13, 15, 16, 40, 1000] {
            let steps = (0..400_u64).flat_map(|n| whole(n / 2 + (n % 2) * apart, format!("node{}", n % 2)));
            assert_eq!(joined(steps), None, "{apart}");
        }
        // What was under way when the log began ends without its beginning.
        let begun = (0..5).map(|n| (String::from("node1"), '-', n + 50));
        let other = (0..5).flat_map(|n| whole(n + 50, "node0".into()));
        let steps = other.chain(begun).chain((0..400).flat_map(|n| whole(n / 2 + 55, format!("node{}", n % 2))));
        assert_eq!(joined(steps), None);
    }
}
