//! Facts: a look in the engine's terms, each with the line of text that stands for it as evidence.

use std::fmt::Write as _;

use super::{
    clients::Client,
    look::Look,
    rows::Row,
    signature::{self, Wait},
    sys,
    task::Task,
    whom,
};
use crate::engine::{
    fact::{At, BlockedTask, Burns, DaemonProcess, Fact, InputId, KernelFact, Pending, PendingState, Place, What},
    plural::{count, verb},
};

/// Facts under way to the model, with the lines they stand on.
#[derive(Debug)]
pub struct Transcript {
    input: InputId,
    at: At,
    pub facts: Vec<Fact>,
    pub lines: Vec<String>,
}

impl Transcript {
    /// Empty, with the time of now.
    pub fn new(input: InputId) -> Self {
        let at = At { mono_us: Some(sys::mono_ns() / 1000), wall_us: Some(sys::wall_us()) };
        Self { input, at, facts: Vec::new(), lines: Vec::new() }
    }

    fn add(&mut self, line: String, fact: KernelFact) {
        self.what(line, What::Kernel(Box::new(fact)));
    }

    /// Adds any fact with its line.
    pub fn what(&mut self, line: String, what: What) {
        self.lines.push(line);
        let place = Place { input: self.input, line: self.lines.len() as u64, part: 0 };
        self.facts.push(Fact { place, at: self.at, what });
    }

    /// Everything that a look says.
    pub fn look(&mut self, look: &Look, rows: &[Row]) {
        self.connection(look);
        self.daemon(look, rows);
        for row in rows {
            self.row(row, look);
        }
        for client in look.clients.iter().flatten() {
            let own = look.is_of_daemon(client.task.pid);
            self.blocked(&client.task, own, client.blocked_us, client_line(client, look, own));
        }
        for thread in look.daemon().filter(|_| look.daemons_sure).iter().flat_map(|d| &d.threads) {
            if matches!(thread.waits(), Some((Wait::ReverseNotify, _))) {
                let line = format!("daemon thread {} ({}) in {}", thread.tid, thread.comm, thread.where_text());
                self.blocked(thread, true, thread.idle_us(look.clock_ms), line);
            }
        }
    }

    fn connection(&mut self, look: &Look) {
        let connection = look.mount.connection();
        if let Some(waiting) = look.waiting {
            let line =
                format!("connection {connection}: {} {}", count(waiting, "request"), verb(waiting, "waits", "wait"));
            self.add(line, KernelFact::Waiting { connection, waiting });
        }
        if let Some(facts) = look.view.as_ref().map(|v| v.facts) {
            let max = facts.max_background.unwrap_or(0);
            let line =
                format!("connection {connection}: max_background {max}, in use {}", facts.num_background.unwrap_or(0));
            let (max_background, parallel_dirops) = (facts.max_background, facts.parallel_dirops);
            self.add(line, KernelFact::Connection { max_background, parallel_dirops });
        }
        if look.is_dead() || look.is_aborted() {
            let aborted = look.is_aborted() && !look.is_dead();
            let why = if aborted { "the connection was aborted" } else { "no process holds the device" };
            self.add(format!("connection {connection}: {why}"), KernelFact::Dead { connection, aborted });
        }
    }

    fn daemon(&mut self, look: &Look, rows: &[Row]) {
        let Some(daemon) = look.daemon().filter(|_| look.daemons_sure) else { return };
        let threads = u32::try_from(daemon.threads.len()).unwrap_or(u32::MAX);
        let idle = daemon.idle_readers();
        let stopped = daemon.is_stopped();
        let burning = look.burning.as_ref().map(|burning| Burns {
            thread: format!("thread {} ({})", burning.tid, burning.comm).into(),
            percent: burning.percent,
            over_us: burning.over_us,
        });
        let runs = burning
            .as_ref()
            .map(|b| format!(", {} runs for {} % of {:.1} s", b.thread, b.percent, b.over_us as f64 / 1e6));
        let line = format!(
            "daemon {} {}: {}, {idle} {} the device{}{}",
            daemon.comm,
            daemon.pid,
            count(threads, "thread"),
            verb(idle, "reads", "read"),
            daemon.condition(),
            runs.unwrap_or_default(),
        );
        let peers = daemon.sockets.iter().map(|s| format!("{} {}", s.peer, s.state).into()).collect();
        let (awaits, at_rest) = (whom::anybody_awaits(daemon, look, rows), whom::at_rest(look, rows));
        let comm = daemon.comm.as_str().into();
        let process = DaemonProcess { pid: daemon.pid, comm, stopped, threads, peers, burning, awaits, at_rest };
        self.add(line.clone(), KernelFact::Daemon(Box::new(process)));
        self.add(line, KernelFact::Readers { idle, threads });
    }

