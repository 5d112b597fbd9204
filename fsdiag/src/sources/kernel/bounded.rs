//! Patience: a process that is in the middle of an exec or exit, and waits there for a hung mount, makes whoever
//! reads its `/proc` files wait too (measured on 6.18: `stat`, `wchan`, `stack`, `syscall`, `maps` and the links block
//! behind its exec lock, `ps` included). So foreign processes are read on a thread of their own, which is left behind
//! when the answer does not come, and such a process is not asked again.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

/// Longest that one process may keep us waiting.
const PATIENCE: Duration = Duration::from_millis(400);

thread_local! {
    static SILENT: RefCell<BTreeSet<u32>> = const { RefCell::new(BTreeSet::new()) };
}

/// Processes whose `/proc` did not answer so far.
pub fn silent() -> Vec<u32> {
    SILENT.with_borrow(|pids| pids.iter().copied().collect())
}

/// Reads every process that answers.
pub fn each<T: Send + 'static>(pids: Vec<u32>, read: impl Fn(u32) -> T + Send + Sync + 'static) -> Vec<T> {
    let pids: Vec<u32> = pids.into_iter().filter(|pid| SILENT.with_borrow(|silent| !silent.contains(pid))).collect();
    let (pids, read) = (Arc::new(pids), Arc::new(read));
    let mut out = Vec::new();
    let mut next = 0;
    while next < pids.len() {
        let Some(results) = start(&pids, next, &read) else { break };
        next += collect(&results, pids.len() - next, &mut out);
        if let Some(pid) = pids.get(next) {
            SILENT.with_borrow_mut(|silent| silent.insert(*pid));
            next += 1;
        }
    }
    out
}

/// One process, if it answers.
pub fn one<T: Send + 'static>(pid: u32, read: impl Fn(u32) -> T + Send + Sync + 'static) -> Option<T> {
    each(vec![pid], read).pop()
}

fn start<T: Send + 'static>(
    pids: &Arc<Vec<u32>>,
    from: usize,
    read: &Arc<impl Fn(u32) -> T + Send + Sync + 'static>,
) -> Option<Receiver<T>> {
    // Without room the reader stays at most one process ahead of us.
    let (tell, hear) = mpsc::sync_channel(0);
    let (pids, read) = (Arc::clone(pids), Arc::clone(read));
    // A reader that was given up ends with its read, at the latest with this process.
    let work = move || pids[from..].iter().try_for_each(|pid| tell.send(read(*pid)));
    thread::Builder::new().name(String::from("proc-reader")).spawn(work).ok()?;
    Some(hear)
}

/// How many of `expected` answers came before one did not.
fn collect<T>(results: &Receiver<T>, expected: usize, out: &mut Vec<T>) -> usize {
    for n in 0..expected {
        match results.recv_timeout(PATIENCE) {
            Ok(result) => out.push(result),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return n,
        }
    }
    expected
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read as _};

    use super::*;

    #[test]
    fn a_process_that_never_answers_is_given_up_and_not_asked_again() {
        let (never, keep) = io::pipe().unwrap();
        let never = Arc::new(never);
        let blocked = Arc::clone(&never);
        let read = move |pid: u32| if pid == 7 { (&*blocked).read(&mut [0]).map_or(0, |_| pid) } else { pid };
        assert_eq!(each(vec![5, 6, 7, 8, 9], read.clone()), [5, 6, 8, 9]);
        assert_eq!(silent(), [7]);
        assert_eq!(one(7, read), None);
        drop(keep);
    }
}
