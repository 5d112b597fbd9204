//! The ring: one thread's way into the journal, written by its owner and read by the writer thread.

use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{self, Acquire, Relaxed, Release},
};

use fsd_events::ring::{self, Draft, Found, RecordHead, header};

/// An atomic word; what a schedule test replaces.
pub(crate) trait Word: Sync + 'static {
    fn get(&self, order: Ordering) -> u64;
    fn put(&self, value: u64, order: Ordering);
}

impl Word for AtomicU64 {
    #[inline]
    fn get(&self, order: Ordering) -> u64 {
        self.load(order)
    }

    #[inline]
    fn put(&self, value: u64, order: Ordering) {
        self.store(value, order);
    }
}

/// Slots in memory of atomic words. One thread at a time owns it and pushes; the writer thread reads.
pub(crate) struct Ring<W: Word = AtomicU64> {
    words: &'static [W],
    slots: usize,
    owned: AtomicBool,
}

impl<W: Word> Ring<W> {
    /// `slots` is a power of two, and `words` has room for them and the header.
    pub(crate) fn new(words: &'static [W], slots: usize) -> Self {
        debug_assert!(slots.is_power_of_two() && words.len() >= ring::file_words(slots));
        Self { words, slots, owned: AtomicBool::new(false) }
    }

    pub(crate) fn words(&self) -> &'static [W] {
        self.words
    }

    /// Takes the ring for a thread; false when somebody has it.
    pub(crate) fn claim(&self) -> bool {
        self.owned.compare_exchange(false, true, Acquire, Relaxed).is_ok()
    }

    /// Gives it back. What was pushed stays to be read.
    pub(crate) fn release(&self) {
        self.owned.store(false, Release);
    }

    /// Writes down who pushes now, so that records of earlier owners keep their thread's name.
    pub(crate) fn set_owner(&self, tid: u32, name: [u64; 2]) {
        let count = self.words[header::OWNER_COUNT].get(Relaxed);
        let at = header::FIRST_OWNER + (count as usize % header::OWNERS) * header::OWNER_WORDS;
        self.words[at].put(tid.into(), Relaxed);
        self.words[at + 1].put(name[0], Relaxed);
        self.words[at + 2].put(name[1], Relaxed);
        self.words[header::OWNER_COUNT].put(count + 1, Release);
    }

    /// Adds a record; false when there is no room, which is counted. Only the owner may call it.
    #[inline]
    pub(crate) fn push<const N: usize>(&self, draft: &Draft<N>, seq: u64, mono_us: u64) -> bool {
        let head = self.words[header::HEAD].get(Relaxed);
        let used = head.wrapping_sub(self.words[header::TAIL].get(Acquire));
        let slots = u64::from(draft.slots());
        if used + slots > self.slots as u64 {
            let dropped = &self.words[header::DROPPED];
            dropped.put(dropped.get(Relaxed) + 1, Relaxed);
            return false;
        }
        draft.write(head, seq, mono_us, |n, stamp, rest| {
            let at = ring::slot_at(head + n, self.slots);
            let slot = &self.words[at..at + ring::SLOT_WORDS];
            slot.iter().skip(1).zip(rest).for_each(|(to, from)| to.put(*from, Relaxed));
            slot[0].put(stamp, Relaxed);
        });
        self.words[header::HEAD].put(head + slots, Release);
        true
    }

    /// Records that found no room here.
    pub(crate) fn dropped(&self) -> u64 {
        self.words[header::DROPPED].get(Relaxed)
    }

    /// Position behind the last record.
    pub(crate) fn head(&self) -> u64 {
        self.words[header::HEAD].get(Acquire)
    }

    /// Time of the record at `position`, which lies before [`Ring::head`].
    pub(crate) fn time_at(&self, position: u64) -> u64 {
        /// Behind the stamp and the number.
        const TIME: usize = 2;
        self.words[ring::slot_at(position, self.slots) + TIME].get(Relaxed)
    }

    /// Reads the record at `position`, which lies before [`Ring::head`]; None when it is damaged.
    pub(crate) fn read(&self, position: u64, payload: &mut Vec<u64>) -> Option<RecordHead> {
        match ring::read_at(&|n| self.words[n].get(Relaxed), self.slots, position, payload) {
            Found::Record(head) => Some(head),
            Found::Torn => None,
        }
    }

    /// Frees everything before `position`: the event file has it.
    pub(crate) fn free_to(&self, position: u64) {
        self.words[header::TAIL].put(position, Release);
    }

    /// Position of the first record that the event file does not have.
    pub(crate) fn tail(&self) -> u64 {
        self.words[header::TAIL].get(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use fsd_events::{ids::OpId, ring::SMALL};

    use super::*;

    fn ring<W: Word>(slots: usize, word: impl Fn() -> W) -> Ring<W> {
        let words: Vec<W> = (0..ring::file_words(slots)).map(|_| word()).collect();
        Ring::new(Box::leak(words.into_boxed_slice()), slots)
    }

    fn draft(n: u64) -> Draft<SMALL> {
        Draft::wait_end(OpId(n), n * n)
    }

    #[test]
    fn a_full_ring_drops_and_counts_and_goes_on_when_there_is_room() {
        let ring = ring(4, || AtomicU64::new(0));
        let pushed: Vec<bool> = (0..6).map(|n| ring.push(&draft(n), n, n)).collect();
        assert_eq!(pushed, [true, true, true, true, false, false]);
        assert_eq!(ring.dropped(), 2);
        let mut payload = Vec::new();
        assert_eq!(ring.read(0, &mut payload).map(|head| (head.seq, head.id)), Some((0, OpId(0))));
        ring.free_to(2);
        assert!(ring.push(&draft(6), 6, 6) && ring.push(&draft(7), 7, 7) && !ring.push(&draft(8), 8, 8));
        assert_eq!(ring.read(5, &mut payload).map(|head| head.seq), Some(7));
        assert_eq!(payload[0], 49);
    }

    #[test]
    fn a_reader_beside_its_writer_sees_every_record_once_and_whole() {
        const RECORDS: u64 = 200_000;
        let ring = ring(64, || AtomicU64::new(0));
        std::thread::scope(|threads| {
            threads.spawn(|| {
                let mut n = 0;
                while n < RECORDS {
                    n += u64::from(ring.push(&draft(n), n, n));
                    std::hint::spin_loop();
                }
            });
            let (mut at, mut payload) = (0, Vec::new());
            while at < RECORDS {
                while at < ring.head() {
                    let head = ring.read(at, &mut payload).unwrap();
                    assert_eq!((head.seq, payload[0]), (at, at * at));
                    at += 1;
                    ring.free_to(at);
                }
                std::thread::yield_now();
            }
        });
    }

    impl Word for loom::sync::atomic::AtomicU64 {
        fn get(&self, order: Ordering) -> u64 {
            self.load(order)
        }

        fn put(&self, value: u64, order: Ordering) {
            self.store(value, order);
        }
    }

    #[test]
    fn no_order_of_memory_lets_a_reader_see_half_a_record() {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(|| {
            let words: Vec<_> = (0..ring::file_words(2)).map(|_| loom::sync::atomic::AtomicU64::new(0)).collect();
            let ring = loom::sync::Arc::new(Ring::new(Box::leak(words.into_boxed_slice()), 2));
            let reader = loom::sync::Arc::clone(&ring);
            // The writer is the first thread: loom overlooks schedules in which a thread loads what it then stores.
            let thread = loom::thread::spawn(move || {
                let mut payload = Vec::new();
                let mut read = |at: u64| {
                    let head = reader.read(at, &mut payload);
                    assert_eq!(head.map(|head| (head.seq, payload[0])), Some((at, at * at)), "torn");
                    reader.free_to(at + 1);
                };
                let first = reader.head();
                (0..first).for_each(&mut read);
                let second = reader.head();
                (first..second).for_each(read);
                second
            });
            let mut pushed = 0;
            while pushed < 3 && ring.push(&draft(pushed), pushed, pushed) {
                pushed += 1;
            }
            let read = thread.join().unwrap();
            assert!(read <= pushed && pushed == ring.head());
            RUNS.fetch_add(1, Relaxed);
        });
        assert!(RUNS.load(Relaxed) > 100, "only {RUNS:?} schedules were tried");
    }
}
