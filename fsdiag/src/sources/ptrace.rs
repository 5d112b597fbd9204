//! Ptrace: the stacks of another process, each thread stopped for the moment that copying its stack takes.
//!
//! For a daemon whose own dumper is dead or stopped, and for daemons that have none. Threads are stopped one after
//! the other, never all at once, and a thread that does not stop (state D) is read from `/proc` instead.

mod stop;

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use fsd_events::stacks::{
    Capture, Frame, Header, How, Module, NoStack, Place, Reason, StackDump, StackSource, Symbols, ThreadBlock,
    ThreadHead,
};
use fsd_unwind::{Memory, Step, Trace, Walker, image, procfs};

use stop::{Process, Stopped, now};
use time::OffsetDateTime;

/// Why a process cannot be dumped.
#[derive(Debug, thiserror::Error)]
pub enum PtraceError {
    #[error("there is no process {0}")]
    Gone(u32),
    #[error("a process cannot trace itself")]
    Own,
    #[error("{0} is a kernel thread: it has no stack of its own outside the kernel")]
    Kernel(u32),
    #[error("process {pid} is traced by {tracer} already; only one tracer is possible")]
    Traced { pid: u32, tracer: u32 },
    #[error("no right to trace process {pid}: {hint}")]
    Denied { pid: u32, hint: &'static str },
    #[error("cannot start the tracing thread")]
    Tracer(#[source] io::Error),
    #[error("cannot read the address space of {0}")]
    Maps(u32, #[source] io::Error),
}

/// What is known before the first thread is stopped.
#[derive(Clone, Debug)]
pub struct Outlook {
    pub pid: u32,
    pub comm: String,
    pub threads: usize,
}

/// Longest wait for one thread to stop.
pub const LIMIT: Duration = Duration::from_millis(20);
/// What one thread loses, as measured on two busy cores with 64 threads.
pub const USUAL_PAUSE: Duration = Duration::from_micros(200);
/// Bytes of each stack that are copied while its thread is stopped.
const COPY: usize = 256 * 1024;

/// Looks whether the process may be traced, without touching it.
///
/// # Errors
/// See [`PtraceError`].
pub fn outlook(pid: u32) -> Result<Outlook, PtraceError> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).map_err(|_| PtraceError::Gone(pid))?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if pid == std::process::id() {
        return Err(PtraceError::Own);
    }
    if field("VmSize:").is_none() {
        return Err(PtraceError::Kernel(pid));
    }
    match field("TracerPid:").and_then(|tracer| tracer.parse().ok()) {
        None | Some(0) => {}
        Some(tracer) => return Err(PtraceError::Traced { pid, tracer }),
    }
    let comm = field("Name:").unwrap_or_default().to_owned();
    Ok(Outlook { pid, comm, threads: threads(pid).len() })
}

/// What the threads lost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pauses {
    pub median: Duration,
    pub longest: Duration,
    /// Threads that did not stop.
    pub unstoppable: usize,
}

/// Takes all stacks, without names.
///
/// # Errors
/// See [`PtraceError`]; a thread that ends meanwhile or cannot be stopped is no error.
pub fn capture(outlook: &Outlook, mount: Option<&Path>) -> Result<(StackDump<'static>, Pauses), PtraceError> {
    let pid = outlook.pid;
    let process = Process::new(pid);
    let maps = fs::read(format!("/proc/{pid}/maps")).map_err(|e| match e.kind() {
        io::ErrorKind::PermissionDenied => denied(pid),
        _ => PtraceError::Maps(pid, e),
    })?;
    let mut walker = Walker::new(image::load(&maps, &process));
    let begun = now();
    // A thread of its own: its end lets everything go that was asked to stop and did not, before any of it stops
    // late and stays so for as long as names are looked up.
    let tracer = std::thread::Builder::new().name("tracer".into());
    let taken = std::thread::scope(|scope| {
        let tracer = tracer.spawn_scoped(scope, || take_all(&process));
        tracer.map(|tracer| tracer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let taken = taken.map_err(PtraceError::Tracer)??;
    let took = now().duration_since(begun);
    let pauses = pauses(&taken);
    let blocks: Vec<ThreadBlock<'static>> = taken.into_iter().map(|taken| taken.walk(&process, &mut walker)).collect();
    let fallback = |b: &&ThreadBlock<'_>| matches!(b.head.stack, StackSource::Procfs | StackSource::ProcfsPartial);
    let capture = Capture {
        how: How::Ptrace,
        threads: blocks.len() as u64,
        answered: blocks.iter().filter(|b| b.head.stack == StackSource::Ptrace).count() as u64,
        fallback: blocks.iter().filter(fallback).count() as u64,
        took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
    };
    let dump = StackDump {
        header: header(outlook, mount, capture),
        modules: modules(&walker),
        threads: blocks,
        ..StackDump::default()
    };
    Ok((dump, pauses))
}

fn take_all(process: &Process) -> Result<Vec<Taken>, PtraceError> {
    let mut taken: Vec<Taken> = Vec::new();
    // A thread that was started meanwhile is found in the second round.
    for _ in 0..2 {
        for tid in threads(process.pid()) {
            if taken.iter().all(|known| known.head.tid != tid) {
                taken.push(Taken::take(process, tid)?);
            }
        }
    }
    Ok(taken)
}

fn pauses(taken: &[Taken]) -> Pauses {
    let mut all: Vec<Duration> = taken.iter().filter_map(|t| t.stopped.as_ref().map(|s| s.pause)).collect();
    all.sort_unstable();
    Pauses {
        median: all.get(all.len() / 2).copied().unwrap_or_default(),
        longest: all.last().copied().unwrap_or_default(),
        unstoppable: taken.len() - all.len(),
    }
}

fn header(outlook: &Outlook, mount: Option<&Path>, capture: Capture) -> Header<'static> {
    Header {
        time_us: u64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1000).unwrap_or(0),
        program: outlook.comm.clone().into(),
        version: "".into(),
        os: std::env::consts::OS.into(),
        arch: std::env::consts::ARCH.into(),
        pid: outlook.pid,
        uptime_ms: None,
        mount: mount.map(|mount| mount.display().to_string().into()),
        fuse: None,
        reason: Reason::default(),
        capture,
        symbols: Symbols::None,
        extra: Vec::new(),
    }
}

fn modules(walker: &Walker) -> Vec<Module<'static>> {
    let images = walker.images().iter().zip(0..);
    let module = |(image, number): (&image::Image, u32)| Module {
        number,
        start: image.range.start,
        end: image.range.end,
        base: image.base,
        build_id: image.build_id.clone().into(),
        path: image.path.clone().into(),
    };
    images.map(module).collect()
}

