//! The dumper: everything a dump needs, allocated beforehand; one dump at a time.

use std::{
    ffi::{CStr, CString},
    fmt,
    fs::{File, OpenOptions},
    io,
    os::unix::ffi::OsStrExt,
    path::Path,
    time::{Duration, Instant},
};

use fsd_events::stacks::{
    Capture, Cause, Doing, FileName, Fuse, Header, How, Module, NoStack, Reason, Section, StackSource, Symbols,
    ThreadHead, Writer,
};
use fsd_unwind::{Memory, Trace};

use super::{
    DumpError, InstallError, SERVING, StacksConfig,
    code::Code,
    copies::{Copies, SLOTS},
    findings::Findings,
    fixed::{Buffered, Fixed, read},
    keep, system,
    system::Own,
    tables::Tables,
    threads::{Stack, Thread, Threads},
    trace,
};
use crate::platform::clock;

/// Longest wait for the helper that adds the names; it goes on without us afterwards.
const NAMING: Duration = Duration::from_secs(1);
/// Helpers at work at once.
const HELPERS: usize = 4;
/// Threads that may have been started between a rehearsal and a dump.
const NEWCOMERS: usize = 16;
/// A person cannot ask more often than this.
const REQUEST_GAP: Duration = Duration::from_millis(200);

pub(super) struct Dumper {
    dir: File,
    dir_path: CString,
    /// Empty: none.
    tables_path: CString,
    config: StacksConfig,
    copies: Option<Copies>,
    code: Code,
    trace: Box<Trace>,
    threads: Threads,
    tables: Tables,
    findings: Findings,
    buffer: Vec<u8>,
    installed: Instant,
    last: [Option<Instant>; Cause::ALL.len()],
    /// Helpers at work; a dump that finds no place here goes without names.
    helpers: [Option<libc::pid_t>; HELPERS],
}

impl Dumper {
    pub(super) fn new(config: StacksConfig) -> Result<Self, InstallError> {
        let dir = File::open(&config.dir).map_err(InstallError::Directory)?;
        let copies = if config.signal { Some(Copies::install().map_err(InstallError::Resources)?) } else { None };
        let c_path = |path: &Path| {
            CString::new(path.as_os_str().as_bytes()).map_err(|e| InstallError::Directory(io::Error::other(e)))
        };
        Ok(Self {
            dir,
            dir_path: c_path(&config.dir)?,
            tables_path: c_path(config.tables.as_deref().unwrap_or(Path::new("")))?,
            config,
            copies,
            code: Code::load().map_err(InstallError::Resources)?,
            trace: Box::default(),
            threads: Threads::new(SLOTS).map_err(InstallError::Resources)?,
            tables: Tables::new(),
            findings: Findings::new(),
            buffer: Vec::with_capacity(64 * 1024),
            installed: clock::now(),
            last: [None; Cause::ALL.len()],
            helpers: [None; HELPERS],
        })
    }

    /// Collects the helpers of earlier dumps that have ended; says what code is known.
    pub(super) fn tidy(&mut self) -> u64 {
        self.collect();
        self.code.mapped()
    }

    fn collect(&mut self) {
        for helper in &mut self.helpers {
            *helper = helper.filter(|pid| !system::ended(*pid));
        }
    }

    /// Goes on with other code; gives back what is to be freed.
    pub(super) fn take(&mut self, code: Code) -> Code {
        std::mem::replace(&mut self.code, code)
    }

    pub(super) fn dump(&mut self, reason: Reason) -> Result<FileName, DumpError> {
        self.collect();
        let begun = clock::now();
        self.admit(reason.cause, begun)?;
        self.threads.capture(self.copies.as_mut());
        self.tables.fill();
        let header = self.header(reason, begun);
        self.findings.find(&self.tables, &self.threads, header.fuse);
        let name = FileName(header.time_us);
        let c_name = Fixed::<64>::of(format_args!("{name}"));
        let c_name = c_name.as_c_str().ok_or(DumpError::Write(libc::ENAMETOOLONG))?;
        let file = system::create(&self.dir, c_name).map_err(DumpError::Write)?;
        self.put(&header, &file)?;
        keep::newest(&self.dir, self.config.keep);
        self.add_names(c_name);
        Ok(name)
    }

