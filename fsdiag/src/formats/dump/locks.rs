//! Locks in stacks: which lock a thread waits for, as far as its frames say so.

use std::sync::LazyLock;

use crate::{
    engine::{
        fact::{Frame, LockRef, LockUse},
        words::Words,
    },
    formats::scan,
};

/// How many of the innermost frames may belong to the locking itself.
const REACH: usize = 10;

/// Functions of locks in C, C++ and Rust, and how they want the lock.
const NATIVE: &[(&str, LockUse)] = &[
    ("pthread_rwlock_rdlock", LockUse::Read),
    ("pthread_rwlock_timedrdlock", LockUse::Read),
    ("pthread_rwlock_wrlock", LockUse::Write),
    ("pthread_rwlock_timedwrlock", LockUse::Write),
    ("pthread_mutex_lock", LockUse::Write),
    ("pthread_mutex_timedlock", LockUse::Write),
    ("lll_lock_wait", LockUse::Write),
    ("lll_mutex_lock", LockUse::Write),
    ("RwLock::read_contended", LockUse::Read),
    ("RwLock::write_contended", LockUse::Write),
    ("Mutex::lock_contended", LockUse::Write),
    // As symbols have it since Rust spells them anew.
    ("RwLock>::read_contended", LockUse::Read),
    ("RwLock>::write_contended", LockUse::Write),
    ("Mutex>::lock_contended", LockUse::Write),
    ("RawRwLock::lock_shared_slow", LockUse::Read),
    ("RawRwLock::lock_exclusive_slow", LockUse::Write),
    ("RawRwLock::lock_upgradable_slow", LockUse::Write),
    ("RawMutex::lock_slow", LockUse::Write),
    // Every lock of Python is a semaphore of its own.
    ("PyThread_acquire_lock", LockUse::Write),
    ("tokio::sync::mutex::Mutex", LockUse::Write),
    ("tokio::sync::rwlock::RwLock", LockUse::Unknown),
];

/// The lock that a native thread waits for.
pub(super) fn native(frames: &[Frame]) -> Option<LockRef> {
    let near = &frames[..frames.len().min(REACH)];
    let (mut outermost, mut working) = (None, None);
    for (at, frame) in near.iter().enumerate() {
        match locking(frame) {
            Some((_, mode)) => outermost = Some((at, *mode)),
            None if working.is_none() && !is_waiting(frame) => working = Some(at),
            None => {}
        }
    }
    let (outermost, mode) = outermost?;
    // Frames in front of a lock function belong to it only if they wait, e.g. in a system call.
    if working.is_some_and(|working| working < outermost) {
        return None;
    }
    let address = near[..=outermost].iter().rev().find_map(|frame| address(&frame.args));
    let key = address.or_else(|| caller(&frames[outermost + 1..]))?;
    Some(LockRef { key: key.into(), mode, owner: None })
}

/// Between a lock function and the kernel; nothing but the C library itself is called by its locks.
fn is_waiting(frame: &Frame) -> bool {
    let nameless = is_nameless(frame) && frame.module.as_deref().is_some_and(|module| scan::has(module, "/libc."));
    nameless || WAITING.any(&frame.function)
}

/// The row of the lock function that a frame is in.
fn locking(frame: &Frame) -> Option<&'static (&'static str, LockUse)> {
    NAMES.first_of(&frame.function).map(|row| &NATIVE[row])
}

/// The names of [`NATIVE`]: every frame of every dump is asked.
static NAMES: LazyLock<Words> = LazyLock::new(|| Words::new(&NATIVE.iter().map(|row| row.0).collect::<Vec<_>>()));

/// What stands between a lock function and the kernel.
static WAITING: LazyLock<Words> = LazyLock::new(|| {
    let parts =
        ["futex", "syscall", "lll_", "park", "lock", "Lock", "sem_wait", "sem_clockwait", "nanosleep", "sched_yield"];
    Words::new(&[&parts[..], &["?? "]].concat())
});

