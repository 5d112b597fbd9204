//! The peek: all unanswered requests of a connection, those sent before we came included.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    os::fd::AsRawFd as _,
};

use super::{
    btf::{Btf, BtfError},
    holders::{self, Holder, Scan},
    layout::{Layout, Unknown},
    lists::{Request, Snapshot, Walker},
    memory::{Fault, Memory, Peek},
    sys,
};

/// Least time between the two snapshots, in milliseconds: what is freed meanwhile is used again or gone.
const APART_MS: i32 = 100;

/// Why the kernel's lists cannot be read here.
#[derive(Debug, thiserror::Error)]
pub enum PeekError {
    #[error("{0}")]
    Btf(#[from] BtfError),
    #[error("{0}")]
    Layout(#[from] Unknown),
    #[error("bpf: {0} (needs CAP_BPF and CAP_PERFMON, a kernel of 5.14 or later, and no lockdown)")]
    Load(io::Error),
    #[error("{0}")]
    Fault(#[from] Fault),
    #[error("connection {0} was not found in kernel memory")]
    NotFound(u64),
}

/// A loaded program and this kernel's offsets: good for any number of connections.
#[derive(Debug)]
pub struct Kernel {
    memory: Peek,
    layout: Layout,
}

/// What the kernel says of one connection.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Oldest first; those without a number last.
    pub requests: Vec<Seen>,
    pub facts: Facts,
    pub torn: u32,
}

/// A confirmed request with what had to be computed.
#[derive(Clone, Debug)]
pub struct Seen {
    pub request: Request,
    /// None on kernels that do not keep it.
    pub age_us: Option<u64>,
    /// Of the node, relative to the mount; None when no name is cached.
    pub node_path: Option<String>,
}

impl Seen {
    /// Path with the name that is looked up or made.
    pub fn path(&self) -> Option<String> {
        match (self.node_path.as_deref(), self.request.name.as_deref()) {
            (Some("/"), Some(name)) => Some(name.to_owned()),
            (Some(dir), Some(name)) => Some(format!("{dir}/{name}")),
            (Some(path), None) => Some(path.to_owned()),
            (None, _) => None,
        }
    }
}

/// Numbers of the connection; None where this kernel does not have them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub waiting: Option<u64>,
    pub max_background: Option<u64>,
    pub num_background: Option<u64>,
    pub active_background: Option<u64>,
    pub blocked: Option<bool>,
    pub connected: Option<bool>,
    pub aborted: Option<bool>,
    pub parallel_dirops: Option<bool>,
    pub auto_inval_data: Option<bool>,
}

impl Facts {
    fn of(numbers: &std::collections::HashMap<&'static str, u64>) -> Self {
        let number = |name| numbers.get(name).copied();
        let flag = |name| number(name).map(|n| n != 0);
        Self {
            waiting: number("num_waiting"),
            max_background: number("max_background"),
            num_background: number("num_background"),
            active_background: number("active_background"),
            blocked: flag("blocked"),
            connected: flag("connected"),
            aborted: flag("aborted"),
            parallel_dirops: flag("parallel_dirops"),
            auto_inval_data: flag("auto_inval_data"),
        }
    }
}

/// The connection in kernel memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(u64);

impl Kernel {
    /// Parses the kernel's types and loads the program.
    ///
    /// # Errors
    /// When this kernel or this user cannot.
    pub fn open() -> Result<Self, PeekError> {
        let memory = Peek::load().map_err(PeekError::Load)?;
        let layout = Layout::new(&Btf::of_kernel()?)?;
        Ok(Self { memory, layout })
    }

    fn walker(&self) -> Walker<'_, Peek> {
        // The task address must be that of this thread, not of the one that loaded the program.
        self.memory.jiffies();
        Walker { memory: &self.memory, layout: &self.layout }
    }

    /// Finds a connection: through fusectl's file, which also works when nobody serves it any more, else through
    /// a daemon's descriptor.
    ///
    /// # Errors
    /// When neither leads to a connection of that number.
    pub fn find(&self, connection: u64, door: Option<&File>, holders: &[Holder]) -> Result<Address, PeekError> {
        let walker = self.walker();
        let by_door = door.and_then(|door| behind(&walker, door));
        let by_daemon = || holders.iter().find_map(|h| walker.connection_of_daemon(h.pid, h.fd).ok().flatten());
        let is_it = |conn: &u64| walker.is_connection(*conn, connection);
        let found = by_door.filter(is_it).or_else(|| by_daemon().filter(is_it));
        found.map(Address).ok_or(PeekError::NotFound(connection))
    }

    /// A connection keeps its number when its mount is gone, and the next mount is given the same: who holds another
    /// connection than the mounted one of its number holds none.
    pub fn forget_unmounted(&self, scan: &mut Scan, door: impl Fn(u64) -> Option<File>) {
        if holders::is_contained() {
            return;
        }
        let walker = self.walker();
        let numbers: BTreeSet<u64> = scan.holders.iter().filter_map(|h| h.connection).collect();
        let mounted = |number| Some((number, behind(&walker, &door(number)?)?));
        let mounted: BTreeMap<u64, u64> = numbers.into_iter().filter_map(mounted).collect();
        for holder in &mut scan.holders {
            let Some(mounted) = holder.connection.and_then(|number| mounted.get(&number)) else { continue };
            let held = walker.connection_of_daemon(holder.pid, holder.fd);
            if held.is_ok_and(|held| held.is_some_and(|held| held != *mounted)) {
                holder.connection = None;
            }
        }
    }

