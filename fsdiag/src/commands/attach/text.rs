//! The picture: a look as text, and as the part of the JSON that only attach has.

use std::fmt::Write as _;

use serde::Serialize;

use super::{row_line, watch::Watched};
use crate::{
    engine::{
        plural::{count, verb},
        report::{Orphan, Report},
    },
    output::{self, clean::clean, paint::Paint},
    sources::kernel::{
        facts::{client_line, state_word},
        look::Look,
        rows::{self, Row},
        signature::Wait,
        sockets::Socket,
        task::Task,
    },
};

/// Most threads and requests that the text shows each.
const MOST: usize = 40;

#[derive(Serialize)]
pub(super) struct KernelPart {
    connection: u64,
    fstype: String,
    source: String,
    /// A process that sees the mount, where fsdiag does not: it is in another namespace.
    seen_by: Option<u32>,
    daemon: Option<DaemonPart>,
    max_background: Option<u64>,
    parallel_dirops: Option<bool>,
    /// Whether an unread request is queued right now.
    unread: Option<bool>,
    requests: Vec<RequestPart>,
    /// Lists that changed under the look.
    torn: Option<u32>,
    /// What was not available, and why.
    missing: Vec<String>,
}

#[derive(Serialize)]
struct DaemonPart {
    pid: u32,
    comm: String,
    sure: bool,
    stopped: bool,
    threads: usize,
    idle_readers: u32,
    peers: Vec<String>,
    /// Processes that it has forked, and that hold the device too.
    heirs: Vec<u32>,
}

#[derive(Serialize)]
struct RequestPart {
    state: &'static str,
    op: String,
    unique: Option<u64>,
    node: Option<u64>,
    path: Option<String>,
    name: Option<String>,
    offset: Option<u64>,
    size: Option<u64>,
    age_s: Option<f64>,
    client_pid: Option<u32>,
    client: Option<String>,
    client_gone: bool,
    interrupted: bool,
    thread: Option<u32>,
    thread_sure: Option<bool>,
    thread_waits: Option<String>,
    /// What the daemon's own record calls it, where the daemon is fsd.
    own: Option<String>,
}

pub(super) fn kernel_part(look: &Look, rows: &[Row]) -> KernelPart {
    let facts = look.view.as_ref().map(|v| v.facts);
    let daemon = look.daemon().map(|d| DaemonPart {
        pid: d.pid,
        comm: d.comm.clone(),
        sure: look.daemons_sure,
        stopped: d.is_stopped(),
        threads: d.threads.len(),
        idle_readers: d.idle_readers(),
        peers: d.sockets.iter().map(|s| format!("{} {}", s.peer, s.state)).collect(),
        heirs: look.heirs.clone(),
    });
    KernelPart {
        connection: look.mount.connection(),
        fstype: look.mount.fstype.clone(),
        source: look.mount.source.clone(),
        seen_by: look.seen_by,
        daemon,
        max_background: facts.and_then(|f| f.max_background),
        parallel_dirops: facts.and_then(|f| f.parallel_dirops),
        unread: look.ready.map(|r| r.readable),
        requests: rows.iter().map(request_part).collect(),
        torn: look.view.as_ref().map(|v| v.torn),
        missing: look.missing.clone(),
    }
}

