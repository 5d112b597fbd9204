//! The threads of this process: who they are, what the kernel says of them, and how their stacks were got.

use std::{fs::File, time::Duration};

use fsd_events::stacks::{Doing, NoStack, Syscall};
use fsd_unwind::{procfs, procfs::Blocked};

use super::{
    copies::{Asked, Copies, SLOTS},
    fixed::{Fixed, read},
    system,
};
use crate::platform::{clock, thread};

/// One thread.
#[derive(Clone, Copy)]
pub(super) struct Thread {
    pub(super) tid: u32,
    pub(super) comm: Fixed<16>,
    pub(super) state: char,
    pub(super) wchan: Fixed<64>,
    pub(super) syscall: Syscall,
    pub(super) cpu_ms: u64,
    pub(super) doing: Doing,
    pub(super) stack: Stack,
}

/// Where its stack is.
#[derive(Clone, Copy)]
pub(super) enum Stack {
    Asked(Asked),
    Copied(Asked),
    /// In place, because the thread sleeps and did not answer.
    Live(Blocked),
    None(NoStack),
}

/// After this long a thread that has not answered is looked at: asleep where signals do not reach, or only slow?
const GRACE: Duration = Duration::from_millis(20);
/// After this long a thread is given up. Generous: on a busy machine 64 threads need a while to be scheduled.
const DEADLINE: Duration = Duration::from_secs(1);

/// Every thread of the process, and the directory that lists them.
pub(super) struct Threads {
    tasks: File,
    /// Capacity for as many as one dump can ask.
    pub(super) all: Vec<Thread>,
}

impl Threads {
    /// # Errors
    /// When `/proc` cannot be read.
    pub(super) fn new(most: usize) -> std::io::Result<Self> {
        Ok(Self { tasks: File::open("/proc/self/task")?, all: Vec::with_capacity(most) })
    }

    /// Captures every thread: by signal if `copies` is there, and what does not answer from the outside.
    pub(super) fn capture(&mut self, mut copies: Option<&mut Copies>) {
        self.all.clear();
        if let Some(copies) = copies.as_mut() {
            copies.begin();
        }
        // A thread that was started meanwhile is found in the second round.
        for _ in 0..2 {
            let from = self.all.len();
            self.list();
            self.ask(from, copies.as_deref());
            self.await_answers(from);
        }
        self.all.iter_mut().for_each(Thread::look);
    }

    fn list(&mut self) {
        let all = &mut self.all;
        system::names(&self.tasks, &mut |name| {
            let tid = name.to_str().ok().and_then(|name| name.parse().ok());
            let new = tid.filter(|tid| all.len() < all.capacity() && all.iter().all(|known| known.tid != *tid));
            all.extend(new.map(Thread::new));
        });
    }

    fn ask(&mut self, from: usize, copies: Option<&Copies>) {
        let own = thread::tid();
        for (at, thread) in self.all.iter_mut().enumerate().skip(from) {
            thread.stack = match copies {
                _ if thread.tid == own => Stack::None(NoStack::Dumper),
                Some(copies) if thread.takes_signals(copies.signal()) => {
                    copies.ask(thread.tid, at).map_or(Stack::None(NoStack::NoAnswer), Stack::Asked)
                }
                Some(_) => Stack::None(NoStack::BlockedSignal),
                None => Stack::None(NoStack::NoAnswer),
            };
        }
    }

    fn await_answers(&mut self, from: usize) {
        let begun = clock::now();
        let mut looked = false;
        loop {
            let mut open = 0;
            for thread in self.all.iter_mut().skip(from) {
                if let Stack::Asked(asked) = thread.stack {
                    match asked.is_done() {
                        true => thread.stack = Stack::Copied(asked),
                        false => open += 1,
                    }
                }
            }
            let waited = clock::now().duration_since(begun);
            if open == 0 || waited > DEADLINE {
                break;
            }
            if waited > GRACE && !looked {
                looked = true;
                self.all.iter_mut().skip(from).for_each(Thread::give_up_if_unreachable);
            }
            system::nap();
        }
        self.all.iter_mut().skip(from).for_each(Thread::give_up);
    }

    /// How many threads answered, and for how long that kept them from their work: median and longest, nanoseconds.
    pub(super) fn pauses(&self) -> Option<(usize, u64, u64)> {
        let mut all = [0; SLOTS];
        let took = self.all.iter().filter_map(|thread| match thread.stack {
            Stack::Copied(asked) => asked.took_ns(),
            _ => None,
        });
        let mut count = 0;
        for (slot, took) in all.iter_mut().zip(took) {
            *slot = took;
            count += 1;
        }
        let all = all.get_mut(..count)?;
        all.sort_unstable();
        Some((count, *all.get(count / 2)?, *all.last()?))
    }

