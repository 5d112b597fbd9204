//! Pour: an event file that grows at a fixed rate.

use std::{
    fs::File,
    io::Write as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Lines are written in pieces of so many milliseconds.
const PIECE_MS: u64 = 5;

pub(crate) struct Pour {
    written: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    writer: Option<JoinHandle<()>>,
}

impl Pour {
    pub(crate) fn start(path: &Path, rate: u64) -> Self {
        let (written, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let mut file = File::create(path).unwrap();
        let (count, end) = (Arc::clone(&written), Arc::clone(&over));
        let work = move || {
            let began = Instant::now();
            let mut text = String::new();
            while !end.load(Ordering::Relaxed) {
                let due = began.elapsed().as_millis() as u64 * rate / 1000;
                text.clear();
                for seq in count.load(Ordering::Relaxed)..due {
                    line(&mut text, seq);
                }
                file.write_all(text.as_bytes()).unwrap();
                count.store(due, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(PIECE_MS));
            }
        };
        let writer = thread::Builder::new().name("pour".into()).spawn(work).unwrap();
        Self { written, over, writer: Some(writer) }
    }

    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.writer.take().into_iter().for_each(|writer| writer.join().unwrap());
    }
}

/// An ENTER and its EXIT take turns; four workers, one operation each.
fn line(text: &mut String, seq: u64) {
    use std::fmt::Write as _;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let (micros, seconds) = (now.subsec_micros(), now.as_secs());
    let (minute, second) = (seconds / 60 % 60, seconds % 60);
    let hour = seconds / 3600 % 24;
    let (id, mono) = (seq / 2, seconds * 1_000_000 + u64::from(micros));
    let head = format_args!(
        "{{\"run\":\"1fd474349c89317b\",\"mount_run\":\"7c463e6f349d426f\",\"seq\":{seq},\"ts\":\"2026-11-24T{hour:02}:{minute:02}:{second:02}.{micros:06}Z\",\"mono_us\":{mono}"
    )
    .to_string();
    text.push_str(&head);
    let worker = id % 4;
    if seq.is_multiple_of(2) {
        let _ = writeln!(
            text,
            ",\"ev\":\"enter\",\"id\":{id},\"op\":\"Read\",\"thread\":\"fuser-{worker}\",\"tid\":{worker},\"unique\":{},\"resent\":false,\"pid\":77,\"ino\":{},\"fh\":5,\"path\":\"films/a-{worker}.mkv\",\"off\":{},\"len\":131072}}",
            id * 2,
            id % 1000,
            id * 131_072
        );
    } else {
        let _ = writeln!(
            text,
            ",\"ev\":\"exit\",\"id\":{id},\"op\":\"Read\",\"us\":{},\"errno\":0,\"bytes\":131072,\"detached\":false}}",
            20 + id % 997
        );
    }
}
