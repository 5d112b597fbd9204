//! What stands in the event file.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use fsd::observe::{
    self, RecorderConfig, Scope, Span, Target, journal,
    locks::{Class, Permits, Rank, RwLock},
    log::{self, Format},
    tasks::{self, Spec},
};
use fsd_events::{
    event::{Body, LockKind, LockMode, Step, TaskKind},
    ids::OpId,
    layout,
    op::Op,
};

use super::{RUN, Scene, child, enter, fresh, plays, wait};

#[test]
fn a_rotated_file_begins_with_start_and_with_everything_open() {
    plays("rotates");
}

pub(super) fn rotates(scene: &Scene) {
    journal::set_names(Arc::new(|ino| Some(format!("/file {ino}"))));
    let recorder = observe::install(RecorderConfig { file_limit: 64 << 10, ..scene.config() }).unwrap();
    let stuck = Span::enter(Op::Release, &Target { unique: 1 << 63 | 8, ino: 7, fh: Some(6), ..Target::default() });
    let stuck_id = stuck.id();
    for _ in 0..10 {
        (0..200).for_each(|n| enter(Op::Getattr, n).exit(0, 0));
        assert!(recorder.flush());
    }
    stuck.exit(110, 0);
    recorder.stop("umount");

    let events = scene.events();
    let new: Vec<u64> = events.iter().filter(|e| !e.carried).map(|e| e.head.seq).collect();
    assert_eq!(new.len(), new.iter().collect::<BTreeSet<_>>().len());
    assert_eq!(new.iter().max().map(|last| *last as usize + 1), Some(new.len()), "no number is missing");
    assert!(matches!(events.last().unwrap().body, Body::Stop { .. }));

    let files = (1..).map(|n| scene.state().join(layout::rotated_file(RUN, n))).take_while(|f| f.exists()).count();
    assert!(files > 3, "{files}");
    let carried: Vec<_> = events.iter().filter(|e| e.carried).collect();
    assert_eq!(carried.len(), files, "the stuck one in each new file, and nothing else");
    for event in carried {
        let Body::Enter(enter) = &event.body else { panic!("{event:?}") };
        assert_eq!((enter.id, enter.resent, enter.unique.0), (stuck_id, true, 8));
        assert_eq!(enter.path.as_deref(), Some("/file 7"));
    }
    let starts = events.iter().filter(|e| matches!(e.body, Body::Start(_))).count();
    assert_eq!(starts, files + 1);
    assert!(!scene.runtime().join(RUN.to_string()).exists(), "a clean end leaves no rings");
}

#[test]
fn a_contended_lock_is_told_with_its_holder_while_it_lasts_and_at_its_end() {
    plays("contends");
}

