//! The crowd: a process with 64 threads, each stuck in a way of its own below thirteen frames, that dumps itself.
#![expect(unsafe_code, reason = "some ways to be stuck have no safe interface")]

use std::{
    ffi::{c_int, c_void},
    hint::black_box,
    io::Read,
    os::{
        fd::AsRawFd,
        unix::net::{UnixDatagram, UnixStream},
    },
    path::PathBuf,
    ptr,
    sync::{
        Condvar, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use fsd::{
    observe::{
        locks::{self, Class, Rank},
        stacks::{self, StacksConfig},
    },
    platform::clock,
};
use fsd_events::stacks::{Cause, Reason};

use crate::{gate, late};

/// How a thread is stuck.
type Stuck = fn();

pub(crate) const THREADS: usize = 64;
/// Frames of `descend` below the stuck call.
pub(crate) const DEPTH: u32 = 13;

static INODES: Class = Class::new("inode_table", Rank::Tree);
static TABLE: OnceLock<locks::Mutex<u32>> = OnceLock::new();
static READY: AtomicUsize = AtomicUsize::new(0);
/// Longest time that the spinning thread lost at once during a dump, nanoseconds.
static LOST_NS: AtomicU64 = AtomicU64::new(0);

const WAYS: &[(&str, Stuck)] = &[
    ("lock", on_lock),
    ("condvar", on_condvar),
    ("park", on_park),
    ("sleep", asleep),
    ("pipe", on_pipe),
    ("recv", on_recv),
    ("timed-recv", on_timed_recv),
    ("poll", on_poll),
    ("epoll", on_epoll),
];

/// What to do with the crowd: `DIR`, then words: `malloc` (lock it), `vfork` (one thread in state D), `procfs`
/// (no signals), `deep`, `late`, `limits`,
/// `library` (load one first), `spin` (also with `vfork`).
pub(crate) fn run(args: &[String]) {
    let has = |word: &str| args.iter().any(|arg| arg == word);
    let config = StacksConfig {
        dir: PathBuf::from(&args[0]),
        keep: 3,
        gap: Duration::ZERO,
        signal: !has("procfs"),
        symbolize: false,
        mount: Some("/mnt/a \"b\"".into()),
        tables: None,
    };
    stacks::install(config).unwrap();
    if has("late") {
        return late::run();
    }
    let table = TABLE.get_or_init(|| locks::Mutex::new(&INODES, 0).keyed(7));
    let held = table.lock();
    start(has("vfork"), has("deep"), has("spin"));
    wait_until_asleep(THREADS - 2);
    if has("library") {
        load_library();
        stacks::refresh();
    }
    // As the watchdog does soon after the start.
    stacks::rehearse();
    if has("malloc") {
        gate::lock();
        start_allocator();
        wait_until_asleep(THREADS - 1);
    }
    let begun = clock::now();
    let dumped = stacks::dump(Reason { cause: Cause::Stall, oldest_ms: Some(12_004), repeat: Some(0) });
    let took = begun.elapsed();
    // Again with warm pages: the figure that a person means by "pause".
    LOST_NS.store(0, Ordering::Relaxed);
    let warm = clock::now();
    let again = stacks::dump(Reason::default());
    let warm = warm.elapsed();
    gate::unlock();
    println!("{}", dumped.unwrap());
    let lost = LOST_NS.swap(0, Ordering::Relaxed);
    // As long as the dump took, without one: what the clock shows by itself on this machine now.
    let idle = clock::now();
    while idle.elapsed() < warm {
        std::hint::spin_loop();
    }
    let alone = LOST_NS.load(Ordering::Relaxed);
    println!("cold {took:?} warm {warm:?} longest pause {lost} ns, {alone} ns without a dump");
    println!("ns {} {} {lost} {alone}", took.as_nanos(), warm.as_nanos());
    again.unwrap();
    if has("limits") {
        limits();
    }
    drop(held);
    std::process::exit(0);
}

/// A library that nothing here is linked with.
fn load_library() {
    for name in [c"libnss_compat.so.2", c"libutil.so.1", c"libanl.so.1"] {
        // SAFETY: libraries of the C library itself, whose constructors do nothing of note.
        if !unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) }.is_null() {
            println!("loaded {}", name.to_str().unwrap());
            return;
        }
    }
    println!("loaded nothing");
}

fn limits() {
    let all: Vec<_> =
        (0..6).map(|_| thread::Builder::new().spawn(|| stacks::dump(Reason::default())).unwrap()).collect();
    for dump in all {
        println!("{:?}", dump.join().unwrap().map(|name| name.to_string()));
    }
}

fn start(vfork: bool, deep: bool, spin: bool) {
    let others: &[(&str, Stuck)] = match (vfork, deep, spin) {
        (true, _, true) => &[("vfork", in_vfork), ("spin", spinning)],
        (true, ..) => &[("vfork", in_vfork)],
        (_, true, _) => &[("deep", descend_far)],
        _ => &[("spin", spinning)],
    };
    // The main thread dumps; a slot stays for the one that malloc catches.
    for n in 0..THREADS - 2 {
        let (name, stuck) = others.get(n).copied().unwrap_or(WAYS[n % WAYS.len()]);
        let work = move || {
            READY.fetch_add(1, Ordering::SeqCst);
            descend(DEPTH, stuck);
        };
        thread::Builder::new().name(name.into()).spawn(work).unwrap();
    }
}

