//! Request lists: every request that the kernel holds for a connection, walked in its memory while it runs.
//!
//! Nothing is locked, so every step is checked: the back pointer of each entry, the connection of each request; and
//! only what two snapshots agree on is believed.

use std::collections::{HashMap, HashSet};

use fsd_events::{ids::split_unique, op::Op};

use super::{
    btf::Field,
    layout::{Layout, Owner, PROCESSING_HEADS, Place},
    memory::{Fault, Memory},
};

/// Longest list that is followed.
const MAX_REQUESTS: usize = 100_000;
/// Longest ring of processes that is followed.
const MAX_TASKS: usize = 200_000;
/// Longest name that a request carries.
const MAX_NAME: usize = 1024;

/// The list a request was found on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Listed {
    /// `bg_queue`: held back by `max_background`.
    Background,
    /// `iq.pending`: never read by the daemon.
    Pending,
    /// `pq.io`: being copied to or from the daemon.
    Copying,
    /// `pq.processing`: read by the daemon, unanswered.
    Processing,
}

/// A request in kernel memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its address: the identity of a request that has no number yet.
    pub address: u64,
    pub listed: Listed,
    /// Without the resend bit; 0 while it is held back.
    pub unique: u64,
    pub resent: bool,
    pub opcode: u32,
    pub nodeid: u64,
    pub uid: u32,
    /// Of the client, in the daemon's pid namespace; 0 for the kernel's own.
    pub pid: u32,
    pub force: bool,
    pub background: bool,
    pub interrupted: bool,
    pub fh: Option<u64>,
    pub off: Option<u64>,
    pub len: Option<u64>,
    pub name: Option<String>,
    /// Ticks, as `jiffies` counts.
    pub created: Option<u64>,
}

impl Request {
    /// The operation; None for one that this program does not know.
    pub fn op(&self) -> Option<Op> {
        Op::from_opcode(self.opcode)
    }
}

/// A connection's lists at one moment, as far as they held still.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub requests: Vec<Request>,
    /// Lists that changed under the walk, so that their rest is missing.
    pub torn: u32,
    pub jiffies: u64,
    pub numbers: HashMap<&'static str, u64>,
}

impl Snapshot {
    /// What both saw, with the state of `self`, the later one: an entry of freed memory is in one of them at most.
    pub fn confirmed_by(mut self, earlier: &Self) -> Self {
        let key = |r: &Request| (r.address, r.unique, r.opcode, r.nodeid);
        // A held-back request gets its number when it moves on: 0 in the earlier snapshot fits any number.
        let seen: HashSet<_> = earlier.requests.iter().map(key).collect();
        let fits = |r: &Request| seen.contains(&key(r)) || seen.contains(&(r.address, 0, r.opcode, r.nodeid));
        self.requests.retain(fits);
        self.torn += earlier.torn;
        self
    }
}

/// Walks one kernel's memory.
#[derive(Debug)]
pub struct Walker<'a, M> {
    pub memory: &'a M,
    pub layout: &'a Layout,
}