    /// Does all of a dump but ask the other threads and leave a file, so that a real one finds its memory in place:
    /// fresh pages are most of what a first dump costs, and of what its threads are kept from their work.
    pub(super) fn rehearse(&mut self) {
        let Ok(nowhere) = OpenOptions::new().write(true).open("/dev/null") else { return };
        self.threads.capture(None);
        if let Some(copies) = &mut self.copies {
            copies.warm(self.threads.all.len() + NEWCOMERS);
        }
        self.tables.fill();
        let header = self.header(Reason::default(), clock::now());
        self.findings.find(&self.tables, &self.threads, header.fuse);
        // Nothing is kept, so nothing can fail.
        let _nowhere = self.put(&header, &nowhere);
    }

    /// Writes the file through the buffer.
    fn put(&mut self, header: &Header<'_>, file: &File) -> Result<(), DumpError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut out = Buffered::new(file, &mut buffer);
        let written = self.write(header, &mut out);
        let flushed = out.finish();
        self.buffer = buffer;
        written.map_err(|fmt::Error| DumpError::Write(flushed.err().unwrap_or(libc::EIO)))?;
        flushed.map_err(DumpError::Write)
    }

    /// Refuses what comes too soon after the last dump for the same reason.
    fn admit(&mut self, cause: Cause, now: Instant) -> Result<(), DumpError> {
        let gap = if cause == Cause::Request { REQUEST_GAP.min(self.config.gap) } else { self.config.gap };
        let last = self.last.get_mut(cause as usize).ok_or(DumpError::NotInstalled)?;
        if last.is_some_and(|last| now.duration_since(last) < gap) {
            return Err(DumpError::TooSoon);
        }
        *last = Some(now);
        Ok(())
    }

