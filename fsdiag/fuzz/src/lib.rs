//! What every fuzz target does: read arbitrary bytes line by line, whole and cut, and never stop.
//!
//! `cargo fuzz run rclone fsdiag/fuzz/corpus/rclone testdata/formats/rclone`, from the directory of `fsdiag`.

use fsd_events::{
    event::Event,
    ids::RunId,
    line::{self, Decoded},
};
use fsdiag::{
    engine::fact::{Fact, InputId, Place, Sink},
    formats::{Mixed, PARSERS},
};

/// Counts what it is given, so that nothing is optimised away.
#[derive(Default)]
struct Counter(u64);

impl Sink for Counter {
    fn fact(&mut self, fact: Fact) {
        self.0 += 1 + fact.place.line;
    }

    fn event(&mut self, place: Place, _event: &Event<'_>) {
        self.0 += 1 + place.line;
    }

    fn unknown(&mut self, place: Place, _run: RunId, _seq: u64, _wall_us: u64) {
        self.0 += 1 + place.line;
    }
}

/// One parser alone.
pub fn one(format: &str, data: &[u8]) {
    let at = PARSERS.iter().position(|entry| entry.format == format).expect("every target names a format of the list");
    run(Mixed::with(InputId(0), &PARSERS[at..=at]), data);
}

/// All parsers together.
pub fn mixed(data: &[u8]) {
    run(Mixed::new(InputId(0)), data);
}

/// fsd's own events: what is read is written and read again, and is the same then.
pub fn events(data: &[u8]) {
    for line in data.split(|byte| *byte == b'\n') {
        let Decoded::Event(event) = line::decode(line) else { continue };
        let mut written = Vec::new();
        line::encode(&event, &mut written);
        let read = line::decode(written.trim_ascii_end());
        assert_eq!(read, Decoded::Event(event), "read again from {}", String::from_utf8_lossy(&written));
    }
    mixed(data);
}

fn run(mut mixed: Mixed, data: &[u8]) {
    let mut counter = Counter::default();
    for (number, line) in data.split(|byte| *byte == b'\n').enumerate() {
        mixed.line(line, &mut counter);
        if number % 7 == 6 {
            mixed.settle(&mut counter);
        }
    }
    mixed.finish(&mut counter);
    std::hint::black_box(counter.0);
}
