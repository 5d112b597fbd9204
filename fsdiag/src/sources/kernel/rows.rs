//! Requests: the kernel's lists, the blocked clients and the daemon's threads joined into one row for each
//! unanswered request.

use fsd_events::op::Op;

use super::{
    clients::Client,
    daemon::Daemon,
    holders,
    lists::Listed,
    live::{Live, Open},
    look::{self, Look},
    peek::Seen,
    signature::Wait,
    sockets::Socket,
    sys,
    task::Task,
};
use crate::engine::fact::PendingState;

/// A daemon thread that fell asleep at most this long after the client very probably serves it; on a busy machine so
/// does one that took longer, where no other is as near.
const NEIGHBOURS_MS: [f64; 2] = [2.0, 100.0];

/// One unanswered request, from whatever source.
#[derive(Clone, Debug)]
pub struct Row {
    pub state: PendingState,
    /// Being copied to or from the daemon at this moment.
    pub copying: bool,
    /// 0: it has none yet, or only the client is known.
    pub unique: u64,
    /// None: one that this program does not know.
    pub op: Option<Op>,
    pub opcode: u32,
    /// 0: unknown.
    pub ino: u64,
    pub name: Option<String>,
    pub path: Option<String>,
    pub off: Option<u64>,
    pub len: Option<u64>,
    pub sender: Sender,
    pub age_us: Option<u64>,
    pub interrupted: bool,
    pub server: Option<Server>,
    /// What the daemon's own record calls it, where there is one.
    pub own: Option<String>,
}

/// Who sent a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sender {
    /// Process; None for the kernel's own requests.
    pub pid: Option<u32>,
    pub comm: Option<String>,
    /// It sent the request and is no more.
    pub gone: bool,
}

/// Who serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub tid: u32,
    pub comm: String,
    pub waits: String,
    /// False: inferred from when it fell asleep.
    pub sure: bool,
}

/// All requests of a look, oldest first; with what was seen live, where it was.
pub fn of(look: &Look, live: Option<&Live>) -> Vec<Row> {
    let mut rows: Vec<Row> = match &look.view {
        Some(view) => view.requests.iter().map(|seen| of_request(seen, look)).collect(),
        None => without_lists(look, live),
    };
    rows.sort_by_key(|row| (std::cmp::Reverse(row.age_us.unwrap_or(0)), row.unique));
    let reader = |row: &Row| live.and_then(|l| l.reader(row.unique)).and_then(|tid| read_by(tid, look));
    let servers: Vec<Option<Server>> =
        rows.iter().map(|row| reader(row).or_else(|| server(row, &rows, look))).collect();
    for (row, server) in rows.iter_mut().zip(servers) {
        row.server = server;
    }
    rows
}

fn of_request(seen: &Seen, look: &Look) -> Row {
    let request = &seen.request;
    let state = match request.listed {
        Listed::Background => PendingState::HeldBack,
        Listed::Pending => PendingState::Queued,
        Listed::Copying | Listed::Processing => PendingState::InDaemon,
    };
    let client = client_of(request.pid, look);
    Row {
        state,
        copying: request.listed == Listed::Copying,
        unique: request.unique,
        op: request.op(),
        opcode: request.opcode,
        ino: request.nodeid,
        name: request.name.clone(),
        path: seen.path(),
        off: request.off,
        len: request.len,
        sender: sender(request.pid),
        age_us: seen.age_us.or_else(|| client.and_then(|c| c.blocked_us)),
        interrupted: request.interrupted,
        server: None,
        own: None,
    }
}

/// What was seen live, and the blocked clients whose requests were sent before.
fn without_lists(look: &Look, live: Option<&Live>) -> Vec<Row> {
    let open = live.map(Live::open).unwrap_or_default();
    let now_ns = sys::mono_ns();
    let mut rows: Vec<Row> = open.iter().map(|(unique, open)| of_open(*unique, open, look, now_ns)).collect();
    let known = |client: &Client| open.iter().any(|(_, open)| open.tid == client.task.tid);
    let others = look.clients.iter().flatten().filter(|client| !known(client));
    rows.extend(others.filter_map(|client| of_client(client, look)));
    rows
}

fn of_open(unique: u64, open: &Open, look: &Look, now_ns: u64) -> Row {
    let client = client_of(open.tid, look);
    let op = Op::from_opcode(open.opcode);
    // The thread that flushed the queue or closed the file is not who waits.
    let sent_by_waiter = !matches!(op, Some(Op::Release | Op::Releasedir));
    Row {
        state: if open.reader.is_some() { PendingState::InDaemon } else { unread_or_not(look) },
        copying: false,
        unique,
        op,
        opcode: open.opcode,
        ino: 0,
        name: None,
        path: client.and_then(|c| c.path_in(&look.mount)),
        off: None,
        len: None,
        sender: if sent_by_waiter { sender(open.tid) } else { Sender::default() },
        age_us: Some(now_ns.saturating_sub(open.sent_ns) / 1000),
        interrupted: false,
        server: None,
        own: None,
    }
}

