//! The model: random files, reads and faults; every reader gets the bytes of its version, or an error.

use std::time::Duration;

use crate::{
    data::{
        origin::Validator,
        store::{FetchMode, StoreError},
    },
    process::demo::origin::{Fault, Versions},
};

use super::world::{KIB, MODES, Settings, World, read, v1};

/// Of each mode; `FSD_CASES` asks for more.
const CASES: u64 = 1200;
/// Worlds at once: most of a case is waiting for what the origin holds back.
const LANES: u64 = 8;
/// Far beyond what any fault here costs.
const PATIENCE: Duration = Duration::from_secs(15);

/// A small random generator; the seed is in every message.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn fault(&mut self, size: u64) -> Fault {
        let at = self.roll(size);
        match self.roll(14) {
            0 => Fault::StallAt(at),
            1 => Fault::ResetAt(at),
            2 => Fault::ShortAt(at),
            3 => Fault::ChunkedShort(at),
            4 => Fault::Chunked,
            5 => Fault::WholeForRange,
            6 => Fault::WrongRange,
            7 => Fault::Encoded,
            8 => Fault::WrongLength(-1),
            9 => Fault::status(503),
            10 => Fault::Silent,
            11 => Fault::RedirectLoop,
            12 => Fault::OtherTag,
            _ => Fault::Garbage,
        }
    }
}

#[test]
fn every_reader_gets_its_bytes_or_an_error() {
    let cases = std::env::var("FSD_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    std::thread::scope(|lanes| {
        for (mode, lane) in MODES.into_iter().flat_map(|mode| (0..LANES / 2).map(move |lane| (mode, lane))) {
            let run = move || lane_of(mode, (1 + lane..=cases).step_by(LANES as usize / 2));
            std::thread::Builder::new().name(format!("{mode:?}-{lane}")).spawn_scoped(lanes, run).unwrap();
        }
    });
}

/// Cases one after another in two worlds, which are empty afterwards: one that soon gives up what stalls, and one
/// for cases without faults, where an error is never right, however busy the machine is.
fn lane_of(mode: FetchMode, seeds: impl Iterator<Item = u64>) {
    let world = |inactivity| World::new(&Settings { mode, inactivity, cache: 512 * KIB, ..Settings::default() });
    let worlds = [world(PATIENCE), world(Duration::from_millis(60))];
    seeds.for_each(|seed| play(&worlds, mode, seed));
    for world in worlds {
        assert!(world.drained());
        let usage = world.stores.usage();
        let left = (usage.stores, usage.disk, usage.requests, usage.waiting, world.temp_files());
        assert_eq!(left, (0, 0, 0, 0, 0), "{mode:?}");
    }
}

fn play(worlds: &[World; 2], mode: FetchMode, seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let path = format!("{mode:?}/{seed}");
    let largest = if dice.roll(3) == 0 { 100 * KIB } else { 1200 * KIB };
    let size = 1 + dice.roll(largest);
    let versions =
        [Versions::Tag, Versions::Date, Versions::Weak, Versions::Nothing][usize::try_from(dice.roll(4)).unwrap()];
    let faults: Vec<Fault> = (0..dice.roll(4)).map(|_| dice.fault(size)).collect();
    let world = &worlds[usize::from(!faults.is_empty())];
    world.origin.file(&path, size).versions(&path, versions);
    for fault in &faults {
        world.origin.fault(&path, fault.clone());
        if dice.roll(2) == 0 {
            world.origin.pass(&path);
        }
    }
    let validator = if versions == Versions::Tag && dice.roll(2) == 0 { v1() } else { Validator::None };
    let store = world.open_as(&path, size, validator.clone());
    let whole = || world.origin.bytes(&path, 0, usize::try_from(size).unwrap());
    // Whose bytes a reader may get: with no version told, those of the first answer, and then no others.
    let mut possible = vec![whole()];
    let replaced = dice.roll(5) == 0;
    for round in 0..3 {
        let asked = (0..1 + dice.roll(6)).map(|_| {
            let at = dice.roll(size);
            at..(at + 1 + dice.roll(200 * KIB)).min(size)
        });
        let asked: Vec<_> = asked.collect();
        let readers: Vec<_> = asked.iter().map(|range| read(&store, range.clone(), PATIENCE)).collect();
        if round == 1 && replaced {
            world.origin.file(&path, size);
            if validator == Validator::None {
                possible.push(whole());
            }
        }
        for (range, reader) in asked.iter().zip(readers) {
            let tale = || format!("seed {seed} {mode:?} {versions:?} {size} bytes, {faults:?}, {range:?}");
            match reader.wait() {
                Ok(bytes) => {
                    let place = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
                    possible.retain(|version| version[place.clone()] == bytes);
                    assert!(!possible.is_empty(), "wrong bytes: {}", tale());
                }
                Err(error) => {
                    assert!(!faults.is_empty() || replaced, "{error} without a fault: {}", tale());
                    assert_ne!(error, StoreError::Deadline, "{}", tale());
                }
            }
        }
    }
    world.close(store);
}
