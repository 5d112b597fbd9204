use std::borrow::Cow;

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::{Decoded, decode, encode, general, scan};
use crate::{
    event::{
        Beat, Body, Enter, Event, Exit, Handover, Head, LockKind, LockMode, LockStep, Phase, PhaseChange, Progress,
        Stall, StalledLock, StalledOp, Start, Step, TaskEnd, TaskKind, TaskStart, Text, Wait, WaitEnd,
    },
    flags::{DebugFlags, Flag},
    ids::{Fh, Ino, OpId, RunId, Unique},
    op::Op,
};

fn text() -> impl Strategy<Value = Text<'static>> {
    prop_oneof![4 => "[a-zA-Z0-9/._ -]{0,24}", 1 => "\\PC{0,12}", 1 => any::<String>()].prop_map(Cow::Owned)
}

fn op() -> impl Strategy<Value = Op> {
    select(Op::all().collect::<Vec<_>>())
}

/// Numbers as large as the format carries without loss: JSON readers elsewhere must cope too.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..1000_u64, any::<u64>()]
}

fn id() -> impl Strategy<Value = OpId> {
    number().prop_map(OpId)
}

fn counts() -> impl Strategy<Value = Vec<(Op, u64)>> {
    let by_name = |map: std::collections::BTreeMap<&'static str, u64>| {
        map.into_iter().filter_map(|(name, n)| Some((Op::from_name(name)?, n))).collect()
    };
    proptest::collection::btree_map(op().prop_map(Op::name), number(), 0..4).prop_map(by_name)
}

fn enter() -> impl Strategy<Value = Body<'static>> {
    let who = (id(), op(), text(), any::<u32>(), number(), any::<bool>(), any::<u32>());
    let what = (number(), option::of(number()), option::of(text()), option::of(number()), option::of(number()));
    (who, what, option::of(number())).prop_map(|((id, op, thread, tid, unique, resent, pid), what, count)| {
        let (ino, fh, path, off, len) = what;
        let (unique, ino, fh) = (Unique(unique), Ino(ino), fh.map(Fh));
        Body::Enter(Enter { id, op, thread, tid, unique, resent, pid, ino, fh, path, off, len, count })
    })
}

fn lock() -> impl Strategy<Value = Body<'static>> {
    let kinds = (select(LockKind::ALL), select(LockMode::ALL), select(Step::ALL));
    (id(), text(), kinds, vec(id(), 0..4), number()).prop_map(|(id, lock, (kind, mode, step), holder, us)| {
        Body::Lock(LockStep { id, lock, kind, mode, step, holder, us })
    })
}

fn stall() -> impl Strategy<Value = Stall<'static>> {
    let stalled = (id(), op(), number()).prop_map(|(id, op, us)| StalledOp { id, op, us });
    let lock = (text(), vec(id(), 0..3), number(), vec(id(), 0..3))
        .prop_map(|(lock, holder, since_us, waiters)| StalledLock { lock, holder, since_us, waiters });
    (vec(stalled, 0..3), counts(), option::of(number()), vec(lock, 0..3), option::of(text())).prop_map(
        |(ops, inflight, kernel_waiting, locks, stacks)| Stall { ops, inflight, kernel_waiting, locks, stacks },
    )
}

fn beat() -> impl Strategy<Value = Body<'static>> {
    let loops = (any::<u32>(), any::<u32>(), any::<u32>());
    (counts(), number(), number(), number(), loops, option::of(number()), number(), number()).prop_map(
        |(
            inflight,
            oldest_us,
            replies_queued,
            lost,
            (workers, workers_busy, loops_alive),
            kernel_waiting,
            lag,
            writer,
        )| {
            Body::Beat(Box::new(Beat {
                inflight,
                oldest_us,
                replies_queued,
                lost,
                workers,
                workers_busy,
                loops_alive,
                kernel_waiting,
                runtime_lag_us: lag,
                writer_lag_us: writer,
            }))
        },
    )
}

fn start() -> impl Strategy<Value = Body<'static>> {
    let numbers = (any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>());
    (numbers, vec(text(), 5), vec(text(), 0..3), option::of(text()), vec(any::<bool>(), 4)).prop_map(
        |((schema, pid, workers, max_background), texts, argv, config, on)| {
            let flags = Flag::ALL.into_iter().zip(on).fold(DebugFlags::default(), |f, (flag, on)| f.with(flag, on));
            let [version, mount, source, recorder, _] = <[Text<'_>; 5]>::try_from(texts).unwrap();
            Body::Start(Box::new(Start {
                schema,
                pid,
                version,
                mount,
                source,
                workers,
                max_background,
                argv,
                config,
                flags,
                recorder,
            }))
        },
    )
}

fn rare() -> impl Strategy<Value = Body<'static>> {
    prop_oneof![
        (number(), number(), text(), text(), number()).prop_map(|(old, new, cause, result, resent)| {
            Body::Handover(Box::new(Handover { old_run: RunId(old), new_run: RunId(new), cause, result, resent }))
        }),
        (number(), option::of(id())).prop_map(|(n, id)| Body::Interrupt { unique: Unique(n), id }),
        (select(Flag::ALL.as_slice()), any::<bool>()).prop_map(|(flag, value)| Body::FlagChange { flag, value }),
        (text(), text()).prop_map(|(what, detail)| Body::Invariant { what, detail }),
        text().prop_map(|reason| Body::Stop { reason }),
        stall().prop_map(|s| Body::Stall(Box::new(s))),
        stall().prop_map(|s| Body::StallEnd(Box::new(s))),
    ]
}

