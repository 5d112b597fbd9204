//! Downloads: the next worker goes on where the last one stood, and believes only what it can check.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt,
};

use super::*;

const SIZE: u64 = 32 * MIB;
const STALL: u64 = 24 * MIB;

struct Half {
    origin: Origin,
    mounted: Mounted,
    held: File,
}

impl Half {
    fn new() -> Self {
        Self::with(&[], |mounted, _| mounted.path("a"))
    }

    /// A download that stands at three quarters, with a reader that has the file open at `place`.
    fn with(args: &[&str], place: impl FnOnce(&Mounted, &Origin) -> PathBuf) -> Self {
        let origin = Origin::start().unwrap();
        origin.file("a", SIZE).always("a", Fault::StallAt(STALL));
        let mounted = mount(Some(&origin.url("")), args);
        let held = File::open(place(&mounted, &origin)).unwrap();
        held.read_exact_at(&mut [0; 4096], 0).unwrap();
        let half = Self { origin, mounted, held };
        await_true("the download", || half.noted() >= STALL - MIB);
        half
    }

    fn notes(&self) -> Vec<PathBuf> {
        files(&self.mounted.runtime().join(layout::NOTES))
    }

    /// Bytes that the worker has noted.
    fn noted(&self) -> u64 {
        let text = self.notes().iter().map(|path| fs::read_to_string(path).unwrap_or_default()).collect::<String>();
        let range = |line: &str| {
            let mut words = line.split(' ').map(str::parse::<u64>);
            Some(words.nth(1)?.ok()? - line.split(' ').next()?.parse::<u64>().ok()?)
        };
        text.lines().filter_map(range).sum()
    }

    /// Kills the worker; `damage` comes before the next one starts.
    fn kill(&self, damage: impl FnOnce(&Self)) {
        let old = worker(&self.mounted);
        send(self.mounted.pid(), Signal::SIGSTOP);
        send(old, Signal::SIGKILL);
        self.origin.heal().release();
        damage(self);
        send(self.mounted.pid(), Signal::SIGCONT);
        await_successor(&self.mounted, old);
    }

    /// Where requests for content began since there were `before` of them.
    fn asked_since(&self, before: usize) -> Vec<u64> {
        let all = self.origin.requests_of("a");
        let gets = all[before..].iter().filter(|request| request.method == "GET");
        gets.map(|request| request.range.as_ref().map_or(0, |range| range.start)).collect()
    }

    /// Every byte is right, through the descriptor that was open all the time; then nothing is left.
    fn finish(self) {
        let mut bytes = vec![0; SIZE as usize];
        self.held.read_exact_at(&mut bytes, 0).unwrap();
        assert!(bytes == self.origin.bytes("a", 0, SIZE as usize));
        drop(self.held);
        await_true("the temp files", || files(&self.mounted.home().temp()).is_empty());
        self.mounted.finish();
    }
}

#[test]
fn a_download_goes_on_where_the_killed_worker_stood() {
    let half = Half::new();
    let before = half.origin.requests_of("a").len();
    half.kill(|_| ());
    let mut byte = [0; 1];
    half.held.read_exact_at(&mut byte, SIZE - 1).unwrap();
    await_true("the rest", || half.noted() >= SIZE);
    let asked = half.asked_since(before);
    assert!(!asked.is_empty() && asked.iter().all(|start| *start >= STALL - MIB), "{asked:?}");
    half.finish();
}

/// The kernel sends all of them again at once, and each comes before the file has a store. What is staged is known
/// without a listing, for which they would queue.
#[test]
fn readers_that_wait_when_their_worker_is_killed_do_not_cost_the_download() {
    let half = Half::with(&["--failpoint", "every:store::take_over=sleep(300)"], |mounted, origin| {
        let staged = mounted.fsd(&["stage", &origin.url("a")]);
        text(&staged.stdout).trim().split_once(' ').unwrap().1.into()
    });
    let before = half.origin.requests_of("a").len();
    let reads = [0, 1, 2, 3].map(|n| {
        let (held, at) = (half.held.try_clone().unwrap(), STALL + n * 2 * MIB);
        in_background(move || held.read_exact_at(&mut [0; 4096], at))
    });
    await_true("four reads that wait", || {
        let record = half.mounted.recorded();
        let late = |event: &&serde_json::Value| event["op"] == "Read" && event["off"].as_u64() >= Some(STALL);
        record.iter().filter(|event| event["ev"] == "enter").filter(late).count() >= 4
    });
    half.kill(|_| ());
    reads.into_iter().for_each(|read| read.join().unwrap().unwrap());
    let mut bytes = vec![0; SIZE as usize];
    half.held.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes == half.origin.bytes("a", 0, SIZE as usize));
    let asked = half.asked_since(before);
    assert!(asked.iter().all(|start| *start >= STALL - MIB), "{asked:?}");
    let Half { mounted, held, .. } = half;
    drop(held);
    mounted.finish();
}

#[test]
fn damaged_state_costs_a_new_download_and_never_a_wrong_byte() {
    let damages: [fn(&Half); 4] = [
        |half| {
            let note = &half.notes()[0];
            let mut bytes = fs::read(note).unwrap();
            bytes[40] ^= 1;
            fs::write(note, bytes).unwrap();
        },
        |half| fs::write(&half.notes()[0], "garbage").unwrap(),
        |half| {
            let temp = &files(&half.mounted.home().temp())[0];
            OpenOptions::new().write(true).open(temp).unwrap().set_len(STALL).unwrap();
        },
        |half| fs::remove_file(&files(&half.mounted.home().temp())[0]).unwrap(),
    ];
    for damage in damages {
        let half = Half::new();
        half.kill(damage);
        half.finish();
    }
}

#[test]
fn damaged_names_are_stale_and_lead_to_no_other_file() {
    let half = Half::new();
    half.kill(|half| {
        let path = half.mounted.runtime().join(layout::NAMES);
        let mut bytes = fs::read(&path).unwrap();
        let name = bytes.windows(2).rposition(|word| word == b"a\0").unwrap();
        bytes[name] = b'b';
        fs::write(path, bytes).unwrap();
    });
    let stale = half.held.read_exact_at(&mut [0; 10], MIB * 30).unwrap_err();
    assert_eq!(stale.raw_os_error(), Some(116), "{stale}");
    // Its name leads to it again.
    let Half { origin, mounted, held } = half;
    drop(held);
    let mut bytes = vec![0; SIZE as usize];
    File::open(mounted.path("a")).unwrap().read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes == origin.bytes("a", 0, SIZE as usize));
    mounted.finish();
}