    pub(super) fn get(&self, tid: u32) -> Option<&Thread> {
        self.all.iter().find(|thread| thread.tid == tid)
    }

    /// Threads that answered, and threads whose stack is read in place.
    pub(super) fn counts(&self) -> (u64, u64) {
        let count = |is: fn(&Stack) -> bool| self.all.iter().filter(|thread| is(&thread.stack)).count() as u64;
        (count(|s| matches!(s, Stack::Copied(_))), count(|s| matches!(s, Stack::Live(_))))
    }
}

impl Thread {
    fn new(tid: u32) -> Self {
        Self {
            tid,
            comm: Fixed::new(),
            state: '?',
            wchan: Fixed::new(),
            syscall: Syscall::Unknown,
            cpu_ms: 0,
            doing: Doing::Other,
            stack: Stack::None(NoStack::NoAnswer),
        }
    }

    /// A signal to a thread that blocks it would stay pending; one to an io_uring worker would end it.
    fn takes_signals(&self, signal: i32) -> bool {
        let mut buffer = [0; 4096];
        let status = read(format_args!("/proc/self/task/{}/status", self.tid), &mut buffer);
        !status.starts_with(b"Name:\tiou-") && !procfs::blocks_signal(status, signal)
    }

    /// State D does not end for a signal: no use in waiting on.
    fn give_up_if_unreachable(&mut self) {
        let mut buffer = [0; 1024];
        let stat = procfs::stat(read(format_args!("/proc/self/task/{}/stat", self.tid), &mut buffer));
        if stat.is_none_or(|stat| matches!(stat.state, 'D' | 'Z' | 'T' | 't')) {
            self.give_up();
        }
    }

    fn give_up(&mut self) {
        if let Stack::Asked(asked) = self.stack {
            asked.abandon();
            self.stack = if asked.is_done() { Stack::Copied(asked) } else { Stack::None(NoStack::NoAnswer) };
        }
    }

    /// Reads what the kernel says of it.
    fn look(&mut self) {
        let tid = self.tid;
        let mut buffer = [0; 1024];
        let Some(stat) = procfs::stat(read(format_args!("/proc/self/task/{tid}/stat"), &mut buffer)) else {
            self.stack = Stack::None(NoStack::Gone);
            return;
        };
        (self.comm, self.state) = (Fixed::from_bytes(stat.comm), stat.state);
        // USER_HZ is 100 on every Linux that this runs on.
        self.cpu_ms = stat.ticks * 10;
        self.wchan = Fixed::from_bytes(read(format_args!("/proc/self/task/{tid}/wchan"), &mut buffer));
        let blocked = self.look_at_syscall();
        if let (Stack::None(NoStack::NoAnswer | NoStack::BlockedSignal), Some(blocked)) = (self.stack, blocked) {
            self.stack = Stack::Live(blocked);
        }
        self.doing = match self.stack {
            Stack::None(NoStack::Dumper) => Doing::Dumper,
            _ => procfs::doing(self.state, Some(self.wchan.as_str()), self.syscall),
        };
    }

    fn look_at_syscall(&mut self) -> Option<Blocked> {
        let (syscall, blocked) = blocked(self.tid);
        self.syscall = syscall;
        blocked
    }

    /// Whether it still sleeps where it slept.
    pub(super) fn still_at(&self, at: Blocked) -> bool {
        blocked(self.tid).1 == Some(at)
    }

    /// Kernel functions, innermost first, joined by ` < `; empty unless this process may read them.
    pub(super) fn kernel_stack(&self) -> Fixed<512> {
        use std::fmt::Write;
        let mut buffer = [0; 2048];
        let text = read(format_args!("/proc/self/task/{}/stack", self.tid), &mut buffer);
        let mut joined = Fixed::new();
        for line in text.split(|b| *b == b'\n') {
            let function = str::from_utf8(line).ok().and_then(|line| line.split_once("] ")).map(|(_, rest)| rest);
            let Some((function, _)) = function.and_then(|function| function.split_once('+')) else { continue };
            let separator = if joined.as_str().is_empty() { "" } else { " < " };
            if write!(joined, "{separator}{function}").is_err() {
                break;
            }
        }
        joined
    }
}

fn blocked(tid: u32) -> (Syscall, Option<Blocked>) {
    let mut buffer = [0; 256];
    procfs::syscall(read(format_args!("/proc/self/task/{tid}/syscall"), &mut buffer))
}
