//! `fsdiag tail -`: a pipe that stays open and says nothing more is what a hang looks like.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
};

use fsd_events::{
    event::{Body, Enter, Event, Head, LockKind, LockMode, LockStep, Start, Step},
    ids::{Ino, OpId, RunId, Unique},
    line,
    op::Op,
};
use fsdiag::sources::{pause, wall_us};

/// Follows a pipe, into which a daemon writes that a Getattr waits from now on for a lock that a Release holds.
fn tail(args: &[&str]) -> (Child, ChildStdin) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fsdiag"));
    let command = command.args(["tail", "-"]).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(&stall_begins()).unwrap();
    (child, pipe)
}

fn stall_begins() -> Vec<u8> {
    let mut bytes = Vec::new();
    let start = Start { schema: 1, pid: 4711, workers: 4, mount: "/mnt".into(), ..Start::default() };
    let lock = |id, step| LockStep {
        id: OpId(id),
        lock: "handles".into(),
        kind: LockKind::Mutex,
        mode: LockMode::Write,
        step,
        holder: vec![OpId(1)],
        us: 0,
    };
    let bodies = [
        Body::Start(Box::new(start)),
        enter(1, Op::Release),
        Body::Lock(lock(1, Step::Hold)),
        enter(2, Op::Getattr),
        Body::Lock(lock(2, Step::Wait)),
    ];
    for (seq, body) in (0..).zip(bodies) {
        let head = Head { run: RunId(7), mount_run: RunId(1), seq, ts_us: wall_us(), mono_us: 1_000_000 };
        line::encode(&Event { head, body, carried: false, late: false }, &mut bytes);
    }
    bytes
}

fn enter(id: u64, op: Op) -> Body<'static> {
    Body::Enter(Enter {
        id: OpId(id),
        op,
        thread: "fuser-1".into(),
        tid: 5,
        unique: Unique(2 * id),
        resent: false,
        pid: 99,
        ino: Ino(7),
        fh: None,
        path: Some("film.mkv".into()),
        off: None,
        len: None,
        count: None,
    })
}

/// Whether it ends by itself within half a minute.
fn ends(child: &mut Child) -> bool {
    let is_over = (0..600).any(|_| {
        pause(50);
        child.try_wait().unwrap().is_some()
    });
    let _ = (child.kill(), child.wait());
    is_over
}

#[test]
fn a_pipe_is_followed_for_as_long_as_was_asked() {
    let (mut child, _pipe) = tail(&["--for", "0.2"]);
    assert!(ends(&mut child));
}

#[test]
fn a_stall_shows_in_a_pipe_that_says_nothing_more() {
    let (mut child, _pipe) = tail(&["--for", "20", "--stalled-after", "2", "--quiet"]);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let verdict = lines.map_while(Result::ok).find(|line| line.starts_with("!!"));
    let _ = (child.kill(), child.wait());
    assert!(verdict.as_ref().is_some_and(|line| line.contains("Release #1 has held")), "{verdict:?}");
}
