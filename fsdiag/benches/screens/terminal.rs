//! Terminal: `fsdiag` behind a pseudo terminal, made by `script`, that the measurement types into and reads.

use std::{
    fs,
    io::{Read, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

/// Clock ticks of `/proc/PID/stat`.
const TICK: Duration = Duration::from_millis(10);

pub(crate) struct Terminal {
    script: Child,
    keys: ChildStdin,
    frames: Receiver<(Instant, Vec<u8>)>,
}

impl Terminal {
    pub(crate) fn start(file: &str) -> Self {
        let command = format!("stty rows 40 cols 140; exec {} tui {file}", env!("CARGO_BIN_EXE_fsdiag"));
        let mut script = Command::new("script")
            .args(["-qfec", &command, "/dev/null"])
            .env("TERM", "xterm-256color")
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (keys, output) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
        Self { script, keys, frames: read(output) }
    }

    /// Presses a key and waits for the words that its frame must bring.
    pub(crate) fn press(&mut self, key: &str, words: &str) -> Duration {
        while self.frames.try_recv().is_ok() {}
        let pressed = Instant::now();
        self.keys.write_all(key.as_bytes()).unwrap();
        self.keys.flush().unwrap();
        let came = self.until(words, Duration::from_secs(10)).unwrap_or_else(|| panic!("{words} never came"));
        came.duration_since(pressed)
    }

    /// When the words came.
    pub(crate) fn until(&mut self, words: &str, limit: Duration) -> Option<Instant> {
        let end = Instant::now() + limit;
        let mut seen = Vec::new();
        loop {
            match self.frames.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok((at, bytes)) => {
                    seen.extend(bytes);
                    if text(&seen).contains(words) {
                        return Some(at);
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Processor time that `fsdiag` has used.
    pub(crate) fn cpu(&self) -> Duration {
        let pid = self.script.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let stat = fs::read_to_string(format!("/proc/{}/stat", children.trim())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u32 = fields[11].parse::<u32>().unwrap() + fields[12].parse::<u32>().unwrap();
        TICK * ticks
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Its Ctrl-C ends `fsdiag`, and `script` with it.
        let _ = self.keys.write_all(b"\x03");
        let _ = self.keys.flush();
        let _ = self.script.wait();
    }
}

fn read(mut output: impl Read + Send + 'static) -> Receiver<(Instant, Vec<u8>)> {
    let (sender, frames) = mpsc::channel();
    let work = move || {
        let mut block = vec![0; 64 << 10];
        while let Ok(got @ 1..) = output.read(&mut block) {
            if sender.send((Instant::now(), block[..got].to_vec())).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("frames".into()).spawn(work).unwrap();
    frames
}

/// What is written without its escape sequences.
fn text(bytes: &[u8]) -> String {
    let mut out = String::new();
    let all = String::from_utf8_lossy(bytes);
    let mut chars = all.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // A sequence ends with a letter.
            let _ = chars.by_ref().find(char::is_ascii_alphabetic);
        } else {
            out.push(c);
        }
    }
    out
}