fn request_part(row: &Row) -> RequestPart {
    RequestPart {
        state: state_word(row),
        op: op_name(row),
        unique: (row.unique != 0).then_some(row.unique),
        node: (row.ino != 0).then_some(row.ino),
        path: row.path.clone(),
        name: row.name.clone(),
        offset: row.off,
        size: row.len,
        age_s: row.age_us.map(seconds),
        client_pid: row.sender.pid,
        client: row.sender.comm.clone(),
        client_gone: row.sender.gone,
        interrupted: row.interrupted,
        thread: row.server.as_ref().map(|s| s.tid),
        thread_sure: row.server.as_ref().map(|s| s.sure),
        thread_waits: row.server.as_ref().map(|s| s.waits.clone()),
        own: row.own.clone(),
    }
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

/// The operation's name, or its number.
pub(super) fn op_name(row: &Row) -> String {
    row.op.map_or_else(|| format!("opcode {}", row.opcode), |op| op.to_string())
}

/// A request as an orphan of the report.
pub(super) fn orphan(row: &Row, look: &Look, lines: &[String]) -> Orphan {
    let text = row_line(row);
    let line = lines.iter().position(|l| *l == text).map_or(0, |n| n as u64 + 1);
    Orphan {
        op: op_name(row),
        id: match (row.unique, row.sender.pid) {
            (0, Some(pid)) => format!("thread {pid}"),
            (unique, _) => unique.to_string(),
        },
        age_s: row.age_us.map(seconds),
        path: row.path.clone(),
        input: look.mount.point.display().to_string(),
        line,
        daemon: None,
    }
}

/// Everything, for people.
pub(super) fn all(look: &Look, rows: &[Row], watched: &Watched, report: &Report) -> String {
    let mut out = String::new();
    head(&mut out, look);
    section(&mut out, "requests without an answer", rows.iter().map(row_line));
    let own = |pid: u32| look.daemons.iter().any(|d| d.pid == pid);
    let clients = look.clients.iter().flatten().map(|c| client_line(c, look, own(c.task.pid)));
    section(&mut out, "blocked threads", clients);
    if !rows.is_empty() {
        section(&mut out, "threads of the daemon", threads(look));
    }
    live(&mut out, watched);
    section(&mut out, "not available", look.missing.iter().cloned());
    if look.is_blind() {
        out.push_str("cannot tell whether anything waits here: run as root\n");
    } else {
        out.push('\n');
        out.push_str(&output::text::render(report, Paint::for_stdout()));
    }
    out
}

fn head(out: &mut String, look: &Look) {
    let m = &look.mount;
    let seen_by = look.seen_by.map(|pid| format!("  as process {pid} sees it")).unwrap_or_default();
    let mount = format!("{}  {}  {}  connection {}{seen_by}", m.point.display(), m.fstype, m.source, m.connection());
    let _ = writeln!(out, "{}", clean(mount));
    let _ = match look.waiting {
        Some(n) => write!(out, "{} {}", count(n, "request"), verb(n, "waits", "wait")),
        None => write!(out, "? requests wait"),
    };
    if let Some(facts) = look.view.as_ref().map(|v| v.facts) {
        // A connection that is over has no limit any more: the kernel sets it to the greatest number.
        let background = facts.num_background.zip(facts.max_background.filter(|max| *max < u64::from(u32::MAX)));
        if let Some((used, limit)) = background {
            let _ = write!(out, ", {used} of {limit} background slots in use");
        }
    }
    let unread = look.ready.map(|r| if r.readable { ", an unread one is queued" } else { ", none is unread" });
    let _ = writeln!(out, "{}", unread.unwrap_or_default());
    for daemon in look.daemons.iter().take(MOST) {
        let sure = if look.daemons_sure { "daemon" } else { "perhaps its daemon:" };
        let _ = writeln!(
            out,
            "{sure} {} {}: {}, {} {} the device{}",
            clean(daemon.comm.as_str()),
            daemon.pid,
            count(daemon.threads.len(), "thread"),
            daemon.idle_readers(),
            verb(daemon.idle_readers(), "reads", "read"),
            daemon.condition()
        );
        connections(out, &daemon.sockets);
    }
    let more = look.daemons.len().saturating_sub(MOST);
    if more > 0 {
        let _ = writeln!(out, "and {more} more that {} the device", verb(more, "holds", "hold"));
    }
    if let Some(heir) = look.heirs.first() {
        let n = look.heirs.len();
        let first = if n > 1 { ", the first " } else { ", " };
        let _ = writeln!(out, "  {} of it {} the device too{first}{heir}", count(n, "fork"), verb(n, "holds", "hold"));
    }
    if look.is_dead() {
        let _ = writeln!(out, "no process holds its device");
    }
}

/// A line for each kind: a daemon may have very many to one server, and all of them idle.
fn connections(out: &mut String, sockets: &[Socket]) {
    let line = |s: &Socket| format!("  tcp {} {} ({} bytes unread)", s.peer, s.state, s.unread);
    let mut lines: Vec<String> = sockets.iter().map(line).collect();
    lines.sort();
    for alike in lines.chunk_by(|one, next| one == next).take(MOST) {
        let many = if alike.len() > 1 { format!(", {} of them", alike.len()) } else { String::new() };
        let _ = writeln!(out, "{}{many}", alike[0]);
    }
}

/// Threads that do something else than read the device; equal ones are counted.
fn threads(look: &Look) -> impl Iterator<Item = String> {
    let mut groups: Vec<(String, Vec<u32>)> = Vec::new();
    for daemon in look.daemons.iter().take(1) {
        let busy = daemon.threads.iter().filter(|t| !matches!(t.waits(), Some((Wait::Idle, _))));
        for task in busy {
            let text = format!("{} {} in {}", state(task), task.comm, rows::waits(task, daemon));
            match groups.iter_mut().find(|g| g.0 == text) {
                Some(group) => group.1.push(task.tid),
                None => groups.push((text, vec![task.tid])),
            }
        }
    }
    groups.into_iter().map(|(text, tids)| match tids.as_slice() {
        [tid] => format!("thread {tid} {text}"),
        tids => format!("{} threads {text}", tids.len()),
    })
}

fn state(task: &Task) -> char {
    task.state.unwrap_or('?')
}

fn live(out: &mut String, watched: &Watched) {
    if watched.live.is_some() {
        let (events, dropped, cancelled) = (watched.events, watched.dropped, watched.cancelled);
        let _ =
            writeln!(out, "live: {}, {dropped} dropped, {cancelled} cancelled while queued", count(events, "event"));
    }
}

fn section(out: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "{title}:");
    let more = lines.len().saturating_sub(MOST);
    for line in lines.into_iter().take(MOST) {
        let _ = writeln!(out, "  {}", clean(line));
    }
    if more > 0 {
        let _ = writeln!(out, "  and {more} more");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_are_alike_take_one_line() {
        let socket = |peer: &str, unread| Socket { fd: 3, peer: peer.into(), state: "ESTABLISHED", unread, unsent: 0 };
        let all = [socket("b:1", 0), socket("a:1", 7), socket("b:1", 0)];
        let mut text = String::new();
        connections(&mut text, &all);
        assert_eq!(text, "  tcp a:1 ESTABLISHED (7 bytes unread)\n  tcp b:1 ESTABLISHED (0 bytes unread), 2 of them\n");
    }
}
