//! The plays with a thread for each actor under shuttle's schedulers: larger casts, and permits that are waited for
//! in the order of arrival, as the store does.

use std::ops::Range;

use fsd_events::ids::OpId;
use shuttle::{
    Config, Runner,
    future::block_on,
    scheduler::{PctScheduler, RandomScheduler, Scheduler},
    sync::{Arc, Condvar, Mutex},
    thread::{self, JoinHandle},
};

use crate::data::store::state::Keep;

use super::play::{Actor, Play, Scene};

const MIB: u64 = 1 << 20;
/// Schedules of each scene and scheduler.
const SCHEDULES: usize = 100;
/// Changes of priority among which a bad order may hide.
const DEPTH: usize = 3;
/// Frames of a debug build are large.
const STACK: usize = 1 << 19;

struct Stage {
    play: Mutex<Play>,
    /// Somebody has had a turn.
    moved: Condvar,
}

/// Turns of `actor` until nothing is left of it; who else comes out of them is a thread of its own.
fn act(stage: &Arc<Stage>, actor: Actor) -> Vec<JoinHandle<()>> {
    let (mut current, mut others) = (Some(actor), Vec::new());
    while let Some(actor) = current.take() {
        let actor = with_permit(stage, actor);
        let mut play = stage.play.lock().unwrap();
        while !play.can(&actor) {
            play = stage.moved.wait(play).unwrap();
        }
        let mut next = play.turn(actor).into_iter();
        play.check();
        drop(play);
        stage.moved.notify_all();
        current = next.next();
        others.extend(next.map(|other| start(stage, other)));
    }
    others
}

fn start(stage: &Arc<Stage>, actor: Actor) -> JoinHandle<()> {
    let stage = Arc::clone(stage);
    thread::spawn(move || act(&stage, actor).into_iter().for_each(|other| other.join().unwrap()))
}

/// A request for a reader waits for its permit in the queue, with no lock held.
fn with_permit(stage: &Arc<Stage>, actor: Actor) -> Actor {
    if !actor.needs_permit() {
        return actor;
    }
    let permits = stage.play.lock().unwrap().permits().clone();
    actor.with_permit(block_on(permits.acquire(OpId(1))))
}

fn perform(scene: Scene, reads: &[Range<u64>], others: Vec<Actor>) {
    let (play, mut actors) = Play::new(scene);
    let (readers, told): (Vec<_>, Vec<_>) = reads.iter().cloned().map(Play::reader).unzip();
    actors.extend(readers);
    actors.extend(others);
    let stage = Arc::new(Stage { play: Mutex::new(play), moved: Condvar::new() });
    let threads: Vec<_> = actors.into_iter().map(|actor| start(&stage, actor)).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    stage.play.lock().unwrap().check_end();
    for told in &told {
        drop(told.try_recv().expect("every reader is answered"));
        assert!(told.try_recv().is_err(), "and once only");
    }
}

fn schedule(scheduler: impl Scheduler + 'static, scene: Scene, closes: bool) {
    let mut config = Config::new();
    config.stack_size = STACK;
    Runner::new(scheduler, config).run(move || {
        let far = 5 * MIB;
        let reads = [MIB..MIB + 4096, far..far + 4096, 3 * MIB..3 * MIB + 4096, MIB + 4096..MIB + 8192, 0..4096];
        let close = || vec![Actor::Deadline, Actor::Close { refused: false }];
        perform(scene, &reads, if closes { close() } else { Vec::new() });
    });
}

/// Readers, prefetch, demand, write-behind, deadline and close: whatever the schedule, each reader is answered once,
/// nobody waits for nothing, and every permit comes back.
#[test]
fn any_schedule_answers_everybody_and_gives_every_permit_back() {
    // A wait for a permit has a clock beside it, which stands still here.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _timers = runtime.enter();
    for (keep, at_once) in [(Keep::Lru, 1), (Keep::Lru, 2), (Keep::Lru, 3), (Keep::Disk, 2)] {
        for (closes, break_at) in [(false, None), (false, Some(3 * MIB)), (true, None)] {
            let writes = keep == Keep::Disk;
            let scene = Scene { keep, size: 6 * MIB, piece: MIB, at_once, break_at, stream: Some(MIB), writes };
            let seed = at_once as u64 + 7;
            schedule(RandomScheduler::new_from_seed(seed, SCHEDULES), scene, closes);
            schedule(PctScheduler::new_from_seed(seed, DEPTH, SCHEDULES), scene, closes);
        }
    }
}
