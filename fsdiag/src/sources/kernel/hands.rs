//! Hands: which request a thread of the daemon works on, told by its memory.
//!
//! Whoever serves a request keeps what was read from the device until it has answered, and its stack points there: the
//! header of the request, with the numbers that the kernel's list shows too. Where requests come at once, the times at
//! which threads fell asleep do not tell which has which; this does. Nothing is stopped: `/proc/PID/mem` is read, and
//! of it only memory that no file stands behind, since a page of a file could itself wait for a hung mount.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::Path,
};

use super::{bounded, lists::Request, task::Task};

/// Longest part of a stack that is read: callbacks lie near its top.
const STACK: u64 = 64 << 10;
/// Most pointers of a stack that are followed.
const MOST_POINTERS: usize = 4096;
/// Most threads that are looked at.
const MOST_THREADS: usize = 256;
/// A pointer leads to the header, or to the arguments behind it.
const AROUND: u64 = 64;

/// Header of a request as the kernel wrote it into the daemon's memory: length, operation, number, node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    unique: u64,
    opcode: u32,
    nodeid: u64,
}

/// The thread that has each request in hand, by the request's number; only those that exactly one thread has.
pub(super) fn of(threads: &[Task], requests: &[Request]) -> BTreeMap<u64, u32> {
    let wanted: Vec<Header> = requests.iter().filter(|r| r.unique != 0).map(Header::of).collect();
    let Some(pid) = threads.first().map(|task| task.pid).filter(|_| !wanted.is_empty()) else { return BTreeMap::new() };
    let tids: Vec<u32> = threads.iter().map(|task| task.tid).take(MOST_THREADS).collect();
    let found = bounded::one(pid, move |pid| search(pid, &tids, &wanted)).unwrap_or_default();
    let mut holders: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    found.into_iter().for_each(|(unique, tid)| holders.entry(unique).or_default().push(tid));
    holders
        .into_iter()
        .filter_map(|(unique, tids)| if let [tid] = tids[..] { Some((unique, tid)) } else { None })
        .collect()
}

impl Header {
    fn of(request: &Request) -> Self {
        Self { unique: request.unique, opcode: request.opcode, nodeid: request.nodeid }
    }

    /// Whether these bytes are that header.
    fn is(self, bytes: &[u8]) -> bool {
        let number = |at: usize| bytes.get(at..at + 8).and_then(|raw| raw.try_into().ok()).map(u64::from_ne_bytes);
        let (head, same) = (number(0).map(|n| n >> 32), [number(8), number(16)]);
        head == Some(u64::from(self.opcode)) && same == [Some(self.unique), Some(self.nodeid)]
    }
}

/// Pairs of request and thread.
fn search(pid: u32, tids: &[u32], wanted: &[Header]) -> BTreeSet<(u64, u32)> {
    let dir = format!("/proc/{pid}/task/{}", tids.first().copied().unwrap_or(pid));
    let Ok(memory) = File::open(format!("{dir}/mem")) else { return BTreeSet::new() };
    let areas = areas(&fs::read_to_string(format!("{dir}/maps")).unwrap_or_default());
    let in_hand = |tid: &u32| {
        let stack = stack_pointer(Path::new(&format!("/proc/{pid}/task/{tid}")));
        let found = stack.map(|at| of_stack(at, &memory, &areas, wanted)).unwrap_or_default();
        found.into_iter().map(|unique| (unique, *tid)).collect::<Vec<_>>()
    };
    tids.iter().flat_map(in_hand).collect()
}

/// Where the stack of a sleeping thread ends, by what the kernel says of its system call.
fn stack_pointer(thread: &Path) -> Option<u64> {
    let text = fs::read_to_string(thread.join("syscall")).ok()?;
    let word = text.split_whitespace().rev().nth(1)?;
    u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}

/// Requests whose header lies in that stack, or where it points to.
fn of_stack(stack: u64, memory: &File, areas: &[(u64, u64)], wanted: &[Header]) -> BTreeSet<u64> {
    let Some(end) = area_end(areas, stack) else { return BTreeSet::new() };
    let words = read(memory, stack & !7, end.min(stack.saturating_add(STACK)));
    let mut found = headers(&words, wanted);
    let pointers: BTreeSet<u64> =
        words.chunks_exact(8).filter_map(|raw| raw.try_into().ok()).map(u64::from_ne_bytes).collect();
    let heap = pointers.into_iter().filter_map(|at| Some((at & !7, area_end(areas, at)?))).take(MOST_POINTERS);
    for (at, end) in heap {
        let from = at.saturating_sub(AROUND);
        let from = if area_end(areas, from) == Some(end) { from } else { at };
        found.extend(headers(&read(memory, from, end.min(at.saturating_add(AROUND))), wanted));
    }
    found
}

