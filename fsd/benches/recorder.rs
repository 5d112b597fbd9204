//! What observing costs: an ENTER and EXIT pair, and an uncontended lock beside the lock that it is built on.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use fsd::observe::{
    self, RecorderConfig, Span, Target,
    locks::{Class, Mutex, Rank, RwLock},
};
use fsd_events::{ids::RunId, op::Op};

/// Pairs between two pauses that let the writer thread keep up: a ring that overflows would be measured as fast.
const BURST: u64 = 500;

fn events(c: &mut Criterion) {
    let mut group = c.benchmark_group("event pair");
    let getattr = |n| Span::enter(Op::Getattr, &Target { unique: n, pid: 1, ino: 2, ..Target::default() });
    group.bench_function("without a recorder", |b| b.iter(|| getattr(black_box(1)).exit(0, 0)));

    let base = std::path::Path::new("/dev/shm");
    let dir = tempfile::tempdir_in(base).expect("a directory in memory");
    let recorder = observe::install(RecorderConfig {
        run: RunId(1),
        runtime_dir: Some(dir.path().to_path_buf()),
        state_dir: Some(dir.path().join("state")),
        file_limit: 16 << 20,
        total_limit: 32 << 20,
        ..RecorderConfig::default()
    });
    let recorder = recorder.expect("a recorder");
    let bursts = |b: &mut criterion::Bencher<'_>, pair: &dyn Fn(u64)| {
        b.iter_custom(|pairs| {
            let mut spent = std::time::Duration::ZERO;
            for first in (0..pairs).step_by(BURST as usize) {
                let begun = fsd::platform::clock::now();
                (first..pairs.min(first + BURST)).for_each(pair);
                spent += begun.elapsed();
                recorder.flush();
            }
            spent
        });
    };
    group.bench_function("getattr", |b| bursts(b, &|n| getattr(n).exit(0, 0)));
    group.bench_function("read", |b| {
        bursts(b, &|n| {
            let target = Target {
                unique: n,
                pid: 1,
                ino: 2,
                fh: Some(3),
                off: Some(n),
                len: Some(131_072),
                ..Target::default()
            };
            Span::enter(Op::Read, &target).exit(0, 131_072);
        });
    });
    group.bench_function("lookup with a name of 31 bytes", |b| {
        bursts(b, &|n| {
            let target = Target {
                unique: n,
                pid: 1,
                ino: 2,
                name: Some("a-file-name-of-thirty-one-bytes"),
                ..Target::default()
            };
            Span::enter(Op::Lookup, &target).exit(2, 0);
        });
    });
    assert_eq!(recorder.lost(), 0, "what was lost was not measured");
    group.finish();
}

#[expect(clippy::disallowed_types, reason = "what the product's locks are compared with")]
fn locks(c: &mut Criterion) {
    static CLASS: Class = Class::new("bench", Rank::Tree);
    let mut group = c.benchmark_group("lock and unlock");
    let (plain, ours) = (parking_lot::Mutex::new(0_u64), Mutex::new(&CLASS, 0_u64));
    group.bench_function("mutex, parking_lot", |b| b.iter(|| *black_box(&plain).lock() += 1));
    group.bench_function("mutex", |b| b.iter(|| *black_box(&ours).lock() += 1));
    let (plain, ours) = (parking_lot::RwLock::new(0_u64), RwLock::new(&CLASS, 0_u64));
    group.bench_function("rwlock read, parking_lot", |b| b.iter(|| *black_box(&plain).read()));
    group.bench_function("rwlock read", |b| b.iter(|| *black_box(&ours).read()));
    group.bench_function("rwlock write, parking_lot", |b| b.iter(|| *black_box(&plain).write() += 1));
    group.bench_function("rwlock write", |b| b.iter(|| *black_box(&ours).write() += 1));
    group.finish();
}

criterion_group!(recorder, events, locks);
criterion_main!(recorder);
