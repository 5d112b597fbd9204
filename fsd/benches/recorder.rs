//! What observing costs: an ENTER and EXIT pair, and an uncontended lock beside the lock that it is built on.

use std::{hint::black_box, time::Duration};

use criterion::{Bencher, BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use fsd::{
    observe::{
        self, RecorderConfig, Span, Target,
        locks::{Class, Mutex, Rank, RwLock},
    },
    platform::clock,
};
use fsd_events::{ids::RunId, op::Op};

/// Calls between two looks at the clock. So many event pairs also fit into a ring: one that overflows would be measured
/// as fast.
const BATCH: u64 = 500;

/// Measures the fastest batch: what others do on the machine only ever makes one slower.
fn fastest(b: &mut Bencher<'_>, each: impl Fn(u64), after_batch: impl Fn()) {
    b.iter_custom(|calls| {
        let batches = (0..calls.div_ceil(BATCH).max(20)).map(|_| {
            let begun = clock::now();
            (0..BATCH).for_each(&each);
            let took = begun.elapsed();
            after_batch();
            took
        });
        batches.min().unwrap_or(Duration::ZERO).mul_f64(calls as f64 / BATCH as f64)
    });
}

fn events(c: &mut Criterion) {
    let mut group = c.benchmark_group("event pair");
    let getattr = |n| Span::enter(Op::Getattr, &Target { unique: n, pid: 1, ino: 2, ..Target::default() });
    group.bench_function("without a recorder", |b| fastest(b, |n| getattr(n).exit(0, 0), || ()));

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
    let bursts = |b: &mut Bencher<'_>, pair: &dyn Fn(u64)| {
        fastest(b, pair, || {
            recorder.flush();
        });
    };
    group.bench_function("getattr", |b| bursts(b, &|n| getattr(n).exit(0, 0)));
    group.bench_function("read", |b| {
        bursts(b, &|n| {
            let target =
                Target { unique: n, ino: 2, fh: Some(3), off: Some(n), len: Some(131_072), ..Target::default() };
            Span::enter(Op::Read, &target).exit(0, 131_072);
        });
    });
    group.bench_function("lookup with a name of 31 bytes", |b| {
        bursts(b, &|n| {
            let name = Some("a-file-name-of-thirty-one-bytes");
            Span::enter(Op::Lookup, &Target { unique: n, ino: 2, name, ..Target::default() }).exit(2, 0);
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
    lock(&mut group, "mutex, parking_lot", || *black_box(&plain).lock() += 1);
    lock(&mut group, "mutex", || *black_box(&ours).lock() += 1);
    let (plain, ours) = (parking_lot::RwLock::new(0_u64), RwLock::new(&CLASS, 0_u64));
    lock(&mut group, "rwlock read, parking_lot", || {
        black_box(*black_box(&plain).read());
    });
    lock(&mut group, "rwlock read", || {
        black_box(*black_box(&ours).read());
    });
    lock(&mut group, "rwlock write, parking_lot", || *black_box(&plain).write() += 1);
    lock(&mut group, "rwlock write", || *black_box(&ours).write() += 1);
    group.finish();
}

fn lock(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, each: impl Fn()) {
    group.bench_function(name, |b| fastest(b, |_| each(), || ()));
}

criterion_group!(recorder, events, locks);
criterion_main!(recorder);