/// The files that names may come from beside the modules' own paths: the executable, however it is called now.
pub fn executable(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/exe"))
}

fn threads(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut all: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    all.sort_unstable();
    all
}

/// A thread as it was found, its stack not yet walked.
struct Taken {
    head: ThreadHead<'static>,
    blocked: Option<procfs::Blocked>,
    stopped: Option<Stopped>,
}

impl Taken {
    /// Looks at the thread, then stops it for as long as copying takes.
    fn take(process: &Process, tid: u32) -> Result<Self, PtraceError> {
        let pid = process.pid();
        let read = |name: &str| fs::read(format!("/proc/{pid}/task/{tid}/{name}")).unwrap_or_default();
        let stat = read("stat");
        let stat = procfs::stat(&stat);
        let wchan = String::from_utf8_lossy(&read("wchan")).trim().to_owned();
        let (syscall, blocked) = procfs::syscall(&read("syscall"));
        let state = stat.map_or('?', |stat| stat.state);
        let head = ThreadHead {
            tid,
            comm: stat.map(|stat| String::from_utf8_lossy(stat.comm).into_owned()).unwrap_or_default().into(),
            doing: procfs::doing(state, Some(&wchan), syscall),
            age_ms: None,
            op: None,
            state,
            wchan: Some(wchan).filter(|wchan| !wchan.is_empty()).map(Into::into),
            syscall,
            cpu_ms: stat.map(|stat| stat.ticks * 10),
            kstack: kernel_stack(&read("stack")).map(Into::into),
            stack: StackSource::None(NoStack::NoAnswer),
        };
        let stopped = match process.stop(tid, LIMIT, COPY) {
            Ok(stopped) => stopped,
            Err(e) if e.raw_os_error() == Some(libc::EPERM) => return Err(denied(pid)),
            Err(_) => None,
        };
        Ok(Self { head, blocked, stopped })
    }

    fn walk(self, process: &Process, walker: &mut Walker) -> ThreadBlock<'static> {
        let mut trace = Box::<Trace>::default();
        let live = |address: u64| {
            let mut word = [0; 8];
            (process.read(address, &mut word) == 8).then(|| u64::from_ne_bytes(word))
        };
        let stack = match (&self.stopped, self.blocked) {
            (Some(stopped), _) => {
                let mut word = |address: u64| stopped.word(address).or_else(|| live(address));
                walker.walk(&stopped.registers, &mut word, &mut trace);
                StackSource::Ptrace
            }
            (None, Some(at)) => {
                walker.walk_blocked(at.pc, at.sp, &mut { live }, process, &mut trace);
                let syscall = fs::read(format!("/proc/{}/task/{}/syscall", process.pid(), self.head.tid));
                match procfs::syscall(&syscall.unwrap_or_default()).1 == Some(at) {
                    true if trace.rooted() => StackSource::Procfs,
                    true => StackSource::ProcfsPartial,
                    false => StackSource::None(NoStack::NoAnswer),
                }
            }
            (None, None) => StackSource::None(NoStack::NoAnswer),
        };
        let frames = if matches!(stack, StackSource::None(_)) { Vec::new() } else { frames(walker, &trace) };
        ThreadBlock { head: ThreadHead { stack, ..self.head }, waiting: None, holding: Vec::new(), frames }
    }
}

fn frames(walker: &Walker, trace: &Trace) -> Vec<Frame<'static>> {
    let call = |step: Step| {
        let place = walker.locate(step.lookup).map_or(Place::Unknown, |(module, offset)| Place::Module {
            module: u32::try_from(module).unwrap_or(u32::MAX),
            offset,
        });
        Frame::Call { address: Some(step.address), function: None, place }
    };
    let mut frames: Vec<Frame<'static>> = trace.inner().iter().copied().map(call).collect();
    if trace.elided() > 0 {
        frames.push(Frame::Elided(trace.elided() as u64));
    }
    frames.extend(trace.outer().map(call));
    if !trace.rooted() {
        frames.push(Frame::Truncated);
    }
    frames
}

/// Kernel functions, innermost first; None when they may not be read.
fn kernel_stack(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let functions = text.lines().filter_map(|line| line.split_once("] ")?.1.split_once('+').map(|(name, _)| name));
    let joined = functions.collect::<Vec<_>>().join(" < ");
    (!joined.is_empty()).then_some(joined)
}

fn denied(pid: u32) -> PtraceError {
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    let hint = match scope.trim() {
        "1" => "kernel.yama.ptrace_scope is 1, so only a parent or root may; try sudo",
        "2" => "kernel.yama.ptrace_scope is 2, so only root may; try sudo",
        "3" => "kernel.yama.ptrace_scope is 3: nobody may until the next boot",
        _ => "it belongs to another user, or may not be dumped; try sudo",
    };
    PtraceError::Denied { pid, hint }
}