fn body() -> impl Strategy<Value = Body<'static>> {
    let exit = (id(), op(), number(), any::<u32>(), number(), any::<bool>())
        .prop_map(|(id, op, us, errno, bytes, detached)| Body::Exit(Exit { id, op, us, errno, bytes, detached }));
    let task = (id(), select(TaskKind::ALL), option::of(id()), option::of(number()), option::of(text()))
        .prop_map(|(id, task, parent, fh, path)| Body::Task(TaskStart { id, task, parent, fh: fh.map(Fh), path }));
    prop_oneof![
        enter(),
        exit,
        lock(),
        task,
        beat(),
        start(),
        rare(),
        (id(), select(Phase::ALL), text()).prop_map(|(id, phase, detail)| Body::Phase(PhaseChange {
            id,
            phase,
            detail
        })),
        (id(), proptest::option::of(select(TaskKind::ALL)), number(), text())
            .prop_map(|(id, task, us, outcome)| Body::TaskEnd(TaskEnd { id, task, us, outcome })),
        (id(), number(), number(), text()).prop_map(|(id, have, want, state)| Body::Progress(Progress {
            id,
            have,
            want,
            state
        })),
        (id(), option::of(id()), number(), number()).prop_map(|(id, on, from, to)| Body::Wait(Wait {
            id,
            on,
            need: (from, to)
        })),
        (id(), number()).prop_map(|(id, us)| Body::WaitEnd(WaitEnd { id, us })),
    ]
}

fn event() -> impl Strategy<Value = Event<'static>> {
    let head = (number(), number(), number(), 0..253_402_300_800_000_000_u64, number());
    (head, body(), any::<bool>(), any::<bool>()).prop_map(|((run, mount, seq, ts_us, mono_us), body, carried, late)| {
        let head = Head { run: RunId(run), mount_run: RunId(mount), seq, ts_us, mono_us };
        Event { head, body, carried, late }
    })
}

fn line_of(event: &Event<'_>) -> Vec<u8> {
    let mut line = Vec::new();
    encode(event, &mut line);
    line
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(event in event()) {
        let line = line_of(&event);
        prop_assert_eq!(line.iter().filter(|c| **c == b'\n').count(), 1);
        prop_assert_eq!(decode(&line), Decoded::Event(event));
    }

    #[test]
    fn the_scanner_never_disagrees_with_the_general_parser(
        event in event(), at in any::<proptest::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut line = line_of(&event);
        line.pop();
        let at = at.index(line.len());
        if cut { line.truncate(at) } else { line[at] = byte }
        let mut warm = scan::Before::default();
        let whole = line_of(&event);
        scan::decode(whole.trim_ascii(), &mut warm);
        for mut before in [scan::Before::default(), warm] {
            if let Some(scanned) = scan::decode(&line, &mut before) {
                prop_assert_eq!(Decoded::Event(scanned), general::decode(&line));
            }
        }
    }

    #[test]
    fn garbage_is_malformed_and_nothing_worse(garbage in vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(decode(&garbage), Decoded::Malformed);
    }
}

#[test]
fn the_frequent_events_never_need_the_general_parser() {
    let event = Event {
        head: Head { run: RunId(1), mount_run: RunId(2), seq: 3, ts_us: 4, mono_us: 5 },
        body: Body::Enter(Enter {
            id: OpId(456),
            op: Op::Release,
            thread: "fuse-3".into(),
            tid: 77,
            unique: Unique(912),
            resent: false,
            pid: 0,
            ino: Ino(9),
            fh: Some(Fh(8)),
            path: Some("Staged/a/movie.mkv".into()),
            off: None,
            len: None,
            count: None,
        }),
        carried: false,
        late: false,
    };
    let line = line_of(&event);
    assert_eq!(
        String::from_utf8_lossy(&line),
        concat!(
            r#"{"run":"0000000000000001","mount_run":"0000000000000002","seq":3,"#,
            r#""ts":"1970-01-01T00:00:00.000004Z","mono_us":5,"ev":"enter","id":456,"op":"Release","#,
            r#""thread":"fuse-3","tid":77,"unique":912,"resent":false,"pid":0,"ino":9,"fh":8,"#,
            r#""path":"Staged/a/movie.mkv"}"#,
            "\n"
        )
    );
    assert!(scan::decode(line.trim_ascii(), &mut scan::Before::default()).is_some());
}

#[test]
fn an_event_of_a_later_schema_keeps_its_place_in_the_sequence() {
    let line = br#"{"run":"00000000000000aa","seq":7,"ts":"2026-01-01T00:00:00.000000Z","mono_us":1,"ev":"teleport"}"#;
    assert_eq!(decode(line), Decoded::Unknown { run: RunId(0xaa), seq: 7, ts_us: 1_767_225_600_000_000 });
    let line =
        br#"{"run":"00000000000000aa","seq":8,"mono_us":1,"ev":"exit","id":4,"op":"Read","us":1,"new":{"a":[1]}}"#;
    assert!(matches!(decode(line), Decoded::Event(Event { body: Body::Exit(_), .. })));
}
