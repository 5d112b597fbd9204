//! What a killed process leaves can be read, and is drained into its file exactly once.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    os::unix::fs::FileExt,
    process::Stdio,
};

use fsd::observe;
use fsd_events::{
    event::Body,
    layout,
    op::Op,
    ring::{self, header, tables},
};

use super::{Killed, RUN, Scene, child, enter, fresh};

const OPERATIONS: u64 = 5000;

#[test]
fn after_kill_9_the_rings_name_the_one_orphan_and_the_drain_loses_nothing() {
    let (_dir, scene) = fresh();
    let mut process = Killed(child("dies", &scene).stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("stuck")));
    let run_dir = scene.runtime().join(RUN.to_string());
    assert!(observe::drain(&run_dir, &scene.state()).is_err(), "a living run is not drained");
    drop(process);

    let table = tables::decode_inflight(&std::fs::read(run_dir.join(layout::INFLIGHT)).unwrap()).unwrap();
    assert_eq!(table.ops.iter().map(|op| (op.op, op.ino.0)).collect::<Vec<_>>(), [(Op::Release, 42)]);
    assert_eq!(table.counts, [(Op::Release, 1)]);
    let ring = ring::decode(&std::fs::read(run_dir.join(layout::ring_file(1))).unwrap(), &mut |_| None).unwrap();
    assert_eq!(ring.torn, 0);

    // As if it had died in the middle of a line, before it could note how far it was.
    let file = scene.state().join(layout::events_file(RUN));
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() - 10]).unwrap();
    let ring = std::fs::OpenOptions::new().write(true).open(run_dir.join(layout::ring_file(1))).unwrap();
    ring.write_all_at(&[0; 8], header::TAIL as u64 * 8).unwrap();
    let cut = scene.lines().len();
    observe::drain(&run_dir, &scene.state()).unwrap();
    assert!(!run_dir.exists());

    let lines = scene.lines();
    let events: Vec<_> = lines
        .iter()
        .enumerate()
        .filter(|(n, _)| *n != cut - 1)
        .filter_map(|(_, line)| match fsd_events::line::decode(line) {
            fsd_events::line::Decoded::Event(event) => Some(event),
            _ => None,
        })
        .collect();
    let numbers: Vec<u64> = events.iter().map(|event| event.head.seq).collect();
    let distinct: BTreeSet<u64> = numbers.iter().copied().collect();
    assert_eq!(numbers.len(), distinct.len(), "no record twice");
    let open: Vec<u64> = events.iter().fold(Vec::new(), |mut open, event| {
        match &event.body {
            Body::Enter(enter) => open.push(enter.id.0),
            Body::Exit(exit) => open.retain(|id| *id != exit.id.0),
            _ => (),
        }
        open
    });
    assert_eq!(open.len(), 1);
    assert_eq!(distinct.len() as u64, 2 * OPERATIONS + 2, "start, all of them, and the orphan");
    assert!(observe::drain(&run_dir, &scene.state()).is_err(), "there is nothing left to drain");
}

pub(super) fn dies(scene: &Scene) {
    let recorder = scene.install();
    for n in 0..OPERATIONS {
        enter(Op::Getattr, n).exit(0, 0);
        // Faster than any kernel: the ring must not overflow.
        assert!(n % 1000 != 0 || recorder.flush());
    }
    let _stuck = enter(Op::Release, 42);
    println!("stuck");
    loop {
        std::thread::park();
    }
}
