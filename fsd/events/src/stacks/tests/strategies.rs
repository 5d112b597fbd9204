//! Any dump at all, for the property tests.

use std::borrow::Cow;

use proptest::{collection::vec, option, prelude::*, sample::select, string::string_regex};

use crate::{
    event::{LockKind, LockMode, Phase, TaskKind, Text},
    ids::{Fh, Ino, OpId, Unique},
    op::Op,
    stacks::{
        Capture, Cause, Doing, Finding, Frame, Fuse, Header, How, LockBlock, LockHead, LockHold, LockUser, LockWait,
        Module, NoStack, OpLine, OpWait, Place, Reason, StackDump, StackSource, Symbols, Syscall, TaskBlock,
        ThreadBlock, ThreadHead,
    },
};

/// Text of any kind.
fn free() -> impl Strategy<Value = Text<'static>> {
    any::<String>().prop_map(Cow::Owned)
}

fn some() -> impl Strategy<Value = Text<'static>> {
    let odd =
        string_regex("[ -~\n\u{e9}]{1,40}").expect("a valid pattern").prop_filter("`??` is no name", |s| s != "??");
    odd.prop_map(Cow::Owned)
}

fn word() -> impl Strategy<Value = Text<'static>> {
    string_regex("[a-z0-9_.]{1,20}").expect("a valid pattern").prop_map(Cow::Owned)
}

/// Milliseconds and counts in the range that clocks and tables reach.
fn amount() -> impl Strategy<Value = u64> {
    prop_oneof![0..100u64, 0..u64::MAX / 2000]
}

fn header() -> impl Strategy<Value = Header<'static>> {
    let names = (free(), prop_oneof![Just(Cow::Borrowed("")), word()], word(), word(), any::<u32>());
    let fuse = (any::<u32>(), any::<u32>(), option::of(any::<u64>()), any::<u64>(), any::<u32>(), any::<u32>());
    let fuse = fuse.prop_map(|(major, minor, waiting, inflight, workers, busy)| Fuse {
        major,
        minor,
        waiting,
        inflight,
        workers,
        busy,
    });
    let reason = (select(Cause::ALL), option::of(amount()), option::of(any::<u32>()));
    let reason = reason.prop_map(|(cause, oldest_ms, repeat)| Reason { cause, oldest_ms, repeat });
    let capture = (select(How::ALL), any::<[u64; 4]>());
    let capture = capture.prop_map(|(how, [threads, answered, fallback, took_us])| Capture {
        how,
        threads,
        answered,
        fallback,
        took_us,
    });
    let rest =
        (option::of(amount()), option::of(free()), option::of(fuse), select(Symbols::ALL), vec((word(), free()), 0..3));
    (0..250_000_000_000_000_000u64, names, reason, capture, rest).prop_map(|(time_us, names, reason, capture, rest)| {
        let (program, version, os, arch, pid) = names;
        let (uptime_ms, mount, fuse, symbols, extra) = rest;
        Header { time_us, program, version, os, arch, pid, uptime_ms, mount, fuse, reason, capture, symbols, extra }
    })
}

fn module() -> impl Strategy<Value = Module<'static>> {
    let id = prop_oneof![Just(Cow::Borrowed("")), word().prop_map(|_| Cow::Borrowed("00ff12ab"))];
    (any::<u32>(), any::<[u64; 3]>(), id, free()).prop_map(|(number, [start, end, base], build_id, path)| Module {
        number,
        start,
        end,
        base,
        build_id,
        path,
    })
}

fn op() -> impl Strategy<Value = OpLine<'static>> {
    let wait = prop_oneof![
        Just(OpWait::Unknown),
        any::<u32>().prop_map(OpWait::Lock),
        any::<u64>().prop_map(|id| OpWait::Task(OpId(id)))
    ];
    let ops: Vec<Op> = Op::all().collect();
    let numbers = (any::<[u64; 3]>(), any::<[u32; 2]>(), option::of(any::<u64>()), amount());
    let waits = (wait, option::of(any::<(u64, u64)>()), option::of(select(Phase::ALL)), option::of(free()));
    (select(ops), numbers, waits).prop_map(|(op, numbers, (wait, need, phase, path))| {
        let ([id, unique, ino], [thread, pid], fh, age_ms) = numbers;
        let (unique, ino, fh) = (Unique(unique), Ino(ino), fh.map(Fh));
        OpLine { id: OpId(id), op, age_ms, thread, pid, unique, ino, fh, wait, need, phase, path }
    })
}

fn user() -> impl Strategy<Value = LockUser<'static>> {
    let at = option::of((some(), any::<u32>()));
    (any::<u64>(), option::of(any::<u32>()), select(LockMode::ALL), amount(), at, any::<bool>()).prop_map(
        |(op, thread, mode, for_ms, at, unstable)| LockUser { op: OpId(op), thread, mode, for_ms, at, unstable },
    )
}

fn lock() -> impl Strategy<Value = LockBlock<'static>> {
    let head = (any::<u32>(), free(), select(LockKind::ALL), any::<u64>());
    (head, vec(user(), 0..4), vec(user(), 0..4)).prop_map(|((number, name, kind, key), holders, waiters)| LockBlock {
        head: LockHead { number, name, kind, key },
        holders,
        waiters,
    })
}