    fn header(&self, reason: Reason, begun: Instant) -> Header<'static> {
        let (answered, fallback) = self.threads.counts();
        let took = |since: Instant| clock::now().duration_since(since);
        Header {
            time_us: clock::now_wall_us(),
            program: "fsd".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            os: std::env::consts::OS.into(),
            arch: std::env::consts::ARCH.into(),
            pid: std::process::id(),
            uptime_ms: u64::try_from(took(self.installed).as_millis()).ok(),
            mount: None,
            fuse: self.fuse(),
            reason,
            capture: Capture {
                how: if self.copies.is_some() { How::Signal } else { How::Procfs },
                threads: self.threads.all.len() as u64,
                answered,
                fallback,
                took_us: u64::try_from(took(begun).as_micros()).unwrap_or(u64::MAX),
            },
            symbols: Symbols::None,
            extra: Vec::new(),
        }
    }

    fn fuse(&self) -> Option<Fuse> {
        let [major, minor, workers] = SERVING.get().copied()?;
        let mut buffer = [0; 32];
        let waiting = read(format_args!("/sys/fs/fuse/connections/{minor}/waiting"), &mut buffer);
        let idle = self.threads.all.iter().filter(|t| t.doing == Doing::FuseIdle).count();
        Some(Fuse {
            major,
            minor,
            waiting: str::from_utf8(waiting).ok().and_then(|text| text.trim_ascii().parse().ok()),
            inflight: self.tables.ops.len() as u64,
            workers,
            busy: workers.saturating_sub(u32::try_from(idle).unwrap_or(u32::MAX)),
        })
    }

    fn write(&mut self, header: &Header<'_>, out: &mut dyn fmt::Write) -> fmt::Result {
        let mut writer = Writer::new(out);
        let w = &mut writer;
        // The mount point is borrowed here, because an owned one would be copied.
        w.header(&Header { mount: self.config.mount.as_deref().map(Into::into), ..header.clone() })?;
        if let Some((threads, median, longest)) = self.threads.pauses() {
            w.extra("paused", format_args!("threads={threads} median_ns={median} longest_ns={longest}"))?;
        }
        self.modules(w)?;
        let tables = &self.tables;
        w.section(Section::Ops, tables.ops.len())?;
        tables.ops.iter().try_for_each(|op| w.op(&tables.op(op)))?;
        w.section(Section::Locks, tables.locks().len())?;
        for lock in tables.locks() {
            let Some(head) = lock.head() else { continue };
            w.lock(&head, lock.holders.len(), lock.waiters.len())?;
            lock.holders.iter().try_for_each(|holder| w.holder(&tables.user(holder)))?;
            lock.waiters.iter().try_for_each(|waiter| w.waiter(&tables.user(waiter)))?;
        }
        w.section(Section::Findings, self.findings.all().len())?;
        self.findings.all().try_for_each(|finding| w.finding(&finding))?;
        w.section(Section::Threads, self.threads.all.len())?;
        for at in 0..self.threads.all.len() {
            self.thread(at, w)?;
        }
        w.section(Section::Tasks, self.tables.tasks.len())?;
        self.tables.tasks.iter().try_for_each(|task| w.task(&self.tables.task(task)))?;
        writer.finish()
    }

    fn modules(&self, w: &mut Writer<'_>) -> fmt::Result {
        for (number, image) in self.code.walker.images().iter().enumerate() {
            w.module(&Module {
                number: u32::try_from(number).unwrap_or(u32::MAX),
                start: image.range.start,
                end: image.range.end,
                base: image.base,
                build_id: image.build_id.as_str().into(),
                path: image.path.as_str().into(),
            })?;
        }
        Ok(())
    }

    fn thread(&mut self, at: usize, w: &mut Writer<'_>) -> fmt::Result {
        let thread = self.threads.all[at];
        let stack = self.walk(&thread);
        let wait = self.tables.wait_of(thread.tid);
        let kernel_stack = thread.kernel_stack();
        let tables = &self.tables;
        let own = || tables.ops.iter().find(|op| op.tid == thread.tid);
        let waiting = wait.as_ref().map(|(_, waiter)| (Some(waiter.op), tables.ms_since(waiter.since_us)));
        let idle = thread.doing == Doing::FuseIdle;
        let working = || own().filter(|_| !idle).map(|op| (Some(op.id), tables.ms_since(op.since_us)));
        let (op, age_ms) = waiting.or_else(working).map_or((None, None), |(op, age)| (op, Some(age)));
        w.thread(&ThreadHead {
            tid: thread.tid,
            comm: thread.comm.as_str().into(),
            doing: if wait.is_some() { Doing::LockWait } else { thread.doing },
            age_ms,
            op: op.filter(|op| op.0 != 0),
            state: thread.state,
            wchan: Some(thread.wchan.as_str()).filter(|wchan| !wchan.is_empty()).map(Into::into),
            syscall: thread.syscall,
            cpu_ms: Some(thread.cpu_ms),
            kstack: Some(kernel_stack.as_str()).filter(|stack| !stack.is_empty()).map(Into::into),
            stack,
        })?;
        if let Some((wait, _)) = &wait {
            w.waiting(wait)?;
        }
        trace::holdings(tables, thread.tid, w)?;
        match stack {
            StackSource::None(_) => Ok(()),
            _ => trace::write(&self.code.walker, &self.trace, w),
        }
    }

    /// Walks the thread's stack into `self.trace`.
    fn walk(&mut self, thread: &Thread) -> StackSource {
        let (walker, trace) = (&mut self.code.walker, &mut *self.trace);
        match thread.stack {
            Stack::Asked(_) => StackSource::None(NoStack::NoAnswer),
            Stack::None(why) => StackSource::None(why),
            Stack::Copied(asked) => {
                let Some((registers, copy)) = asked.copy() else { return StackSource::None(NoStack::NoAnswer) };
                let mut word =
                    |address: u64| trace::word_of(copy, registers.sp, address).or_else(|| live_word(address));
                walker.walk(&registers, &mut word, trace);
                StackSource::Signal
            }
            Stack::Live(at) => {
                walker.walk_blocked(at.pc, at.sp, &mut live_word, &Own, trace);
                match (thread.still_at(at), trace.rooted()) {
                    (false, _) => StackSource::None(NoStack::NoAnswer),
                    (true, true) => StackSource::Procfs,
                    (true, false) => StackSource::ProcfsPartial,
                }
            }
        }
    }

    /// Starts the helper that replaces the file by one with names, and gives it a moment.
    fn add_names(&mut self, name: &CStr) {
        let Some(place) = self.helpers.iter().position(Option::is_none).filter(|_| self.config.symbolize) else {
            return;
        };
        let mut path = Fixed::<512>::of(format_args!("{}/", self.dir_path.to_str().unwrap_or_default()));
        let fits = fmt::Write::write_str(&mut path, name.to_str().unwrap_or_default()).is_ok();
        let Some(path) = path.as_c_str().filter(|_| fits) else { return };
        let arguments = [c"fsd", c"symbolize", path, self.tables_path.as_c_str()];
        let given = if self.tables_path.is_empty() { 3 } else { 4 };
        self.helpers[place] = system::spawn(c"/proc/self/exe", &arguments[..given]);
        let begun = clock::now();
        while let Some(pid) = self.helpers[place] {
            if system::ended(pid) {
                self.helpers[place] = None;
            } else if clock::now().duration_since(begun) > NAMING {
                return;
            } else {
                system::nap();
            }
        }
    }
}

fn live_word(address: u64) -> Option<u64> {
    let mut word = [0; 8];
    (Own.read(address, &mut word) == 8).then(|| u64::from_ne_bytes(word))
}