impl<M: Memory> Walker<'_, M> {
    /// The connection behind an open fusectl file of ours.
    ///
    /// # Errors
    /// When the memory cannot be read.
    pub fn connection_of_door(&self, fd: u32) -> Result<u64, Fault> {
        let file = self.file(self.memory.current(), fd)?;
        let inode = self.memory.at(file, self.layout.task.f_inode)?;
        self.memory.at(inode, self.layout.task.i_private)
    }

    /// The connection behind a daemon's `/dev/fuse` descriptor; None when no such process is found, or it has not
    /// mounted anything.
    ///
    /// # Errors
    /// When the memory cannot be read.
    pub fn connection_of_daemon(&self, pid: u32, fd: u32) -> Result<Option<u64>, Fault> {
        let Some(task) = self.task(pid)? else { return Ok(None) };
        let file = self.file(task, fd)?;
        let dev = self.memory.at(file, self.layout.task.private_data)? & !3;
        if dev == 0 {
            return Ok(None);
        }
        let owner = self.memory.at(dev, self.layout.dev.fc)?;
        let conn = match (self.layout.conn.chan, self.layout.conn.of_chan) {
            (None, _) => owner,
            (Some(_), Some(back)) => self.memory.at(owner, back)?,
            (Some(_), None) => 0,
        };
        Ok((conn != 0).then_some(conn))
    }

    /// The number of the connection behind a daemon's descriptor.
    ///
    /// # Errors
    /// As [`Self::connection_of_daemon`].
    pub fn number_of_daemon(&self, pid: u32, fd: u32) -> Result<Option<u64>, Fault> {
        let conn = self.connection_of_daemon(pid, fd)?;
        conn.map(|conn| self.number(conn, self.layout.conn.dev)).transpose()
    }

    /// Whether that address is the connection of that number: a check against a stale pointer.
    pub fn is_connection(&self, conn: u64, number: u64) -> bool {
        conn != 0 && self.number(conn, self.layout.conn.dev) == Ok(number)
    }

    fn task(&self, pid: u32) -> Result<Option<u64>, Fault> {
        let (start, tasks) = (self.memory.current(), self.layout.task.tasks);
        let mut task = start;
        for _ in 0..MAX_TASKS {
            if self.u32(task.wrapping_add(self.layout.task.tgid))? == pid {
                return Ok(Some(task));
            }
            task = self.memory.at(task, tasks)?.wrapping_sub(tasks);
            if task == start {
                break;
            }
        }
        Ok(None)
    }

    fn file(&self, task: u64, fd: u32) -> Result<u64, Fault> {
        let at = &self.layout.task;
        let files = self.memory.at(task, at.files)?;
        let table = self.memory.at(files, at.fdt)?;
        if self.u32(table.wrapping_add(at.max_fds))? <= fd {
            return Err(Fault(table));
        }
        self.memory.at(self.memory.at(table, at.fd)?, u64::from(fd) * 8)
    }

    /// All lists of a connection.
    ///
    /// # Errors
    /// When the connection itself cannot be read; a list that cannot counts as torn.
    pub fn snapshot(&self, conn: u64) -> Result<Snapshot, Fault> {
        let at = &self.layout.conn;
        let queues = self.queues(conn)?;
        let mut walk = Walk { walker: self, conn, queues, mounts: HashMap::new(), out: Snapshot::default() };
        for (name, place, field) in &at.numbers {
            let base = if *place == Place::Chan { queues } else { conn };
            walk.out.numbers.insert(name, self.number(base, *field)?);
        }
        // Against the flow: a request that moves on during the walk is seen twice rather than not at all.
        for dev in self.entries(queues.wrapping_add(at.devices), self.layout.dev.entry) {
            walk.device(dev);
        }
        walk.list(queues.wrapping_add(at.pending), Listed::Pending);
        walk.list(queues.wrapping_add(at.bg_queue), Listed::Background);
        for dev in self.entries(queues.wrapping_add(at.devices), self.layout.dev.entry) {
            walk.device(dev);
        }
        let mut out = walk.out;
        out.jiffies = self.memory.jiffies();
        deduplicate(&mut out.requests);
        Ok(out)
    }

    fn queues(&self, conn: u64) -> Result<u64, Fault> {
        self.layout.conn.chan.map_or(Ok(conn), |chan| self.memory.at(conn, chan))
    }

    /// Addresses of the structures on a short list; the part before a tear.
    pub(super) fn entries(&self, head: u64, offset: u64) -> Vec<u64> {
        let mut out = Vec::new();
        let (mut before, mut at) = (head, self.memory.u64(head).unwrap_or(head));
        while at != head && out.len() < MAX_REQUESTS {
            let Ok([next, prev]) = self.links(at) else { break };
            if prev != before {
                break;
            }
            out.push(at.wrapping_sub(offset));
            (before, at) = (at, next);
        }
        out
    }

    fn links(&self, at: u64) -> Result<[u64; 2], Fault> {
        let mut raw = [0; 16];
        self.memory.read(at, &mut raw)?;
        Ok([word(&raw, 0), word(&raw, 8)])
    }

    fn u32(&self, address: u64) -> Result<u32, Fault> {
        let mut raw = [0; 4];
        self.memory.read(address, &mut raw)?;
        Ok(u32::from_ne_bytes(raw))
    }

    fn number(&self, base: u64, field: Field) -> Result<u64, Fault> {
        let mut raw = [0; 8];
        let size = usize::try_from(field.size.clamp(1, 8)).unwrap_or(8);
        self.memory.read(base.wrapping_add(field.offset), &mut raw[..size])?;
        let value = u64::from_le_bytes(raw);
        Ok(match field.bits {
            Some((shift, width)) => value >> shift & ((1 << width.min(32)) - 1),
            None => value,
        })
    }
}

