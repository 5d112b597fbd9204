//! Sources as somebody watches them, with a clock of the test's own.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    sync::mpsc,
};

use super::{live::Live, record::Record, replay::Replay, *};
use crate::tui::picture::{Source, SourceState, Speed};

const LIMITS: Limits = Limits { stalled_us: 3_000_000, listed: 1000 };

/// A recording in which a Release hangs, is freed, and everything ends well.
fn recording() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/events/v1/release-recovered.jsonl")
}

/// What is seen, without how it is looked at.
fn content(picture: Picture) -> Picture {
    Picture { source: Source { state: SourceState::Empty, ..picture.source }, acts: Vec::new(), ..picture }
}

/// Wall clock of a line, microseconds.
fn wall(line: &str) -> u64 {
    match fsd_events::line::decode(line.as_bytes()) {
        fsd_events::line::Decoded::Event(event) => event.head.ts_us,
        _ => panic!("no event: {line}"),
    }
}

fn source(path: &Path) -> Source {
    Source { title: path.display().to_string(), ..Source::default() }
}

#[test]
fn the_screen_at_a_moment_is_the_one_that_live_use_has_shown() {
    let path = recording();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut live = Record::new(LIMITS);
    let stream = live.stream(&path);
    let mut written = lines.iter().peekable();
    let (mut stalled, mut recovered) = (0, 0);
    // Whoever still looks after the end sees what there was.
    let end = wall(lines[lines.len() - 1]) + 3_000_000;
    let mut moment = wall(lines[0]);
    while moment < end {
        while let Some(line) = written.next_if(|line| wall(line) <= moment) {
            live.line(stream, line.as_bytes());
        }
        let seen = live.picture(Some(moment), source(&path), Vec::new());
        let played = Replay::new(std::slice::from_ref(&path), LIMITS).at(moment);
        stalled += u32::from(seen.verdict.as_ref().is_some_and(|verdict| !verdict.recovered));
        recovered += u32::from(seen.verdict.as_ref().is_some_and(|verdict| verdict.recovered));
        assert_eq!(content(played), content(seen), "at {moment}");
        moment += 250_000;
    }
    assert!(stalled > 5 && recovered > 5, "{stalled} moments with a stall, {recovered} after it");
}

/// Steps a replay with a clock that the test turns.
struct Player {
    replay: Replay,
    now_us: u64,
    shown: Picture,
}

impl Player {
    fn new() -> Self {
        let replay = Replay::new(&[recording()], LIMITS);
        let mut player = Self { replay, now_us: 1_000_000, shown: Picture::default() };
        player.pass(0);
        player
    }

    fn pass(&mut self, us: u64) {
        self.now_us += us;
        if let Some(picture) = self.replay.step(self.now_us).picture {
            self.shown = picture;
        }
    }

    fn wish(&mut self, wish: Wish) {
        self.replay.wish(&wish);
        self.pass(0);
    }

