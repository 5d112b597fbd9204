//! Every schedule: readers, requests, permits, the disk, close and deadline, one critical section at a time, in every
//! order. What is too large for every order is played in thousands of random ones.

use std::{ops::Range, slice};

use crate::data::store::{
    StoreError,
    state::Keep,
    tests::play::{Actor, Play, Scene, Told},
};

const MIB: u64 = 1 << 20;
/// Orders that are tried for one set of actors; far more than there are.
const MOST: usize = 2_000_000;
/// Random orders of each large scene.
const ORDERS: u64 = 1_000;

/// Who takes part, and what the readers among them are told.
type Cast = (Play, Vec<Actor>, Vec<Told>);

fn cast(scene: Scene, reads: &[Range<u64>], others: Vec<Actor>) -> Cast {
    let (play, mut actors) = Play::new(scene);
    let (readers, told): (Vec<_>, Vec<_>) = reads.iter().cloned().map(Play::reader).unzip();
    actors.extend(readers);
    actors.extend(others);
    (play, actors, told)
}

/// Plays to the end; `choose` says which of so many who can go on does.
fn perform((mut play, mut actors, told): Cast, mut choose: impl FnMut(usize) -> usize) -> Vec<Result<u64, StoreError>> {
    let mut turns = 0;
    while !actors.is_empty() {
        let able: Vec<usize> = (0..actors.len()).filter(|n| play.can(&actors[*n])).collect();
        assert!(!able.is_empty(), "each waits for another");
        let n = able[choose(able.len())];
        let actor = actors.remove(n);
        play.turn(actor).into_iter().rev().for_each(|actor| actors.insert(n, actor));
        play.check();
        turns += 1;
        assert!(turns < 2000, "it does not end");
    }
    play.check_end();
    let answers = told.iter().map(|told| told.try_recv().expect("every reader is answered")).collect();
    assert!(told.iter().all(|told| told.try_recv().is_err()), "and once only");
    answers
}

/// Plays in every order; `judge` sees what each reader was told.
fn in_every_order(scene: impl Fn() -> Cast, judge: impl Fn(&[Result<u64, StoreError>])) -> usize {
    let mut choices: Vec<(usize, usize)> = Vec::new();
    for played in 1..=MOST {
        let mut depth = 0;
        let answers = perform(scene(), |able| {
            if depth == choices.len() {
                choices.push((0, able));
            }
            depth += 1;
            choices[depth - 1].0
        });
        choices.truncate(depth);
        judge(&answers);
        while choices.last().is_some_and(|(choice, of)| choice + 1 == *of) {
            choices.pop();
        }
        match choices.last_mut() {
            Some((choice, _)) => *choice += 1,
            None => return played,
        }
    }
    panic!("more than {MOST} orders");
}

/// Plays in so many random orders, the same in every run.
fn in_random_orders(scene: impl Fn() -> Cast, judge: impl Fn(&[Result<u64, StoreError>])) {
    for seed in 1..=ORDERS {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let answers = perform(scene(), |able| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % able as u64).unwrap()
        });
        judge(&answers);
    }
}

const KEEPS: [Keep; 2] = [Keep::Disk, Keep::Lru];

fn whole(answers: &[Result<u64, StoreError>]) {
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

#[test]
fn r01_no_wake_up_is_lost_in_any_order() {
    for keep in KEEPS {
        let orders = in_every_order(|| cast(Scene::small(keep), &[0..3, 3..8], Vec::new()), whole);
        assert!(orders > 100, "{keep:?}: {orders} orders");
    }
}

#[test]
fn r02_a_reader_that_comes_after_the_end_is_answered() {
    for keep in KEEPS {
        in_every_order(|| cast(Scene::small(keep), slice::from_ref(&(0..8)), Vec::new()), whole);
    }
}

#[test]
fn r19_a_close_at_any_moment_answers_every_reader() {
    for keep in KEEPS {
        let scene = || cast(Scene::small(keep), &[2..6, 0..8], vec![Actor::Close { refused: false }]);
        in_every_order(scene, |answers| {
            assert!(answers.iter().all(|answer| matches!(answer, Ok(_) | Err(StoreError::Closed))), "{answers:?}");
        });
    }
}

#[test]
fn r44_a_request_that_breaks_anywhere_leaves_no_reader_behind() {
    for keep in KEEPS {
        for break_at in [0, 4] {
            let scene = Scene { break_at: Some(break_at), ..Scene::small(keep) };
            in_every_order(
                || cast(scene, &[0..5, 5..8], Vec::new()),
                |answers| {
                    let fine = |answer: &Result<u64, StoreError>| matches!(answer, Ok(_) | Err(StoreError::Disk(_)));
                    assert!(answers.iter().all(fine), "{answers:?}");
                },
            );
        }
    }
}

#[test]
fn a_deadline_at_any_moment_finds_no_reader_whose_bytes_are_there() {
    for keep in KEEPS {
        let scene = || cast(Scene::small(keep), &[0..8, 5..7], vec![Actor::Deadline]);
        in_every_order(scene, |answers| {
            assert!(answers.iter().all(|answer| matches!(answer, Ok(_) | Err(StoreError::Deadline))), "{answers:?}");
        });
    }
}

/// A stream at 1 MiB of 6, with room for a chunk or two ahead of it and for demand.
fn streaming(at_once: usize) -> Scene {
    Scene { keep: Keep::Lru, size: 6 * MIB, piece: MIB, at_once, break_at: None, stream: Some(MIB), writes: false }
}

#[test]
fn prefetch_that_finds_no_permit_leaves_nobody_behind() {
    let far = 5 * MIB;
    for at_once in [1, 2, 3] {
        let reads = [MIB..MIB + 4096, far..far + 4096, 3 * MIB..3 * MIB + 4096, MIB + 4096..MIB + 8192];
        in_random_orders(|| cast(streaming(at_once), &reads, Vec::new()), whole);
    }
}

#[test]
fn s52_permits_come_back_whatever_breaks_and_whenever_it_is_closed() {
    for at_once in [1, 2, 3] {
        for break_at in [None, Some(0), Some(3 * MIB)] {
            let scene = Scene { break_at, ..streaming(at_once) };
            let reads = [MIB..MIB + 4096, 5 * MIB..5 * MIB + 4096, 0..4096];
            let others = || vec![Actor::Deadline, Actor::Close { refused: false }];
            in_random_orders(|| cast(scene, &reads, others()), |answers| assert_eq!(answers.len(), 3));
        }
    }
}

#[test]
fn what_is_written_while_others_read_close_and_give_up_is_answered_once() {
    let scene = Scene { size: 32, writes: true, ..Scene::small(Keep::Disk) };
    let reads = [0..8, 4..12, 20..32, 0..32];
    in_random_orders(|| cast(scene, &reads, Vec::new()), whole);
    let others = || vec![Actor::Deadline, Actor::Close { refused: false }];
    in_random_orders(|| cast(scene, &reads, others()), |answers| assert_eq!(answers.len(), 4));
}