/// A request may be seen on two lists, moving: the later list in its life wins.
fn deduplicate(requests: &mut Vec<Request>) {
    requests.sort_by_key(|r| (r.address, r.unique, std::cmp::Reverse(r.listed as u8)));
    requests.dedup_by_key(|r| (r.address, r.unique));
    requests.sort_by_key(|r| if r.unique == 0 { u64::MAX } else { r.unique });
}

/// One snapshot in the making.
struct Walk<'a, 'b, M> {
    walker: &'a Walker<'b, M>,
    conn: u64,
    queues: u64,
    /// Whether a `fuse_mount` belongs to this connection.
    mounts: HashMap<u64, bool>,
    out: Snapshot,
}

impl<M: Memory> Walk<'_, '_, M> {
    fn device(&mut self, dev: u64) {
        let at = &self.walker.layout.dev;
        self.list(dev.wrapping_add(at.io), Listed::Copying);
        let mut heads = vec![0; PROCESSING_HEADS as usize * 16];
        let first = self.walker.memory.at(dev, at.processing);
        let read = first.and_then(|first| self.walker.memory.read(first, &mut heads).map(|()| first));
        let Ok(first) = read else {
            self.out.torn += 1;
            return;
        };
        for n in 0..PROCESSING_HEADS {
            let head = first.wrapping_add(n * 16);
            if word(&heads, n as usize * 16) != head {
                self.list(head, Listed::Processing);
            }
        }
    }

    fn list(&mut self, head: u64, listed: Listed) {
        if self.follow(head, listed).is_none() {
            self.out.torn += 1;
        }
    }

    /// None when the list tore: the rest cannot be trusted.
    fn follow(&mut self, head: u64, listed: Listed) -> Option<()> {
        let (memory, at) = (self.walker.memory, &self.walker.layout.req);
        let mut bytes = vec![0; usize::try_from(at.size).ok()?.min(super::memory::CHUNK)];
        let (mut before, mut entry) = (head, memory.u64(head).ok()?);
        for _ in 0..MAX_REQUESTS {
            if entry == head {
                return Some(());
            }
            let address = entry.wrapping_sub(at.list);
            memory.read(address, &mut bytes).ok()?;
            let list = usize::try_from(at.list).ok()?;
            if word(&bytes, list + 8) != before || !self.is_ours(&bytes) {
                return None;
            }
            let request = self.request(address, listed, &bytes);
            self.out.requests.push(request);
            (before, entry) = (entry, word(&bytes, list));
        }
        None
    }

    fn is_ours(&mut self, bytes: &[u8]) -> bool {
        match self.walker.layout.req.owner {
            Owner::Chan { chan } => word(bytes, chan as usize) == self.queues,
            Owner::Mount { fm, fc } => {
                let (memory, conn) = (self.walker.memory, self.conn);
                let mount = word(bytes, fm as usize);
                *self.mounts.entry(mount).or_insert_with(|| memory.u64(mount.wrapping_add(fc)) == Ok(conn))
            }
        }
    }