fn unread_or_not(look: &Look) -> PendingState {
    match look.ready {
        // Nothing unread is queued, so the daemon has it.
        Some(ready) if !ready.readable => PendingState::InDaemon,
        _ => PendingState::Unknown,
    }
}

fn read_by(tid: u32, look: &Look) -> Option<Server> {
    let daemon = look.daemon()?;
    let task = daemon.threads.iter().find(|t| t.tid == tid)?;
    Some(served(task, daemon, true))
}

/// Without the kernel's lists a client that waits for an answer stands for its request.
fn of_client(client: &Client, look: &Look) -> Option<Row> {
    if !matches!(client.task.waits()?.0, Wait::Reply | Wait::Page | Wait::Background) {
        return None;
    }
    let held_back = matches!(client.task.waits()?.0, Wait::Background);
    let state = if held_back { PendingState::HeldBack } else { unread_or_not(look) };
    Some(Row {
        state,
        copying: false,
        unique: 0,
        op: client.op,
        opcode: client.op.map_or(0, Op::opcode),
        ino: 0,
        name: None,
        path: client.path_in(&look.mount),
        off: None,
        len: None,
        sender: Sender { pid: Some(client.task.pid), comm: Some(holders::comm(client.task.pid)), gone: false },
        age_us: client.blocked_us,
        interrupted: false,
        server: None,
        own: None,
    })
}

fn client_of(tid: u32, look: &Look) -> Option<&Client> {
    look.clients.iter().flatten().find(|c| c.task.tid == tid)
}

fn sender(tid: u32) -> Sender {
    match (tid, look::process_of(tid)) {
        (0, _) => Sender::default(),
        (_, None) => Sender { pid: Some(tid), comm: None, gone: true },
        (_, Some(pid)) => Sender { pid: Some(pid), comm: Some(holders::comm(pid)), gone: false },
    }
}

/// The daemon's thread behind a request that the daemon has: the one that has it in hand, the only one there is, or the
/// one that fell asleep right after the client did.
fn server(row: &Row, rows: &[Row], look: &Look) -> Option<Server> {
    let daemon = look.daemon().filter(|_| look.daemons_sure && row.state == PendingState::InDaemon)?;
    let busy: Vec<&Task> = daemon.threads.iter().filter(|t| !is_idle(t)).collect();
    if let Some(task) = daemon.hands.get(&row.unique).and_then(|tid| busy.iter().find(|t| t.tid == *tid)) {
        return Some(served(task, daemon, true));
    }
    if let [only] = daemon.threads.as_slice() {
        let alone = rows.iter().filter(|r| r.state == PendingState::InDaemon).count() == 1;
        return (alone && !is_idle(only)).then(|| served(only, daemon, true));
    }
    let client = look.clients.iter().flatten().find(|c| Some(c.task.pid) == row.sender.pid && c.op == row.op)?;
    let slept = client.task.ran_ms?;
    // Where requests wait without a thread, one at a lock may just have nothing to do.
    let resting = |t: &&Task| daemon.parks && t.where_text().starts_with("futex");
    let near = |within: f64| {
        let near = |t: &&Task| !resting(t) && t.ran_ms.is_some_and(|ran| (0.0..within).contains(&(ran - slept)));
        busy.iter().copied().filter(near).collect::<Vec<_>>()
    };
    let nearest = NEIGHBOURS_MS.into_iter().map(near).find(|near| !near.is_empty())?;
    match nearest[..] {
        [one] => Some(served(one, daemon, false)),
        _ => None,
    }
}

fn is_idle(task: &Task) -> bool {
    matches!(task.waits(), Some((Wait::Idle, _)))
}

fn served(task: &Task, daemon: &Daemon, sure: bool) -> Server {
    Server { tid: task.tid, comm: task.comm.to_string(), waits: waits(task, daemon), sure }
}

/// What a daemon's thread waits for: kernel functions, and the peer where its system call is on a socket, or the mount
/// that it works on.
pub fn waits(task: &Task, daemon: &Daemon) -> String {
    let below = daemon.below.iter().find(|(tid, _)| *tid == task.tid).map(|(_, mount)| mount);
    match (socket(task, daemon), below) {
        (Some(socket), _) => format!("{} (tcp {} {})", task.where_text(), socket.peer, socket.state),
        (_, Some(mount)) => format!("{} (on {}, {})", task.where_text(), mount.point.display(), mount.fstype),
        _ => task.where_text(),
    }
}

/// The connection that its system call is on, or that it polls.
fn socket<'d>(task: &Task, daemon: &'d Daemon) -> Option<&'d Socket> {
    let polled = daemon.polls.iter().find(|(tid, _)| *tid == task.tid).map(|(_, fds)| fds);
    let on = |s: &&Socket| match polled {
        Some(fds) => fds.contains(&s.fd),
        None => task.syscall.is_some_and(|call| u64::from(s.fd) == call.args[0]),
    };
    let network = || ["sock", "tcp", "inet", "skb"].iter().any(|w| task.where_text().contains(w));
    daemon.sockets.iter().find(on).filter(|_| polled.is_some() || network())
}
