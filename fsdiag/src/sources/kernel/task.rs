//! Threads: state, wait channel, kernel stack, system call and idle time of one thread, from `/proc`.

use std::{fs, path::Path};

use super::{holders, signature};

/// One thread at one moment. What could not be read is empty or None.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Task {
    pub pid: u32,
    pub tid: u32,
    pub comm: Box<str>,
    /// `R`, `S`, `D`, `T` ...
    pub state: Option<char>,
    pub wchan: Box<str>,
    /// Kernel functions, innermost first; empty without root or while running.
    pub stack: Vec<Box<str>>,
    pub syscall: Option<Syscall>,
    /// When it last ran, in milliseconds of the scheduler's clock.
    pub ran_ms: Option<f64>,
}

/// A system call in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Syscall {
    pub number: i64,
    pub args: [u64; 6],
}

impl Task {
    /// Reads one thread; None when it is gone.
    pub fn read(pid: u32, tid: u32) -> Option<Self> {
        let dir = format!("/proc/{pid}/task/{tid}");
        let file = |name: &str| fs::read(format!("{dir}/{name}")).map(|b| String::from_utf8_lossy(&b).into_owned());
        let stat = file("stat").ok()?;
        let (comm, state) = comm_and_state(&stat)?;
        Some(Self {
            pid,
            tid,
            comm,
            state,
            wchan: wchan(&file("wchan").unwrap_or_default()),
            stack: stack(&file("stack").unwrap_or_default()),
            syscall: syscall(&file("syscall").unwrap_or_default()),
            ran_ms: ran(&file("sched").unwrap_or_default()),
        })
    }

    /// Only the wait channel: cheap enough for every thread of the machine.
    pub fn sleeps_in(pid: u32, tid: u32) -> Box<str> {
        wchan(&fs::read_to_string(format!("/proc/{pid}/task/{tid}/wchan")).unwrap_or_default())
    }

    /// What it waits for, as far as kernel stack or wait channel tell.
    pub fn waits(&self) -> Option<(signature::Wait, &'static str)> {
        if self.stack.is_empty() {
            signature::of(std::slice::from_ref(&self.wchan))
        } else {
            signature::of(&self.stack)
        }
    }

    /// Whether it waits for what another process writes: how daemons speak to a helper such as ssh.
    pub fn hears(&self) -> bool {
        let frames = ["unix_stream_read", "unix_dgram_recvmsg", "pipe_read", "anon_pipe_read"];
        self.stack.iter().any(|f| frames.iter().any(|name| f.starts_with(name)))
    }

    /// Microseconds since it last ran, by a clock reading of the same kind.
    pub fn idle_us(&self, now_ms: Option<f64>) -> Option<u64> {
        Some(now_ms? - self.ran_ms?).filter(|ms| *ms >= 0.0).map(|ms| (ms * 1e3) as u64)
    }

    /// A few words for a line: the innermost kernel functions.
    pub fn where_text(&self) -> String {
        if self.stack.is_empty() {
            return if self.wchan.is_empty() { String::from("running") } else { self.wchan.to_string() };
        }
        let inner: Vec<&str> = self.stack.iter().take(4).map(AsRef::as_ref).collect();
        inner.join(" < ")
    }
}

/// Every thread of a process.
pub fn all(pid: u32) -> Vec<Task> {
    ids(pid).into_iter().filter_map(|tid| Task::read(pid, tid)).collect()
}

/// Thread numbers of a process.
pub fn ids(pid: u32) -> Vec<u32> {
    holders::numbers(Path::new(&format!("/proc/{pid}/task")))
}

/// The scheduler's clock now: a running thread's own value, that is ours.
pub fn clock_ms() -> Option<f64> {
    ran(&fs::read_to_string("/proc/thread-self/sched").ok()?)
}

fn comm_and_state(stat: &str) -> Option<(Box<str>, Option<char>)> {
    let (_, rest) = stat.split_once('(')?;
    let (comm, rest) = rest.rsplit_once(')')?;
    Some((comm.into(), rest.trim_start().chars().next()))
}

fn wchan(text: &str) -> Box<str> {
    let text = text.trim();
    if text == "0" { "".into() } else { plain(text) }
}

/// A kernel function without the suffixes of the compiler's clones.
fn plain(name: &str) -> Box<str> {
    name.split('.').next().unwrap_or(name).into()
}

fn stack(text: &str) -> Vec<Box<str>> {
    let frame = |line: &str| {
        let function = line.trim().strip_prefix('[')?.split_once("] ")?.1;
        Some(plain(function.split(['+', ' ']).next()?))
    };
    text.lines().filter_map(frame).filter(|f| !f.starts_with("0x")).collect()
}

fn syscall(text: &str) -> Option<Syscall> {
    let mut words = text.split_whitespace();
    let number = words.next()?.parse().ok()?;
    let mut args = [0; 6];
    for arg in &mut args {
        *arg = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    }
    Some(Syscall { number, args })
}

fn ran(text: &str) -> Option<f64> {
    let line = text.lines().find(|l| l.starts_with("se.exec_start"))?;
    line.rsplit_once(':')?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn files_of_proc_are_read_as_the_kernel_writes_them() {
        assert_eq!(comm_and_state("7 (a) b) D 1 2"), Some(("a) b".into(), Some('D'))));
        let text = "[<0>] request_wait_answer+0xe3/0x200 [fuse]\n[<0>] fuse_flush.isra.0+0x1/0x2\n";
        assert_eq!(stack(text), vec![Box::from("request_wait_answer"), Box::from("fuse_flush")]);
        let call = syscall("0 0x3 0x7f00 0x20000 0x0 0x0 0x0 0x7ffe 0x7f11\n").unwrap();
        assert_eq!((call.number, call.args[0], call.args[2]), (0, 3, 0x20000));
        assert_eq!(syscall("running\n"), None);
        assert_eq!(
            ran("se.exec_start                                :       5904394.495712\n"),
            Some(5_904_394.495_712)
        );
    }

    #[test]
    fn our_own_thread_is_readable() {
        let pid = std::process::id();
        assert!(all(pid).iter().any(|t| t.state == Some('R')));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,120}") {
            let _ = (comm_and_state(&text), stack(&text), syscall(&text), ran(&text), wchan(&text));
        }
    }
}