    fn request(&self, address: u64, listed: Listed, bytes: &[u8]) -> Request {
        let at = &self.walker.layout.req;
        let short = |offset: u64| word(bytes, offset as usize) & 0xffff_ffff;
        let flags = word(bytes, at.flags as usize);
        let flag = |bit: u32| flags >> bit & 1 != 0;
        let (unique, resent) = split_unique(word(bytes, at.unique as usize));
        let mut request = Request {
            address,
            listed,
            unique: unique.0,
            resent,
            opcode: short(at.opcode) as u32,
            nodeid: word(bytes, at.nodeid as usize),
            uid: short(at.uid) as u32,
            pid: short(at.pid) as u32,
            force: flag(at.flag_bits.force),
            background: flag(at.flag_bits.background),
            interrupted: flag(at.flag_bits.interrupted),
            fh: None,
            off: None,
            len: None,
            name: None,
            created: at.create_time.map(|at| word(bytes, at as usize)),
        };
        self.arguments(&mut request, word(bytes, at.args as usize));
        request
    }

    /// Adds what the operation's arguments say; nothing when they cannot be read.
    fn arguments(&self, request: &mut Request, args: u64) {
        let Some(op) = request.op() else { return };
        match op {
            Op::Read | Op::Readdir | Op::Readdirplus | Op::Write => {
                let Some(raw) = self.argument(args, 0, 24) else { return };
                (request.fh, request.off) = (Some(word(&raw, 0)), Some(word(&raw, 8)));
                request.len = Some(word(&raw, 16) & 0xffff_ffff);
            }
            Op::Release | Op::Releasedir | Op::Flush | Op::Fsync | Op::Fsyncdir => {
                request.fh = self.argument(args, 0, 8).map(|raw| word(&raw, 0));
            }
            Op::Lookup | Op::Unlink | Op::Rmdir | Op::Symlink | Op::Removexattr => {
                // Since 6.14 argument 0 is an empty one, for extensions.
                request.name = self.text(args, 0).or_else(|| self.text(args, 1));
            }
            Op::Mkdir | Op::Mknod | Op::Create | Op::Rename | Op::Rename2 | Op::Link | Op::Getxattr | Op::Setxattr => {
                request.name = self.text(args, 1);
            }
            _ => {}
        }
    }

    /// The first `want` bytes of input argument `n`.
    fn argument(&self, args: u64, n: u64, want: usize) -> Option<Vec<u8>> {
        let raw = self.whole_argument(args, n, want)?;
        (raw.len() == want).then_some(raw)
    }

    fn text(&self, args: u64, n: u64) -> Option<String> {
        let raw = self.whole_argument(args, n, MAX_NAME)?;
        let name = raw.split(|b| *b == 0).next()?;
        (!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned())
    }

    fn whole_argument(&self, args: u64, n: u64, limit: usize) -> Option<Vec<u8>> {
        let (memory, at) = (self.walker.memory, &self.walker.layout.req);
        let slot = args.wrapping_add(at.in_args + n * at.arg_step);
        let size = usize::try_from(self.walker.u32(slot.wrapping_add(at.arg_size)).ok()?).ok()?;
        let mut raw = vec![0; size.min(limit)];
        let value = memory.at(slot, at.arg_value).ok()?;
        if raw.is_empty() || memory.read(value, &mut raw).is_err() { None } else { Some(raw) }
    }
}

/// Eight bytes as a number; 0 beyond the end.
fn word(bytes: &[u8], at: usize) -> u64 {
    let raw = bytes.get(at..at.saturating_add(8)).and_then(|b| b.try_into().ok());
    let tail = || bytes.get(at..).unwrap_or_default().iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
    raw.map_or_else(tail, u64::from_ne_bytes)
}

#[cfg(test)]
#[path = "lists_tests.rs"]
pub(super) mod tests;