/// A thread that malloc catches: started before, it finds the gate locked. pthread's stack needs no malloc of ours,
/// but std's `Builder` does, so it is started by hand.
fn start_allocator() {
    extern "C" fn allocate(_: *mut c_void) -> *mut c_void {
        READY.fetch_add(1, Ordering::SeqCst);
        descend(DEPTH, || drop(black_box(Box::new(1))));
        ptr::null_mut()
    }
    let mut thread = 0;
    // SAFETY: the function lives as long as the process and takes no argument.
    unsafe { libc::pthread_create(&raw mut thread, ptr::null(), allocate, ptr::null_mut()) };
}

/// Every thread has begun, and the kernel shows none of them on the way to its place.
fn wait_until_asleep(threads: usize) {
    let own = fsd::platform::thread::tid();
    let all_asleep = || {
        let mut buffer = [0; 512];
        (0..=u32::from(u16::MAX)).filter_map(|n| own.checked_add(n)).take(400).all(|tid| {
            let stat = small_file(format_args!("/proc/self/task/{tid}/stat"), &mut buffer);
            let running = stat.windows(3).any(|w| w == b") R");
            let spinning = stat.windows(6).any(|w| w == b"(spin)");
            !running || spinning || tid == own
        })
    };
    while READY.load(Ordering::SeqCst) < threads || !all_asleep() {
        nap();
    }
    // Asleep once may be a page fault: look again a little later.
    (0..20).for_each(|_| nap());
}

fn small_file<'b>(path: std::fmt::Arguments<'_>, buffer: &'b mut [u8]) -> &'b [u8] {
    use std::io::Write;
    let mut name = [0; 64];
    let mut rest = &mut name[..];
    let _fits = write!(rest, "{path}");
    let len = 64 - rest.len();
    let path = std::str::from_utf8(&name[..len]).unwrap();
    let got = std::fs::File::open(path).and_then(|mut file| file.read(buffer)).unwrap_or(0);
    &buffer[..got]
}

pub(crate) fn nap() {
    let time = libc::timespec { tv_sec: 0, tv_nsec: 5_000_000 };
    // SAFETY: reads one timespec on this stack.
    unsafe { libc::nanosleep(&raw const time, ptr::null_mut()) };
}

#[inline(never)]
pub(crate) fn descend(depth: u32, stuck: impl Fn() + Copy) {
    match depth {
        0 | 1 => stuck(),
        _ => descend(depth - 1, stuck),
    }
    black_box(depth);
}

fn descend_far() {
    descend(700, asleep);
}

fn on_lock() {
    *TABLE.get().unwrap().lock() += 1;
}

#[expect(clippy::disallowed_types, reason = "the crowd sits in every lock there is")]
fn on_condvar() {
    let lock = std::sync::Mutex::new(());
    let guard = lock.lock().unwrap();
    drop(Condvar::new().wait_while(guard, |()| true));
}

fn on_park() {
    loop {
        thread::park();
    }
}

fn asleep() {
    loop {
        let time = libc::timespec { tv_sec: 1000, tv_nsec: 0 };
        // SAFETY: reads one timespec on this stack.
        unsafe { libc::nanosleep(&raw const time, ptr::null_mut()) };
    }
}

fn on_pipe() {
    let (mut read, write) = std::io::pipe().unwrap();
    assert_eq!(read.read(&mut [0]).unwrap(), 0);
    drop(write);
}

fn on_recv() {
    let (mut one, other) = UnixStream::pair().unwrap();
    assert_eq!(one.read(&mut [0]).unwrap(), 0);
    drop(other);
}

fn on_timed_recv() {
    let socket = UnixDatagram::unbound().unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1000))).unwrap();
    loop {
        // A dump ends a timed receive with EINTR, once; that is no failure.
        assert_eq!(socket.recv(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::Interrupted);
    }
}

fn on_poll() {
    loop {
        // SAFETY: no descriptors.
        unsafe { libc::poll(ptr::null_mut(), 0, -1) };
    }
}

fn on_epoll() {
    let (end, _other) = UnixStream::pair().unwrap();
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
    // SAFETY: descriptors of our own and one event on this stack.
    unsafe {
        let epoll = libc::epoll_create1(libc::EPOLL_CLOEXEC);
        libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, end.as_raw_fd(), &raw mut event);
        loop {
            libc::epoll_wait(epoll, &raw mut event, 1, -1);
        }
    }
}

/// Uses its processor and notices what the handler took of its time: on the thread's own clock, because on the wall's
/// it would see every other program of the machine.
fn spinning() {
    let mut before = thread_ns();
    loop {
        let now = thread_ns();
        LOST_NS.fetch_max(now - before, Ordering::Relaxed);
        before = now;
    }
}

fn thread_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec on this stack.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// State D without FUSE: the parent of a vfork waits, unreachable for signals, until its child is gone.
fn in_vfork() {
    extern "C" fn child(_: *mut c_void) -> c_int {
        // SAFETY: both touch no memory; the child dies with its parent.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            loop {
                libc::pause();
            }
        }
    }
    let mut stack = vec![0_u8; 64 * 1024];
    let top = stack.as_mut_ptr_range().end;
    // SAFETY: the child runs on a stack of its own, which this thread keeps alive while it waits.
    unsafe { libc::clone(child, top.cast(), libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD, ptr::null_mut()) };
}