    /// Moment shown, seconds since the first event, and whether it stands still.
    fn at(&self) -> (u64, bool) {
        match self.shown.source.state {
            SourceState::Replay { at_us, paused, .. } => (at_us / 1_000_000, paused),
            ref other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_recording_plays_at_its_own_pace_or_another_and_stands_still_when_paused() {
    let mut player = Player::new();
    assert_eq!(player.at(), (0, false));
    (0..20).for_each(|_| player.pass(100_000));
    assert_eq!(player.at(), (2, false));
    player.wish(Wish::Faster);
    (0..10).for_each(|_| player.pass(100_000));
    assert_eq!(player.at(), (4, false));
    player.wish(Wish::Pause(true));
    player.pass(9_000_000);
    assert_eq!(player.at(), (4, true));
    player.wish(Wish::Rewind);
    assert_eq!(player.at().0, 0);
    assert!(matches!(player.shown.source.state, SourceState::Replay { speed: Speed(20), .. }));
}

#[test]
fn one_step_takes_one_line_and_the_next_stall_is_found_at_once() {
    let mut player = Player::new();
    player.wish(Wish::Pause(true));
    let before = player.shown.events.len();
    player.wish(Wish::Step);
    assert_eq!(player.shown.events.len(), before + 1);
    player.wish(Wish::NextStall);
    assert!(player.at().1, "it stops there");
    let verdict = player.shown.verdict.as_ref().unwrap();
    assert!(verdict.sentence.contains("Release") && !verdict.recovered, "{}", verdict.sentence);
    player.wish(Wish::NextStall);
    assert!(player.at().1, "there is no other: it stops at the end");
    assert!(player.shown.verdict.as_ref().unwrap().recovered);
}

#[test]
fn a_log_that_grows_is_gone_and_comes_back_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    let mut live = Live::of_files(std::slice::from_ref(&path), LIMITS);
    let mut now = 1_000_000;
    let mut look = |live: &mut Live| {
        now += 1_000_000;
        live.step(now).picture.unwrap()
    };
    assert!(matches!(look(&mut live).source.state, SourceState::Gone { .. }));
    let text = fs::read_to_string(recording()).unwrap();
    let (head, tail) = text.split_at(text.find("\n{").unwrap() + 1);
    let mut file = File::create(&path).unwrap();
    file.write_all(head.as_bytes()).unwrap();
    assert_eq!((look(&mut live).source.state, look(&mut live).events.len()), (SourceState::Recorded, 1));
    file.write_all(tail.as_bytes()).unwrap();
    let whole = look(&mut live);
    assert_eq!(whole.events.len(), text.lines().count());
    assert!(whole.verdict.unwrap().recovered);
    fs::remove_file(&path).unwrap();
    assert!(matches!(look(&mut live).source.state, SourceState::Gone { .. }));
}

#[test]
fn packed_files_and_dumps_are_read_as_plain_ones_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl.gz");
    let mut packer = flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
    packer.write_all(&fs::read(recording()).unwrap()).unwrap();
    packer.finish().unwrap();
    let picture = once(Subject::Files(vec![path]), LIMITS, None);
    assert_eq!(picture.source.pid, Some(8349));
    assert!(picture.verdict.unwrap().recovered);
}

#[test]
fn a_mount_that_is_none_is_looked_for_again_and_the_user_sees_when() {
    let (turns, pictures) = mpsc::channel();
    let (wishes, wanted) = mpsc::channel();
    wishes.send(Wish::Open("/no/such/mount".into())).unwrap();
    drop(wishes);
    run(Subject::Mount("/nor/this".into()), LIMITS, &turns, &wanted);
    let states = pictures.try_iter().filter_map(|turn| match turn {
        Turn::Picture(picture) => Some((picture.source.title, picture.source.state)),
        _ => None,
    });
    let states: Vec<_> = states.collect();
    assert_eq!(states.iter().map(|(title, _)| title.as_str()).collect::<Vec<_>>(), ["/nor/this", "/no/such/mount"]);
    assert!(states.iter().all(|(_, state)| matches!(state, SourceState::Reconnecting { .. })), "{states:?}");
}

#[test]
fn a_dump_that_is_read_again_with_its_names_is_still_one_dump() {
    let dump = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/corpus/c17/stacks-20261122-095933.log");
    let mut record = Record::new(LIMITS);
    assert!(record.dump(&dump));
    let threads = record.model.dumps[0].1.threads.len();
    assert!(record.dump(&dump));
    assert_eq!(record.model.dumps.iter().map(|(_, dump, _)| dump.threads.len()).collect::<Vec<_>>(), [threads]);
}

#[test]
fn requests_of_two_daemons_with_one_number_are_two_rows() {
    let mut record = Record::new(LIMITS);
    let stream = record.stream(Path::new("cluster.log"));
    for second in 0..30 {
        for node in ["a", "b", "c"] {
            let at = format!("2026-11-22T09:43:{second:02}.000000+00:00 {node} fused[7]: ");
            let begins = format!("{at}[FUSE] Read ENTER (id={})", second + 1);
            record.line(stream, begins.as_bytes());
            if second != 10 || node == "b" {
                record.line(stream, format!("{at}[FUSE] Read EXIT (id={}, elapsed=9µs)", second + 1).as_bytes());
            }
        }
    }
    let picture = record.picture(None, Source::default(), Vec::new());
    let mut rows: Vec<(&str, &str)> = picture.operations.iter().map(|o| (o.id.as_str(), o.daemon.as_str())).collect();
    rows.sort_unstable();
    assert_eq!(rows, [("11", "fused[7] on a"), ("11", "fused[7] on c")]);
}