    /// Finds out which connection each holder belongs to, where the kernel's files do not say so.
    pub fn tell(&self, scan: &mut Scan) {
        // Kernel memory has the numbers that processes have outside of any container.
        if scan.told || holders::is_contained() {
            return;
        }
        scan.told = true;
        let walker = self.walker();
        for holder in &mut scan.holders {
            match walker.number_of_daemon(holder.pid, holder.fd) {
                Ok(connection) => holder.connection = connection,
                Err(_) => scan.blind = true,
            }
        }
    }

    /// One unconfirmed look: cheap, and wrong about requests that come and go.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn glance(&self, at: Address) -> Result<Glance, PeekError> {
        glance(&self.walker(), at)
    }

    /// What two glances, at least a tenth of a second apart, agree on.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn confirm(&self, at: Address, earlier: &Glance) -> Result<View, PeekError> {
        let now = self.glance(at)?;
        let hertz = hertz(earlier, &now);
        let facts = Facts::of(&now.snapshot.numbers);
        let both = now.snapshot.confirmed_by(&earlier.snapshot);
        let nodes: BTreeSet<u64> = both.requests.iter().map(|r| r.nodeid).collect();
        let paths = self.walker().paths(at.0, &nodes).unwrap_or_default();
        let seen = |request: Request| seen(request, both.jiffies, hertz, &paths);
        Ok(View { requests: both.requests.into_iter().map(seen).collect(), facts, torn: both.torn })
    }

    /// Two glances and what they agree on; takes a tenth of a second.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn look(&self, at: Address) -> Result<View, PeekError> {
        let first = self.glance(at)?;
        pause();
        self.confirm(at, &first)
    }
}

/// The connection behind fusectl's file.
fn behind(walker: &Walker<'_, Peek>, door: &File) -> Option<u64> {
    walker.connection_of_door(u32::try_from(door.as_raw_fd()).ok()?).ok()
}

/// The clock is read beside the tick counter, which the walk reads last: a walk takes as long as its lists are.
fn glance<M: Memory>(walker: &Walker<'_, M>, at: Address) -> Result<Glance, PeekError> {
    let snapshot = walker.snapshot(at.0)?;
    Ok(Glance { taken_ns: sys::mono_ns(), snapshot })
}

/// Lets the time between two glances pass.
pub fn pause() {
    // Waiting for nothing with a deadline cannot fail.
    let _ = sys::poll(&[], APART_MS);
}

/// One snapshot and when it was taken.
#[derive(Clone, Debug)]
pub struct Glance {
    taken_ns: u64,
    snapshot: Snapshot,
}

impl Glance {
    /// How many requests without an answer the kernel counts.
    pub fn waiting(&self) -> Option<u64> {
        self.snapshot.numbers.get("num_waiting").copied()
    }
}

/// Ticks a second: the usual value nearest to what was counted.
fn hertz(first: &Glance, second: &Glance) -> Option<u64> {
    let ticks = second.snapshot.jiffies.checked_sub(first.snapshot.jiffies)?;
    let passed = second.taken_ns.checked_sub(first.taken_ns).filter(|ns| *ns >= 50_000_000)?;
    let measured = ticks.saturating_mul(1_000_000_000) / passed;
    [100, 250, 300, 1000].into_iter().min_by_key(|hz: &u64| hz.abs_diff(measured))
}

fn seen(request: Request, jiffies: u64, hertz: Option<u64>, paths: &BTreeMap<u64, String>) -> Seen {
    let ticks = request.created.and_then(|created| jiffies.checked_sub(created));
    let age_us = ticks.zip(hertz).map(|(ticks, hertz)| ticks.saturating_mul(1_000_000) / hertz);
    let node_path = paths.get(&request.nodeid).cloned();
    Seen { request, age_us, node_path }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::sources::kernel::lists::{
        Listed,
        tests::{CONN, Image, image, layout},
    };

    impl Seen {
        /// As kernels show a request that keep no time in it.
        pub(crate) fn without_age(opcode: u32, pid: u32) -> Self {
            let request = Request {
                address: 1,
                listed: Listed::Processing,
                unique: 8,
                resent: false,
                opcode,
                nodeid: 2,
                uid: 0,
                pid,
                force: false,
                background: false,
                interrupted: false,
                fh: None,
                off: None,
                len: None,
                name: None,
                created: None,
            };
            Self { request, age_us: None, node_path: None }
        }
    }

    /// A kernel of 250 ticks a second, whose memory takes its time when it is read first.
    struct Slow {
        image: Image,
        first_ns: Cell<u64>,
    }

    impl Memory for Slow {
        fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Fault> {
            let until = sys::mono_ns() + self.first_ns.take();
            while sys::mono_ns() < until {}
            self.image.read(address, into)
        }

        fn current(&self) -> u64 {
            self.image.current()
        }

        fn jiffies(&self) -> u64 {
            sys::mono_ns() / 4_000_000
        }
    }

    #[test]
    fn a_walk_that_takes_long_does_not_change_the_tick_rate() {
        let memory = Slow { image: image(), first_ns: Cell::new(60_000_000) };
        let layout = layout();
        let walker = Walker { memory: &memory, layout: &layout };
        let first = glance(&walker, Address(CONN)).unwrap();
        pause();
        assert_eq!(hertz(&first, &glance(&walker, Address(CONN)).unwrap()), Some(250));
    }

    fn taken(taken_ns: u64, jiffies: u64) -> Glance {
        Glance { taken_ns, snapshot: Snapshot { jiffies, ..Snapshot::default() } }
    }

    #[test]
    fn the_tick_rate_is_measured() {
        for hz in [100, 250, 300, 1000] {
            let (first, second) = (taken(0, 7), taken(104_000_000, 7 + hz / 10));
            assert_eq!(hertz(&first, &second), Some(hz));
        }
        assert_eq!(hertz(&taken(0, 0), &taken(1, 1)), None, "too close together to tell");
    }
}