pub(super) fn contends(scene: &Scene) {
    static HANDLES: Class = Class::new("handles", Rank::Handles);
    static DEMAND: Class = Class::new("demand", Rank::Permits);
    let recorder = scene.install();
    let lock = RwLock::new(&HANDLES, ()).keyed(5);
    let release = enter(Op::Release, 1);
    let getattr = std::thread::scope(|threads| {
        let scope = release.scope();
        let held = lock.write();
        let waiter = threads.spawn(|| {
            let span = enter(Op::Getattr, 2);
            let scope = span.scope();
            drop(lock.read());
            drop(scope);
            let id = span.id();
            span.exit(0, 0);
            id
        });
        // The second event of the wait: it is repeated each second.
        wait(|| (steps(scene, Step::Wait).len() >= 2).then_some(())).unwrap();
        drop(held);
        drop(scope);
        waiter.join().unwrap()
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let permits = Permits::new(&DEMAND, 1);
    let held = permits.try_acquire(OpId(900)).unwrap();
    let limit = Duration::from_millis(50);
    assert!(runtime.block_on(async { tokio::time::timeout(limit, permits.acquire(OpId(901))).await }).is_err());
    drop(held);
    let release_id = release.id();
    release.exit(0, 0);
    recorder.stop("end");

    let waits = steps(scene, Step::Wait);
    let on_lock: Vec<_> = waits.iter().filter(|l| l.lock == "handles#5").collect();
    assert!(on_lock.iter().all(|l| l.id == getattr && l.holder == [release_id] && l.mode == LockMode::Read));
    assert!(on_lock[0].us >= 1000 && on_lock[1].us >= 1_000_000);
    let holds = steps(scene, Step::Hold);
    assert!(holds.iter().any(|l| l.id == getattr && l.us == 0), "{holds:?}");
    let frees = steps(scene, Step::Free);
    let by_release = frees.iter().find(|l| l.id == release_id).unwrap();
    assert!(by_release.us >= 900_000 && by_release.mode == LockMode::Write, "{by_release:?}");
    assert!(frees.iter().any(|l| l.id == getattr && l.lock == "handles#5"));
    let permit = waits.iter().find(|l| l.kind == LockKind::Permit).unwrap();
    assert_eq!((permit.id, permit.holder.as_slice()), (OpId(901), [OpId(900)].as_slice()));
    assert!(frees.iter().any(|l| l.id == OpId(901)), "a wait that was given up ends too");
}

fn steps(scene: &Scene, step: Step) -> Vec<fsd_events::event::LockStep<'static>> {
    let steps = scene.events().into_iter().filter_map(|event| match event.body {
        Body::Lock(lock) if lock.step == step => Some(lock),
        _ => None,
    });
    steps.collect()
}

#[test]
fn tasks_end_with_their_outcome_and_never_lose_their_last_progress() {
    plays("works");
}

pub(super) fn works(scene: &Scene) {
    let recorder = scene.install();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let spec = |kind, parent| Spec { kind, parent, fh: Some(6), path: Some("/a/b.mov") };
    let parent = Some(OpId(77));
    let good = tasks::spawn(runtime.handle(), spec(TaskKind::Download, parent), |id| async move {
        for have in 0..=1000 {
            tasks::progress(id, have, 1000, if have < 1000 { "running" } else { "complete" });
        }
        Ok(())
    });
    let bad = tasks::spawn(runtime.handle(), spec(TaskKind::Close, None), |_| async { Err("timeout".to_owned()) });
    let wild = tasks::spawn(runtime.handle(), spec(TaskKind::Evict, None), |_| async { panic!("on purpose") });
    let endless = tasks::spawn(runtime.handle(), spec(TaskKind::Prefetch, None), |id| async move {
        tasks::progress(id, 5, 10, "running");
        tasks::progress(id, 6, 10, "waiting");
        std::future::pending::<()>().await;
        Ok(())
    });
    let ids = [good.id(), bad.id(), wild.id(), endless.id()];
    // Nobody moves it any more, and still its last state gets told.
    scene.wait_for(|body| matches!(body, Body::Progress(p) if p.id == ids[3] && p.have == 6 && p.state == "waiting"));
    let running = || {
        let mut running = Vec::new();
        tasks::visit(&mut |task| running.push((task.id, task.kind, task.have, task.polling)));
        running
    };
    // The one that panics prints its stack first.
    let until = fsd::platform::clock::now() + Duration::from_secs(20);
    while running().len() > 1 && fsd::platform::clock::now() < until {
        std::thread::park_timeout(Duration::from_millis(5));
    }
    assert_eq!(running(), [(ids[3], TaskKind::Prefetch, 6, false)]);
    endless.cancel();
    runtime.block_on(async {
        good.join().await;
        bad.join().await;
        wild.join().await;
        endless.join().await;
    });
    recorder.stop("end");

    let events = scene.events();
    let ends: BTreeMap<OpId, String> = events
        .iter()
        .filter_map(|event| match &event.body {
            Body::TaskEnd(end) => Some((end.id, end.outcome.to_string())),
            _ => None,
        })
        .collect();
    assert_eq!(ids.map(|id| ends[&id].as_str()), ["ok", "timeout", "panic", "cancelled"]);
    let told: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.body {
            Body::Progress(p) if p.id == ids[0] => Some((p.have, p.state.to_string())),
            _ => None,
        })
        .collect();
    assert!(told.len() < 10, "{}", told.len());
    assert_eq!(told.last(), Some(&(1000, "complete".to_owned())));
    assert!(events.iter().any(
        |e| matches!(&e.body, Body::Invariant { what, detail } if what == "panic in a task" && detail == "on purpose")
    ));
    assert!(events.iter().any(|e| matches!(&e.body, Body::Task(t) if t.id == ids[0] && t.parent == parent && t.path.as_deref() == Some("/a/b.mov"))));
}

#[test]
fn the_seeds_lines_appear_on_the_human_log() {
    let (_dir, scene) = fresh();
    let output = child("seed_log", &scene).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("[FUSE] Release ENTER (id="), "{text}");
    assert!(text.contains("[FUSE] Release EXIT (id=") && text.contains(", elapsed="), "{text}");
}

pub(super) fn seed_log(scene: &Scene) {
    log::init("info", Format::Text, false).unwrap();
    let recorder = observe::install(RecorderConfig { seed_log: true, state_dir: None, ..scene.config() }).unwrap();
    let span = enter(Op::Release, 1);
    let _scope = Scope::of(span.id());
    span.exit(0, 0);
    recorder.stop("end");
    log::flush();
}