fn headers(bytes: &[u8], wanted: &[Header]) -> BTreeSet<u64> {
    let starts = (0..bytes.len()).step_by(8);
    let at = |start: usize| wanted.iter().filter(move |header| header.is(&bytes[start..])).map(|header| header.unique);
    starts.flat_map(at).collect()
}

fn read(memory: &File, from: u64, end: u64) -> Vec<u8> {
    let mut raw = vec![0; usize::try_from(end.saturating_sub(from)).unwrap_or(0)];
    let got = memory.read_at(&mut raw, from).unwrap_or(0);
    raw.truncate(got);
    raw
}

fn area_end(areas: &[(u64, u64)], at: u64) -> Option<u64> {
    let next = areas.partition_point(|area| area.0 <= at);
    areas.get(next.checked_sub(1)?).map(|area| area.1).filter(|end| at < *end)
}

/// Memory areas that can be written and that no file stands behind, in their order.
fn areas(maps: &str) -> Vec<(u64, u64)> {
    let area = |line: &str| {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let writable = words.next()?.starts_with("rw");
        let area = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
        (writable && words.nth(2)? == "0").then_some(area)
    };
    maps.lines().filter_map(area).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const READ: Header = Header { unique: 30_886, opcode: 15, nodeid: 6 };

    fn bytes(header: Header) -> Vec<u8> {
        let words = [u64::from(header.opcode) << 32 | 80, header.unique, header.nodeid, 0, 0];
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    #[test]
    fn a_request_is_known_by_operation_number_and_node() {
        let mut memory = vec![0; 24];
        memory.extend(bytes(READ));
        assert_eq!(headers(&memory, &[READ]), BTreeSet::from([READ.unique]));
        for other in [Header { unique: 8, ..READ }, Header { opcode: 14, ..READ }, Header { nodeid: 7, ..READ }] {
            assert!(headers(&memory, &[other]).is_empty(), "{other:?}");
        }
        assert!(headers(&memory[..40], &[READ]).is_empty(), "cut off");
    }

    /// A thread of this process that sleeps with a header in hand, as one of a daemon does.
    #[test]
    fn the_thread_that_sleeps_over_a_request_is_found() {
        let (tell, hear) = std::sync::mpsc::channel();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let sleeper = move || {
            let buffer = bytes(READ).into_boxed_slice();
            let _ = tell.send(std::fs::read_link("/proc/thread-self").unwrap());
            let _ = wait.recv();
            std::hint::black_box(buffer);
        };
        let sleeper = std::thread::Builder::new().name("sleeper".into()).spawn(sleeper).unwrap();
        let link = hear.recv().unwrap();
        let tid: u32 = link.file_name().unwrap().to_str().unwrap().parse().unwrap();
        let found = || search(std::process::id(), &[tid], &[READ]);
        while Task::read(std::process::id(), tid).unwrap().state != Some('S') {
            std::thread::yield_now();
        }
        assert_eq!(found(), BTreeSet::from([(READ.unique, tid)]));
        drop(go);
        sleeper.join().unwrap();
    }

    #[test]
    fn only_memory_that_no_file_stands_behind_is_read() {
        let maps = "\
00400000-00452000 rw-p 00000000 00:27 13 /mnt/hung/program
00500000-00510000 r--p 00000000 00:00 0
7ffc0000-7ffd0000 rw-p 00000000 00:00 0  [stack]
";
        assert_eq!(areas(maps), [(0x7ffc_0000, 0x7ffd_0000)]);
        assert_eq!(area_end(&areas(maps), 0x7ffc_8000), Some(0x7ffd_0000));
        assert_eq!(area_end(&areas(maps), 0x7ffd_0000), None);
    }

    proptest! {
        #[test]
        fn any_maps_are_read_without_panic(text in "[-0-9a-f rwp:\n]{0,200}", at: u64) {
            let _ = area_end(&areas(&text), at);
        }
    }
}