/// `mutex=0x55871bba9060 <cache_lock>` among a frame's arguments, without its name.
fn address(args: &str) -> Option<String> {
    if args.is_empty() {
        return None;
    }
    let value = ["mutex=", "rwlock=", "self=", "this=", "sem=", "futex=", "futex_word="].iter().find_map(|name| {
        let at = scan::find(args, name)?;
        (at == 0 || args[..at].ends_with([' ', '('])).then(|| &args[at + name.len()..])
    })?;
    let value = scan::split(value, "@entry=").filter(|(name, _)| !name.contains([',', ' '])).map_or(value, |(_, v)| v);
    let (_, rest) = value.strip_prefix("0x").and_then(scan::hex)?;
    let digits = &value[..value.len() - rest.len()];
    let symbol = rest.strip_prefix(" <").and_then(|r| r.split_once('>')).map(|(name, _)| name);
    Some(symbol.map_or_else(|| digits.to_owned(), |name| format!("{digits} <{name}>")))
}

/// `function:line` of the first frame that is not itself about locking.
fn caller(frames: &[Frame]) -> Option<String> {
    let wraps = |f: &Frame| f.function.to_ascii_lowercase().contains("lock");
    let frame = frames.iter().take(4).find(|frame| !wraps(frame)).or(frames.first())?;
    if is_nameless(frame) {
        // Not all functions without names want one lock: those that others call are told apart by these.
        let outer = frames.iter().find(|frame| !is_nameless(frame) && !wraps(frame));
        return Some(outer.map_or_else(|| "??".into(), |outer| format!("?? below {}", outer.function)));
    }
    Some(frame.line.map_or_else(|| frame.function.to_string(), |line| format!("{}:{line}", frame.function)))
}

fn is_nameless(frame: &Frame) -> bool {
    &*frame.function == "??"
}

/// The lock that a goroutine waits for: its address where the dump shows it, else the object whose method locks.
pub(super) fn goroutine(state: &str, frames: &[Frame]) -> Option<LockRef> {
    let waits = state.starts_with("semacquire") || state.starts_with("sync.Mutex") || state.starts_with("sync.RWMutex");
    if !waits && !state.is_empty() {
        return None;
    }
    let near = &frames[..frames.len().min(REACH)];
    let is_lock = |f: &Frame| f.function.starts_with("sync.(*Mutex)") || f.function.starts_with("sync.(*RWMutex)");
    let innermost = near.iter().position(is_lock)?;
    let outermost = near.iter().rposition(is_lock)?;
    let internal = |f: &Frame| f.function.starts_with("sync.runtime_") || f.function.starts_with("internal/sync.");
    if !near[..innermost].iter().all(|f| internal(f) || f.function.starts_with("runtime.")) {
        return None;
    }
    let function = &near[outermost].function;
    let read_write = function.starts_with("sync.(*RWMutex)");
    let mode = if function.ends_with(".RLock") { LockUse::Read } else { LockUse::Write };
    let of_lock = |f: &&Frame| !f.args.is_empty() && scan::has(&f.function, "Mutex)");
    let stated = || near[innermost..=outermost].iter().rev().chain(&near[..innermost]).filter(of_lock);
    // A stale argument may be of another call: one that is none counts for more, wherever it stands.
    let own = stated().find_map(|f| certain(&f.args)).or_else(|| stated().find_map(|f| receiver(&f.args)));
    let caller = frames.get(outermost + 1)?;
    let kind = if read_write { "RWMutex" } else { "Mutex" };
    let key = match (own, receiver(&caller.args)) {
        (Some(address), _) => address.to_owned(),
        (None, Some(object)) => format!("{}({object}).{kind}", type_of(&caller.function)),
        (None, None) => caller_of(caller),
    };
    Some(LockRef { key: key.into(), mode, owner: None })
}

/// The first argument, if it is an address and not stale.
fn certain(args: &str) -> Option<&str> {
    receiver(args).filter(|address| !args[address.len()..].starts_with('?'))
}

/// The first argument, if it is an address; a `?` behind it says that it may be stale.
fn receiver(args: &str) -> Option<&str> {
    let first = args.split(',').next()?.trim_end_matches('?');
    (first.len() > 5 && first.starts_with("0x")).then_some(first)
}