    fn row(&mut self, row: &Row, look: &Look) {
        // An operation that has no name here cannot be a fact; the text table still shows its number.
        let Some(op) = row.op else { return };
        let boxed = |text: &Option<String>| text.as_deref().map(Into::into);
        let pending = Pending {
            state: row.state,
            unique: row.unique,
            op,
            ino: row.ino,
            name: boxed(&row.name),
            path: boxed(&row.path),
            off: row.off,
            len: row.len,
            client_pid: row.sender.pid,
            client: boxed(&row.sender.comm),
            age_us: row.age_us,
            server: whom::serving(row, look),
        };
        self.add(line(row), KernelFact::Pending(Box::new(pending)));
    }

    fn blocked(&mut self, task: &Task, of_daemon: bool, blocked_us: Option<u64>, line: String) {
        let stack = if task.stack.is_empty() { vec![task.wchan.clone()] } else { task.stack.clone() };
        let state = task.state.map(|s| s.to_string().into());
        let pid = task.tid;
        let blocked = BlockedTask { pid, comm: task.comm.clone(), of_daemon, state, blocked_us, stack, owner: None };
        self.add(line, KernelFact::Blocked(Box::new(blocked)));
    }
}

/// The word for a state, as tables show it.
pub fn state_word(row: &Row) -> &'static str {
    match row.state {
        PendingState::HeldBack => "HELD BACK",
        PendingState::Queued => "QUEUED",
        PendingState::InDaemon if row.copying => "COPYING",
        PendingState::InDaemon => "IN DAEMON",
        PendingState::Unknown => "WAITING",
    }
}

/// One request in a line.
pub fn line(row: &Row) -> String {
    let name = row.op.map_or_else(|| format!("opcode {}", row.opcode), |op| op.to_string());
    let mut out = format!("{:<9} {name:<8}", state_word(row));
    if row.unique != 0 {
        let _ = write!(out, " #{}", row.unique);
    }
    if row.ino != 0 {
        let _ = write!(out, " node {}", row.ino);
    }
    if let Some(path) = row.path.as_ref().or(row.name.as_ref()) {
        let _ = write!(out, " {path}");
    }
    if let (Some(off), Some(len)) = (row.off, row.len) {
        let _ = write!(out, " offset {off} size {len}");
    }
    match &row.sender {
        sender if sender.gone => out.push_str(" client gone"),
        sender => {
            if let Some(pid) = sender.pid {
                let _ = write!(out, " client {} {pid}", sender.comm.as_deref().unwrap_or("?"));
            }
        }
    }
    if let Some(age) = row.age_us {
        let _ = write!(out, " age {:.1} s", age as f64 / 1e6);
    }
    if row.interrupted {
        out.push_str(" interrupted");
    }
    if let Some(own) = &row.own {
        let _ = write!(out, " = {own}");
    }
    if let Some(server) = &row.server {
        let sure = if server.sure { "served by" } else { "probably served by" };
        let _ = write!(out, ", {sure} thread {} in {}", server.tid, server.waits);
    }
    out
}

/// One blocked client in a line.
pub fn client_line(client: &Client, look: &Look, own: bool) -> String {
    let who = if own { "daemon thread" } else { "client" };
    let mut out = format!("{who} {} {}", client.task.comm, client.task.tid);
    if let Some(op) = client.op {
        let _ = write!(out, " {op}");
    }
    if let Some(path) = client.path_in(&look.mount) {
        let _ = write!(out, " {path}");
    }
    if let Some(us) = client.blocked_us {
        let _ = write!(out, " for {:.1} s", us as f64 / 1e6);
    }
    let meaning = signature::of(&client.task.stack).map(|found| found.1);
    let _ = write!(out, ": {}", meaning.map_or_else(|| client.task.where_text(), str::to_owned));
    out
}
