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

/// `FSD_CASES` asks for more.
const CASES: u64 = 150;
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
    for mode in MODES {
        let settings =
            Settings { mode, inactivity: Duration::from_millis(60), cache: 512 * KIB, ..Settings::default() };
        let world = World::new(&settings);
        for seed in 1..=cases {
            play(&world, mode, seed);
        }
        assert!(world.drained());
        let usage = world.stores.usage();
        let left = (usage.stores, usage.disk, usage.requests, usage.waiting, world.temp_files());
        assert_eq!(left, (0, 0, 0, 0, 0), "{mode:?}");
    }
}

fn play(world: &World, mode: FetchMode, seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let path = format!("{mode:?}/{seed}");
    let largest = if dice.roll(3) == 0 { 100 * KIB } else { 1200 * KIB };
    let size = 1 + dice.roll(largest);
    world.origin.file(&path, size);
    let versions =
        [Versions::Tag, Versions::Date, Versions::Weak, Versions::Nothing][usize::try_from(dice.roll(4)).unwrap()];
    world.origin.versions(&path, versions);
    let faults: Vec<Fault> = (0..dice.roll(4)).map(|_| dice.fault(size)).collect();
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
