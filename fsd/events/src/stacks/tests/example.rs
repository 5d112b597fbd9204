//! A small dump with a line of every kind.

use crate::{
    event::{LockKind, LockMode, Phase, TaskKind},
    ids::{Fh, Ino, OpId, Unique},
    op::Op,
    stacks::{
        Capture, Cause, Doing, Finding, Frame, Fuse, Header, How, LockBlock, LockHead, LockHold, LockUser, LockWait,
        Module, OpLine, OpWait, Place, Reason, StackDump, StackSource, Symbols, Syscall, TaskBlock, ThreadBlock,
        ThreadHead,
    },
};

pub(super) fn example() -> StackDump<'static> {
    StackDump {
        header: header(),
        modules: vec![Module {
            number: 0,
            start: 0x5599_3000_0000,
            end: 0x5599_30ff_0000,
            base: 0x5599_3000_0000,
            build_id: "00ff12ab".into(),
            path: "/usr/bin/fsd".into(),
        }],
        ops: ops(),
        locks: locks(),
        findings: vec![Finding::Pileup {
            lock: 1,
            waiters: 1,
            blocked_ops: 1,
            root_thread: Some(4299),
            root_op: OpId(455),
            root_doing: Doing::Futex,
        }],
        threads: threads(),
        tasks: vec![TaskBlock {
            id: OpId(12),
            kind: TaskKind::Download,
            polling: false,
            age_ms: 12_400,
            parent: Some(OpId(455)),
            fh: None,
            polls: 431,
            last_thread: 4288,
            phase: Some((Phase::Upstream, 12_310)),
            have: 65_536,
            want: 1_048_576,
            path: Some("/a/b.mov".into()),
        }],
    }
}

fn header() -> Header<'static> {
    Header {
        time_us: 1_795_470_425_123_456,
        program: "fsd".into(),
        version: "0.1.0".into(),
        os: "linux".into(),
        arch: "x86_64".into(),
        pid: 4288,
        uptime_ms: Some(64_250),
        mount: Some("/mnt/films".into()),
        fuse: Some(Fuse { major: 0, minor: 52, waiting: Some(3), inflight: 2, workers: 4, busy: 2 }),
        reason: Reason { cause: Cause::Stall, oldest_ms: Some(12_004), repeat: Some(0) },
        capture: Capture { how: How::Signal, threads: 2, answered: 2, fallback: 0, took_us: 2100 },
        symbols: Symbols::Full,
        extra: Vec::new(),
    }
}

fn ops() -> Vec<OpLine<'static>> {
    vec![OpLine {
        id: OpId(456),
        op: Op::Release,
        age_ms: 12_004,
        thread: 4301,
        pid: 0,
        unique: Unique(90),
        ino: Ino(42),
        fh: Some(Fh(7)),
        wait: OpWait::Lock(1),
        need: None,
        phase: Some(Phase::Lock),
        path: None,
    }]
}

fn locks() -> Vec<LockBlock<'static>> {
    let user = |op, thread, mode, for_ms| LockUser {
        op: OpId(op),
        thread: Some(thread),
        mode,
        for_ms,
        at: Some(("fsd/src/names/handles.rs".into(), 120)),
        unstable: false,
    };
    vec![LockBlock {
        head: LockHead { number: 1, name: "handles".into(), kind: LockKind::Mutex, key: 0 },
        holders: vec![user(455, 4299, LockMode::Write, 12_310)],
        waiters: vec![user(456, 4301, LockMode::Write, 12_004)],
    }]
}

fn threads() -> Vec<ThreadBlock<'static>> {
    let call = |address, function: &'static str, place| Frame::Call { address, function: Some(function.into()), place };
    let source = |file: &'static str, line| Place::Source { file: file.into(), line };
    let head = |tid, comm: &'static str, doing, state| ThreadHead {
        tid,
        comm: comm.into(),
        doing,
        state,
        wchan: Some("futex_do_wait".into()),
        syscall: Syscall::Number(202),
        stack: StackSource::Signal,
        ..ThreadHead::default()
    };
    vec![
        ThreadBlock {
            head: ThreadHead {
                age_ms: Some(12_004),
                op: Some(OpId(456)),
                ..head(4301, "fuse-1", Doing::LockWait, 'S')
            },
            waiting: Some(LockWait {
                lock: 1,
                name: "handles".into(),
                mode: LockMode::Write,
                held_by: Some((OpId(455), Some(4299))),
                more: 0,
            }),
            holding: Vec::new(),
            frames: vec![
                call(Some(0x7f21_2a29_6f36), "syscall", Place::Module { module: 0, offset: 0x10_8f36 }),
                call(None, "lock_api::mutex::Mutex<R,T>::lock", source("lock_api-0.4.14/src/mutex.rs", 214)),
                call(
                    Some(0x5599_300f_f561),
                    "fsd::names::handles::Handles::detach",
                    source("fsd/src/names/handles.rs", 88),
                ),
                Frame::Elided(3),
                Frame::Call { address: Some(1), function: None, place: Place::Unknown },
            ],
        },
        ThreadBlock {
            head: ThreadHead {
                kstack: Some("futex_do_wait < do_syscall_64".into()),
                ..head(4299, "fuse-0", Doing::Futex, 'S')
            },
            waiting: None,
            holding: vec![LockHold { lock: 1, name: "handles".into(), key: 0, mode: LockMode::Write, for_ms: 12_310 }],
            frames: vec![Frame::Truncated],
        },
    ]
}