/// `FS` of `example.org/fs.(*FS).Readdir`.
fn type_of(function: &str) -> &str {
    let method = scan::between(function, ".(*", ')');
    method.unwrap_or_else(|| function.rsplit('/').next().unwrap_or(function))
}

fn caller_of(frame: &Frame) -> String {
    let function = frame.function.rsplit('/').next().unwrap_or(&frame.function);
    frame.line.map_or_else(|| function.to_owned(), |line| format!("{function}:{line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, args: &str) -> Frame {
        Frame { function: function.into(), args: args.into(), ..Frame::default() }
    }

    #[test]
    fn a_mutex_is_named_by_its_address_and_symbol() {
        let frames = [
            frame("futex_wait", "private=0"),
            frame("__GI___lll_lock_wait", "futex=futex@entry=0x55871bba9060 <cache_lock>, private=0"),
            frame("___pthread_mutex_lock", "mutex=mutex@entry=0x55871bba9060 <cache_lock>"),
            frame("pf_getattr", "p=0x1"),
        ];
        assert_eq!(native(&frames).map(|l| l.key), Some("0x55871bba9060 <cache_lock>".into()));
    }

    #[test]
    fn every_lock_function_is_found_by_its_name() {
        for (name, mode) in NATIVE {
            let frames = [frame(name, ""), frame("getattr", "")];
            assert_eq!(native(&frames).map(|lock| (lock.key, lock.mode)), Some(("getattr".into(), *mode)), "{name}");
        }
    }

    #[test]
    fn without_arguments_the_caller_names_it() {
        let frames = [frame("__GI___lll_lock_wait", ""), frame("PTHREAD_MUTEX_LOCK", ""), frame("Cache_read", "")];
        assert_eq!(native(&frames).map(|l| l.key), Some("Cache_read".into()));
    }

    #[test]
    fn callers_without_names_are_told_apart_by_who_called_them() {
        let key = |outer: &[&str]| {
            let frames: Vec<_> = ["lll_lock_wait", "??", "??"].iter().chain(outer).map(|f| frame(f, "")).collect();
            native(&frames).map(|lock| lock.key)
        };
        assert_eq!(key(&["fuse_fs_read_buf", "??"]), Some("?? below fuse_fs_read_buf".into()));
        assert_ne!(key(&["fuse_fs_read_buf"]), key(&["fuse_fs_getattr"]));
        assert_eq!(key(&[]), Some("??".into()));
    }

    #[test]
    fn a_c_library_without_symbols_waits_below_its_own_lock() {
        let libc = |name| Frame { module: Some("/lib/x86_64-linux-gnu/libc.so.6".into()), ..frame(name, "") };
        let of_daemon = Frame { module: Some("/usr/bin/myfs".into()), ..frame("??", "") };
        let lock = native(&[libc("??"), libc("pthread_mutex_lock"), frame("Cache_read", "")]);
        assert_eq!(lock.map(|lock| lock.key), Some("Cache_read".into()));
        assert_eq!(native(&[of_daemon, libc("pthread_mutex_lock"), frame("Cache_read", "")]), None);
    }

    #[test]
    fn who_works_below_a_lock_call_does_not_wait_for_it() {
        assert_eq!(native(&[frame("poll", ""), frame("curl_multi_poll", ""), frame("pthread_mutex_lock", "")]), None);
    }

    #[test]
    fn an_inlined_read_lock_is_named_by_the_object() {
        let frames = [
            frame("sync.runtime_SemacquireMutex", "0x0?, 0x0?, 0x0?"),
            frame("sync.(*RWMutex).RLock", "..."),
            frame("example.org/x/fs.(*FS).lookup", "0xc0000fe070, {0xc0000a8690?, 0x6d44e3?}"),
        ];
        let lock = goroutine("semacquire", &frames).expect("it waits for a lock");
        assert_eq!((&*lock.key, lock.mode), ("FS(0xc0000fe070).RWMutex", LockUse::Read));
    }
}