fn finding() -> impl Strategy<Value = Finding<'static>> {
    let pileup = (any::<[u64; 3]>(), any::<u32>(), option::of(any::<u32>()), select(Doing::ALL));
    let list = || vec(any::<u32>(), 1..4);
    prop_oneof![
        pileup.prop_map(|([waiters, blocked_ops, root], lock, root_thread, root_doing)| Finding::Pileup {
            lock,
            waiters,
            blocked_ops,
            root_thread,
            root_op: OpId(root),
            root_doing,
        }),
        (list(), list()).prop_map(|(t, l)| Finding::Cycle { threads: t.into(), locks: l.into() }),
        (any::<[u32; 2]>(), any::<u64>(), -1..600i64, amount()).prop_map(|([lock, thread], op, syscall, for_ms)| {
            Finding::LockAcrossIo { lock, thread, op: OpId(op), syscall, for_ms }
        }),
        (any::<[u32; 2]>(), any::<u64>()).prop_map(|([workers, busy], kernel_waiting)| Finding::PoolStarved {
            workers,
            busy,
            kernel_waiting
        }),
        (any::<u64>(), any::<u32>()).prop_map(|(op, thread)| Finding::Orphan { op: OpId(op), thread }),
    ]
}

fn frame() -> impl Strategy<Value = Frame<'static>> {
    let place = prop_oneof![
        (some(), any::<u32>()).prop_map(|(file, line)| Place::Source { file, line }),
        (any::<u32>(), any::<u64>()).prop_map(|(module, offset)| Place::Module { module, offset }),
        Just(Place::Unknown),
    ];
    prop_oneof![
        8 => (option::of(any::<u64>()), option::of(some()), place)
            .prop_map(|(address, function, place)| Frame::Call { address, function, place }),
        1 => any::<u64>().prop_map(Frame::Elided),
        1 => Just(Frame::Truncated),
    ]
}

fn thread() -> impl Strategy<Value = ThreadBlock<'static>> {
    let sources = [StackSource::Signal, StackSource::Procfs, StackSource::ProcfsPartial, StackSource::Ptrace];
    let source =
        prop_oneof![select(sources.to_vec()).boxed(), select(NoStack::ALL).prop_map(StackSource::None).boxed()];
    let syscall = prop_oneof![Just(Syscall::Unknown), Just(Syscall::Running), (-1..600i64).prop_map(Syscall::Number)];
    let who = (any::<u32>(), free(), select(Doing::ALL), option::of(amount()), option::of(any::<u64>().prop_map(OpId)));
    let kernel =
        (select(vec!['R', 'S', 'D', '?']), option::of(word()), syscall, option::of(amount()), option::of(some()));
    let head = (who, kernel, source).prop_map(|(who, kernel, stack)| {
        let (tid, comm, doing, age_ms, op) = who;
        let (state, wchan, syscall, cpu_ms, kstack) = kernel;
        ThreadHead { tid, comm, doing, age_ms, op, state, wchan, syscall, cpu_ms, kstack, stack }
    });
    let held_by = option::of((any::<u64>().prop_map(OpId), option::of(any::<u32>())));
    let wait = (any::<u32>(), free(), select(LockMode::ALL), held_by, any::<u64>())
        .prop_map(|(lock, name, mode, held_by, more)| LockWait { lock, name, mode, held_by, more });
    let hold = (any::<u32>(), free(), any::<u64>(), select(LockMode::ALL), amount())
        .prop_map(|(lock, name, key, mode, for_ms)| LockHold { lock, name, key, mode, for_ms });
    (head, option::of(wait), vec(hold, 0..3), vec(frame(), 0..8))
        .prop_map(|(head, waiting, holding, frames)| ThreadBlock { head, waiting, holding, frames })
}

fn task() -> impl Strategy<Value = TaskBlock<'static>> {
    let numbers = (any::<[u64; 4]>(), any::<u32>(), amount());
    let options = (option::of(any::<u64>()), option::of(any::<u64>()), option::of(free()));
    let phase = option::of((select(Phase::ALL), amount()));
    (select(TaskKind::ALL), any::<bool>(), numbers, options, phase).prop_map(
        |(kind, polling, numbers, options, phase)| {
            let ([id, polls, have, want], last_thread, age_ms) = numbers;
            let (parent, fh, path) = options;
            let (id, parent, fh) = (OpId(id), parent.map(OpId), fh.map(Fh));
            TaskBlock { id, kind, polling, age_ms, parent, fh, polls, last_thread, phase, have, want, path }
        },
    )
}

/// Any dump that the writer spells one way.
pub(super) fn dump() -> impl Strategy<Value = StackDump<'static>> {
    let tables = (vec(module(), 0..3), vec(op(), 0..4), vec(lock(), 0..3), vec(finding(), 0..4));
    (header(), tables, vec(thread(), 0..4), vec(task(), 0..3)).prop_map(|(header, tables, threads, tasks)| {
        let (modules, ops, locks, findings) = tables;
        StackDump { header, modules, ops, locks, findings, threads, tasks }
    })
}
